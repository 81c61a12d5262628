/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_walk.h"
#include "ebb/cleanup.h"

/* `disk` is a resource of documents, but none that is guarded. */
#define DISK     EBB_RESOURCE_MAX
#define N_TOTALS (EBB_RESOURCE_MAX + 1)

struct total {
	char *name;
	double sums[N_TOTALS]; /* NAN: no value */
	size_t counted_for;    /* number of the user that it was added to last */
};

struct run {
	const struct aggregate *aggregate;
	struct model_hold hold;
	struct total *applications; /* by name */
	size_t n_applications, room;
	struct aggregate_result result;
};

static const char *resource_name(int resource)
{
	return resource == DISK ? "disk" : ebb_resource_name(resource);
}

static void totals_clear(struct total *totals, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(totals[i].name);
	free(totals);
}

static int add_name(struct run *run, const char *name)
{
	if (run->n_applications == run->room) {
		size_t room = MAX(2 * run->room, (size_t)16);
		struct total *grown = reallocarray(run->applications, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		run->applications = grown;
		run->room = room;
	}
	run->applications[run->n_applications] = (struct total){.name = strdup(name)};
	if (!run->applications[run->n_applications].name)
		return -ENOMEM;
	run->n_applications++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct total *)a)->name, ((const struct total *)b)->name);
}

static int list_applications(struct run *run)
{
	struct structure *structure;
	struct model_walk walk;
	int r = 0;

	model_walk_begin(&walk, run->hold.model);
	while (model_walk_piece(&walk)) {
		while (r >= 0 && (structure = model_walk_next(&walk)))
			if (structure->subtype == STRUCTURE_APPLICATION)
				r = add_name(run, structure->name);
		model_walk_release(&walk);
		if (r < 0)
			return r;
	}
	run->hold.longest_s = walk.hold.longest_s;
	if (run->n_applications)
		qsort(run->applications, run->n_applications, sizeof(struct total), by_name);
	return 0;
}

static void add(double *sum, double value)
{
	if (!isnan(value))
		*sum = isnan(*sum) ? value : *sum + value;
}

static void begin_total(const struct aggregate *aggregate, struct total *total, bool empty)
{
	for (int r = 0; r < N_TOTALS; r++)
		total->sums[r] = empty && aggregate->empty_is_zero && aggregate->resources & 1u << r
					 ? 0
					 : NAN;
}

static void finish_total(const struct aggregate *aggregate, struct total *total)
{
	const unsigned both = 1u << EBB_DISK_READ | 1u << EBB_DISK_WRITE;

	total->sums[DISK] = NAN;
	if ((aggregate->resources & both) != both)
		return;
	add(&total->sums[DISK], total->sums[EBB_DISK_READ]);
	add(&total->sums[DISK], total->sums[EBB_DISK_WRITE]);
}

static bool is_set(const struct aggregate *aggregate, int resource)
{
	const unsigned both = 1u << EBB_DISK_READ | 1u << EBB_DISK_WRITE;

	if (aggregate->exclusive)
		return true;
	if (resource == DISK)
		return (aggregate->resources & both) == both;
	return aggregate->resources & 1u << resource;
}

static bool is_current(const struct aggregate *aggregate)
{
	return strcmp(aggregate->field, "current") == 0;
}

/* Limits are whole; of usage more than hundredths is noise that would be written each time. */
static double rounded(const struct aggregate *aggregate, double sum)
{
	return is_current(aggregate) ? round(sum) : round(sum * 100) / 100;
}

/* The field of a resource in a document. True: it changed. */
static bool set_member(const struct aggregate *aggregate, json_t *resource, double sum)
{
	const json_t *before = json_object_get(resource, aggregate->field);
	double value = rounded(aggregate, sum);

	if (!json_is_object(resource) || (isnan(sum) && !before) ||
	    (json_is_number(before) && json_number_value(before) == value))
		return false;
	if (isnan(sum))
		json_object_del(resource, aggregate->field);
	else
		json_object_set_new(resource, aggregate->field,
				    is_current(aggregate) ? json_integer((json_int_t)value)
							  : json_real(value));
	return true;
}

/* The same where the resource has a type. */
static bool set_state(const struct aggregate *aggregate, struct resource_state *state, double sum)
{
	double value = rounded(aggregate, sum);

	if (is_current(aggregate)) {
		int64_t before = state->current;

		state->current = isnan(sum) ? -1 : (int64_t)value;
		return state->current != before;
	}
	if (isnan(sum) ? isnan(state->usage) : state->usage == value)
		return false;
	state->usage = value;
	return true;
}

static void write_application(struct run *run, struct structure *application,
			      const struct total *total)
{
	json_t *resources = json_object_get(application->doc, "resources");
	bool changed = false;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (is_set(run->aggregate, r) && application->resources[r].present)
			changed |= set_state(run->aggregate, &application->resources[r],
					     total->sums[r]);
	if (is_set(run->aggregate, DISK))
		changed |=
			set_member(run->aggregate, json_object_get(resources, resource_name(DISK)),
				   total->sums[DISK]);
	if (!changed)
		return;
	model_touch(run->hold.model, application, MODEL_DIRTY_STRUCTURE);
	run->result.changed++;
}

static void add_container(struct run *run, struct total *total, const char *name,
			  unsigned long visit)
{
	const struct aggregate *aggregate = run->aggregate;
	struct structure *container = name ? model_structure(run->hold.model, name) : NULL;

	/* One that is named twice is still one. */
	if (!container || container->subtype != STRUCTURE_CONTAINER || container->visited == visit)
		return;
	container->visited = visit;
	run->result.containers++;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		if (aggregate->resources & 1u << r)
			add(&total->sums[r],
			    aggregate->of_container(aggregate->userdata, container, r));
}

static void sum_application(struct run *run, struct total *total)
{
	struct model *model = run->hold.model;
	unsigned long visit = 0;
	size_t at = 0, n;

	do {
		struct structure *application;
		const json_t *containers;

		model_hold_begin(&run->hold);
		application = model_structure(model, total->name);
		if (!application || application->subtype != STRUCTURE_APPLICATION) {
			model_hold_end(&run->hold);
			begin_total(run->aggregate, total, false);
			return;
		}
		containers = json_object_get(application->doc, "containers");
		n = json_array_size(containers);
		if (!visit) {
			visit = ++model->visits;
			begin_total(run->aggregate, total, n == 0);
		}
		while (at < n && !model_hold_is_over(&run->hold))
			add_container(run, total,
				      json_string_value(json_array_get(containers, at++)), visit);
		if (at >= n) {
			finish_total(run->aggregate, total);
			if (run->aggregate->applications && model->leading)
				write_application(run, application, total);
		}
		model_hold_end(&run->hold);
	} while (at < n);
	run->result.applications++;
}

/* --- users --- */

static void write_user(struct run *run, const char *name, json_t *user, const struct total *total)
{
	json_t *resources = json_object_get(user, "resources");
	bool changed = false;

	for (int r = 0; r < N_TOTALS; r++)
		if (is_set(run->aggregate, r))
			changed |= set_member(run->aggregate,
					      json_object_get(resources, resource_name(r)),
					      total->sums[r]);
	if (!changed)
		return;
	model_put_user(run->hold.model, name);
	run->result.changed++;
}

static void add_application(struct run *run, struct total *total, const char *name, size_t number)
{
	const struct total wanted = {.name = (char *)name};
	struct total *application;

	if (!name || !run->n_applications)
		return;
	application =
		bsearch(&wanted, run->applications, run->n_applications, sizeof(wanted), by_name);
	if (!application || application->counted_for == number)
		return;
	application->counted_for = number;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		add(&total->sums[r], application->sums[r]);
}

static void sum_user(struct run *run, const char *name, size_t number)
{
	struct total total;
	size_t at = 0, n;

	do {
		const json_t *clusters;
		json_t *user;

		model_hold_begin(&run->hold);
		user = json_object_get(run->hold.model->users, name);
		clusters = json_object_get(user, "clusters");
		n = json_array_size(clusters);
		if (at == 0)
			begin_total(run->aggregate, &total, n == 0);
		while (at < n && !model_hold_is_over(&run->hold))
			add_application(run, &total,
					json_string_value(json_array_get(clusters, at++)), number);
		if (at >= n) {
			finish_total(run->aggregate, &total);
			/* Who leads no more follows what another writes. */
			if (run->hold.model->leading)
				write_user(run, name, user, &total);
		}
		model_hold_end(&run->hold);
	} while (at < n);
	run->result.users++;
}

static int sum_users(struct run *run)
{
	_cleanup_free_ char *name = NULL;
	size_t number = 0;

	for (;;) {
		json_t *users;
		void *iter;

		model_hold_begin(&run->hold);
		users = run->hold.model->users;
		/* When the last one has been deleted meanwhile, the others wait for the next run.
		 */
		iter = name ? json_object_iter_next(users, json_object_iter_at(users, name))
			    : json_object_iter(users);
		free(name);
		name = iter ? strdup(json_object_iter_key(iter)) : NULL;
		model_hold_end(&run->hold);
		if (!name)
			return iter ? -ENOMEM : 0;
		sum_user(run, name, ++number);
	}
}

int aggregate_run(struct model *model, const struct aggregate *aggregate,
		  struct aggregate_result *ret_result)
{
	struct run run = {.aggregate = aggregate, .hold = {.model = model}};
	int r;

	r = list_applications(&run);
	for (size_t i = 0; r >= 0 && i < run.n_applications; i++)
		sum_application(&run, &run.applications[i]);
	if (r >= 0 && aggregate->users)
		r = sum_users(&run);
	totals_clear(run.applications, run.n_applications);
	if (r < 0)
		return r;
	run.result.hold_s = run.hold.longest_s;
	*ret_result = run.result;
	return 0;
}
