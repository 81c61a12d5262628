/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applications and users, guarded like containers by samples that are made from those of their
 * members (member_sums.h). Their clock is this machine's, whatever those of the hosts say.
 */
#include "guarding_private.h"

#include <errno.h>
#include <math.h>

#include "hierarchy.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

/* One is evaluated this often at most. */
#define REST_NS (100 * EBB_NS_PER_MS)
/* After a silence: a sample tells of no more. */
#define LONGEST_S 10.0
#define FIRST_S   0.1
/* So old may be what a member said last: agents send once a second, OpenTSDB is asked twice per
 * bucket. */
#define FAST_BLUR_S 1.0
#define SLOW_BLUR_S 10.0

/* --- queues --- */

static struct member_queues *queue_of(struct model *model, enum member_queue which)
{
	return which == QUEUE_DUE ? &model->members.due : &model->members.resting;
}

static void queue_take(struct model *model, struct member_sums *sums)
{
	struct member_queues *queue = queue_of(model, sums->queue);

	if (sums->queue == QUEUE_NONE)
		return;
	*(sums->prev ? &sums->prev->next : &queue->first) = sums->next;
	*(sums->next ? &sums->next->prev : &queue->last) = sums->prev;
	sums->queue = QUEUE_NONE;
}

static void queue_append(struct model *model, struct member_sums *sums, enum member_queue which)
{
	struct member_queues *queue = queue_of(model, which);

	queue_take(model, sums);
	sums->queue = which;
	sums->next = NULL;
	sums->prev = queue->last;
	*(queue->last ? &queue->last->next : &queue->first) = sums;
	queue->last = sums;
}

void members_forget(struct model *model, struct structure *parent)
{
	if (parent->sums)
		queue_take(model, parent->sums);
}

void guarding_member(struct model *model, struct structure *container,
		     const struct guardian_config *config, const struct guard_sample *sample,
		     const struct sample_times *times)
{
	struct structure *parent = container;

	members_measured(model, container, sample, times->received_ns);
	while ((parent = hierarchy_parent(parent))) {
		struct member_sums *sums = parent->sums;

		if (!guarding_applies(parent, config) || sums->own)
			continue;
		sums->changed = true;
		sums->slow = sample->seconds + sample->blur > FAST_BLUR_S;
		sums->together = times->received_ns == sums->received_ns ? sums->together + 1 : 1;
		sums->sampled_ns = times->sampled_ns;
		sums->received_ns = times->received_ns;
		if (sums->queue == QUEUE_NONE)
			queue_append(model, sums, QUEUE_DUE);
	}
}

/* --- limits --- */

void guarding_follow_members(struct model *model, struct structure *parent, double at)
{
	struct member_sums *sums = parent->sums;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		struct resource_state *state = &parent->resources[r];
		int64_t current, before = sums->seen[r];
		int way;

		if (!state->present)
			continue;
		if (!members_current(parent, r, &current))
			current = state->current;
		if (state->current != current) {
			state->current = current;
			sums->unwritten = true;
		}
		if (before == current)
			continue;
		sums->seen[r] = current;
		way = current > before ? 1 : -1;
		if (before >= 0 && sums->asked[r] == way) {
			/* What was asked for has come. */
			guard_state_limit_changed(parent->guard_state, r, at, way > 0);
			sums->asked[r] = 0;
		} else {
			/* Somebody scaled a member: what all of them use is none the less true. */
			guard_state_limit_follows(parent->guard_state, r, current);
		}
	}
}

void guarding_members_changed(struct model *model, struct structure *parent, double at)
{
	if (parent->sums && guarding_applies(parent, &model->guardian))
		guarding_follow_members(model, parent, at);
}

void guarding_ask_below_max(struct structure *parent, const struct guardian_config *config,
			    struct guard_outcome *outcome)
{
	unsigned asked = 0;

	for (unsigned i = 0; i < outcome->n_requests; i++)
		asked |= 1u << outcome->requests[i].resource;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_state *state = &parent->resources[r];

		if (!state->present || !state->guard || state->max <= 0 ||
		    state->current <= state->max || !(config->guardable & 1u << r)) {
			parent->sums->above[r] = 0;
			continue;
		}
		if (asked & 1u << r || parent->sums->above[r] == state->current)
			continue;
		parent->sums->above[r] = state->current;
		outcome->requests[outcome->n_requests++] = (struct guard_request){
			.resource = r,
			.amount = state->max - state->current,
			.measure = {.usage = state->usage, .peak = NAN, .throttled = NAN},
			.upper = state->upper,
			.lower = state->lower,
			.current = state->current,
		};
	}
}

/* --- samples --- */

/* Are the samples of all members that have some of one moment? */
static bool all_measured_now(const struct member_sums *sums)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (sums->values[MEMBER_MEASURED + r] > sums->together)
			return false;
	return true;
}

static void evaluate(struct model *model, struct scaler *scaler, struct member_sums *sums,
		     const struct guardian_config *config, uint64_t now)
{
	const struct sample_times times = {
		.sampled_ns = sums->sampled_ns,
		.received_ns = sums->received_ns,
	};
	struct guard_sample sample;

	members_sample(sums->of, &sample);
	sample.at = (double)now / EBB_NS_PER_SEC;
	sample.seconds = FIRST_S;
	if (sums->evaluated_ns)
		sample.seconds =
			CLAMP((double)(now - sums->evaluated_ns) / EBB_NS_PER_SEC, 1e-3, LONGEST_S);
	sample.blur = sums->slow ? SLOW_BLUR_S : FAST_BLUR_S;
	if (config->exact && all_measured_now(sums))
		sample.blur = 0;
	sums->changed = false;
	sums->evaluated_ns = now;
	if (guarding_applies(sums->of, config) && sample.valid)
		guarding_evaluate(model, scaler, sums->of, config, &sample, &times);
}

void guarding_samples_in(struct model *model, struct scaler *scaler,
			 const struct guardian_config *config)
{
	struct member_sums *sums;
	uint64_t now;

	if (!(config->guarded & GUARDED_PARENTS) && !model->members.due.first)
		return;
	now = timebase_now_ns(model->time);
	members_expire(model, now);
	while ((sums = model->members.resting.first) && now - sums->evaluated_ns >= REST_NS) {
		queue_take(model, sums);
		if (sums->changed)
			queue_append(model, sums, QUEUE_DUE);
	}
	while ((sums = model->members.due.first)) {
		evaluate(model, scaler, sums, config, now);
		queue_append(model, sums, QUEUE_RESTING);
	}
}
