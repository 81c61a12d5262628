/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/cleanup.h"
#include "guardian.h"
#include "test.h"

static struct resource_state resource(int64_t current, int64_t min, int64_t max)
{
	return (struct resource_state){
		.present = true,
		.guard = true,
		.current = current,
		.min = min,
		.max = max,
		.has_boundary = true,
		.boundary = 10,
		.boundary_type = BOUNDARY_PERCENTAGE_OF_CURRENT,
		.upper = current - current / 10,
		.lower = current - 2 * (current / 10),
	};
}

static struct rule rule(enum ebb_resource resource, enum rescale_policy policy, int up,
			double amount)
{
	return (struct rule){
		.resource = resource,
		.policy = policy,
		.rescale_up = up,
		.amount = amount,
		.generates = RULE_REQUESTS,
	};
}

/* All samples of the window alike. */
static struct guard_measure steady(double usage)
{
	return (struct guard_measure){
		.usage = usage,
		.before = usage,
		.peak = usage,
		.last = usage,
		.throttled = 0,
		.held_back = 0,
		.growth = 0,
	};
}

static int64_t by_amount(struct resource_state state, double amount)
{
	struct rule r = rule(EBB_CPU, RESCALE_AMOUNT, amount < 0 ? -1 : 1, amount);
	struct guard_measure m = steady(0);

	return guardian_amount(&r, &state, &m);
}

/* Spec 5.6, but for the floor: min itself, not min + 2 margins. */
TEST(amount_trimmed)
{
	struct resource_state state = resource(200, 50, 400);

	state.upper = 150;
	state.lower = 100;
	CHECK_INT(by_amount(state, 70), 70);
	CHECK_INT(by_amount(state, 250), 200);
	CHECK_INT(by_amount(state, -50), -50);
	CHECK_INT(by_amount(state, -60), -60);
	CHECK_INT(by_amount(state, -100), -100);
	CHECK_INT(by_amount(state, -150), -150);
	CHECK_INT(by_amount(state, -151), -150);
	CHECK_INT(by_amount(state, 0.9), 0);
	CHECK_INT(by_amount(state, -1.9), -1);

	/* A raise stays what it is where lower is small (the original made +20 of it). */
	state = resource(60, 50, 400);
	state.lower = 30;
	CHECK_INT(by_amount(state, 10), 10);
}

TEST(amount_outside_its_range)
{
	/* A limit below min is raised to it, one above max lowered to it; never the other way. */
	CHECK_INT(by_amount(resource(20, 50, 400), 10), 30);
	CHECK_INT(by_amount(resource(20, 50, 400), -10), 0);
	CHECK_INT(by_amount(resource(500, 50, 400), -10), -100);
	CHECK_INT(by_amount(resource(500, 50, 400), 10), 0);
	CHECK_INT(by_amount(resource(400, 50, 400), 10), 0);
	CHECK_INT(by_amount(resource(50, 50, 400), -10), 0);
	CHECK_INT(by_amount(resource(200, 50, 400), 1e300), 200);
	CHECK_INT(by_amount(resource(200, 50, 400), -1e300), -150);
	CHECK_INT(by_amount(resource(200, 50, 400), NAN), 0);
}

static int64_t by_fit(int64_t current, int64_t margin, double usage)
{
	struct resource_state state = resource(current, 0, 100000);
	struct rule r = rule(EBB_CPU, RESCALE_FIT_TO_USAGE, -1, 0);
	struct guard_measure m = steady(usage);

	state.boundary = (int)(margin * 100 / current);
	return guardian_amount(&r, &state, &m);
}

TEST(amount_fit_to_usage)
{
	CHECK_INT(by_fit(2000, 500, 700), -550);
	CHECK_INT(by_fit(200, 20, 35.7), -135);
	CHECK_INT(by_fit(100, 20, 95.2), 25);
	CHECK_INT(by_fit(200, 20, -1), -171);

	/* The peak over the evidence, not the mean. */
	struct resource_state state = resource(200, 20, 400);
	struct rule r = rule(EBB_CPU, RESCALE_FIT_TO_USAGE, -1, 0);
	struct guard_measure m = steady(40);

	m.peak = 120;
	CHECK_INT(guardian_amount(&r, &state, &m), 120 + 10 + 20 - 200);
	/* A boundary nobody set. */
	state.has_boundary = false;
	CHECK_INT(guardian_amount(&r, &state, &m), 0);
}

TEST(amount_proportional)
{
	struct resource_state state = resource(150, 20, 400);
	struct rule r = rule(EBB_CPU, RESCALE_PROPORTIONAL, 1, 75);
	static const struct {
		double usage;
		int64_t want;
	} cases[] = {{140, 37}, {155, 75}, {131.9, 7}, {130, 0}, {100, 0}, {NAN, 0}};

	state.upper = 130;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guard_measure m = steady(cases[i].usage);

		CHECK_INT(guardian_amount(&r, &state, &m), cases[i].want);
	}
	state.upper = 150;
	struct guard_measure m = steady(160);

	CHECK_INT(guardian_amount(&r, &state, &m), 0);
}

TEST(amount_of_policies_that_ask_nothing)
{
	struct resource_state state = resource(150, 20, 400);
	struct rule modelling = rule(EBB_CPU, RESCALE_MODELLING, 1, 75);
	struct rule ratio = rule(EBB_CPU, RESCALE_FIXED_RATIO, -1, -75);
	struct guard_measure m = steady(150);

	CHECK_INT(guardian_amount(&modelling, &state, &m), 0);
	CHECK_INT(guardian_amount(&ratio, &state, &m), 0);
}

static int64_t more(int64_t current, const struct guard_measure *m)
{
	struct resource_state state = resource(current, 20, 800);
	struct rule r = rule(EBB_CPU, RESCALE_DEMAND, 1, 100);

	return current + guardian_amount(&r, &state, m);
}

static int64_t less(int64_t current, const struct guard_measure *m)
{
	struct resource_state state = resource(current, 20, 800);
	struct rule r = rule(EBB_CPU, RESCALE_DEMAND, -1, 0);

	return current + guardian_amount(&r, &state, m);
}

/* Usage that tells the demand lands between the new boundaries, in one step. */
TEST(demand_up_fits_usage)
{
	struct guard_measure m = steady(185);

	CHECK_INT(more(200, &m), 212);
	m.peak = m.last = 205;
	m.throttled = 0;
	m.before = 180;
	CHECK_INT(more(220, &m), 232);
	/* Crept up to the limit without being throttled: no leap. */
	m = steady(100);
	m.before = 96;
	CHECK_INT(more(100, &m), 115);
}

/* A step to the limit: throttling is only told when its period has ended. */
TEST(demand_up_first_sample_of_a_step)
{
	struct guard_measure m = steady(20);

	m.before = m.usage = 5;
	CHECK_INT(more(20, &m), 120);
	m.before = NAN;
	CHECK_INT(more(20, &m), 120);
	/* Where nobody tells throttling, steps widen. */
	m.throttled = m.held_back = NAN;
	CHECK_INT(more(20, &m), 120);
	m.raises = 1;
	m.last = m.peak = m.usage = 118;
	CHECK_INT(more(120, &m), 320);
	m.raises = 2;
	m.last = m.peak = m.usage = 318;
	CHECK_INT(more(320, &m), 720);
	m.raises = 200;
	CHECK_INT(more(320, &m), 800);
}

/* Usage plus what was held back is the demand. */
TEST(demand_up_when_throttled)
{
	struct guard_measure m = steady(120);

	m.throttled = 1;
	m.held_back = 80;
	CHECK_INT(more(120, &m), 229);
	/* Too little the first time: the step counts too. */
	m.raises = 1;
	m.held_back = 4;
	CHECK_INT(more(120, &m), 220);
	m.raises = 0;
	CHECK_INT(more(120, &m), 142);
	/* Not told how much. */
	m.held_back = NAN;
	CHECK_INT(more(120, &m), 220);
}

TEST(demand_up_undoes)
{
	struct guard_measure m = steady(60);

	m.throttled = 1;
	m.held_back = 5;
	m.undo = 240;
	CHECK_INT(more(60, &m), 240);
	/* Not pinned: nothing to undo. */
	m = steady(56);
	m.undo = 240;
	CHECK_INT(more(60, &m), 64);
}

TEST(demand_down)
{
	struct guard_measure m = steady(100);

	/* One step, to where usage is between the boundaries. */
	CHECK_INT(less(200, &m), 115);
	CHECK_INT(less(115, &m), 115);
	/* Bursts in the evidence keep their room. */
	m.peak = 150;
	CHECK_INT(less(200, &m), 163);
	m.peak = 180;
	CHECK_INT(less(200, &m), 200);
	/* At most a halving, unless idle. */
	m = steady(30);
	CHECK_INT(less(200, &m), 100);
	m = steady(10);
	CHECK_INT(less(200, &m), 20);
	m = steady(0);
	CHECK_INT(less(800, &m), 20);
	/* Never up; not by less than a margin, but to min. */
	m = steady(150);
	CHECK_INT(less(100, &m), 100);
	m = steady(82);
	CHECK_INT(less(100, &m), 100);
}

TEST(demand_percentage_of_max)
{
	struct resource_state state = resource(200, 20, 800);
	struct rule up = rule(EBB_CPU, RESCALE_DEMAND, 1, 100);
	struct rule down = rule(EBB_CPU, RESCALE_DEMAND, -1, 0);
	struct guard_measure m = steady(130);

	state.boundary_type = BOUNDARY_PERCENTAGE_OF_MAX;
	/* Margin 80: upper 120, lower 40. */
	CHECK_INT(guardian_amount(&up, &state, &m), 230 + 10 - 200);
	m = steady(10);
	state.current = 400;
	CHECK_INT(guardian_amount(&down, &state, &m), 110 - 400);
}

/* A boundary of half asks for no multiple of the usage. */
TEST(demand_wide_boundary)
{
	struct resource_state state = resource(100, 20, 100000);
	struct rule up = rule(EBB_CPU, RESCALE_DEMAND, 1, 100);
	struct guard_measure m = steady(95);

	state.boundary = 100;
	CHECK(guardian_amount(&up, &state, &m) <= 4 * 95);
}

static int64_t memory(int64_t current, int up, double amount, const struct guard_measure *m)
{
	struct resource_state state = resource(current, 64, 65536);
	struct rule r = rule(EBB_MEM, RESCALE_DEMAND, up, amount);

	return current + guardian_amount(&r, &state, m);
}

TEST(demand_memory)
{
	struct guard_measure m = steady(930);

	m.throttled = m.held_back = NAN;
	/* A mild excess is fitted. */
	CHECK_INT(memory(1024, 1, 128, &m), 1063);
	/* A small limit keeps at least half a step free. */
	m.usage = m.peak = m.last = 92;
	CHECK_INT(memory(100, 1, 128, &m), 156);
	/* 1 GiB/s: a second ahead. */
	m.usage = m.peak = m.last = 500;
	m.growth = 1024;
	CHECK_INT(memory(600, 1, 128, &m), 1742);
	/* At the limit growth cannot be seen. */
	m.growth = 0;
	m.last = m.peak = m.usage = 600;
	CHECK_INT(memory(600, 1, 128, &m), 728);
	m.raises = 2;
	CHECK_INT(memory(600, 1, 128, &m), 600 + 512);

	/* Down: by halves also when idle, to head-room in MiB above the usage, and to min. */
	m = steady(100);
	CHECK_INT(memory(4096, -1, 64, &m), 2048);
	CHECK_INT(memory(256, -1, 64, &m), 164);
	m = steady(2000);
	CHECK_INT(memory(4096, -1, 64, &m), 2286);
	m = steady(0);
	CHECK_INT(memory(4096, -1, 64, &m), 2048);
	CHECK_INT(memory(100, -1, 64, &m), 64);
}

/* Whatever comes in, the result keeps min and max and its rule's direction. */
TEST(amount_never_leaves_its_range)
{
	static const double levels[] = {NAN, 0, 0.5, 19, 20, 60, 99, 100, 101, 399, 5000, 1e12};
	static const int64_t currents[] = {0, 1, 20, 100, 399, 400, 500};

	for (int policy = 0; policy < RESCALE_POLICY_MAX; policy++)
		for (int up = -1; up <= 1; up += 2)
			for (size_t c = 0; c < ARRAY_SIZE(currents); c++)
				for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
					for (size_t k = 0; k < ARRAY_SIZE(levels); k++)
						for (int res = EBB_CPU; res <= EBB_MEM; res++) {
							struct resource_state state =
								resource(currents[c], 20, 400);
							struct rule r =
								rule(res, policy, up, 75.0 * up);
							struct guard_measure m = {
								.usage = levels[i],
								.before = levels[k],
								.peak = levels[k],
								.last = levels[i],
								.throttled = levels[k],
								.held_back = levels[k],
								.growth = levels[i],
								.raises = (unsigned)i * 20,
								.undo = (int64_t)k * 100,
							};
							int64_t a, to;

							if (policy == RESCALE_DEMAND)
								r.amount = 75;
							a = guardian_amount(&r, &state, &m);
							to = state.current + a;
							if (policy == RESCALE_DEMAND)
								CHECK(a * up >= 0);
							CHECK(a <= 0 || to <= state.max);
							CHECK(a >= 0 || to >= state.min);
							CHECK(a <= 0 || to >= state.min);
							CHECK(a >= 0 || to <= state.max);
						}
}

TEST_MAIN()
