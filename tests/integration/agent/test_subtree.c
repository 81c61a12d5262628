/* SPDX-License-Identifier: Apache-2.0 */
/* Controllers handed down to a container on cgroup v2, and pressure read there. */
#include "test.h"

#include "ebb/units.h"
#include "pressure_lane.h"
#include "subtree.h"
#include "tree_container.h"

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container *container; /* TREE/a/b */
static struct container_table *table;
static struct pressure_lane *lane;
static struct loop *loop;
static pid_t child;

static void tear_down(void *unused)
{
	pressure_lane_free(lane);
	lane = NULL;
	loop_free(loop);
	loop = NULL;
	if (table)
		container_table_remove(table, container->id);
	container_table_free(table);
	table = NULL;
	cgroup_tree_remove(&tree);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	child = 0;
	container_free(container);
	container = NULL;
	hierarchies_close(&hierarchies);
}

static void set_up(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "subtree");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	CHECK_INT(cgroup_tree_mkdir(&tree, "a"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "a/b"), 0);
	/* Nothing is handed down: some hosts begin with all. */
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const char *name = cgroup_controller_name(c);
		char text[32];

		static const char *const others[] = {"-hugetlb", "-rdma", "-misc", "-pids"};
		for (size_t i = 0; i < 4 && hierarchies.by_controller[c].version == 2; i++) {
			cgroup_tree_write(&tree, name, "a", "cgroup.subtree_control", others[i]);
			cgroup_tree_write(&tree, name, NULL, "cgroup.subtree_control", others[i]);
		}
		if (!(SUBTREE_ALL & 1U << c) || hierarchies.by_controller[c].version != 2)
			continue;
		snprintf(text, sizeof(text), "-%s", name);
		cgroup_tree_write(&tree, name, "a", "cgroup.subtree_control", text);
		cgroup_tree_write(&tree, name, NULL, "cgroup.subtree_control", text);
	}
	container = tree_container(&hierarchies, &tree, "a/b");
	CHECK(container);
}

/* Of ours, those that the hierarchy has on v2 and the tree's parent hands down. */
static unsigned available(void)
{
	unsigned all = 0;

	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (SUBTREE_ALL & 1U << c && hierarchies.by_controller[c].version == 2)
			all |= 1U << c;
	return all;
}

static void has(const char *cgroup, const char *file, const char *word, bool wanted)
{
	char text[256], padded[300], spaced[32];

	CHECK_INT(cgroup_tree_read(&tree, "cpu", cgroup, file, text, sizeof(text)), 0);
	text[strcspn(text, "\n")] = '\0';
	snprintf(padded, sizeof(padded), " %s ", text);
	snprintf(spaced, sizeof(spaced), " %s ", word);
	if ((strstr(padded, spaced) != NULL) != wanted)
		TEST_FAIL("%s of %s is \"%s\"", file, cgroup ? cgroup : "the tree", text);
}

TEST(controllers_are_handed_down_where_asked)
{
	set_up();
	unsigned all = available(), cpu = 1U << CGROUP_CPU;
	CHECK_INT(subtree_missing(&hierarchies, container, SUBTREE_ALL), all);
	if (!(all & cpu)) {
		CHECK_INT(subtree_enable(&hierarchies, container, cpu), 0);
		SKIP("the cpu controller is on v1, where nothing is handed down");
	}
	/* Looking changes nothing. */
	has(NULL, "cgroup.subtree_control", "cpu", false);

	CHECK_INT(subtree_enable(&hierarchies, container, cpu), 0);
	CHECK_INT(subtree_missing(&hierarchies, container, SUBTREE_ALL), all & ~cpu);
	has(NULL, "cgroup.subtree_control", "cpu", true);
	has("a", "cgroup.subtree_control", "cpu", true);
	has("a/b", "cgroup.controllers", "cpu", true);
	/* No more than was asked, and nothing inside the container. */
	has(NULL, "cgroup.subtree_control", "memory", false);
	has("a/b", "cgroup.subtree_control", "cpu", false);

	CHECK_INT(subtree_enable(&hierarchies, container, all), 0);
	CHECK_INT(subtree_missing(&hierarchies, container, SUBTREE_ALL), 0);
}

TEST(a_cgroup_with_processes_hands_nothing_down)
{
	set_up();
	if (!(available() & 1U << CGROUP_MEMORY))
		SKIP("the memory controller is on v1, where nothing is handed down");
	child = cgroup_tree_spawn(&tree, "a", NULL, NULL);
	CHECK(child > 0);
	char text[64] = "";
	for (int i = 0; i < 1000 && !*text; i++) {
		cgroup_tree_read(&tree, "memory", "a", "cgroup.procs", text, sizeof(text));
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	CHECK(*text);
	CHECK_INT(subtree_enable(&hierarchies, container, 1U << CGROUP_MEMORY),
		  1U << CGROUP_MEMORY);
	has("a", "cgroup.subtree_control", "memory", false);
}

TEST(a_container_that_has_gone_lacks_nothing)
{
	set_up();
	cgroup_tree_remove(&tree);
	CHECK_INT(subtree_missing(&hierarchies, container, SUBTREE_ALL), 0);
	CHECK_INT(subtree_enable(&hierarchies, container, SUBTREE_ALL), 0);
}

TEST(pressure_of_the_guarded)
{
	set_up();
	CHECK_INT(container_table_new(&table), 0);
	CHECK_INT(container_table_add(table, container), 0);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(pressure_lane_new(loop, &hierarchies, table, &lane), 0);
	pressure_lane_read(&hierarchies, container);
	if (!available()) {
		CHECK(!lane);
		CHECK_INT(container->has_pressure, 0);
		SKIP("no controller is on v2, and v1 has no pressure");
	}
	CHECK(lane);
	if (!container->has_pressure)
		SKIP("this kernel has no PSI, or it is off");
	CHECK_INT(container->has_pressure, (1 << PRESSURE_MAX) - 1);

	/* Not read without being guarded, read when it is. */
	for (int i = 0; i < 3000 && container->has_pressure; i++)
		loop_turn(loop, 10);
	CHECK_INT(container->has_pressure, 0);
	container->guarded = true;
	for (int i = 0; i < 3000 && !container->has_pressure; i++)
		loop_turn(loop, 10);
	CHECK_INT(container->has_pressure, (1 << PRESSURE_MAX) - 1);
	for (int i = 0; i < PRESSURE_MAX; i++)
		CHECK(container->pressure[i].full_us <= container->pressure[i].some_us);
}

TEST_MAIN()
