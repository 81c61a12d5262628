/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors: spec 5.3; where the original went below 0, 0. */
#include "test.h"

#include <errno.h>

#include "boundaries.h"

static struct resource_state resource(int64_t max, int64_t current, int boundary,
				      enum boundary_type type)
{
	return (struct resource_state){
		.present = true,
		.max = max,
		.current = current,
		.has_boundary = true,
		.boundary = boundary,
		.boundary_type = type,
		.upper = -1,
		.lower = -1,
	};
}

static void check_limits(int64_t max, int64_t current, int boundary, enum boundary_type type,
			 int64_t upper, int64_t lower)
{
	struct resource_state r = resource(max, current, boundary, type);

	CHECK(boundaries_adjust(&r));
	CHECK_INT(r.upper, upper);
	CHECK_INT(r.lower, lower);
	CHECK_INT(r.current, current);
	/* Settled: once more changes nothing. */
	CHECK(!boundaries_adjust(&r));
}

TEST(boundaries_percentage_of_max)
{
	check_limits(200, 150, 10, BOUNDARY_PERCENTAGE_OF_MAX, 130, 110);
	check_limits(400, 200, 25, BOUNDARY_PERCENTAGE_OF_MAX, 100, 0);
}

TEST(boundaries_percentage_of_current)
{
	check_limits(200, 150, 10, BOUNDARY_PERCENTAGE_OF_CURRENT, 135, 120);
	/* The cut is of the percentage: int(14.9) = 14. */
	check_limits(400, 149, 10, BOUNDARY_PERCENTAGE_OF_CURRENT, 135, 121);
}

TEST(boundaries_current_above_max_counts_as_max)
{
	check_limits(200, 250, 10, BOUNDARY_PERCENTAGE_OF_MAX, 180, 160);
	check_limits(200, 250, 10, BOUNDARY_PERCENTAGE_OF_CURRENT, 180, 160);
}

TEST(boundaries_never_below_zero)
{
	check_limits(200, 0, 10, BOUNDARY_PERCENTAGE_OF_MAX, 0, 0);
	check_limits(200, 30, 10, BOUNDARY_PERCENTAGE_OF_MAX, 10, 0);
	check_limits(200, 200, 100, BOUNDARY_PERCENTAGE_OF_MAX, 0, 0);
}

TEST(boundaries_margin_is_at_least_one)
{
	int64_t margin = 0;
	struct resource_state r = resource(200, 5, 10, BOUNDARY_PERCENTAGE_OF_CURRENT);

	CHECK_INT(boundaries_margin(&r, &margin), 0);
	CHECK_INT(margin, 1);
	r.boundary = 0;
	CHECK_INT(boundaries_margin(&r, &margin), 0);
	CHECK_INT(margin, 1);
	check_limits(200, 5, 10, BOUNDARY_PERCENTAGE_OF_CURRENT, 4, 3);
}

TEST(boundaries_of_huge_limits)
{
	/* 16 TiB of memory in MiB, and the largest integer that a document can carry. */
	check_limits(16777216, 16777216, 10, BOUNDARY_PERCENTAGE_OF_MAX, 15099495, 13421774);
	check_limits(9007199254740992, 9007199254740992, 100, BOUNDARY_PERCENTAGE_OF_MAX, 0, 0);
}

TEST(boundaries_missing_values_change_nothing)
{
	int64_t margin = 42;
	struct resource_state r = resource(200, -1, 10, BOUNDARY_PERCENTAGE_OF_CURRENT);

	CHECK_INT(boundaries_margin(&r, &margin), -EINVAL);
	CHECK(!boundaries_adjust(&r));
	r.current = 100;
	r.has_boundary = false;
	CHECK_INT(boundaries_margin(&r, &margin), -EINVAL);
	CHECK(!boundaries_adjust(&r));
	r = resource(0, 100, 10, BOUNDARY_PERCENTAGE_OF_MAX);
	CHECK_INT(boundaries_margin(&r, &margin), -EINVAL);
	CHECK(!boundaries_adjust(&r));
	CHECK_INT(margin, 42);
	CHECK_INT(r.upper, -1);
	CHECK_INT(r.lower, -1);
	/* Of current, a max is not needed. */
	check_limits(0, 100, 10, BOUNDARY_PERCENTAGE_OF_CURRENT, 90, 80);
}

TEST_MAIN()
