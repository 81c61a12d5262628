/* SPDX-License-Identifier: Apache-2.0 */
#include "tsdb_query.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "structure.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* `proc.mem.virtual`, which the original asks for and does not use, is left out. */
static const struct {
	const char *name;
	enum ebb_resource resource;
} metrics[TSDB_QUERY_METRICS] = {
	{"proc.cpu.user", EBB_CPU},
	{"proc.cpu.kernel", EBB_CPU},
	{"proc.mem.resident", EBB_MEM},
	{"proc.disk.reads.mb", EBB_DISK_READ},
	{"proc.disk.writes.mb", EBB_DISK_WRITE},
	{"proc.net.tcp.in.mb", EBB_NET},
	{"proc.net.tcp.out.mb", EBB_NET},
	{"structure.energy.usage", EBB_ENERGY},
};

const char *tsdb_query_metric_name(unsigned metric)
{
	return metric < TSDB_QUERY_METRICS ? metrics[metric].name : NULL;
}

static unsigned metric_from_name(const char *name)
{
	unsigned i;

	for (i = 0; i < TSDB_QUERY_METRICS; i++)
		if (strcmp(name, metrics[i].name) == 0)
			break;
	return i;
}

unsigned tsdb_query_metrics_of(unsigned resources)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < TSDB_QUERY_METRICS; i++)
		if (resources & 1u << metrics[i].resource)
			mask |= 1u << i;
	return mask;
}

bool tsdb_query_name_is_valid(const char *name)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_./";

	return *name && !name[strspn(name, valid)];
}

/* --- asking --- */

static char *write_body(const struct tsdb_query *query, const char *const *names, size_t n)
{
	char *text = NULL;
	const char *comma = "";
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fprintf(out, "{\"start\":%lld,\"end\":%lld,\"queries\":[", (long long)query->start,
		(long long)query->end);
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++) {
		if (!(query->metrics & 1u << m))
			continue;
		fprintf(out,
			"%s{\"aggregator\":\"zimsum\",\"metric\":\"%s\",\"downsample\":\"%ds-avg\","
			"\"tags\":{\"host\":\"",
			comma, metrics[m].name, TSDB_QUERY_BUCKET_S);
		for (size_t i = 0; i < n; i++)
			fprintf(out, "%s%s", i ? "|" : "", names[i]);
		fputs("\"}}", out);
		comma = ",";
	}
	fputs("]}", out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int tsdb_query_body(const struct tsdb_query *query, const char *const *names, size_t n,
		    size_t body_max, char **ret_body, size_t *ret_n)
{
	_cleanup_free_ char *frame = write_body(query, NULL, 0);
	size_t copies = (size_t)__builtin_popcount(query->metrics), len, fit;
	char *body;

	if (!frame)
		return -ENOMEM;
	len = strlen(frame);
	for (fit = 0; fit < n; fit++) {
		len += copies * (strlen(names[fit]) + (fit ? 1 : 0));
		if (fit && len > body_max)
			break;
	}
	body = write_body(query, names, fit);
	if (!body)
		return -ENOMEM;
	*ret_body = body;
	*ret_n = fit;
	return 0;
}

/* --- the answer --- */

static int by_time(const void *a, const void *b)
{
	const struct tsdb_bucket *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* Numbers come as Java prints them: 80, 80.0, 1.0E10; what is none as "NaN". */
static size_t read_buckets(const json_t *dps, struct tsdb_bucket *buckets)
{
	const char *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)dps, key, value) {
		int64_t at;
		double number;

		if (parse_i64(key, &at) < 0 || json_to_double(value, &number) < 0)
			continue;
		buckets[n++] = (struct tsdb_bucket){at, number};
	}
	if (n)
		qsort(buckets, n, sizeof(*buckets), by_time);
	return n;
}

static int not_an_answer(char **ret_error, const char *why)
{
	if (ret_error && asprintf(ret_error, "not what OpenTSDB answers to a query: %s", why) < 0)
		*ret_error = NULL;
	return -EINVAL;
}

int tsdb_query_parse(const char *text, size_t len, tsdb_query_series_fn fn, void *userdata,
		     char **ret_error)
{
	json_error_t why;
	/* Sums of counters can be whole numbers beyond 64 bits. */
	_cleanup_json_ json_t *answer = json_loadb(text, len, JSON_DECODE_INT_AS_REAL, &why);
	json_t *series;
	size_t i;

	if (!answer)
		return not_an_answer(ret_error, why.text);
	if (!json_is_array(answer))
		return not_an_answer(ret_error, "it is not a list");
	json_array_foreach(answer, i, series) {
		const char *metric = json_string_value(json_object_get(series, "metric"));
		const char *name =
			json_string_value(json_object_get(json_object_get(series, "tags"), "host"));
		const json_t *dps = json_object_get(series, "dps");
		unsigned known = metric ? metric_from_name(metric) : TSDB_QUERY_METRICS;
		_cleanup_free_ struct tsdb_bucket *buckets = NULL;

		if (known == TSDB_QUERY_METRICS || !name || !json_is_object(dps))
			continue;
		buckets = calloc(json_object_size(dps) + 1, sizeof(*buckets));
		if (!buckets)
			return -ENOMEM;
		fn(userdata, name, known, buckets, read_buckets(dps, buckets));
	}
	return 0;
}

/* The value of each metric of `resource` in the bucket at `at`, added up; false: one has none. */
static bool sum_at(const struct tsdb_series *series, int resource, int64_t at, double *ret_sum)
{
	double sum = 0;

	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++) {
		const struct tsdb_bucket key = {.at = at}, *found;

		if ((int)metrics[m].resource != resource)
			continue;
		found = series[m].n ? bsearch(&key, series[m].buckets, series[m].n, sizeof(key),
					      by_time)
				    : NULL;
		if (!found)
			return false;
		sum += found->value;
	}
	*ret_sum = sum;
	return true;
}

static const struct tsdb_series *first_series(const struct tsdb_series *series, int resource)
{
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
		if ((int)metrics[m].resource == resource)
			return &series[m];
	return NULL;
}

unsigned tsdb_query_usage(const struct tsdb_series series[TSDB_QUERY_METRICS], int64_t from,
			  int64_t to, double usage[EBB_RESOURCE_MAX], struct tsdb_span *ret_span)
{
	struct tsdb_span span = {INT64_MAX, INT64_MIN};
	unsigned valid = 0;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct tsdb_series *one = first_series(series, r);
		double sum = 0, value;
		size_t counted = 0;

		for (size_t i = 0; one && i < one->n; i++) {
			int64_t at = one->buckets[i].at;

			if (at < from || at > to - TSDB_QUERY_BUCKET_S ||
			    !sum_at(series, r, at, &value))
				continue;
			counted++;
			sum += value;
			span.first = MIN(span.first, at);
			span.last = MAX(span.last, at);
		}
		if (!counted)
			continue;
		usage[r] = sum / (double)counted;
		valid |= 1u << r;
	}
	if (valid)
		*ret_span = span;
	return valid;
}

/* --- errors --- */

/* "No such name for 'tagv': 'node9'" somewhere in the message. */
static bool unknown_uid(const char *message, char kind[16], char *subject)
{
	static const char phrase[] = "No such name for '";
	const char *at = strstr(message, phrase), *end;

	if (!at)
		return false;
	at += strlen(phrase);
	end = strchr(at, '\'');
	if (!end || (size_t)(end - at) >= 16)
		return false;
	snprintf(kind, 16, "%.*s", (int)(end - at), at);
	at = strchr(end + 1, '\'');
	end = at ? strchr(at + 1, '\'') : NULL;
	if (!end || end - at - 1 >= TSDB_QUERY_SUBJECT || end - at - 1 < 1)
		return false;
	snprintf(subject, TSDB_QUERY_SUBJECT, "%.*s", (int)(end - at - 1), at + 1);
	return true;
}

/* The first line, without what would spoil a log. */
static void first_line(const char *from, size_t len, char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size && from[i] != '\n'; i++)
		text[n++] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? ' ' : from[i];
	if (size)
		text[n] = '\0';
}

enum tsdb_query_trouble tsdb_query_trouble(long status, const char *body, size_t len, char *subject,
					   char *text, size_t text_size)
{
	_cleanup_json_ json_t *error = json_loadb(body ? body : "", len, 0, NULL);
	const char *message =
		json_string_value(json_object_get(json_object_get(error, "error"), "message"));
	char kind[16], found[TSDB_QUERY_SUBJECT];

	if (message)
		first_line(message, strlen(message), text, text_size);
	else
		snprintf(text, text_size, "it answered %ld", status);
	if (status == 401 || status == 403)
		return TSDB_QUERY_FORBIDDEN;
	if (message && unknown_uid(message, kind, found)) {
		if (strcmp(kind, "tagk") == 0)
			return TSDB_QUERY_NOTHING_STORED;
		if (strcmp(kind, "tagv") == 0 || strcmp(kind, "metrics") == 0) {
			memcpy(subject, found, sizeof(found));
			return strcmp(kind, "tagv") == 0 ? TSDB_QUERY_UNKNOWN_NAME
							 : TSDB_QUERY_UNKNOWN_METRIC;
		}
	}
	return status == 400 || status == 413 || status == 414 ? TSDB_QUERY_UNREADABLE
							       : TSDB_QUERY_AWAY;
}
