/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "test.h"

static const char *escaped(const char *text, size_t size)
{
	static char buffer[256];

	memset(buffer, '#', sizeof(buffer));
	size_t n = log_escape(text, buffer, size);
	CHECK(n < size);
	CHECK_INT(strlen(buffer), n);
	CHECK(buffer[size] == '#');
	return buffer;
}

TEST(escapes_control_characters)
{
	CHECK_STR(escaped("plain caf\xc3\xa9", 128), "plain caf\xc3\xa9");
	CHECK_STR(escaped("a\n12:00:00 error forged", 128), "a\\x0a12:00:00 error forged");
	CHECK_STR(escaped("\x1b[31m\t\x7f", 128), "\\x1b[31m\\x09\\x7f");
	CHECK_STR(escaped("\xc2\x9b", 128), "\\xc2\\x9b");
	CHECK_STR(escaped("bad \xff\xc3", 128), "bad \\xff\\xc3");
	CHECK_STR(escaped("", 1), "");
}

TEST(escape_cuts_with_dots)
{
	CHECK_STR(escaped("12345", 6), "12345");
	CHECK_STR(escaped("123456", 6), "12...");
	CHECK_STR(escaped("12\n", 6), "12...");
	CHECK_STR(escaped("12\n", 7), "12\\x0a");
	for (size_t size = 1; size < 40; size++) {
		escaped("\n\n\n\xc2\x9b\xff\xff end of this", size);
		escaped("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", size);
	}
}

TEST(levels_by_name)
{
	enum log_level level = LOG_LEVEL_INFO;

	CHECK_INT(log_level_from_name("debug", &level), 0);
	CHECK_INT(level, LOG_LEVEL_DEBUG);
	CHECK_INT(log_level_from_name("Debug", &level), -EINVAL);
	CHECK_INT(log_level_from_name("", &level), -EINVAL);
	CHECK_INT(level, LOG_LEVEL_DEBUG);
}

/* Runs fn in a child whose standard error is a pipe; what it wrote. */
static const char *output_of(void (*fn)(void), bool journal)
{
	static char text[65536];
	int fds[2];
	size_t len = 0;

	CHECK_INT(pipe(fds), 0);
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct stat st;
		char stream[64];
		dup2(fds[1], STDERR_FILENO);
		fstat(STDERR_FILENO, &st);
		snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino + !journal);
		setenv("JOURNAL_STREAM", stream, 1);
		fn();
		_exit(0);
	}
	close(fds[1]);
	for (ssize_t n; (n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0;)
		len += n;
	text[len] = '\0';
	close(fds[0]);
	int status;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	return text;
}

static void some_lines(void)
{
	log_debug("hidden");
	log_info("one %d", 1);
	errno = ENOENT;
	if (log_error_errno(EACCES, "cannot open %s", "x\ny") != -EACCES ||
	    log_error_errno(-EACCES, "again") != -EACCES || errno != ENOENT)
		_exit(1);
	log_set_level(LOG_LEVEL_ERROR);
	if (log_warning_errno(-EIO, "hidden") != -EIO)
		_exit(1);
}

TEST(lines_to_the_journal)
{
	CHECK_STR(output_of(some_lines, true), "<6>one 1\n"
					       "<3>cannot open x\\x0ay: Permission denied\n"
					       "<3>again: Permission denied\n");
}

TEST(lines_to_a_terminal)
{
	const char *text = output_of(some_lines, false);
	unsigned h, m, s;
	int at = -1;

	CHECK_INT(sscanf(text, "%2u:%2u:%2u info one 1%n", &h, &m, &s, &at), 3);
	CHECK(at > 0 && text[at] == '\n' && h < 24 && m < 60 && s < 61);
	CHECK(strstr(text, " error again: Permission denied\n"));
}

static void endless(void)
{
	static char text[9000];

	memset(text, '\n', sizeof(text) - 1);
	log_error_errno(EIO, "%s", text);
	memset(text, 'x', sizeof(text) - 1);
	log_error_errno(EIO, "%s", text);
}

TEST(endless_text_is_cut_and_keeps_its_reason)
{
	const char *text = output_of(endless, true);
	const char *second = strchr(text, '\n') + 1;

	CHECK(second - text < 4200);
	CHECK(!memcmp(second - 4, "...\n", 4));
	CHECK(!strncmp(second, "<3>xxx", 6));
	CHECK(strstr(second, "xxx...: Input/output error\n"));
	CHECK(strlen(second) < 4200);
}

static void *write_lines(void *arg)
{
	for (int i = 0; i < 50; i++)
		log_info("from %s", (char *)arg);
	return NULL;
}

static void two_threads(void)
{
	pthread_t a, b;

	pthread_create(&a, NULL, write_lines, "aaaaaaaaaaaaaaaaaaaa");
	pthread_create(&b, NULL, write_lines, "bbbbbbbbbbbbbbbbbbbb");
	pthread_join(a, NULL);
	pthread_join(b, NULL);
}

TEST(lines_of_threads_do_not_mix)
{
	const char *text = output_of(two_threads, true);
	int a = 0, b = 0;

	for (; *text; text = strchr(text, '\n') + 1) {
		a += !strncmp(text, "<6>from aaaaaaaaaaaaaaaaaaaa\n", 29);
		b += !strncmp(text, "<6>from bbbbbbbbbbbbbbbbbbbb\n", 29);
	}
	CHECK_INT(a, 50);
	CHECK_INT(b, 50);
}

TEST_MAIN()
