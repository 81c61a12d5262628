/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a CouchDB, and the file with the credentials. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "couchdb.h"
#include "ebb/cleanup.h"

static void check_url(const char *uri, const char *server, const char *prefix, const char *user,
		      const char *password)
{
	struct couchdb_url url;
	char *error = NULL;

	CHECK_INT(couchdb_url_parse(uri, &url, &error), 0);
	CHECK(!error);
	CHECK_STR(url.server, server);
	CHECK_STR(url.prefix, prefix);
	if (user) {
		CHECK_STR(url.user, user);
		CHECK_STR(url.password, password);
	} else {
		CHECK(!url.user && !url.password);
	}
	couchdb_url_clear(&url);
	CHECK(!url.password);
}

TEST(url_parts)
{
	check_url("http://h:5984", "http://h:5984", "", NULL, NULL);
	check_url("http://h:5984/", "http://h:5984", "", NULL, NULL);
	check_url("https://couch.example/ebb_", "https://couch.example", "ebb_", NULL, NULL);
	check_url("http://u:p@127.0.0.1:5984/x-", "http://127.0.0.1:5984", "x-", "u", "p");
	check_url("http://[::1]:5984/a/b", "http://[::1]:5984", "a/b", NULL, NULL);
	check_url("http://h/a%2Fb", "http://h", "a/b", NULL, NULL);
}

TEST(url_credentials_are_decoded)
{
	check_url("http://a%40b:p%2F%3a%25@h:1/", "http://h:1", "", "a@b", "p/:%");
	check_url("http://u:a:b@h:1/", "http://h:1", "", "u", "a:b");
	check_url("http://u:a@b@h:1/", "http://h:1", "", "u", "a@b");
	check_url("http://u:@h:1/", "http://h:1", "", "u", "");
}

TEST(url_refused_without_its_password)
{
	static const char *const uris[] = {
		"",
		"sqlite:/x",
		"ftp://h/",
		"http://",
		"http:///x",
		"http://u@h/",
		"http://:secret@h/",
		"http://u:secret@/",
		"http://u:secret@h:0/",
		"http://u:secret@h:65536/",
		"http://u:secret@h:12x/",
		"http://u:secret@h h/",
		"http://u:secret@[::1/",
		"http://u:secret@[::1]x/",
		"http://u:sec%ret@h/",
		"http://u:secret%@h/",
		"http://u:secret%4@h/",
		"http://u:secret%00@h/",
		"http://u:sec/secret@h/",
		"http://u:secret@h/Big",
		"http://u:secret@h/_x",
		"http://u:secret@h/0x",
		"http://u:secret@h/a?b",
		"http://u:secret@h/a#b",
		"http://u:secret@h//",
		"http://u:secret@h/a b",
	};

	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		struct couchdb_url url = {.server = "untouched"};
		char *error = NULL;

		if (couchdb_url_parse(uris[i], &url, &error) != -EINVAL)
			TEST_FAIL("\"%s\" was taken", uris[i]);
		CHECK_STR(url.server, "untouched");
		CHECK(error && *error);
		CHECK(!strstr(error, "secret"));
		free(error);
	}
}

static char credentials[] = "/tmp/ebb-test-couchdb-XXXXXX";

static void remove_credentials(void *arg)
{
	unlink(credentials);
	strcpy(credentials + strlen(credentials) - 6, "XXXXXX");
}

static int try_credentials(const char *text, struct couchdb **ret_couch)
{
	const struct store_options options = {.credentials_file = credentials};
	int fd = mkstemp(credentials);

	CHECK(fd >= 0);
	test_at_end(remove_credentials, NULL);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	return couchdb_new("http://old:secret@127.0.0.1:1/", &options, ret_couch);
}

TEST(credentials_from_a_file_count_more_than_those_of_the_url)
{
	struct http_request_options request = {0};
	struct couchdb *couch;

	CHECK_INT(try_credentials("me:my:word\r\n", &couch), 0);
	CHECK_INT(couchdb_access(couch, &request), 0);
	CHECK_STR(request.user, "me");
	CHECK_STR(request.password, "my:word");
	CHECK_STR(request.address, "http://127.0.0.1:1");
	couchdb_free(couch);
}

TEST(credentials_without_a_password_are_refused)
{
	struct couchdb *couch;

	CHECK_INT(try_credentials("me\n", &couch), -EINVAL);
}

TEST(credentials_of_two_lines_are_refused)
{
	struct couchdb *couch;

	CHECK_INT(try_credentials("me:a\nyou:b\n", &couch), -EINVAL);
}

TEST(credentials_file_that_is_not_there)
{
	const struct store_options options = {.credentials_file = "/nonexistent/file"};
	struct couchdb *couch;

	CHECK_INT(couchdb_new("http://127.0.0.1:1/", &options, &couch), -ENOENT);
}

TEST(cookie_needs_a_user)
{
	const struct store_options options = {.cookie = true};
	struct couchdb *couch;

	CHECK_INT(couchdb_new("http://127.0.0.1:1/", &options, &couch), -EINVAL);
}

TEST(nobody_there)
{
	struct couchdb_reply reply;
	struct couchdb *couch;

	CHECK_INT(couchdb_new("http://u:secret@127.0.0.1:1/", NULL, &couch), 0);
	CHECK_INT(couchdb_call(couch, "GET", "/", NULL, 1000, &reply), -EAGAIN);
	CHECK_INT(reply.status, 0);
	CHECK(strstr(couchdb_error(couch), "http://127.0.0.1:1"));
	CHECK(!strstr(couchdb_error(couch), "secret"));
	couchdb_reply_clear(&reply);
	couchdb_free(couch);
}

TEST(names_of_databases)
{
	struct couchdb *couch;
	_cleanup_free_ char *path = NULL, *name = NULL;

	CHECK_INT(couchdb_new("http://127.0.0.1:1/a/b+", NULL, &couch), 0);
	name = couchdb_db_name(couch, DB_LIMITS);
	path = couchdb_db_path(couch, DB_LIMITS, "/_all_docs");
	CHECK_STR(name, "a/b+limits");
	CHECK_STR(path, "/a%2Fb%2Blimits/_all_docs");
	couchdb_free(couch);
}

TEST_MAIN()
