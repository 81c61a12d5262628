/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a request asks for. `amount`, `proportional` and `fit_to_usage` are the original's (spec
 * 5.6), but for three things: the trim keeps min and max themselves, it never turns a raise into a
 * larger one, and a negative ratio counts as 0. `demand` is Ebb's.
 *
 * `demand` puts the mean a quarter of a margin below the upper boundary and the highest sample a
 * quarter above it: with 10% of current, at 87.5% and 92.5% of the limit. The original puts the
 * mean half-way between upper and lower (85%), with the margin of the limit that is being left, so
 * it needs two rounds and more slack.
 */
#include "guardian.h"

#include <math.h>

#include "boundaries.h"
#include "ebb/cleanup.h"

#define MEAN_MARGINS 1.25
#define PEAK_MARGINS 0.75
/* A raise by less would be followed by another at once while load climbs. */
#define RAISE_MARGINS 0.5
/* A lowering by less than so many margins is not worth an order, and would follow noise. */
#define LOWER_MARGINS 1.0
/* A sample this much above those before it is a step, not noise. */
#define STEP 1.33
/* Below this share of the limit a container is idle: nothing to halve step by step for. */
#define IDLE (1 / 16.0)
/* Memory is asked for this far ahead, s. */
#define LOOK_AHEAD 1.0
#define WIDEN_MAX  10

/* Rates have a quota per period; memory is a level, and is not throttled but killed. */
static bool is_rate(enum ebb_resource resource)
{
	return resource != EBB_MEM && resource != EBB_ENERGY;
}

/*
 * With throttling known, 98%: a container a little below its limit is not pinned, and fitting its
 * usage is the smaller step. The first sample of a load step shows all of the quota used and no
 * throttling yet: CFS counts a throttled period when it ends. Without, 95%.
 */
bool guardian_pinned(enum ebb_resource resource, int64_t current,
		     const struct guard_measure *measure)
{
	double share = resource == EBB_CPU && isfinite(measure->throttled) ? 0.98 : 0.95;

	return measure->throttled > 0 || measure->last >= share * (double)current;
}

/* The least limit that leaves so many margins above `level`. */
static double fit(const struct resource_state *resource, double level, double margins)
{
	double share = resource->boundary / 100.0;

	if (resource->boundary_type == BOUNDARY_PERCENTAGE_OF_MAX)
		return level + margins * MAX((double)resource->max * share, 1);
	/* Wide boundaries would ask for many times the usage. */
	return MAX(level / MAX(1 - margins * share, 0.25), level + margins);
}

static double highest(const struct guard_measure *measure)
{
	return fmax(fmax(measure->peak, measure->last), measure->usage);
}

static double fit_measured(const struct resource_state *resource,
			   const struct guard_measure *measure)
{
	return fmax(fit(resource, measure->usage, MEAN_MARGINS),
		    fit(resource, highest(measure), PEAK_MARGINS));
}

/* A level that kills when it reaches the limit: ask ahead. */
static double demand_more_memory(const struct rule *rule, const struct resource_state *resource,
				 const struct guard_measure *measure)
{
	double level = highest(measure), target;
	bool fast = measure->growth * LOOK_AHEAD >= rule->amount;

	if (measure->growth > 0)
		level = fmax(level, measure->last + measure->growth * LOOK_AHEAD);
	/* Half a step is left free in any case: 10% of a small limit is nothing. */
	target = fmax(fit(resource, level, MEAN_MARGINS), level + rule->amount / 2);
	if (fast || guardian_pinned(rule->resource, resource->current, measure))
		target = fmax(target,
			      (double)resource->current +
				      ldexp(rule->amount, (int)MIN(measure->raises, WIDEN_MAX)));
	return target;
}

/* The limit wanted when more is needed. */
static double demand_more(const struct rule *rule, const struct resource_state *resource,
			  const struct guard_measure *measure)
{
	double current = (double)resource->current, target = fit_measured(resource, measure), step;
	int widen = (int)MIN(measure->raises, WIDEN_MAX);

	/*
	 * One of many that is held back lacks just that, however much the others leave unused: they
	 * give it up when nobody is held back any more. If it was not enough, it is more each time.
	 */
	if (measure->of_members && measure->held_back > 0 && measure->usage <= resource->upper) {
		step = ldexp(MAX(measure->held_back / 4, 1), widen);
		return fmax(target, current + measure->held_back + step);
	}
	target = fmax(target, fit(resource, current, RAISE_MARGINS));
	if (!guardian_pinned(rule->resource, resource->current, measure))
		return target;

	if (measure->held_back > 0) {
		/*
		 * What throttling held back was runnable: usage plus that is the demand, exact for
		 * up to one thread per CPU (measured: 199 +-4 shares for two spinning threads, at
		 * any quota). A little more in any case, and more if that was not enough.
		 */
		target = fmax(target,
			      fit(resource, measure->last + measure->held_back, MEAN_MARGINS));
		step = widen == 0 ? current / 8 : ldexp(rule->amount, widen - 1);
	} else if (measure->throttled == 0 && measure->before * STEP > measure->last) {
		/* Crept up to the limit, not throttled by it. */
		step = 0;
	} else {
		/* A step, or nobody tells throttling. CFS counts a throttled period when it ends,
		 * so the first sample of a load shows usage at the limit only. */
		step = ldexp(MAX(rule->amount, current / 4), widen);
	}
	return fmax(fmax(target, current + step), (double)measure->undo);
}

/* The limit wanted when less would do. */
static double demand_less(const struct rule *rule, const struct resource_state *resource,
			  const struct guard_measure *measure)
{
	double current = (double)resource->current, level = highest(measure), target;

	target = fmax(fit_measured(resource, measure), level + rule->amount);
	/* CPU comes back in two samples. Memory that is missing kills, so it goes slowly even when
	 * idle: a container that has not started its work yet looks like that. */
	if (!is_rate(rule->resource) || level > current * IDLE)
		target = fmax(target, current / 2);
	/* Members that are at their min give nothing, however little they use: more than the others
	 * have to spare would be taken from what they need. */
	target = fmax(fmax(target, (double)resource->min), measure->need);
	return fit(resource, target, LOWER_MARGINS) > current ? current : target;
}

static double demand(const struct rule *rule, const struct resource_state *resource,
		     const struct guard_measure *measure)
{
	double target;
	double amount;

	if (rule->rescale_up < 0)
		target = demand_less(rule, resource, measure);
	else if (is_rate(rule->resource))
		target = demand_more(rule, resource, measure);
	else
		target = demand_more_memory(rule, resource, measure);
	amount = ceil(target) - (double)resource->current;

	/* A rule asks for its own direction only. */
	return amount * rule->rescale_up > 0 ? amount : 0;
}

/* Usage half-way between the new upper and lower. */
static double fit_to_usage(const struct resource_state *resource,
			   const struct guard_measure *measure)
{
	/* The peak over the evidence: a burst in it keeps its room. */
	double usage = isfinite(measure->peak) ? measure->peak : measure->usage;
	int64_t margin;

	if (boundaries_margin(resource, &margin) < 0)
		return 0;
	return trunc(usage + (double)MAX(margin / 2, 1) + (double)margin) -
	       (double)resource->current;
}

static double proportional(const struct rule *rule, const struct resource_state *resource,
			   const struct guard_measure *measure)
{
	double over = measure->usage - (double)resource->upper;
	double range = (double)(resource->current - resource->upper);

	return range > 0 ? CLAMP(over / range, 0, 1) * rule->amount : 0;
}

int64_t guardian_amount(const struct rule *rule, const struct resource_state *resource,
			const struct guard_measure *measure)
{
	int64_t most = resource->max - resource->current, least = resource->min - resource->current;
	double wanted = 0;
	int64_t amount;

	switch (rule->policy) {
	case RESCALE_AMOUNT: wanted = rule->amount; break;
	case RESCALE_PROPORTIONAL: wanted = proportional(rule, resource, measure); break;
	case RESCALE_FIT_TO_USAGE: wanted = fit_to_usage(resource, measure); break;
	case RESCALE_DEMAND: wanted = demand(rule, resource, measure); break;
	case RESCALE_MODELLING:
	case RESCALE_FIXED_RATIO:
	case RESCALE_POLICY_MAX: break;
	}
	/* NAN too: nothing was measured. */
	if (!(fabs(wanted) >= 1))
		return 0;
	amount = (int64_t)CLAMP(wanted, -1e15, 1e15);

	if (amount > 0)
		return MAX(MIN(MAX(amount, least), most), 0);
	return MIN(MAX(MIN(amount, most), least), 0);
}
