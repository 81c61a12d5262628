/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every field of a record against the file that the kernel shows for it: read before and after a
 * sweep, on cgroups that are busy with all of it (spinning under a quota, touching memory, caching
 * files, disk I/O, nested cgroups), then once more with everything stopped, where they must be
 * equal.
 */
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "sampled_tree.h"
#include "sampler_text.h"

#define IO_SIZE 65536

/* At least, and until the load has done something. */
static int rounds(void)
{
	return getenv("EBB_TEST_EMULATED") ? 60 : 150;
}

/* Last in its group, or the others would do nothing under this quota. */
static void spin(void *arg)
{
	if (nice(19) < 0)
		return;
	for (volatile unsigned i = 0;; i++)
		;
}

/* Anonymous memory, a page a millisecond, up to 24 MiB. */
static void touch(void *arg)
{
	size_t size = 24 << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; memory != MAP_FAILED && i < size; i += 4096) {
		memory[i] = 1;
		sleep_ms(1);
	}
}

/* New file cache, 16 KiB each 2 ms, up to 32 MiB; arg: path. */
static void cache(void *arg)
{
	static char block[16384];
	int fd = open(arg, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	for (int i = 0; fd >= 0 && i < 2048; i++) {
		if (write(fd, block, sizeof(block)) < 0)
			break;
		sleep_ms(2);
	}
}

/* Direct I/O, writes and reads in turn; arg: path. */
static void disk(void *arg)
{
	int fd = open(arg, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	void *block = NULL;

	if (fd < 0 || posix_memalign(&block, 4096, IO_SIZE))
		return;
	memset(block, 0, IO_SIZE);
	for (unsigned i = 0;; i++) {
		off_t at = (off_t)(i / 2 % 64) * IO_SIZE;

		if ((i % 2 ? pread(fd, block, IO_SIZE, at) : pwrite(fd, block, IO_SIZE, at)) < 0)
			return;
		sleep_ms(3);
	}
}

static bool any_disk(void *userdata, unsigned major, unsigned minor)
{
	return true;
}

static uint64_t file_u64(const struct rig *rig, const char *controller, const char *child,
			 const char *file)
{
	char text[64];

	CHECK_INT(cgroup_tree_read(&rig->tree, controller, child, file, text, sizeof(text)), 0);
	return strtoull(text, NULL, 10);
}

static uint64_t flat(const struct rig *rig, const char *controller, const char *child,
		     const char *file, const char *key)
{
	static char text[16384];
	uint64_t value = 0;

	CHECK_INT(cgroup_tree_read(&rig->tree, controller, child, file, text, sizeof(text)), 0);
	CHECK(flat_value(text, key, &value));
	return value;
}

static uint64_t limit(const struct rig *rig, const char *controller, const char *child,
		      const char *file)
{
	char text[64];

	CHECK_INT(cgroup_tree_read(&rig->tree, controller, child, file, text, sizeof(text)), 0);
	return strncmp(text, "max", 3) == 0 ? EBB_UNLIMITED : strtoull(text, NULL, 10);
}

/* Of cgroup v2; the same fields as the record's. */
static struct ebb_sample read_files_v2(const struct rig *rig, const char *child)
{
	static char text[16384];
	struct ebb_sample s = {0};
	uint64_t inactive;

	s.cpu_ns = flat(rig, "cpu", child, "cpu.stat", "usage_usec") * 1000;
	s.quota_ns = limit(rig, "cpu", child, "cpu.max");
	if (s.quota_ns != EBB_UNLIMITED)
		s.quota_ns *= 1000;
	CHECK_INT(cgroup_tree_read(&rig->tree, "cpu", child, "cpu.max", text, sizeof(text)), 0);
	s.period_ns = strtoull(strchr(text, ' '), NULL, 10) * 1000;
	s.nr_periods = flat(rig, "cpu", child, "cpu.stat", "nr_periods");
	s.nr_throttled = flat(rig, "cpu", child, "cpu.stat", "nr_throttled");
	s.throttled_ns = flat(rig, "cpu", child, "cpu.stat", "throttled_usec") * 1000;
	s.mem_charged = file_u64(rig, "memory", child, "memory.current");
	inactive = flat(rig, "memory", child, "memory.stat", "inactive_file");
	s.mem_working_set = inactive < s.mem_charged ? s.mem_charged - inactive : 0;
	s.mem_limit = limit(rig, "memory", child, "memory.max");
	s.oom_kills = flat(rig, "memory", child, "memory.events", "oom_kill");
	CHECK_INT(cgroup_tree_read(&rig->tree, "io", child, "io.stat", text, sizeof(text)), 0);
	io_stat_parse(text, any_disk, NULL, &s);
	return s;
}

/* Of either; every field from the file that the kernel shows for it. */
static struct ebb_sample read_files(const struct rig *rig, const char *child)
{
	static char text[16384];
	struct ebb_sample s = {0};
	uint64_t inactive, read, write;
	int64_t quota;

	if (rig->hierarchies.by_controller[CGROUP_CPU].version == 2)
		return read_files_v2(rig, child);
	s.cpu_ns = file_u64(rig, "cpuacct", child, "cpuacct.usage");
	CHECK_INT(
		cgroup_tree_read(&rig->tree, "cpu", child, "cpu.cfs_quota_us", text, sizeof(text)),
		0);
	quota = strtoll(text, NULL, 10);
	s.quota_ns = quota < 0 ? EBB_UNLIMITED : (uint64_t)quota * 1000;
	s.period_ns = file_u64(rig, "cpu", child, "cpu.cfs_period_us") * 1000;
	s.nr_periods = flat(rig, "cpu", child, "cpu.stat", "nr_periods");
	s.nr_throttled = flat(rig, "cpu", child, "cpu.stat", "nr_throttled");
	s.throttled_ns = flat(rig, "cpu", child, "cpu.stat", "throttled_time");
	s.mem_charged = file_u64(rig, "memory", child, "memory.usage_in_bytes");
	inactive = flat(rig, "memory", child, "memory.stat", "total_inactive_file");
	s.mem_working_set = inactive < s.mem_charged ? s.mem_charged - inactive : 0;
	s.mem_limit = file_u64(rig, "memory", child, "memory.limit_in_bytes");
	s.oom_kills = flat(rig, "memory", child, "memory.oom_control", "oom_kill");
	CHECK_INT(cgroup_tree_read(&rig->tree, "blkio", child,
				   "blkio.throttle.io_service_bytes_recursive", text, sizeof(text)),
		  0);
	blkio_parse(text, any_disk, NULL, &read, &write);
	s.read_bytes = read;
	s.write_bytes = write;
	CHECK_INT(cgroup_tree_read(&rig->tree, "blkio", child,
				   "blkio.throttle.io_serviced_recursive", text, sizeof(text)),
		  0);
	blkio_parse(text, any_disk, NULL, &read, &write);
	s.read_ops = read;
	s.write_ops = write;
	return s;
}

#define CHECK_BETWEEN(what, before, got, after, slack)                                \
	do {                                                                          \
		uint64_t _b = (before), _g = (got), _a = (after), _s = (slack);       \
		uint64_t _low = MIN(_b, _a), _high = MAX(_b, _a);                     \
		if (_g + _s < _low || _g > _high + _s)                                \
			TEST_FAIL("%s: %llu is not within %llu..%llu (+-%llu)", what, \
				  (unsigned long long)_g, (unsigned long long)_low,   \
				  (unsigned long long)_high, (unsigned long long)_s); \
	} while (0)

/* False: the files of this kernel count some I/O only, and a sampler by files shall say that it has
 * none. */
static bool io_is_told;

static void check_fields(const struct ebb_sample *before, const struct ebb_sample *got,
			 const struct ebb_sample *after, const struct ebb_sample *io_base,
			 const struct ebb_sample *io_file_base, uint64_t cpu_slack,
			 uint64_t mem_slack, uint64_t ws_slack, unsigned io_slack)
{
	/* v2 shows whole microseconds. */
	uint64_t time_slack = cpu_slack ? 1000 : 0;

	CHECK_INT(got->valid, EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM |
				      EBB_VALID_WORKING_SET | EBB_VALID_OOM |
				      (io_is_told ? EBB_VALID_IO : 0));
	CHECK_BETWEEN("cpu_ns", before->cpu_ns, got->cpu_ns, after->cpu_ns, cpu_slack);
	CHECK_INT(got->quota_ns, after->quota_ns);
	CHECK_INT(got->period_ns, after->period_ns);
	CHECK_BETWEEN("nr_periods", before->nr_periods, got->nr_periods, after->nr_periods, 0);
	CHECK_BETWEEN("nr_throttled", before->nr_throttled, got->nr_throttled, after->nr_throttled,
		      0);
	CHECK_BETWEEN("throttled_ns", before->throttled_ns, got->throttled_ns, after->throttled_ns,
		      time_slack);
	CHECK_BETWEEN("mem_charged", before->mem_charged, got->mem_charged, after->mem_charged,
		      mem_slack);
	CHECK_BETWEEN("mem_working_set", before->mem_working_set, got->mem_working_set,
		      after->mem_working_set, ws_slack);
	CHECK(got->mem_limit == after->mem_limit ||
	      (got->mem_limit == EBB_UNLIMITED && after->mem_limit > INT64_MAX / 2));
	CHECK_INT(got->oom_kills, after->oom_kills);

	if (!io_is_told)
		return;
#define CHECK_IO(field, slack)                                                                  \
	CHECK_BETWEEN(#field, before->field - io_file_base->field, got->field - io_base->field, \
		      after->field - io_file_base->field, slack)
	CHECK_IO(read_bytes, io_slack * IO_SIZE);
	CHECK_IO(write_bytes, io_slack * IO_SIZE);
	CHECK_IO(read_ops, io_slack);
	CHECK_IO(write_ops, io_slack);
#undef CHECK_IO
}

static char scratch[64];

static void remove_scratch(void *arg)
{
	char path[128];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", scratch, i ? "cache" : "disk");
		unlink(path);
	}
	rmdir(scratch);
}

/*
 * Makes the kernel's v1 I/O counters of the cgroup count on the disk of `path`, both ways; false
 * when it is no disk. Not its parent alone: some kernels look only at the limits of the cgroup
 * itself.
 */
static bool count_io(const struct rig *rig, const char *child, const char *path)
{
	char rule[64], uevent[128], text[16];
	struct stat st;
	unsigned minor;
	int fd;

	if (stat(path, &st) < 0 || major(st.st_dev) == 0)
		return false;
	if (rig->hierarchies.by_controller[CGROUP_IO].version == 2)
		return true;
	/* A partition's disk is its parent directory; throttling knows disks only. */
	minor = minor(st.st_dev);
	snprintf(uevent, sizeof(uevent), "/sys/dev/block/%u:%u/../dev", major(st.st_dev), minor);
	fd = open(uevent, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		unsigned disk_major;

		memset(text, 0, sizeof(text));
		if (read(fd, text, sizeof(text) - 1) > 0)
			sscanf(text, "%u:%u", &disk_major, &minor);
		close(fd);
	}
	snprintf(rule, sizeof(rule), "%u:%u 1099511627776", major(st.st_dev), minor);
	return cgroup_tree_write(&rig->tree, "blkio", child, "blkio.throttle.read_bps_device",
				 rule) == 0 &&
	       cgroup_tree_write(&rig->tree, "blkio", child, "blkio.throttle.write_bps_device",
				 rule) == 0;
}

/*
 * How far the CPU time may be off. On v1 all show the same counter. On v2 `files` shows the
 * kernel's sum, in microseconds; the others add up what the group's entities ran on the run queues,
 * which needs no flush: that is brought up to date at the next tick, and lacks what a task still
 * runs between being throttled and leaving the CPU: microseconds each time, but an emulated CPU may
 * itself wait for a real one just then (36 of 222 ms were seen beside much else).
 */
static uint64_t cpu_slack_of(const struct rig *rig, enum sampler_kind kind, uint64_t used_ns)
{
	if (rig->hierarchies.by_controller[CGROUP_CPU].version == 1)
		return 0;
	if (kind == SAMPLER_FILES)
		return 1000;
	return (getenv("EBB_TEST_EMULATED") ? 100 : 30) * 1000000ULL + used_ns / 50;
}

static void stop_all(const pid_t *pids, int n)
{
	for (int i = 0; i < n; i++)
		kill(pids[i], SIGSTOP);
	/* A disk request under way is waited for before the signal is looked at. */
	sleep_ms(300);
}

static void check_parity(enum sampler_kind kind, const char *name)
{
	static struct rig rig;
	static char cache_path[128], disk_path[128];
	struct ebb_sample base[2], file_base[2];
	const char *const children[2] = {"outer", "outer/inner"};
	const struct hierarchy *hierarchies = rig.hierarchies.by_controller;
	struct container *containers[2];
	struct utsname system;
	pid_t pids[5];
	int n = 0;

	rig_begin(&rig, name, kind, 16);
	bool v2 = hierarchies[CGROUP_CPU].version == 2;
	if (!hierarchies[CGROUP_CPU].mount || !hierarchies[CGROUP_IO].mount ||
	    hierarchies[CGROUP_CPU].version != hierarchies[CGROUP_MEMORY].version ||
	    hierarchies[CGROUP_CPU].version != hierarchies[CGROUP_IO].version)
		SKIP("cpu, memory and io are not of one cgroup version");
	snprintf(scratch, sizeof(scratch), "/var/tmp/ebb-test-XXXXXX");
	CHECK(mkdtemp(scratch));
	test_at_end(remove_scratch, NULL);
	snprintf(cache_path, sizeof(cache_path), "%s/cache", scratch);
	snprintf(disk_path, sizeof(disk_path), "%s/disk", scratch);
	uname(&system);
	io_is_told = v2 || kind != SAMPLER_FILES || blkio_counts_all(system.release);
	for (int i = 0; i < 2; i++) {
		containers[i] = rig_add(&rig, children[i]);
		if (!count_io(&rig, children[i], scratch))
			SKIP("/var/tmp is on no disk that can be throttled");
	}
	/* On v2 a cgroup with children has no processes of its own. */
	if (v2) {
		CHECK_INT(cgroup_tree_mkdir(&rig.tree, "outer/side"), 0);
		CHECK_INT(cgroup_tree_write(&rig.tree, "cpu", "outer", "cpu.max", "6000 20000"), 0);
	} else {
		CHECK_INT(
			cgroup_tree_write(&rig.tree, "cpu", "outer", "cpu.cfs_period_us", "20000"),
			0);
		CHECK_INT(cgroup_tree_write(&rig.tree, "cpu", "outer", "cpu.cfs_quota_us", "6000"),
			  0);
	}
	CHECK_INT(cgroup_tree_write(&rig.tree, "memory", "outer",
				    v2 ? "memory.max" : "memory.limit_in_bytes", "268435456"),
		  0);
	CHECK_INT(sampler_sweep(rig.sampler), 0);
	for (int i = 0; i < 2; i++) {
		CHECK(sampler_read(rig.sampler, containers[i]->slot, &base[i]));
		file_base[i] = read_files(&rig, children[i]);
	}

	pids[n++] = cgroup_tree_spawn(&rig.tree, v2 ? "outer/side" : "outer", spin, NULL);
	pids[n++] = cgroup_tree_spawn(&rig.tree, "outer/inner", spin, NULL);
	pids[n++] = cgroup_tree_spawn(&rig.tree, "outer/inner", touch, NULL);
	pids[n++] = cgroup_tree_spawn(&rig.tree, "outer/inner", cache, cache_path);
	pids[n++] = cgroup_tree_spawn(&rig.tree, "outer/inner", disk, disk_path);
	sleep_ms(300);

	/*
	 * Live. Memory is charged in batches of 64 pages a CPU, and memory.stat may lag by as many
	 * updates; of a cgroup with children (outer) the sampler shows the kernel's own sum, up to
	 * 2 s old. A disk request is counted twice, a moment apart.
	 */
	uint64_t batch = 64 * 4096 * (uint64_t)sysconf(_SC_NPROCESSORS_CONF);

	bool enough[2] = {false, false};
	int least = rounds();

	for (int round = 0; round < least || (!(enough[0] && enough[1]) && round < 3000); round++) {
		int i = round % 2;
		struct ebb_sample before = read_files(&rig, children[i]), got, after;

		CHECK_INT(sampler_sweep(rig.sampler), 0);
		CHECK(sampler_read(rig.sampler, containers[i]->slot, &got));
		after = read_files(&rig, children[i]);
		check_fields(&before, &got, &after, &base[i], &file_base[i],
			     cpu_slack_of(&rig, kind, got.cpu_ns - base[i].cpu_ns), batch,
			     i == 0 ? 24 << 20 : 2 * batch, 1);
		enough[i] =
			(!io_is_told || got.read_bytes - base[i].read_bytes >= 4 * IO_SIZE) &&
			got.mem_charged > 1 << 20 &&
			(i != 0 || (got.nr_throttled > 5 && got.throttled_ns > 20 * 1000000ULL)) &&
			got.cpu_ns - base[i].cpu_ns > 50 * 1000000ULL;
		sleep_ms(5);
	}

	/* Stopped: equal, once the kernel has summed up what it sums up every 2 s. */
	stop_all(pids, n);
	sleep_ms(2500);
	for (int i = 0; i < 2; i++) {
		struct ebb_sample before = read_files(&rig, children[i]), got, after;

		CHECK_INT(sampler_sweep(rig.sampler), 0);
		CHECK(sampler_read(rig.sampler, containers[i]->slot, &got));
		after = read_files(&rig, children[i]);
		check_fields(&before, &got, &after, &base[i], &file_base[i],
			     cpu_slack_of(&rig, kind, got.cpu_ns - base[i].cpu_ns), 0, batch, 0);

		/* The load was what it was meant to be, or the above says little. */
		CHECK(got.cpu_ns - base[i].cpu_ns > 50 * 1000000ULL);
		CHECK(i != 0 || got.nr_throttled > 5);
		CHECK(i != 0 || got.throttled_ns > 10 * 1000000ULL);
		CHECK(got.mem_charged > 1 << 20);
		if (got.mem_working_set >= got.mem_charged)
			TEST_FAIL("%s: no file cache in %llu of %llu, the files say %llu",
				  children[i], (unsigned long long)got.mem_working_set,
				  (unsigned long long)got.mem_charged,
				  (unsigned long long)after.mem_working_set);
		if (!io_is_told)
			continue;
		CHECK(got.write_bytes - base[i].write_bytes >= 4 * IO_SIZE);
		CHECK(got.read_bytes - base[i].read_bytes >= 4 * IO_SIZE);
	}
}

TEST(held_sampler_equals_the_cgroup_files)
{
	check_parity(SAMPLER_HELD, "held");
}

TEST(walk_sampler_equals_the_cgroup_files)
{
	check_parity(SAMPLER_WALK, "walk");
}

TEST(files_sampler_equals_the_cgroup_files)
{
	check_parity(SAMPLER_FILES, "files");
}

TEST_MAIN()
