// SPDX-License-Identifier: Apache-2.0
#include "split.h"

#include "seed.h"
#include "test.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct split_child child(int64_t value, int64_t least, int64_t most, double usage)
{
	return (struct split_child){.value = value, .least = least, .most = most, .usage = usage};
}

TEST(slice_is_one_watt_for_energy)
{
	CHECK_INT(split_slice(EBB_CPU), 5);
	CHECK_INT(split_slice(EBB_MEM), 5);
	CHECK_INT(split_slice(EBB_DISK_READ), 5);
	CHECK_INT(split_slice(EBB_ENERGY), 1);
}

/* Spec 6.5's example: two of 100, one uses 95 and the other 10. */
TEST(growth_goes_to_the_one_with_less_headroom)
{
	struct split_child c[] = {child(100, 20, 200, 95), child(100, 20, 200, 10)};

	CHECK_INT(split_amount(c, 2, 23, 5), 0);
	CHECK_INT(c[0].assigned, 23);
	CHECK_INT(c[1].assigned, 0);
}

TEST(shrinking_takes_from_the_one_with_more_headroom)
{
	struct split_child c[] = {child(100, 20, 200, 95), child(100, 20, 200, 10)};

	CHECK_INT(split_amount(c, 2, -23, 5), 0);
	CHECK_INT(c[0].assigned, 0);
	CHECK_INT(c[1].assigned, -23);
}

TEST(growth_serves_below_least_then_bottlenecks_then_others_then_stopped)
{
	struct split_child c[] = {
		child(10, 20, 200, 50), /* below least: up to 20 first, then a bottleneck */
		child(40, 20, 200, 60), /* a bottleneck, 20 above its least */
		child(50, 20, 200, 10), /* 40 of headroom */
		child(0, 20, 200, NAN), /* stopped */
	};

	c[3].stopped = true;
	CHECK_INT(split_amount(c, 4, 10, 5), 0);
	CHECK_INT(c[0].assigned, 10);
	/* Then at its least, key 0, up to 40 where the second one stands: 20 more, the tie too. */
	CHECK_INT(split_amount(c, 4, 35, 5), 0);
	CHECK_INT(c[0].assigned, 35);
	CHECK_INT(c[1].assigned, 0);
	CHECK_INT(split_amount(c, 4, 40, 5), 0);
	CHECK_INT(c[0].assigned, 35);
	CHECK_INT(c[1].assigned, 5);
	/* Both to their usage (60), then headroom 0, 0, 40. */
	CHECK_INT(split_amount(c, 4, 60, 5), 0);
	CHECK_INT(c[0].assigned, 40);
	CHECK_INT(c[1].assigned, 20);
	CHECK_INT(c[2].assigned, 0);
	/* All that there is: the one that is stopped comes last. */
	CHECK_INT(split_amount(c, 4, 190 + 160 + 150, 5), 0);
	CHECK_INT(c[3].assigned, 0);
	CHECK_INT(split_amount(c, 4, 190 + 160 + 150 + 7, 5), 0);
	CHECK_INT(c[0].assigned, 190);
	CHECK_INT(c[1].assigned, 160);
	CHECK_INT(c[2].assigned, 150);
	CHECK_INT(c[3].assigned, 7);
}

TEST(shrinking_takes_from_stopped_then_idle_then_bottlenecks)
{
	struct split_child c[] = {
		child(50, 20, 200, 90),  /* a bottleneck */
		child(100, 20, 200, 70), /* headroom 30 */
		child(30, 0, 200, NAN),  /* stopped */
		child(15, 20, 200, 0),   /* below its least: nothing to give */
	};

	c[2].stopped = true;
	CHECK_INT(split_amount(c, 4, -30, 5), 0);
	CHECK_INT(c[2].assigned, -30);
	CHECK_INT(split_amount(c, 4, -60, 5), 0);
	CHECK_INT(c[2].assigned, -30);
	CHECK_INT(c[1].assigned, -30);
	/* At its usage it ranks as one with headroom 0; then both as bottlenecks: 45 and 30 above
	 * their least. */
	CHECK_INT(split_amount(c, 4, -85, 5), 0);
	CHECK_INT(c[1].assigned, -50);
	CHECK_INT(c[0].assigned, -5);
	CHECK_INT(c[3].assigned, 0);
	/* Never below least, and what nobody has is told. */
	CHECK_INT(split_amount(c, 4, -1000, 5), -(1000 - 30 - 80 - 30));
	CHECK_INT(c[0].assigned, -30);
	CHECK_INT(c[1].assigned, -80);
	CHECK_INT(c[2].assigned, -30);
	CHECK_INT(c[3].assigned, 0);
}

/* Slices of 5 must not bring 22 to 17 when 20 is the least: the rest comes from the next. */
TEST(a_slice_that_does_not_fit_is_trimmed_and_nothing_is_lost)
{
	struct split_child c[] = {child(22, 20, 200, 0), child(21, 20, 200, 0)};

	CHECK_INT(split_amount(c, 2, -5, 5), -2);
	CHECK_INT(c[0].assigned, -2);
	CHECK_INT(c[1].assigned, -1);

	struct split_child up[] = {child(98, 20, 100, 98), child(100, 20, 200, 90)};

	CHECK_INT(split_amount(up, 2, 10, 5), 0);
	CHECK_INT(up[0].assigned, 2);
	CHECK_INT(up[1].assigned, 8);
}

TEST(a_usage_that_is_not_known)
{
	/* Growth: as if it used nothing. */
	struct split_child up[] = {child(100, 20, 200, NAN), child(100, 20, 200, 1)};

	CHECK_INT(split_amount(up, 2, 5, 5), 0);
	CHECK_INT(up[1].assigned, 5);
	/* Otherwise as if it used all of it. */
	struct split_child down[] = {child(100, 20, 200, NAN), child(100, 20, 200, 99)};

	CHECK_INT(split_amount(down, 2, -5, 5), 0);
	CHECK_INT(down[1].assigned, -5);
}

TEST(ties_go_to_the_first_and_alternate)
{
	struct split_child c[] = {child(100, 20, 400, 50), child(100, 20, 400, 50),
				  child(100, 20, 400, 50)};

	CHECK_INT(split_amount(c, 3, 20, 5), 0);
	CHECK_INT(c[0].assigned, 10);
	CHECK_INT(c[1].assigned, 5);
	CHECK_INT(c[2].assigned, 5);
	CHECK_INT(split_amount(c, 3, -12, 5), 0);
	CHECK_INT(c[0].assigned, -5);
	CHECK_INT(c[1].assigned, -5);
	CHECK_INT(c[2].assigned, -2);
}

TEST(nobody_to_take_it)
{
	struct split_child full[] = {child(200, 20, 200, 10)};

	CHECK_INT(split_amount(NULL, 0, 50, 5), 50);
	CHECK_INT(split_amount(NULL, 0, -50, 5), -50);
	CHECK_INT(split_amount(full, 1, 50, 5), 50);
	CHECK_INT(full[0].assigned, 0);
	CHECK_INT(split_amount(full, 1, 0, 5), 0);
	CHECK_INT(full[0].assigned, 0);
}

TEST(amounts_without_bound)
{
	struct split_child c[] = {child(100, 0, INT64_MAX, 50), child(5, 0, INT64_MAX, 50)};

	CHECK_INT(split_amount(c, 2, INT64_MAX - 200, 5), 0);
	CHECK(c[0].assigned > 0 && c[1].assigned > 0);
	CHECK_INT(c[0].assigned + c[1].assigned, INT64_MAX - 200);
	CHECK_INT(split_amount(c, 2, INT64_MIN, 5), INT64_MIN + 105);
	CHECK_INT(c[0].assigned, -100);
	CHECK_INT(c[1].assigned, -5);
}

/* --- against the plain reading of the rule --------------------------------------------------- */

static uint64_t state;

static int64_t below(int64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (int64_t)(state % (uint64_t)n);
}

/* Each slice looks at every child. */
static int64_t split_plainly(struct split_child *c, size_t n, int64_t amount, int64_t slice)
{
	int64_t left = llabs(amount), rest = 0, sign = amount > 0 ? 1 : -1;

	for (size_t i = 0; i < n; i++)
		c[i].assigned = 0;
	while (left > 0) {
		struct split_child *best = NULL;
		double best_tier = 0, best_key = 0;

		for (size_t i = 0; i < n; i++) {
			int64_t v = c[i].value + c[i].assigned;
			double usage = c[i].usage, tier, key;

			if (amount > 0 ? v >= c[i].most : v <= c[i].least)
				continue;
			if (isnan(usage))
				usage = amount > 0 ? 0 : (double)c[i].value;
			if (c[i].stopped)
				tier = 4, key = (double)v;
			else if (v < c[i].least)
				tier = 1, key = (double)v / (double)c[i].least;
			else if ((double)v < usage)
				tier = 2, key = (double)(v - c[i].least);
			else
				tier = 3, key = (double)v - usage;
			if (!best || sign * (tier - best_tier) < 0 ||
			    (tier == best_tier && sign * (key - best_key) < 0)) {
				best = &c[i];
				best_tier = tier;
				best_key = key;
			}
		}
		if (!best)
			break;
		int64_t step = rest ? rest : slice, v = best->value + best->assigned;
		int64_t room = amount > 0 ? best->most - v : v - best->least;

		if (step > left)
			step = left;
		rest = step > room ? step - room : 0;
		if (step > room)
			step = room;
		best->assigned += sign * step;
		left -= step;
	}
	return sign * left;
}

TEST(random_splits_are_those_of_the_rule_and_keep_every_bound)
{
	uint64_t seed = test_seed(1);

	state = seed * 2 + 1;
	for (int round = 0; round < 20000; round++) {
		struct split_child got[12], want[12];
		size_t n = (size_t)below((int64_t)ARRAY_LEN(got) + 1);
		int64_t slice = below(2) ? 5 : 1 + below(7), sum = 0;
		int64_t amount = (below(2) ? 1 : -1) * below(below(4) ? 300 : 2000);

		for (size_t i = 0; i < n; i++) {
			int64_t least = below(100), most = least + below(300);

			got[i] = child(below(400), least, most,
				       below(5) ? (double)below(4000) / 10 : NAN);
			got[i].stopped = below(6) == 0;
			want[i] = got[i];
		}
		int64_t rest = split_amount(got, n, amount, slice);

		CHECK_INT(rest, split_plainly(want, n, amount, slice));
		CHECK(rest == 0 || (rest > 0) == (amount > 0));
		for (size_t i = 0; i < n; i++) {
			int64_t after = got[i].value + got[i].assigned;

			CHECK_INT(got[i].assigned, want[i].assigned);
			sum += got[i].assigned;
			CHECK(got[i].assigned <= 0 || after <= got[i].most);
			CHECK(got[i].assigned >= 0 || after >= got[i].least);
			CHECK(got[i].assigned == 0 || (got[i].assigned > 0) == (amount > 0));
		}
		CHECK_INT(sum + rest, amount);
	}
}

/* More than 65,536 slices go in larger ones: still everything, as evenly as those are. */
TEST(large_amounts_are_split_evenly)
{
	static struct split_child c[1000];
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		c[i] = child(1000, 0, INT64_MAX, 500);
	CHECK_INT(split_amount(c, ARRAY_LEN(c), 1000000007, 5), 0);
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		sum += c[i].assigned;
		CHECK_NEAR((double)c[i].assigned, 1000000.0, 20000);
	}
	CHECK_INT(sum, 1000000007);
}

TEST_MAIN()
