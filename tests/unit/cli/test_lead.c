/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lead.h"
#include "ebb/cleanup.h"

static bool stands_by(const char *role)
{
	_cleanup_json_ json_t *beat = json_pack("{s:s, s:s?}", "status", "alive", "role", role);

	CHECK(beat);
	return lead_stands_by(beat);
}

TEST(only_a_standby_stands_by)
{
	_cleanup_json_ json_t *number = json_pack("{s:i}", "role", 7);

	CHECK(stands_by("standby"));
	CHECK(!stands_by("leader"));
	CHECK(!stands_by(""));
	CHECK(!stands_by(NULL));
	CHECK(!lead_stands_by(number));
	CHECK(!lead_stands_by(NULL));
}

TEST(the_leader_is_asked_where_a_change_would_go)
{
	CHECK(lead_is_address("http://10.0.0.1:5000"));
	CHECK(lead_is_address("https://ebb.example"));
	CHECK(lead_is_address("http://[::1]:5000"));
}

TEST(nobody_is_asked_elsewhere)
{
	static const char *const others[] = {
		"",        "unix:/run/ebb.sock", "file:///etc/passwd",
		"http://", "http://u:p@h:5000",  "h:5000",
		"//h",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (lead_is_address(others[i]))
			TEST_FAIL("%s was taken", others[i]);
}

TEST_MAIN()
