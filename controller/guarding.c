/* SPDX-License-Identifier: Apache-2.0 */
#include "guarding_private.h"

#include <math.h>
#include <stdio.h>

#include "usage_history.h"
#include "ebb/loop.h"
#include "ebb/util.h"

static void pass_on(struct model *model, struct scaler *scaler, struct structure *s,
		    const struct guard_outcome *outcome, const struct sample_times *times)
{
	for (unsigned i = 0; i < outcome->n_requests; i++) {
		const struct guard_request *asked = &outcome->requests[i];
		const struct resource_state *state = &s->resources[asked->resource];
		struct decision inputs;
		struct request request = {
			.structure = s,
			.resource = asked->resource,
			.amount = asked->amount,
			.timestamp = timebase_wall(model->time),
			.origin = "guardian",
			.absolute = true,
			.has_priority = true,
			.sampled_ns = times->sampled_ns,
			.received_ns = times->received_ns,
			.sampled_host_ns = times->host_ns,
			.inputs = &inputs,
		};

		decision_init(&inputs);
		snprintf(inputs.rule, sizeof(inputs.rule), "%s",
			 asked->rule ? asked->rule->name : "");
		inputs.usage = asked->measure.usage;
		inputs.peak = asked->measure.peak;
		inputs.throttled = asked->measure.throttled;
		inputs.current = asked->current;
		inputs.upper = asked->upper;
		inputs.lower = asked->lower;
		inputs.min = state->min;
		inputs.max = state->max;
		inputs.events_up = asked->events_up;
		inputs.events_down = asked->events_down;
		if (asked->rule)
			inputs.grounds = (struct grounds){
				.has_amount = true,
				.policy = asked->rule->policy,
				.rescale_up = asked->rule->rescale_up,
				.rule_amount = asked->rule->amount,
				.measure = asked->measure,
				.boundary = state->boundary,
				.boundary_type = state->boundary_type,
				.current = asked->current,
				.min = state->min,
				.max = state->max,
				.upper = asked->upper,
				.lower = asked->lower,
			};
		if (scaler_request(scaler, &request) >= 0 && s->sums)
			s->sums->asked[asked->resource] = asked->amount > 0 ? 1 : -1;
	}
	if (outcome->boundaries_changed) {
		model_touch(model, s, MODEL_DIRTY_LIMITS);
		model_guard_changed(model, s);
	}
}

/* For displays: what guardian_evaluate() does not set, and throttling over about a second, because
 * that of one sample is all or nothing. */
static void show_usage(struct structure *s, const struct guard_sample *sample, bool guarded)
{
	if (isfinite(sample->throttled)) {
		double before = isfinite(s->throttled) ? s->throttled : sample->throttled;

		s->throttled = before + (sample->throttled - before) * fmin(sample->seconds, 1);
	}
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (sample->valid & 1u << r && !(guarded && s->resources[r].guard))
			s->resources[r].usage = sample->usage[r];
}

bool guarding_applies(const struct structure *structure, const struct guardian_config *config)
{
	/* One that is being subscribed keeps its limits until that is settled. */
	return structure->guard && structure->guard_state && !structure->subscription &&
	       config->active && config->guarded & 1u << structure->subtype;
}

void guarding_evaluate(struct model *model, struct scaler *scaler, struct structure *structure,
		       const struct guardian_config *config, const struct guard_sample *sample,
		       const struct sample_times *times)
{
	struct guard_outcome outcome;

	if (structure->sums)
		guarding_follow_members(model, structure, sample->at);
	show_usage(structure, sample, true);
	guardian_evaluate(config, model->ruleset, structure, sample, &outcome);
	if (structure->sums)
		guarding_ask_below_max(structure, config, &outcome);
	pass_on(model, scaler, structure, &outcome, times);
}

bool guarding_take_sample(struct model *model, struct scaler *scaler, struct structure *structure,
			  const struct guardian_config *config, const struct guard_sample *sample,
			  const struct sample_times *times)
{
	bool guarded = guarding_applies(structure, config);

	if (structure->history)
		usage_history_add(structure->history, times->received_ns, sample);
	if (structure->balance_history)
		usage_history_add(structure->balance_history, times->received_ns, sample);
	if (structure->sums)
		structure->sums->own = true;
	if (guarded)
		guarding_evaluate(model, scaler, structure, config, sample, times);
	else
		show_usage(structure, sample, false);
	if (structure->membership && config->guarded & GUARDED_PARENTS && !structure->sums)
		guarding_member(model, structure, config, sample, times);
	return guarded;
}
