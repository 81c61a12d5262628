/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"
#include "test.h"

#include <errno.h>

#include "name_index.h"

static void free_index(void *index)
{
	name_index_free(index);
}

TEST(name_index_add_get_remove)
{
	struct name_index *index = name_index_new();
	int a, b;

	test_at_end(free_index, index);
	CHECK(name_index_get(index, "a") == NULL);
	CHECK(name_index_remove(index, "a") == NULL);
	CHECK_INT(name_index_add(index, "a", &a), 0);
	CHECK_INT(name_index_add(index, "b", &b), 0);
	CHECK_INT(name_index_add(index, "a", &b), -EEXIST);
	CHECK(name_index_get(index, "a") == &a);
	CHECK_INT(name_index_size(index), 2);
	CHECK(name_index_remove(index, "a") == &a);
	CHECK(name_index_get(index, "a") == NULL);
	CHECK(name_index_get(index, "b") == &b);
	CHECK_INT(name_index_size(index), 1);
}

/* Against an array that knows what ought to be there. */
TEST(name_index_random_operations)
{
	enum { NAMES = 3000, STEPS = 60000 };
	static char names[NAMES][16];
	static bool there[NAMES];
	struct name_index *index = name_index_new();
	unsigned seed = (unsigned)test_seed(1);
	size_t n = 0;

	test_at_end(free_index, index);
	memset(there, 0, sizeof(there));
	for (int i = 0; i < NAMES; i++)
		snprintf(names[i], sizeof(names[i]), "c%d", i);
	for (int step = 0; step < STEPS; step++) {
		int i = rand_r(&seed) % NAMES;

		/* Mostly adding, then mostly removing: through growth and through emptiness. */
		if (rand_r(&seed) % 100 < (step < STEPS / 2 ? 70 : 30)) {
			int r = name_index_add(index, names[i], &there[i]);

			CHECK_INT(r, there[i] ? -EEXIST : 0);
			n += r == 0;
			there[i] = true;
		} else {
			void *value = name_index_remove(index, names[i]);

			CHECK(value == (there[i] ? &there[i] : NULL));
			n -= value != NULL;
			there[i] = false;
		}
		CHECK_INT(name_index_size(index), n);
	}
	for (int i = 0; i < NAMES; i++)
		CHECK(name_index_get(index, names[i]) == (there[i] ? &there[i] : NULL));
}

TEST_MAIN()
