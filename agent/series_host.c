/* SPDX-License-Identifier: Apache-2.0 */
#include "series_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sampler_text.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define SECTOR 512 /* of /proc/diskstats, whatever the disk's own */

/* --- Texts ------------------------------------------------------------------------------------ */

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line ? line + 1 : NULL;
}

/* As many numbers as there are, at most `n`. */
static size_t take_numbers(const char *text, uint64_t *numbers, size_t n)
{
	size_t taken = 0;

	while (taken < n) {
		text += strspn(text, " ");
		text = take_number(text, &numbers[taken]);
		if (!text)
			break;
		taken++;
	}
	return taken;
}

static struct host_cpu *new_cpu(struct host_reading *reading)
{
	if (reading->n_cpus == reading->size_cpus) {
		size_t size = reading->size_cpus ? 2 * reading->size_cpus : 16;
		struct host_cpu *cpus = realloc(reading->cpus, size * sizeof(*cpus));

		if (!cpus)
			return NULL;
		reading->cpus = cpus;
		reading->size_cpus = size;
	}
	return &reading->cpus[reading->n_cpus++];
}

int host_stat_parse(const char *text, struct host_reading *reading)
{
	bool any = false;

	reading->n_cpus = 0;
	for (const char *line = text; line && !strncmp(line, "cpu", 3); line = next_line(line)) {
		uint64_t id = 0, ticks[8] = {0};
		const char *at = line + 3;
		struct host_cpu cpu;

		if (*at != ' ' && !(at = take_number(at, &id)))
			continue;
		if (take_numbers(at, ticks, ARRAY_SIZE(ticks)) < 4)
			continue;
		cpu = (struct host_cpu){
			.id = (unsigned)id,
			.user = ticks[0],
			.nice = ticks[1],
			.system = ticks[2],
			.idle = ticks[3],
			.iowait = ticks[4],
			.irq = ticks[5],
			.softirq = ticks[6],
			.steal = ticks[7],
		};
		if (line[3] == ' ') {
			reading->total = cpu;
			any = true;
		} else {
			struct host_cpu *own = new_cpu(reading);

			if (!own)
				return -ENOMEM;
			*own = cpu;
		}
	}
	return any && reading->n_cpus ? 0 : -EINVAL;
}

/* "MemFree:   123 kB" */
static bool meminfo_value(const char *text, const char *key, uint64_t *ret_bytes)
{
	size_t len = strlen(key);
	uint64_t kib;

	for (const char *line = text; line; line = next_line(line)) {
		if (strncmp(line, key, len) || line[len] != ':')
			continue;
		if (take_numbers(line + len + 1, &kib, 1) != 1)
			return false;
		*ret_bytes = kib * 1024;
		return true;
	}
	return false;
}

bool host_meminfo_parse(const char *text, struct host_reading *reading)
{
	return meminfo_value(text, "MemTotal", &reading->mem_total) &&
	       meminfo_value(text, "MemFree", &reading->mem_free) &&
	       meminfo_value(text, "MemAvailable", &reading->mem_available) &&
	       meminfo_value(text, "SwapFree", &reading->swap_free);
}

/* "   8       0 sda 1 2 3 ..." */
void host_diskstats_parse(const char *text, host_is_disk_fn is_disk, void *userdata,
			  struct host_reading *reading)
{
	reading->n_disks = 0;
	for (const char *line = text; line; line = next_line(line)) {
		struct host_disk disk = {0};
		uint64_t n[10];
		int at = 0;

		if (sscanf(line, "%*u %*u %31s%n", disk.name, &at) != 1 || !at)
			continue;
		if (take_numbers(line + at, n, ARRAY_SIZE(n)) != ARRAY_SIZE(n))
			continue;
		if (reading->n_disks == HOST_DISKS_MAX || !is_disk(userdata, disk.name))
			continue;
		disk.reads = n[0];
		disk.read_sectors = n[2];
		disk.writes = n[4];
		disk.written_sectors = n[6];
		disk.busy_ms = n[9];
		reading->disks[reading->n_disks++] = disk;
	}
}

/* "  eth0: bytes packets errs drop fifo frame compressed multicast bytes ..." */
void host_net_parse(const char *text, struct host_reading *reading)
{
	reading->n_interfaces = 0;
	for (const char *line = text; line; line = next_line(line)) {
		struct host_interface interface = {0};
		const char *start = line + strspn(line, " "), *colon = strpbrk(start, ":\n");
		uint64_t n[9];

		if (!colon || *colon != ':' || colon - start >= HOST_NAME_MAX_LEN)
			continue;
		if (take_numbers(colon + 1, n, ARRAY_SIZE(n)) != ARRAY_SIZE(n))
			continue;
		if (reading->n_interfaces == HOST_INTERFACES_MAX || !strncmp(start, "veth", 4))
			continue;
		memcpy(interface.name, start, colon - start);
		interface.in_bytes = n[0];
		interface.out_bytes = n[8];
		reading->interfaces[reading->n_interfaces++] = interface;
	}
}

/* --- Formulas --------------------------------------------------------------------------------- */

static double grown(uint64_t before, uint64_t now)
{
	return now > before ? (double)(now - before) : 0;
}

static uint64_t used(const struct host_cpu *cpu)
{
	return cpu->user + cpu->nice + cpu->system + cpu->irq + cpu->softirq + cpu->steal;
}

static double percent(double part, double whole)
{
	return CLAMP(100 * part / whole, 0, 100);
}

static void cpu_points(const struct host_reading *before, const struct host_reading *now,
		       double ticks, host_point_fn fn, void *userdata)
{
	fn(userdata, "sys.cpu.usage", NULL, NULL,
	   percent(grown(used(&before->total), used(&now->total)), ticks * (double)now->n_cpus));
	for (size_t i = 0; i < now->n_cpus; i++) {
		const struct host_cpu *b = NULL, *n = &now->cpus[i];
		char core[16];

		/* CPUs go offline and come back. */
		for (size_t j = 0; j < before->n_cpus && !b; j++)
			if (before->cpus[j].id == n->id)
				b = &before->cpus[j];
		if (!b)
			continue;
		snprintf(core, sizeof(core), "%u", n->id);
		fn(userdata, "sys.cpu.kernel", "core", core,
		   percent(grown(b->system, n->system), ticks));
		fn(userdata, "sys.cpu.user", "core", core,
		   percent(grown(b->user + b->nice, n->user + n->nice), ticks));
		fn(userdata, "sys.cpu.idle", "core", core, percent(grown(b->idle, n->idle), ticks));
		fn(userdata, "sys.cpu.wait", "core", core,
		   percent(grown(b->iowait, n->iowait), ticks));
	}
}

static void disk_points(const struct host_disk *b, const struct host_disk *n, double seconds,
			host_point_fn fn, void *userdata)
{
	fn(userdata, "sys.disk.usage", "disk", n->name,
	   percent(grown(b->busy_ms, n->busy_ms), seconds * 1000));
	fn(userdata, "sys.disk.read.ios", "disk", n->name, grown(b->reads, n->reads) / seconds);
	fn(userdata, "sys.disk.write.ios", "disk", n->name, grown(b->writes, n->writes) / seconds);
	fn(userdata, "sys.disk.read.mb", "disk", n->name,
	   grown(b->read_sectors, n->read_sectors) * SECTOR / seconds / EBB_MIB);
	fn(userdata, "sys.disk.write.mb", "disk", n->name,
	   grown(b->written_sectors, n->written_sectors) * SECTOR / seconds / EBB_MIB);
}

static void interface_points(const struct host_interface *b, const struct host_interface *n,
			     double seconds, host_point_fn fn, void *userdata)
{
	double in = grown(b->in_bytes, n->in_bytes) * 8 / seconds;
	double out = grown(b->out_bytes, n->out_bytes) * 8 / seconds;

	fn(userdata, "sys.net.in.mb", "device", n->name, in / EBB_MIB);
	fn(userdata, "sys.net.out.mb", "device", n->name, out / EBB_MIB);
	/* Speeds are in millions of bits. */
	if (n->speed_mbit)
		fn(userdata, "sys.net.usage", "device", n->name,
		   percent(in + out, (n->half_duplex ? 1e6 : 2e6) * n->speed_mbit));
}

void host_points(const struct host_reading *before, const struct host_reading *now, unsigned hz,
		 host_point_fn fn, void *userdata)
{
	double seconds;

	fn(userdata, "sys.mem.free", NULL, NULL, (double)now->mem_free / EBB_MIB);
	if (now->mem_total)
		fn(userdata, "sys.mem.usage", NULL, NULL,
		   percent(grown(now->mem_available, now->mem_total), (double)now->mem_total));
	fn(userdata, "sys.swap.free", NULL, NULL, (double)now->swap_free / EBB_MIB);
	if (!before || now->at_ns <= before->at_ns)
		return;

	seconds = (double)(now->at_ns - before->at_ns) / EBB_NS_PER_SEC;
	cpu_points(before, now, seconds * hz, fn, userdata);
	for (size_t i = 0; i < now->n_disks; i++)
		for (size_t j = 0; j < before->n_disks; j++)
			if (!strcmp(now->disks[i].name, before->disks[j].name))
				disk_points(&before->disks[j], &now->disks[i], seconds, fn,
					    userdata);
	for (size_t i = 0; i < now->n_interfaces; i++)
		for (size_t j = 0; j < before->n_interfaces; j++)
			if (!strcmp(now->interfaces[i].name, before->interfaces[j].name))
				interface_points(&before->interfaces[j], &now->interfaces[i],
						 seconds, fn, userdata);
}

/* --- Files ------------------------------------------------------------------------------------ */

enum { FILE_STAT, FILE_MEMINFO, FILE_DISKSTATS, FILE_NET, FILES };

struct series_host {
	int fds[FILES];
	struct host_reading readings[2];
	unsigned current;
	bool has_before;
	unsigned hz;
	char *text;
	size_t size;
};

int series_host_new(struct series_host **ret_host)
{
	static const char *const names[FILES] = {"/proc/stat", "/proc/meminfo", "/proc/diskstats",
						 "/proc/net/dev"};
	struct series_host *host = calloc(1, sizeof(*host));

	if (!host)
		return -ENOMEM;
	for (int i = 0; i < FILES; i++)
		host->fds[i] = open(names[i], O_RDONLY | O_CLOEXEC);
	host->hz = (unsigned)sysconf(_SC_CLK_TCK);
	*ret_host = host;
	return 0;
}

void series_host_free(struct series_host *host)
{
	if (!host)
		return;
	for (int i = 0; i < FILES; i++)
		if (host->fds[i] >= 0)
			close(host->fds[i]);
	free(host->readings[0].cpus);
	free(host->readings[1].cpus);
	free(host->text);
	free(host);
}

/* /proc/stat and diskstats grow with the machine. */
static const char *whole_text(struct series_host *host, int file)
{
	size_t used_bytes = 0;

	for (;;) {
		ssize_t n;

		if (used_bytes + 4096 > host->size) {
			size_t size = host->size ? 2 * host->size : 16384;
			char *text = realloc(host->text, size);

			if (!text)
				return NULL;
			host->text = text;
			host->size = size;
		}
		n = pread(host->fds[file], host->text + used_bytes, host->size - used_bytes - 1,
			  (off_t)used_bytes);
		if (n < 0)
			return NULL;
		if (n == 0)
			break;
		used_bytes += (size_t)n;
	}
	host->text[used_bytes] = '\0';
	return host->text;
}

/* Partitions, loops, device mappers and RAM disks have no device of their own. */
static bool is_real_disk(void *userdata, const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/block/%s/device", name);
	return access(path, F_OK) == 0;
}

static void read_speed(struct host_interface *interface)
{
	char path[96], text[32];
	int64_t speed;

	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", interface->name);
	/* Unknown is -1, or no answer at all. */
	if (read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0 && parse_i64(text, &speed) == 0 &&
	    speed > 0 && speed < UINT32_MAX)
		interface->speed_mbit = (unsigned)speed;
	snprintf(path, sizeof(path), "/sys/class/net/%s/duplex", interface->name);
	interface->half_duplex =
		read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0 && !strcmp(text, "half");
}

int series_host_read(struct series_host *host, host_point_fn fn, void *userdata)
{
	struct host_reading *now = &host->readings[!host->current];
	const struct host_reading *before = &host->readings[host->current];
	const char *text;
	int r;

	now->at_ns = now_ns();
	text = whole_text(host, FILE_STAT);
	r = text ? host_stat_parse(text, now) : -EIO;
	if (r < 0)
		return r;
	text = whole_text(host, FILE_MEMINFO);
	if (!text || !host_meminfo_parse(text, now))
		return -EIO;
	text = whole_text(host, FILE_DISKSTATS);
	now->n_disks = now->n_interfaces = 0;
	if (text)
		host_diskstats_parse(text, is_real_disk, NULL, now);
	text = whole_text(host, FILE_NET);
	if (text)
		host_net_parse(text, now);
	for (size_t i = 0; i < now->n_interfaces; i++)
		read_speed(&now->interfaces[i]);
	host_points(host->has_before ? before : NULL, now, host->hz, fn, userdata);
	host->current = !host->current;
	host->has_before = true;
	return 0;
}
