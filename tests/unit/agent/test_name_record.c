/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "name_record.h"

static char dir[64], path[96];
static struct name_record *record;

static void tear_down(void *arg)
{
	char command[128];

	name_record_close(record);
	record = NULL;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	CHECK_INT(system(command), 0);
}

static void set_up(void)
{
	strcpy(dir, "/tmp/ebb-test-record-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/names", dir);
	test_at_end(tear_down, NULL);
}

static void open_again(void)
{
	name_record_close(record);
	record = NULL;
	CHECK_INT(name_record_open(path, &record), 0);
}

static void write_text(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), (long long)strlen(text));
	close(fd);
}

TEST(kept_over_a_restart)
{
	char text[128];

	set_up();
	open_again();
	CHECK(!name_record_owner(record, "web"));
	/* Nothing was contested: no file. */
	CHECK_INT(access(path, F_OK), -1);
	CHECK_INT(name_record_keep(record, "web", "docker"), 0);
	CHECK_INT(name_record_keep(record, "a b", "batch.a"), 0);
	CHECK_INT(name_record_keep(record, "web", "podman"), 0);
	open_again();
	CHECK_STR(name_record_owner(record, "web"), "podman");
	CHECK_STR(name_record_owner(record, "a b"), "batch.a");
	CHECK(read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0);
	CHECK_STR(text, "podman\tweb\nbatch.a\ta b");
}

TEST(a_damaged_file_is_begun_anew)
{
	static const char *const texts[] = {"docker web\n",   "docker\tweb", "\tweb\n",
					    "docker\t\n",     "\n",          "a\tb\n\xff\tc\n",
					    "docker\tw\nx\n", "garbage"};

	set_up();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		write_text(texts[i]);
		open_again();
		CHECK(!name_record_owner(record, "web") && !name_record_owner(record, "b"));
		CHECK_INT(name_record_keep(record, "web", "lxc"), 0);
		open_again();
		CHECK_STR(name_record_owner(record, "web"), "lxc");
	}
	/* No link is followed, and nothing that could make one wait is opened. */
	CHECK_INT(unlink(path), 0);
	CHECK_INT(mkfifo(path, 0600), 0);
	open_again();
	CHECK(!name_record_owner(record, "web"));
}

TEST(the_oldest_are_forgotten)
{
	char name[32];

	set_up();
	/* In memory: each is a write otherwise. */
	CHECK_INT(name_record_open(NULL, &record), 0);
	for (int i = 0; i <= NAME_RECORD_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		CHECK_INT(name_record_keep(record, name, "docker"), 0);
	}
	CHECK(!name_record_owner(record, "n0"));
	CHECK_STR(name_record_owner(record, "n1"), "docker");
	CHECK_STR(name_record_owner(record, name), "docker");
}

TEST(a_directory_that_cannot_be_written_costs_the_file_only)
{
	set_up();
	snprintf(path, sizeof(path), "/proc/no-such-place/names");
	open_again();
	CHECK_INT(name_record_keep(record, "web", "docker"), 0);
	CHECK_STR(name_record_owner(record, "web"), "docker");
}

TEST_MAIN()
