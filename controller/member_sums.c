/* SPDX-License-Identifier: Apache-2.0 */
#include "member_sums.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* An agent sends once a second, and is given up after 5 s. */
#define FAST_NS (4 * EBB_NS_PER_SEC)
/* Sampling every 10 s, or OpenTSDB's points, which come late. */
#define SLOW_NS (45 * EBB_NS_PER_SEC)
#define SLOW_S  1.5
/* Far above what there is, far below what sums of a million could not hold. */
#define USAGE_MAX 1e9

/* What a container adds to the sums above it. */
struct contribution {
	struct structure *of;
	struct contribution *next, *prev;
	uint64_t received_ns;
	double seconds; /* that the samples of the newest message cover */
	bool slow;
	unsigned valid; /* 1 << resource */
	bool knows_throttled, knows_held_back;
	int64_t usage[EBB_RESOURCE_MAX], need[EBB_RESOURCE_MAX];
	int64_t throttled, held_back;
};

int member_sums_new(struct structure *parent)
{
	if (!parent->sums)
		parent->sums = calloc(1, sizeof(*parent->sums));
	if (!parent->sums)
		return -ENOMEM;
	parent->sums->of = parent;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		parent->sums->seen[r] = -1;
	return 0;
}

static void add(const struct structure *child, unsigned value, int64_t amount)
{
	const struct structure *parent = child;

	if (!amount)
		return;
	while ((parent = hierarchy_parent(parent)))
		parent->sums->values[value] += amount;
}

/* --- what is measured --- */

/* The difference between two contributions; NULL: none. */
static void replace(const struct structure *child, const struct contribution *before,
		    const struct contribution *after)
{
	static const struct contribution none;
	const struct contribution *from = before ?: &none, *to = after ?: &none;

	for (int r = 0; (from->valid | to->valid) >> r; r++) {
		unsigned bit = 1u << r;

		add(child, MEMBER_USAGE + (unsigned)r,
		    (to->valid & bit ? to->usage[r] : 0) -
			    (from->valid & bit ? from->usage[r] : 0));
		add(child, MEMBER_NEED + (unsigned)r,
		    (to->valid & bit ? to->need[r] : 0) - (from->valid & bit ? from->need[r] : 0));
		add(child, MEMBER_MEASURED + (unsigned)r,
		    (to->valid & bit ? 1 : 0) - (from->valid & bit ? 1 : 0));
	}
	add(child, MEMBER_RAN,
	    (to->knows_throttled ? to->usage[EBB_CPU] : 0) -
		    (from->knows_throttled ? from->usage[EBB_CPU] : 0));
	add(child, MEMBER_RAN_THROTTLED,
	    (to->knows_throttled ? to->throttled : 0) -
		    (from->knows_throttled ? from->throttled : 0));
	add(child, MEMBER_KNOW_THROTTLED, to->knows_throttled - from->knows_throttled);
	add(child, MEMBER_HELD_BACK,
	    (to->knows_held_back ? to->held_back : 0) -
		    (from->knows_held_back ? from->held_back : 0));
	add(child, MEMBER_KNOW_HELD_BACK, to->knows_held_back - from->knows_held_back);
}

static void list_take(struct model *model, struct contribution *c)
{
	struct contribution **first = &model->members.measured[c->slow].first;
	struct contribution **last = &model->members.measured[c->slow].last;

	*(c->prev ? &c->prev->next : first) = c->next;
	*(c->next ? &c->next->prev : last) = c->prev;
}

static void list_append(struct model *model, struct contribution *c)
{
	struct contribution **first = &model->members.measured[c->slow].first;
	struct contribution **last = &model->members.measured[c->slow].last;

	c->next = NULL;
	c->prev = *last;
	*(*last ? &(*last)->next : first) = c;
	*last = c;
}

static int64_t parts(double value)
{
	return llround(CLAMP(value, 0.0, USAGE_MAX) * MEMBER_PARTS);
}

/* `weight`: of the newest value in the mean; 1 for the first. */
static int64_t mean(int64_t before, double value, double weight)
{
	return before + llround((double)(parts(value) - before) * weight);
}

static void take(struct contribution *c, const struct guard_sample *sample, uint64_t received_ns)
{
	double seconds = fmax(sample->seconds, 1e-6), weight;
	bool anew = c->received_ns != received_ns;

	if (anew) {
		c->seconds = 0;
		c->valid = 0;
		c->knows_throttled = c->knows_held_back = false;
	}
	c->received_ns = received_ns;
	c->seconds += seconds;
	weight = seconds / c->seconds;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		unsigned bit = 1u << r;

		if (!(sample->valid & bit) || !isfinite(sample->usage[r]))
			continue;
		/* Memory is a level, all else a rate. */
		c->usage[r] = mean(c->usage[r], sample->usage[r],
				   c->valid & bit && r != EBB_MEM ? weight : 1);
		/* An eighth of what it has then is left, as `demand` leaves it. */
		c->need[r] = MAX(c->usage[r] * 8 / 7, parts((double)c->of->resources[r].min));
		c->valid |= bit;
	}
	if (!(c->valid & 1u << EBB_CPU))
		return;
	if (isfinite(sample->throttled)) {
		double share = CLAMP(sample->throttled, 0.0, 1.0);

		c->throttled = mean(c->throttled, fmax(sample->usage[EBB_CPU], 1) * share,
				    c->knows_throttled ? weight : 1);
		c->knows_throttled = true;
	}
	if (isfinite(sample->held_back)) {
		c->held_back =
			mean(c->held_back, sample->held_back, c->knows_held_back ? weight : 1);
		c->knows_held_back = true;
	}
}

void members_measured(struct model *model, struct structure *container,
		      const struct guard_sample *sample, uint64_t received_ns)
{
	struct contribution *c = container->contribution, before;

	if (!container->membership)
		return;
	if (!c) {
		c = container->contribution = calloc(1, sizeof(*c));
		if (!c)
			return;
		c->of = container;
	} else {
		list_take(model, c);
	}
	before = *c;
	c->slow = sample->seconds + sample->blur > SLOW_S;
	take(c, sample, received_ns);
	list_append(model, c);
	replace(container, &before, c);
}

void members_silent(struct model *model, struct structure *container)
{
	struct contribution *c = container->contribution;

	if (!c)
		return;
	replace(container, c, NULL);
	list_take(model, c);
	free(c);
	container->contribution = NULL;
}

void members_expire(struct model *model, uint64_t now_ns)
{
	for (int slow = 0; slow < 2; slow++) {
		uint64_t most = slow ? SLOW_NS : FAST_NS;
		struct contribution *c;

		while ((c = model->members.measured[slow].first) && now_ns > c->received_ns &&
		       now_ns - c->received_ns > most)
			members_silent(model, c->of);
	}
}

/* --- limits in force --- */

static void count(struct structure *container, int r, bool counts, int64_t current)
{
	bool before = container->counts & 1u << r;

	if (before == counts && (!counts || container->counted[r] == current))
		return;
	add(container, MEMBER_CURRENT + (unsigned)r,
	    (counts ? current : 0) - (before ? container->counted[r] : 0));
	add(container, MEMBER_LIMITED + (unsigned)r, (counts ? 1 : 0) - (before ? 1 : 0));
	container->counted[r] = current;
	container->counts = counts ? container->counts | 1u << r : container->counts & ~(1u << r);
}

void members_count(struct structure *container)
{
	if (!container->membership || container->subtype != STRUCTURE_CONTAINER)
		return;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_state *state = &container->resources[r];

		count(container, r, state->present && !container->gone && state->current >= 0,
		      state->current);
	}
}

/* --- coming and going --- */

/* All that a user has of an application. */
static void add_all(struct structure *user, const struct structure *application, int sign)
{
	for (int i = 0; i < MEMBER_VALUES; i++)
		user->sums->values[i] += sign * application->sums->values[i];
}

void members_leave(struct model *model, struct structure *child)
{
	if (!child->membership)
		return;
	if (child->subtype == STRUCTURE_APPLICATION) {
		add_all(hierarchy_parent(child), child, -1);
		return;
	}
	members_silent(model, child);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		count(child, r, false, 0);
}

void members_join(struct structure *child)
{
	if (!child->membership)
		return;
	if (child->subtype == STRUCTURE_APPLICATION)
		add_all(hierarchy_parent(child), child, 1);
	else
		members_count(child);
}

/* --- reading --- */

bool members_current(const struct structure *parent, enum ebb_resource resource,
		     int64_t *ret_current)
{
	if (!parent->sums || !parent->sums->values[MEMBER_LIMITED + (unsigned)resource])
		return false;
	*ret_current = parent->sums->values[MEMBER_CURRENT + (unsigned)resource];
	return true;
}

void members_begin(struct structure *parent)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		parent->sums->seen[r] = -1;
		parent->sums->asked[r] = 0;
	}
}

void members_sample(const struct structure *parent, struct guard_sample *ret_sample)
{
	const int64_t *values = parent->sums->values;
	double unit = MEMBER_PARTS;

	*ret_sample = (struct guard_sample){
		.of_members = true,
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		ret_sample->usage[r] = ret_sample->pressure[r] = NAN;
		if (!values[MEMBER_MEASURED + r])
			continue;
		ret_sample->valid |= 1u << r;
		ret_sample->usage[r] = (double)values[MEMBER_USAGE + r] / unit;
		ret_sample->need[r] = (double)values[MEMBER_NEED + r] / unit;
	}
	if (values[MEMBER_KNOW_THROTTLED])
		ret_sample->throttled =
			fmin((double)values[MEMBER_RAN_THROTTLED] /
				     (double)MAX(values[MEMBER_RAN], (int64_t)MEMBER_PARTS),
			     1);
	if (values[MEMBER_KNOW_HELD_BACK])
		ret_sample->held_back = (double)values[MEMBER_HELD_BACK] / unit;
}
