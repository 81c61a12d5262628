// SPDX-License-Identifier: Apache-2.0
#include "rebalancer.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "model_walk.h"
#include "rebalance_decide.h"
#include "rebalance_tracker.h"
#include "series_clock.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"

/* Spec 2.10: before what the guardian asks for. */
#define PRIORITY    2
#define ORIGIN      "rebalancer"
#define HEARTBEAT_S 10.0
/* A swap is two orders and more: the largest first, the rest in the epochs that follow. */
#define SWAPS_MAX      4096
#define SWAPS_PER_HOLD 16

struct rebalancer {
	struct model *model;
	struct scaler *scaler;

	/* Of the thread that runs it. */
	bool remembers;   /* containers remember their usage for it */
	double since;     /* wall clock: when they began to */
	double heartbeat; /* wall clock */
	struct series_clock clock;

	pthread_mutex_t lock; /* never with the model's inside */
	struct rebalancer_stats stats;
};

/* --- who owes whom --- */

static void keep_credit(struct model *model, struct structure *s, enum ebb_resource resource,
			int64_t amount)
{
	if (rebalance_credit_add(&s->doc, resource, amount) >= 0)
		model_touch(model, s, MODEL_DIRTY_STRUCTURE);
}

/* scaler_swapped_fn: what was asked for counts when it is done. */
static void on_swapped(void *userdata, struct structure *receiver, struct structure *donor,
		       const struct request *request)
{
	struct rebalancer *rebalancer = userdata;

	if (strcmp(request->origin, ORIGIN) != 0)
		return;
	keep_credit(rebalancer->model, donor, request->resource, request->amount);
	keep_credit(rebalancer->model, receiver, request->resource, -request->amount);
}

/* --- submitting --- */

struct submission {
	struct rebalancer *rebalancer;
	const struct rebalance_snapshot *snapshot;
	const struct rebalance_config *config;
	const struct rebalance_rules *rules;
	double now;
	unsigned long swaps;
};

static struct structure *find(struct model *model, const struct rebalance_snapshot *snapshot,
			      enum rebalance_level level, size_t node)
{
	static const enum structure_subtype subtypes[REBALANCE_LEVEL_MAX] = {
		[REBALANCE_USER] = STRUCTURE_USER,
		[REBALANCE_APPLICATION] = STRUCTURE_APPLICATION,
		[REBALANCE_CONTAINER] = STRUCTURE_CONTAINER,
	};
	const char *name = rebalance_name(snapshot, level, node);
	struct structure *s =
		level == REBALANCE_USER ? model_user(model, name) : model_structure(model, name);

	return s && s->subtype == subtypes[level] ? s : NULL;
}

/* Is it still what was decided on? If not, the next epoch sees what has become of it. */
static bool is_unchanged(const struct submission *submission, const struct rebalance_swap *swap,
			 size_t node, const struct structure *s)
{
	const struct rebalance_value *value =
		rebalance_value_of(submission->snapshot, swap->level, node, swap->k);
	enum ebb_resource resource = submission->snapshot->resources[swap->k];
	const struct resource_state *state = &s->resources[resource];

	return state->max == value->model_max &&
	       (swap->level != REBALANCE_CONTAINER || state->current == value->model_current) &&
	       !((s->in_flight | s->apply) & 1u << resource);
}

static bool go_together(const struct submission *submission, enum rebalance_level level,
			const struct structure *donor, const struct structure *receiver)
{
	if (donor == receiver)
		return false;
	return level != REBALANCE_CONTAINER || strcmp(donor->host_name, receiver->host_name) == 0;
}

static void submit_swap(struct submission *submission, const struct rebalance_swap *swap)
{
	const struct rebalance_snapshot *snapshot = submission->snapshot;
	struct rebalancer *rebalancer = submission->rebalancer;
	struct model *model = rebalancer->model;
	enum ebb_resource resource = snapshot->resources[swap->k];
	struct structure *donor = find(model, snapshot, swap->level, swap->donor);
	struct structure *receiver = find(model, snapshot, swap->level, swap->receiver);
	const struct resource_state *state;
	bool moves_max = rebalance_moves_max(swap->level, resource);
	struct decision inputs;
	struct request request = {
		.structure = receiver,
		.pair = donor,
		.field = moves_max ? REQUEST_MAX : REQUEST_CURRENT,
		.resource = resource,
		.amount = swap->amount,
		.has_priority = true,
		.priority = PRIORITY,
		.timestamp = submission->now,
		.origin = ORIGIN,
		.inputs = &inputs,
	};

	if (!donor || !receiver || !is_unchanged(submission, swap, swap->donor, donor) ||
	    !is_unchanged(submission, swap, swap->receiver, receiver) ||
	    !go_together(submission, swap->level, donor, receiver))
		return;
	state = &receiver->resources[resource];
	decision_init(&inputs);
	if (!submission->config->by_thresholds &&
	    !(submission->config->by_weights && swap->level == REBALANCE_CONTAINER))
		snprintf(inputs.rule, sizeof(inputs.rule), "%s",
			 submission->rules->of[swap->level][resource].high_name);
	inputs.usage = rebalance_value_of(snapshot, swap->level, swap->receiver, swap->k)->usage;
	inputs.current = state->current;
	inputs.min = state->min;
	inputs.max = state->max;
	if (scaler_request(rebalancer->scaler, &request) < 0)
		return;
	submission->swaps++;
}

/* Those of one level stay together. */
static int largest_first(const void *a, const void *b)
{
	const struct rebalance_swap *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	if (x->amount != y->amount)
		return x->amount > y->amount ? -1 : 1;
	if (x->receiver != y->receiver)
		return x->receiver < y->receiver ? -1 : 1;
	return (x->donor > y->donor) - (x->donor < y->donor);
}

/* Returns the longest hold of the lock. */
static double submit(struct submission *submission, const struct rebalance_decision *decision)
{
	struct model *model = submission->rebalancer->model;
	struct model_hold hold = {.model = model};
	size_t n = MIN(decision->n, (size_t)SWAPS_MAX), at = 0;

	if (decision->n)
		qsort(decision->swaps, decision->n, sizeof(*decision->swaps), largest_first);
	while (at < n) {
		/* Of parents all containers are looked at. */
		bool parents = decision->swaps[at].level != REBALANCE_CONTAINER;
		size_t end = MIN(n, at + (parents ? 1 : SWAPS_PER_HOLD));

		model_hold_begin(&hold);
		/* Who leads no more has nothing to say. */
		if (!model->leading)
			at = end = n;
		while (at < end)
			submit_swap(submission, &decision->swaps[at++]);
		/* Plans just these: that takes longer than to ask for them. */
		scaler_run_for(submission->rebalancer->scaler, NULL);
		model_hold_end(&hold);
	}
	return hold.longest_s;
}

/* --- an epoch --- */

/* Only the rules that can matter, so that they can be compiled without the lock. */
static json_t *copy_rules(const struct model *model)
{
	json_t *copy = json_object();
	const char *name;
	json_t *doc;

	json_object_foreach(model->rules, name, doc)
		if (strstr(name, "_usage_") &&
		    json_object_set_new(copy, name, json_deep_copy(doc)) < 0) {
			json_decref(copy);
			return NULL;
		}
	return copy;
}

static void note_epoch(struct rebalancer *rebalancer, const struct rebalance_config *config,
		       const struct rebalance_decision *decision, unsigned long swaps,
		       double seconds, double hold_s)
{
	pthread_mutex_lock(&rebalancer->lock);
	rebalancer->stats.epochs++;
	rebalancer->stats.swaps += swaps;
	rebalancer->stats.donors = decision->donors;
	rebalancer->stats.receivers = decision->receivers;
	rebalancer->stats.seconds = seconds;
	rebalancer->stats.hold_s = MAX(rebalancer->stats.hold_s, hold_s);
	pthread_mutex_unlock(&rebalancer->lock);
	if (config->debug)
		log_info("rebalancer: %zu donors, %zu receivers, %lu swaps; %.1f ms, lock held "
			 "%.3f ms at most",
			 decision->donors, decision->receivers, swaps, seconds * 1e3, hold_s * 1e3);
}

static int balance(struct rebalancer *rebalancer, const struct rebalance_config *config,
		   const json_t *rule_docs, double now)
{
	uint64_t started = now_ns();
	struct rebalance_snapshot snapshot;
	struct rebalance_rules rules = {};
	struct rebalance_decision decision = {};
	struct submission submission = {
		.rebalancer = rebalancer,
		.snapshot = &snapshot,
		.config = config,
		.rules = &rules,
		.now = now,
	};
	double hold_s;
	int r;

	r = rebalance_snapshot_take(rebalancer->model, config, &snapshot);
	if (r < 0)
		return r;
	rebalance_rules_load(rule_docs, &rules);
	if (now - rebalancer->since >= config->window_delay + config->window_timelapse / 2)
		r = rebalance_decide(config, &rules, &snapshot, &decision);
	if (r >= 0) {
		hold_s = submit(&submission, &decision);
		note_epoch(rebalancer, config, &decision, submission.swaps,
			   (double)(now_ns() - started) / EBB_NS_PER_SEC,
			   MAX(hold_s, snapshot.hold_s));
	}
	rebalance_decision_clear(&decision);
	rebalance_rules_clear(&rules);
	rebalance_snapshot_clear(&snapshot);
	return r;
}

int rebalancer_epoch(struct rebalancer *rebalancer, double now)
{
	struct model *model = rebalancer->model;
	_cleanup_json_ json_t *rule_docs = NULL;
	struct rebalance_config config;
	bool active;

	model_lock(model);
	config = model->rebalancer;
	active = model->leading && config.active;
	if (active)
		rule_docs = copy_rules(model);
	model_unlock(model);

	pthread_mutex_lock(&rebalancer->lock);
	rebalancer->stats.active = active;
	pthread_mutex_unlock(&rebalancer->lock);
	if (active && !rule_docs)
		return -ENOMEM;
	if (active) {
		/* A clock that was set back begins anew. */
		if (!rebalancer->remembers || now < rebalancer->since)
			rebalancer->since = now;
		rebalancer->remembers = true;
		return balance(rebalancer, &config, rule_docs, now);
	}
	if (rebalancer->remembers)
		rebalance_snapshot_forget(model);
	rebalancer->remembers = false;
	return 0;
}

double rebalancer_turn(void *userdata, double now)
{
	struct rebalancer *rebalancer = userdata;
	struct model *model = rebalancer->model;
	double period, at;
	bool active;
	int r = 0;

	model_lock(model);
	period = model->rebalancer.window_timelapse;
	active = model->leading && model->rebalancer.active;
	if (model->leading &&
	    (now - rebalancer->heartbeat >= HEARTBEAT_S || now < rebalancer->heartbeat)) {
		rebalancer->heartbeat = now;
		model_heartbeat_service(model, "rebalancer", now);
	}
	model_unlock(model);

	if (series_clock_strikes(&rebalancer->clock, period, now, &at) ||
	    active != rebalancer->remembers)
		r = rebalancer_epoch(rebalancer, now);
	if (r < 0)
		log_warning("rebalancer could not run: %s", strerror(-r));
	return rebalancer->clock.due;
}

int rebalancer_new(struct model *model, struct scaler *scaler, struct rebalancer **ret_rebalancer)
{
	struct rebalancer *rebalancer = calloc(1, sizeof(*rebalancer));

	if (!rebalancer)
		return -ENOMEM;
	rebalancer->model = model;
	rebalancer->scaler = scaler;
	pthread_mutex_init(&rebalancer->lock, NULL);
	model_lock(model);
	scaler_on_swapped(scaler, on_swapped, rebalancer);
	model_unlock(model);
	*ret_rebalancer = rebalancer;
	return 0;
}

void rebalancer_free(struct rebalancer *rebalancer)
{
	if (!rebalancer)
		return;
	/* Orders may still be under way. */
	model_lock(rebalancer->model);
	scaler_on_swapped(rebalancer->scaler, NULL, NULL);
	model_unlock(rebalancer->model);
	pthread_mutex_destroy(&rebalancer->lock);
	free(rebalancer);
}

void rebalancer_get_stats(struct rebalancer *rebalancer, struct rebalancer_stats *ret_stats)
{
	pthread_mutex_lock(&rebalancer->lock);
	*ret_stats = rebalancer->stats;
	pthread_mutex_unlock(&rebalancer->lock);
}
