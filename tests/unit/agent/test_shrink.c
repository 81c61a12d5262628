/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ebb/units.h"
#include "shrink.h"

TEST(the_margin_is_a_twentieth_and_at_least_16_mib)
{
	CHECK_INT(shrink_floor(0), 16 * EBB_MIB);
	CHECK_INT(shrink_floor(1), 16 * EBB_MIB + 1);
	CHECK_INT(shrink_floor(100 * EBB_MIB), 116 * EBB_MIB);
	CHECK_INT(shrink_floor(320 * EBB_MIB), 336 * EBB_MIB);
	CHECK_INT(shrink_floor(1000 * EBB_MIB), 1050 * EBB_MIB);
	CHECK(shrink_floor(UINT64_MAX) == UINT64_MAX);
	CHECK(shrink_floor(UINT64_MAX - 1) == UINT64_MAX);
}

TEST_MAIN()
