/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshoter_database.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_walk.h"
#include "ebb/cleanup.h"
#include "ebb/tsdb.h"

/* What one hold of the lock copies, at most. */
#define ROWS        256
#define NAMES_BYTES (ROWS * 64)
#define POINTS      8192
#define NAME_SIZE   256

/* `disk` is a resource of documents, but none that is guarded. */
#define DISK        EBB_RESOURCE_MAX
#define N_RESOURCES (EBB_RESOURCE_MAX + 1)

enum group { GROUP_STRUCTURE, GROUP_LIMIT, N_GROUPS };

#define METRICS          (N_GROUPS * N_RESOURCES * SERIES_FIELDS_MAX)
#define POINTS_OF_ONE    METRICS
#define METRIC_NAME_SIZE 64

/* Fields that have a type; the others are looked up in the document. */
enum field {
	FIELD_MAX,
	FIELD_MIN,
	FIELD_CURRENT,
	FIELD_USAGE,
	FIELD_FREE,
	FIELD_WEIGHT,
	FIELD_ALLOCATED,
	FIELD_UPPER,
	FIELD_LOWER,
	FIELD_BOUNDARY,
	FIELD_OTHER,
};
static const char *const field_names[] = {
	[FIELD_MAX] = "max",
	[FIELD_MIN] = "min",
	[FIELD_CURRENT] = "current",
	[FIELD_USAGE] = "usage",
	[FIELD_FREE] = "free",
	[FIELD_WEIGHT] = "weight",
	[FIELD_ALLOCATED] = "allocated",
	[FIELD_UPPER] = "upper",
	[FIELD_LOWER] = "lower",
	[FIELD_BOUNDARY] = "boundary",
};

struct row {
	uint32_t name; /* offset */
	uint32_t n_points;
};

struct run {
	struct model *model;
	const struct snapshoter_database_config *config;
	int64_t timestamp;
	series_sink_fn sink;
	void *userdata;
	enum field fields[SERIES_FIELDS_MAX];
	char metrics[METRICS][METRIC_NAME_SIZE];

	struct row rows[ROWS];
	size_t n_rows, n_points, names_len;
	char names[NAMES_BYTES];
	struct series_point points[POINTS];

	struct snapshoter_database_result result;
};

static const char *resource_name(int resource)
{
	return resource == DISK ? "disk" : ebb_resource_name(resource);
}

static void name_metrics(struct run *run)
{
	static const char *const groups[N_GROUPS] = {"structure", "limit"};

	for (int g = 0; g < N_GROUPS; g++)
		for (int r = 0; r < N_RESOURCES; r++)
			for (unsigned f = 0; f < run->config->n_fields; f++)
				snprintf(
					run->metrics[(g * N_RESOURCES + r) * SERIES_FIELDS_MAX + f],
					METRIC_NAME_SIZE, "%s.%s.%s", groups[g], resource_name(r),
					run->config->fields[f]);
	for (unsigned f = 0; f < run->config->n_fields; f++) {
		run->fields[f] = FIELD_OTHER;
		for (int known = 0; known < FIELD_OTHER; known++)
			if (strcmp(field_names[known], run->config->fields[f]) == 0)
				run->fields[f] = known;
	}
}

static void add_point(struct run *run, enum group group, int resource, unsigned field, double value)
{
	run->points[run->n_points++] = (struct series_point){
		.metric =
			run->metrics[(group * N_RESOURCES + resource) * SERIES_FIELDS_MAX + field],
		.value = value,
	};
}

/* A number that a document has without a type for it; -1 is how the original writes "none". */
static double number_in(const json_t *object, const char *field)
{
	const json_t *value = json_object_get(object, field);
	double number;

	return value && json_to_double(value, &number) >= 0 && number != -1 ? number : NAN;
}

static double known(int64_t value)
{
	return value >= 0 ? (double)value : NAN;
}

static double structure_field(const struct structure *s, int r, enum field field)
{
	const struct resource_state *state = &s->resources[r];
	const struct host *host = s->subtype == STRUCTURE_HOST ? s->host : NULL;
	bool bare = host || s->subtype == STRUCTURE_USER; /* as structure_to_json() writes it */

	if (host && field == FIELD_MAX)
		return host->max[r] > 0 ? (double)host->max[r] : NAN;
	if (host && field == FIELD_FREE)
		return host->max[r] > 0 ? (double)host->free[r] : NAN;
	if (!state->present)
		return NAN;
	switch (field) {
	case FIELD_MAX: return known(state->max);
	case FIELD_MIN: return !bare || state->min > 0 ? known(state->min) : NAN;
	case FIELD_CURRENT: return known(state->current);
	case FIELD_USAGE: return structure_is_parent(s) ? state->usage : NAN;
	case FIELD_WEIGHT: return state->weight > 0 ? state->weight : NAN;
	case FIELD_ALLOCATED: return state->allocated > 0 ? (double)state->allocated : NAN;
	default: return NAN;
	}
}

static double limit_field(const struct structure *s, int r, enum field field)
{
	const struct resource_state *state = &s->resources[r];

	if (!state->has_boundary)
		return NAN;
	switch (field) {
	case FIELD_UPPER: return known(state->upper);
	case FIELD_LOWER: return known(state->lower);
	case FIELD_BOUNDARY: return state->boundary;
	default: return NAN;
	}
}

static void add_group(struct run *run, const struct structure *s, enum group group)
{
	const json_t *doc = group == GROUP_LIMIT ? s->limits_doc : s->doc;
	const json_t *others = json_object_get(doc, "resources");

	for (int r = 0; r < N_RESOURCES; r++) {
		const json_t *other = others ? json_object_get(others, resource_name(r)) : NULL;

		if (r == DISK && !other)
			continue;
		for (unsigned f = 0; f < run->config->n_fields; f++) {
			double value = NAN;

			if (r != DISK)
				value = group == GROUP_LIMIT
						? limit_field(s, r, run->fields[f])
						: structure_field(s, r, run->fields[f]);
			if (isnan(value) && other)
				value = number_in(other, run->config->fields[f]);
			if (isfinite(value))
				add_point(run, group, r, f, value);
		}
	}
}

/* False: there is no room for another. */
static bool begin_row(struct run *run, const char *name)
{
	size_t size = strlen(name) + 1;

	if (run->n_rows == ROWS || run->names_len + size > NAMES_BYTES ||
	    run->n_points + POINTS_OF_ONE > POINTS)
		return false;
	run->rows[run->n_rows] = (struct row){
		.name = (uint32_t)run->names_len,
		.n_points = (uint32_t)run->n_points,
	};
	memcpy(run->names + run->names_len, name, size);
	run->names_len += size;
	return true;
}

static void end_row(struct run *run)
{
	struct row *row = &run->rows[run->n_rows];

	row->n_points = (uint32_t)run->n_points - row->n_points;
	if (row->n_points)
		run->n_rows++;
	else
		run->names_len = row->name;
}

/* With the lock free. */
static int hand_out(struct run *run, const char *tag)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < run->n_rows; i++) {
		const struct row *row = &run->rows[i];
		char name[NAME_SIZE];

		tsdb_sanitize(run->names + row->name, name, sizeof(name));
		r = run->sink(run->userdata, run->timestamp, tag, name, &run->points[at],
			      row->n_points);
		at += row->n_points;
		run->result.documents++;
		run->result.points += row->n_points;
	}
	run->n_rows = run->n_points = run->names_len = 0;
	return r;
}

/* `at` has begun; `groups`: 1 << enum group. */
static int snap(struct run *run, struct model_walk *at, unsigned groups, const char *tag)
{
	struct structure *structure;
	int r = 0;

	while (r >= 0 && model_walk_piece(at)) {
		while ((structure = model_walk_next(at))) {
			if (!begin_row(run, structure->name)) {
				model_walk_again(at, structure);
				break;
			}
			if (groups & 1u << GROUP_STRUCTURE)
				add_group(run, structure, GROUP_STRUCTURE);
			if (groups & 1u << GROUP_LIMIT)
				add_group(run, structure, GROUP_LIMIT);
			end_row(run);
		}
		model_walk_release(at);
		r = hand_out(run, tag);
	}
	run->result.hold_s = MAX(run->result.hold_s, at->hold.longest_s);
	return r;
}

static int snap_all(struct run *run)
{
	const unsigned documents = run->config->documents;
	unsigned limits = documents & SERIES_LIMITS ? 1u << GROUP_LIMIT : 0;
	struct model_walk walk;
	int r = 0;

	if (documents & (SERIES_STRUCTURES | SERIES_LIMITS)) {
		model_walk_begin(&walk, run->model);
		r = snap(run, &walk,
			 limits | (documents & SERIES_STRUCTURES ? 1u << GROUP_STRUCTURE : 0),
			 "structure");
	}
	if (r >= 0 && documents & SERIES_USERS) {
		model_walk_begin_users(&walk, run->model);
		r = snap(run, &walk, limits | 1u << GROUP_STRUCTURE, "user");
	}
	return r;
}

static int snap_configs(struct run *run)
{
	struct guardian_config guardian;
	struct scaler_config scaler;
	int r = 0;

	model_lock(run->model);
	guardian = run->model->guardian;
	scaler = run->model->scaler;
	model_unlock(run->model);

	const struct series_point of_guardian[] = {
		{"conf.guardian.window_delay", guardian.window_delay},
		{"conf.guardian.event_timeout", guardian.event_timeout},
		{"conf.guardian.window_timelapse", guardian.window_timelapse},
	};
	const struct series_point of_scaler[] = {
		{"conf.scaler.request_timeout", scaler.request_timeout},
		{"conf.scaler.polling_frequency", scaler.polling_frequency},
	};
	if (run->config->services & SERIES_GUARDIAN) {
		r = run->sink(run->userdata, run->timestamp, "service", "guardian", of_guardian,
			      ARRAY_SIZE(of_guardian));
		run->result.documents++;
		run->result.points += ARRAY_SIZE(of_guardian);
	}
	if (r >= 0 && run->config->services & SERIES_SCALER) {
		r = run->sink(run->userdata, run->timestamp, "service", "scaler", of_scaler,
			      ARRAY_SIZE(of_scaler));
		run->result.documents++;
		run->result.points += ARRAY_SIZE(of_scaler);
	}
	return r;
}

int snapshoter_database_run(struct model *model, const struct snapshoter_database_config *config,
			    int64_t timestamp, series_sink_fn sink, void *userdata,
			    struct snapshoter_database_result *ret_result)
{
	_cleanup_free_ struct run *run = calloc(1, sizeof(*run));
	int r;

	if (!run)
		return -ENOMEM;
	run->model = model;
	run->config = config;
	run->timestamp = timestamp;
	run->sink = sink;
	run->userdata = userdata;
	name_metrics(run);
	r = snap_all(run);
	if (r >= 0 && config->documents & SERIES_CONFIGS)
		r = snap_configs(run);
	if (r < 0)
		return r;
	*ret_result = run->result;
	return 0;
}
