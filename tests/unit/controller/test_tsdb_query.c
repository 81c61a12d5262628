/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "test.h"
#include "tsdb_query.h"

#define CPU (1u << EBB_CPU)
#define MEM (1u << EBB_MEM)

static struct tsdb_series series[TSDB_QUERY_METRICS];

static void no_series(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < TSDB_QUERY_METRICS; i++)
		free(series[i].buckets);
	memset(series, 0, sizeof(series));
}

/* Takes one container's. */
static void take_series(void *userdata, const char *name, unsigned metric,
			const struct tsdb_bucket *buckets, size_t n)
{
	if (strcmp(name, userdata) != 0)
		return;
	CHECK(!series[metric].buckets);
	series[metric].buckets = malloc((n + 1) * sizeof(*buckets));
	CHECK(series[metric].buckets);
	memcpy(series[metric].buckets, buckets, n * sizeof(*buckets));
	series[metric].n = n;
}

static void parse(const char *name, const char *text)
{
	char *error = NULL;

	no_series(NULL);
	CHECK_INT(tsdb_query_parse(text, strlen(text), take_series, (void *)name, &error), 0);
	CHECK(!error);
}

/* Over all buckets, as the original does. */
static unsigned usage_of_all(double usage[EBB_RESOURCE_MAX])
{
	struct tsdb_span span;

	return tsdb_query_usage(series, INT64_MIN, INT64_MAX, usage, &span);
}

TEST(asks_as_the_original_does)
{
	static const char *const names[] = {"node0"};
	const struct tsdb_query query = {1795345137, 1795345147, tsdb_query_metrics_of(CPU)};
	char *body;
	size_t n;

	CHECK_INT(tsdb_query_body(&query, names, 1, 8192, &body, &n), 0);
	CHECK_INT(n, 1);
	CHECK_STR(body, "{\"start\":1795345137,\"end\":1795345147,\"queries\":["
			"{\"aggregator\":\"zimsum\",\"metric\":\"proc.cpu.user\","
			"\"downsample\":\"5s-avg\",\"tags\":{\"host\":\"node0\"}},"
			"{\"aggregator\":\"zimsum\",\"metric\":\"proc.cpu.kernel\","
			"\"downsample\":\"5s-avg\",\"tags\":{\"host\":\"node0\"}}]}");
	free(body);
}

TEST(asks_for_several_at_once)
{
	static const char *const names[] = {"a", "b.c", "d/e"};
	const struct tsdb_query query = {1, 2, tsdb_query_metrics_of(MEM)};
	char *body;
	size_t n;

	CHECK_INT(tsdb_query_body(&query, names, 3, 8192, &body, &n), 0);
	CHECK_INT(n, 3);
	CHECK_STR(body, "{\"start\":1,\"end\":2,\"queries\":[{\"aggregator\":\"zimsum\","
			"\"metric\":\"proc.mem.resident\",\"downsample\":\"5s-avg\","
			"\"tags\":{\"host\":\"a|b.c|d/e\"}}]}");
	free(body);
}

TEST(metrics_by_resource)
{
	static const struct {
		enum ebb_resource resource;
		const char *metrics;
	} cases[] = {
		{EBB_CPU, "proc.cpu.user proc.cpu.kernel "},
		{EBB_MEM, "proc.mem.resident "},
		{EBB_DISK_READ, "proc.disk.reads.mb "},
		{EBB_DISK_WRITE, "proc.disk.writes.mb "},
		{EBB_NET, "proc.net.tcp.in.mb proc.net.tcp.out.mb "},
		{EBB_ENERGY, "structure.energy.usage "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned mask = tsdb_query_metrics_of(1u << cases[i].resource);
		char text[128] = "";

		for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
			if (mask & 1u << m)
				sprintf(text + strlen(text), "%s ", tsdb_query_metric_name(m));
		CHECK_STR(text, cases[i].metrics);
	}
}

TEST(a_request_is_of_bounded_size)
{
	char many[100][24];
	const char *names[100];
	const struct tsdb_query query = {1795345137, 1795345147, tsdb_query_metrics_of(CPU | MEM)};
	size_t done = 0, requests = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(many[i], sizeof(many[i]), "a-container-name-%03d", i);
		names[i] = many[i];
	}
	while (done < 100) {
		char *body;
		size_t n;

		CHECK_INT(tsdb_query_body(&query, names + done, 100 - done, 2048, &body, &n), 0);
		CHECK(n >= 1);
		CHECK(strlen(body) <= 2048);
		/* Not one more would have fitted. */
		if (done + n < 100)
			CHECK(strlen(body) + 3 * (strlen(many[0]) + 1) > 2048);
		done += n;
		requests++;
		free(body);
	}
	CHECK(requests > 2 && requests < 10);
}

TEST(one_name_is_asked_for_however_long)
{
	const struct tsdb_query query = {1, 2, tsdb_query_metrics_of(CPU)};
	const char *names[] = {"long", "other"};
	char *body;
	size_t n;

	CHECK_INT(tsdb_query_body(&query, names, 2, 10, &body, &n), 0);
	CHECK_INT(n, 1);
	CHECK(strstr(body, "\"long\"") != NULL);
	free(body);
}

TEST(names_that_can_be_asked_for)
{
	CHECK(tsdb_query_name_is_valid("node0"));
	CHECK(tsdb_query_name_is_valid("a-B_c.d/9"));
	CHECK(!tsdb_query_name_is_valid(""));
	CHECK(!tsdb_query_name_is_valid("a|b"));
	CHECK(!tsdb_query_name_is_valid("*"));
	CHECK(!tsdb_query_name_is_valid("node*"));
	CHECK(!tsdb_query_name_is_valid("a b"));
	CHECK(!tsdb_query_name_is_valid("a\"b"));
	CHECK(!tsdb_query_name_is_valid("a+b"));
}

/* Two pids of 50 and 30 user, 5 and 1 kernel: what the original's own client makes of it. */
TEST(usage_as_the_original_reads_it)
{
	double usage[EBB_RESOURCE_MAX];

	parse("node0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"node0\"},"
		       "\"aggregateTags\":[\"pid\",\"command\"],"
		       "\"dps\":{\"1795345140\":80.0,\"1795345145\":80.0}},"
		       "{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"node0\"},"
		       "\"aggregateTags\":[\"pid\",\"command\"],"
		       "\"dps\":{\"1795345140\":6.0,\"1795345145\":6.0}}]");
	CHECK_INT(usage_of_all(usage), CPU);
	CHECK(usage[EBB_CPU] == 86.0);
}

TEST(usage_is_the_mean_of_the_buckets)
{
	double usage[EBB_RESOURCE_MAX];

	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\",\"pid\":\"7\"},"
		    "\"aggregateTags\":[],\"dps\":{\"1365966000\":80.0,\"1365966005\":82.5}},"
		    "{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"c0\"},\"dps\":"
		    "{\"1365966000\":4,\"1365966005\":0.5}},"
		    "{\"metric\":\"proc.mem.resident\",\"tags\":{\"host\":\"c0\"},\"dps\":"
		    "{\"1365966000\":512,\"1365966005\":1.0E3}}]");
	CHECK_INT(usage_of_all(usage), CPU | MEM);
	CHECK(usage[EBB_CPU] == 83.5);
	CHECK(usage[EBB_MEM] == 756);
}

TEST(what_is_missing_is_no_data)
{
	double usage[EBB_RESOURCE_MAX];

	parse("c0", "[]");
	CHECK_INT(usage_of_all(usage), 0);
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},\"dps\":{}}]");
	CHECK_INT(usage_of_all(usage), 0);
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c1\"},"
		    "\"dps\":{\"5\":1.0}}]");
	CHECK_INT(usage_of_all(usage), 0);
}

/* One of two metrics would read as an idle container. */
TEST(half_of_a_resource_is_no_usage_of_it)
{
	double usage[EBB_RESOURCE_MAX] = {[EBB_CPU] = -7};

	parse("c0", "[{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":7.5}},"
		    "{\"metric\":\"proc.mem.resident\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":64}}]");
	CHECK_INT(usage_of_all(usage), MEM);
	CHECK(usage[EBB_CPU] == -7);
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":7.5}}]");
	CHECK_INT(usage_of_all(usage), 0);
	parse("c0", "[{\"metric\":\"proc.net.tcp.in.mb\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":1}}]");
	CHECK_INT(usage_of_all(usage), 0);
	/* Nor of two in different buckets. */
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":7.5}},"
		    "{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"10\":2}}]");
	CHECK_INT(usage_of_all(usage), 0);
	/* Where both are, that counts. */
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":99,\"10\":40,\"15\":50,\"20\":99}},"
		    "{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"10\":2,\"15\":4,\"25\":99}}]");
	CHECK_INT(usage_of_all(usage), CPU);
	CHECK(usage[EBB_CPU] == 48);
	/* A zero is data. */
	parse("c0", "[{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":0.0}},"
		    "{\"metric\":\"proc.cpu.kernel\",\"tags\":{\"host\":\"c0\"},"
		    "\"dps\":{\"5\":0}}]");
	CHECK_INT(usage_of_all(usage), CPU);
	CHECK(usage[EBB_CPU] == 0);
	no_series(NULL);
}

TEST(numbers_as_java_prints_them)
{
	double usage[EBB_RESOURCE_MAX];

	parse("c0", "[{\"metric\":\"proc.mem.resident\",\"tags\":{\"host\":\"c0\"},\"dps\":"
		    "{\"5\":1.0E10,\"10\":\"NaN\",\"15\":\"Infinity\",\"x\":3.0,"
		    "\"20\":99999999999999999999999}}]");
	CHECK_INT(usage_of_all(usage), MEM);
	CHECK(fabs(usage[EBB_MEM] - (1e10 + 1e23) / 2) < 1e10);
	parse("c0", "[{\"metric\":\"proc.mem.resident\",\"tags\":{\"host\":\"c0\"},\"dps\":"
		    "{\"5\":1.0E-3}}]");
	CHECK_INT(usage_of_all(usage), MEM);
	CHECK(usage[EBB_MEM] == 0.001);
}

TEST(series_of_others_are_ignored)
{
	parse("c0", "[{\"metric\":\"sys.cpu.user\",\"tags\":{\"host\":\"c0\"},\"dps\":{\"5\":1}},"
		    "{\"metric\":\"proc.cpu.user\",\"tags\":{},\"dps\":{\"5\":1}},"
		    "{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":3},\"dps\":{\"5\":1}},"
		    "{\"metric\":\"proc.cpu.user\",\"tags\":{\"host\":\"c0\"},\"dps\":[[5,1]]},"
		    "{\"statsSummary\":{}},17]");
	for (unsigned i = 0; i < TSDB_QUERY_METRICS; i++)
		CHECK_INT(series[i].n, 0);
}

TEST(what_is_no_answer_is_told)
{
	static const char *const texts[] = {"", "{}", "[{", "<html>", "null", "3"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *error = NULL;

		CHECK_INT(tsdb_query_parse(texts[i], strlen(texts[i]), take_series, "c0", &error),
			  -EINVAL);
		CHECK(error && strstr(error, "OpenTSDB"));
		free(error);
	}
}

TEST(the_mean_is_of_whole_buckets_inside)
{
	static struct tsdb_bucket buckets[] = {{100, 1}, {105, 2}, {110, 4}, {115, 8}};
	static const struct {
		int64_t from, to, first, last;
		double mean;
	} cases[] = {
		{105, 115, 105, 110, 3},
		{101, 119, 105, 110, 3},
		{115, 120, 115, 115, 8},
		{0, 1000, 100, 115, 3.75},
	};
	struct tsdb_series one[TSDB_QUERY_METRICS] = {[2] = {buckets, 4}};
	double usage[EBB_RESOURCE_MAX] = {[EBB_MEM] = -1};
	struct tsdb_span span = {-1, -1};

	CHECK_STR(tsdb_query_metric_name(2), "proc.mem.resident");
	CHECK_INT(tsdb_query_usage(one, 116, 1000, usage, &span), 0);
	CHECK_INT(tsdb_query_usage(one, 0, 104, usage, &span), 0);
	CHECK(usage[EBB_MEM] == -1 && span.first == -1 && span.last == -1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_INT(tsdb_query_usage(one, cases[i].from, cases[i].to, usage, &span), MEM);
		CHECK(usage[EBB_MEM] == cases[i].mean);
		CHECK_INT(span.first, cases[i].first);
		CHECK_INT(span.last, cases[i].last);
	}
}

static enum tsdb_query_trouble trouble(long status, const char *body, char *subject, char *text)
{
	strcpy(subject, "untouched");
	return tsdb_query_trouble(status, body, strlen(body), subject, text, 100);
}

TEST(an_unknown_name_is_found_out)
{
	char subject[TSDB_QUERY_SUBJECT], text[100];

	CHECK_INT(trouble(400,
			  "{\"error\":{\"code\":400,\"message\":\"No such name for 'tagv': "
			  "'node9'\",\"trace\":\"net.opentsdb...\"}}",
			  subject, text),
		  TSDB_QUERY_UNKNOWN_NAME);
	CHECK_STR(subject, "node9");
	CHECK_STR(text, "No such name for 'tagv': 'node9'");
	CHECK_INT(trouble(400,
			  "{\"error\":{\"message\":\"No such name for 'metrics': "
			  "'proc.disk.reads.mb'\"}}",
			  subject, text),
		  TSDB_QUERY_UNKNOWN_METRIC);
	CHECK_STR(subject, "proc.disk.reads.mb");
	CHECK_INT(trouble(400, "{\"error\":{\"message\":\"No such name for 'tagk': 'host'\"}}",
			  subject, text),
		  TSDB_QUERY_NOTHING_STORED);
}

TEST(other_errors)
{
	char subject[TSDB_QUERY_SUBJECT], text[100];

	CHECK_INT(trouble(400, "<html>Chunked request not supported.</html>", subject, text),
		  TSDB_QUERY_UNREADABLE);
	CHECK_STR(text, "it answered 400");
	CHECK_INT(trouble(400, "{\"error\":{\"message\":\"No such name for 'tagv': 'cut\"}}",
			  subject, text),
		  TSDB_QUERY_UNREADABLE);
	CHECK_INT(trouble(400, "{\"error\":{\"message\":\"a\\nb\"}}", subject, text),
		  TSDB_QUERY_UNREADABLE);
	CHECK_STR(text, "a");
	CHECK_INT(trouble(413, "", subject, text), TSDB_QUERY_UNREADABLE);
	CHECK_INT(trouble(401, "", subject, text), TSDB_QUERY_FORBIDDEN);
	CHECK_INT(trouble(500, "{\"error\":{\"code\":500,\"message\":\"x\"}}", subject, text),
		  TSDB_QUERY_AWAY);
	CHECK_INT(trouble(503, "", subject, text), TSDB_QUERY_AWAY);
	CHECK_INT(trouble(0, "", subject, text), TSDB_QUERY_AWAY);
	CHECK_STR(subject, "untouched");
}

TEST_MAIN()
