/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions are worked out again from what the audit has of them, digit by digit. */
#include "grounds.h"

#include <math.h>

#include "audit.h"
#include "ebb/cleanup.h"
#include "../../quoted_json.h"
#include "../../test.h"

static uint64_t state = 88172645463325252ULL;

static double any(double most)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)(state >> 11) / 9007199254740992.0 * most;
}

static double perhaps(double most)
{
	return any(4) < 1 ? NAN : any(most);
}

/* As it comes back from a line of the file. */
static struct decision through_json(const struct decision *decision)
{
	_cleanup_json_ json_t *json = decision_to_json(decision);
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
	_cleanup_json_ json_t *read = json_loads(text, 0, NULL);
	struct decision back;

	CHECK_INT(decision_from_json(read, &back), 0);
	return back;
}

TEST(amounts_come_out_the_same)
{
	unsigned asked = 0;

	for (int i = 0; i < 20000; i++) {
		enum ebb_resource resource = (enum ebb_resource)(int)any(EBB_RESOURCE_MAX);
		int up = any(2) < 1 ? 1 : -1;
		struct rule rule = {
			.resource = resource,
			.policy = (enum rescale_policy)(int)any(RESCALE_MODELLING),
			.rescale_up = up,
			.amount = up * any(300),
		};
		struct resource_state s = {
			.present = true,
			.has_boundary = true,
			.boundary = (int)any(60),
			.boundary_type = (enum boundary_type)(int)any(BOUNDARY_TYPE_MAX),
			.max = 1000 + (int64_t)any(3000),
			.min = (int64_t)any(500),
			.current = 100 + (int64_t)any(1500),
		};
		struct guard_measure measure = {
			.usage = any(1500),
			.before = perhaps(1500),
			.peak = any(1800),
			.last = any(1500),
			.throttled = perhaps(1),
			.held_back = perhaps(300),
			.of_members = any(2) < 1,
			.need = any(2) < 1 ? 0 : any(900),
			.growth = perhaps(300),
			.raises = (unsigned)any(5),
			.undo = (int64_t)any(800),
		};
		struct decision decision, back;

		if (rule.policy == RESCALE_DEMAND && up < 0)
			rule.amount = -rule.amount;
		s.upper = (int64_t)any((double)s.current);
		s.lower = (int64_t)any((double)s.upper + 1);
		decision_init(&decision);
		decision.resource = resource;
		decision.requested = guardian_amount(&rule, &s, &measure);
		asked += decision.requested != 0;
		decision.grounds = (struct grounds){
			.has_amount = true,
			.policy = rule.policy,
			.rescale_up = rule.rescale_up,
			.rule_amount = rule.amount,
			.measure = measure,
			.boundary = s.boundary,
			.boundary_type = s.boundary_type,
			.current = s.current,
			.min = s.min,
			.max = s.max,
			.upper = s.upper,
			.lower = s.lower,
		};
		back = through_json(&decision);
		CHECK(back.grounds.has_amount);
		CHECK(!back.grounds.has_plan);
		CHECK_INT(grounds_amount(&back.grounds, back.resource), decision.requested);
	}
	CHECK(asked > 5000);
}

TEST(plans_come_out_the_same)
{
	for (int i = 0; i < 20000; i++) {
		struct decision decision, back;
		struct plan plan, again;

		decision_init(&decision);
		decision.grounds.has_plan = true;
		decision.grounds.plan = (struct plan_input){
			.base = (int64_t)any(400),
			.amount = (int64_t)any(300) - 150,
			.current = (int64_t)any(400),
			.allocated = (int64_t)any(500),
			.min = (int64_t)any(100),
			.max = (int64_t)any(500),
			.free = any(4) < 1 ? PLAN_UNACCOUNTED : (int64_t)any(200),
		};
		plan = scaler_plan(&decision.grounds.plan);
		back = through_json(&decision);
		CHECK(back.grounds.has_plan);
		again = grounds_plan(&back.grounds);
		CHECK_INT(again.verdict, plan.verdict);
		CHECK_INT(again.target, plan.target);
		CHECK_INT(again.take, plan.take);
	}
}

TEST(lines_without_grounds_are_read)
{
	static const char *const lines[] = {
		"{'id':1,'structure':'c0','resource':'cpu'}",
		"{'id':1,'structure':'c0','resource':'cpu','grounds':null}",
		"{'id':1,'structure':'c0','resource':'cpu','grounds':{'amount':{'usage':1},'plan':[]}}",
		"{'id':1,'structure':'c0','resource':'cpu','grounds':{'plan':{'base':'x'}}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_json_ json_t *json = parse_text(lines[i]);
		struct decision decision;

		CHECK_INT(decision_from_json(json, &decision), 0);
		CHECK(!decision.grounds.has_amount && !decision.grounds.has_plan);
	}
}

TEST_MAIN()
