/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to standard error, one line per call: "<N>" priority prefixes when standard error is
 * the journal, "HH:MM:SS level text" otherwise. Control characters in the text are escaped, so a
 * hostile container name cannot forge a line. Thread-safe. No secret may ever be passed in.
 */
#ifndef EBB_LOG_H
#define EBB_LOG_H

#include <errno.h>
#include <string.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* At any time, from any thread. */
void log_set_level(enum log_level level);
/* Without the time of day: where the same input is to give the same bytes. Set
 * once at start. */
void log_leave_out_time(void);
/* "error", "warning", "info", "debug"; -EINVAL for anything else. */
int log_level_from_name(const char *name, enum log_level *ret_level);

/*
 * One line's worth of `text` into `buffer`, NUL-terminated: control characters (C1 too) and bytes
 * that are not UTF-8 as \xNN, "..." at the end when cut. Returns the length.
 */
size_t log_escape(const char *text, char *buffer, size_t size);

/* Returns -abs(err), so that `return log_error_errno(r, "...")` both reports and passes on. */
int log_full(enum log_level level, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...)   log_full(LOG_LEVEL_ERROR, 0, __VA_ARGS__)
#define log_warning(...) log_full(LOG_LEVEL_WARNING, 0, __VA_ARGS__)
#define log_info(...)    log_full(LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(...)   log_full(LOG_LEVEL_DEBUG, 0, __VA_ARGS__)
/* Append ": <strerror(err)>". */
#define log_error_errno(err, ...)   log_full(LOG_LEVEL_ERROR, (err), __VA_ARGS__)
#define log_warning_errno(err, ...) log_full(LOG_LEVEL_WARNING, (err), __VA_ARGS__)

#endif
