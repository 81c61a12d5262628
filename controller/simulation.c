/* SPDX-License-Identifier: Apache-2.0 */
#include "simulation.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guarding.h"
#include "hierarchy.h"
#include "member_sums.h"
#include "rebalancer.h"
#include "request_document.h"
#include "scaler_plan.h"
#include "simulation_private.h"
#include "ebb/cleanup.h"

/* Of all decisions only the newest are asked for: each is told as it is made. */
#define DECISIONS_KEPT 1
/* A monotonic clock of 0 says that the time is not known. */
#define BOOT_S 1000.0
/* Of a first sample, whose interval nobody knows. */
#define FIRST_SECONDS 1.0
#define AMOUNT_MAX    1e15
/* A limit that changes at the very moment of a sample: the interval is not nothing. */
#define LEAST_SECONDS 0.0005
/* Between samples of the same moment: the guardian counts in milliseconds. */
#define TICK_S 0.001
/* What an agent leaves above the memory that is used, MiB and of that (agent/shrink.c). */
#define FLOOR_MARGIN_MIB 16
#define FLOOR_MARGIN     0.05

static double virtual_wall(void *userdata)
{
	const struct simulation *sim = userdata;

	return sim->now;
}

static uint64_t virtual_ns(void *userdata)
{
	const struct simulation *sim = userdata;

	return (uint64_t)llround((sim->now + BOOT_S) * 1e9);
}

/* --- what may have changed --- */

static void list(struct simulation *sim, struct simulated *one)
{
	if (!one || one->listed)
		return;
	one->listed = true;
	one->next_listed = sim->listed;
	sim->listed = one;
}

static struct simulated *simulated(const struct simulation *sim, const struct structure *s)
{
	bool user = s->subtype == STRUCTURE_USER;
	struct simulated *one = name_index_get(user ? sim->user_index : sim->index, s->name);

	return one && one->structure == s ? one : NULL;
}

static void on_changed(void *userdata, struct structure *structure)
{
	struct simulation *sim = userdata;

	list(sim, simulated(sim, structure));
}

static int by_name(const void *a, const void *b)
{
	const struct simulated *x = *(struct simulated *const *)a;
	const struct simulated *y = *(struct simulated *const *)b;

	return strcmp(x->structure->name, y->structure->name);
}

static void tell_listed(struct simulation *sim)
{
	_cleanup_free_ struct simulated **changed = NULL;
	size_t n = 0;

	for (struct simulated *one = sim->listed; one; one = one->next_listed)
		n++;
	if (!n)
		return;
	changed = calloc(n, sizeof(struct simulated *));
	if (!changed) {
		sim->error = -ENOMEM;
		return;
	}
	n = 0;
	for (struct simulated *one = sim->listed; one; one = one->next_listed) {
		one->listed = false;
		changed[n++] = one;
	}
	sim->listed = NULL;
	qsort(changed, n, sizeof(struct simulated *), by_name);
	for (size_t i = 0; i < n; i++)
		simulation_tell_limits(sim, changed[i]);
}

/* --- the observers --- */

static void on_fired(void *userdata, struct structure *structure, const struct rule *rule)
{
	struct simulation *sim = userdata;
	struct simulated *one = simulated(sim, structure);

	/* What the event was decided on comes first. */
	if (one)
		simulation_tell_limits(sim, one);
	simulation_tell_event(sim, structure, rule);
}

static bool heap_add(struct simulation *sim, double at)
{
	size_t i = sim->n_expiries;

	if (i == sim->expiries_room) {
		size_t room = MAX(2 * sim->expiries_room, (size_t)16);
		double *more = reallocarray(sim->expiries, room, sizeof(*more));

		if (!more)
			return false;
		sim->expiries = more;
		sim->expiries_room = room;
	}
	sim->n_expiries++;
	for (; i > 0 && sim->expiries[(i - 1) / 2] > at; i = (i - 1) / 2)
		sim->expiries[i] = sim->expiries[(i - 1) / 2];
	sim->expiries[i] = at;
	return true;
}

static void heap_take(struct simulation *sim)
{
	double last = sim->expiries[--sim->n_expiries];
	size_t n = sim->n_expiries, i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < n && sim->expiries[child + 1] < sim->expiries[child])
			child++;
		if (child >= n || sim->expiries[child] >= last)
			break;
		sim->expiries[i] = sim->expiries[child];
		i = child;
	}
	sim->expiries[i] = last;
}

static void on_requested(void *userdata, const struct request *request)
{
	struct simulation *sim = userdata;
	double step = sim->model->scaler.polling_frequency;
	double over = request->timestamp + sim->model->scaler.request_timeout;

	/* The scaler looks every so often, so that is when it finds out. */
	if (!heap_add(sim, fmax((floor(over / step) + 1) * step, sim->now)))
		sim->error = -ENOMEM;
	if (strcmp(request->origin, "scenario") != 0)
		simulation_tell_request(sim, request);
}

static void on_decision(void *userdata, const struct decision *decision)
{
	simulation_tell_operation(userdata, decision);
}

/* --- orders --- */

static int submit(void *userdata, struct order *order)
{
	struct simulation *sim = userdata;
	struct simulated_order *mine = calloc(1, sizeof(*mine));

	if (!mine)
		return -ENOMEM;
	mine->order = *order;
	*sim->last_order = mine;
	sim->last_order = &mine->next;
	return 0;
}

static void order_clear(struct order *order)
{
	free(order->address);
	free(order->container);
	json_decref(order->body);
}

/*
 * What an agent would leave a container with: no less memory than it needs, as far as that is
 * known. NULL: no memory.
 */
static json_t *in_force(const struct order *order, const struct structure *s)
{
	double usage = s ? s->resources[EBB_MEM].usage : NAN, limit;
	json_t *resources = json_deep_copy(order->body);
	json_t *mem = json_object_get(resources, "mem");
	int64_t asked, before = s ? s->physical[EBB_MEM] : -1;

	if (!isfinite(usage) || scaler_body_limit(resources, EBB_MEM, &asked) < 0 || asked < 0 ||
	    (before >= 0 && asked >= before))
		return resources;
	limit = ceil(usage + fmax(FLOOR_MARGIN_MIB, usage * FLOOR_MARGIN));
	if (before >= 0)
		limit = fmin(limit, (double)before);
	if (limit > (double)asked &&
	    json_object_set_new(mem, "mem_limit", json_integer((json_int_t)limit)) < 0) {
		json_decref(resources);
		return NULL;
	}
	return resources;
}

/* Those above it have other limits now, too. */
static void parents_follow(struct simulation *sim, struct structure *s, unsigned resources)
{
	model_lock(sim->model);
	while ((s = hierarchy_parent(s))) {
		struct simulated *one = simulated(sim, s);

		for (int r = 0; one && r < EBB_RESOURCE_MAX; r++)
			if (resources & 1u << r)
				one->changed_at[r] = sim->now;
		guarding_members_changed(sim->model, s, sim->now + BOOT_S);
	}
	model_unlock(sim->model);
}

/* Applied at once, and in full as far as memory that is used allows. */
static void carry_out(struct simulation *sim, struct order *order)
{
	struct simulated *one = name_index_get(sim->index, order->container);
	_cleanup_json_ json_t *resources = in_force(order, one ? one->structure : NULL);
	struct order_result result = {
		.ok = resources != NULL,
		.status = resources ? 201 : 500,
		.resources = resources,
		.applied_ns = virtual_ns(sim),
	};
	unsigned changed = 0;

	if (!resources)
		sim->error = -ENOMEM;
	for (int r = 0; one && r < EBB_RESOURCE_MAX; r++) {
		if (!json_object_get(order->body, ebb_resource_name(r)))
			continue;
		one->changed_at[r] = sim->now;
		changed |= 1u << r;
	}
	simulation_note_applied(sim, order->container, resources);
	scaler_order_done(sim->scaler, order->userdata, &result);
	if (one)
		parents_follow(sim, one->structure, changed);
}

/* What was put into the model is planned, ordered, done, and planned again. */
static void work(struct simulation *sim)
{
	model_lock(sim->model);
	guarding_samples_in(sim->model, sim->scaler, &sim->guardian);
	scaler_run(sim->scaler);
	model_unlock(sim->model);
	while (sim->orders) {
		struct simulated_order *mine = sim->orders;

		sim->orders = mine->next;
		if (!sim->orders)
			sim->last_order = &sim->orders;
		carry_out(sim, &mine->order);
		order_clear(&mine->order);
		free(mine);
		/* Those of an operation come when all of it is done. */
		if (!json_array_size(sim->applied))
			tell_listed(sim);
	}
	simulation_tell_left(sim);
	tell_listed(sim);
}

/* --- samples --- */

static void take(struct simulation *sim, struct simulated *one, const struct guard_sample *sample)
{
	struct sample_times times = {
		.sampled_ns = virtual_ns(sim),
		.received_ns = virtual_ns(sim),
		.host_ns = virtual_ns(sim),
	};

	model_lock(sim->model);
	guarding_take_sample(sim->model, sim->scaler, one->structure, &sim->guardian, sample,
			     &times);
	model_unlock(sim->model);
}

static struct guard_sample sample_at(double at, double seconds)
{
	struct guard_sample sample = {
		.at = at + BOOT_S,
		.seconds = seconds,
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.usage[r] = sample.pressure[r] = NAN;
	return sample;
}

/* It tells of the time since the sample before it, and since the last change of a limit: it was
 * measured under that. */
static void take_sample(struct simulation *sim, const struct simulated_usage *usage)
{
	struct simulated *one = usage->of;
	double since = one->sampled_at;
	struct guard_sample sample;

	if (isnan(since))
		since = usage->at - FIRST_SECONDS;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		since = fmax(since, one->changed_at[r]);
	/* A second one of the same moment tells of the same time; the guardian takes what has the
	 * same time for the same sample. */
	if (one->sampled_at != usage->at)
		one->seconds = CLAMP(usage->at - since, LEAST_SECONDS, sim->longest);
	one->told_at = usage->at > one->told_at ? usage->at : one->told_at + TICK_S;
	one->sampled_at = usage->at;
	sample = sample_at(one->told_at, one->seconds);
	sample.valid = usage->valid;
	memcpy(sample.usage, usage->usage, sizeof(sample.usage));
	sample.throttled = usage->throttled;
	sample.held_back = usage->held_back;
	take(sim, one, &sample);
}

static void add_to_window(struct simulation *sim, const struct simulated_usage *usage)
{
	struct simulated *one = usage->of;

	if (!one->in_window) {
		memset(one->sum, 0, sizeof(one->sum));
		memset(one->count, 0, sizeof(one->count));
		one->in_window = true;
	}
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		if (!(usage->valid & 1u << r))
			continue;
		one->sum[r] += usage->usage[r];
		one->count[r]++;
	}
}

/* What was measured before a limit changed says nothing about the new one. */
static bool tells_of_limit(const struct simulation *sim, const struct simulated *one, int resource)
{
	double end = sim->now - sim->delay;
	double begin = resource == EBB_MEM ? end : end - sim->window;

	return begin >= one->changed_at[resource] - 1e-6;
}

static void take_window(struct simulation *sim, struct simulated *one)
{
	struct guard_sample sample =
		sample_at(sim->now - sim->delay, MIN(sim->window, sim->longest));

	one->in_window = false;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		if (!one->count[r] || !tells_of_limit(sim, one, r))
			continue;
		sample.valid |= 1u << r;
		sample.usage[r] = one->sum[r] / one->count[r];
	}
	take(sim, one, &sample);
}

static size_t evaluate(struct simulation *sim, size_t first)
{
	size_t end = first;

	for (; end < sim->n_usages && sim->usages[end].due == sim->now; end++) {
		if (sim->by_window)
			add_to_window(sim, &sim->usages[end]);
		else
			take_sample(sim, &sim->usages[end]);
		if (!sim->by_window)
			tell_listed(sim);
	}
	for (size_t i = first; sim->by_window && i < end; i++) {
		if (sim->usages[i].of->in_window)
			take_window(sim, sim->usages[i].of);
		tell_listed(sim);
	}
	return end;
}

/* --- requests --- */

static void refuse(struct simulation *sim, const json_t *doc, const char *error)
{
	const char *text = json_string_value(json_object_get(doc, "structure"));
	const char *type = json_string_value(json_object_get(doc, "structure_type"));
	const struct simulated *one = simulation_find(sim, text, type);
	struct decision decision;
	double amount = 0;

	decision_init(&decision);
	snprintf(decision.structure, sizeof(decision.structure), "%s", text);
	snprintf(decision.origin, sizeof(decision.origin), "scenario");
	snprintf(decision.outcome, sizeof(decision.outcome), "refused");
	snprintf(decision.reason, sizeof(decision.reason), "%s", error ? error : "no memory");
	decision.resource =
		ebb_resource_from_name(json_string_value(json_object_get(doc, "resource")));
	(void)json_to_double(json_object_get(doc, "amount"), &amount);
	decision.requested = (int64_t)CLAMP(amount, -AMOUNT_MAX, AMOUNT_MAX);
	text = json_string_value(json_object_get(doc, "field"));
	if (text)
		snprintf(decision.field, sizeof(decision.field), "%s", text);
	text = json_string_value(json_object_get(doc, "pair_structure"));
	if (text)
		snprintf(decision.pair, sizeof(decision.pair), "%s", text);
	if (one) {
		const struct structure *s = one->structure;
		const struct resource_state *state = &s->resources[decision.resource];

		snprintf(decision.host, sizeof(decision.host), "%s", s->host_name ?: "");
		snprintf(decision.subtype, sizeof(decision.subtype), "%s",
			 structure_subtype_name(s->subtype));
		decision.usage = state->usage;
		decision.throttled = s->throttled;
		decision.current = state->current;
		if (structure_is_parent(s))
			(void)members_current(s, decision.resource, &decision.current);
		decision.upper = state->upper;
		decision.lower = state->lower;
		decision.min = state->min;
		decision.max = state->max;
	}
	simulation_tell_operation(sim, &decision);
}

static void ask(struct simulation *sim, const struct simulated_request *asked)
{
	_cleanup_json_ json_t *doc = json_copy((json_t *)asked->doc);
	_cleanup_free_ char *error = NULL;
	struct request request;
	int r;

	if (!doc || json_object_set_new(doc, "timestamp", json_real(asked->timestamp)) < 0) {
		sim->error = -ENOMEM;
		return;
	}
	model_lock(sim->model);
	/* One that is too old is refused by the scaler, as all that expire are. */
	r = request_from_document(sim->model, doc, asked->timestamp, &request, &error);
	if (r >= 0) {
		snprintf(request.origin, sizeof(request.origin), "scenario");
		r = scaler_request(sim->scaler, &request);
	}
	model_unlock(sim->model);
	if (r < 0)
		refuse(sim, asked->doc, error ? error : strerror(-r));
}

/* --- the run --- */

/* When something happens next; INFINITY: nothing does any more. */
static double next_time(const struct simulation *sim, size_t usage, size_t request)
{
	double at = INFINITY;

	if (usage < sim->n_usages)
		at = sim->usages[usage].due;
	if (request < sim->n_requests)
		at = fmin(at, sim->requests[request].at);
	if (sim->n_expiries)
		at = fmin(at, sim->expiries[0]);
	return fmin(at, sim->rebalance_due);
}

/* From the beginning on, so that it has measured something when its first epoch is due. */
static void rebalance(struct simulation *sim)
{
	sim->rebalance_due = sim->model->rebalancer.active
				     ? rebalancer_turn(sim->rebalancer, sim->now)
				     : INFINITY;
}

int simulation_run(struct simulation *sim, simulation_line_fn line, void *userdata)
{
	size_t usage = 0, request = 0;
	double at;

	sim->line = line;
	sim->line_userdata = userdata;
	sim->rebalance_due = INFINITY;
	/* Its epochs are the whole multiples of its window, with what was measured since then. */
	sim->now = floor(sim->begin / sim->model->rebalancer.window_timelapse) *
		   sim->model->rebalancer.window_timelapse;
	rebalance(sim);
	sim->now = fmin(sim->begin, sim->until);
	for (size_t i = 0; i < sim->n_structures; i++)
		list(sim, &sim->structures[i]);
	tell_listed(sim);
	work(sim);
	while (sim->error == 0 && (at = next_time(sim, usage, request)) <= sim->until) {
		sim->now = at;
		while (sim->n_expiries && sim->expiries[0] <= at)
			heap_take(sim);
		usage = evaluate(sim, usage);
		for (; request < sim->n_requests && sim->requests[request].at == at; request++)
			ask(sim, &sim->requests[request]);
		work(sim);
		if (sim->rebalance_due <= at) {
			rebalance(sim);
			work(sim);
		}
	}
	sim->now = sim->until;
	if (sim->error == 0)
		simulation_tell_final(sim);
	return sim->error;
}

int simulation_new(const json_t *scenario, struct simulation **ret_simulation, char **ret_error)
{
	struct simulation *sim = calloc(1, sizeof(*sim));
	int r;

	if (!sim)
		return fail_with(-ENOMEM, ret_error, "out of memory");
	sim->last_order = &sim->orders;
	sim->time = (struct timebase){virtual_wall, virtual_ns, sim};
	sim->observer = (struct model_observer){on_changed, on_requested, sim};
	sim->guard_observer = (struct guard_observer){on_fired, sim};
	sim->scenario = json_deep_copy(scenario);
	sim->ignored = json_object();
	sim->applied = json_array();
	sim->index = name_index_new();
	sim->user_index = name_index_new();
	r = sim->scenario && sim->ignored && sim->applied && sim->index && sim->user_index
		    ? model_new(NULL, &sim->model)
		    : -ENOMEM;
	if (r >= 0) {
		sim->model->time = &sim->time;
		r = audit_new(NULL, DECISIONS_KEPT, &sim->audit);
	}
	if (r >= 0)
		r = scaler_new(sim->model, sim->audit, &sim->scaler);
	if (r >= 0)
		r = rebalancer_new(sim->model, sim->scaler, &sim->rebalancer);
	if (r >= 0) {
		model_lock(sim->model);
		r = simulation_load(sim, ret_error);
		model_unlock(sim->model);
	} else {
		fail_with(r, ret_error, "out of memory");
	}
	if (r < 0) {
		simulation_free(sim);
		return r;
	}
	sim->model->observer = &sim->observer;
	sim->guardian.observer = &sim->guard_observer;
	sim->guardian.exact = true;
	scaler_set_sink(sim->scaler, (struct order_sink){submit, sim});
	audit_observe(sim->audit, on_decision, sim);
	*ret_simulation = sim;
	return 0;
}

void simulation_free(struct simulation *sim)
{
	if (!sim)
		return;
	while (sim->orders) {
		struct simulated_order *mine = sim->orders;

		sim->orders = mine->next;
		order_clear(&mine->order);
		free(mine);
	}
	rebalancer_free(sim->rebalancer);
	scaler_free(sim->scaler);
	audit_free(sim->audit);
	if (sim->model)
		model_free(sim->model);
	if (sim->index)
		name_index_free(sim->index);
	if (sim->user_index)
		name_index_free(sim->user_index);
	free(sim->structures);
	free(sim->usages);
	free(sim->requests);
	free(sim->expiries);
	json_decref(sim->scenario);
	json_decref(sim->ignored);
	json_decref(sim->applied);
	free(sim);
}
