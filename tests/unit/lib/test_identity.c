/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/identity.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "test.h"

#define OLD "the-old-token-0001"
#define NEW "the-new-token-0002"

static char dir[64], path[96];

static void remove_dir(void *userdata)
{
	unlink(path);
	rmdir(dir);
}

static void set_up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-identity-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/token", dir);
	test_at_end(remove_dir, NULL);
}

static void write_token(mode_t mode, const char *text)
{
	_cleanup_close_ int fd = -1;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), (long)strlen(text));
	CHECK_INT(fchmod(fd, mode), 0);
}

static void check_shown(struct identity *identity, const char *header)
{
	int r = -1;
	_cleanup_free_ char *line = identity_header(identity, &r);

	CHECK_INT(r, 0);
	CHECK_STR(line, header);
}

TEST(identity_without_anything)
{
	struct identity *identity = NULL;
	int r = -1;

	CHECK_INT(identity_new(&(struct identity_files){0}, &identity), 0);
	CHECK(!identity_has_token(identity));
	CHECK(!identity_accepts(identity, ""));
	CHECK(!identity_accepts(identity, NULL));
	CHECK(!identity_header(identity, &r));
	CHECK_INT(r, 0);
	identity_free(identity);

	CHECK(!identity_has_token(NULL));
	CHECK(!identity_accepts(NULL, OLD));
	CHECK(!identity_header(NULL, &r));
}

/* The order of a rotation: both are accepted in between, whichever a peer still shows. */
TEST(identity_rotates_a_token)
{
	struct identity *identity = NULL;
	struct identity_files files;

	set_up();
	files = (struct identity_files){.token_file = path};
	write_token(0600, OLD "\n");
	CHECK_INT(identity_new(&files, &identity), 0);
	CHECK(identity_has_token(identity));
	CHECK(identity_accepts(identity, OLD));
	CHECK(!identity_accepts(identity, NEW));
	CHECK(!identity_accepts(identity, NULL));
	check_shown(identity, "Authorization: Bearer " OLD);

	write_token(0600, NEW "\n" OLD "\n");
	CHECK_INT(identity_reload(identity, &files), 0);
	CHECK(identity_accepts(identity, OLD));
	CHECK(identity_accepts(identity, NEW));
	CHECK(!identity_accepts(identity, NEW "\n" OLD));
	check_shown(identity, "Authorization: Bearer " NEW);

	write_token(0600, NEW "\n");
	CHECK_INT(identity_reload(identity, &files), 0);
	CHECK(!identity_accepts(identity, OLD));
	CHECK(identity_accepts(identity, NEW));
	identity_free(identity);
}

TEST(identity_keeps_what_a_broken_file_would_replace)
{
	struct identity *identity = NULL;
	struct identity_files files;

	set_up();
	files = (struct identity_files){.token_file = path};
	CHECK_INT(identity_new(&files, &identity), -ENOENT);
	CHECK(!identity);
	write_token(0600, OLD "\n");
	CHECK_INT(identity_new(&files, &identity), 0);

	write_token(0600, "short\n");
	CHECK_INT(identity_reload(identity, &files), -EINVAL);
	write_token(0600, NEW "\nshort\n");
	CHECK_INT(identity_reload(identity, &files), -EINVAL);
	write_token(0600, "");
	CHECK_INT(identity_reload(identity, &files), -EINVAL);
	write_token(0644, NEW "\n");
	CHECK_INT(identity_reload(identity, &files), -EPERM);
	unlink(path);
	CHECK_INT(identity_reload(identity, &files), -ENOENT);
	CHECK(identity_accepts(identity, OLD));
	CHECK(!identity_accepts(identity, NEW));
	check_shown(identity, "Authorization: Bearer " OLD);
	identity_free(identity);
}

TEST_MAIN()
