/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "request.h"
#include "ebb/cleanup.h"

static void splits(const char *location, const char *want_address, const char *want_path)
{
	_cleanup_free_ char *address = NULL, *path = NULL;

	CHECK(request_split_location(location, &address, &path));
	CHECK_STR(address, want_address);
	CHECK_STR(path, want_path);
}

TEST(a_location_is_a_host_and_a_path)
{
	splits("http://10.0.0.2:5000/structure/web/guard", "http://10.0.0.2:5000",
	       "/structure/web/guard");
	splits("https://ebb.example/a?b=c%20d", "https://ebb.example", "/a?b=c%20d");
	splits("http://[::1]:5000/", "http://[::1]:5000", "/");
}

TEST(other_locations_are_not_followed)
{
	static const char *const others[] = {
		"",
		"/structure/web",
		"file:///etc/passwd",
		"unix:/run/x/y",
		"ftp://h/x",
		"http://",
		"http:///x",
		"http://h",
		"http://h?x=/",
		"//h/x",
		"HTTP:/h/",
		"http://u:p@h:5000/x",
	};
	char *address = NULL, *path = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (request_split_location(others[i], &address, &path))
			TEST_FAIL("%s was taken", others[i]);
	CHECK(!address && !path);
}

TEST_MAIN()
