/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"
#include "test.h"

#include <errno.h>

#include "name_order.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAMES 3000

static struct name_order *order;
static char names[NAMES][12];

static void free_order(void *unused)
{
	name_order_free(order);
	order = NULL;
}

static void start(void)
{
	test_at_end(free_order, NULL);
	order = name_order_new();
	CHECK(order);
}

/* Walks all of it, `step` at a time, as somebody who reads page by page does. */
static void same_as(const bool *there, size_t step)
{
	void *values[700];
	const char *after = NULL;
	size_t n, i = 0, total = 0;

	CHECK(step <= ARRAY_SIZE(values));
	while ((n = name_order_after(order, after, values, step))) {
		for (size_t k = 0; k < n; k++) {
			while (i < NAMES && !there[i])
				i++;
			CHECK(i < NAMES);
			CHECK_STR(values[k], names[i]);
			i++;
			total++;
		}
		after = values[n - 1];
	}
	while (i < NAMES && !there[i])
		i++;
	CHECK_INT(i, NAMES);
	CHECK_INT(total, name_order_size(order));
}

TEST(nothing_is_there)
{
	void *value;

	start();
	CHECK_INT(name_order_size(order), 0);
	CHECK_INT(name_order_after(order, NULL, &value, 1), 0);
	CHECK_INT(name_order_after(order, "x", &value, 1), 0);
	CHECK(!name_order_remove(order, "x"));
}

TEST(a_name_is_there_once)
{
	char value, *got;

	start();
	CHECK_INT(name_order_add(order, "b", &value), 0);
	CHECK_INT(name_order_add(order, "b", &value), -EEXIST);
	CHECK_INT(name_order_size(order), 1);
	/* One that is not there has a place too. */
	CHECK_INT(name_order_after(order, "a", (void **)&got, 1), 1);
	CHECK(got == &value);
	CHECK_INT(name_order_after(order, "b", (void **)&got, 1), 0);
	CHECK(!name_order_remove(order, "a"));
	CHECK(name_order_remove(order, "b") == &value);
	CHECK(!name_order_remove(order, "b"));
	CHECK_INT(name_order_size(order), 0);
}

/* Against an array of flags: names that come and go in any order, mostly coming at first, mostly
 * going at last. */
TEST(random_changes)
{
	unsigned seed = (unsigned)test_seed(1);
	static bool there[NAMES];

	srandom(seed);
	memset(there, 0, sizeof(there));
	for (int i = 0; i < NAMES; i++)
		snprintf(names[i], sizeof(names[i]), "n%06d", i * 7);
	start();
	for (int step = 0; step < 60000; step++) {
		size_t i = (size_t)random() % NAMES;
		bool add = random() % 60000 > step;

		if (add)
			CHECK_INT(name_order_add(order, names[i], names[i]),
				  there[i] ? -EEXIST : 0);
		else
			CHECK(name_order_remove(order, names[i]) == (there[i] ? names[i] : NULL));
		there[i] = add;
		if (step % 6000 == 0)
			same_as(there, 1 + (size_t)random() % 700);
	}
	same_as(there, 1);
	for (int i = 0; i < NAMES; i++)
		name_order_remove(order, names[i]);
	CHECK_INT(name_order_size(order), 0);
}

/* Ascending and descending, which is how sites name things. */
TEST(names_in_order)
{
	static bool there[NAMES];

	for (int i = 0; i < NAMES; i++)
		snprintf(names[i], sizeof(names[i]), "n%06d", i);
	start();
	for (int i = 0; i < NAMES; i += 2)
		CHECK_INT(name_order_add(order, names[i], names[i]), 0);
	for (int i = NAMES - 1; i > 0; i -= 2)
		CHECK_INT(name_order_add(order, names[i], names[i]), 0);
	memset(there, true, sizeof(there));
	same_as(there, 256);
	same_as(there, 255);
	same_as(there, 257);
}

TEST_MAIN()
