/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ebb/cleanup.h"
#include "test.h"
#include "tsdb_reply.h"

/* Bodies as OpenTSDB 2.4, VictoriaMetrics, InfluxDB and proxies send them. */
#define GENERIC                                                                        \
	"{\"error\":{\"code\":400,\"message\":\"One or more data points had errors\"," \
	"\"details\":\"Please see the TSD logs or append \\\"details\\\" to the put request\"}}"
#define NO_JSON "{\"error\":{\"code\":400,\"message\":\"Unable to parse the given JSON\"}}"
#define ONE_FAILED                                                                        \
	"{\"success\":1,\"failed\":1,\"errors\":[{\"datapoint\":{\"metric\":\"m\","       \
	"\"timestamp\":1795000000,\"value\":\"1\",\"tags\":{\"host\":\"c0\"}},\"error\":" \
	"\"Unknown metric\"}]}"
#define PAGE                                                                         \
	"<!DOCTYPE html><html><head><title>Bad Request</title></head><body>Chunked " \
	"request not supported.</body></html>"

TEST(what_replies_mean)
{
	static const struct {
		long status;
		bool asked, cut;
		const char *body;
		enum tsdb_verdict want;
	} cases[] = {
		{204, false, false, "", TSDB_TAKEN},
		{204, true, false, "", TSDB_TAKEN},
		{204, false, false, NULL, TSDB_TAKEN},
		{200, false, false, "", TSDB_TAKEN},
		{200, false, false, "hello", TSDB_TAKEN},
		{200, true, false, "{\"success\":5,\"failed\":0,\"errors\":[]}", TSDB_TAKEN},
		{200, true, false, "not json", TSDB_TAKEN},
		/* With sync, a storage failure of a valid point is a 200. */
		{200, true, false, ONE_FAILED, TSDB_NAMED},
		{200, true, false, "{\"success\":4,\"failed\":1}", TSDB_UNCLEAR},
		{400, false, false, GENERIC, TSDB_ASK},
		{400, true, false, ONE_FAILED, TSDB_NAMED},
		{400, false, false, ONE_FAILED, TSDB_NAMED},
		{400, true, false, GENERIC, TSDB_UNCLEAR},
		{400, false, false, NO_JSON, TSDB_ASK},
		{400, true, false, NO_JSON, TSDB_UNCLEAR},
		{400, true, false, "{\"success\":0,\"failed\":5,\"errors\":[]}", TSDB_UNCLEAR},
		{400, true, false, "{\"errors\":7}", TSDB_UNCLEAR},
		{400, false, false, PAGE, TSDB_TOO_LARGE},
		{400, true, false, PAGE, TSDB_TOO_LARGE},
		{400, false, false, "", TSDB_TOO_LARGE},
		{400, false, false, "json array decode error", TSDB_TOO_LARGE},
		{400, false, false, "[1]", TSDB_TOO_LARGE},
		{400, false, false, "{\"cut", TSDB_TOO_LARGE},
		{413, false, false, PAGE, TSDB_TOO_LARGE},
		{408, false, false, "", TSDB_LATER},
		{429, false, false, "", TSDB_LATER},
		{500, false, false, "{\"error\":{\"code\":500,\"message\":\"x\"}}", TSDB_LATER},
		{502, false, false, PAGE, TSDB_LATER},
		{503, true, false, "", TSDB_LATER},
		{599, false, false, "", TSDB_LATER},
		{401, false, false, "", TSDB_SETUP},
		{403, false, false, "", TSDB_SETUP},
		{404, false, false, NO_JSON, TSDB_SETUP},
		{405, false, false, "", TSDB_SETUP},
		{301, false, false, "", TSDB_SETUP},
		{302, true, false, "", TSDB_SETUP},
		{415, false, false, "", TSDB_SETUP},
		{0, false, true, "", TSDB_CUT},
		{0, false, false, "", TSDB_LATER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tsdb_reply reply = {
			.status = cases[i].status,
			.cut = cases[i].cut,
			.asked = cases[i].asked,
			.body = cases[i].body,
			.body_len = cases[i].body ? strlen(cases[i].body) : 0,
		};
		json_t *details = NULL;
		enum tsdb_verdict got = tsdb_reply_judge(&reply, &details);

		if (got != cases[i].want)
			TEST_FAIL("case %zu is %d, want %d", i, got, cases[i].want);
		CHECK((details != NULL) == (got == TSDB_NAMED));
		json_decref(details);
	}
}

TEST(retry_after)
{
	struct tsdb_reply reply = {.status = 429};

	CHECK_INT(tsdb_reply_wait_s(&reply), 0);
	reply.retry_after = "7";
	CHECK_INT(tsdb_reply_wait_s(&reply), 7);
	reply.retry_after = "100000";
	CHECK_INT(tsdb_reply_wait_s(&reply), 300);
	reply.retry_after = "Fri, 31 Dec 1999 23:59:59 GMT";
	CHECK_INT(tsdb_reply_wait_s(&reply), 0);
	reply.retry_after = "-1";
	CHECK_INT(tsdb_reply_wait_s(&reply), 0);
}

static void check_message(const char *body, const char *want)
{
	struct tsdb_reply reply = {.body = body, .body_len = body ? strlen(body) : 0};
	char text[64];

	tsdb_reply_message(&reply, text, sizeof(text));
	CHECK_STR(text, want);
}

TEST(messages)
{
	check_message(NULL, "");
	check_message("", "");
	check_message(PAGE, "");
	check_message(NO_JSON, "Unable to parse the given JSON");
	check_message("{\"error\":\"no database\"}", "no database");
	check_message("{\"error\":7}", "");
	check_message("json array decode error\r\nmore", "json array decode error");
}

TEST(faults_of_points)
{
	CHECK_INT(tsdb_reply_fault("Unknown metric"), TSDB_FAULT_METRIC);
	CHECK_INT(tsdb_reply_fault("Please throttle"), TSDB_FAULT_STORAGE);
	CHECK_INT(tsdb_reply_fault("Storage exception: x"), TSDB_FAULT_STORAGE);
	CHECK_INT(tsdb_reply_fault("Timeout exception"), TSDB_FAULT_STORAGE);
	CHECK_INT(tsdb_reply_fault("Unexpected exception"), TSDB_FAULT_STORAGE);
	CHECK_INT(tsdb_reply_fault("Invalid timestamp"), TSDB_FAULT_POINT);
	CHECK_INT(tsdb_reply_fault("Too many tags: 9 maximum allowed: 8, tags: {}"),
		  TSDB_FAULT_POINT);
	CHECK_INT(tsdb_reply_fault(""), TSDB_FAULT_POINT);
}

struct found {
	uint32_t indexes[8];
	char errors[8][32];
	size_t n;
};

static void on_found(void *userdata, uint32_t index, const char *metric, const char *error)
{
	struct found *found = userdata;

	CHECK(found->n < 8 && metric);
	found->indexes[found->n] = index;
	snprintf(found->errors[found->n++], 32, "%s", error);
}

TEST(failed_points_are_found_again)
{
	struct tsdb_tag tags[] = {{"host", "c0"}, {"pid", "1"}}, other = {"host", "c1"};
	struct tsdb_batch *batch = tsdb_batch_new();
	struct found found = {0};
	_cleanup_json_ json_t *details = json_loads(
		"{\"success\":1,\"failed\":9,\"errors\":["
		/* Tags in another order, the value as text. */
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1795000000,\"value\":\"1\","
		"\"tags\":{\"pid\":\"1\",\"host\":\"c0\"}},\"error\":\"first\"},"
		/* The time as text. */
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":\"1795000005\",\"value\":\"2\","
		"\"tags\":{\"host\":\"c1\"}},\"error\":\"second\"},"
		/* Named twice. */
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1795000005,\"value\":\"2\","
		"\"tags\":{\"host\":\"c1\"}},\"error\":\"third\"},"
		/* Never sent: another time, metric, tag. */
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1,\"value\":\"2\","
		"\"tags\":{\"host\":\"c1\"}},\"error\":\"x\"},"
		"{\"datapoint\":{\"metric\":\"n\",\"timestamp\":1795000005,\"value\":\"2\","
		"\"tags\":{\"host\":\"c1\"}},\"error\":\"x\"},"
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":1795000005,\"value\":\"2\","
		"\"tags\":{\"host\":\"c2\"}},\"error\":\"x\"},"
		"{\"datapoint\":{\"metric\":\"m\"},\"error\":\"x\"},{\"error\":\"x\"},7,null,"
		"{\"datapoint\":{\"metric\":\"m\",\"timestamp\":true,\"tags\":[]}},"
		/* Without a reason. */
		"{\"datapoint\":{\"metric\":\"o\",\"timestamp\":1795000005,\"value\":\"2\","
		"\"tags\":{\"host\":\"c1\"}}}]}",
		0, NULL);

	CHECK(details);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, tags, 2), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, tags, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000005, 2, &other, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "o", 1795000005, 2, &other, 1), 0);
	CHECK_INT(tsdb_reply_match(details, batch, on_found, &found), 0);
	CHECK_INT(found.n, 3);
	CHECK_INT(found.indexes[0], 0);
	CHECK_STR(found.errors[0], "first");
	CHECK_INT(found.indexes[1], 2);
	CHECK_STR(found.errors[1], "second");
	CHECK_INT(found.indexes[2], 3);
	CHECK_STR(found.errors[2], "");
	tsdb_batch_free(batch);
}

TEST(size_is_halved_and_grows_to_what_worked)
{
	struct tsdb_size size;

	tsdb_size_init(&size, 8192);
	CHECK_INT(size.limit, 8192);
	tsdb_size_refused(&size, 8000);
	CHECK_INT(size.limit, 4000);
	tsdb_size_refused(&size, 3900);
	CHECK_INT(size.limit, 1950);
	/* A body that was made before does not raise it again. */
	tsdb_size_refused(&size, 8000);
	CHECK_INT(size.limit, 1950);
	/* Never above what was taken. */
	for (int i = 0; i < 10000; i++)
		tsdb_size_taken(&size, 1900);
	CHECK_INT(size.limit, 1950);

	/* A fault that looked like a refusal is got over. */
	tsdb_size_init(&size, 8192);
	tsdb_size_taken(&size, 8000);
	tsdb_size_refused(&size, 8000);
	tsdb_size_refused(&size, 4000);
	CHECK_INT(size.limit, 2000);
	for (int i = 0; i < 10000; i++)
		tsdb_size_taken(&size, 2000);
	CHECK_INT(size.limit, 8000);

	/* It ends somewhere. */
	for (int i = 0; i < 100; i++)
		tsdb_size_refused(&size, size.limit);
	CHECK_INT(size.limit, TSDB_SIZE_MIN);
}

TEST_MAIN()
