/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance.h"

static char dir[64];

static void remove_dir(void *unused)
{
	rmdir(dir);
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-test-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(remove_dir, NULL);
}

TEST(instance_one_per_pin_directory)
{
	struct instance a = {.fd = -1}, b = {.fd = -1}, c = {.fd = -1};
	char path[128];

	make_dir();
	CHECK_INT(instance_acquire(dir, "/sys/fs/bpf/ebb", &a), 0);
	int again = instance_acquire(dir, "/sys/fs/bpf/ebb", &b);
	int slash = instance_acquire(dir, "/sys//fs/bpf/ebb/", &b);
	int other = instance_acquire(dir, "/sys/fs/bpf/ebb2", &c);
	snprintf(path, sizeof(path), "%s/agent-sys-fs-bpf-ebb.lock", dir);
	bool there = access(path, F_OK) == 0;
	instance_release(&c);
	instance_release(&a);
	CHECK_INT(again, -EBUSY);
	CHECK_INT(slash, -EBUSY);
	CHECK_INT(other, 0);
	CHECK(there);
	CHECK(access(path, F_OK) < 0);

	/* Free again, and the file that a kill leaves is no obstacle. */
	FILE *left = fopen(path, "w");
	CHECK(left);
	fclose(left);
	CHECK_INT(instance_acquire(dir, "/sys/fs/bpf/ebb", &b), 0);
	instance_release(&b);
	CHECK(access(path, F_OK) < 0);
}

TEST(instance_makes_the_directory_of_locks)
{
	struct instance a = {.fd = -1};
	char below[96], missing[128];
	struct stat st;

	make_dir();
	snprintf(below, sizeof(below), "%s/locks", dir);
	CHECK_INT(instance_acquire(below, "/sys/fs/bpf/ebb", &a), 0);
	instance_release(&a);
	CHECK_INT(stat(below, &st), 0);
	CHECK_INT(st.st_mode & 022, 0);
	CHECK_INT(rmdir(below), 0);
	snprintf(missing, sizeof(missing), "%s/no/locks", dir);
	CHECK_INT(instance_acquire(missing, "/sys/fs/bpf/ebb", &a), -ENOENT);
}

TEST_MAIN()
