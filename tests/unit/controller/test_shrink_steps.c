/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include "shrink_steps.h"

static void check(const char *body, size_t size, const char *want)
{
	json_t *json = parse_text(body);
	char buffer[256];

	shrink_steps_text(json, buffer, size);
	json_decref(json);
	CHECK_STR(buffer, want);
}

#define STEPS                                                                                \
	"{'mem':{'mem_limit':80,'steps':[{'rung':'clamp','mib':80.4,'ms':0,'why':'in use'}," \
	"{'rung':'reclaim','mib':96.0,'ms':34.4,'times':3},{'rung':'limit','mib':-1,'ms':1}]}}"

TEST(steps_in_words)
{
	check(STEPS, 256,
	      "clamp 80 MiB, 0 ms: in use; reclaim 96 MiB in 3 steps, 34 ms; limit unlimited, 1 ms");
	check("{'mem':{'mem_limit':80}}", 256, "");
	check("{}", 256, "");
}

TEST(only_whole_steps)
{
	check(STEPS, 60, "clamp 80 MiB, 0 ms: in use");
	check(STEPS, 20, "");
}

TEST(what_makes_no_sense_is_left_out)
{
	check("{'mem':{'steps':5}}", 256, "");
	check("{'mem':{'steps':[5,{},{'rung':'high','mib':'x','ms':1},"
	      "{'rung':'a rung that is much too long','mib':1,'ms':1},"
	      "{'rung':'high','mib':64,'ms':2,'times':'x','why':5}]}}",
	      256, "high 64 MiB, 2 ms");
}

TEST_MAIN()
