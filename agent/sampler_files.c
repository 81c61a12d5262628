/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "sampler_ops.h"
#include "sampler_text.h"

enum kept_file {
	/* v1 */
	FILE_CPUACCT_USAGE,
	FILE_QUOTA,
	FILE_PERIOD,
	FILE_USAGE_IN_BYTES,
	FILE_LIMIT_IN_BYTES,
	FILE_OOM_CONTROL,
	FILE_BLKIO_BYTES,
	FILE_BLKIO_OPS,
	/* v2 */
	FILE_CPU_MAX,
	FILE_MEMORY_CURRENT,
	FILE_MEMORY_MAX,
	FILE_MEMORY_EVENTS,
	FILE_IO_STAT,
	/* both */
	FILE_CPU_STAT,
	FILE_MEMORY_STAT,
	FILE_MAX,
};

#define V1 1
#define V2 2

static const struct {
	const char *name;
	enum cgroup_controller controller;
	int versions;
} kept_files[FILE_MAX] = {
	[FILE_CPUACCT_USAGE] = {"cpuacct.usage", CGROUP_CPUACCT, V1},
	[FILE_QUOTA] = {"cpu.cfs_quota_us", CGROUP_CPU, V1},
	[FILE_PERIOD] = {"cpu.cfs_period_us", CGROUP_CPU, V1},
	[FILE_USAGE_IN_BYTES] = {"memory.usage_in_bytes", CGROUP_MEMORY, V1},
	[FILE_LIMIT_IN_BYTES] = {"memory.limit_in_bytes", CGROUP_MEMORY, V1},
	[FILE_OOM_CONTROL] = {"memory.oom_control", CGROUP_MEMORY, V1},
	[FILE_BLKIO_BYTES] = {"blkio.throttle.io_service_bytes_recursive", CGROUP_IO, V1},
	[FILE_BLKIO_OPS] = {"blkio.throttle.io_serviced_recursive", CGROUP_IO, V1},
	[FILE_CPU_MAX] = {"cpu.max", CGROUP_CPU, V2},
	[FILE_MEMORY_CURRENT] = {"memory.current", CGROUP_MEMORY, V2},
	[FILE_MEMORY_MAX] = {"memory.max", CGROUP_MEMORY, V2},
	[FILE_MEMORY_EVENTS] = {"memory.events", CGROUP_MEMORY, V2},
	[FILE_IO_STAT] = {"io.stat", CGROUP_IO, V2},
	[FILE_CPU_STAT] = {"cpu.stat", CGROUP_CPU, V1 | V2},
	[FILE_MEMORY_STAT] = {"memory.stat", CGROUP_MEMORY, V1 | V2},
};

struct kept {
	int fds[FILE_MAX]; /* -1: not there */
};

#define DISKS_REMEMBERED 64

struct files {
	struct kept *slots;
	int blkio_root; /* v1: tells whether the kernel counts I/O at all; -1: no v1 blkio */
	bool blkio_counts;
	struct {
		unsigned major, minor;
		bool counts;
	} disks[DISKS_REMEMBERED];
	unsigned n_disks;
	char text[65536]; /* io.stat of a host with several hundred disks */
};

static void files_drop(struct sampler *sampler, unsigned slot)
{
	struct files *files = sampler->own;

	for (int i = 0; i < FILE_MAX; i++) {
		if (files->slots[slot].fds[i] >= 0)
			close(files->slots[slot].fds[i]);
		files->slots[slot].fds[i] = -1;
	}
}

static int files_start(struct sampler *sampler)
{
	const struct hierarchy *io = &sampler->hierarchies->by_controller[CGROUP_IO];
	struct files *files = calloc(1, sizeof(*files));
	struct rlimit limit;

	if (!files)
		return -ENOMEM;
	sampler->own = files;
	files->blkio_root = -1;
	files->slots = calloc(sampler->slots_max, sizeof(*files->slots));
	if (!files->slots)
		return -ENOMEM;
	for (unsigned slot = 0; slot < sampler->slots_max; slot++)
		for (int i = 0; i < FILE_MAX; i++)
			files->slots[slot].fds[i] = -1;
	if (io->mount && io->version == 1) {
		struct utsname system;

		uname(&system);
		if (blkio_counts_all(system.release))
			files->blkio_root = openat(io->root_fd, kept_files[FILE_BLKIO_BYTES].name,
						   O_RDONLY | O_CLOEXEC);
		else
			log_warning(
				"block I/O is not sampled: on cgroup v1 kernel %s counts in its "
				"files only that which is limited (as all from 5.16 to 6.4 do)",
				system.release);
	}
	/* Ten descriptors a container. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	return 0;
}

static void files_stop(struct sampler *sampler)
{
	struct files *files = sampler->own;

	if (!files)
		return;
	if (files->blkio_root >= 0)
		close(files->blkio_root);
	free(files->slots);
	free(files);
}

static int files_take(struct sampler *sampler, const struct container *container, unsigned slot)
{
	const struct hierarchies *hierarchies = sampler->hierarchies;
	struct files *files = sampler->own;
	bool any = false;

	files_drop(sampler, slot);
	for (int i = 0; i < FILE_MAX; i++) {
		enum cgroup_controller controller = kept_files[i].controller;
		int dir = container->dir_fds[controller], fd;

		if (dir < 0 ||
		    !(kept_files[i].versions & hierarchies->by_controller[controller].version))
			continue;
		fd = openat(dir, kept_files[i].name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT && errno != ENODEV) {
			int r = -errno;

			files_drop(sampler, slot);
			return log_full(LOG_LEVEL_DEBUG, r, "cannot open %s of %s",
					kept_files[i].name, container->name);
		}
		files->slots[slot].fds[i] = fd;
		any |= fd >= 0;
	}
	return any ? 0 : -ENOENT;
}

/* What has come since. */
static void files_refresh(struct sampler *sampler, const struct container *container, unsigned slot)
{
	struct files *files = sampler->own;

	for (int i = 0; i < FILE_MAX; i++) {
		enum cgroup_controller controller = kept_files[i].controller;

		if (files->slots[slot].fds[i] < 0 && container->dir_fds[controller] >= 0 &&
		    kept_files[i].versions & V2 &&
		    sampler->hierarchies->by_controller[controller].version == 2)
			files->slots[slot].fds[i] =
				openat(container->dir_fds[controller], kept_files[i].name,
				       O_RDONLY | O_CLOEXEC);
	}
}

/* It is not handed down any more: should it come again, its files are others. */
static void forget_controller(struct files *files, unsigned slot, enum cgroup_controller controller)
{
	for (int i = 0; i < FILE_MAX; i++) {
		int *fd = &files->slots[slot].fds[i];

		/* On v2 every cgroup has that, whatever it is handed down. */
		if (kept_files[i].controller == controller && i != FILE_CPU_STAT && *fd >= 0)
			close(TAKE_FD(*fd));
	}
}

/* The text of a kept file, "" included; NULL when it is not there, or its cgroup has gone. */
static const char *kept_text_or_empty(struct files *files, unsigned slot, enum kept_file file)
{
	int fd = files->slots[slot].fds[file];
	ssize_t n = fd >= 0 ? pread(fd, files->text, sizeof(files->text) - 1, 0) : -1;

	if (n < 0) {
		if (fd >= 0 && errno == ENODEV)
			forget_controller(files, slot, kept_files[file].controller);
		return NULL;
	}
	files->text[n] = '\0';
	return files->text;
}

/* The same for files that are never empty. */
static const char *kept_text(struct files *files, unsigned slot, enum kept_file file)
{
	const char *text = kept_text_or_empty(files, slot, file);

	return text && *text ? text : NULL;
}

static bool kept_number(struct files *files, unsigned slot, enum kept_file file,
			uint64_t *ret_value)
{
	const char *text = kept_text(files, slot, file);

	return text && take_number(text, ret_value);
}

/* A disk with request queues of its own has a directory "mq". */
static bool disk_counts(void *userdata, unsigned major, unsigned minor)
{
	struct files *files = userdata;
	char path[64];
	bool counts;

	for (unsigned i = 0; i < files->n_disks; i++)
		if (files->disks[i].major == major && files->disks[i].minor == minor)
			return files->disks[i].counts;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/mq", major, minor);
	counts = access(path, F_OK) == 0;
	if (files->n_disks < DISKS_REMEMBERED) {
		files->disks[files->n_disks].major = major;
		files->disks[files->n_disks].minor = minor;
		files->disks[files->n_disks++].counts = counts;
	}
	return counts;
}

static void read_cpu(struct files *files, unsigned slot, struct ebb_sample *sample)
{
	uint64_t ns, periods, throttled, time, us, quota, period;
	const char *text;

	if (kept_number(files, slot, FILE_CPUACCT_USAGE, &ns)) {
		sample->cpu_ns = ns;
		sample->at_ns = now_ns();
		sample->valid |= EBB_VALID_CPU;
	}

	text = kept_text(files, slot, FILE_CPU_STAT);
	if (!text)
		return;
	if (!(sample->valid & EBB_VALID_CPU) && flat_value(text, "usage_usec", &us)) {
		sample->cpu_ns = us * NS_PER_US;
		sample->at_ns = now_ns();
		sample->valid |= EBB_VALID_CPU;
	}
	if (!flat_value(text, "nr_periods", &periods) ||
	    !flat_value(text, "nr_throttled", &throttled)) {
		forget_controller(files, slot, CGROUP_CPU);
		return;
	}
	if (flat_value(text, "throttled_usec", &us))
		time = us * NS_PER_US;
	else if (!flat_value(text, "throttled_time", &time))
		return;
	sample->nr_periods = periods;
	sample->nr_throttled = throttled;
	sample->throttled_ns = time;

	text = kept_text(files, slot, FILE_CPU_MAX);
	if (!text || !cpu_max_parse(text, &quota, &period)) {
		text = kept_text(files, slot, FILE_QUOTA);
		if (!text)
			return;
		/* "-1": none. */
		quota = take_number(text, &us) ? us * NS_PER_US : EBB_UNLIMITED;
		if (!kept_number(files, slot, FILE_PERIOD, &us))
			return;
		period = us * NS_PER_US;
	}
	sample->quota_ns = quota;
	sample->period_ns = period;
	sample->valid |= EBB_VALID_BANDWIDTH;
}

static void read_memory(struct files *files, unsigned slot, struct ebb_sample *sample)
{
	uint64_t charged, inactive, value;
	const char *text;

	if (!kept_number(files, slot, FILE_USAGE_IN_BYTES, &charged) &&
	    !kept_number(files, slot, FILE_MEMORY_CURRENT, &charged))
		return;
	text = kept_text(files, slot, FILE_LIMIT_IN_BYTES);
	if (!text)
		text = kept_text(files, slot, FILE_MEMORY_MAX);
	if (text && mem_limit_parse(text, &value)) {
		sample->mem_charged = charged;
		sample->mem_limit = value;
		sample->valid |= EBB_VALID_MEM;
	}

	/* v1 has the hierarchical number under another key. */
	text = kept_text(files, slot, FILE_MEMORY_STAT);
	if (text && (flat_value(text, "total_inactive_file", &inactive) ||
		     flat_value(text, "inactive_file", &inactive))) {
		sample->mem_working_set = inactive < charged ? charged - inactive : 0;
		sample->valid |= EBB_VALID_WORKING_SET;
	}

	text = kept_text(files, slot, FILE_OOM_CONTROL);
	if (!text)
		text = kept_text(files, slot, FILE_MEMORY_EVENTS);
	if (text && flat_value(text, "oom_kill", &value)) {
		sample->oom_kills = value;
		sample->valid |= EBB_VALID_OOM;
	}
}

static void read_io(struct files *files, unsigned slot, struct ebb_sample *sample)
{
	uint64_t read_bytes, write_bytes, read_ops, write_ops;
	/* Empty until the first I/O. */
	const char *text = kept_text_or_empty(files, slot, FILE_IO_STAT);

	if (text) {
		sample->read_bytes = sample->write_bytes = 0;
		sample->read_ops = sample->write_ops = 0;
		io_stat_parse(text, disk_counts, files, sample);
		sample->valid |= EBB_VALID_IO;
		return;
	}
	if (!files->blkio_counts)
		return;
	text = kept_text(files, slot, FILE_BLKIO_BYTES);
	if (!text)
		return;
	blkio_parse(text, disk_counts, files, &read_bytes, &write_bytes);
	text = kept_text(files, slot, FILE_BLKIO_OPS);
	if (!text)
		return;
	blkio_parse(text, disk_counts, files, &read_ops, &write_ops);
	sample->read_bytes = read_bytes;
	sample->write_bytes = write_bytes;
	sample->read_ops = read_ops;
	sample->write_ops = write_ops;
	sample->valid |= EBB_VALID_IO;
}

static bool kernel_counts_blkio(struct files *files)
{
	uint64_t read, write;
	ssize_t n = files->blkio_root >= 0
			    ? pread(files->blkio_root, files->text, sizeof(files->text) - 1, 0)
			    : -1;

	if (n <= 0)
		return false;
	files->text[n] = '\0';
	return blkio_parse(files->text, disk_counts, files, &read, &write) > 0;
}

static int files_sweep(struct sampler *sampler)
{
	struct files *files = sampler->own;

	files->blkio_counts = kernel_counts_blkio(files);
	for (unsigned slot = 0; slot < sampler->high; slot++) {
		struct ebb_sample *shared = &sampler->samples[slot];
		struct ebb_sample sample = *shared;

		if (!sample.id)
			continue;
		sample.valid = 0;
		read_cpu(files, slot, &sample);
		read_memory(files, slot, &sample);
		read_io(files, slot, &sample);
		if (!(sample.valid & EBB_VALID_CPU))
			sample.at_ns = now_ns();
		sample_step(shared);
		sample.seq = shared->seq;
		*shared = sample;
		sample_step(shared);
	}
	return 0;
}

const struct sampler_ops sampler_files_ops = {
	.name = "files",
	.start = files_start,
	.stop = files_stop,
	.take = files_take,
	.drop = files_drop,
	.sweep = files_sweep,
	.refresh = files_refresh,
};
