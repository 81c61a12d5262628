/* SPDX-License-Identifier: Apache-2.0 */
#include "seed.h"
#include "test.h"

#include "rebalance_pairs.h"
#include "rebalance_tracker.h"
#include "ebb/cleanup.h"

TEST(credits_are_kept_in_the_document)
{
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *text = NULL;

	CHECK_INT(rebalance_credit(NULL, EBB_CPU), 0);
	CHECK_INT(rebalance_credit_add(&doc, EBB_CPU, 30), 0);
	CHECK_INT(rebalance_credit_add(&doc, EBB_MEM, -7), 0);
	CHECK_INT(rebalance_credit(doc, EBB_CPU), 30);
	CHECK_INT(rebalance_credit(doc, EBB_MEM), -7);
	/* What is got uses the credit up, then it is a debt. */
	CHECK_INT(rebalance_credit_add(&doc, EBB_CPU, -50), 0);
	CHECK_INT(rebalance_credit(doc, EBB_CPU), -20);
	text = json_dumps(doc, JSON_SORT_KEYS | JSON_COMPACT);
	CHECK_STR(text, "{\"rebalance_credit\":{\"cpu\":-20,\"mem\":-7}}");
	/* Nothing is left of what is settled. */
	CHECK_INT(rebalance_credit_add(&doc, EBB_CPU, 20), 0);
	CHECK_INT(rebalance_credit_add(&doc, EBB_MEM, 7), 0);
	CHECK_INT(json_object_size(doc), 0);
}

TEST(a_document_may_say_anything)
{
	static const char *const texts[] = {"{\"rebalance_credit\": 5}",
					    "{\"rebalance_credit\": {\"cpu\": \"much\"}}"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_ json_t *doc = json_loads(texts[i], 0, NULL);

		CHECK_INT(rebalance_credit(doc, EBB_CPU), 0);
		CHECK_INT(rebalance_credit_add(&doc, EBB_CPU, 3), 0);
		CHECK_INT(rebalance_credit(doc, EBB_CPU), 3);
	}
	_cleanup_json_ json_t *doc =
		json_loads("{\"rebalance_credit\": {\"cpu\": 9007199254740992}}", 0, NULL);

	for (int i = 0; i < 3; i++)
		CHECK_INT(rebalance_credit_add(&doc, EBB_CPU, (int64_t)1 << 52), 0);
	CHECK_INT(rebalance_credit(doc, EBB_CPU), (int64_t)1 << 50);
}

static struct rebalance_member member(enum rebalance_role role, int64_t current, int64_t credit)
{
	return (struct rebalance_member){.role = role,
					 .current = current,
					 .max = 200,
					 .min = 20,
					 .usage = (double)current,
					 .credit = credit};
}

TEST(who_owes_most_pays_who_is_owed)
{
	struct rebalance_member m[] = {member(REBALANCE_RECEIVER, 100, 30),
				       member(REBALANCE_NEITHER, 100, -10),
				       member(REBALANCE_NEITHER, 100, -25)};

	CHECK_INT(rebalance_compensate(m, 3, false), 0);
	CHECK_INT(m[0].change, 25);
	CHECK_INT(m[1].change, 0);
	CHECK_INT(m[2].change, -25);
}

TEST(nobody_pays_more_than_is_owed_or_there_is)
{
	struct rebalance_member owed[] = {member(REBALANCE_RECEIVER, 100, 8),
					  member(REBALANCE_NEITHER, 100, -25)};
	struct rebalance_member poor[] = {member(REBALANCE_RECEIVER, 100, 80),
					  member(REBALANCE_NEITHER, 33, -70)};
	struct rebalance_member full[] = {member(REBALANCE_RECEIVER, 196, 80),
					  member(REBALANCE_NEITHER, 100, -70)};

	CHECK_INT(rebalance_compensate(owed, 2, false), 0);
	CHECK_INT(owed[0].change, 8);
	CHECK_INT(rebalance_compensate(poor, 2, false), 0);
	CHECK_INT(poor[0].change, 13);
	CHECK_INT(rebalance_compensate(full, 2, false), 0);
	CHECK_INT(full[0].change, 4);
}

TEST(a_debtor_in_need_pays_too_unless_it_was_just_given)
{
	struct rebalance_member m[] = {member(REBALANCE_RECEIVER, 100, 30),
				       member(REBALANCE_RECEIVER, 100, -40)};

	CHECK_INT(rebalance_compensate(m, 2, false), 0);
	CHECK_INT(m[0].change, 30);
	m[0].change = 0;
	m[1].change = 5;
	CHECK_INT(rebalance_compensate(m, 2, false), 0);
	CHECK_INT(m[0].change, 0);
	CHECK_INT(m[1].change, 5);
}

TEST(who_needs_nothing_is_not_paid)
{
	struct rebalance_member m[] = {member(REBALANCE_NEITHER, 100, 30),
				       member(REBALANCE_DONOR, 100, 30),
				       member(REBALANCE_NEITHER, 100, -40)};

	CHECK_INT(rebalance_compensate(m, 3, false), 0);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		CHECK_INT(m[i].change, 0);
}

TEST(what_was_given_in_this_round_counts)
{
	/* The donor owes 40 and gives 35 anyway: 5 are left to be paid. The other one was owed 30
	 * and got 20. */
	struct rebalance_member m[] = {member(REBALANCE_RECEIVER, 100, 30),
				       member(REBALANCE_DONOR, 200, -40)};

	m[0].change = 20;
	m[1].change = -35;
	CHECK_INT(rebalance_compensate(m, 2, false), 0);
	CHECK_INT(m[0].change, 25);
	CHECK_INT(m[1].change, -40);
}

TEST(random_payments_keep_the_sum_and_every_bound)
{
	uint64_t seed = test_seed(1);
	unsigned random = (unsigned)seed;

	for (int round = 0; round < 20000; round++) {
		struct rebalance_member m[12];
		int64_t dealt[12], sum = 0;
		size_t n = (size_t)rand_r(&random) % (ARRAY_SIZE(m) + 1);
		bool moves_max = rand_r(&random) % 2;

		for (size_t i = 0; i < n; i++) {
			m[i] = member((enum rebalance_role)(rand_r(&random) % 3),
				      20 + rand_r(&random) % 181, rand_r(&random) % 121 - 60);
			m[i].usage = rand_r(&random) % 200;
		}
		CHECK_INT(rebalance_deal(m, n, moves_max, 0.4, 5), 0);
		for (size_t i = 0; i < n; i++)
			dealt[i] = m[i].change;
		CHECK_INT(rebalance_compensate(m, n, moves_max), 0);
		for (size_t i = 0; i < n; i++) {
			int64_t after = (moves_max ? m[i].max : m[i].current) + m[i].change;

			sum += m[i].change;
			CHECK(m[i].change >= 0 || after >= m[i].min);
			CHECK(m[i].change <= 0 || moves_max || after <= m[i].max);
			if (m[i].change > dealt[i])
				CHECK(m[i].credit > 0 && m[i].change <= m[i].credit);
			if (m[i].change < dealt[i])
				CHECK(m[i].credit < 0 && -m[i].change <= -m[i].credit);
		}
		CHECK_INT(sum, 0);
	}
}

TEST_MAIN()
