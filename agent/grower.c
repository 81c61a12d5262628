/* SPDX-License-Identifier: Apache-2.0 */
#include "grower.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resources.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

/*
 * From a throttled group to the next look 5 ms on average. A look costs what a sweep over the same
 * containers costs without CPU time: some 0.2 us each.
 */
#define LOOK_NS (10 * EBB_NS_PER_MS)
/* A container whose limit cannot be written is left alone for so long. */
#define PAUSE_NS EBB_NS_PER_SEC

/* Of one container that may grow, or did. */
struct grown {
	int64_t ceiling[REFLEX_MAX]; /* edge units; 0: it may not */
	int64_t known[REFLEX_MAX];   /* what the controller takes to be in force; -1: look */
	struct reflex_state states[REFLEX_MAX];
	struct reflex_report reports[REFLEX_MAX];
	uint64_t grown_ns[REFLEX_MAX];
	uint64_t not_before_ns;
};

struct grower {
	struct grower_options options;
	struct reflex_lease lease;
	struct loop_source *timer;
	bool looking; /* the timer runs */
	bool stale;   /* the list is to be made anew */

	struct container **leased; /* the first `watched` are looked at by the timer */
	int *slots;
	size_t n_leased, size_leased, watched;

	uint64_t accounts; /* the newest that a raising order was made from */
	uint64_t last_ns;
	uint64_t last_of[REFLEX_MAX];
	size_t pending;
	bool grew; /* since it was last told */
	struct grower_stats stats;
};

static struct grown *grown_of(const struct container *container)
{
	return container->grown;
}

/* --- looking --- */

/* In edge units; -1: unlimited, or not there. Whole ones, as the controller has them. */
static int64_t limit_in(const struct ebb_sample *look, enum reflex_resource resource)
{
	if (resource == REFLEX_CPU) {
		if (!(look->valid & EBB_VALID_BANDWIDTH) || look->quota_ns == EBB_UNLIMITED ||
		    !look->period_ns)
			return -1;
		return (int64_t)(look->quota_ns * EBB_SHARES_PER_CORE / look->period_ns);
	}
	if (!(look->valid & EBB_VALID_MEM) || look->mem_limit == EBB_UNLIMITED)
		return -1;
	return (int64_t)(look->mem_limit / EBB_MIB);
}

static enum limit_kind kind_of(enum reflex_resource resource)
{
	return resource == REFLEX_CPU ? LIMIT_QUOTA : LIMIT_MEM;
}

static uint64_t agent_units(enum reflex_resource resource, int64_t value)
{
	return resource == REFLEX_CPU ? (uint64_t)value * (EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE)
				      : (uint64_t)value * EBB_MIB;
}

static void note(struct grower *grower, struct grown *grown, enum reflex_resource resource,
		 int64_t to, const char *why)
{
	struct reflex_report *report = &grown->reports[resource];
	struct reflex_state *state = &grown->states[resource];
	uint64_t now = MAX(now_ns(), grower->last_ns + 1);

	if (!report->at_ns)
		report->base = grown->known[resource];
	if (!report->pending) {
		report->pending = true;
		report->from = grown->known[resource];
		report->sent_ns = 0;
		grower->pending++;
	}
	report->to = to;
	report->at_ns = now;
	report->seen_ns = state->seen_ns;
	report->why = why;
	grower->last_ns = grower->last_of[resource] = grown->grown_ns[resource] = now;
	grower->lease.pool[resource] -= to - grown->known[resource];
	grower->stats.growths[resource]++;
	grower->stats.reaction_ns += now - MIN(now, state->seen_ns);
	grower->grew = true;
	grown->known[resource] = to;
	reflex_raised(state, now);
}

static void took(void *userdata, const struct apply_result *result)
{
	*(struct apply_result *)userdata = *result;
}

/* More CPU than the cpuset has is of no use: it is widened too, or the quota grows only so far. */
static int64_t widen(struct grower *grower, const struct container *container, int64_t shares,
		     struct limit_order *order)
{
	_cleanup_free_ struct limits *limits = malloc(sizeof(*limits));

	if (!limits || limits_read(grower->options.hierarchies, container, 0, limits) < 0)
		return 0;
	if (!limits->has_cpuset)
		return MIN(shares, (int64_t)grower->options.host->online.n * EBB_SHARES_PER_CORE);
	shares = reflex_cpus(limits_cpus(limits), limits->cpu.n_effective, grower->lease.cpus,
			     shares, order->cpus);
	if (order->cpus[0])
		order->asked |= 1U << LIMIT_CPUS;
	return shares;
}

static void grow(struct grower *grower, struct container *container, enum reflex_resource resource,
		 int64_t wanted, const char *why)
{
	struct grown *grown = grown_of(container);
	struct limit_order order = {.raises_only = true};
	struct apply_result result = {.error = -EINPROGRESS};
	enum limit_kind kind = kind_of(resource);
	int64_t limit = grown->known[resource], to;
	uint64_t now = now_ns();
	int r;

	if (now < grown->not_before_ns ||
	    !reflex_lease_holds(&grower->lease, grower->options.term->seen, now))
		return;
	to = limit +
	     reflex_grant(wanted, limit, grown->ceiling[resource], grower->lease.pool[resource]);
	if (to > limit && resource == REFLEX_CPU)
		to = widen(grower, container, to, &order);
	if (to <= limit ||
	    applier_is_busy(grower->options.applier, container->id, 1U << kind | 1U << LIMIT_CPUS))
		return;
	order.asked |= 1U << kind;
	order.value[kind] = agent_units(resource, to);
	/* Nothing of it waits: `result` is there when this returns. */
	r = applier_submit(grower->options.applier, container, &order, took, &result);
	if (r < 0 || result.error < 0 || result.states[kind] != APPLY_WRITTEN) {
		grower->stats.failed++;
		grown->not_before_ns = now + PAUSE_NS;
		/* Somebody else has written it; it is looked at again once the controller knows. */
		return;
	}
	note(grower, grown, resource, to, why);
	log_debug("%s: %s grew from %" PRId64 " to %" PRId64 " %s, %s", container->name,
		  ebb_resource_name(reflex_resource(resource)), limit, to,
		  ebb_resource_unit(reflex_resource(resource)), why);
}

static void look_at(struct grower *grower, struct container *container,
		    const struct ebb_sample *look, bool throttled)
{
	struct grown *grown = grown_of(container);
	int64_t wanted[REFLEX_MAX];

	if (look->id != container->id)
		return;
	wanted[REFLEX_CPU] = reflex_cpu_wants(&grown->states[REFLEX_CPU], look, throttled);
	wanted[REFLEX_MEM] = reflex_mem_wants(&grown->states[REFLEX_MEM], look);
	for (enum reflex_resource r = 0; r < REFLEX_MAX; r++) {
		int64_t limit = limit_in(look, r);

		if (grown->known[r] < 0)
			grown->known[r] = limit;
		if (wanted[r] > 0 && limit >= 0 && limit == grown->known[r])
			grow(grower, container, r, wanted[r],
			     r == REFLEX_CPU ? "throttled" : "short of memory");
	}
}

static void tell(struct grower *grower)
{
	if (!grower->grew)
		return;
	grower->grew = false;
	grower->options.grown(grower->options.userdata);
}

static void on_look(void *userdata);

static void set_looking(struct grower *grower)
{
	bool wanted = grower->watched &&
		      reflex_lease_holds(&grower->lease, grower->options.term->seen, now_ns());

	if (wanted == grower->looking)
		return;
	grower->looking = wanted;
	loop_set_timer(grower->timer, wanted ? LOOK_NS : LOOP_TIMER_OFF, LOOK_NS);
}

/* Who may grow, in a dense list. */
static void list(struct grower *grower)
{
	size_t count = container_table_count(grower->options.table);
	struct container *container;
	int r;

	grower->stale = false;
	grower->n_leased = grower->watched = 0;
	if (count > grower->size_leased) {
		struct container **leased =
			reallocarray(grower->leased, count, sizeof(*grower->leased));
		int *slots;

		if (!leased)
			return;
		grower->leased = leased;
		slots = reallocarray(grower->slots, count, sizeof(*grower->slots));
		if (!slots)
			return;
		grower->slots = slots;
		grower->size_leased = count;
	}
	container_table_foreach(grower->options.table, container) {
		const struct grown *grown = grown_of(container);

		if (!grown || container->slot < 0 ||
		    (!grown->ceiling[REFLEX_CPU] && !grown->ceiling[REFLEX_MEM]))
			continue;
		grower->slots[grower->n_leased] = container->slot;
		grower->leased[grower->n_leased++] = container;
	}
	r = sampler_watch(grower->options.sampler, grower->slots, grower->n_leased);
	grower->watched = r > 0 ? (size_t)r : 0;
	set_looking(grower);
}

static void on_look(void *userdata)
{
	struct grower *grower = userdata;
	uint64_t start = now_ns();

	if (grower->stale)
		list(grower);
	set_looking(grower);
	if (!grower->looking || sampler_look(grower->options.sampler) < 0)
		return;
	for (size_t i = 0; i < grower->watched; i++) {
		struct ebb_sample look;
		bool throttled;

		if (sampler_watched(grower->options.sampler, i, &look, &throttled))
			look_at(grower, grower->leased[i], &look, throttled);
	}
	grower->stats.looks++;
	grower->stats.look_ns += now_ns() - start;
	tell(grower);
}

bool grower_swept(struct grower *grower)
{
	bool grew;

	if (grower->stale)
		list(grower);
	for (size_t i = grower->watched; i < grower->n_leased; i++) {
		struct ebb_sample look;

		if (sampler_read(grower->options.sampler, grower->leased[i]->slot, &look))
			look_at(grower, grower->leased[i], &look, false);
	}
	grew = grower->grew;
	grower->grew = false;
	return grew;
}

/* --- the lease --- */

/* What has grown and is not settled is still free in the controller's accounts. */
static void take_pending(const struct grower *grower, struct reflex_lease *lease)
{
	struct container *container;

	if (!grower->pending)
		return;
	container_table_foreach(grower->options.table, container) {
		const struct grown *grown = grown_of(container);

		for (int r = 0; grown && r < REFLEX_MAX; r++)
			if (grown->reports[r].pending)
				lease->pool[r] -= grown->reports[r].to - grown->reports[r].from;
	}
}

void grower_registered(struct grower *grower)
{
	grower->accounts = 0;
}

void grower_lease(struct grower *grower, const json_t *lease, uint64_t asked_ns)
{
	struct reflex_lease parsed;

	if (!lease ||
	    reflex_lease_parse(lease, asked_ns, grower->options.term->seen, &parsed) < 0) {
		grower->lease.present = false;
	} else {
		/* Made before an order that has been carried out: that may have spent it. */
		if (parsed.number < grower->accounts)
			return;
		take_pending(grower, &parsed);
		grower->lease = parsed;
	}
	set_looking(grower);
}

static struct grown *grown_new(void)
{
	struct grown *grown = calloc(1, sizeof(*grown));

	for (int r = 0; grown && r < REFLEX_MAX; r++)
		grown->known[r] = -1;
	return grown;
}

void grower_ceilings(struct grower *grower, const json_t *ceilings)
{
	struct container *container;

	container_table_foreach(grower->options.table, container) {
		const json_t *own = json_object_get(ceilings, container->name);
		struct grown *grown = grown_of(container);

		if (!own && !grown)
			continue;
		if (!grown)
			grown = container->grown = grown_new();
		for (enum reflex_resource r = 0; grown && r < REFLEX_MAX; r++) {
			json_int_t most = json_integer_value(
				json_object_get(own, ebb_resource_name(reflex_resource(r))));

			grown->ceiling[r] = CLAMP(most, 0, INT64_MAX / 2);
		}
	}
	list(grower);
}

void grower_container_joined(struct grower *grower, struct container *container)
{
	if (container->grown)
		grower->stale = true;
}

void grower_container_removed(struct grower *grower, struct container *container)
{
	struct grown *grown = grown_of(container);

	if (!grown)
		return;
	for (int r = 0; r < REFLEX_MAX; r++)
		grower->pending -= grown->reports[r].pending;
	for (int r = 0; r < REFLEX_MAX; r++)
		grown->ceiling[r] = 0;
	/* Once for many that go: whoever uses the list makes it anew first. */
	grower->stale = true;
	free(grown);
	container->grown = NULL;
}

void grower_limits_told(struct grower *grower, struct container *container,
			const struct limits *limits)
{
	struct grown *grown = grown_of(container);

	(void)grower;
	if (!grown)
		return;
	grown->known[REFLEX_CPU] =
		limits->has_cpu && limits->cpu.quota_us != LIMIT_NONE && limits->cpu.period_us
			? (int64_t)(limits->cpu.quota_us * EBB_SHARES_PER_CORE /
				    limits->cpu.period_us)
			: -1;
	grown->known[REFLEX_MEM] = limits->has_mem && limits->mem_bytes != LIMIT_NONE
					   ? (int64_t)(limits->mem_bytes / EBB_MIB)
					   : -1;
	/* Another hand's now. */
	for (int r = 0; r < REFLEX_MAX; r++)
		if (!grown->reports[r].pending && grown->known[r] != grown->reports[r].to)
			grown->reports[r].at_ns = 0;
}

/* --- reports --- */

bool grower_has_reports(const struct grower *grower)
{
	return grower->pending > 0;
}

bool grower_report(struct grower *grower, struct container *container,
		   enum reflex_resource resource, struct growth *ret_growth)
{
	struct grown *grown = grown_of(container);
	struct reflex_report *report = grown ? &grown->reports[resource] : NULL;

	(void)grower;
	if (!report || !report->pending)
		return false;
	*ret_growth = (struct growth){
		.resource = resource,
		/* Another hand may have lowered it in between. */
		.from = MIN(report->from, report->to - 1),
		.to = report->to,
		.at_ns = report->at_ns,
		.seen_ns = report->seen_ns ? report->seen_ns : report->at_ns,
		.why = report->why,
	};
	report->sent_to = report->to;
	report->sent_ns = report->at_ns;
	return true;
}

bool grower_is_pending(const struct container *container)
{
	const struct grown *grown = grown_of(container);

	return grown && (grown->reports[REFLEX_CPU].pending || grown->reports[REFLEX_MEM].pending);
}

void grower_acknowledged(struct grower *grower, uint64_t at_ns)
{
	struct container *container;

	if (!grower->pending)
		return;
	container_table_foreach(grower->options.table, container) {
		struct grown *grown = grown_of(container);

		for (int r = 0; grown && r < REFLEX_MAX; r++)
			grower->pending -= reflex_report_settled(&grown->reports[r], at_ns);
	}
}

void grower_session_begins(struct grower *grower)
{
	struct container *container;

	container_table_foreach(grower->options.table, container) {
		struct grown *grown = grown_of(container);

		for (int r = 0; grown && r < REFLEX_MAX; r++) {
			struct reflex_report *report = &grown->reports[r];

			if (!report->at_ns)
				continue;
			grower->pending += !report->pending;
			report->pending = true;
			report->from = report->base;
			report->sent_ns = 0;
		}
	}
}

uint64_t grower_last(const struct grower *grower)
{
	return grower->last_ns;
}

/* --- orders --- */

bool grower_refuses(struct grower *grower, const struct container *container,
		    const struct limit_order *order, uint64_t heard, char *message, size_t size)
{
	const struct grown *grown = grown_of(container);

	for (enum reflex_resource r = 0; r < REFLEX_MAX; r++) {
		enum limit_kind kind = kind_of(r);
		const char *name = ebb_resource_name(reflex_resource(r));
		bool raises;

		if (!(order->asked & 1U << kind))
			continue;
		raises = !grown || grown->known[r] < 0 ||
			 order->value[kind] > agent_units(r, grown->known[r]);
		if (grown && grown->grown_ns[r] > heard)
			snprintf(message, size,
				 "the agent raised the %s of \"%s\" after this order was made; "
				 "nothing was changed",
				 name, container->name);
		else if (raises && grower->last_of[r] > heard)
			snprintf(message, size,
				 "the agent gave %s of the host to another container after this "
				 "order for more was made; nothing was changed",
				 name);
		else
			continue;
		grower->stats.refused++;
		return true;
	}
	return false;
}

void grower_ordered(struct grower *grower, struct container *container,
		    const struct limit_order *order, const struct apply_result *result,
		    uint64_t accounts)
{
	struct grown *grown = grown_of(container);

	for (enum reflex_resource r = 0; r < REFLEX_MAX; r++) {
		enum limit_kind kind = kind_of(r);
		uint64_t value = order->value[kind];
		int64_t limit, before;

		if (!(order->asked & 1U << kind))
			continue;
		if (r == REFLEX_MEM && result->mem_floored)
			value = result->mem_applied;
		limit = value == LIMIT_NONE ? -1
			: r == REFLEX_CPU
				? (int64_t)(value / (EBB_CFS_PERIOD_US / EBB_SHARES_PER_CORE))
				: (int64_t)(value / EBB_MIB);
		before = grown ? grown->known[r] : -1;
		if (accounts > grower->lease.number &&
		    (before < 0 || limit < 0 || limit > before)) {
			if (accounts != UINT64_MAX)
				grower->accounts = MAX(grower->accounts, accounts);
			/* Of one that is not looked at it is not known what it had. */
			if (before < 0 || limit < 0)
				grower->lease.pool[r] = 0;
			else if (limit > before)
				grower->lease.pool[r] =
					MAX(grower->lease.pool[r] - (limit - before), (int64_t)0);
		}
		if (!grown)
			continue;
		/* Whoever made it had settled what is told there: else it had been refused. */
		if (grown->reports[r].pending && accounts != UINT64_MAX) {
			grown->reports[r].pending = false;
			grower->pending--;
		}
		if (!grown->reports[r].pending)
			grown->reports[r].at_ns = 0;
		grown->known[r] = limit;
		grown->states[r].raises = 0;
		grown->states[r].seen_ns = 0;
	}
}

/* --- life --- */

int grower_new(const struct grower_options *options, struct grower **ret_grower)
{
	struct grower *grower = calloc(1, sizeof(*grower));
	int r;

	if (!grower)
		return -ENOMEM;
	grower->options = *options;
	r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_look, grower, &grower->timer);
	if (r < 0) {
		free(grower);
		return r;
	}
	*ret_grower = grower;
	return 0;
}

void grower_free(struct grower *grower)
{
	struct container *container;

	if (!grower)
		return;
	loop_remove(grower->timer);
	container_table_foreach(grower->options.table, container) {
		free(container->grown);
		container->grown = NULL;
	}
	free(grower->leased);
	free(grower->slots);
	free(grower);
}

void grower_get_stats(const struct grower *grower, struct grower_stats *ret_stats)
{
	uint64_t now = now_ns();

	*ret_stats = grower->stats;
	ret_stats->watched = (unsigned)grower->watched;
	ret_stats->lease_s = reflex_lease_holds(&grower->lease, grower->options.term->seen, now)
				     ? (double)(grower->lease.until_ns - now) / EBB_NS_PER_SEC
				     : 0;
}
