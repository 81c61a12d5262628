/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "instance.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

static uint64_t read_term(const char *path)
{
	char text[32];
	uint64_t seen;
	ssize_t n = read_file_at(AT_FDCWD, path, text, sizeof(text));

	if (n == -ENOENT)
		return 0;
	if (n < 0 || parse_u64(text, &seen) < 0 || seen > TERM_MAX) {
		log_warning(
			"%s is damaged: orders of controllers that led before are not told from "
			"those of the present one until it has spoken",
			path);
		return 0;
	}
	return seen;
}

int term_open(const char *lock_path, struct term *ret_term)
{
	char *path = instance_file(lock_path, ".term");

	if (!path)
		return -ENOMEM;
	*ret_term = (struct term){.seen = read_term(path), .path = path};
	return 0;
}

void term_close(struct term *term)
{
	free(term->path);
	*term = (struct term){0};
}

/* Whole or not at all: by a file of its own that takes the old one's place. */
static int write_term(const char *path, uint64_t seen)
{
	_cleanup_free_ char *fresh = NULL;
	_cleanup_close_ int fd = -1;
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", seen);

	if (asprintf(&fresh, "%s.new", path) < 0) {
		fresh = NULL;
		return -ENOMEM;
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, (size_t)n) != n || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	return rename(fresh, path) < 0 ? -errno : 0;
}

int term_heed(struct term *term, uint64_t given)
{
	int r;

	if (given < term->seen) {
		term->refused++;
		return -ESTALE;
	}
	if (given == term->seen)
		return 0;
	r = write_term(term->path, given);
	if (r < 0)
		log_warning_errno(r,
				  "the term %" PRIu64 " of the controller cannot be written to %s; "
				  "it is forgotten when this agent stops",
				  given, term->path);
	term->seen = given;
	return 0;
}
