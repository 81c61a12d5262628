/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_message.h"

#include <errno.h>

#include "ebb/cleanup.h"
#include "../../test.h"

static struct feed_message message;
static char *error;

static void release_all(void *arg)
{
	feed_message_clear(&message);
	free(TAKE_PTR(error));
}

static int parse(const char *text)
{
	release_all(NULL);
	return feed_message_parse(text, strlen(text), &message, &error);
}

#define HEAD "{\"host\":\"h0\",\"session\":\"s1\",\"seq\":17,\"guard_version\":4,\"now\":1000"

TEST(whole_message)
{
	test_at_end(release_all, NULL);
	CHECK_INT(parse(HEAD ",\"register\":{\"cpus\":[0]},"
			     "\"added\":[{\"c\":3,\"name\":\"web\"}],"
			     "\"limits\":[{\"c\":3,\"cpu\":150}],\"removed\":[2],"
			     "\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11],"
			     "[3,990,1,null,null,null,5,6,7,null,null,null,null]]}"),
		  0);
	CHECK_STR(message.host, "h0");
	CHECK_STR(message.session, "s1");
	CHECK_INT(message.seq, 17);
	CHECK_INT(message.guard_version, 4);
	CHECK_INT(message.now, 1000);
	CHECK(message.registration);
	CHECK_INT(json_array_size(message.added), 1);
	CHECK_INT(json_array_size(message.limits), 1);
	CHECK_INT(json_array_size(message.removed), 1);
	CHECK_INT(message.n_samples, 2);
	CHECK_INT(message.samples[0].c, 3);
	CHECK_INT(message.samples[0].t, 900);
	CHECK_INT(message.samples[0].counters[FEED_CPU_NS], 1);
	CHECK_INT(message.samples[0].counters[FEED_WORKING_SET], 6);
	CHECK_INT(message.samples[0].counters[FEED_WRITE_OPS], 11);
	CHECK_INT(message.samples[1].counters[FEED_NR_THROTTLED], FEED_NONE);
	CHECK_INT(message.samples[1].counters[FEED_MEM_CHARGED], 5);
}

TEST(the_least_message)
{
	test_at_end(release_all, NULL);
	CHECK_INT(parse("{\"host\":\"h\",\"session\":\"s\",\"seq\":0,\"now\":1}"), 0);
	CHECK(!message.registration);
	CHECK_INT(message.n_samples, 0);
	CHECK_INT(message.guard_version, 0);
}

TEST(added_numbers_are_found_in_any_order)
{
	static const char text[] =
		"{\"host\":\"h0\",\"session\":\"s\",\"seq\":1,\"now\":1,\"added\":["
		"{\"c\":7,\"name\":\"a\"},{\"c\":0,\"name\":\"b\"},"
		"{\"c\":9223372036854775807,\"name\":\"c\"},{\"c\":3,\"name\":\"d\"}]}";
	static const int64_t in[] = {0, 3, 7, INT64_MAX}, out[] = {-1, 1, 4, 8, INT64_MAX - 1};

	test_at_end(release_all, NULL);
	CHECK_INT(parse(text), 0);
	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		CHECK(feed_message_adds(&message, in[i]));
	for (size_t i = 0; i < ARRAY_SIZE(out); i++)
		CHECK(!feed_message_adds(&message, out[i]));
	feed_message_clear(&message);
	CHECK(!feed_message_adds(&message, 0));
}

TEST(nonsense_is_refused_with_a_reason)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"null",
		"{\"host\":\"h\"}",
		"{\"host\":7,\"session\":\"s\",\"seq\":0,\"now\":1}",
		"{\"host\":\"\",\"session\":\"s\",\"seq\":0,\"now\":1}",
		"{\"host\":\"a\\nb\",\"session\":\"s\",\"seq\":0,\"now\":1}",
		"{\"host\":\"h\",\"session\":\"s\",\"seq\":-1,\"now\":1}",
		"{\"host\":\"h\",\"session\":\"s\",\"seq\":1.5,\"now\":1}",
		"{\"host\":\"h\",\"session\":\"s\",\"seq\":\"1\",\"now\":1}",
		"{\"host\":\"h\",\"session\":\"s\",\"seq\":1,\"seq\":2,\"now\":1}",
		HEAD ",\"guard_version\":4}",
		HEAD ",\"register\":[]}",
		HEAD ",\"added\":{}}",
		HEAD ",\"added\":[3]}",
		HEAD ",\"added\":[{\"c\":3}]}",
		HEAD ",\"added\":[{\"name\":\"x\"}]}",
		HEAD ",\"added\":[{\"c\":-3,\"name\":\"x\"}]}",
		HEAD ",\"limits\":[{\"cpu\":3}]}",
		HEAD ",\"removed\":[\"x\"]}",
		HEAD ",\"removed\":7}",
		HEAD ",\"samples\":{}}",
		HEAD ",\"samples\":[7]}",
		HEAD ",\"samples\":[[]]}",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10]]}",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11,12]]}",
		HEAD ",\"samples\":[[null,900,1,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,null,1,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,-1,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,1.5,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,true,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,99999999999999999999,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,01,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,nul,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"samples\":[[3,900,1 2,3,4,5,6,7,8,9,10,11,12]]}",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11],]}",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11]",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11]]",
		HEAD ",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11]]]}",
		HEAD ",\"samples\":[],\"samples\":[]}",
		HEAD ",\"sam\\u0070les\":[[3,900,1,2,3,4,5,6,7,8,9,10,11]]}",
		HEAD ",\"x\":\"\\\",\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,10,11]]}",
	};

	test_at_end(release_all, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (parse(bad[i]) != -EINVAL)
			TEST_FAIL("taken: %s", bad[i]);
		CHECK(error && *error);
		CHECK(!message.json);
	}
}

TEST(samples_are_found_behind_anything)
{
	test_at_end(release_all, NULL);
	CHECK_INT(parse(" { \"samples\" : [ [ 3 , 9 , 1,2,3,4,5,6,7,8,9,10 , null ]\n, "
			"[3,9223372036854775807,0,2,3,4,5,6,7,8,9,10,11] ] , \"host\":\"h\","
			"\"session\":\"s\",\"seq\":0,\"now\":1}"),
		  0);
	CHECK_INT(message.n_samples, 2);
	CHECK_INT(message.samples[0].counters[FEED_WRITE_OPS], FEED_NONE);
	CHECK_INT(message.samples[1].t, INT64_MAX);
	CHECK_INT(parse("{\"x\":{\"samples\":[7],\"y\":\"]}\\\"\"},\"z\":\"\\\\\",\"n\":null,"
			"\"host\":\"h\",\"session\":\"s\",\"seq\":0,\"now\":1,\"samples\":[]}"),
		  0);
	CHECK_INT(message.n_samples, 0);
}

/* Any change of one byte is refused or leaves a message that makes sense; memory is not touched
 * beyond the text (run under SAN=1). */
TEST(damaged_messages_do_no_harm)
{
	static const char whole[] = HEAD ",\"removed\":[2],\"samples\":[[3,900,1,2,3,4,5,6,7,8,9,"
					 "10,null],[3,901,1,2,3,4,5,6,7,8,9,10,11]]}";
	static const char bytes[] = "\"[]{},:0n\\ \x01";

	test_at_end(release_all, NULL);
	for (size_t i = 0; i + 1 < sizeof(whole); i++) {
		for (size_t j = 0; j < sizeof(bytes); j++) {
			char *text = malloc(sizeof(whole) - 1);

			CHECK(text);
			memcpy(text, whole, sizeof(whole) - 1);
			text[i] = bytes[j];
			release_all(NULL);
			if (feed_message_parse(text, sizeof(whole) - 1, &message, &error) == 0)
				CHECK(message.n_samples <= 2);
			free(text);
		}
		char *part = malloc(i + 1);

		CHECK(part);
		memcpy(part, whole, i);
		release_all(NULL);
		CHECK_INT(feed_message_parse(part, i, &message, &error), -EINVAL);
		free(part);
	}
}

TEST(deep_nesting_is_refused)
{
	enum { DEPTH = 5000 };
	static char text[2 * DEPTH + 128];
	int n;

	test_at_end(release_all, NULL);
	n = snprintf(text, sizeof(text), HEAD ",\"x\":");
	memset(text + n, '[', DEPTH);
	memset(text + n + DEPTH, ']', DEPTH);
	text[n + 2 * DEPTH] = '}';
	CHECK_INT(parse(text), -EINVAL);
}

TEST_MAIN()
