/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "seed.h"
#include "test.h"

#include <errno.h>

#include "limit_order.h"
#include "ebb/units.h"

static struct cpu_list online;
static struct limit_order order;
static char message[512];

/* Parses `body` (' for ") on a host with CPUs 0-3 and 6. */
static int read_order(const char *body)
{
	char text[1024];
	json_error_t error;

	snprintf(text, sizeof(text), "%s", body);
	requote(text);
	cpu_list_clear(&online);
	CHECK_INT(cpu_list_parse("0-3,6", &online), 0);
	json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!json)
		TEST_FAIL("%s in %s", error.text, text);
	memset(&order, 0xaa, sizeof(order));
	message[0] = '\0';
	int r = limit_order_parse(json, &online, &order, message, sizeof(message));
	json_decref(json);
	cpu_list_clear(&online);
	return r;
}

static void refused(const char *body, const char *mention)
{
	CHECK_INT(read_order(body), -EINVAL);
	if (!strstr(message, mention))
		TEST_FAIL("%s: \"%s\" does not mention \"%s\"", body, message, mention);
	/* Untouched on failure. */
	CHECK_INT(order.asked, 0xaaaaaaaa);
}

TEST(order_units)
{
	CHECK_INT(
		read_order(
			"{'cpu':{'cpu_allowance_limit':150},'mem':{'mem_limit':512},"
			"'disk_read':{'disk_read_limit':10},'disk_write':{'disk_write_limit':20}}"),
		0);
	CHECK_INT(order.asked,
		  1 << LIMIT_QUOTA | 1 << LIMIT_MEM | 1 << LIMIT_DISK_READ | 1 << LIMIT_DISK_WRITE);
	CHECK_INT(order.value[LIMIT_QUOTA], 150000);
	CHECK_INT(order.value[LIMIT_MEM], 512 * EBB_MIB);
	CHECK_INT(order.value[LIMIT_DISK_READ], 10 * EBB_MIB);
	CHECK_INT(order.value[LIMIT_DISK_WRITE], 20 * EBB_MIB);
}

TEST(order_takes_numeric_strings_and_fractions)
{
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':'12.5'},'mem':{'mem_limit':'4096'}}"),
		  0);
	CHECK_INT(order.value[LIMIT_QUOTA], 12500);
	CHECK_INT(order.value[LIMIT_MEM], 4096 * EBB_MIB);
	CHECK_INT(read_order("{'disk_read':{'disk_read_limit':0.5}}"), 0);
	CHECK_INT(order.value[LIMIT_DISK_READ], EBB_MIB / 2);
}

TEST(order_minus_one_is_unlimited)
{
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':-1,'cpu_num':-1},"
			     "'mem':{'mem_limit':'-1'},'disk_write':{'disk_write_limit':-1}}"),
		  0);
	CHECK(order.value[LIMIT_QUOTA] == LIMIT_NONE);
	CHECK(order.value[LIMIT_MEM] == LIMIT_NONE);
	CHECK(order.value[LIMIT_DISK_WRITE] == LIMIT_NONE);
	CHECK(order.asked & 1 << LIMIT_CPUS);
	CHECK_STR(order.cpus, "");
}

TEST(order_cpus)
{
	CHECK_INT(read_order("{'cpu':{'cpu_num':'0-2,6'}}"), 0);
	CHECK_STR(order.cpus, "0-2,6");
	CHECK_INT(order.asked, 1 << LIMIT_CPUS);
	CHECK_INT(read_order("{'cpu':{'cpu_num':3}}"), 0);
	CHECK_STR(order.cpus, "3");
	CHECK_INT(read_order("{'cpu':{'cpu_num':'2'}}"), 0);
	CHECK_STR(order.cpus, "2");
	refused("{'cpu':{'cpu_num':'4'}}", "CPU 4 is not online here; online are 0-3,6");
	refused("{'cpu':{'cpu_num':''}}", "names no CPU");
	refused("{'cpu':{'cpu_num':'0-'}}", "must be a list");
	refused("{'cpu':{'cpu_num':'a'}}", "must be a list");
	refused("{'cpu':{'cpu_num':1.5}}", "must be a list");
	refused("{'cpu':{'cpu_num':[0]}}", "must be a list");
	refused("{'cpu':{'cpu_num':'0\\u0000,1'}}", "must be a list");
	refused("{'cpu':{'cpu_num':-2}}", "must be a list");
}

/* Every second CPU up to `below`: nothing to be shortened to ranges. */
static void every_second(unsigned below, char *text, size_t size)
{
	size_t at = 0;

	for (unsigned cpu = 0; cpu < below; cpu += 2)
		at += snprintf(text + at, size - at, cpu ? ",%u" : "%u", cpu);
}

static int parse_with(const char *cpus, const char *are_online)
{
	struct cpu_list list;
	json_t *body = json_pack("{s:{s:s}}", "cpu", "cpu_num", cpus);
	int r;

	CHECK(body);
	CHECK_INT(cpu_list_parse(are_online, &list), 0);
	memset(&order, 0xaa, sizeof(order));
	r = limit_order_parse(body, &list, &order, message, sizeof(message));
	cpu_list_clear(&list);
	json_decref(body);
	return r;
}

TEST(order_cpus_of_big_hosts)
{
	static char sparse[32768];

	CHECK_INT(parse_with("0-511", "0-511"), 0);
	CHECK_STR(order.cpus, "0-511");
	CHECK_INT(parse_with("4-3000", "0-4095"), 0);
	CHECK_STR(order.cpus, "4-3000");
	CHECK_INT(parse_with("300,299,64,65,0", "0-511"), 0);
	CHECK_STR(order.cpus, "0,64-65,299-300");
	CHECK_INT(parse_with("512", "0-511"), -EINVAL);
	CHECK_STR(message, "CPU 512 is not online here; online are 0-511");

	every_second(512, sparse, sizeof(sparse));
	CHECK_INT(parse_with(sparse, sparse), 0);
	CHECK_STR(order.cpus, sparse);
	CHECK_INT(parse_with("1", sparse), -EINVAL);
	CHECK_STR(message, "CPU 1 is not online here; online are 256 of 0-510");
	every_second(4096, sparse, sizeof(sparse));
	CHECK_INT(parse_with(sparse, sparse), -EINVAL);
	CHECK(strstr(message, "without a neighbour"));
}

TEST(order_quota_of_512_cores)
{
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':51200}}"), 0);
	CHECK_INT(order.value[LIMIT_QUOTA], 51200000);
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':409600}}"), 0);
	CHECK_INT(order.value[LIMIT_QUOTA], 409600000);
}

TEST(order_bounds)
{
	refused("{'mem':{'mem_limit':63}}", "64 MiB is the least");
	refused("{'mem':{'mem_limit':63.999}}", "64 MiB is the least");
	refused("{'mem':{'mem_limit':0}}", "64 MiB is the least");
	CHECK_INT(read_order("{'mem':{'mem_limit':64}}"), 0);
	refused("{'mem':{'mem_limit':-2}}", "only -1");
	refused("{'mem':{'mem_limit':-0.5}}", "only -1");
	refused("{'mem':{'mem_limit':1e300}}", "too high");
	refused("{'cpu':{'cpu_allowance_limit':0}}", "at least 1 of shares");
	refused("{'cpu':{'cpu_allowance_limit':0.99}}", "at least 1 of shares");
	refused("{'cpu':{'cpu_allowance_limit':-100}}", "only -1");
	refused("{'cpu':{'cpu_allowance_limit':1e9}}", "too high");
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':1}}"), 0);
	/* The kernel's 0 would be "no limit". */
	refused("{'disk_read':{'disk_read_limit':0}}", "more than 0 MiB/s");
	refused("{'disk_write':{'disk_write_limit':-3}}", "only -1");
}

TEST(order_not_a_number)
{
	refused("{'mem':{'mem_limit':'4096M'}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':''}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':'nan'}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':'inf'}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':null}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':true}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':{}}}", "must be a number of MiB");
	refused("{'mem':{'mem_limit':'64\\u0000'}}", "must be a number of MiB");
}

TEST(order_unknown_parts)
{
	refused("{'gpu':{'gpu_limit':1}}", "unknown resource \"gpu\"");
	refused("{'cpu':{'cpu_shares':1}}", "unknown field \"cpu_shares\" in cpu");
	refused("{'mem':{'mem_limit':100,'unit':'M'}}", "unknown field \"unit\" in mem");
	refused("{'mem':{'cpu_num':'0'}}", "unknown field \"cpu_num\" in mem");
	refused("{'cpu':200}", "must be an object");
	refused("{'cpu':null}", "must be an object");
	refused("{'cpu':{}}", "holds no limit");
	refused("{}", "asks for nothing");
	refused("[]", "must be a JSON object");
	refused("{'energy':{'energy_limit':60}}", "energy cannot be limited");
}

TEST(order_net)
{
	CHECK_INT(read_order("{'net':{'net_limit':100,'device_name_in_host':'veth0'}}"), 0);
	CHECK_INT(order.asked, 1 << LIMIT_NET);
	CHECK_INT(order.value[LIMIT_NET], 12500000);
	CHECK_STR(order.device, "veth0");
	CHECK_INT(read_order("{'net':{'net_limit':'0.5'}}"), 0);
	CHECK_INT(order.value[LIMIT_NET], 62500);
	CHECK_STR(order.device, "");
	CHECK_INT(read_order("{'net':{'net_limit':-1}}"), 0);
	CHECK(order.value[LIMIT_NET] == LIMIT_NONE);

	refused("{'net':{'net_limit':0}}", "at least 0.01 Mbit/s");
	refused("{'net':{'net_limit':1e8}}", "too high");
	refused("{'net':{'net_limit':-2}}", "negative");
	refused("{'net':{'net_limit':'fast'}}", "number of Mbit/s");
	refused("{'net':{}}", "holds no limit");
	refused("{'net':{'device_name_in_host':'veth0'}}", "add net_limit");
	refused("{'net':{'device_name_in_host':'veth0'},'cpu':{'cpu_num':'0'}}", "add net_limit");
	refused("{'net':{'net_limit':1,'device_name_in_host':''}}", "name of an interface");
	refused("{'net':{'net_limit':1,'device_name_in_host':'sixteen-letters-'}}",
		"name of an interface");
	refused("{'net':{'net_limit':1,'device_name_in_host':7}}", "name of an interface");
	refused("{'net':{'net_limit':1,'device_name_in_host':'lo\\u0000'}}",
		"name of an interface");
	refused("{'net':{'net_limit':1,'device_name_in_container':'eth0'}}",
		"unknown field \"device_name_in_container\" in net");
}

static void refused_here(const struct limits *present, const char *mention)
{
	CHECK_INT(limit_order_supported(&order, present, 0, message, sizeof(message)), -EOPNOTSUPP);
	if (!strstr(message, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", message, mention);
}

TEST(order_net_support)
{
	struct limits present = {.no_net = "it is in the host's network namespace"};

	CHECK_INT(read_order("{'net':{'net_limit':100}}"), 0);
	refused_here(&present, "host's network namespace; leave net out");
	present = (struct limits){
		.has_net = true,
		.net = {.bps = LIMIT_NONE, .device = "veth1", .inside = "eth0"},
	};
	CHECK_INT(limit_order_supported(&order, &present, 0, message, sizeof(message)), 0);

	CHECK_INT(read_order("{'net':{'net_limit':100,'device_name_in_host':'veth0'}}"), 0);
	refused_here(&present,
		     "veth0 is not the container's interface on this host, which is veth1");
	CHECK_INT(read_order("{'net':{'net_limit':100,'device_name_in_host':'veth1'}}"), 0);
	CHECK_INT(limit_order_supported(&order, &present, 0, message, sizeof(message)), 0);

	/* Another's qdisc is not touched; to remove a limit that is not there needs no touch. */
	snprintf(present.net.foreign, sizeof(present.net.foreign), "htb");
	refused_here(&present, "tc qdisc del dev veth1 root");
	CHECK_INT(read_order("{'net':{'net_limit':-1}}"), 0);
	CHECK_INT(limit_order_supported(&order, &present, 0, message, sizeof(message)), 0);
}

TEST(order_net_plan)
{
	struct limits present = {.has_net = true, .net = {.bps = 12500000}};
	struct limit_step steps[LIMIT_KIND_MAX];

	CHECK_INT(read_order("{'net':{'net_limit':100}}"), 0);
	CHECK_INT(limit_order_plan(&order, &present, steps), 0);
	CHECK_INT(read_order("{'net':{'net_limit':-1}}"), 0);
	CHECK_INT(limit_order_plan(&order, &present, steps), 1);
	CHECK_INT(steps[0].kind, LIMIT_NET);
	CHECK(!steps[0].lowers);
	/* What grows comes first, and memory that shrinks last. */
	CHECK_INT(read_order("{'mem':{'mem_limit':64},'net':{'net_limit':50},"
			     "'disk_read':{'disk_read_limit':10}}"),
		  0);
	present.mem_bytes = 512 * EBB_MIB;
	present.disk.read_bps = 1;
	CHECK_INT(limit_order_plan(&order, &present, steps), 3);
	CHECK_INT(steps[0].kind, LIMIT_DISK_READ);
	CHECK_INT(steps[1].kind, LIMIT_NET);
	CHECK(steps[1].lowers);
	CHECK_INT(steps[2].kind, LIMIT_MEM);
}

TEST(order_support)
{
	struct limits present = {.has_cpu = true, .has_mem = true, .has_disk = true};

	CHECK_INT(read_order("{'cpu':{'cpu_num':'0'}}"), 0);
	CHECK_INT(limit_order_supported(&order, &present, 1, message, sizeof(message)),
		  -EOPNOTSUPP);
	CHECK(strstr(message, "no cpuset cgroup controller"));
	present.has_cpuset = true;
	CHECK_INT(limit_order_supported(&order, &present, 1, message, sizeof(message)), 0);
	CHECK_INT(read_order("{'disk_read':{'disk_read_limit':1}}"), 0);
	CHECK_INT(limit_order_supported(&order, &present, 0, message, sizeof(message)),
		  -EOPNOTSUPP);
	CHECK(strstr(message, "--disk"));
	CHECK_INT(limit_order_supported(&order, &present, 1, message, sizeof(message)), 0);
}

/* "Quota+ cpus- mem-": the plan in words. */
static const char *plan(const char *body, const struct limits *present)
{
	static const char *const names[LIMIT_KIND_MAX] = {
		[LIMIT_CPUS] = "cpus",       [LIMIT_QUOTA] = "quota",
		[LIMIT_BURST] = "burst",     [LIMIT_WEIGHT] = "weight",
		[LIMIT_MEM] = "mem",         [LIMIT_MEM_HIGH] = "high",
		[LIMIT_MEM_MIN] = "min",     [LIMIT_MEM_RECLAIM] = "reclaim",
		[LIMIT_DISK_READ] = "read",  [LIMIT_DISK_WRITE] = "write",
		[LIMIT_READ_IOPS] = "riops", [LIMIT_WRITE_IOPS] = "wiops",
		[LIMIT_NET] = "net",
	};
	static char text[128];
	struct limit_step steps[LIMIT_KIND_MAX];

	CHECK_INT(read_order(body), 0);
	size_t n = limit_order_plan(&order, present, steps);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s%s%c", i ? " " : "",
			 names[steps[i].kind], steps[i].lowers ? '-' : '+');
	}
	return text;
}

static struct limits at(uint64_t quota_us, const char *cpus, uint64_t mem_mib)
{
	struct limits limits = {
		.has_cpu = true,
		.has_cpuset = true,
		.has_mem = true,
		.has_disk = true,
		.cpu = {.quota_us = quota_us, .period_us = EBB_CFS_PERIOD_US},
		.mem_bytes = mem_mib * EBB_MIB,
		.disk = {.read_bps = LIMIT_NONE, .write_bps = 10 * EBB_MIB},
	};

	snprintf(limits.cpu.cpus, sizeof(limits.cpu.cpus), "%s", cpus);
	snprintf(limits.cpu.effective_cpus, sizeof(limits.cpu.effective_cpus), "%s",
		 cpus[0] ? cpus : "0-3");
	return limits;
}

TEST(plan_order)
{
	struct limits now = at(100000, "0-1", 512);

	CHECK_STR(plan("{'mem':{'mem_limit':1024},'cpu':{'cpu_num':'0-2',"
		       "'cpu_allowance_limit':300}}",
		       &now),
		  "cpus+ quota+ mem+");
	CHECK_STR(plan("{'mem':{'mem_limit':100},'cpu':{'cpu_num':'0',"
		       "'cpu_allowance_limit':50}}",
		       &now),
		  "quota- cpus- mem-");
	/* What grows first, whatever it is; slow memory last. */
	CHECK_STR(plan("{'mem':{'mem_limit':1024},'cpu':{'cpu_allowance_limit':50},"
		       "'disk_read':{'disk_read_limit':5},'disk_write':{'disk_write_limit':50}}",
		       &now),
		  "mem+ write+ quota- read-");
	CHECK_STR(plan("{'mem':{'mem_limit':64},'cpu':{'cpu_allowance_limit':-1},"
		       "'disk_write':{'disk_write_limit':5}}",
		       &now),
		  "quota+ write- mem-");
}

TEST(plan_leaves_equal_out)
{
	struct limits now = at(100000, "0-1", 512);

	CHECK_STR(plan("{'mem':{'mem_limit':512},'cpu':{'cpu_allowance_limit':100,"
		       "'cpu_num':'1,0'},'disk_read':{'disk_read_limit':-1}}",
		       &now),
		  "");
	/* Bytes below a page do not count. */
	CHECK_STR(plan("{'mem':{'mem_limit':512.001}}", &now), "");
	now.cpu.quota_us = LIMIT_NONE;
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':-1}}", &now), "");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':100}}", &now), "quota-");
}

TEST(plan_other_cpus_and_periods)
{
	struct limits now = at(100000, "0-1", 512);

	/* As many, but others. */
	CHECK_STR(plan("{'cpu':{'cpu_num':'2-3'}}", &now), "cpus+");
	CHECK_STR(plan("{'cpu':{'cpu_num':-1}}", &now), "cpus+");
	now = at(100000, "", 512);
	CHECK_STR(plan("{'cpu':{'cpu_num':'0-3'}}", &now), "cpus+");
	CHECK_STR(plan("{'cpu':{'cpu_num':'0'}}", &now), "cpus-");
	/* 50 of 50 ms is one core, 100 shares: written anew with our period. */
	now = at(50000, "0-1", 512);
	now.cpu.period_us = 50000;
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':100}}", &now), "quota+");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':50}}", &now), "quota-");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':150}}", &now), "quota+");
}

/* A value that may turn up anywhere in a body; most often what would be right there. */
static json_t *any_value(unsigned *state, int depth, enum limit_kind kind)
{
	static const char *const strings[] = {"cpu", "mem", "0-1", "100", "-1", "", "1e3", "nan"};
	json_t *object;

	switch (rand_r(state) % (depth ? 24 : 8)) {
	case 0: return json_integer((json_int_t)rand_r(state) - RAND_MAX / 2);
	case 1: return json_real((rand_r(state) - RAND_MAX / 2) * 1e-3);
	case 2: return json_string(strings[rand_r(state) % 8]);
	case 3: return json_null();
	case 4: return json_boolean(rand_r(state) % 2);
	case 5: return json_array();
	default: break;
	}
	if (!depth)
		return kind == LIMIT_CPUS ? json_string("0,2") : json_integer(rand_r(state) % 999);
	object = json_object();
	for (int i = rand_r(state) % 4; i > 0; i--) {
		int which = depth > 1 ? rand_r(state) % LIMIT_KIND_MAX : (int)kind;
		const char *key = depth > 1 ? limit_kind_resource(which) : limit_kind_key(which);

		json_object_set_new(object, rand_r(state) % 16 ? key : "other",
				    any_value(state, depth - 1, which));
	}
	return object;
}

TEST(order_takes_sense_and_refuses_the_rest)
{
	unsigned seed = (unsigned)test_seed(1);
	unsigned state = seed, taken = 0;

	CHECK_INT(cpu_list_parse("0-3", &online), 0);
	for (int i = 0; i < 20000; i++) {
		json_t *body = any_value(&state, 2, 0);

		message[0] = '\0';
		int r = limit_order_parse(body, &online, &order, message, sizeof(message));
		bool sane = r == 0 ? order.asked && order.asked < 1U << LIMIT_KIND_MAX
				   : r == -EINVAL && message[0];
		for (int kind = LIMIT_QUOTA; r == 0 && kind < LIMIT_KIND_MAX; kind++)
			sane = sane && (!(order.asked & 1U << kind) || order.value[kind] > 0);
		if (r == 0 && order.asked & 1U << LIMIT_MEM)
			sane = sane && order.value[LIMIT_MEM] >= 64 * EBB_MIB;
		if (r == 0 && order.asked & 1U << LIMIT_QUOTA)
			sane = sane && order.value[LIMIT_QUOTA] >= LIMIT_QUOTA_MIN_US;
		char *text = sane ? NULL : json_dumps(body, JSON_ENCODE_ANY);
		json_decref(body);
		if (!sane)
			TEST_FAIL("%d for %s", r, text);
		taken += r == 0;
	}
	cpu_list_clear(&online);
	/* Some of them do make sense. */
	CHECK(taken > 500);
}

TEST(order_of_what_lies_beside_the_limits)
{
	CHECK_INT(
		read_order(
			"{'cpu':{'cpu_burst':50,'cpu_weight':'200'},"
			"'mem':{'mem_high':100.5,'mem_min':0,'mem_reclaim':8},"
			"'disk_read':{'disk_read_iops':100},'disk_write':{'disk_write_iops':-1}}"),
		0);
	CHECK_INT(order.asked, 1 << LIMIT_BURST | 1 << LIMIT_WEIGHT | 1 << LIMIT_MEM_HIGH |
				       1 << LIMIT_MEM_MIN | 1 << LIMIT_MEM_RECLAIM |
				       1 << LIMIT_READ_IOPS | 1 << LIMIT_WRITE_IOPS);
	CHECK_INT(order.value[LIMIT_BURST], 50000);
	CHECK_INT(order.value[LIMIT_WEIGHT], 200);
	CHECK_INT(order.value[LIMIT_MEM_HIGH], 100 * EBB_MIB + EBB_MIB / 2);
	CHECK_INT(order.value[LIMIT_MEM_MIN], 0);
	CHECK_INT(order.value[LIMIT_MEM_RECLAIM], 8 * EBB_MIB);
	CHECK_INT(order.value[LIMIT_READ_IOPS], 100);
	CHECK(order.value[LIMIT_WRITE_IOPS] == LIMIT_NONE);
	CHECK_INT(read_order("{'mem':{'mem_high':-1},'cpu':{'cpu_burst':0}}"), 0);
	CHECK(order.value[LIMIT_MEM_HIGH] == LIMIT_NONE && order.value[LIMIT_BURST] == 0);

	refused("{'cpu':{'cpu_burst':-1}}", "from 0 to");
	refused("{'cpu':{'cpu_weight':0}}", "from 1 to 10000");
	refused("{'cpu':{'cpu_weight':10001}}", "from 1 to 10000");
	refused("{'cpu':{'cpu_weight':'max'}}", "must be a number of weight");
	refused("{'mem':{'mem_high':63}}", "64 MiB is the least");
	refused("{'mem':{'mem_min':-1}}", "from 0 to");
	refused("{'mem':{'mem_reclaim':0}}", "from 1 to");
	refused("{'disk_read':{'disk_read_iops':0}}", "at least 1 of requests/s");
	refused("{'disk_read':{'disk_write_iops':1}}", "unknown field");
	refused("{'disk_write':{'disk_write_iops':4294967295}}", "too high");
}

static void unsupported(const char *body, const struct limits *present, const char *mention)
{
	CHECK_INT(read_order(body), 0);
	CHECK_INT(limit_order_supported(&order, present, 1, message, sizeof(message)), -EOPNOTSUPP);
	if (!strstr(message, mention))
		TEST_FAIL("%s: \"%s\" does not mention \"%s\"", body, message, mention);
}

TEST(order_support_of_either_version)
{
	struct limits v1 = at(100000, "0-1", 512), v2 = v1;

	v1.mem_version = 1;
	v1.has_more = 1U << LIMIT_BURST | 1U << LIMIT_WEIGHT;
	v2.mem_version = 2;
	v2.has_more = 1U << LIMIT_WEIGHT | 1U << LIMIT_MEM_HIGH | 1U << LIMIT_MEM_MIN;
	unsupported("{'mem':{'mem_high':64}}", &v1, "memory.soft_limit_in_bytes is none");
	unsupported("{'mem':{'mem_min':64}}", &v1, "no memory.min; leave mem_min out");
	unsupported("{'mem':{'mem_reclaim':64}}", &v1, "cgroup v1 has no memory.reclaim");
	unsupported("{'mem':{'mem_reclaim':64}}", &v2, "Linux 5.19");
	unsupported("{'cpu':{'cpu_burst':1}}", &v2, "Linux 5.14");
	unsupported("{'disk_read':{'disk_read_iops':1}}", &v2, "leave disk_read_iops out");
	unsupported("{'cpu':{'cpu_burst':101}}", &v1, "which is 100 shares here");
	unsupported("{'cpu':{'cpu_burst':60,'cpu_allowance_limit':50}}", &v1, "50 shares here");
	CHECK_INT(read_order("{'cpu':{'cpu_burst':150,'cpu_allowance_limit':-1}}"), 0);
	CHECK_INT(limit_order_supported(&order, &v1, 1, message, sizeof(message)), 0);
	CHECK_INT(read_order("{'mem':{'mem_high':64,'mem_min':64},'cpu':{'cpu_weight':1}}"), 0);
	CHECK_INT(limit_order_supported(&order, &v2, 1, message, sizeof(message)), 0);
	v2.has_mem = false;
	unsupported("{'mem':{'mem_high':64}}", &v2, "--enable-controllers");
}

TEST(order_by_weight)
{
	struct limits now = at(LIMIT_NONE, "0-1", 512);

	now.cpu.by_weight = true;
	now.cpu.weight = 150;
	now.has_more = 1U << LIMIT_WEIGHT | 1U << LIMIT_BURST;
	CHECK_INT(limits_value(&now, LIMIT_QUOTA), 150000);
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':150}}", &now), "");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':150.4}}", &now), "");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':200}}", &now), "quota+");
	CHECK_STR(plan("{'cpu':{'cpu_allowance_limit':20}}", &now), "quota-");
	CHECK_INT(limit_order_supported(&order, &now, 1, message, sizeof(message)), 0);
	unsupported("{'cpu':{'cpu_allowance_limit':-1}}", &now, "never unlimited");
	unsupported("{'cpu':{'cpu_allowance_limit':10001}}", &now, "10000 at most");
	unsupported("{'cpu':{'cpu_allowance_limit':10,'cpu_weight':10}}", &now,
		    "leave cpu_weight out");

	/* A quota from before holds, and is to go. */
	now.cpu.quota_us = 150000;
	CHECK_INT(limits_value(&now, LIMIT_QUOTA), 150000);
	CHECK(!strcmp(plan("{'cpu':{'cpu_allowance_limit':150}}", &now), "quota+") ||
	      !strcmp(plan("{'cpu':{'cpu_allowance_limit':150}}", &now), "quota-"));
}

TEST(a_quota_takes_its_burst_along)
{
	struct limits now = at(100000, "0-1", 512);

	now.cpu.burst_us = 60000;
	now.has_more = 1U << LIMIT_BURST;
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':60}}"), 0);
	limit_order_complete(&order, &now);
	CHECK_INT(order.asked, 1 << LIMIT_QUOTA);
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':50}}"), 0);
	limit_order_complete(&order, &now);
	CHECK_INT(order.asked, 1 << LIMIT_QUOTA | 1 << LIMIT_BURST);
	CHECK_INT(order.value[LIMIT_BURST], 50000);
	/* What is asked is not touched. */
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':50,'cpu_burst':0}}"), 0);
	limit_order_complete(&order, &now);
	CHECK_INT(order.value[LIMIT_BURST], 0);
	now.has_more = 0;
	CHECK_INT(read_order("{'cpu':{'cpu_allowance_limit':50}}"), 0);
	limit_order_complete(&order, &now);
	CHECK_INT(order.asked, 1 << LIMIT_QUOTA);
}

TEST(plan_order_of_what_lies_beside_the_limits)
{
	struct limits now = at(100000, "0-1", 512);

	now.cpu.burst_us = 10000;
	now.cpu.weight = 100;
	now.mem_high = 400 * EBB_MIB;
	now.disk.read_iops = now.disk.write_iops = LIMIT_NONE;
	/* The burst may not be above the quota on the way, and memory.high not above the limit. */
	CHECK_STR(plan("{'cpu':{'cpu_burst':150,'cpu_allowance_limit':200,'cpu_weight':200},"
		       "'mem':{'mem_high':900,'mem_limit':1024,'mem_min':10}}",
		       &now),
		  "quota+ burst+ weight+ mem+ high+ min+");
	CHECK_STR(plan("{'cpu':{'cpu_burst':5,'cpu_allowance_limit':9,'cpu_weight':9},"
		       "'mem':{'mem_high':90,'mem_limit':100,'mem_reclaim':10},"
		       "'disk_read':{'disk_read_iops':10},'disk_write':{'disk_write_iops':10}}",
		       &now),
		  "burst- quota- weight- riops- wiops- high- mem- reclaim-");
	CHECK_STR(plan("{'cpu':{'cpu_burst':10,'cpu_weight':100},'mem':{'mem_high':400.001,"
		       "'mem_min':0.001},'disk_read':{'disk_read_iops':-1}}",
		       &now),
		  "");
}

TEST_MAIN()
