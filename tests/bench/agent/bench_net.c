/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it takes to read and to set a container's network limit, with few and with many interfaces
 * on the host: neither may depend on their number. In a network namespace of its own.
 */
#include "test.h"

#include <sched.h>

#include "net_limit.h"
#include "tree_container.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define READS  5000
#define WRITES 1000

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container *container;
static struct net_links *links;

static void clean_up(void *unused)
{
	net_links_free(links);
	container_free(container);
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
}

static void enter_netns(void *unused)
{
	if (unshare(CLONE_NEWNET) < 0)
		_exit(1);
}

static double us_each(uint64_t begin, unsigned n)
{
	return (double)(now_ns() - begin) / 1e3 / n;
}

static void measure(unsigned others)
{
	struct limits limits = {0};
	uint64_t begin = now_ns();

	for (int i = 0; i < READS; i++)
		net_limit_read(links, container, &limits);
	CHECK(limits.has_net);
	double known = us_each(begin, READS);

	begin = now_ns();
	for (int i = 0; i < READS; i++) {
		net_links_forget(links, container->id);
		net_limit_read(links, container, &limits);
	}
	double anew = us_each(begin, READS);

	begin = now_ns();
	for (unsigned i = 0; i < WRITES; i++)
		CHECK_INT(net_limit_write(links, container,
					  (10 + i % 2) * (uint64_t)LIMIT_BYTES_PER_MBIT),
			  0);
	printf("# %5u other interfaces: read %.1f us, found anew %.1f us, set %.1f us\n", others,
	       known, anew, us_each(begin, WRITES));
}

TEST(net)
{
	char command[128];
	pid_t pid;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("needs root, network namespaces and cgroups");
	test_at_end(clean_up, NULL);
	if (cgroup_tree_new(&tree, "bench-net") < 0)
		SKIP("cannot make cgroups");
	container = tree_container(&hierarchies, &tree, NULL);
	CHECK(container);
	CHECK_INT(net_links_new(&hierarchies, &links), 0);
	pid = cgroup_tree_spawn(&tree, NULL, enter_netns, NULL);
	usleep(300000);
	snprintf(command, sizeof(command), "ip link add outside0 type veth peer name eth0 netns %d",
		 pid);
	if (system(command))
		SKIP("needs ip (iproute2) and veth");
	measure(0);
	if (system("for i in $(seq 1000); do echo link add v$i type veth peer name w$i; done | "
		   "ip -batch -"))
		SKIP("needs ip (iproute2)");
	measure(2000);
}

TEST_MAIN()
