/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "rebalance_roles.h"
#include "rule.h"
#include "ebb/cleanup.h"

static struct rebalance_member member(int64_t current, int64_t max, int64_t min, double usage)
{
	return (struct rebalance_member){
		.current = current, .max = max, .min = min, .usage = usage};
}

static enum rebalance_role by_thresholds(int64_t current, int64_t max, double usage, bool moves_max)
{
	struct rebalance_member m = member(current, max, 20, usage);

	return rebalance_role_by_thresholds(&m, moves_max, 0.4);
}

TEST(which_field_moves)
{
	CHECK(rebalance_moves_max(REBALANCE_USER, EBB_CPU));
	CHECK(rebalance_moves_max(REBALANCE_APPLICATION, EBB_MEM));
	CHECK(!rebalance_moves_max(REBALANCE_CONTAINER, EBB_CPU));
	CHECK(rebalance_moves_max(REBALANCE_CONTAINER, EBB_ENERGY));
}

TEST(thresholds_of_max)
{
	/* Of 200, 80 is the threshold. */
	CHECK_INT(by_thresholds(200, 200, 119, true), REBALANCE_DONOR);
	CHECK_INT(by_thresholds(200, 200, 120, true), REBALANCE_NEITHER);
	CHECK_INT(by_thresholds(200, 200, 121, true), REBALANCE_RECEIVER);
}

TEST(thresholds_of_current)
{
	/* Spec 7.4's vector. */
	CHECK_INT(by_thresholds(200, 200, 10, false), REBALANCE_DONOR);
	CHECK_INT(by_thresholds(100, 200, 98, false), REBALANCE_RECEIVER);
	/* Less than 0.4 of its current left: more than 60 used. */
	CHECK_INT(by_thresholds(100, 200, 60, false), REBALANCE_NEITHER);
	CHECK_INT(by_thresholds(100, 200, 61, false), REBALANCE_RECEIVER);
	/* It has been lowered already: no donor. */
	CHECK_INT(by_thresholds(120, 200, 10, false), REBALANCE_NEITHER);
	CHECK_INT(by_thresholds(121, 200, 10, false), REBALANCE_DONOR);
	/* Both: it gets, and when it is full it may give. */
	CHECK_INT(by_thresholds(190, 200, 150, false), REBALANCE_RECEIVER);
	CHECK_INT(by_thresholds(200, 200, 150, false), REBALANCE_DONOR);
}

static struct jsonlogic *compile(const char *text)
{
	_cleanup_json_ json_t *json = json_loads(text, 0, NULL);
	struct jsonlogic *logic = NULL;

	CHECK(json);
	CHECK_INT(jsonlogic_compile(json, rule_variable_index, NULL, &logic, NULL), 0);
	return logic;
}

static enum rebalance_role by_rules(const struct jsonlogic *low, const struct jsonlogic *high,
				    int64_t current, int64_t max, double usage)
{
	double values[RULE_VARIABLES];
	const struct jsonlogic_numbers numbers = {values, RULE_VARIABLES};
	struct rebalance_member m = member(current, max, 20, usage);

	for (size_t i = 0; i < RULE_VARIABLES; i++)
		values[i] = NAN;
	values[VAR_USAGE] = usage;
	values[VAR_CURRENT] = (double)current;
	values[VAR_MAX] = (double)max;
	values[VAR_MIN] = 20;
	return rebalance_role_by_rules(&m, false, low, high, &numbers);
}

TEST(rules_say_who_gives_and_who_gets)
{
	struct jsonlogic *low = compile("{\"<\": [{\"var\": \"cpu.structure.cpu.usage\"}, 50]}");
	struct jsonlogic *high = compile("{\">\": [{\"var\": \"cpu.structure.cpu.usage\"}, 40]}");

	CHECK_INT(by_rules(low, high, 100, 200, 30), REBALANCE_DONOR);
	CHECK_INT(by_rules(low, high, 100, 200, 60), REBALANCE_RECEIVER);
	/* Both: it gets, unless it has no room. */
	CHECK_INT(by_rules(low, high, 100, 200, 45), REBALANCE_RECEIVER);
	CHECK_INT(by_rules(low, high, 200, 200, 45), REBALANCE_DONOR);
	CHECK_INT(by_rules(low, high, 200, 200, 60), REBALANCE_NEITHER);
	/* Without rules there is nobody. */
	CHECK_INT(by_rules(NULL, NULL, 100, 200, 60), REBALANCE_NEITHER);
	CHECK_INT(by_rules(low, NULL, 100, 200, 30), REBALANCE_DONOR);
	CHECK_INT(by_rules(NULL, high, 100, 200, 60), REBALANCE_RECEIVER);
	jsonlogic_free(low);
	jsonlogic_free(high);
}

static int64_t offer(int64_t current, int64_t max, int64_t min, double usage, bool moves_max)
{
	struct rebalance_member m = member(current, max, min, usage);

	return rebalance_offer(&m, moves_max, 0.4);
}

TEST(offers)
{
	CHECK_INT(offer(200, 200, 20, 10, false), 72);
	CHECK_INT(offer(200, 200, 20, 150, false), 20);
	CHECK_INT(offer(200, 200, 20, 150.1, false), 19);
	CHECK_INT(offer(200, 200, 20, 230, false), 0);
	CHECK_INT(offer(20, 200, 20, 0, false), 0);
	CHECK_INT(offer(15, 200, 20, 0, false), 0);
	/* Of a `current` less than 1 is nothing, of a `max` it is 1 where there is 1. */
	CHECK_INT(offer(22, 200, 20, 0, false), 0);
	CHECK_INT(offer(22, 22, 20, 0, true), 1);
	CHECK_INT(offer(20, 20, 20, 0, true), 0);
	CHECK_INT(offer(0, 400, 20, 10, true), 152);
}

TEST(a_stopped_application_offers_all_but_its_min)
{
	struct rebalance_member m = member(0, 400, 20, 0);

	m.stopped = true;
	CHECK_INT(rebalance_offer(&m, true, 0.4), 380);
}

TEST(the_neediest_come_first)
{
	struct rebalance_member a = member(100, 400, 20, 90), b = member(50, 200, 20, 48);

	CHECK(rebalance_compare_need(&a, &b, false) > 0);
	CHECK(rebalance_compare_need(&b, &a, false) < 0);
	CHECK(rebalance_compare_need(&a, &a, false) == 0);
	/* 90 of 400 is less than 48 of 200. */
	CHECK(rebalance_compare_need(&a, &b, true) > 0);
	b.usage = 44;
	CHECK(rebalance_compare_need(&a, &b, true) < 0);
	b.max = 0;
	CHECK(rebalance_compare_need(&a, &b, true) > 0);
}

TEST_MAIN()
