/* SPDX-License-Identifier: Apache-2.0 */
#include "aggregate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "member_sums.h"
#include "model_walk.h"
#include "ebb/cleanup.h"

/* `disk` is a resource of documents, but none that is guarded. */
#define DISK     EBB_RESOURCE_MAX
#define N_TOTALS (EBB_RESOURCE_MAX + 1)

struct total {
	char *name;
	bool empty;            /* its list names nobody */
	double sums[N_TOTALS]; /* NAN: no value */
};

/* Those of the applications, or of the users. */
struct totals {
	struct total *items;
	size_t n, room;
	struct name_index *index;
};

struct run {
	const struct aggregate *aggregate;
	struct model *model;
	struct totals applications, users;
	struct aggregate_result result;
};

static const char *resource_name(int resource)
{
	return resource == DISK ? "disk" : ebb_resource_name(resource);
}

static void totals_clear(struct totals *totals)
{
	for (size_t i = 0; i < totals->n; i++)
		free(totals->items[i].name);
	free(totals->items);
	if (totals->index)
		name_index_free(totals->index);
}

static void add(double *sum, double value)
{
	if (!isnan(value))
		*sum = isnan(*sum) ? value : *sum + value;
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

/* --- pieces of the run; each walk holds the lock for a moment at a time --- */

/* What `parent` has, from here on. Lock held. */
static int begin(struct run *run, struct totals *totals, const struct structure *parent)
{
	const char *list = parent->subtype == STRUCTURE_USER ? "clusters" : "containers";
	struct total *total;

	if (totals->n == totals->room) {
		size_t room = MAX(2 * totals->room, (size_t)16);
		struct total *grown = reallocarray(totals->items, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		totals->items = grown;
		totals->room = room;
	}
	total = &totals->items[totals->n];
	*total = (struct total){
		.name = strdup(parent->name),
		.empty = json_array_size(json_object_get(parent->doc, list)) == 0 &&
			 !hierarchy_first(parent),
	};
	if (!total->name)
		return -ENOMEM;
	for (int r = 0; r < N_TOTALS; r++)
		total->sums[r] = total->empty && run->aggregate->empty_is_zero &&
						 run->aggregate->resources & 1u << r
					 ? 0
					 : NAN;
	totals->n++;
	return 0;
}

/* Names move while the array grows: they are indexed at the end. */
static int index_totals(struct totals *totals)
{
	int r = 0;

	totals->index = name_index_new();
	if (!totals->index)
		return -ENOMEM;
	for (size_t i = 0; i < totals->n && r >= 0; i++) {
		struct total *total = &totals->items[i];

		r = name_index_add(totals->index, total->name, total);
		/* It went and came back within the walk. */
		if (r == -EEXIST) {
			free(TAKE_PTR(total->name));
			r = 0;
		}
	}
	return r;
}

static int begin_all(struct run *run, struct totals *totals, struct model_walk *walk)
{
	struct structure *s;
	int r = 0;

	while (r >= 0 && model_walk_piece(walk)) {
		while (r >= 0 && (s = model_walk_next(walk)))
			if (structure_is_parent(s))
				r = begin(run, totals, s);
		model_walk_release(walk);
	}
	run->result.hold_s = MAX(run->result.hold_s, walk->hold.longest_s);
	return r >= 0 ? index_totals(totals) : r;
}

/* What each container has goes to its application. */
static void add_containers(struct run *run)
{
	const struct aggregate *aggregate = run->aggregate;
	struct structure *s;
	struct model_walk walk;

	model_walk_begin(&walk, run->model);
	while (model_walk_piece(&walk)) {
		while ((s = model_walk_next(&walk))) {
			const struct structure *parent =
				s->subtype == STRUCTURE_CONTAINER ? hierarchy_parent(s) : NULL;
			struct total *total =
				parent ? name_index_get(run->applications.index, parent->name)
				       : NULL;

			if (!total)
				continue;
			run->result.containers++;
			for (int r = 0; r < EBB_RESOURCE_MAX; r++)
				if (aggregate->resources & 1u << r)
					add(&total->sums[r],
					    aggregate->of_container(aggregate->userdata, s, r));
		}
		model_walk_release(&walk);
	}
	run->result.hold_s = MAX(run->result.hold_s, walk.hold.longest_s);
}

/* The guardian keeps it up to date itself, and leaves the writing to us. */
static bool follows_members(const struct run *run, const struct structure *s)
{
	return is_current(run->aggregate) && s->guard && s->guard_state &&
	       run->model->guardian.guarded & 1u << s->subtype;
}

static void write_total(struct run *run, struct structure *s, const struct total *total)
{
	json_t *resources = json_object_get(s->doc, "resources");
	bool changed = is_current(run->aggregate) && s->sums->unwritten;

	s->sums->unwritten &= !changed;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		double sum = total->sums[r];
		int64_t current;

		if (!is_set(run->aggregate, r) || !s->resources[r].present)
			continue;
		if (follows_members(run, s) && members_current(s, r, &current))
			sum = (double)current;
		changed |= set_state(run->aggregate, &s->resources[r], sum);
	}
	if (is_set(run->aggregate, DISK))
		changed |=
			set_member(run->aggregate, json_object_get(resources, resource_name(DISK)),
				   total->sums[DISK]);
	if (!changed)
		return;
	model_touch(run->model, s, MODEL_DIRTY_STRUCTURE);
	run->result.changed++;
}

static void add_to_user(struct run *run, const struct structure *application,
			const struct total *of)
{
	const struct structure *user = hierarchy_parent(application);
	struct total *total = user ? name_index_get(run->users.index, user->name) : NULL;

	for (int r = 0; total && r < EBB_RESOURCE_MAX; r++)
		add(&total->sums[r], of->sums[r]);
}

/* Writes what was summed, of applications on to their users. */
static void finish_all(struct run *run, struct totals *totals, bool users, bool write)
{
	struct model_hold hold = {.model = run->model};
	size_t at = 0;

	while (at < totals->n) {
		model_hold_begin(&hold);
		do {
			struct total *total = &totals->items[at++];
			struct structure *s = NULL;

			if (total->name)
				s = users ? model_user(run->model, total->name)
					  : model_structure(run->model, total->name);
			if (!s || !structure_is_parent(s))
				continue;
			finish_total(run->aggregate, total);
			/* Who leads no more follows what another writes. */
			if (write && run->model->leading)
				write_total(run, s, total);
			if (!users && run->aggregate->users)
				add_to_user(run, s, total);
			*(users ? &run->result.users : &run->result.applications) += 1;
		} while (at < totals->n && !model_hold_is_over(&hold));
		model_hold_end(&hold);
	}
	run->result.hold_s = MAX(run->result.hold_s, hold.longest_s);
}

int aggregate_run(struct model *model, const struct aggregate *aggregate,
		  struct aggregate_result *ret_result)
{
	struct run run = {.aggregate = aggregate, .model = model};
	struct model_walk walk;
	int r;

	model_walk_begin(&walk, model);
	r = begin_all(&run, &run.applications, &walk);
	if (r >= 0 && aggregate->users) {
		model_walk_begin_users(&walk, model);
		r = begin_all(&run, &run.users, &walk);
	}
	if (r >= 0) {
		add_containers(&run);
		finish_all(&run, &run.applications, false, aggregate->applications);
		finish_all(&run, &run.users, true, aggregate->users);
	}
	totals_clear(&run.applications);
	totals_clear(&run.users);
	if (r < 0)
		return r;
	*ret_result = run.result;
	return 0;
}
