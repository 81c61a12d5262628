/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "packed.h"
#include "ebb/cleanup.h"
#include "../../test.h"

static void check_same(const void *data, size_t size)
{
	_cleanup_free_ struct packed *packed = packed_new(data, size);
	_cleanup_free_ char *back = malloc(size + 1);

	memset(back, 0x5a, size + 1);
	packed_get(packed, back, size);
	CHECK(memcmp(back, data, size) == 0);
	CHECK_INT(back[size], 0x5a);
}

TEST(any_bytes_come_back)
{
	char data[1000];

	srandom(1);
	for (int round = 0; round < 500; round++) {
		size_t size = 1 + (size_t)random() % sizeof(data);

		memset(data, 0, sizeof(data));
		for (size_t i = 0; i < size; i++)
			if (random() % (1 + round % 40) == 0)
				data[i] = (char)random();
		check_same(data, size);
	}
}

TEST(the_longest_comes_back)
{
	char data[PACKED_MAX];

	memset(data, 0, sizeof(data));
	check_same(data, sizeof(data));
	data[sizeof(data) - 1] = 1;
	check_same(data, sizeof(data));
	memset(data, 1, sizeof(data));
	check_same(data, sizeof(data));
}

TEST(a_decision_takes_a_third)
{
	_cleanup_free_ struct packed *packed = NULL;
	struct decision decision;

	decision_init(&decision);
	snprintf(decision.structure, sizeof(decision.structure), "host17-container42");
	snprintf(decision.host, sizeof(decision.host), "host17");
	snprintf(decision.origin, sizeof(decision.origin), "guardian");
	snprintf(decision.rule, sizeof(decision.rule), "CpuRescaleUp");
	snprintf(decision.outcome, sizeof(decision.outcome), "applied");
	packed = packed_new(&decision, sizeof(decision));
	CHECK(packed_bytes(packed) * 3 < sizeof(decision));
	check_same(&decision, sizeof(decision));
}

TEST_MAIN()
