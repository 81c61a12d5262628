/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network limits on real veth pairs. The test is its own host: it enters a network namespace of its
 * own, so that nothing of the machine's is touched, and all goes with it whatever happens.
 */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "apply.h"
#include "net_limit.h"
#include "tree_container.h"
#include "ebb/units.h"

#define MBIT LIMIT_BYTES_PER_MBIT

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container_table *table;
static struct container *container;
static struct net_links *links;
static struct loop *loop;
static struct applier *applier;
/* Of a container's process, shared with it. */
static struct inside {
	volatile int ready, go;
	uint64_t received;
} * inside;

__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

/* A namespace of its own; when its end of the pair is there, a server that counts what comes. */
static void be_container(void *unused)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(9999)};
	static char bytes[65536];
	int server, fd;
	ssize_t n;

	if (unshare(CLONE_NEWNET) < 0)
		_exit(1);
	inside->ready = 1;
	while (!inside->go)
		usleep(1000);
	if (run("ip link set lo up && ip addr add 10.77.0.2/24 dev inside0 && "
		"ip link set inside0 up"))
		_exit(1);
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(server, 4) < 0)
		_exit(1);
	inside->ready = 2;
	while ((fd = accept(server, NULL, NULL)) >= 0) {
		/* One that was cut off while it was held back may never hear of its end. */
		if (fork() == 0) {
			while ((n = read(fd, bytes, sizeof(bytes))) > 0)
				__atomic_fetch_add(&inside->received, (uint64_t)n,
						   __ATOMIC_RELAXED);
			_exit(0);
		}
		close(fd);
	}
}

static void sit(void *unused)
{
	inside->ready = 1;
}

static void tear_down(void *unused)
{
	if (applier)
		applier_close(applier);
	applier_free(applier);
	applier = NULL;
	net_links_free(links);
	links = NULL;
	if (container)
		container_table_remove(table, container->id);
	container_free(container);
	container = NULL;
	container_table_free(table);
	table = NULL;
	loop_free(loop);
	loop = NULL;
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	munmap(inside, sizeof(*inside));
}

static void wait_ready(int what, pid_t pid)
{
	for (int i = 0; inside->ready < what; i++) {
		if (i == 20000 || waitpid(pid, NULL, WNOHANG) == pid)
			SKIP("a process cannot have its own network namespace here");
		usleep(1000);
	}
}

/* A cgroup with one process, which runs `fn`. */
static pid_t set_up(void (*fn)(void *), const char *child)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (system("ip -V >/dev/null 2>&1"))
		SKIP("needs ip (iproute2)");
	if (unshare(CLONE_NEWNET) < 0)
		SKIP("network namespaces are refused: %s", strerror(errno));
	inside = mmap(NULL, sizeof(*inside), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	CHECK(inside != MAP_FAILED);
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "net");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	if (child)
		CHECK_INT(cgroup_tree_mkdir(&tree, child), 0);
	CHECK_INT(container_table_new(&table), 0);
	struct container *made = tree_container(&hierarchies, &tree, NULL);
	CHECK(made);
	CHECK_INT(container_table_add(table, made), 0);
	container = made;
	CHECK_INT(net_links_new(&hierarchies, &links), 0);
	CHECK_INT(loop_new(&loop), 0);
	struct applier_options options = {
		.hierarchies = &hierarchies, .table = table, .net = links};
	CHECK_INT(applier_new(&options, &applier), 0);

	pid_t pid = cgroup_tree_spawn(&tree, child, fn, NULL);
	CHECK(pid > 0);
	wait_ready(1, pid);
	return pid;
}

/* With a pair outside0, inside0 from here to the container. */
static pid_t set_up_pair(const char *child)
{
	pid_t pid = set_up(be_container, child);

	if (run("ip link add outside0 type veth peer name inside0 netns %d 2>/dev/null", pid))
		SKIP("this kernel has no veth");
	if (run("tc qdisc add dev lo root tbf rate 1Mbit burst 10kb latency 100ms 2>/dev/null"))
		SKIP("this kernel has no tbf qdisc (sch_tbf)");
	CHECK_INT(run("ip addr add 10.77.0.1/24 dev outside0 && ip link set outside0 up"), 0);
	inside->go = 1;
	wait_ready(2, pid);
	return pid;
}

static struct limits read_limits(void)
{
	static struct limits limits;

	limits = (struct limits){0};
	net_limit_read(links, container, &limits);
	return limits;
}

static void check_limit(uint64_t bps)
{
	struct limits limits = read_limits();

	if (!limits.has_net)
		TEST_FAIL("no network limit: %s", limits.no_net);
	CHECK_INT(limits.net.bps, bps);
}

static void check_none(const char *mention)
{
	struct limits limits = read_limits();

	CHECK(!limits.has_net);
	if (!limits.no_net || !strstr(limits.no_net, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", limits.no_net, mention);
}

/* Is it in what tc shows of outside0? */
static bool shown(const char *text)
{
	return run("tc qdisc show dev outside0 | grep -q -- '%s'", text) == 0;
}

/* What the container has received of a stream in so many seconds. */
static uint64_t received_in(double seconds)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9999)};
	static const char bytes[65536];
	uint64_t before = __atomic_load_n(&inside->received, __ATOMIC_RELAXED), end;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = inet_addr("10.77.0.2");
	CHECK_INT(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	end = now_ns() + (uint64_t)(seconds * 1e9);
	while (now_ns() < end) {
		struct pollfd writable = {.fd = fd, .events = POLLOUT};

		if (poll(&writable, 1, 20) > 0 &&
		    send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			CHECK(errno == EAGAIN);
	}
	uint64_t got = __atomic_load_n(&inside->received, __ATOMIC_RELAXED) - before;
	/* Nothing more of what waits. */
	struct linger at_once = {.l_onoff = 1};
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	return got;
}

TEST(net_limit_is_set_holds_and_goes)
{
	set_up_pair(NULL);
	struct limits limits = read_limits();
	if (!limits.has_net)
		TEST_FAIL("no network limit: %s", limits.no_net);
	CHECK_STR(limits.net.device, "outside0");
	CHECK_STR(limits.net.inside, "inside0");
	CHECK_STR(limits.net.foreign, "");
	CHECK_INT(limits.net.bps, LIMIT_NONE);

	CHECK_INT(net_limit_write(links, container, 8 * MBIT), 0);
	check_limit(8 * MBIT);
	CHECK(shown("qdisc tbf ebb: root .*rate 8Mbit burst 1000Kb lat 100ms"));
	/* A burst of 1 MB, and 1 MB a second. */
	uint64_t held = received_in(2);
	CHECK(held > 100000);
	CHECK(held < 8000000);

	/* Changed where it is; and what was set is not set again. */
	CHECK_INT(net_limit_write(links, container, 16 * MBIT), 0);
	CHECK_INT(net_limit_write(links, container, 16 * MBIT), 0);
	check_limit(16 * MBIT);

	CHECK_INT(net_limit_write(links, container, LIMIT_NONE), 0);
	CHECK_INT(net_limit_write(links, container, LIMIT_NONE), 0);
	check_limit(LIMIT_NONE);
	CHECK(!shown("tbf"));
	/* In one second of many at least, should the machine have had no time. */
	bool far_more = false;
	for (int i = 0; i < 30 && !far_more; i++)
		far_more = received_in(1) > 3 * held;
	CHECK(far_more);
}

TEST(net_limit_units_are_exact)
{
	static const uint64_t rates[] = {1250,
					 MBIT / 2,
					 12345 * (uint64_t)MBIT / 100,
					 UINT32_MAX,
					 UINT32_MAX + 1ULL,
					 100000ULL * MBIT,
					 10000000ULL * MBIT};

	set_up_pair(NULL);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		CHECK_INT(net_limit_write(links, container, rates[i]), 0);
		check_limit(rates[i]);
	}
	CHECK_INT(net_limit_write(links, container, 0), -EINVAL);
	check_limit(rates[6]);
}

TEST(net_limit_leaves_the_qdiscs_of_others_alone)
{
	set_up_pair(NULL);
	CHECK_INT(run("tc qdisc add dev outside0 root pfifo limit 77"), 0);
	struct limits limits = read_limits();
	CHECK(limits.has_net);
	CHECK_STR(limits.net.foreign, "pfifo");
	CHECK_INT(net_limit_write(links, container, 8 * MBIT), -EEXIST);
	CHECK_INT(net_limit_write(links, container, LIMIT_NONE), 0);
	CHECK(shown("pfifo .*limit 77p"));

	/* A bucket that somebody else has put there: shown, and his. */
	CHECK_INT(run("tc qdisc del dev outside0 root && tc qdisc add dev outside0 root tbf "
		      "rate 24Mbit burst 10kb latency 50ms"),
		  0);
	check_limit(24 * MBIT);
	limits = read_limits();
	CHECK_STR(limits.net.foreign, "tbf");
	CHECK_INT(net_limit_write(links, container, 8 * MBIT), -EEXIST);
	CHECK_INT(net_limit_write(links, container, LIMIT_NONE), -EEXIST);
	CHECK(shown("tbf .*rate 24Mbit"));
}

TEST(net_limit_finds_processes_in_nested_cgroups)
{
	set_up_pair("nested");
	CHECK_INT(net_limit_write(links, container, 8 * MBIT), 0);
	check_limit(8 * MBIT);
}

TEST(net_limit_goes_with_its_link)
{
	pid_t pid = set_up_pair(NULL);

	CHECK_INT(net_limit_write(links, container, 8 * MBIT), 0);
	CHECK_INT(run("ip link del outside0"), 0);
	check_none("no veth pair");
	CHECK_INT(net_limit_write(links, container, 9 * MBIT), -EOPNOTSUPP);
	/* Another one is found, under whatever name. */
	CHECK_INT(run("ip link add other0 type veth peer name inside1 netns %d", pid), 0);
	check_limit(LIMIT_NONE);
	CHECK_STR(read_limits().net.device, "other0");
	CHECK_STR(read_limits().net.inside, "inside1");
}

TEST(net_limit_follows_the_processes)
{
	pid_t pid = set_up_pair(NULL);

	CHECK_INT(net_limit_write(links, container, 8 * MBIT), 0);
	check_limit(8 * MBIT);
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	check_none("no process");
	inside->ready = 0;
	pid = cgroup_tree_spawn(&tree, NULL, sit, NULL);
	wait_ready(1, pid);
	check_none("host's network namespace");
}

TEST(net_limit_needs_one_link)
{
	pid_t pid = set_up_pair(NULL);

	CHECK_INT(net_limit_write(links, container, 8 * MBIT), 0);
	CHECK_INT(run("ip link add other0 type veth peer name inside1 netns %d", pid), 0);
	CHECK_INT(net_limit_write(links, container, 9 * MBIT), -EOPNOTSUPP);
	check_none("several");
	CHECK(shown("rate 8Mbit"));
	CHECK_INT(run("ip link del other0"), 0);
	check_limit(8 * MBIT);
}

TEST(net_limit_is_not_for_the_host)
{
	set_up(sit, NULL);
	check_none("host's network namespace");
	CHECK_INT(net_limit_write(links, container, 8 * MBIT), -EOPNOTSUPP);
}

/*
 * The container has both ends of a pair, and gives the one inside the number of an interface here:
 * only namespaces tell them apart.
 */
TEST(net_limit_is_not_misled_by_numbers)
{
	pid_t pid = set_up(be_container, NULL);

	if (run("ip link add outside0 index 4242 type veth peer name other0 index 4343 "
		"2>/dev/null"))
		SKIP("this kernel has no veth");
	CHECK_INT(run("nsenter -t %d -n ip link add inside0 index 4343 type veth peer name inside1 "
		      "index 4242",
		      pid),
		  0);
	check_none("no veth pair");
	CHECK_INT(net_limit_write(links, container, 8 * MBIT), -EOPNOTSUPP);
	CHECK(!shown("tbf"));
}

static void on_done(void *userdata, const struct apply_result *result)
{
	*(struct apply_result *)userdata = *result;
}

static struct apply_result apply(uint64_t bps, const char *device)
{
	struct limit_order order = {.asked = 1U << LIMIT_NET};
	static struct apply_result result;

	order.value[LIMIT_NET] = bps;
	snprintf(order.device, sizeof(order.device), "%s", device);
	result = (struct apply_result){.error = 1};
	CHECK_INT(applier_submit(applier, container, &order, on_done, &result), 0);
	return result;
}

TEST(net_orders)
{
	set_up_pair(NULL);
	struct apply_result result = apply(8 * MBIT, "outside0");
	CHECK_INT(result.error, 0);
	CHECK_INT(result.states[LIMIT_NET], APPLY_WRITTEN);
	check_limit(8 * MBIT);
	result = apply(8 * MBIT, "");
	CHECK_INT(result.states[LIMIT_NET], APPLY_EQUAL);

	/* The machine's own interfaces are nobody's. */
	result = apply(9 * MBIT, "lo");
	CHECK_INT(result.error, -EOPNOTSUPP);
	CHECK(strstr(result.message, "outside0"));
	CHECK(run("tc qdisc show dev lo | grep -q 'rate 1Mbit'") == 0);
	check_limit(8 * MBIT);

	CHECK_INT(apply(LIMIT_NONE, "").error, 0);
	CHECK_INT(run("tc qdisc add dev outside0 root pfifo limit 77"), 0);
	result = apply(8 * MBIT, "");
	CHECK_INT(result.error, -EOPNOTSUPP);
	CHECK(strstr(result.message, "pfifo") &&
	      strstr(result.message, "tc qdisc del dev outside0"));
	CHECK_INT(apply(LIMIT_NONE, "").error, 0);
	CHECK(shown("pfifo"));
}

TEST_MAIN()
