/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <float.h>
#include <jansson.h>

#include "ebb/cleanup.h"
#include "ebb/tsdb_metrics.h"
#include "tsdb_batch.h"
#include "test.h"

static void check_value(double value, const char *want)
{
	char buffer[TSDB_VALUE_TEXT + 1];
	size_t n = tsdb_value_format(value, buffer);

	CHECK(n < sizeof(buffer));
	buffer[n] = '\0';
	CHECK_STR(buffer, want);
}

TEST(values_have_two_decimals_at_most)
{
	check_value(0, "0");
	check_value(-0.0, "0");
	check_value(0.004, "0");
	check_value(-0.004, "0");
	check_value(0.005, "0.01");
	check_value(-0.005, "-0.01");
	check_value(0.05, "0.05");
	check_value(0.1, "0.1");
	check_value(0.994, "0.99");
	check_value(0.996, "1");
	check_value(9.999, "10");
	check_value(99.999, "100");
	check_value(-1.5, "-1.5");
	check_value(-99.999, "-100");
	check_value(4.8, "4.8");
	check_value(12.34, "12.34");
	check_value(123456.78, "123456.78");
	check_value(100, "100");
	check_value(1e15, "1000000000000000");
	check_value(-1e15, "-1000000000000000");
	check_value(4503599627370495.5, "4503599627370495.5");
	check_value(9007199254740993.0, "9007199254740992");
	check_value(9223372036854774784.0, "9223372036854774784");
	/* Not taken for an integer, which it is too large for. */
	check_value(0x1p63, "9.2233720368547758e+18");
	check_value(-0x1p70, "-1.1805916207174113e+21");
	check_value(DBL_MAX, "1.7976931348623157e+308");
	check_value(-DBL_MAX, "-1.7976931348623157e+308");
	check_value(DBL_MIN, "0");
}

TEST(values_are_those_of_printf)
{
	unsigned seed = 20260101;

	for (int i = 0; i < 200000; i++) {
		double value = (rand_r(&seed) % 20000001 - 10000000) / 1000.0;
		char buffer[TSDB_VALUE_TEXT + 1];

		buffer[tsdb_value_format(value, buffer)] = '\0';
		/* Half a hundredth, and what a double cannot tell. */
		CHECK_NEAR(strtod(buffer, NULL), value, 0.005 + 1e-9);
	}
}

TEST(names)
{
	CHECK(tsdb_name_is_valid("proc.cpu.user"));
	CHECK(tsdb_name_is_valid("A-Z_a/z.09"));
	CHECK(!tsdb_name_is_valid(""));
	CHECK(!tsdb_name_is_valid("a b"));
	CHECK(!tsdb_name_is_valid("a+b"));
	CHECK(!tsdb_name_is_valid("a:b"));
	CHECK(!tsdb_name_is_valid("a\"b"));
	CHECK(!tsdb_name_is_valid("a\\b"));
	CHECK(!tsdb_name_is_valid("a\nb"));
	CHECK(!tsdb_name_is_valid("\xc3\xa4"));
	CHECK(!tsdb_name_is_valid("a@"));
	CHECK(!tsdb_name_is_valid("a["));
	CHECK(!tsdb_name_is_valid("a`"));
	CHECK(!tsdb_name_is_valid("a{"));
}

static void check_sanitize(const char *name, const char *want)
{
	char buffer[256];

	tsdb_sanitize(name, buffer, sizeof(buffer));
	CHECK_STR(buffer, want);
	CHECK(tsdb_name_is_valid(buffer));
}

TEST(sanitize_as_the_old_system_did)
{
	check_sanitize("kworker/0:1", "kworker_slash_0_twodot_1");
	check_sanitize("systemd-logind", "systemd-logind");
	check_sanitize("(sd-pam)", "sd-pam");
	check_sanitize("bash", "bash");
	/* Rejected by a TSD as it was: now taken. */
	check_sanitize("a+b", "a_b");
	check_sanitize("tmux: server", "tmux_twodot__space_server");
	check_sanitize("a,b", "a_comma_b");
	check_sanitize("kworker/u4:2-events_unbound", "kworker_slash_u4_twodot_2-events_unbound");
	check_sanitize("-x y/z", "-x_space_y_slash_z");
	/* Only the first run of such characters is spelled out. */
	check_sanitize("ab-c/d", "ab-c/d");
	check_sanitize("ab/", "ab/");
	check_sanitize("a b=c d", "a_space_b_c_d");
	check_sanitize("a\tb\nc", "a_b_c");
	check_sanitize("\"quoted\"", "_quoted_");
	check_sanitize("na\xc3\xafve", "na_ve");
	check_sanitize("\xff\xfe", "__");
	check_sanitize("a\\b", "a_b");
	check_sanitize("[x]{y}", "_x__y_");
	check_sanitize(" ", "_");
	check_sanitize("", "unknown");
	check_sanitize("()", "unknown");
}

TEST(sanitize_always_ends)
{
	for (size_t size = 0; size < 30; size++) {
		char *buffer = malloc(size + 1);

		CHECK(buffer);
		buffer[size] = '#';
		tsdb_sanitize("kworker/0:1", buffer, size);
		CHECK(buffer[size] == '#');
		if (size)
			CHECK(strlen(buffer) < size);
		if (size > 24)
			CHECK_STR(buffer, "kworker_slash_0_twodot_1");
		if (size == 14)
			CHECK_STR(buffer, "kworker");
		free(buffer);
	}
}

TEST(points_as_text)
{
	struct tsdb_tag tags[] = {{"host", "c0"}, {"pid", "1000"}};
	struct tsdb_batch *batch = tsdb_batch_new();

	CHECK(batch);
	CHECK_INT(tsdb_batch_add(batch, "proc.cpu.user", 1795000000, 4.8, tags, 2), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, -0.0, tags, 1), 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1794999999, 1, tags, 1), 0);
	CHECK_INT(tsdb_batch_count(batch), 3);
	CHECK_INT(batch->first, 1794999999);
	CHECK_STR(strndupa(batch->text, batch->len),
		  "{\"timestamp\":1795000000,\"metric\":\"proc.cpu.user\",\"value\":4.8,"
		  "\"tags\":{\"host\":\"c0\",\"pid\":\"1000\"}},"
		  "{\"timestamp\":1795000000,\"metric\":\"m\",\"value\":0,"
		  "\"tags\":{\"host\":\"c0\"}},"
		  "{\"timestamp\":1794999999,\"metric\":\"m\",\"value\":1,"
		  "\"tags\":{\"host\":\"c0\"}},");
	CHECK_INT(batch->ends[2], batch->len);
	tsdb_batch_free(batch);
	tsdb_batch_free(NULL);
}

TEST(bad_points_add_nothing)
{
	struct tsdb_tag tags[] = {{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}, {"e", "1"},
				  {"f", "1"}, {"g", "1"}, {"h", "1"}, {"i", "1"}};
	struct tsdb_tag bad_key = {"", "1"}, bad_value = {"a", "x y"}, none = {"a", NULL};
	struct tsdb_tag twice[] = {{"a", "1"}, {"a", "2"}};
	struct tsdb_batch *batch = tsdb_batch_new();
	char longest[TSDB_TAGS_TEXT + 1];
	struct tsdb_tag too_long = {"a", longest};

	memset(longest, 'x', TSDB_TAGS_TEXT);
	longest[TSDB_TAGS_TEXT] = '\0';
	CHECK_INT(tsdb_batch_add(batch, "", 1795000000, 1, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "a b", 1795000000, 1, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 0, 1, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", -1, 1, tags, 1), -EINVAL);
	/* A TSD would read milliseconds. */
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000000, 1, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, NAN, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, INFINITY, tags, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, tags, 0), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, tags, 9), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, &bad_key, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, &bad_value, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, &none, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, twice, 2), -EINVAL);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, &too_long, 1), -EINVAL);
	CHECK_INT(tsdb_batch_add_encoded(batch, "m", 1795000000, 1, ""), -EINVAL);
	CHECK_INT(tsdb_batch_count(batch), 0);
	CHECK_INT(batch->len, 0);
	CHECK_INT(tsdb_batch_add(batch, "m", 1795000000, 1, tags, 8), 0);
	CHECK_INT(tsdb_batch_count(batch), 1);
	tsdb_batch_free(batch);
}

TEST(tags_encode_needs_its_room)
{
	struct tsdb_tag tags[] = {{"host", "c0"}, {"pid", "1"}};
	static const char want[] = "\"host\":\"c0\",\"pid\":\"1\"";

	for (size_t size = 0; size <= sizeof(want); size++) {
		char *buffer = malloc(size + 1);

		memset(buffer, '#', size + 1);
		int r = tsdb_tags_encode(tags, 2, buffer, size);
		CHECK_INT(r, size < sizeof(want) ? -ENOSPC : 0);
		if (r == 0)
			CHECK_STR(buffer, want);
		else
			CHECK(buffer[0] == '#');
		free(buffer);
	}
}

TEST(parts_of_a_batch)
{
	struct tsdb_tag tags[] = {{"host", "c0"}};
	struct tsdb_batch *batch = tsdb_batch_new(), *slice, *picked, *again;
	static const uint32_t indexes[] = {4, 0, 9};
	char *text;

	for (int i = 0; i < 10; i++)
		CHECK_INT(tsdb_batch_add(batch, "m", 1795000000 + i, i, tags, 1), 0);
	slice = tsdb_batch_slice(batch, 3, 5);
	CHECK_INT(tsdb_batch_count(slice), 2);
	CHECK(strstr(strndupa(slice->text, slice->len), "1795000003"));
	CHECK(strstr(strndupa(slice->text, slice->len), "1795000004"));
	picked = tsdb_batch_pick(batch, indexes, 3);
	CHECK_INT(tsdb_batch_count(picked), 3);
	CHECK(!strncmp(picked->text + picked->ends[1], "{\"timestamp\":1795000009", 23));
	CHECK(asprintf(&text, "[%.*s]", (int)batch->len - 1, batch->text) > 0);
	CHECK_INT(tsdb_batch_from_text(text, strlen(text), &again), 0);
	CHECK_INT(again->n, 10);
	CHECK_INT(again->len, batch->len);
	CHECK(!memcmp(again->text, batch->text, batch->len));
	tsdb_batch_free(again);
	free(text);
	CHECK_INT(tsdb_batch_from_text("[]", 2, &again), -EBADMSG);
	CHECK_INT(tsdb_batch_from_text("[{}}x]", 6, &again), -EBADMSG);
	CHECK_INT(tsdb_batch_from_text("{}", 2, &again), -EBADMSG);
	CHECK_INT(tsdb_batch_from_text("[{\"a\"]", 6, &again), -EBADMSG);
	tsdb_batch_free(batch);
	tsdb_batch_free(slice);
	tsdb_batch_free(picked);
}

static bool is_listed(const char *name, unsigned set)
{
	for (size_t i = 0; i < tsdb_n_metrics; i++)
		if (!strcmp(tsdb_metrics[i].name, name))
			return tsdb_metrics[i].sets & set;
	return false;
}

TEST(metrics_are_sorted_and_valid)
{
	for (size_t i = 0; i < tsdb_n_metrics; i++) {
		CHECK(tsdb_name_is_valid(tsdb_metrics[i].name));
		CHECK(tsdb_metrics[i].sets && tsdb_metrics[i].unit);
		if (i)
			CHECK(strcmp(tsdb_metrics[i - 1].name, tsdb_metrics[i].name) < 0);
	}
}

/* What the old system's scripts create (those of its 37 that come from these sets, and its list
 * for the state), so that its dashboards find everything where it was. */
TEST(metrics_have_the_old_names)
{
	static const char *const containers[] = {
		"proc.cpu.user",    "proc.cpu.kernel",    "proc.mem.resident",
		"proc.mem.virtual", "proc.disk.reads.mb", "proc.disk.writes.mb",
	};
	static const char *const hosts[] = {
		"sys.cpu.kernel",     "sys.cpu.user",      "sys.cpu.idle",      "sys.cpu.wait",
		"sys.cpu.usage",      "sys.disk.usage",    "sys.disk.read.ios", "sys.disk.read.mb",
		"sys.disk.write.ios", "sys.disk.write.mb", "sys.mem.free",      "sys.mem.usage",
		"sys.net.in.mb",      "sys.net.out.mb",    "sys.net.usage",     "sys.swap.free",
	};
	static const char *const resources[] = {"cpu", "mem", "disk", "net", "energy"};
	static const char *const limits[] = {"lower", "upper", "boundary"};
	static const char *const fields[] = {"usage", "current", "fixed", "max", "min", "shares"};
	char name[64];

	for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
		CHECK(is_listed(containers[i], TSDB_SET_CONTAINER) &&
		      is_listed(containers[i], TSDB_SET_PROCESS));
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		CHECK(is_listed(hosts[i], TSDB_SET_HOST));
	for (size_t r = 0; r < ARRAY_SIZE(resources); r++) {
		for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
			snprintf(name, sizeof(name), "limit.%s.%s", resources[r], limits[i]);
			CHECK(is_listed(name, TSDB_SET_STATE));
		}
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			snprintf(name, sizeof(name), "structure.%s.%s", resources[r], fields[i]);
			CHECK(is_listed(name, TSDB_SET_STATE));
		}
	}
	CHECK(is_listed("conf.guardian.window_delay", TSDB_SET_STATE));
	CHECK(is_listed("conf.guardian.event_timeout", TSDB_SET_STATE));
	CHECK(is_listed("conf.guardian.window_timelapse", TSDB_SET_STATE));
	CHECK(is_listed("conf.scaler.request_timeout", TSDB_SET_STATE));
	CHECK(is_listed("conf.scaler.polling_frequency", TSDB_SET_STATE));
	CHECK(is_listed("proc.cpu.throttled", TSDB_SET_CONTAINER));
	CHECK(!is_listed("proc.cpu.throttled", TSDB_SET_PROCESS));
}

TEST_MAIN()
