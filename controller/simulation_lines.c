/* SPDX-License-Identifier: Apache-2.0 */
/* What a simulation tells, line by line. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "scaler_plan.h"
#include "simulation_private.h"
#include "ebb/cleanup.h"

/* Whole seconds as whole numbers. */
static json_t *seconds(double value)
{
	return value == trunc(value) ? json_integer((json_int_t)value) : json_real(value);
}

/* Takes `line` over. */
static void tell(struct simulation *sim, json_t *line)
{
	if (line)
		sim->line(sim->line_userdata, line);
	else
		sim->error = -ENOMEM;
	json_decref(line);
}

/* Takes `body` over. */
void simulation_tell(struct simulation *sim, const char *what, json_t *body)
{
	tell(sim, json_pack("{s:o, s:o}", "at", seconds(sim->now), what, body));
}

static json_t *limit(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

void simulation_tell_limits(struct simulation *sim, struct simulated *one)
{
	const struct structure *s = one->structure;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_state *state = &s->resources[r];

		if (!state->present || s->subtype == STRUCTURE_HOST ||
		    (state->upper == one->upper[r] && state->lower == one->lower[r] &&
		     state->current == one->current[r]))
			continue;
		one->upper[r] = state->upper;
		one->lower[r] = state->lower;
		one->current[r] = state->current;
		simulation_tell(sim, "limits",
				json_pack("{s:s, s:s, s:o, s:o, s:o}", "structure", s->name,
					  "resource", ebb_resource_name(r), "upper",
					  limit(state->upper), "lower", limit(state->lower),
					  "current", limit(state->current)));
	}
}

void simulation_tell_event(struct simulation *sim, const struct structure *structure,
			   const struct rule *rule)
{
	const json_t *doc = json_object_get(sim->model->rules, rule->name);
	char name[64];

	snprintf(name, sizeof(name), "%s%s", ebb_resource_title(rule->resource),
		 rule->events_up > 0 ? "Bottleneck" : "Underuse");
	simulation_tell(sim, "event",
			json_pack("{s:s, s:s, s:s, s:s, s:O, s:I}", "name", name, "resource",
				  ebb_resource_name(rule->resource), "type", "event", "structure",
				  structure->name, "action", json_object_get(doc, "action"),
				  "timestamp", (json_int_t)sim->now));
}

static int add_host(json_t *doc, const struct structure *s)
{
	static const char *const keys[] = {"host_rescaler_ip", "host_rescaler_port"};
	int r;

	if (!s->host_name)
		return 0;
	r = json_object_set_new(doc, "host", json_string(s->host_name));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *value = json_object_get(s->doc, keys[i]);

		if (value)
			r |= json_object_set(doc, keys[i], value);
	}
	return r;
}

void simulation_tell_request(struct simulation *sim, const struct request *request)
{
	const struct structure *s = request->structure;
	_cleanup_json_ json_t *doc = NULL;
	char action[64];

	snprintf(action, sizeof(action), "%s%s", ebb_resource_title(request->resource),
		 request->amount > 0 ? "RescaleUp" : "RescaleDown");
	doc = json_pack("{s:s, s:s, s:I, s:i, s:s, s:s, s:s, s:I, s:s}", "type", "request",
			"resource", ebb_resource_name(request->resource), "amount",
			(json_int_t)request->amount, "priority", request->priority, "structure",
			s->name, "action", action, "field",
			request->field == REQUEST_MAX ? "max" : "current", "timestamp",
			(json_int_t)request->timestamp, "structure_type",
			structure_subtype_name(s->subtype));
	if (request->pair)
		json_object_set_new(doc, "pair_structure", json_string(request->pair->name));
	if (!doc || add_host(doc, s) != 0)
		sim->error = -ENOMEM;
	else
		simulation_tell(sim, "request", json_incref(doc));
}

/* Those of one limit; NULL: all. */
static void tell_applied(struct simulation *sim, const struct decision *of)
{
	size_t i = 0;

	while (i < json_array_size(sim->applied)) {
		json_t *line = json_array_get(sim->applied, i);
		const char *name = json_string_value(json_object_get(line, "structure"));
		const char *resource = json_string_value(json_object_get(line, "resource"));

		if (of && (strcmp(name, of->structure) != 0 ||
			   strcmp(resource, ebb_resource_name(of->resource)) != 0)) {
			i++;
			continue;
		}
		simulation_tell(sim, "applied", json_incref(line));
		json_array_remove(sim->applied, i);
	}
}

void simulation_tell_left(struct simulation *sim)
{
	tell_applied(sim, NULL);
}

void simulation_tell_operation(struct simulation *sim, const struct decision *decision)
{
	/* Of this run only, or of real time. */
	static const char *const left_out[] = {
		"id", "at", "received_ms", "evaluated_ms", "sent_ms", "applied_ms", "grounds"};
	json_t *doc = decision_to_json(decision);

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		json_object_del(doc, left_out[i]);
	simulation_tell(sim, "operation", doc);
	if (strcmp(decision->field, "current") == 0 &&
	    strcmp(decision->subtype, structure_subtype_name(STRUCTURE_CONTAINER)) == 0)
		tell_applied(sim, decision);
}

void simulation_note_applied(struct simulation *sim, const char *container, const json_t *resources)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const json_t *part = json_object_get(resources, ebb_resource_name(r));
		const char *cpus = json_string_value(json_object_get(part, "cpu_num"));
		int64_t value;

		if (scaler_body_limit(resources, r, &value) < 0)
			continue;
		if (json_array_append_new(sim->applied,
					  json_pack("{s:s, s:s, s:o, s:s}", "structure", container,
						    "resource", ebb_resource_name(r), "value",
						    limit(value), "cpus", cpus ? cpus : "")) < 0)
			sim->error = -ENOMEM;
	}
}

void simulation_tell_final(struct simulation *sim)
{
	_cleanup_json_ json_t *structures = json_array(), *limits = json_array();
	_cleanup_json_ json_t *users = json_array(), *final = NULL;
	struct scaler_stats stats;

	scaler_get_stats(sim->scaler, &stats);
	for (size_t i = 0; i < sim->n_structures; i++) {
		const struct structure *s = sim->structures[i].structure;
		json_t *of_it = structure_limits_to_json(s);

		if (json_array_append_new(s->subtype == STRUCTURE_USER ? users : structures,
					  structure_to_json(s)) < 0 ||
		    (of_it && json_array_append_new(limits, of_it) < 0))
			sim->error = -ENOMEM;
	}
	final = json_pack("{s:O, s:O, s:I}", "structures", structures, "limits", limits,
			  "requests_left", (json_int_t)stats.waiting);
	if (json_array_size(users))
		json_object_set(final, "users", users);
	tell(sim, json_pack("{s:O}", "final", final));
}
