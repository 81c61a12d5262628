/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../lib/tsdb_refused.h"
#include "test.h"

#define MINUTE 60000000000ULL

static struct tsdb_refused refused;

static void end(void *arg)
{
	tsdb_refused_clear(&refused);
}

TEST(names_that_are_no_longer_refused_are_forgotten)
{
	uint64_t now = 1000 * MINUTE;
	char name[32];

	refused.address = "http://127.0.0.1:4242";
	test_at_end(end, NULL);
	for (int i = 0; i < TSDB_REFUSED_NAMES; i++) {
		snprintf(name, sizeof(name), "metric.%d", i);
		tsdb_refused_metric(&refused, name);
	}
	tsdb_refused_metric(&refused, "one.too.many");
	tsdb_refused_tell(&refused, now);
	CHECK_INT(refused.n_names, TSDB_REFUSED_NAMES);
	for (int i = 1; i <= 29; i++) {
		tsdb_refused_metric(&refused, "metric.7");
		tsdb_refused_tell(&refused, now + (uint64_t)i * MINUTE);
	}
	CHECK_INT(refused.n_names, TSDB_REFUSED_NAMES);
	tsdb_refused_tell(&refused, now + 30 * MINUTE);
	CHECK_INT(refused.n_names, 1);
	CHECK_STR(refused.names[0].name, "metric.7");
	/* There is room for others, and one that comes back is told of anew. */
	tsdb_refused_metric(&refused, "metric.3");
	CHECK_INT(refused.n_names, 2);
	CHECK_INT(refused.n_new, 1);
	tsdb_refused_tell(&refused, now + 31 * MINUTE);
	CHECK_INT(refused.n_new, 0);
}

TEST_MAIN()
