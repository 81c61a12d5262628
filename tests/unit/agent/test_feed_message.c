/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "feed_message.h"

static struct text text;

static void clear(void *unused)
{
	text_clear(&text);
}

TEST(message_sample_row)
{
	struct ebb_sample sample = {
		.id = 99,
		.valid = EBB_VALID_CPU | EBB_VALID_BANDWIDTH | EBB_VALID_MEM |
			 EBB_VALID_WORKING_SET | EBB_VALID_OOM | EBB_VALID_IO,
		.at_ns = 1,
		.cpu_ns = 2,
		.quota_ns = 1000,
		.period_ns = 1001,
		.nr_periods = 3,
		.nr_throttled = 4,
		.throttled_ns = 5,
		.mem_charged = 6,
		.mem_working_set = 7,
		.mem_limit = 1002,
		.oom_kills = 8,
		.read_bytes = 9,
		.write_bytes = 10,
		.read_ops = 11,
		.write_ops = 12,
	};

	test_at_end(clear, NULL);
	feed_message_sample(&text, 42, &sample);
	CHECK_STR(text.data, "[42,1,2,3,4,5,6,7,8,9,10,11,12]");
	text_reset(&text);
	sample.valid = EBB_VALID_CPU;
	feed_message_sample(&text, 1, &sample);
	CHECK_STR(text.data, "[1,1,2,null,null,null,null,null,null,null,null,null,null]");
	text_reset(&text);
	sample.valid = EBB_VALID_MEM | EBB_VALID_IO;
	feed_message_sample(&text, 1, &sample);
	CHECK_STR(text.data, "[1,1,null,null,null,null,6,null,null,9,10,11,12]");

	/* The longest row that there can be. */
	memset(&sample, 0xff, sizeof(sample));
	text_reset(&text);
	feed_message_sample(&text, UINT64_MAX, &sample);
#define MOST "18446744073709551615"
	CHECK_STR(text.data, "[" MOST "," MOST "," MOST ",4294967295,4294967295," MOST "," MOST
			     "," MOST "," MOST "," MOST "," MOST "," MOST "," MOST "]");
}

TEST(message_limits)
{
	struct limits limits = {
		.has_cpu = true,
		.has_cpuset = true,
		.has_mem = true,
		.has_disk = true,
		.cpu = {.quota_us = 25000, .period_us = 50000, .cpus = "0-1"},
		.mem_bytes = 512 * EBB_MIB,
		.disk = {.read_bps = LIMIT_NONE, .write_bps = EBB_MIB / 2},
	};

	test_at_end(clear, NULL);
	feed_message_limits(&text, 3, &limits, NULL, NULL);
	CHECK_STR(text.data, "{\"c\":3,\"cpu\":50,\"cpus\":\"0-1\",\"mem\":512,\"disk_read\":-1,"
			     "\"disk_write\":0.5}");
	text_reset(&text);
	limits.has_disk = limits.has_cpuset = limits.has_mem = false;
	limits.cpu.quota_us = LIMIT_NONE;
	feed_message_limits(&text, 3, &limits, NULL, NULL);
	CHECK_STR(text.data, "{\"c\":3,\"cpu\":-1}");
	text_reset(&text);
	limits.has_net = true;
	limits.net.bps = LIMIT_NONE;
	feed_message_limits(&text, 3, &limits, NULL, NULL);
	CHECK_STR(text.data, "{\"c\":3,\"cpu\":-1,\"net\":-1}");
	text_reset(&text);
	limits.has_disk = true;
	limits.net.bps = 12500000;
	feed_message_limits(&text, 3, &limits, NULL, NULL);
	CHECK_STR(text.data,
		  "{\"c\":3,\"cpu\":-1,\"disk_read\":-1,\"disk_write\":0.5,\"net\":100}");
}

TEST(message_limits_with_the_hand_that_changed_them)
{
	struct limits limits = {.has_mem = true, .mem_bytes = 64 * EBB_MIB};
	struct hand hand = {.pid = 12, .name = "a \"b\"", .unit = "x.service"};

	test_at_end(clear, NULL);
	feed_message_limits(&text, 3, &limits, NULL, &hand);
	CHECK_STR(text.data, "{\"c\":3,\"mem\":64,\"by\":{\"pid\":12,\"name\":\"a \\\"b\\\"\","
			     "\"unit\":\"x.service\"}}");
	text_reset(&text);
	hand.name[0] = hand.unit[0] = '\0';
	feed_message_limits(&text, 3, &limits, NULL, &hand);
	CHECK_STR(text.data, "{\"c\":3,\"mem\":64,\"by\":{\"pid\":12}}");
}

TEST(message_added)
{
	char name[] = "a\"b", path[] = "docker/\x01";
	struct container container = {.name = name, .path = path, .engine = "docker"};
	struct limits limits = {.has_mem = true, .mem_bytes = LIMIT_NONE};

	test_at_end(clear, NULL);
	feed_message_added(&text, 1, &container, &limits, NULL);
	CHECK_STR(text.data, "{\"c\":1,\"name\":\"a\\\"b\",\"engine\":\"docker\",\"labels\":{},"
			     "\"path\":\"docker/\\u0001\",\"limits\":{\"mem\":-1}}");
	text_reset(&text);
	feed_message_added(&text, 2, &container, &limits, "3f\"");
	CHECK(strstr(text.data, "{\"c\":2,\"name\":\"a\\\"b\",\"was\":\"3f\\\"\",\"engine\":"));
	text_reset(&text);
	limits.has_mem = false;
	feed_message_added(&text, 1, &container, &limits, NULL);
	CHECK(strstr(text.data, "\"limits\":{}}"));

	container.labels =
		(struct container_labels){.name = "app", .pod = "web-0", .image = "a\"\n:1"};
	text_reset(&text);
	feed_message_added(&text, 1, &container, &limits, NULL);
	CHECK(strstr(text.data, "\"labels\":{\"name\":\"app\",\"pod\":\"web-0\","
				"\"image\":\"a\\\"\\n:1\"}"));
	text_reset(&text);
	limits.has_mem = true;
	feed_message_limits(&text, 1, &limits, &container, NULL);
	CHECK(strstr(text.data, "{\"c\":1,\"engine\":\"docker\",\"labels\":{\"name\":\"app\","));
	CHECK(strstr(text.data, "},\"mem\":-1}"));
}

TEST_MAIN()
