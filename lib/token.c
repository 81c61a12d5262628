/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

#define TOKEN_MIN 16
#define TOKEN_MAX 512

int token_read_file(const char *path, char **ret_token)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buffer[TOKEN_MAX + 64];
	struct stat st;

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

	size_t len = 0;
	while (len < sizeof(buffer) - 1) {
		ssize_t n = read(fd, buffer + len, sizeof(buffer) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_error_errno(errno, "cannot read the token file %s", path);
		if (n == 0)
			break;
		len += n;
	}
	buffer[len] = '\0';

	char *start = buffer + strspn(buffer, " \t");
	size_t n = strcspn(start, "\r\n");
	while (n && (start[n - 1] == ' ' || start[n - 1] == '\t'))
		n--;
	start[n] = '\0';

	int r = 0;
	if (n < TOKEN_MIN || n > TOKEN_MAX) {
		log_error("the token in %s has %zu characters, %d to %d are needed; make one with: "
			  "openssl rand -hex 32",
			  path, n, TOKEN_MIN, TOKEN_MAX);
		r = -EINVAL;
	}
	/* It travels in a header. */
	for (size_t i = 0; r == 0 && i < n; i++)
		if (start[i] <= ' ' || start[i] > '~') {
			log_error("the token in %s has a character that is not printable ASCII",
				  path);
			r = -EINVAL;
		}
	if (r == 0) {
		char *token = strdup(start);
		if (token)
			*ret_token = token;
		else
			r = -ENOMEM;
	}
	explicit_bzero(buffer, sizeof(buffer));
	return r;
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
