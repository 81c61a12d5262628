/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

#define WHY_MAX 160

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
/* As in sd-daemon(3). */
static const char level_priorities[] = {'3', '4', '6', '7'};

static _Atomic int max_level = LOG_LEVEL_INFO;
static _Atomic bool without_time;
static bool to_journal;

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_leave_out_time(void)
{
	without_time = true;
}

int log_level_from_name(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(level_names); i++)
		if (!strcmp(name, level_names[i])) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

/* The variable alone does not tell: a child may have redirected its standard error. */
static void detect_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	to_journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		     fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

size_t log_escape(const char *text, char *buffer, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t left = strlen(text), at = 0, cut = 0;

	while (left) {
		uint32_t code;
		size_t n = utf8_decode(text, left, &code);
		bool plain = n && !utf8_is_control(code);

		if (at + sizeof("...") <= size)
			cut = at;
		if (at + (plain ? n : 4) >= size) {
			at = cut;
			for (int i = 0; i < 3 && at + 1 < size; i++)
				buffer[at++] = '.';
			break;
		}
		if (plain) {
			memcpy(buffer + at, text, n);
			at += n;
		} else {
			/* One byte a time: what follows in a longer control character cannot start
			 * one and comes out the same way. */
			n = 1;
			buffer[at++] = '\\';
			buffer[at++] = 'x';
			buffer[at++] = hex[(unsigned char)*text >> 4];
			buffer[at++] = hex[(unsigned char)*text & 15];
		}
		text += n;
		left -= n;
	}
	if (size)
		buffer[at] = '\0';
	return at;
}

int log_full(enum log_level level, int err, const char *format, ...)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char text[2048], line[4096];
	int saved_errno = errno, code = err < 0 ? -err : err;
	size_t n = 0;
	va_list args;

	if ((int)level > max_level)
		return -code;
	pthread_once(&once, detect_journal);

	/* Of an endless text the start is shown, and always why it failed. */
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text) - WHY_MAX, format, args);
	va_end(args);
	if (len < 0)
		len = 0;
	if ((size_t)len >= sizeof(text) - WHY_MAX) {
		len = sizeof(text) - WHY_MAX - 1;
		memcpy(text + len - 3, "...", 3);
	}
	if (code) {
		char why[WHY_MAX];
		snprintf(text + len, sizeof(text) - len, ": %s",
			 strerror_r(code, why, sizeof(why)));
	}

	if (to_journal) {
		n = snprintf(line, sizeof(line), "<%c>", level_priorities[level]);
	} else if (without_time) {
		n = snprintf(line, sizeof(line), "%s ", level_names[level]);
	} else {
		time_t now = time(NULL);
		struct tm tm;
		localtime_r(&now, &tm);
		n = snprintf(line, sizeof(line), "%02d:%02d:%02d %s ", tm.tm_hour, tm.tm_min,
			     tm.tm_sec, level_names[level]);
	}
	n += log_escape(text, line + n, sizeof(line) - n - 1);
	line[n++] = '\n';

	/* One write per line, so that lines of several threads do not mix. */
	ssize_t ignored = write(STDERR_FILENO, line, n);
	(void)ignored;
	errno = saved_errno;
	return -code;
}
