/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"

static int open_root(const char *sysroot)
{
	int fd = open(sysroot ? sysroot : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_memory(int root, uint64_t *ret_bytes)
{
	char text[16384];
	unsigned long long kib;

	ssize_t n = read_file_at(root, "proc/meminfo", text, sizeof(text));
	if (n < 0)
		return (int)n;
	const char *line = strstr(text, "MemTotal:");
	if (!line || sscanf(line, "MemTotal: %llu kB", &kib) != 1)
		return -EINVAL;
	*ret_bytes = kib * 1024;
	return 0;
}

int host_disk_of(const char *sysroot, dev_t device, dev_t *ret_disk, char **ret_device)
{
	_cleanup_close_ int root = open_root(sysroot);
	if (root < 0)
		return root;

	/* The link's target is .../block/sda/sda1: the whole disk is the directory above. */
	char path[128], text[4096];
	int len =
		snprintf(path, sizeof(path), "sys/dev/block/%u:%u/", major(device), minor(device));
	char *file = path + len;
	size_t left = sizeof(path) - (size_t)len;

	snprintf(file, left, "partition");
	bool partition = read_file_at(root, path, text, sizeof(text)) >= 0;

	unsigned maj, min;
	snprintf(file, left, "%sdev", partition ? "../" : "");
	ssize_t n = read_file_at(root, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (sscanf(text, "%u:%u", &maj, &min) != 2)
		return -EINVAL;

	snprintf(file, left, "%suevent", partition ? "../" : "");
	n = read_file_at(root, path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	const char *name = strstr(text, "DEVNAME=");
	if (!name)
		return -EINVAL;
	name += strlen("DEVNAME=");

	char *device_path;
	if (asprintf(&device_path, "/dev/%.*s", (int)strcspn(name, "\n"), name) < 0)
		return -ENOMEM;
	*ret_device = device_path;
	*ret_disk = makedev(maj, min);
	return 0;
}

void host_disk_note(const char *sysroot, dev_t disk, char *buffer, size_t size)
{
	static const struct {
		const char *file, *what;
	} kinds[] = {
		{"dm/name", "device-mapper volume"},
		{"md/level", "RAID array"},
		{"loop/backing_file", "loop device"},
	};
	char path[128], text[256];

	buffer[0] = '\0';
	_cleanup_close_ int root = open_root(sysroot);
	for (size_t i = 0; root >= 0 && i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), "sys/dev/block/%u:%u/%s", major(disk), minor(disk),
			 kinds[i].file);
		if (read_file_at(root, path, text, sizeof(text)) < 0)
			continue;
		text[strcspn(text, "\n")] = '\0';
		snprintf(
			buffer, size,
			"a %s (%s): limits hold for I/O to it, not for what else its containers do "
			"on the disks below it",
			kinds[i].what, text);
		return;
	}
}

int host_read(const char *sysroot, const char *disk_path, struct host *ret_host)
{
	struct host host = {0};
	char text[16384];
	int r;

	_cleanup_close_ int root = open_root(sysroot);
	if (root < 0)
		return log_error_errno(root, "cannot open %s", sysroot ? sysroot : "/");

	ssize_t n = read_file_at(root, "sys/devices/system/cpu/online", text, sizeof(text));
	if (n < 0)
		return log_error_errno((int)n, "cannot read /sys/devices/system/cpu/online");
	r = cpu_list_parse(text, &host.online);
	if (r < 0 || host.online.n == 0)
		return log_error_errno(r < 0 ? r : EINVAL,
				       "cannot make sense of the online CPUs \"%s\"", text);
	r = read_memory(root, &host.mem_bytes);
	if (r < 0) {
		host_clear(&host);
		return log_error_errno(r, "cannot read MemTotal from /proc/meminfo");
	}

	host.disk_path = strdup(disk_path ? disk_path : "/");
	if (!host.disk_path) {
		host_clear(&host);
		return -ENOMEM;
	}
	/* tmpfs, overlay, NFS and btrfs have device numbers that no block device bears. */
	struct stat st;
	text[0] = '\0';
	if (stat(host.disk_path, &st) < 0)
		log_warning_errno(errno, "no disk limits: cannot look at %s", host.disk_path);
	else if (host_disk_of(sysroot, st.st_dev, &host.disk, &host.disk_device) < 0)
		log_info("no disk limits: %s is not on a block device of its own", host.disk_path);
	else
		host_disk_note(sysroot, host.disk, text, sizeof(text));
	if (host.disk && text[0])
		log_info("%s is on %s, %s", host.disk_path, host.disk_device, text);

	*ret_host = host;
	return 0;
}

void host_clear(struct host *host)
{
	cpu_list_clear(&host->online);
	free(host->disk_path);
	free(host->disk_device);
	*host = (struct host){0};
}

struct place {
	int64_t socket, core;
	unsigned cpu;
};

static int64_t topology_id(int root, unsigned cpu, const char *file, int64_t otherwise)
{
	char path[128], text[32];
	int64_t id;

	snprintf(path, sizeof(path), "sys/devices/system/cpu/cpu%u/topology/%s", cpu, file);
	if (read_file_at(root, path, text, sizeof(text)) < 0 || parse_i64(text, &id) < 0 || id < 0)
		return otherwise;
	return id;
}

static int compare_places(const void *a, const void *b)
{
	const struct place *p = a, *q = b;

	if (p->socket != q->socket)
		return p->socket < q->socket ? -1 : 1;
	if (p->core != q->core)
		return p->core < q->core ? -1 : 1;
	return p->cpu < q->cpu ? -1 : p->cpu > q->cpu;
}

json_t *host_topology(const char *sysroot, const struct cpu_list *online)
{
	_cleanup_close_ int root = open_root(sysroot);
	if (root < 0)
		return NULL;
	_cleanup_free_ struct place *places = calloc(online->n + 1, sizeof(*places));
	_cleanup_json_ json_t *topology = json_object();
	if (!places || !topology)
		return NULL;

	for (size_t i = 0; i < online->n; i++) {
		unsigned cpu = online->cpus[i];
		/* -1 where the firmware does not say: one socket, each CPU a core. */
		places[i] = (struct place){
			.socket = topology_id(root, cpu, "physical_package_id", 0),
			.core = topology_id(root, cpu, "core_id", cpu),
			.cpu = cpu,
		};
	}
	qsort(places, online->n, sizeof(*places), compare_places);

	/* jansson keeps the order of insertion, and consumers rely on the numeric one. */
	for (size_t i = 0; i < online->n; i++) {
		char key[24];
		snprintf(key, sizeof(key), "%lld", (long long)places[i].socket);
		json_t *socket = json_object_get(topology, key);
		if (!socket) {
			socket = json_object();
			if (json_object_set_new(topology, key, socket) < 0)
				return NULL;
		}
		snprintf(key, sizeof(key), "%lld", (long long)places[i].core);
		json_t *core = json_object_get(socket, key);
		if (!core) {
			core = json_array();
			if (json_object_set_new(socket, key, core) < 0)
				return NULL;
		}
		if (json_array_append_new(core, json_integer(places[i].cpu)) < 0)
			return NULL;
	}
	return TAKE_PTR(topology);
}

json_t *host_nodes(const char *sysroot, const struct cpu_list *online)
{
	_cleanup_close_ int root = open_root(sysroot);
	_cleanup_json_ json_t *nodes = json_object();
	struct cpu_list ids = {0};
	char text[16384];
	bool failed = !nodes;

	/* A list of nodes looks like one of CPUs. */
	if (root < 0 ||
	    read_file_at(root, "sys/devices/system/node/online", text, sizeof(text)) < 0 ||
	    cpu_list_parse(text, &ids) < 0)
		return TAKE_PTR(nodes);
	for (size_t i = 0; i < ids.n && !failed; i++) {
		struct cpu_list cpus = {0};
		char path[128], key[24];
		json_t *list;

		snprintf(path, sizeof(path), "sys/devices/system/node/node%u/cpulist", ids.cpus[i]);
		snprintf(key, sizeof(key), "%u", ids.cpus[i]);
		if (read_file_at(root, path, text, sizeof(text)) < 0 ||
		    cpu_list_parse(text, &cpus) < 0)
			continue;
		list = json_array();
		for (size_t j = 0; list && j < cpus.n; j++)
			if (cpu_list_contains(online, cpus.cpus[j]))
				failed |=
					json_array_append_new(list, json_integer(cpus.cpus[j])) < 0;
		failed |= !list;
		if (json_array_size(list))
			failed |= json_object_set(nodes, key, list) < 0;
		json_decref(list);
		cpu_list_clear(&cpus);
	}
	cpu_list_clear(&ids);
	return failed ? NULL : TAKE_PTR(nodes);
}

int host_watch_online(const char *sysroot)
{
	_cleanup_close_ int root = open_root(sysroot);
	int fd;

	if (root < 0)
		return root;
	fd = openat(root, "sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int host_check_online(int fd, struct host *host)
{
	struct cpu_list online = {0};
	char text[16384];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	int r;

	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	r = cpu_list_parse(text, &online);
	if (r >= 0 && online.n == 0)
		r = -EINVAL;
	if (r < 0 || (online.n == host->online.n && memcmp(online.cpus, host->online.cpus,
							   online.n * sizeof(*online.cpus)) == 0)) {
		cpu_list_clear(&online);
		return r < 0 ? r : 0;
	}
	cpu_list_clear(&host->online);
	host->online = online;
	return 1;
}
