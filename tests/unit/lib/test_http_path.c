/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "http_path.h"
#include "test.h"

TEST(percent_decoding)
{
	char buffer[32];

	CHECK_INT(http_percent_decode("a%20b%2fc", 9, buffer), 5);
	CHECK_STR(buffer, "a b/c");
	CHECK_INT(http_percent_decode("%C3%b1", 6, buffer), 2);
	CHECK_STR(buffer, "\xc3\xb1");
	CHECK_INT(http_percent_decode("", 0, buffer), 0);
	CHECK_INT(http_percent_decode("a+b", 3, buffer), 3);
	CHECK_STR(buffer, "a+b");
	static const char *const bad[] = {"%",     "%4",  "%4g", "%g4",  "%%41",
					  "a%00b", "%ff", "%c3", "\xff", "%-1"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (http_percent_decode(bad[i], strlen(bad[i]), buffer) != -EINVAL)
			TEST_FAIL("\"%s\" was taken", bad[i]);
	/* The length counts, not what comes after. */
	CHECK_INT(http_percent_decode("%41", 2, buffer), -EINVAL);
}

static bool matches(const char *raw, const char *pattern, const char *want_captures)
{
	const char *captures[HTTP_MAX_CAPTURES] = {0};
	struct http_path path;
	char joined[256] = "";

	CHECK_INT(http_path_parse(raw, &path), 0);
	bool yes = http_path_matches(&path, pattern, captures);
	for (int i = 0; i < HTTP_MAX_CAPTURES && captures[i]; i++)
		snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s|",
			 captures[i]);
	http_path_clear(&path);
	if (yes)
		CHECK_STR(joined, want_captures);
	else
		CHECK_STR(joined, "");
	return yes;
}

TEST(patterns)
{
	CHECK(matches("/", "/", ""));
	CHECK(matches("/heartbeat", "/heartbeat", ""));
	CHECK(matches("/heartbeat/", "/heartbeat", ""));
	CHECK(matches("/heartbeat", "/heartbeat/", ""));
	CHECK(!matches("/heartbeatx", "/heartbeat", ""));
	CHECK(!matches("/heartbea", "/heartbeat", ""));
	CHECK(!matches("/", "/heartbeat", ""));
	CHECK(!matches("/heartbeat/x", "/heartbeat", ""));
	CHECK(matches("/container/c0", "/container/*", "c0|"));
	CHECK(matches("/container/a%20b/", "/container/*", "a b|"));
	CHECK(!matches("/container/", "/container/*", ""));
	CHECK(!matches("/container//", "/container/*", ""));
	CHECK(!matches("//container/c0", "/container/*", ""));
	CHECK(matches("/structure/c0/resources/cpu/max", "/structure/*/resources/*/*",
		      "c0|cpu|max|"));
	CHECK(!matches("/structure/c0/resources/cpu", "/structure/*/resources/*/*", ""));
	/* Only a lone '*' is special, and only in the pattern. */
	CHECK(matches("/*", "/*", "*|"));
	CHECK(!matches("/ab", "/a*", ""));
	/* Segments are opaque. */
	CHECK(matches("/container/..", "/container/*", "..|"));
	CHECK(!matches("/container/../heartbeat", "/heartbeat", ""));
	CHECK(!matches("/1/2/3/4/5/6/7", "/*/*/*/*/*/*/*", ""));
	CHECK(matches("/1/2/3/4/5/6", "/*/*/*/*/*/*", "1|2|3|4|5|6|"));
}

TEST(broken_paths)
{
	static const char *const bad[] = {"",   "heartbeat", "*",      "http://h/x",
					  "/%", "/a%2fb",    "/a/%00", "/\xff/x"};
	struct http_path path = {.n = 42};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (http_path_parse(bad[i], &path) != -EINVAL)
			TEST_FAIL("\"%s\" was taken", bad[i]);
	CHECK_INT(path.n, 42);
}

TEST(deep_paths_match_nothing)
{
	const char *captures[HTTP_MAX_CAPTURES];
	struct http_path path;
	char raw[1001];

	for (size_t i = 0; i < 1000; i += 2)
		memcpy(raw + i, "/a", 3);
	CHECK_INT(http_path_parse(raw, &path), 0);
	CHECK_INT(path.n, HTTP_MAX_SEGMENTS + 1);
	CHECK(!http_path_matches(&path, raw, captures));
	http_path_clear(&path);
	raw[2 * HTTP_MAX_SEGMENTS] = '\0';
	CHECK_INT(http_path_parse(raw, &path), 0);
	CHECK_INT(path.n, HTTP_MAX_SEGMENTS);
	CHECK(http_path_matches(&path, raw, captures));
	http_path_clear(&path);
}

TEST(escape_and_decode_are_inverse)
{
	char all[256], back[256];

	for (int i = 1; i < 128; i++)
		all[i - 1] = (char)i;
	snprintf(all + 127, sizeof(all) - 127, "caf\xc3\xa9");
	_cleanup_free_ char *escaped = http_escape(all);
	CHECK(escaped && !strpbrk(escaped, "/?# &+\n"));
	CHECK_INT(http_percent_decode(escaped, strlen(escaped), back), strlen(all));
	CHECK_STR(back, all);
	_cleanup_free_ char *plain = http_escape("web-1.a_b~c");
	CHECK_STR(plain, "web-1.a_b~c");
}

TEST_MAIN()
