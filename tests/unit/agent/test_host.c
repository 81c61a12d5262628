/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "host.h"

static char dir[64];

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_dir(void *arg)
{
	nftw(dir, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

static void make_root(void)
{
	strcpy(dir, "/tmp/ebb-host-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(remove_dir, NULL);
}

static void put(const char *file, const char *text)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
	}
	_cleanup_file_ FILE *f = fopen(path, "w");
	CHECK(f && fputs(text, f) >= 0);
}

static void link_to(const char *file, const char *target)
{
	char path[512];
	put("sys/dev/block/x", "");
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	CHECK_INT(symlink(target, path), 0);
}

static void put_cpu(unsigned cpu, const char *socket, const char *core)
{
	char file[128];
	snprintf(file, sizeof(file), "sys/devices/system/cpu/cpu%u/topology/physical_package_id",
		 cpu);
	put(file, socket);
	snprintf(file, sizeof(file), "sys/devices/system/cpu/cpu%u/topology/core_id", cpu);
	put(file, core);
}

static struct host host;

static void clear_host(void *arg)
{
	host_clear(&host);
}

static void check_topology(const char *want)
{
	_cleanup_json_ json_t *topology = host_topology(dir, &host.online);
	CHECK(topology);
	_cleanup_free_ char *text = json_dumps(topology, JSON_COMPACT);
	CHECK_STR(text, want);
}

static void read_host(void)
{
	CHECK_INT(host_read(dir, "/proc", &host), 0);
	test_at_end(clear_host, NULL);
}

TEST(two_sockets_with_hyper_threads)
{
	make_root();
	put("sys/devices/system/cpu/online", "0-7\n");
	put("proc/meminfo", "MemTotal:       65793560 kB\nMemFree:         1 kB\n");
	/* As firmware counts: all cores of both sockets first, then their siblings. */
	for (unsigned cpu = 0; cpu < 8; cpu++)
		put_cpu(cpu, cpu / 2 % 2 ? "1\n" : "0\n", cpu % 2 ? "10\n" : "2\n");
	read_host();
	CHECK_INT(host.online.n, 8);
	CHECK(host.mem_bytes == 65793560ULL * 1024);
	check_topology("{\"0\":{\"2\":[0,4],\"10\":[1,5]},\"1\":{\"2\":[2,6],\"10\":[3,7]}}");
}

TEST(holes_and_offline_cpus)
{
	make_root();
	put("sys/devices/system/cpu/online", "0,2-3,9\n");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	for (unsigned cpu = 0; cpu < 10; cpu++) {
		char core[16];
		snprintf(core, sizeof(core), "%u\n", cpu / 2);
		put_cpu(cpu, "0\n", core);
	}
	read_host();
	CHECK_INT(host.online.n, 4);
	CHECK_INT(host.online.cpus[3], 9);
	check_topology("{\"0\":{\"0\":[0],\"1\":[2,3],\"4\":[9]}}");
}

TEST(without_topology_files_there_is_one_socket)
{
	make_root();
	put("sys/devices/system/cpu/online", "0-2");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	put_cpu(1, "-1\n", "-1\n");
	read_host();
	check_topology("{\"0\":{\"0\":[0],\"1\":[1],\"2\":[2]}}");
}

TEST(sockets_are_in_numeric_order)
{
	make_root();
	put("sys/devices/system/cpu/online", "0-2");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	put_cpu(0, "10", "0");
	put_cpu(1, "9", "0");
	put_cpu(2, "10", "1");
	read_host();
	check_topology("{\"9\":{\"0\":[1]},\"10\":{\"0\":[0],\"1\":[2]}}");
}

static void check_nodes(const char *want)
{
	_cleanup_json_ json_t *nodes = host_nodes(dir, &host.online);
	_cleanup_free_ char *text = json_dumps(nodes, JSON_COMPACT);

	CHECK_STR(text, want);
}

TEST(numa_nodes_have_the_online_cpus)
{
	make_root();
	put("sys/devices/system/cpu/online", "0,2-3,9,11\n");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	read_host();
	check_nodes("{}");
	/* Node 4 has memory only, and node 5 is gone when it is looked at. */
	put("sys/devices/system/node/online", "0,2,4-5,10\n");
	put("sys/devices/system/node/node0/cpulist", "0-1,9\n");
	put("sys/devices/system/node/node2/cpulist", "2-3,8\n");
	put("sys/devices/system/node/node4/cpulist", "\n");
	put("sys/devices/system/node/node10/cpulist", "11\n");
	check_nodes("{\"0\":[0,9],\"2\":[2,3],\"10\":[11]}");
}

static void close_fd(void *fd)
{
	close(*(int *)fd);
}

TEST(cpus_that_go_offline_and_come_back_are_noticed)
{
	static int fd;

	make_root();
	put("sys/devices/system/cpu/online", "0-3\n");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	read_host();
	fd = host_watch_online(dir);
	CHECK(fd >= 0);
	test_at_end(close_fd, &fd);
	CHECK_INT(host_check_online(fd, &host), 0);
	put("sys/devices/system/cpu/online", "0,2-3\n");
	CHECK_INT(host_check_online(fd, &host), 1);
	CHECK_INT(host.online.n, 3);
	CHECK_INT(host.online.cpus[1], 2);
	CHECK_INT(host_check_online(fd, &host), 0);
	/* As many, but others. */
	put("sys/devices/system/cpu/online", "0-1,3\n");
	CHECK_INT(host_check_online(fd, &host), 1);
	CHECK_INT(host.online.cpus[1], 1);
	put("sys/devices/system/cpu/online", "rubbish");
	CHECK(host_check_online(fd, &host) < 0);
	put("sys/devices/system/cpu/online", "\n");
	CHECK(host_check_online(fd, &host) < 0);
	CHECK_INT(host.online.n, 3);
	put("sys/devices/system/cpu/online", "0-3\n");
	CHECK_INT(host_check_online(fd, &host), 1);
	CHECK_INT(host.online.n, 4);
}

TEST(the_running_host_can_be_watched)
{
	int r;

	CHECK_INT(host_read(NULL, NULL, &host), 0);
	test_at_end(clear_host, NULL);
	CHECK((r = host_watch_online(NULL)) >= 0);
	/* A file of sysfs can be read again and again. */
	for (int i = 0; i < 3; i++)
		CHECK_INT(host_check_online(r, &host), 0);
	close(r);
}

TEST(unreadable_hosts_are_errors)
{
	make_root();
	CHECK_INT(host_read(dir, "/", &host), -ENOENT);
	put("sys/devices/system/cpu/online", "0-1\n");
	CHECK_INT(host_read(dir, "/", &host), -ENOENT);
	put("proc/meminfo", "nothing\n");
	CHECK_INT(host_read(dir, "/", &host), -EINVAL);
	put("sys/devices/system/cpu/online", "\n");
	CHECK_INT(host_read(dir, "/", &host), -EINVAL);
}

TEST(a_partition_leads_to_its_whole_disk)
{
	make_root();
	put("sys/devices/pci/block/sda/dev", "8:0\n");
	put("sys/devices/pci/block/sda/uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n");
	put("sys/devices/pci/block/sda/sda3/dev", "8:3\n");
	put("sys/devices/pci/block/sda/sda3/partition", "3\n");
	put("sys/devices/pci/block/sda/sda3/uevent", "DEVNAME=sda3\nDEVTYPE=partition\n");
	put("sys/devices/virtual/block/dm-1/dev", "253:1\n");
	put("sys/devices/virtual/block/dm-1/uevent", "MAJOR=253\nDEVNAME=dm-1\n");
	put("sys/devices/pci/block/cciss!c0d0/dev", "104:0\n");
	put("sys/devices/pci/block/cciss!c0d0/uevent", "DEVNAME=cciss/c0d0\n");
	link_to("sys/dev/block/8:0", "../../devices/pci/block/sda");
	link_to("sys/dev/block/8:3", "../../devices/pci/block/sda/sda3");
	link_to("sys/dev/block/253:1", "../../devices/virtual/block/dm-1");
	link_to("sys/dev/block/104:0", "../../devices/pci/block/cciss!c0d0");

	const struct {
		dev_t device, disk;
		const char *name;
	} cases[] = {
		{makedev(8, 3), makedev(8, 0), "/dev/sda"},
		{makedev(8, 0), makedev(8, 0), "/dev/sda"},
		{makedev(253, 1), makedev(253, 1), "/dev/dm-1"},
		{makedev(104, 0), makedev(104, 0), "/dev/cciss/c0d0"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = NULL;
		dev_t disk = 0;
		CHECK_INT(host_disk_of(dir, cases[i].device, &disk, &name), 0);
		CHECK(disk == cases[i].disk);
		CHECK_STR(name, cases[i].name);
	}
	char note[256];
	put("sys/devices/virtual/block/dm-1/dm/name", "vg-root\n");
	host_disk_note(dir, makedev(253, 1), note, sizeof(note));
	CHECK(strstr(note, "a device-mapper volume (vg-root): limits hold for I/O to it"));
	host_disk_note(dir, makedev(8, 0), note, sizeof(note));
	CHECK_STR(note, "");

	dev_t disk = 77;
	char *name = NULL;
	CHECK_INT(host_disk_of(dir, makedev(0, 45), &disk, &name), -ENOENT);
	CHECK(disk == 77 && !name);
}

TEST(no_block_device_no_disk)
{
	make_root();
	put("sys/devices/system/cpu/online", "0");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	read_host();
	CHECK(host.disk == 0 && !host.disk_device);
	CHECK_STR(host.disk_path, "/proc");
}

TEST(the_running_host_can_be_read)
{
	CHECK_INT(host_read(NULL, NULL, &host), 0);
	test_at_end(clear_host, NULL);
	CHECK_INT(host.online.n, sysconf(_SC_NPROCESSORS_ONLN));
	CHECK(host.mem_bytes > 64ULL << 20);
	CHECK_STR(host.disk_path, "/");
	_cleanup_json_ json_t *topology = host_topology(NULL, &host.online);
	size_t n = 0;
	const char *socket, *core;
	json_t *cores, *cpus;
	json_object_foreach(topology, socket, cores)
		json_object_foreach(cores, core, cpus)
			n += json_array_size(cpus);
	CHECK_INT(n, host.online.n);
	/* In a container the node may be missing. */
	struct stat st;
	if (host.disk && stat(host.disk_device, &st) == 0)
		CHECK(S_ISBLK(st.st_mode) && st.st_rdev == host.disk);
}

TEST(a_host_with_512_cpus_of_which_some_are_off)
{
	char core_id[16];
	const json_t *cores;

	make_root();
	put("sys/devices/system/cpu/online", "0-63,128-511\n");
	put("proc/meminfo", "MemTotal: 1024 kB\n");
	for (unsigned cpu = 0; cpu < 512; cpu++) {
		snprintf(core_id, sizeof(core_id), "%u", cpu % 128);
		put_cpu(cpu, cpu % 256 < 128 ? "0\n" : "1\n", core_id);
	}
	read_host();
	CHECK_INT(host.online.n, 448);
	_cleanup_json_ json_t *topology = host_topology(dir, &host.online);
	CHECK_INT(json_object_size(topology), 2);
	CHECK_INT(json_object_size(json_object_get(topology, "0")), 128);
	cores = json_object_get(json_object_get(topology, "0"), "63");
	CHECK_INT(json_array_size(cores), 2);
	CHECK_INT(json_integer_value(json_array_get(cores, 1)), 319);
	/* Its first thread is off. */
	cores = json_object_get(json_object_get(topology, "0"), "64");
	CHECK_INT(json_array_size(cores), 1);
	CHECK_INT(json_integer_value(json_array_get(cores, 0)), 320);
}

TEST_MAIN()
