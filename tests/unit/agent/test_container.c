/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "container.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "hash.h"

static struct container_table *table;

static void free_table(void *arg)
{
	container_table_free(table);
	table = NULL;
}

static void new_table(void)
{
	CHECK_INT(container_table_new(&table), 0);
	test_at_end(free_table, NULL);
}

static struct container *add(uint64_t id, const char *name)
{
	struct container *container;
	char path[64];
	snprintf(path, sizeof(path), "some/path/%llu", (unsigned long long)id);
	CHECK_INT(container_new(id, name, path, "docker", &container), 0);
	CHECK_INT(container_table_add(table, container), 0);
	return container;
}

TEST(found_by_name_and_by_id)
{
	new_table();
	struct container *a = add(10, "a"), *b = add(20, "b");
	CHECK(container_table_by_name(table, "a") == a);
	CHECK(container_table_by_id(table, 20) == b);
	CHECK(!container_table_by_name(table, "c"));
	CHECK(!container_table_by_id(table, 30));
	CHECK_INT(container_table_count(table), 2);

	CHECK(container_table_remove(table, 10) == a);
	CHECK(!container_table_by_name(table, "a"));
	CHECK(!container_table_by_id(table, 10));
	CHECK(!container_table_remove(table, 10));
	CHECK(container_table_at(table, 0) == b);
	CHECK(!container_table_at(table, 1));
	container_free(a);
}

TEST(a_fresh_container_has_nothing)
{
	struct container *c;
	CHECK_INT(container_new(7, "n", "p", "lxc", &c), 0);
	CHECK_INT(c->slot, -1);
	for (unsigned i = 0; i < CGROUP_CONTROLLER_MAX; i++)
		CHECK_INT(c->dir_fds[i], -1);
	for (unsigned i = 0; i < EBB_RESOURCE_MAX; i++)
		CHECK(c->upper[i] == INT64_MAX);
	container_free(c);
}

static struct container *add_of(uint64_t id, const char *name, const char *engine, const char *path)
{
	struct container *container;
	CHECK_INT(container_new(id, name, path, engine, &container), 0);
	CHECK_INT(container_table_add(table, container), 0);
	return container;
}

TEST(names_are_unique)
{
	char name[64];

	new_table();
	CHECK_STR(add_of(1, "app", "docker", "docker/1")->name, "app");
	CHECK_STR(add_of(2, "app", "lxc", "lxc.payload.app")->name, "app@lxc");
	CHECK_STR(add_of(3, "app", "podman", "libpod-3")->name, "app@podman");
	/* One of the same engine: by its path, which is its own. */
	snprintf(name, sizeof(name), "app@podman-%08x", (unsigned)hash_string("libpod-4"));
	CHECK_STR(add_of(4, "app", "podman", "libpod-4")->name, name);
	CHECK_STR(container_table_by_name(table, "app@lxc")->path, "lxc.payload.app");
	/* A name that looks so is no trouble. */
	CHECK_STR(add_of(5, "app@lxc", "docker", "docker/5")->name, "app@lxc@docker");
}

TEST(containers_of_globs_are_told_apart_by_where_they_lie)
{
	char long_path[200];

	new_table();
	CHECK_STR(add_of(1, "job", "cgroup", "/batch/a/job")->name, "job");
	CHECK_STR(add_of(2, "job", "cgroup", "/batch/b/job")->name, "job@batch.b");
	CHECK_STR(add_of(3, "job", "cgroup", "job")->name, "job@cgroup");
	memset(long_path, 'd', sizeof(long_path));
	strcpy(long_path + sizeof(long_path) - 5, "/job");
	CHECK_INT(strlen(add_of(4, "job", "cgroup", long_path)->name), 4 + 16);
}

TEST(who_had_a_name_first_keeps_it)
{
	char dir[] = "/tmp/ebb-test-names-XXXXXX", path[64];
	struct name_record *record;
	struct container *docker, *lxc;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state/names", dir);
	for (int order = 0; order < 3; order++) {
		new_table();
		CHECK_INT(name_record_open(path, &record), 0);
		container_table_set_record(table, record, "h1");
		/* Whichever is found first: the first round has made it docker's. */
		lxc = order == 1 ? add_of(2, "web", "lxc", "lxc.payload.web") : NULL;
		docker = order == 2 ? NULL : add_of(1, "web", "docker", "docker/1");
		if (!lxc)
			lxc = add_of(2, "web", "lxc", "lxc.payload.web");
		CHECK(!docker || !strcmp(docker->name, "web"));
		CHECK_STR(lxc->name, "web@lxc");
		/* Gone and come back, as another cgroup. */
		if (docker) {
			container_free(container_table_remove(table, 1));
			CHECK(!container_table_by_name(table, "web"));
			CHECK_STR(add_of(7, "web", "docker", "docker/7")->name, "web");
		}
		container_table_free(table);
		table = NULL;
		name_record_close(record);
	}
	CHECK_INT(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/state", dir);
	CHECK_INT(rmdir(path), 0);
	CHECK_INT(rmdir(dir), 0);
}

static struct name_record *open_record;

static void close_record(void *arg)
{
	name_record_close(open_record);
	open_record = NULL;
}

TEST(twins_of_one_owner_keep_their_names)
{
	static const char *const paths[] = {"lxc/web", "lxc.payload.web"};

	CHECK_INT(name_record_open(NULL, &open_record), 0);
	test_at_end(close_record, NULL);
	for (int order = 0; order < 4; order++) {
		new_table();
		container_table_set_record(table, open_record, "h1");
		add_of(1, "web", "lxc", paths[order % 2]);
		add_of(2, "web", "lxc", paths[1 - order % 2]);
		CHECK_STR(container_table_by_name(table, "web")->path, paths[0]);
		CHECK_STR(container_table_by_name(table, "web@lxc")->path, paths[1]);
		container_table_free(table);
		table = NULL;
	}
}

TEST(the_name_of_a_container_of_another_host)
{
	struct container *a, *b;

	CHECK_INT(name_record_open(NULL, &open_record), 0);
	test_at_end(close_record, NULL);
	new_table();
	container_table_set_record(table, open_record, "h1");
	a = add_of(1, "nginx", "docker", "docker/1");
	CHECK_INT(container_table_name_taken(table, a), 0);
	CHECK_INT(container_table_rename(table, a, "nginx", NULL, false), 1);
	CHECK_STR(a->name, "nginx@h1");
	/* It stays so. */
	CHECK_INT(container_table_rename(table, a, "nginx", NULL, false), 0);
	container_free(container_table_remove(table, 1));
	CHECK_STR(add_of(2, "nginx", "docker", "docker/2")->name, "nginx@h1");
	CHECK_STR(add_of(3, "nginx", "lxc", "lxc.payload.nginx")->name, "nginx@lxc");
	/* Users' on two hosts. */
	b = add_of(4, "~4", "podman", "libpod-4");
	CHECK_INT(container_table_rename(table, b, "x", "podman.1000", true), 1);
	CHECK_INT(container_table_name_taken(table, b), 0);
	CHECK_INT(container_table_rename(table, b, "x", "podman.1000", true), 1);
	CHECK_STR(b->name, "x@podman.1000@h1");
}

TEST(renaming)
{
	struct container *a, *b;

	new_table();
	a = add_of(1, "~1", "docker", "docker/1");
	b = add_of(2, "~2", "docker", "docker/2");
	CHECK_INT(container_table_rename(table, a, "web", "docker", false), 1);
	CHECK_INT(container_table_rename(table, a, "web", "docker", false), 0);
	CHECK(container_table_by_name(table, "web") == a && !container_table_by_name(table, "~1"));
	CHECK_INT(container_table_rename(table, b, "web", "podman.1000", true), 1);
	CHECK_STR(b->name, "web@podman.1000");
	CHECK_STR(b->owner, "podman.1000");
	CHECK_INT(container_table_rename(table, b, "db", NULL, true), 1);
	CHECK(container_table_by_name(table, "db@podman.1000") == b);
	/* Nobody else has it now, and a user's is qualified all the same. */
	container_free(container_table_remove(table, 1));
	CHECK_INT(container_table_rename(table, b, "web", NULL, true), 1);
	CHECK_STR(b->name, "web@podman.1000");
	CHECK_INT(container_table_count(table), 1);
}

TEST(a_long_name_is_cut_for_its_suffix)
{
	new_table();
	char name[CONTAINER_NAME_MAX + 1];
	memset(name, 'x', CONTAINER_NAME_MAX);
	name[CONTAINER_NAME_MAX] = '\0';
	CHECK_STR(add(1, name)->name, name);
	const char *second = add(2, name)->name;
	CHECK_INT(strlen(second), CONTAINER_NAME_MAX);
	CHECK_STR(second + CONTAINER_NAME_MAX - 8, "x@docker");
}

TEST(an_id_is_known_once)
{
	new_table();
	add(1, "a");
	struct container *again;
	CHECK_INT(container_new(1, "b", "p", "lxc", &again), 0);
	CHECK_INT(container_table_add(table, again), -EEXIST);
	CHECK(!container_table_by_name(table, "b"));
	container_free(again);
}

TEST(thousands_of_equal_names_are_cheap)
{
	/* Quadratic naming would be 50 million look-ups here. */
	new_table();
	for (uint64_t id = 1; id <= 10000; id++)
		add(id, "web");
	for (uint64_t id = 1; id <= 10000; id++) {
		struct container *c = container_table_by_id(table, id);
		CHECK(c && container_table_by_name(table, c->name) == c);
	}
}

/* Against a plain array as the model; collisions and shifted probes are what this is after. */
TEST(random_adds_and_removes_agree_with_a_model)
{
	enum { IDS = 300 };
	struct container *model[IDS] = {0};
	uint64_t seed = random_u64();
	srand48((long)seed);
	fprintf(stderr, "seed %ld\n", (long)seed);

	new_table();
	size_t count = 0;
	for (int step = 0; step < 20000; step++) {
		uint64_t id = 1 + (uint64_t)(lrand48() % IDS);
		struct container **slot = &model[id - 1];
		if (*slot) {
			CHECK(container_table_remove(table, id) == *slot);
			container_free(*slot);
			*slot = NULL;
			count--;
		} else {
			char name[16];
			snprintf(name, sizeof(name), "c%ld", lrand48() % 40);
			*slot = add(id, name);
			count++;
		}
		CHECK_INT(container_table_count(table), count);
		if (step % 100)
			continue;
		for (uint64_t i = 1; i <= IDS; i++) {
			CHECK(container_table_by_id(table, i) == model[i - 1]);
			if (model[i - 1])
				CHECK(container_table_by_name(table, model[i - 1]->name) ==
				      model[i - 1]);
		}
		size_t seen = 0;
		struct container *c;
		container_table_foreach(table, c) {
			CHECK(model[c->id - 1] == c);
			seen++;
		}
		CHECK_INT(seen, count);
	}
}

TEST(a_shared_descriptor_is_closed_once)
{
	struct container *c;
	CHECK_INT(container_new(7, "n", "p", "lxc", &c), 0);
	int shared = open("/", O_PATH), other = open("/proc", O_PATH);
	c->dir_fds[CGROUP_CPU] = c->dir_fds[CGROUP_CPUACCT] = shared;
	c->ids[CGROUP_CPU] = c->ids[CGROUP_CPUACCT] = 5;
	c->dir_fds[CGROUP_MEMORY] = other;
	container_close_dir(c, shared);
	CHECK_INT(c->dir_fds[CGROUP_CPU], -1);
	CHECK_INT(c->dir_fds[CGROUP_CPUACCT], -1);
	CHECK_INT(c->ids[CGROUP_CPUACCT], 0);
	CHECK_INT(fcntl(shared, F_GETFD), -1);
	CHECK(fcntl(other, F_GETFD) >= 0);
	container_free(c);
	CHECK_INT(fcntl(other, F_GETFD), -1);
}

TEST_MAIN()
