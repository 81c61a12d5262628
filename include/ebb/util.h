/* SPDX-License-Identifier: Apache-2.0 */
/* Small files, numbers, CPU lists and secrets: each does one thing and checks everything. */
#ifndef EBB_UTIL_H
#define EBB_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Reads a whole small file below `dirfd` (AT_FDCWD works) into `buffer`, NUL-terminated, without
 * its last newline. Length, or a negative errno; -E2BIG when it does not fit.
 */
ssize_t read_file_at(int dirfd, const char *name, char *buffer, size_t size);
/* One write(2), O_WRONLY|O_CLOEXEC plus `flags` (O_NONBLOCK). */
int write_file_at(int dirfd, const char *name, const char *text, int flags);

/* The whole string must be a number in range; -EINVAL, -ERANGE. */
int parse_u64(const char *text, uint64_t *ret_value);
int parse_i64(const char *text, int64_t *ret_value);
int parse_double(const char *text, double *ret_value); /* finite only */

/* A set of CPU ids, grown as needed; holes are normal. */
struct cpu_list {
	unsigned *cpus; /* in the order given: order of acquisition matters to the core map */
	size_t n;
};

/* "0-2,5": 0 1 2 5. Empty text is an empty list. -EINVAL on anything else; ids above 65535 are
 * refused. */
int cpu_list_parse(const char *text, struct cpu_list *ret_list);
/* "0,1,2,5": the order is kept. Caller frees; NULL on no memory. */
char *cpu_list_format(const struct cpu_list *list);
void cpu_list_clear(struct cpu_list *list);
bool cpu_list_contains(const struct cpu_list *list, unsigned cpu);

/*
 * A token from a file: first line, trimmed, at least 16 characters. Refuses (with a log line saying
 * what to do) files that others can read. Caller frees.
 */
int token_read_file(const char *path, char **ret_token);
/* Time depends on the length of `given` only. NULL `given` is never equal. */
bool token_equal(const char *expected, const char *given);

/* 2^64 random bits from getrandom(2). */
uint64_t random_u64(void);
/* `base` grown by doubling per `attempt`, capped, +-25% jitter. Milliseconds. */
unsigned backoff_ms(unsigned attempt, unsigned base, unsigned cap);

/* Valid UTF-8 without control characters, 1..max bytes. */
bool name_is_sane(const char *name, size_t max);

/* Is `listen` ("ADDR:PORT", "unix:PATH") reachable from this machine only? */
bool address_is_local(const char *listen);

#endif
