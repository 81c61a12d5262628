/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include "../../test.h"

#define ID 7

static struct restore *restore;

static void clean_up(void *unused)
{
	restore_free(restore);
	restore = NULL;
}

static void set_up(void)
{
	CHECK_INT(restore_new(&restore), 0);
	test_at_end(clean_up, NULL);
}

static struct limits limits(uint64_t quota_us, uint64_t period_us, uint64_t mem)
{
	struct limits limits = {.mem_bytes = mem};

	limits.cpu.quota_us = quota_us;
	limits.cpu.period_us = period_us;
	snprintf(limits.cpu.cpus, sizeof(limits.cpu.cpus), "0-3");
	limits.cpu.n_effective = 4;
	return limits;
}

TEST(what_was_changed_goes_back_to_what_it_was_first)
{
	struct limits first = limits(LIMIT_NONE, 100000, 1 << 30),
		      second = limits(50000, 100000, 1 << 30),
		      third = limits(70000, 100000, 1 << 30);
	struct limit_order order;

	set_up();
	CHECK(!restore_order(restore, ID, &first, &order));
	restore_writing(restore, ID, LIMIT_QUOTA, &first);
	restore_wrote(restore, ID, ~0U, &second);
	restore_writing(restore, ID, LIMIT_QUOTA, &second);
	restore_wrote(restore, ID, ~0U, &third);
	CHECK(restore_order(restore, ID, &third, &order));
	CHECK_INT(order.asked, 1 << LIMIT_QUOTA);
	CHECK_INT(order.value[LIMIT_QUOTA], LIMIT_NONE);
	/* Another container has nothing to go back to. */
	CHECK(!restore_order(restore, ID + 1, &third, &order));
	restore_forget(restore, ID);
	CHECK(!restore_order(restore, ID, &third, &order));
}

TEST(what_somebody_else_set_since_stays)
{
	struct limits before = limits(100000, 100000, 1 << 30),
		      ours = limits(50000, 100000, 1 << 29),
		      theirs = limits(60000, 100000, 1 << 29);
	struct limit_order order;

	set_up();
	restore_writing(restore, ID, LIMIT_QUOTA, &before);
	restore_writing(restore, ID, LIMIT_MEM, &before);
	restore_wrote(restore, ID, ~0U, &ours);
	CHECK(restore_order(restore, ID, &theirs, &order));
	CHECK_INT(order.asked, 1 << LIMIT_MEM);
	CHECK_INT(order.value[LIMIT_MEM], 1 << 30);
}

TEST(what_somebody_else_set_is_not_ours_when_another_limit_is_written)
{
	struct limits before = limits(100000, 100000, 1 << 30),
		      ours = limits(50000, 100000, 1 << 30),
		      theirs = limits(60000, 100000, 1 << 30),
		      then = limits(60000, 100000, 1 << 29);
	struct limit_order order;

	set_up();
	restore_writing(restore, ID, LIMIT_QUOTA, &before);
	restore_wrote(restore, ID, 1U << LIMIT_QUOTA, &ours);
	restore_writing(restore, ID, LIMIT_MEM, &theirs);
	restore_wrote(restore, ID, 1U << LIMIT_MEM, &then);
	CHECK(restore_order(restore, ID, &then, &order));
	CHECK_INT(order.asked, 1 << LIMIT_MEM);
	/* But what the next order for it sets. */
	restore_writing(restore, ID, LIMIT_QUOTA, &then);
	then.cpu.quota_us = 70000;
	restore_wrote(restore, ID, 1U << LIMIT_QUOTA, &then);
	CHECK(restore_order(restore, ID, &then, &order));
	CHECK_INT(order.asked, 1 << LIMIT_MEM | 1 << LIMIT_QUOTA);
	CHECK_INT(order.value[LIMIT_QUOTA], 100000);
}

TEST(what_is_so_again_is_not_written)
{
	struct limits before = limits(100000, 100000, 1 << 30);
	struct limit_order order;

	set_up();
	restore_writing(restore, ID, LIMIT_QUOTA, &before);
	restore_wrote(restore, ID, ~0U, &before);
	CHECK(!restore_order(restore, ID, &before, &order));
}

TEST(a_quota_is_put_back_per_our_period)
{
	struct limits before = limits(25000, 50000, 1 << 30), ours = limits(80000, 100000, 1 << 30);
	struct limit_order order;

	set_up();
	restore_writing(restore, ID, LIMIT_QUOTA, &before);
	restore_wrote(restore, ID, ~0U, &ours);
	CHECK(restore_order(restore, ID, &ours, &order));
	CHECK_INT(order.value[LIMIT_QUOTA], 50000);
}

TEST(cpus_are_compared_as_sets)
{
	struct limits before = limits(LIMIT_NONE, 100000, 1 << 30), ours = before;
	struct limit_order order;

	set_up();
	restore_writing(restore, ID, LIMIT_CPUS, &before);
	snprintf(ours.cpu.cpus, sizeof(ours.cpu.cpus), "0,1,2,3");
	restore_wrote(restore, ID, ~0U, &ours);
	CHECK(!restore_order(restore, ID, &ours, &order));
	snprintf(ours.cpu.cpus, sizeof(ours.cpu.cpus), "1-2");
	ours.cpu.n_effective = 2;
	restore_wrote(restore, ID, ~0U, &ours);
	CHECK(restore_order(restore, ID, &ours, &order));
	CHECK_STR(order.cpus, "0-3");
}

TEST_MAIN()
