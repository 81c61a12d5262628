/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of containers on real cgroups, and odd trees of them: the namer's thread, discovery, and
 * engines' state in a directory of the test's own.
 */
#include "test.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cgroup_tree.h"
#include "discovery.h"
#include "names.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

#define MANY 10000

static struct {
	struct hierarchies hierarchies;
	struct cgroup_tree tree;
	struct discovery *discovery;
	struct names *names;
	struct name_record *record;
	struct loop *loop;
	char dir[64], glob[128];
	unsigned added, named, nameless;
} t;

static char *exclude_items[] = {(char *)"secret*", (char *)"image=hidden:*"};
static struct string_list excludes = {exclude_items, 2};

static void on_added(void *userdata, struct container *container)
{
	if (strncmp(container->path, t.tree.name, strlen(t.tree.name)) != 0)
		return;
	t.added++;
	if (container->unnamed)
		CHECK_INT(names_add(t.names, container), 0);
}

static void on_removed(void *userdata, struct container *container)
{
	if (t.names)
		names_remove(t.names, container->id);
}

static void on_named(void *userdata, uint64_t id, struct engine_answer *answer)
{
	struct container *container = container_table_by_id(discovery_table(t.discovery), id);

	CHECK(container);
	t.named += answer != NULL;
	t.nameless += answer == NULL;
	int r = discovery_name(t.discovery, container, answer ? &answer->labels : NULL, NULL, NULL,
			       false);
	CHECK(r >= 0 || r == -ECANCELED);
	if (r == -ECANCELED)
		discovery_let_go(t.discovery, container);
}

static void tear_down(void *arg)
{
	char command[128];

	names_free(t.names);
	t.names = NULL;
	discovery_free(t.discovery);
	name_record_close(t.record);
	loop_free(t.loop);
	cgroup_tree_remove(&t.tree);
	hierarchies_close(&t.hierarchies);
	snprintf(command, sizeof(command), "rm -rf %s", t.dir);
	CHECK_INT(system(command), 0);
	memset(&t, 0, sizeof(t));
}

static void begin(void)
{
	char *globs[] = {t.glob};
	struct string_list glob_list = {globs, 1};

	CHECK_INT(name_record_open(NULL, &t.record), 0);
	CHECK_INT(loop_new(&t.loop), 0);
	CHECK_INT(names_new(
			  &(struct names_options){
				  .loop = t.loop,
				  .roots = {.prefix = t.dir},
				  .named = on_named,
			  },
			  &t.names),
		  0);
	CHECK_INT(discovery_new(
			  &(struct discovery_options){
				  .hierarchies = &t.hierarchies,
				  .loop = t.loop,
				  .globs = &glob_list,
				  .excludes = &excludes,
				  .names_follow = true,
				  .record = t.record,
				  .host_name = "h1",
				  .added = on_added,
				  .removed = on_removed,
			  },
			  &t.discovery),
		  0);
}

static void set_up(void)
{
	struct rlimit limit;

	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &t.hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	strcpy(t.dir, "/tmp/ebb-test-names-XXXXXX");
	CHECK(mkdtemp(t.dir));
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&t.tree, "names");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	snprintf(t.glob, sizeof(t.glob), "%s/*", t.tree.name);
	begin();
}

/* In the hierarchy that names containers only. */
static void path_of(const char *child, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/%s/%s",
		 t.hierarchies.by_controller[t.hierarchies.primary].mount, t.tree.name, child);
}

static uint64_t make(const char *child)
{
	char path[4096];
	struct stat st;

	path_of(child, path, sizeof(path));
	for (char *at = strstr(path, t.tree.name); (at = strchr(at + 1, '/'));) {
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
	CHECK_INT(mkdir(path, 0755), 0);
	CHECK_INT(stat(path, &st), 0);
	return st.st_ino;
}

static void unmake(const char *child)
{
	char path[512];

	path_of(child, path, sizeof(path));
	CHECK_INT(rmdir(path), 0);
}

static void move(const char *from, const char *to)
{
	char old[512], new[512];

	path_of(from, old, sizeof(old));
	path_of(to, new, sizeof(new));
	if (rename(old, new) < 0)
		SKIP("cgroups cannot be renamed here: %s", strerror(errno));
}

/* An id like `n` in 64 digits. */
#define ID "%064x"

static void docker_says(unsigned n, const char *name, const char *image)
{
	char path[512];
	size_t len;

	len = (size_t)snprintf(path, sizeof(path), "%s/var/lib/docker/containers/" ID, t.dir, n);
	for (char *at = path + strlen(t.dir); (at = strchr(at + 1, '/'));) {
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
	(void)mkdir(path, 0755);
	snprintf(path + len, sizeof(path) - len, "/config.v2.json");
	FILE *f = fopen(path, "we");
	CHECK(f);
	fprintf(f, "{\"Name\":\"/%s\",\"Config\":{\"Image\":\"%s\"}}", name, image);
	fclose(f);
}

static uint64_t make_docker(unsigned n)
{
	char child[128];

	snprintf(child, sizeof(child), "docker/" ID, n);
	return make(child);
}

static struct container *by_name(const char *name)
{
	return container_table_by_name(discovery_table(t.discovery), name);
}

static struct container *by_id(uint64_t id)
{
	return container_table_by_id(discovery_table(t.discovery), id);
}

#define UNTIL(condition)                                                  \
	do {                                                              \
		uint64_t _end = now_ns() + 60 * EBB_NS_PER_SEC;           \
		while (!(condition)) {                                    \
			if (now_ns() > _end)                              \
				TEST_FAIL("waited in vain: " #condition); \
			loop_turn(t.loop, 20);                            \
		}                                                         \
	} while (0)

TEST(nobody_is_told_before_the_name_is_known)
{
	set_up();
	docker_says(1, "web", "nginx");
	uint64_t id = make_docker(1), nameless = make_docker(2);
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK(by_id(id)->unnamed && !by_name("web"));
	UNTIL(t.named == 1 && t.nameless == 1);
	CHECK(by_name("web") == by_id(id) && !by_id(id)->unnamed);
	CHECK_STR(by_id(id)->labels.image, "nginx");
	CHECK(!by_id(nameless)->unnamed);
	CHECK_INT(strlen(by_id(nameless)->name), 64);
}

TEST(those_that_are_there_at_the_start_are_named_by_age)
{
	uint64_t ids[20];

	set_up();
	/* Names of directories in the order opposite to that of their age. */
	for (unsigned i = 0; i < 20; i++) {
		docker_says(100 - i, "same", "x");
		ids[i] = make_docker(100 - i);
	}
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK_INT(t.named, 20);
	CHECK(by_name("same") == by_id(ids[0]));
	CHECK(by_name("same@docker") == by_id(ids[1]));
}

TEST(what_its_engine_says_excludes_it)
{
	unsigned added;

	set_up();
	docker_says(1, "secret-1", "x");
	docker_says(2, "web", "hidden:3");
	docker_says(3, "shown", "x");
	uint64_t one = make_docker(1), two = make_docker(2), three = make_docker(3);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(!by_id(one) && !by_id(two) && by_id(three));
	added = t.added;
	/* It is not asked for again, and not forgotten for it. */
	for (int i = 0; i < 3; i++)
		CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK_INT(t.added, added);
	/* Made again it is another one. */
	char child[128];
	snprintf(child, sizeof(child), "docker/" ID, 1);
	unmake(child);
	docker_says(1, "public", "x");
	one = make_docker(1);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(by_name("public") == by_id(one));
}

static void other_patterns(char *first, char *second)
{
	exclude_items[0] = first;
	exclude_items[1] = second;
	CHECK_INT(discovery_look_again(t.discovery), 0);
}

static void first_patterns(void *arg)
{
	exclude_items[0] = (char *)"secret*";
	exclude_items[1] = (char *)"image=hidden:*";
}

TEST(other_patterns_take_back_only_what_none_of_them_excludes)
{
	unsigned added;

	set_up();
	test_at_end(first_patterns, NULL);
	docker_says(1, "secret-1", "x");
	docker_says(2, "web", "hidden:3");
	uint64_t one = make_docker(1), two = make_docker(2);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(!by_id(one) && !by_id(two));
	added = t.added;
	/* Still excluded: by another pattern, for what its engine said. They are not even asked
	 * for. */
	other_patterns((char *)"engine=none", (char *)"image=hidden:*");
	CHECK_INT(t.added, added + 1);
	other_patterns((char *)"secret-?", (char *)"web");
	CHECK_INT(t.added, added + 1);
	names_settle(t.names, 60000);
	CHECK(!by_id(one) && !by_id(two));
	other_patterns((char *)"none", (char *)"web");
	CHECK_INT(t.added, added + 2);
	names_settle(t.names, 60000);
	CHECK(by_name("secret-1") == by_id(one) && !by_id(two));
}

/* It is not let go before its orders have ended, which is for the caller to see. */
TEST(a_new_name_that_is_excluded)
{
	set_up();
	docker_says(1, "web", "x");
	uint64_t one = make_docker(1);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	struct container *container = by_id(one);
	struct container_labels labels = {0};
	CHECK(container && label_take(&labels.name, "secret-2"));
	CHECK_INT(discovery_name(t.discovery, container, &labels, NULL, NULL, false), -ECANCELED);
	CHECK(by_name("web") == container && by_id(one) == container);
	discovery_let_go(t.discovery, container);
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK(!by_id(one));
}

TEST(an_id_that_is_used_again_gets_its_own_name)
{
	struct container *old, *new;

	set_up();
	docker_says(1, "old", "x");
	docker_says(2, "new", "x");
	char one[80];
	snprintf(one, sizeof(one), ID, 1);
	/* The kernel cannot be made to do it at will. */
	uint64_t id = make_docker(2);
	CHECK_INT(container_new(id, one, "docker/1", "docker", &old), 0);
	CHECK_INT(names_add(t.names, old), 0);
	names_remove(t.names, id);
	container_free(old);
	CHECK_INT(discovery_scan(t.discovery), 0);
	new = by_id(id);
	names_settle(t.names, 60000);
	CHECK_STR(new->name, "new");
	CHECK_INT(t.named, 1);
}

TEST(deep_trees)
{
	char child[1024] = "", key[80];
	size_t len = 0;

	set_up();
	snprintf(key, sizeof(key), ID, 1);
	docker_says(1, "deep", "x");
	for (int i = 0; i < 100; i++)
		len += (size_t)snprintf(child + len, sizeof(child) - len, "d/");
	snprintf(child + len, sizeof(child) - len, "docker/%s", key);
	uint64_t id = make(child);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(by_name("deep") == by_id(id));
	/* Deeper than anybody looks: left alone, and the rest is found. */
	len = 0;
	for (int i = 0; i < 160; i++)
		len += (size_t)snprintf(child + len, sizeof(child) - len, "e/");
	snprintf(child + len, sizeof(child) - len, "docker/%s", key);
	make(child);
	make("after");
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK(by_name("after") && by_name("deep") == by_id(id));
}

static struct {
	int fd;
	char dir[512];
} hung = {-1, ""};

static void go_on(void *arg)
{
	if (hung.fd < 0)
		return;
	close(hung.fd);
	hung.fd = -1;
	CHECK_INT(umount2(hung.dir, MNT_DETACH), 0);
}

/* Docker's directory is a file system whose server never answers: FUSE's kernel side without one.
 */
static void hang(void)
{
	char options[64];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		SKIP("no mount namespace of its own: %s", strerror(errno));
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		SKIP("no /dev/fuse: %s", strerror(errno));
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	snprintf(hung.dir, sizeof(hung.dir), "%s/var/lib/docker", t.dir);
	if (mount("ebb-test", hung.dir, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		close(fd);
		SKIP("FUSE cannot be mounted: %s", strerror(errno));
	}
	hung.fd = fd;
	test_at_end(go_on, NULL);
}

static void make_dirs(const char *below)
{
	char path[512];

	snprintf(path, sizeof(path), "%s%s/", t.dir, below);
	for (char *at = path + strlen(t.dir); (at = strchr(at + 1, '/'));) {
		*at = '\0';
		(void)mkdir(path, 0755);
		*at = '/';
	}
}

static void podman_says(unsigned n, const char *name)
{
	static const char below[] = "/var/lib/containers/storage/overlay-containers";
	char path[512];

	make_dirs(below);
	snprintf(path, sizeof(path), "%s%s/containers.json", t.dir, below);
	FILE *f = fopen(path, "we");
	CHECK(f);
	fprintf(f, "[{\"id\":\"" ID "\",\"names\":[\"%s\"]}]", n, name);
	fclose(f);
}

static void containerd_says(unsigned n, const char *name)
{
	char path[512], below[256];

	snprintf(below, sizeof(below), "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID,
		 n);
	make_dirs(below);
	snprintf(path, sizeof(path), "%s%s/config.json", t.dir, below);
	FILE *f = fopen(path, "we");
	CHECK(f);
	fprintf(f, "{\"annotations\":{\"io.kubernetes.cri.container-name\":\"%s\"}}", name);
	fclose(f);
}

TEST(an_engine_that_hangs_delays_no_other)
{
	char child[128];

	set_up();
	docker_says(1, "late", "x");
	podman_says(2, "quick");
	containerd_says(3, "app");
	hang();
	/* The first one is what the others used to wait for. */
	uint64_t one = make_docker(1);
	CHECK_INT(discovery_scan(t.discovery), 0);
	UNTIL(t.nameless == 1);
	CHECK_INT(strlen(by_id(one)->name), 64);
	snprintf(child, sizeof(child), "libpod-" ID, 2);
	uint64_t two = make(child);
	/* Docker may have it, too. */
	snprintf(child, sizeof(child), "kubepods/pod1/" ID, 3);
	uint64_t three = make(child);
	CHECK_INT(discovery_scan(t.discovery), 0);
	UNTIL(by_name("quick") && by_name("app"));
	CHECK(by_name("quick") == by_id(two) && by_name("app") == by_id(three));
	/* It is back. */
	go_on(NULL);
	UNTIL(by_name("late"));
	CHECK(by_name("late") == by_id(one));
	CHECK(by_name("quick") == by_id(two) && by_name("app") == by_id(three));
}

TEST(one_that_hangs_at_the_end_is_not_waited_for)
{
	set_up();
	make_dirs("/var/lib/docker");
	hang();
	uint64_t one = make_docker(1);
	CHECK_INT(discovery_scan(t.discovery), 0);
	UNTIL(t.nameless == 1);
	CHECK(by_id(one));
	names_free(t.names);
	t.names = NULL;
	/* Only now can its thread go on, and ends. */
	go_on(NULL);
}

TEST(renamed_cgroups_are_told_by_their_ids)
{
	set_up();
	uint64_t a = make("a"), b = make("b");
	make("parent/docker");
	CHECK_INT(discovery_scan(t.discovery), 0);
	/* Each has the other one's name, and nobody said so. */
	move("a", "swap");
	move("b", "a");
	move("swap", "b");
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK(by_name("b") == by_id(a) && by_name("a") == by_id(b));
	CHECK(strstr(by_id(a)->path, "/b") && strstr(by_id(b)->path, "/a"));
	CHECK_INT(cgroup_id_of_fd(by_id(a)->dir_fds[t.hierarchies.primary]), a);
	/* A container within what was renamed. */
	docker_says(1, "inner", "x");
	char child[128];
	snprintf(child, sizeof(child), "parent/docker/" ID, 1);
	uint64_t inner = make(child);
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(by_name("inner") == by_id(inner));
	move("parent", "moved");
	CHECK_INT(discovery_scan(t.discovery), 0);
	names_settle(t.names, 60000);
	CHECK(by_name("inner") == by_id(inner) && strstr(by_id(inner)->path, "/moved/docker/"));
}

TEST(recreated_under_the_same_name)
{
	set_up();
	for (int i = 0; i < 50; i++) {
		uint64_t id = make("again");
		CHECK_INT(discovery_scan(t.discovery), 0);
		CHECK(by_name("again") && by_name("again")->id == id);
		unmake("again");
		/* Sometimes seen to be away, sometimes not. */
		if (i % 2)
			CHECK_INT(discovery_scan(t.discovery), 0);
	}
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK(!by_name("again"));
}

static size_t count_ours(void)
{
	struct container *c;
	size_t n = 0;

	container_table_foreach(discovery_table(t.discovery), c) {
		n += !strncmp(c->path, t.tree.name, strlen(t.tree.name));
	}
	return n;
}

TEST(ten_thousand_cgroups)
{
	char name[32], child[64];
	struct rlimit limit;

	set_up();
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < MANY + 256)
		SKIP("%llu descriptors are too few", (unsigned long long)limit.rlim_cur);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		make(name);
	}
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK_INT(count_ours(), MANY);
	CHECK_INT(t.added, MANY);
	/* Half of them go, as many of the same names come elsewhere, one scan sees both. */
	for (int i = 0; i < MANY; i += 2) {
		snprintf(name, sizeof(name), "c%d", i);
		unmake(name);
	}
	make("sub");
	for (int i = 0; i < 100; i++) {
		snprintf(child, sizeof(child), "c%d", 2 * i);
		make(child);
	}
	CHECK_INT(discovery_scan(t.discovery), 0);
	CHECK_INT(count_ours(), MANY / 2 + 1 + 100);
	CHECK(by_name("c1") && by_name("c198") && !by_name("c200") && by_name("c9999"));
}

TEST_MAIN()
