/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "term.h"
#include "ebb/log.h"
#include "ebb/util.h"

static char dir[64], lock_path[96], path[96];
static struct term term;

static void clean_up(void *unused)
{
	char command[96];

	term_close(&term);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		fprintf(stderr, "%s: not removed\n", dir);
}

static void set_up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-term-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(clean_up, NULL);
	snprintf(lock_path, sizeof(lock_path), "%s/ebb-agent-x.lock", dir);
	snprintf(path, sizeof(path), "%s/ebb-agent-x.term", dir);
	CHECK_INT(term_open(lock_path, &term), 0);
}

static void again(void)
{
	term_close(&term);
	CHECK_INT(term_open(lock_path, &term), 0);
}

TEST(an_older_term_is_refused)
{
	set_up();
	CHECK_INT(term.seen, 0);
	CHECK_INT(term_heed(&term, 3), 0);
	CHECK_INT(term_heed(&term, 3), 0);
	CHECK_INT(term_heed(&term, 2), -ESTALE);
	CHECK_INT(term_heed(&term, 7), 0);
	CHECK_INT(term_heed(&term, 3), -ESTALE);
	CHECK_INT(term.seen, 7);
	CHECK_INT(term.refused, 2);
}

TEST(it_outlives_the_process)
{
	char text[32];

	set_up();
	CHECK_INT(term_heed(&term, 41), 0);
	/* Before the order is carried out, not only at the end. */
	CHECK(read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0);
	CHECK_STR(text, "41");
	again();
	CHECK_INT(term.seen, 41);
	CHECK_INT(term_heed(&term, 40), -ESTALE);
	CHECK_INT(term_heed(&term, TERM_MAX), 0);
	again();
	CHECK(term.seen == TERM_MAX);
}

TEST(a_damaged_file_counts_as_none)
{
	static const char *const damaged[] = {"", "x", "-1", "9007199254740992", "1 2"};

	set_up();
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		CHECK(fd >= 0);
		CHECK(write(fd, damaged[i], strlen(damaged[i])) == (ssize_t)strlen(damaged[i]));
		close(fd);
		again();
		CHECK_INT(term.seen, 0);
	}
	CHECK_INT(term_heed(&term, 2), 0);
	again();
	CHECK_INT(term.seen, 2);
}

TEST(a_file_that_cannot_be_written_does_not_stop_the_agent)
{
	char new_path[112];

	set_up();
	CHECK_INT(term_heed(&term, 5), 0);
	snprintf(new_path, sizeof(new_path), "%s.new", path);
	CHECK_INT(mkdir(new_path, 0700), 0);
	CHECK_INT(term_heed(&term, 6), 0);
	CHECK_INT(term_heed(&term, 5), -ESTALE);
	again();
	CHECK_INT(term.seen, 5);
}

TEST_MAIN()
