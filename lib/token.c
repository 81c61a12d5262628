/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 512

/* The whole file; it may hold a little more than two tokens. */
static ssize_t read_all(const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len = 0;

	if (fd < 0)
		return log_error_errno(errno, "cannot read the token file %s", path);
	if (fstat(fd, &st) < 0)
		return log_error_errno(errno, "cannot look at the token file %s", path);
	if (st.st_mode & (S_IROTH | S_IWOTH)) {
		log_error("token file %s is open to every user of this machine; run: chmod o-rwx "
			  "%s",
			  path, path);
		return -EPERM;
	}
	while (len < size - 1) {
		ssize_t n = read(fd, buffer + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_error_errno(errno, "cannot read the token file %s", path);
		if (n == 0)
			break;
		len += n;
	}
	buffer[len] = '\0';
	return (ssize_t)len;
}

static int check_token(const char *path, const char *token, size_t n)
{
	if (n < TOKEN_MIN || n > TOKEN_MAX) {
		log_error("the token in %s has %zu characters, %d to %d are needed; make one with: "
			  "openssl rand -hex 32",
			  path, n, TOKEN_MIN, TOKEN_MAX);
		return -EINVAL;
	}
	/* It travels in a header. */
	for (size_t i = 0; i < n; i++)
		if (token[i] <= ' ' || token[i] > '~') {
			log_error("the token in %s has a character that is not printable ASCII",
				  path);
			return -EINVAL;
		}
	return 0;
}

/* The lines of `buffer` that are not blank. */
static int parse(const char *path, char *buffer, struct tokens *ret_tokens)
{
	struct tokens tokens = {0};
	int r = 0;

	for (char *line = buffer; r == 0 && line;) {
		char *end = line + strcspn(line, "\r\n"), *next = *end ? end + 1 : NULL;

		line += strspn(line, " \t");
		while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		if (end > line && tokens.n == TOKENS_MAX) {
			log_error(
				"the token file %s has more than %d lines: the new token goes into "
				"the first, the one that it replaces into the second",
				path, TOKENS_MAX);
			r = -EINVAL;
		} else if (end > line) {
			r = check_token(path, line, (size_t)(end - line));
			if (r == 0) {
				tokens.items[tokens.n] = strndup(line, (size_t)(end - line));
				r = tokens.items[tokens.n] ? 0 : -ENOMEM;
				tokens.n += r == 0;
			}
		}
		line = next;
	}
	if (r == 0 && !tokens.n)
		r = check_token(path, "", 0);
	if (r < 0) {
		tokens_clear(&tokens);
		return r;
	}
	*ret_tokens = tokens;
	return 0;
}

int tokens_read_file(const char *path, struct tokens *ret_tokens)
{
	char buffer[TOKENS_MAX * (TOKEN_MAX + 64)];
	ssize_t n = read_all(path, buffer, sizeof(buffer));
	int r = n < 0 ? (int)n : 0;

	if (r == 0 && (strlen(buffer) != (size_t)n || (size_t)n == sizeof(buffer) - 1)) {
		log_error("%s is no token file: it has a NUL byte or is too long; make one with: "
			  "openssl rand -hex 32",
			  path);
		r = -EINVAL;
	}
	if (r == 0)
		r = parse(path, buffer, ret_tokens);
	explicit_bzero(buffer, sizeof(buffer));
	return r;
}

void tokens_clear(struct tokens *tokens)
{
	for (size_t i = 0; i < TOKENS_MAX; i++) {
		if (tokens->items[i])
			explicit_bzero(tokens->items[i], strlen(tokens->items[i]));
		free(tokens->items[i]);
	}
	*tokens = (struct tokens){0};
}

int token_read_file(const char *path, char **ret_token)
{
	struct tokens tokens;
	int r = tokens_read_file(path, &tokens);

	if (r < 0)
		return r;
	*ret_token = TAKE_PTR(tokens.items[0]);
	tokens_clear(&tokens);
	return 0;
}

bool token_equal(const char *expected, const char *given)
{
	if (!expected || !given || !*expected)
		return false;

	size_t n_expected = strlen(expected), n_given = strlen(given);
	/* volatile: the compiler may not leave the loop at the first difference. */
	volatile unsigned char differs = n_expected != n_given;

	for (size_t i = 0; i < n_given; i++)
		differs |= (unsigned char)(given[i] ^ expected[i % n_expected]);
	return !differs;
}
