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

/* The directory that `path` is to be in and missing ones above it, for their owner only (0700). */
int make_directory_for(const char *path);

/* The whole string must be a decimal number in range, no blanks, no '+'; -EINVAL, -ERANGE. */
int parse_u64(const char *text, uint64_t *ret_value);
int parse_i64(const char *text, int64_t *ret_value);
int parse_double(const char *text, double *ret_value); /* finite only */
/* 0 to 15, of either case; -1: not one. */
int hex_value(char c);

/* A set of CPU ids, grown as needed; holes are normal. */
struct cpu_list {
	unsigned *cpus; /* in the order given: order of acquisition matters to the core map */
	size_t n;
};

/*
 * "0-2,5": 0 1 2 5. Empty text is an empty list. -EINVAL on anything else, a CPU named twice
 * included; ids above 65535 are refused.
 */
int cpu_list_parse(const char *text, struct cpu_list *ret_list);
/* "0,1,2,5": the order is kept. Caller frees; NULL on no memory. */
char *cpu_list_format(const struct cpu_list *list);
/* "0-2,5": in ascending order, as the kernel writes sets. Caller frees; NULL on no memory. */
char *cpu_list_format_ranges(const struct cpu_list *list);
void cpu_list_clear(struct cpu_list *list);
bool cpu_list_contains(const struct cpu_list *list, unsigned cpu);

/*
 * The tokens in a file: one line, or two while one replaces the other. Each is trimmed, 16 to 512
 * printable ASCII characters without blanks. The first is shown to others, all are accepted.
 * Refuses (with a log line saying what to do) files that others can read or write: -EPERM. Clear
 * with tokens_clear().
 */
#define TOKENS_MAX 2
struct tokens {
	char *items[TOKENS_MAX];
	size_t n;
};
int tokens_read_file(const char *path, struct tokens *ret_tokens);
void tokens_clear(struct tokens *tokens);
/* The one that is shown. Caller frees. */
int token_read_file(const char *path, char **ret_token);
/* Time depends on the length of `given` only. NULL `given` is never equal. */
bool token_equal(const char *expected, const char *given);

/*
 * A URL with "***" for the password of USER:PASSWORD@; text without one comes back as it is. Caller
 * frees; NULL on no memory. url_blank() does it in place, and pads with blanks: for an argument
 * that `ps` would show.
 */
char *url_public(const char *url);
void url_blank(char *text);

/* 2^64 random bits from getrandom(2). */
uint64_t random_u64(void);
/* `base` doubled `attempt` times, at most `cap`; then +-25% jitter. Milliseconds. */
unsigned backoff_ms(unsigned attempt, unsigned base, unsigned cap);

/*
 * Length of the UTF-8 character that starts `text` (`len` bytes left) and its code point; 0 when it
 * is not one: overlong, surrogate, above U+10FFFF, cut short.
 */
size_t utf8_decode(const char *text, size_t len, uint32_t *ret_code);
bool utf8_is_valid(const char *text, size_t len);
/* Bytes of the longest beginning of `text` of at most `max` bytes that cuts no character in two. */
size_t utf8_fit(const char *text, size_t max);
/* C0, DEL and C1. */
bool utf8_is_control(uint32_t code);
/* Valid UTF-8 without control characters, 1..max bytes. */
bool name_is_sane(const char *name, size_t max);

/*
 * "ADDR:PORT", "[V6]:PORT", "NAME:PORT", ":PORT" (every address) or "unix:PATH". -EINVAL when
 * malformed; nothing is resolved.
 */
struct address {
	char host[256]; /* without brackets; "" for every address, and for unix */
	uint16_t port;
	char unix_path[108]; /* "" unless unix */
};
int address_parse(const char *text, struct address *ret_address);
/* Is `listen` ("ADDR:PORT", "unix:PATH") reachable from this machine only? */
bool address_is_local(const char *listen);

#endif
