/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <sys/sysmacros.h>

#include "resources.h"

static char path[] = "/", device[] = "/dev/sdb";
static unsigned ids[] = {0, 1, 2, 3};
static struct host host;
static struct limits limits;

static void reset(void)
{
	host = (struct host){
		.online = {.cpus = ids, .n = 4},
		.disk = makedev(8, 16),
		.disk_path = path,
		.disk_device = device,
	};
	limits = (struct limits){
		.has_cpu = true,
		.has_cpuset = true,
		.has_mem = true,
		.has_disk = true,
		.cpu = {.quota_us = 150000,
			.period_us = 100000,
			.cpus = "0-1",
			.effective_cpus = "0-1",
			.n_effective = 2},
		.mem_bytes = 4096 * EBB_MIB,
		.disk = {.read_bps = 100 * EBB_MIB, .write_bps = LIMIT_NONE},
	};
}

static void check(unsigned wanted, const char *want)
{
	json_t *json = resources_to_json(&limits, &host, wanted);
	char *text = json_dumps(json, JSON_COMPACT), copy[1024];

	json_decref(json);
	CHECK(text);
	snprintf(copy, sizeof(copy), "%s", text);
	free(text);
	for (char *p = copy; *p; p++)
		if (*p == '"')
			*p = '\'';
	CHECK_STR(copy, want);
}

TEST(resources_in_full)
{
	reset();
	check(RESOURCES_ALL,
	      "{'cpu':{'cpu_allowance_limit':150.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':150.0},'mem':{'mem_limit':4096.0,'unit':'M'},"
	      "'disk_read':{'mountpoint':'/','device_path':'/dev/sdb','major':'8','minor':'16',"
	      "'unit':'MiB/s','disk_read_limit':100},"
	      "'disk_write':{'mountpoint':'/','device_path':'/dev/sdb','major':'8','minor':'16',"
	      "'unit':'MiB/s','disk_write_limit':-1},'net':{}}");
}

TEST(resources_as_asked)
{
	reset();
	check(0, "{}");
	check(1 << EBB_MEM, "{'mem':{'mem_limit':4096.0,'unit':'M'}}");
	check(1 << EBB_NET | 1 << EBB_ENERGY, "{'net':{},'energy':{}}");
}

TEST(resources_unlimited)
{
	reset();
	limits.cpu.quota_us = LIMIT_NONE;
	limits.mem_bytes = LIMIT_NONE;
	check(1 << EBB_CPU | 1 << EBB_MEM,
	      "{'cpu':{'cpu_allowance_limit':-1.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':200.0},'mem':{'mem_limit':-1.0,'unit':'unlimited'}}");
}

TEST(resources_effective_limit_is_the_lower)
{
	reset();
	limits.cpu.quota_us = 400000;
	check(1 << EBB_CPU,
	      "{'cpu':{'cpu_allowance_limit':400.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':200.0}}");
	/* Per another period; a cpuset that only inherits. */
	limits.cpu.quota_us = 25000;
	limits.cpu.period_us = 50000;
	limits.cpu.cpus[0] = '\0';
	check(1 << EBB_CPU,
	      "{'cpu':{'cpu_allowance_limit':50.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':50.0}}");
}

TEST(resources_that_the_host_lacks)
{
	reset();
	limits.has_cpuset = false;
	limits.has_mem = false;
	host.disk = 0;
	check(RESOURCES_ALL,
	      "{'cpu':{'cpu_allowance_limit':150.0,'cpu_num':'','effective_num_cpus':4,"
	      "'effective_cpu_limit':150.0},'mem':{},'disk_read':{},'disk_write':{},'net':{}}");
}

TEST(resources_net)
{
	reset();
	limits.has_net = true;
	limits.net = (struct net_limits){.bps = 12500000, .device = "veth6FJXD8", .inside = "eth0"};
	check(1 << EBB_NET, "{'net':{'device_name_in_container':'eth0',"
			    "'device_name_in_host':'veth6FJXD8','net_limit':100,'unit':'Mbit'}}");
	limits.net.bps = 62500;
	check(1 << EBB_NET, "{'net':{'device_name_in_container':'eth0',"
			    "'device_name_in_host':'veth6FJXD8','net_limit':0.5,'unit':'Mbit'}}");
	limits.net.bps = LIMIT_NONE;
	check(1 << EBB_NET,
	      "{'net':{'device_name_in_container':'eth0',"
	      "'device_name_in_host':'veth6FJXD8','net_limit':-1,'unit':'unlimited'}}");
}

TEST(resources_beside_the_limits)
{
	reset();
	limits.has_more = 1U << LIMIT_BURST | 1U << LIMIT_WEIGHT | 1U << LIMIT_MEM_HIGH |
			  1U << LIMIT_MEM_MIN | 1U << LIMIT_READ_IOPS | 1U << LIMIT_WRITE_IOPS;
	limits.cpu.burst_us = 12500;
	limits.cpu.weight = 79;
	limits.mem_high = LIMIT_NONE;
	limits.mem_min = 64 * EBB_MIB;
	limits.disk.read_iops = 120;
	limits.disk.write_iops = LIMIT_NONE;
	check(1 << EBB_CPU | 1 << EBB_MEM,
	      "{'cpu':{'cpu_allowance_limit':150.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':150.0,'cpu_weight':79,'cpu_burst':12.5},"
	      "'mem':{'mem_limit':4096.0,'unit':'M','mem_high':-1,'mem_min':64}}");
	check(1 << EBB_DISK_READ,
	      "{'disk_read':{'mountpoint':'/','device_path':'/dev/sdb','major':'8','minor':'16',"
	      "'unit':'MiB/s','disk_read_limit':100,'disk_read_iops':120}}");
	check(1 << EBB_DISK_WRITE,
	      "{'disk_write':{'mountpoint':'/','device_path':'/dev/sdb','major':'8','minor':'16',"
	      "'unit':'MiB/s','disk_write_limit':-1,'disk_write_iops':-1}}");
}

TEST(resources_by_weight)
{
	reset();
	limits.cpu.by_weight = true;
	limits.cpu.weight = 250;
	/* A quota that is left from before still is the limit. */
	check(1 << EBB_CPU,
	      "{'cpu':{'cpu_allowance_limit':150.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':150.0,'cpu_mode':'weight'}}");
	limits.cpu.quota_us = LIMIT_NONE;
	check(1 << EBB_CPU,
	      "{'cpu':{'cpu_allowance_limit':250.0,'cpu_num':'0-1','effective_num_cpus':2,"
	      "'effective_cpu_limit':200.0,'cpu_mode':'weight'}}");
}

TEST(steps)
{
	struct shrink_steps some = {.n = 2,
				    .steps = {{SHRINK_RECLAIM, 3, 96 * EBB_MIB, 0.0341234, NULL},
					      {SHRINK_BACK_OFF, 1, 80 * EBB_MIB, 0, "it hurts"}}};
	json_t *json = resources_steps_to_json(&some);
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	CHECK_STR(text,
		  "[{\"rung\":\"reclaim\",\"mib\":96.0,\"ms\":34.122999999999998,\"times\":3},"
		  "{\"rung\":\"back off\",\"mib\":80.0,\"ms\":0.0,\"why\":\"it hurts\"}]");
	free(text);
}

TEST(resources_with_pressure)
{
	struct container *container;
	json_t *json;

	reset();
	CHECK_INT(container_new(1, "c", "c", "cgroup", &container), 0);
	container->pressure[PRESSURE_CPU] = (struct pressure){1500000, 0};
	container->pressure[PRESSURE_IO] = (struct pressure){2000000, 500000};
	container->has_pressure = 1U << PRESSURE_CPU | 1U << PRESSURE_IO;
	json = resources_to_json(&limits, &host, 1 << EBB_MEM | 1 << EBB_DISK_READ | 1 << EBB_NET);
	resources_add_pressure(json, container);
	CHECK(!json_object_get(json_object_get(json, "mem"), "pressure"));
	CHECK(!json_object_get(json, "cpu"));
	CHECK_INT(json_object_size(json_object_get(json, "net")), 0);
	const json_t *pressure = json_object_get(json_object_get(json, "disk_read"), "pressure");
	CHECK(json_real_value(json_object_get(pressure, "some_s")) == 2.0);
	CHECK(json_real_value(json_object_get(pressure, "full_s")) == 0.5);
	json_decref(json);
	container_free(container);
}

TEST_MAIN()
