/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query for hosts without an agent: what it costs to ask for 1,000 containers, CPU, memory and
 * disks, and to read the answer, as CPU time on one core; and how many requests that takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "tsdb_query.h"

#define CONTAINERS 1000
#define BUCKETS    3
#define ROUNDS     50

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void count(void *userdata, const char *name, unsigned metric,
		  const struct tsdb_bucket *buckets, size_t n)
{
	size_t *series = userdata;

	(void)name;
	(void)metric;
	(void)buckets;
	*series += n > 0;
}

/* What OpenTSDB answers for these. Caller frees. */
static char *answer_for(const char *const *names, size_t n, unsigned metrics)
{
	char *text = NULL;
	const char *comma = "";
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputc('[', out);
	for (unsigned m = 0; m < TSDB_QUERY_METRICS; m++)
		for (size_t i = 0; metrics & 1u << m && i < n; i++) {
			fprintf(out,
				"%s{\"metric\":\"%s\",\"tags\":{\"host\":\"%s\"},"
				"\"aggregateTags\":[\"pid\",\"command\"],\"dps\":{",
				comma, tsdb_query_metric_name(m), names[i]);
			for (int b = 0; b < BUCKETS; b++)
				fprintf(out, "%s\"%d\":%.2f", b ? "," : "", 1795345140 + 5 * b,
					12.5 + b);
			fputs("}}", out);
			comma = ",";
		}
	fputc(']', out);
	fclose(out);
	return text;
}

int main(void)
{
	const unsigned metrics = tsdb_query_metrics_of(1u << EBB_CPU | 1u << EBB_MEM |
						       1u << EBB_DISK_READ | 1u << EBB_DISK_WRITE);
	const struct tsdb_query query = {1795345137, 1795345147, metrics};
	char(*text)[24] = calloc(CONTAINERS, sizeof(*text));
	const char **names = calloc(CONTAINERS, sizeof(*names));
	double asking = 0, reading = 0;
	size_t requests = 0, series = 0, bytes = 0;

	for (int i = 0; i < CONTAINERS; i++) {
		snprintf(text[i], sizeof(text[i]), "node%03d-cont%d", i / 10, i % 10);
		names[i] = text[i];
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (size_t done = 0, n; done < CONTAINERS; done += n) {
			_cleanup_free_ char *body = NULL, *answer = NULL;
			double started = cpu_seconds();

			if (tsdb_query_body(&query, names + done, CONTAINERS - done, 8192, &body,
					    &n) < 0)
				return 1;
			asking += cpu_seconds() - started;
			answer = answer_for(names + done, n, metrics);
			bytes += strlen(answer);
			started = cpu_seconds();
			if (tsdb_query_parse(answer, strlen(answer), count, &series, NULL) < 0)
				return 1;
			reading += cpu_seconds() - started;
			requests++;
		}
	}
	printf("%d containers: %zu requests of at most 8,192 bytes, %zu series, %zu KiB answered\n",
	       CONTAINERS, requests / ROUNDS, series / ROUNDS, bytes / ROUNDS / 1024);
	printf("ask %.2f ms, read %.2f ms of CPU a round: every 5 s that is %.3f%% of a core\n",
	       asking * 1e3 / ROUNDS, reading * 1e3 / ROUNDS,
	       (asking + reading) / ROUNDS / 5 * 100);
	free(text);
	free(names);
	return 0;
}
