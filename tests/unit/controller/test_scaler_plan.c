/* SPDX-License-Identifier: Apache-2.0 */
#include "scaler_plan.h"

#include <errno.h>

#include "ebb/cleanup.h"
#include "../../test.h"

/* A container at 200 of 50..400, accounted in full, on a host with 1,000 free. */
static const struct plan_input usual = {
	.base = 200, .current = 200, .allocated = 200, .min = 50, .max = 400, .free = 1000};

static struct plan plan_usual(int64_t amount)
{
	struct plan_input input = usual;

	input.amount = amount;
	return scaler_plan(&input);
}

static struct plan plan_free(int64_t amount, int64_t free_shares)
{
	struct plan_input input = usual;

	input.amount = amount;
	input.free = free_shares;
	return scaler_plan(&input);
}

static void check_plan(struct plan plan, enum plan_verdict verdict, int64_t target, int64_t take)
{
	CHECK_INT(plan.verdict, verdict);
	CHECK_INT(plan.target, target);
	CHECK_INT(plan.take, take);
}

TEST(growth_takes_what_it_adds)
{
	check_plan(plan_usual(50), PLAN_CHANGE, 250, 50);
}

TEST(shrinking_takes_nothing_and_gives_nothing_yet)
{
	check_plan(plan_usual(-150), PLAN_CHANGE, 50, 0);
}

TEST(both_ends_are_clamped)
{
	check_plan(plan_usual(500), PLAN_CHANGE, 400, 200);
	check_plan(plan_usual(-500), PLAN_CHANGE, 50, 0);
}

TEST(at_an_end_there_is_nothing_to_do)
{
	struct plan_input input = usual;
	struct plan plan;

	input.base = input.current = input.allocated = 400;
	input.amount = 10;
	plan = scaler_plan(&input);
	CHECK_INT(plan.verdict, PLAN_NOTHING);
	CHECK_STR(plan.reason, "it is at its max already");
	input.base = input.current = input.allocated = 50;
	input.amount = -10;
	plan = scaler_plan(&input);
	CHECK_INT(plan.verdict, PLAN_NOTHING);
	CHECK_STR(plan.reason, "it is at its min already");
}

TEST(a_host_with_less_grants_a_part)
{
	check_plan(plan_free(100, 30), PLAN_PARTIAL, 230, 30);
}

TEST(a_full_host_makes_growth_wait)
{
	struct plan plan = plan_free(100, 0);

	CHECK_INT(plan.verdict, PLAN_WAIT);
	CHECK_INT(plan.take, 0);
	CHECK(plan.reason);
}

TEST(a_negative_free_never_turns_growth_around)
{
	CHECK_INT(plan_free(20, -70).verdict, PLAN_WAIT);
}

TEST(shares_still_set_aside_are_used_first)
{
	/* An order whose outcome is not known may have left more than the limit. */
	struct plan_input input = usual;

	input.allocated = 300;
	input.free = 0;
	input.amount = 100;
	check_plan(scaler_plan(&input), PLAN_CHANGE, 300, 0);
	input.amount = 150;
	check_plan(scaler_plan(&input), PLAN_PARTIAL, 300, 0);
}

TEST(an_unaccounted_resource_is_never_short)
{
	check_plan(plan_free(100, PLAN_UNACCOUNTED), PLAN_CHANGE, 300, 100);
}

TEST(no_max_is_no_bound)
{
	struct plan_input input = usual;

	input.max = 0;
	input.amount = 1000;
	check_plan(scaler_plan(&input), PLAN_CHANGE, 1200, 1000);
}

TEST(outside_of_the_range_it_is_brought_back)
{
	struct plan_input input = usual;

	/* Above max, asked up: down to max. Below min, asked down: up to min. */
	input.max = 150;
	input.amount = 10;
	check_plan(scaler_plan(&input), PLAN_CHANGE, 150, 0);
	input.max = 400;
	input.min = 220;
	input.amount = -10;
	check_plan(scaler_plan(&input), PLAN_CHANGE, 220, 20);
}

TEST(a_request_on_an_older_limit_keeps_its_target)
{
	struct plan_input input = usual;

	/* Asked 100 + 150 when an order to 200 was under way. */
	input.base = 100;
	input.amount = 150;
	check_plan(scaler_plan(&input), PLAN_CHANGE, 250, 50);
	/* Asked 100 + 50: what was asked is more than there already. */
	input.amount = 50;
	CHECK_INT(scaler_plan(&input).verdict, PLAN_NOTHING);
	input.current = input.allocated = 180;
	input.amount = 20;
	CHECK_INT(scaler_plan(&input).verdict, PLAN_NOTHING);
	input.base = 300;
	input.amount = -50;
	CHECK_INT(scaler_plan(&input).verdict, PLAN_NOTHING);
}

TEST(shrinks_then_priority_then_age)
{
	struct plan_rank down = {.amount = -10, .since = 50},
			 down_old = {.amount = -99, .since = 40};
	struct plan_rank up = {.amount = 10, .since = 1}, up_new = {.amount = 10, .since = 2};
	struct plan_rank up_urgent = {.amount = 1, .priority = 2, .since = 60};

	CHECK(scaler_plan_compare(&down, &up) < 0);
	CHECK(scaler_plan_compare(&down, &up_urgent) < 0);
	CHECK(scaler_plan_compare(&down_old, &down) < 0);
	CHECK(scaler_plan_compare(&up_urgent, &up) < 0);
	CHECK(scaler_plan_compare(&up, &up_new) < 0);
	CHECK(scaler_plan_compare(&up_new, &up) > 0);
	CHECK_INT(scaler_plan_compare(&up, &up), 0);
}

/* Users, applications, containers; of each, what makes room first (spec 6.4). */
TEST(levels_and_classes_go_before_priority)
{
	const struct plan_rank in_order[] = {
		{.level = 2, .amount = 1},
		{.level = 1, .amount = -1},
		{.level = 1, .amount = 1, .max = true, .priority = 9},
		{.amount = -1, .since = 9},
		{.amount = -1, .max = true, .priority = 9},
		{.amount = 1, .max = true},
		{.amount = 1, .priority = 9},
		{.amount = 1, .since = 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(in_order); i++)
		for (size_t j = 0; j < ARRAY_SIZE(in_order); j++)
			CHECK_INT(scaler_plan_compare(&in_order[i], &in_order[j]),
				  (i > j) - (i < j));
}

TEST(body_is_what_the_agent_takes)
{
	_cleanup_json_ json_t *body = json_object();
	_cleanup_free_ char *text = NULL;

	CHECK_INT(scaler_body_add(body, EBB_CPU, 150, "0,1"), 0);
	CHECK_INT(scaler_body_add(body, EBB_MEM, 4096, NULL), 0);
	CHECK_INT(scaler_body_add(body, EBB_DISK_READ, 100, NULL), 0);
	CHECK_INT(scaler_body_add(body, EBB_DISK_WRITE, 50, NULL), 0);
	text = json_dumps(body, JSON_COMPACT);
	CHECK_STR(text, "{\"cpu\":{\"cpu_allowance_limit\":150,\"cpu_num\":\"0,1\"},"
			"\"mem\":{\"mem_limit\":4096},\"disk_read\":{\"disk_read_limit\":100},"
			"\"disk_write\":{\"disk_write_limit\":50}}");
}

TEST(limits_are_read_from_the_answer)
{
	_cleanup_json_ json_t *answer =
		json_loads("{\"cpu\":{\"cpu_allowance_limit\":199.9999,\"cpu_num\":\"0-1\"},"
			   "\"mem\":{\"mem_limit\":\"4096\",\"unit\":\"M\"},"
			   "\"disk_read\":{\"disk_read_limit\":-1},\"disk_write\":{}}",
			   0, NULL);
	int64_t limit = 77;

	CHECK_INT(scaler_body_limit(answer, EBB_CPU, &limit), 0);
	CHECK_INT(limit, 200);
	CHECK_INT(scaler_body_limit(answer, EBB_MEM, &limit), 0);
	CHECK_INT(limit, 4096);
	CHECK_INT(scaler_body_limit(answer, EBB_DISK_READ, &limit), 0);
	CHECK_INT(limit, -1);
	limit = 77;
	CHECK_INT(scaler_body_limit(answer, EBB_DISK_WRITE, &limit), -EINVAL);
	CHECK_INT(scaler_body_limit(answer, EBB_NET, &limit), -EINVAL);
	CHECK_INT(scaler_body_limit(NULL, EBB_CPU, &limit), -EINVAL);
	CHECK_INT(limit, 77);
}

TEST_MAIN()
