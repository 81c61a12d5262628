/* SPDX-License-Identifier: Apache-2.0 */
#include "name_lanes.h"

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "../../test.h"

#define DOCKER 1
/* What is slow takes half a second: whoever was asked after that much less is not. */
#define SOON_NS (400 * EBB_NS_PER_MS)

static struct name_lanes *lanes;

static void clean_up(void *unused)
{
	name_lanes_free(TAKE_PTR(lanes));
}

static size_t drop_answers(void)
{
	struct name_answer *one = name_lanes_take(lanes);
	size_t n = 0;

	for (struct name_answer *next; one; one = next, n++) {
		next = one->next;
		name_answer_free(one);
	}
	return n;
}

/* Also one that begins while we look. */
TEST(who_answers_at_once_is_not_slow)
{
	const struct engine_query query = {.engine = "docker", .path = "docker/1", .key = "1"};
	const struct engine_roots roots = {.prefix = "/nowhere"};

	test_at_end(clean_up, NULL);
	CHECK_INT(name_lanes_new(&roots, &lanes), 0);
	for (int round = 0; round < 100; round++) {
		uint64_t start = now_ns();
		size_t left = 0;
		unsigned slow = 0;

		while (left < 200 && name_lanes_ask(lanes, DOCKER, left + 1, &query) >= 0)
			left++;
		if (left < 200 && now_ns() - start < SOON_NS)
			TEST_FAIL("not asked");
		while (left && !slow) {
			slow = name_lanes_slow(lanes);
			left -= drop_answers();
		}
		if (slow && now_ns() - start < SOON_NS)
			TEST_FAIL("slow after %llu us",
				  (unsigned long long)(now_ns() - start) / 1000);
		/* A machine that is truly slow has seen enough. */
		if (slow)
			return;
	}
}

TEST_MAIN()
