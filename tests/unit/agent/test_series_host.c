/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <time.h>

#include "series_host.h"
#include "test.h"

static struct host_reading before, now;

static void end(void *arg)
{
	free(before.cpus);
	free(now.cpus);
	before = now = (struct host_reading){0};
}

struct points {
	struct {
		char metric[32], key[16], tag[32];
		double value;
	} all[256];
	size_t n;
};

static void collect(void *userdata, const char *metric, const char *key, const char *tag,
		    double value)
{
	struct points *points = userdata;

	if (points->n == 256)
		return;
	snprintf(points->all[points->n].metric, 32, "%s", metric);
	snprintf(points->all[points->n].key, 16, "%s", key ? key : "");
	snprintf(points->all[points->n].tag, 32, "%s", tag ? tag : "");
	points->all[points->n++].value = value;
}

static bool has(const struct points *points, const char *metric, const char *tag)
{
	for (size_t i = 0; i < points->n; i++)
		if (!strcmp(points->all[i].metric, metric) && !strcmp(points->all[i].tag, tag))
			return true;
	return false;
}

static double value(const struct points *points, const char *metric, const char *key,
		    const char *tag)
{
	for (size_t i = 0; i < points->n; i++)
		if (!strcmp(points->all[i].metric, metric) && !strcmp(points->all[i].key, key) &&
		    !strcmp(points->all[i].tag, tag))
			return points->all[i].value;
	TEST_FAIL("no %s{%s=%s}", metric, key, tag);
}

TEST(cpus_are_read_and_the_lines_after_them_are_not)
{
	test_at_end(end, NULL);
	CHECK_INT(host_stat_parse("cpu  30 2 10 200 7 1 3 4 9 0\n"
				  "cpu0 10 1 5 100 3 1 2 4 9 0\n"
				  "cpu11 20 1 5 100 4 0 1 0 0 0\n"
				  "intr 5 6 7\nctxt 77\ncpufreq 1 2 3 4\n",
				  &now),
		  0);
	CHECK_INT(now.n_cpus, 2);
	CHECK_INT(now.total.user, 30);
	CHECK_INT(now.total.steal, 4);
	CHECK_INT(now.cpus[1].id, 11);
	CHECK_INT(now.cpus[1].iowait, 4);
	CHECK_INT(now.cpus[0].softirq, 2);
	CHECK_INT(host_stat_parse("", &now), -EINVAL);
	CHECK_INT(host_stat_parse("cpu  x\ncpu0 1 2\n", &now), -EINVAL);
}

TEST(memory_is_in_bytes)
{
	CHECK(host_meminfo_parse("MemTotal:       16000 kB\nMemFree:         1000 kB\n"
				 "MemAvailable:    6000 kB\nBuffers: 1 kB\nSwapTotal: 0 kB\n"
				 "SwapFree:         512 kB\n",
				 &now));
	CHECK_INT(now.mem_total, 16000 * 1024);
	CHECK_INT(now.mem_available, 6000 * 1024);
	CHECK_INT(now.swap_free, 512 * 1024);
	CHECK(!host_meminfo_parse("MemTotal: 1 kB\nMemFreeX: 1 kB\n", &now));
}

static bool whole(void *userdata, const char *name)
{
	return !strcmp(name, "vda") || !strcmp(name, "nvme0n1");
}

TEST(only_whole_real_disks_are_read)
{
	host_diskstats_parse("   8       0 vda 11 1 12 3 14 5 16 7 0 18 19 0 0 0 0\n"
			     "   8       1 vda1 11 1 12 3 14 5 16 7 0 18 19\n"
			     " 259       0 nvme0n1 1 0 2 0 3 0 4 0 0 5 0 0 0 0 0 0 0\n"
			     " 253       0 dm-0 1 0 2 0 3 0 4 0 0 5 0\n"
			     " 254       0 broken 1 0\n",
			     whole, NULL, &now);
	CHECK_INT(now.n_disks, 2);
	CHECK_STR(now.disks[0].name, "vda");
	CHECK_INT(now.disks[0].reads, 11);
	CHECK_INT(now.disks[0].read_sectors, 12);
	CHECK_INT(now.disks[0].writes, 14);
	CHECK_INT(now.disks[0].written_sectors, 16);
	CHECK_INT(now.disks[0].busy_ms, 18);
	CHECK_INT(now.disks[1].busy_ms, 5);
}

TEST(interfaces_are_read_but_for_the_containers_cables)
{
	host_net_parse("Inter-|   Receive                    |  Transmit\n"
		       " face |bytes    packets errs drop fifo frame compressed multicast|bytes\n"
		       "    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n"
		       "  eth0:123456789 5 0 0 0 0 0 0 42 1 0 0 0 0 0 0\n"
		       "vethab12: 9 5 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n",
		       &now);
	CHECK_INT(now.n_interfaces, 2);
	CHECK_STR(now.interfaces[1].name, "eth0");
	CHECK_INT(now.interfaces[1].in_bytes, 123456789);
	CHECK_INT(now.interfaces[1].out_bytes, 42);
}

TEST(the_first_time_only_what_is_no_rate_is_told)
{
	struct points points = {.n = 0};

	test_at_end(end, NULL);
	now = (struct host_reading){.at_ns = 5,
				    .mem_total = 8 << 20,
				    .mem_free = 2 << 20,
				    .mem_available = 6 << 20,
				    .swap_free = 1 << 20};
	host_points(NULL, &now, 100, collect, &points);
	CHECK_INT(points.n, 3);
	CHECK_NEAR(value(&points, "sys.mem.free", "", ""), 2, 1e-9);
	CHECK_NEAR(value(&points, "sys.mem.usage", "", ""), 25, 1e-9); /* what cannot be had */
	CHECK_NEAR(value(&points, "sys.swap.free", "", ""), 1, 1e-9);
}

TEST(rates_follow_the_old_formulas_but_for_their_defects)
{
	struct points points = {.n = 0};

	test_at_end(end, NULL);
	before.at_ns = 1000000000;
	now.at_ns = 6000000000; /* 5 s: 500 ticks */
	CHECK_INT(host_stat_parse("cpu  0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n"
				  "cpu1 1000 0 0 0 0 0 0 0\n",
				  &before),
		  0);
	CHECK_INT(host_stat_parse("cpu  100 50 60 600 90 10 20 30\n"
				  "cpu0 100 50 60 200 90 0 0 0\ncpu1 1000 0 0 400 0 0 0 0\n"
				  "cpu2 7 7 7 7 7 7 7 7\n",
				  &now),
		  0);
	now.n_cpus = 2; /* cpu2 just came online */
	before.disks[0] = (struct host_disk){"vda", 100, 1000, 200, 2000, 0};
	now.disks[0] = (struct host_disk){"vda", 150, 1000 + 10 * 2048, 210, 2000 + 5 * 2048, 2500};
	now.disks[1] = (struct host_disk){"vdb", 1, 1, 1, 1, 1};
	before.n_disks = 1;
	now.n_disks = 2;
	before.interfaces[0] = (struct host_interface){"eth0", 0, 0, 100, false};
	now.interfaces[0] = (struct host_interface){"eth0", 5 << 20, 10 << 20, 100, false};
	before.interfaces[1] = (struct host_interface){"lo", 0, 0, 0, false};
	now.interfaces[1] = (struct host_interface){"lo", 5 << 20, 5 << 20, 0, false};
	before.n_interfaces = now.n_interfaces = 2;
	host_points(&before, &now, 100, collect, &points);

	/* user, nice, system, irq, softirq and steal; not iowait: 270 of 1,000 ticks. */
	CHECK_NEAR(value(&points, "sys.cpu.usage", "", ""), 27, 1e-9);
	CHECK_NEAR(value(&points, "sys.cpu.user", "core", "0"), 30, 1e-9);
	CHECK_NEAR(value(&points, "sys.cpu.kernel", "core", "0"), 12, 1e-9);
	CHECK_NEAR(value(&points, "sys.cpu.idle", "core", "0"), 40, 1e-9);
	CHECK_NEAR(value(&points, "sys.cpu.wait", "core", "0"), 18, 1e-9);
	CHECK_NEAR(value(&points, "sys.cpu.idle", "core", "1"), 80, 1e-9);
	CHECK(!has(&points, "sys.cpu.user", "2"));
	CHECK_NEAR(value(&points, "sys.disk.usage", "disk", "vda"), 50, 1e-9);
	CHECK_NEAR(value(&points, "sys.disk.read.ios", "disk", "vda"), 10, 1e-9); /* a second */
	CHECK_NEAR(value(&points, "sys.disk.write.ios", "disk", "vda"), 2, 1e-9);
	CHECK_NEAR(value(&points, "sys.disk.read.mb", "disk", "vda"), 2, 1e-9);
	CHECK_NEAR(value(&points, "sys.disk.write.mb", "disk", "vda"), 1, 1e-9);
	CHECK(!has(&points, "sys.disk.usage", "vdb"));
	CHECK_NEAR(value(&points, "sys.net.in.mb", "device", "eth0"), 8, 1e-9);
	CHECK_NEAR(value(&points, "sys.net.out.mb", "device", "eth0"), 16, 1e-9);
	CHECK_NEAR(value(&points, "sys.net.usage", "device", "eth0"),
		   100 * 24 * 1.048576 / (2 * 100), 1e-9);
	CHECK_NEAR(value(&points, "sys.net.in.mb", "device", "lo"), 8, 1e-9);
	CHECK(!has(&points, "sys.net.usage", "lo"));
}

TEST(half_duplex_links_share_their_speed)
{
	struct points points = {.n = 0};

	test_at_end(end, NULL);
	before.at_ns = 1000000000;
	now.at_ns = 2000000000;
	now.interfaces[0] = (struct host_interface){"eth0", 125000, 125000, 10, true};
	before.interfaces[0] = (struct host_interface){"eth0", 0, 0, 10, true};
	before.n_interfaces = now.n_interfaces = 1;
	host_points(&before, &now, 100, collect, &points);
	CHECK_NEAR(value(&points, "sys.net.usage", "device", "eth0"), 20, 1e-9);
}

TEST(this_machine_can_be_read)
{
	struct series_host *host;
	struct points first = {.n = 0}, second = {.n = 0};
	double sum = 0;

	CHECK_INT(series_host_new(&host), 0);
	CHECK_INT(series_host_read(host, collect, &first), 0);
	nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
	CHECK_INT(series_host_read(host, collect, &second), 0);
	series_host_free(host);
	CHECK_INT(first.n, 3);
	CHECK(value(&second, "sys.mem.free", "", "") > 0);
	CHECK(value(&second, "sys.mem.usage", "", "") > 0);
	CHECK(value(&second, "sys.cpu.usage", "", "") >= 0);
	for (size_t i = 0; i < second.n; i++)
		if (!strcmp(second.all[i].metric, "sys.cpu.idle"))
			sum += second.all[i].value;
	CHECK(sum >= 0);
	CHECK(has(&second, "sys.net.in.mb", "lo"));
}

TEST_MAIN()
