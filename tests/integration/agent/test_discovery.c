/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery on real cgroups. The events are made here, from what was done to the tree, so that
 * their order and their absence can be chosen; tests of the event source itself are elsewhere.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>

#include "cgroup_tree.h"
#include "discovery.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

#define ID "3f1c9a0b7d5e4f2a8c6b1d0e9f7a5c3b2d4e6f8091a3b5c7d9e1f2031425a6b7"

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct discovery *discovery;
static struct loop *loop;
static char glob[128];
static char *globs[] = {glob, NULL};
static char *excludes[] = {"skip*"};
static struct string_list glob_list = {globs, 1}, exclude_list = {excludes, 1};
static unsigned spare_descriptors;
static char calls[1024]; /* "+a ~a -a " */

/* Of this test: the machine may have containers that come and go meanwhile. */
static bool is_ours(const struct container *container)
{
	size_t len = strlen(tree.name);

	return !strncmp(container->path, tree.name, len) && container->path[len] == '/';
}

static void note(char what, const struct container *container)
{
	size_t len = strlen(calls);

	if (!is_ours(container))
		return;
	snprintf(calls + len, sizeof(calls) - len, "%c%s ", what, container->name);
}

static void on_added(void *userdata, struct container *container)
{
	CHECK(container_table_by_id(discovery_table(*(struct discovery **)userdata),
				    container->id) == container);
	note('+', container);
}

static void on_removed(void *userdata, struct container *container)
{
	CHECK(container_table_by_id(discovery_table(*(struct discovery **)userdata),
				    container->id) == container);
	note('-', container);
}

static void on_joined(void *userdata, struct container *container)
{
	note('~', container);
}

static void tear_down(void *arg)
{
	discovery_free(discovery);
	discovery = NULL;
	loop_free(loop);
	loop = NULL;
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
}

static void set_up(unsigned max_containers)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	calls[0] = '\0';
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "discovery");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	snprintf(glob, sizeof(glob), "/%s/*", tree.name);

	CHECK_INT(loop_new(&loop), 0);
	struct discovery_options options = {
		.hierarchies = &hierarchies,
		.loop = loop,
		.globs = &glob_list,
		.excludes = &exclude_list,
		.max_containers = max_containers,
		.spare_descriptors = spare_descriptors,
		.added = on_added,
		.removed = on_removed,
		.joined = on_joined,
		.userdata = &discovery,
	};
	CHECK_INT(discovery_new(&options, &discovery), 0);
}

static const struct hierarchy *hierarchy(enum cgroup_controller c)
{
	return &hierarchies.by_controller[c];
}

static struct container *by_name(const char *name)
{
	return container_table_by_name(discovery_table(discovery), name);
}

static size_t count_ours(void)
{
	struct container *c;
	size_t n = 0;
	container_table_foreach(discovery_table(discovery), c) {
		n += is_ours(c);
	}
	return n;
}

static void path_in(enum cgroup_controller c, const char *child, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/%s/%s", hierarchy(c)->mount, tree.name, child);
}

static void event(enum lifecycle_kind kind, enum cgroup_controller c, uint64_t id,
		  const char *child)
{
	char path[512];
	snprintf(path, sizeof(path), "/%s/%s", tree.name, child);
	struct lifecycle_event e = {
		.kind = kind,
		.hierarchy_id = hierarchy(c)->id,
		.cgroup_id = id,
		.at_ns = now_ns(),
		.path = path,
	};
	discovery_event(discovery, &e);
}

static uint64_t make(enum cgroup_controller c, const char *child)
{
	char path[512];
	struct stat st;
	path_in(c, child, path, sizeof(path));
	CHECK_INT(mkdir(path, 0755), 0);
	CHECK_INT(stat(path, &st), 0);
	return st.st_ino;
}

static uint64_t make_and_tell(enum cgroup_controller c, const char *child)
{
	uint64_t id = make(c, child);
	event(LIFECYCLE_MKDIR, c, id, child);
	return id;
}

static void unmake(enum cgroup_controller c, const char *child)
{
	char path[512];
	path_in(c, child, path, sizeof(path));
	CHECK_INT(rmdir(path), 0);
}

static void unmake_and_tell(enum cgroup_controller c, const char *child, uint64_t id)
{
	unmake(c, child);
	event(LIFECYCLE_RMDIR, c, id, child);
}

static void expect_calls(const char *want)
{
	CHECK_STR(calls, want);
	calls[0] = '\0';
}

static void need_v1(void)
{
	if (hierarchy(CGROUP_CPU)->version != 1 ||
	    hierarchy(CGROUP_MEMORY)->shared == hierarchy(CGROUP_CPU)->shared ||
	    !hierarchy(CGROUP_MEMORY)->mount)
		SKIP("cpu and memory are not v1 hierarchies of their own");
}

/* Do the container's descriptors lead to where its name says, and only those exist? */
static void check_dirs(const struct container *container, const char *child)
{
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		char path[512];
		struct stat st, got;
		if (!hierarchy(c)->mount)
			continue;
		path_in(c, child, path, sizeof(path));
		if (stat(path, &st) < 0) {
			CHECK_INT(container->dir_fds[c], -1);
			CHECK_INT(container->ids[c], 0);
			continue;
		}
		CHECK_INT(fstat(container->dir_fds[c], &got), 0);
		CHECK(got.st_ino == st.st_ino && got.st_dev == st.st_dev);
		CHECK(container->ids[c] == st.st_ino);
	}
}

TEST(a_scan_finds_what_is_there_and_what_has_gone)
{
	set_up(0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "a"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "b"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "skip-me"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "a/nested"), 0);
	CHECK_INT(discovery_scan(discovery), 0);
	CHECK_INT(count_ours(), 2);
	CHECK_STR(by_name("a")->engine, "cgroup");
	check_dirs(by_name("a"), "a");
	check_dirs(by_name("b"), "b");
	CHECK(!by_name("skip-me"));
	CHECK(!by_name("nested"));

	struct container *b = by_name("b");
	calls[0] = '\0';
	char path[512];
	for (int i = 0; i < tree.n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s/a", tree.mounts[i].path, tree.name);
		char nested[600];
		snprintf(nested, sizeof(nested), "%s/nested", path);
		CHECK(rmdir(nested) == 0 && rmdir(path) == 0);
	}
	CHECK_INT(discovery_scan(discovery), 0);
	expect_calls("-a ");
	CHECK(by_name("b") == b);
}

TEST(engines_are_told_by_their_paths)
{
	set_up(0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "x.slice"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "x.slice/libpod-" ID ".scope"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "x.slice/libpod-" ID ".scope/container"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "x.slice/libpod-conmon-" ID ".scope"), 0);
	CHECK_INT(discovery_scan(discovery), 0);
	CHECK(by_name("x.slice"));
	CHECK_STR(by_name(ID)->engine, "podman");
	CHECK_INT(count_ours(), 2);
}

TEST(the_agents_own_cgroup_and_the_root_are_no_containers)
{
	set_up(0);
	discovery_free(discovery);
	discovery = NULL;

	/* As if this process had started in TREE/a/inner. */
	enum cgroup_controller c = hierarchies.primary;
	free(hierarchies.by_controller[c].own_path);
	CHECK(asprintf(&hierarchies.by_controller[c].own_path, "/%s/a/inner", tree.name) > 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "a"), 0);
	CHECK_INT(cgroup_tree_mkdir(&tree, "b"), 0);
	snprintf(glob, sizeof(glob), "*");
	char all[128];
	snprintf(all, sizeof(all), "%s/*", tree.name);
	char *both[] = {glob, all};
	struct string_list list = {both, 2};
	struct discovery_options options = {.hierarchies = &hierarchies, .globs = &list};
	CHECK_INT(discovery_new(&options, &discovery), 0);
	CHECK_INT(discovery_scan(discovery), 0);
	CHECK(!by_name(tree.name));
	CHECK(!by_name("a"));
	CHECK(by_name("b"));

	char *root[] = {"//"};
	struct string_list root_list = {root, 1};
	struct discovery *none = NULL;
	options.globs = &root_list;
	CHECK_INT(discovery_new(&options, &none), -EINVAL);
	CHECK(!none);
}

TEST(mkdir_and_rmdir_events)
{
	set_up(0);
	uint64_t id = make_and_tell(hierarchies.primary, "a");
	expect_calls("+a ");
	CHECK(by_name("a")->id == id);
	check_dirs(by_name("a"), "a");

	event(LIFECYCLE_MKDIR, hierarchies.primary, id, "a"); /* seen by a scan before its event */
	expect_calls("");
	unmake_and_tell(hierarchies.primary, "a", id);
	expect_calls("-a ");
	CHECK(!by_name("a"));
	event(LIFECYCLE_RMDIR, hierarchies.primary, id, "a");
	expect_calls("");
}

TEST(v1_directories_join_one_after_another)
{
	set_up(0);
	need_v1();
	make_and_tell(CGROUP_CPU, "a");
	expect_calls("+a ");
	struct container *a = by_name("a");
	CHECK_INT(a->dir_fds[CGROUP_MEMORY], -1);

	uint64_t memory = make_and_tell(CGROUP_MEMORY, "a");
	expect_calls("~a ");
	CHECK(by_name("a") == a);
	CHECK(a->ids[CGROUP_MEMORY] == memory);
	check_dirs(a, "a");

	event(LIFECYCLE_MKDIR, CGROUP_MEMORY, memory, "a");
	expect_calls("");

	unmake_and_tell(CGROUP_MEMORY, "a", memory);
	expect_calls("~a ");
	CHECK_INT(a->dir_fds[CGROUP_MEMORY], -1);
	memory = make_and_tell(CGROUP_MEMORY, "a");
	expect_calls("~a ");
	CHECK(a->ids[CGROUP_MEMORY] == memory);
}

TEST(the_primary_directory_may_come_last)
{
	set_up(0);
	need_v1();
	make_and_tell(CGROUP_MEMORY, "a");
	expect_calls("");
	CHECK_INT(count_ours(), 0);
	make_and_tell(CGROUP_CPU, "a");
	expect_calls("+a ");
	CHECK(by_name("a")->dir_fds[CGROUP_MEMORY] >= 0);
	check_dirs(by_name("a"), "a");
}

TEST(events_may_lag_behind_the_tree)
{
	set_up(0);
	need_v1();
	/* All directories are there before the first event is read. */
	uint64_t cpu = make(CGROUP_CPU, "a"), memory = make(CGROUP_MEMORY, "a");
	event(LIFECYCLE_MKDIR, CGROUP_CPU, cpu, "a");
	event(LIFECYCLE_MKDIR, CGROUP_MEMORY, memory, "a");
	expect_calls("+a ");
	check_dirs(by_name("a"), "a");

	/* Removed and made again before the removal is read. */
	unmake(CGROUP_CPU, "a");
	uint64_t again = make(CGROUP_CPU, "a");
	event(LIFECYCLE_RMDIR, CGROUP_CPU, cpu, "a");
	event(LIFECYCLE_MKDIR, CGROUP_CPU, again, "a");
	expect_calls("-a +a ");
	CHECK(by_name("a")->id == again);

	/* The old one's mkdir is read when a new one is in its place. */
	unmake(CGROUP_CPU, "a");
	uint64_t third = make(CGROUP_CPU, "a");
	unmake(CGROUP_CPU, "a");
	uint64_t fourth = make(CGROUP_CPU, "a");
	event(LIFECYCLE_RMDIR, CGROUP_CPU, again, "a");
	event(LIFECYCLE_MKDIR, CGROUP_CPU, third, "a");
	event(LIFECYCLE_RMDIR, CGROUP_CPU, third, "a");
	event(LIFECYCLE_MKDIR, CGROUP_CPU, fourth, "a");
	expect_calls("-a +a ");
	CHECK(by_name("a")->id == fourth);
	check_dirs(by_name("a"), "a");
}

TEST(a_recreated_cgroup_whose_rmdir_was_missed_is_new)
{
	set_up(0);
	uint64_t first = make_and_tell(hierarchies.primary, "a");
	unmake(hierarchies.primary, "a");
	uint64_t second = make_and_tell(hierarchies.primary, "a");
	expect_calls("+a -a +a ");
	CHECK(first != second);
	CHECK(by_name("a")->id == second);

	unmake(hierarchies.primary, "a");
	uint64_t third = make(hierarchies.primary, "a");
	CHECK_INT(discovery_scan(discovery), 0);
	expect_calls("-a +a ");
	CHECK(by_name("a")->id == third);
}

static void turn_for(unsigned ms)
{
	for (uint64_t end = now_ns() + ms * EBB_NS_PER_MS; now_ns() < end;)
		loop_turn(loop, 1);
}

TEST(a_cgroup_announced_before_it_is_visible_is_looked_at_again)
{
	set_up(0);
	/* The id that the next cgroup gets: kernfs counts up, the files of a cgroup too. */
	uint64_t first = make(hierarchies.primary, "skip1"),
		 id = make(hierarchies.primary, "skip2");
	id += id - first;
	event(LIFECYCLE_MKDIR, hierarchies.primary, id, "a");
	expect_calls("");
	if (make(hierarchies.primary, "a") != id)
		SKIP("another cgroup was made at the same moment");
	for (int i = 0; i < 1000 && !*calls; i++)
		loop_turn(loop, 10);
	expect_calls("+a ");

	/* One that never comes is given up without harm, and one that has gone at once. */
	event(LIFECYCLE_MKDIR, hierarchies.primary, id + 1000, "b");
	event(LIFECYCLE_MKDIR, hierarchies.primary, id + 2000, "c");
	event(LIFECYCLE_RMDIR, hierarchies.primary, id + 2000, "c");
	turn_for(300);
	expect_calls("");
}

TEST(lost_events_lead_to_a_scan)
{
	set_up(0);
	uint64_t id = make_and_tell(hierarchies.primary, "gone");
	unmake(hierarchies.primary, "gone");
	make(hierarchies.primary, "a");
	make(hierarchies.primary, "memoryless");
	calls[0] = '\0';
	discovery_event(discovery, &(struct lifecycle_event){.kind = LIFECYCLE_LOST});
	for (int i = 0; i < 1000 && (by_name("gone") || !by_name("a")); i++)
		loop_turn(loop, 10);
	CHECK(!by_name("gone"));
	CHECK(by_name("a"));
	CHECK(!container_table_by_id(discovery_table(discovery), id));

	if (hierarchy(CGROUP_MEMORY)->shared == hierarchy(hierarchies.primary)->shared)
		return;
	/* Directories of other hierarchies that came and went unheard. */
	make(CGROUP_MEMORY, "a");
	calls[0] = '\0';
	CHECK_INT(discovery_scan(discovery), 0);
	expect_calls("~a ");
	check_dirs(by_name("a"), "a");
	unmake(CGROUP_MEMORY, "a");
	CHECK_INT(discovery_scan(discovery), 0);
	expect_calls("~a ");
	check_dirs(by_name("a"), "a");
}

TEST(a_cut_path_leads_to_a_scan)
{
	set_up(0);
	char path[256];
	uint64_t id = make(hierarchies.primary, "a");
	memset(path, 'x', 255);
	path[0] = '/';
	path[255] = '\0';
	struct lifecycle_event e = {
		.kind = LIFECYCLE_MKDIR,
		.hierarchy_id = hierarchy(hierarchies.primary)->id,
		.cgroup_id = id,
		.path = path,
	};
	discovery_event(discovery, &e);
	for (int i = 0; i < 1000 && !by_name("a"); i++)
		loop_turn(loop, 10);
	CHECK(by_name("a"));
}

TEST(renamed_is_removed_and_added)
{
	set_up(0);
	if (hierarchy(hierarchies.primary)->version != 1)
		SKIP("only cgroup v1 renames cgroups");
	char from[512], to[512];
	uint64_t id = make_and_tell(hierarchies.primary, "a");
	path_in(hierarchies.primary, "a", from, sizeof(from));
	path_in(hierarchies.primary, "b", to, sizeof(to));
	CHECK_INT(rename(from, to), 0);
	event(LIFECYCLE_RENAME, hierarchies.primary, id, "b");
	expect_calls("+a -a +b ");
	CHECK(by_name("b")->id == id);
	check_dirs(by_name("b"), "b");

	/* Unheard of, found by the scan. */
	path_in(hierarchies.primary, "c", from, sizeof(from));
	CHECK_INT(rename(to, from), 0);
	CHECK_INT(discovery_scan(discovery), 0);
	expect_calls("-b +c ");
	CHECK(by_name("c")->id == id);
	CHECK_STR(strrchr(by_name("c")->path, '/'), "/c");
}

TEST(foreign_hierarchies_and_events_are_ignored)
{
	set_up(0);
	uint64_t id = make(hierarchies.primary, "a");
	char path[128];
	snprintf(path, sizeof(path), "/%s/a", tree.name);
	struct lifecycle_event e = {
		.kind = LIFECYCLE_MKDIR, .hierarchy_id = 4711, .cgroup_id = id, .path = path};
	discovery_event(discovery, &e);
	e.hierarchy_id = hierarchy(hierarchies.primary)->id;
	e.kind = LIFECYCLE_ATTACH;
	discovery_event(discovery, &e);
	e.kind = LIFECYCLE_OOM_KILL;
	discovery_event(discovery, &e);
	expect_calls("");

	/* A path that tries to leave the tree opens nothing. */
	e.kind = LIFECYCLE_MKDIR;
	snprintf(path, sizeof(path), "/%s/..", tree.name);
	discovery_event(discovery, &e);
	expect_calls("");
}

TEST(a_limit_on_their_number)
{
	/* All engines but "cgroup": the place that becomes free is for ours. */
	char *foreign[] = {"engine=[!c]*", "engine=c[!g]*"};
	exclude_list = (struct string_list){foreign, ARRAY_SIZE(foreign)};
	set_up(2);
	uint64_t a = make_and_tell(hierarchies.primary, "a");
	make_and_tell(hierarchies.primary, "b");
	make_and_tell(hierarchies.primary, "c");
	expect_calls("+a +b ");
	unmake_and_tell(hierarchies.primary, "a", a);
	for (int i = 0; i < 1000 && !by_name("c"); i++)
		loop_turn(loop, 10);
	expect_calls("-a +c ");
	exclude_list = (struct string_list){excludes, ARRAY_SIZE(excludes)};
}

TEST(descriptors_are_left_to_others)
{
	struct rlimit limit, few;
	char name[16];
	int lowest;

	spare_descriptors = 20;
	set_up(0);
	lowest = dup(0);
	CHECK(lowest >= 0);
	close(lowest);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = (rlim_t)lowest + 20 + 30;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		make_and_tell(hierarchies.primary, name);
	}
	/* Some are there; and what was spared can be opened. */
	CHECK(by_name("c0"));
	CHECK(!by_name("c59"));
	CHECK(count_ours() >= 10);
	for (int i = 0; i < 10; i++)
		CHECK(dup(0) >= 0);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	CHECK_INT(discovery_scan(discovery), 0);
	CHECK_INT(count_ours(), 60);
	spare_descriptors = 0;
}

TEST(freeing_removes_all)
{
	set_up(0);
	make_and_tell(hierarchies.primary, "a");
	expect_calls("+a ");
	discovery_free(discovery);
	discovery = NULL;
}

/* Quadratic behaviour would take minutes here: 9 million steps of at least a microsecond each. */
TEST(three_thousand_cgroups)
{
	set_up(0);
	enum { N = 3000 };
	struct rlimit limit;
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 2 * N)
		SKIP("only %ju descriptors allowed", (uintmax_t)limit.rlim_max);
	limit.rlim_cur = limit.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);

	char child[32];
	for (int i = 0; i < N; i++) {
		snprintf(child, sizeof(child), "c%d", i);
		make(hierarchies.primary, child);
	}
	uint64_t start = now_ns();
	CHECK_INT(discovery_scan(discovery), 0);
	uint64_t first = now_ns();
	CHECK_INT(count_ours(), N);
	CHECK_INT(discovery_scan(discovery), 0);
	uint64_t second = now_ns();
	CHECK_INT(count_ours(), N);
	fprintf(stderr, "scan of %d cgroups: %.1f ms new, %.1f ms known\n", N,
		(first - start) / 1e6, (second - first) / 1e6);

	for (int i = 0; i < N; i++) {
		snprintf(child, sizeof(child), "c%d", i);
		struct container *c = by_name(child);
		CHECK(c);
		unmake_and_tell(hierarchies.primary, child, c->id);
	}
	CHECK_INT(count_ours(), 0);
}

TEST_MAIN()
