/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ebb/cleanup.h"
#include "exclusion.h"

static bool excludes(const char *pattern, const char *path, const char *name,
		     const struct container_labels *labels)
{
	char *items[] = {(char *)"no-such-*", (char *)pattern};
	struct string_list list = {items, 2};

	return exclusion_matches(&list, "docker", path, (const char *const[]){name, NULL}, labels);
}

TEST(by_name_path_and_label)
{
	struct container_labels labels = {.namespace = (char *)"kube-system",
					  .pod = (char *)"dns-1",
					  .image = (char *)"reg.io/team/app:1"};

	CHECK(excludes("web-*", "docker/1", "web-1", NULL));
	CHECK(!excludes("web-*", "docker/1", "my-web-1", NULL));
	CHECK(!excludes("docker*", "docker/1", "web", NULL));
	/* A path, and what is below it. */
	CHECK(excludes("/docker/*", "docker/1", "web", NULL));
	CHECK(excludes("system.slice/*", "/system.slice/docker-1.scope", "web", NULL));
	CHECK(excludes("kubepods/*", "kubepods/burstable/pod1/2", "web", NULL));
	CHECK(!excludes("kube/*", "kubepods/burstable/pod1/2", "web", NULL));
	CHECK(!excludes("docker/*/x", "docker/1", "web", NULL));
	/* No escapes. */
	CHECK(excludes("machine.slice/machine-a\\x2db.scope", "machine.slice/machine-a\\x2db.scope",
		       "a-b", NULL));
	CHECK(excludes("namespace=kube-*", "x", "web", &labels));
	CHECK(excludes("pod=dns-?", "x", "web", &labels));
	CHECK(excludes("image=reg.io/team/*", "x", "web", &labels));
	CHECK(!excludes("image=other/*", "x", "web", &labels));
	CHECK(excludes("engine=docker", "x", "web", NULL));
	CHECK(!excludes("engine=podman", "x", "web", NULL));
	/* What is not known matches nothing, also not every text. */
	CHECK(!excludes("image=*", "x", "web", NULL));
	CHECK(!excludes("namespace=*", "x", "namespace=x", NULL));
	CHECK(!exclusion_matches(NULL, "docker", "x", (const char *const[]){"web", NULL}, NULL));
}

#define USERS "user.slice/user-1000.slice/user@1000.service/"

TEST(what_a_user_says_hides_nothing)
{
	struct container_labels labels = {.name = (char *)"monitor",
					  .namespace = (char *)"kube-system",
					  .pod = (char *)"dns-1",
					  .image = (char *)"reg.io/team/app:1"};

	CHECK(!excludes("monitor", USERS "app.slice/libpod-1.scope", "monitor", &labels));
	CHECK(!excludes("*", USERS "app.slice/libpod-1.scope", "monitor", &labels));
	CHECK(!excludes("namespace=kube-system", USERS "x", "monitor", &labels));
	CHECK(!excludes("pod=*", USERS "x", "monitor", &labels));
	CHECK(!excludes("image=*", USERS "x", "monitor", &labels));
	/* Also not below what looks like another one's. */
	CHECK(!excludes("monitor", USERS "user-0.slice/x", "monitor", &labels));
	CHECK(!excludes("user=1001", USERS "user-1001.slice/x", "monitor", &labels));
	/* What is not the user's to choose, and what is meant for users. */
	CHECK(excludes("user.slice/user-1000.slice/*", USERS "x", "monitor", NULL));
	CHECK(excludes("engine=docker", USERS "x", "monitor", NULL));
	CHECK(excludes("user=1000", USERS "x", "monitor", NULL));
	CHECK(excludes("user=*", USERS "x", "monitor", NULL));
	CHECK(excludes("user=1000/mon*", USERS "x", "monitor", NULL));
	CHECK(excludes("user=*/monitor", USERS "x", "monitor", NULL));
	CHECK(!excludes("user=100", USERS "x", "monitor", NULL));
	CHECK(!excludes("user=1001/monitor", USERS "x", "monitor", NULL));
	CHECK(!excludes("user=*", "docker/1", "monitor", NULL));
	/* The slice itself is systemd's, and root's sessions are root's. */
	CHECK(excludes("user-*", "user.slice/user-1000.slice", "user-1000.slice", NULL));
	CHECK(excludes("monitor", "user.slice/user-0.slice/x", "monitor", NULL));
}

static struct exclusion_set set;

static void clear(void *arg)
{
	exclusion_set_clear(&set);
}

TEST(a_set_of_those_that_are_known)
{
	const struct container_labels none = {0};
	char path[32];

	test_at_end(clear, NULL);
	for (unsigned i = 1; i <= 1000; i++) {
		snprintf(path, sizeof(path), "docker/%u", i);
		CHECK_INT(exclusion_set_add(&set, i, path, "docker", &none, 1), 0);
	}
	CHECK(exclusion_set_sees(&set, 7, "docker/7", 2));
	CHECK(exclusion_set_sees(&set, 8, "docker/8", 2));
	/* The id is another cgroup's by now. */
	CHECK(!exclusion_set_sees(&set, 9, "docker/other", 2));
	exclusion_set_remove(&set, 8);
	CHECK(!exclusion_set_sees(&set, 8, "docker/8", 2));
	exclusion_set_prune(&set, 2);
	CHECK_INT(set.n, 1);
	CHECK(exclusion_set_sees(&set, 7, "docker/7", 3));
	CHECK_INT(exclusion_set_add(&set, 7, "docker/again", "docker", &none, 3), 0);
	CHECK_INT(set.n, 1);
	CHECK(!exclusion_set_sees(&set, 7, "docker/7", 3));
}

static void add(uint64_t id, const char *path, const char *engine, struct container_labels labels)
{
	CHECK_INT(exclusion_set_add(&set, id, path, engine, &labels, 1), 0);
}

TEST(other_patterns_keep_what_they_match)
{
	char *patterns[] = {(char *)"web-*", (char *)"image=reg/*", (char *)"shop_db_app",
			    (char *)"engine=podman", (char *)"user=1000/build"};
	const struct string_list all = {patterns, 5}, none = {0};

	test_at_end(clear, NULL);
	add(1, "docker/1", "docker", (struct container_labels){.name = (char *)"web-1"});
	add(2, "docker/2", "docker",
	    (struct container_labels){.name = (char *)"x", .image = (char *)"reg/a:1"});
	add(3, "kubepods/3", "containerd",
	    (struct container_labels){
		    .name = (char *)"app", .namespace = (char *)"shop", .pod = (char *)"db"});
	add(4, "libpod-4", "podman", (struct container_labels){0});
	add(5, USERS "libpod-5", "docker", (struct container_labels){.name = (char *)"build"});
	add(6, "docker/6", "docker", (struct container_labels){.name = (char *)"db"});
	exclusion_set_keep(&set, &all);
	CHECK_INT(set.n, 5);
	CHECK(!exclusion_set_sees(&set, 6, "docker/6", 2));
	/* Only one of them is left alone by these. */
	exclusion_set_keep(&set, &(struct string_list){patterns, 1});
	CHECK_INT(set.n, 1);
	CHECK(exclusion_set_sees(&set, 1, "docker/1", 2));
	exclusion_set_keep(&set, &none);
	CHECK_INT(set.n, 0);
}

TEST_MAIN()
