/* SPDX-License-Identifier: Apache-2.0 */
/* What an OpenTSDB, or whatever is in its place, answers to a query. */
#include "../fuzz.h"
#include "tsdb_query.h"

static void on_series(void *userdata, const char *name, unsigned metric,
		      const struct tsdb_bucket *buckets, size_t n)
{
	struct tsdb_series series[TSDB_QUERY_METRICS] = {};
	double usage[EBB_RESOURCE_MAX];
	struct tsdb_span span;

	(void)userdata;
	FUZZ_CHECK(name && tsdb_query_metric_name(metric));
	for (size_t i = 1; i < n; i++)
		FUZZ_CHECK(buckets[i - 1].at <= buckets[i].at);
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
		series[m] = (struct tsdb_series){(struct tsdb_bucket *)buckets, n};
	if (tsdb_query_usage(series, 0, 4000000000, usage, &span))
		FUZZ_CHECK(n > 0 && span.first <= span.last && span.first >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size), *error = NULL;
	char subject[TSDB_QUERY_SUBJECT], line[64];

	if (tsdb_query_parse(text, size, on_series, NULL, &error) < 0) {
		FUZZ_CHECK(error && *error);
		free(error);
	} else {
		FUZZ_CHECK(!error);
	}
	memset(subject, 'x', sizeof(subject));
	switch (tsdb_query_trouble(400, text, size, subject, line, sizeof(line))) {
	case TSDB_QUERY_UNKNOWN_NAME:
	case TSDB_QUERY_UNKNOWN_METRIC:
		FUZZ_CHECK(memchr(subject, '\0', sizeof(subject)) && *subject);
		break;
	default: FUZZ_CHECK(subject[0] == 'x');
	}
	FUZZ_CHECK(memchr(line, '\0', sizeof(line)));
	free(text);
	return 0;
}
