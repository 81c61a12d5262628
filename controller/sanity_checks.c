/* SPDX-License-Identifier: Apache-2.0 */
#include "sanity_checks.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "model_private.h"
#include "ebb/cleanup.h"

/* Points of BDWatchdog tell of 5 s each. */
#define BUCKET_S 5.0

/* --- cores --- */

static bool same_cpus(const struct cpu_list *a, const struct cpu_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!cpu_list_contains(b, a->cpus[i]))
			return false;
	return true;
}

/* Where nobody writes cpusets: one that was written before may be too narrow for what the limit has
 * grown to. */
static void check_narrow(const struct structure *container, struct sanity_findings *findings)
{
	int64_t current = container->resources[EBB_CPU].current;
	struct cpu_list found = {};

	if (cpu_list_parse(container->cpus, &found) >= 0 && found.n &&
	    (int64_t)found.n * EBB_SHARES_PER_CORE < current)
		sanity_findings_add(
			findings, SANITY_CORE_MAP, container->name, "cpu", false,
			"%s may use %lld shares, but its cpuset is %s and cores are not "
			"pinned there: write a wider cpuset on its host",
			container->name, (long long)current, container->cpus);
	cpu_list_clear(&found);
}

bool sanity_check_cores(struct model *model, struct structure *container,
			struct sanity_findings *findings)
{
	const struct host *host = container->host;
	const struct resource_state *state = &container->resources[EBB_CPU];
	struct cpu_list found = {}, wanted = {};
	_cleanup_free_ char *text = NULL;
	bool put_back = container->cores_put_back, differ = false;

	container->cores_put_back = false;
	if (put_back)
		sanity_findings_add(findings, SANITY_CORE_MAP, container->name, "cpu", true,
				    "%s ran on other cores than those that the map of host %s "
				    "gives it; they were put back",
				    container->name, host ? host->structure->name : "?");
	if (!host || !host->connected || !container->live || !container->cpus ||
	    state->allocated <= 0 || state->current <= 0 ||
	    (container->in_flight | container->apply) & 1u << EBB_CPU)
		return false;
	if (!model_pins_cores(model, host)) {
		check_narrow(container, findings);
		return false;
	}
	if (cpumap_cpus(host->cpumap, container->name, &wanted) >= 0 &&
	    cpu_list_parse(container->cpus, &found) >= 0)
		differ = wanted.n && !same_cpus(&wanted, &found);
	if (differ) {
		text = cpu_list_format(&wanted);
		sanity_findings_add(
			findings, SANITY_CORE_MAP, container->name, "cpu", true,
			"%s runs on cores %s, the map of host %s gives it %s: its cores "
			"are ordered again",
			container->name, *container->cpus ? container->cpus : "(all)",
			host->structure->name, text ? text : "?");
	}
	cpu_list_clear(&found);
	cpu_list_clear(&wanted);
	return differ;
}

/* --- limits --- */

static void check_range(const struct structure *s, enum ebb_resource r,
			struct sanity_findings *findings)
{
	const struct resource_state *state = &s->resources[r];
	const char *name = ebb_resource_name(r);
	bool guarded = s->guard && state->guard && s->subtype == STRUCTURE_CONTAINER;

	if (state->max < 0 || state->min < 0 || state->current < -1 || state->allocated < 0) {
		sanity_findings_add(
			findings, SANITY_ACCOUNTING, s->name, name, false,
			"%s: %s has a negative number: max %lld, min %lld, current "
			"%lld, %lld set aside; set it with PUT /structure/%s/resources/",
			s->name, name, (long long)state->max, (long long)state->min,
			(long long)state->current, (long long)state->allocated, s->name);
		return;
	}
	if (state->max > 0 && state->min > state->max) {
		sanity_findings_add(
			findings, SANITY_ACCOUNTING, s->name, name, false,
			"%s: the min of its %s, %lld, is above its max, %lld: lower min", s->name,
			name, (long long)state->min, (long long)state->max);
		return;
	}
	/* What is on its way there is right. */
	if (!guarded || state->allocated <= 0 || (s->in_flight | s->apply) & 1u << r)
		return;
	if (state->max > 0 && (state->current < state->min || state->current > state->max))
		sanity_findings_add(findings, SANITY_ACCOUNTING, s->name, name, false,
				    "%s: its %s limit of %lld is not within %lld to %lld", s->name,
				    name, (long long)state->current, (long long)state->min,
				    (long long)state->max);
	else if (state->current > state->allocated)
		sanity_findings_add(findings, SANITY_ACCOUNTING, s->name, name, false,
				    "%s: its %s limit is %lld, but only %lld are set aside for it: "
				    "guard it again when its host has room",
				    s->name, name, (long long)state->current,
				    (long long)state->allocated);
}

static void check_boundaries(const struct structure *s, enum ebb_resource r,
			     struct sanity_findings *findings)
{
	const struct resource_state *state = &s->resources[r];
	const char *name = ebb_resource_name(r);

	if (!s->guard || !state->guard || state->current < 0)
		return;
	if (!state->has_boundary)
		sanity_findings_add(findings, SANITY_ACCOUNTING, s->name, name, false,
				    "%s: its %s is guarded but has no boundary, so nothing is ever "
				    "asked for: PUT /structure/%s/limits/%s/boundary",
				    s->name, name, s->name, name);
	else if (state->upper >= 0 &&
		 (state->lower > state->upper || state->upper > state->current))
		sanity_findings_add(findings, SANITY_ACCOUNTING, s->name, name, false,
				    "%s: lower %lld, upper %lld and current %lld of its %s are not "
				    "in this order: set its boundary again",
				    s->name, (long long)state->lower, (long long)state->upper,
				    (long long)state->current, name);
}

void sanity_check_limits(const struct structure *structure, struct sanity_findings *findings)
{
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		if (!structure->resources[r].present)
			continue;
		check_range(structure, r, findings);
		if (structure->subtype == STRUCTURE_CONTAINER)
			check_boundaries(structure, r, findings);
	}
}

void sanity_check_host(const struct host *host, struct sanity_findings *findings)
{
	_cleanup_free_ char *wrong = host_check(host);

	if (wrong)
		sanity_findings_add(findings, SANITY_ACCOUNTING, host->structure->name, NULL, false,
				    "%s: restart the controller, which works it out anew, and "
				    "report it",
				    wrong);
}

/* --- membership --- */

struct membership {
	const struct structure *parent;
	struct sanity_findings *findings;
	int64_t min[EBB_RESOURCE_MAX], current[EBB_RESOURCE_MAX];
};

static void check_member(void *userdata, const char *name, const struct structure *child,
			 const struct structure *owner)
{
	struct membership *membership = userdata;
	const struct structure *parent = membership->parent;

	if (!child) {
		sanity_findings_add(
			membership->findings, SANITY_MEMBERSHIP, parent->name, NULL, false,
			"The list of %s %s names %s, which is not there: take it out, or "
			"bring it back",
			structure_subtype_name(parent->subtype), parent->name, name);
		return;
	}
	if (owner != parent) {
		sanity_findings_add(
			membership->findings, SANITY_MEMBERSHIP, name, NULL, false,
			"%s is in the lists of %s and of %s, and belongs to %s: take it "
			"out of one",
			name, owner ? owner->name : "?", parent->name, owner ? owner->name : "?");
		return;
	}
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_state *state = &child->resources[r];

		if (!state->present)
			continue;
		membership->min[r] += MAX(state->min, 0);
		membership->current[r] += MAX(state->current, 0);
	}
}

void sanity_check_members(const struct structure *parent, struct sanity_findings *findings)
{
	struct membership membership = {.parent = parent, .findings = findings};

	hierarchy_each_named(parent, check_member, &membership);
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		const struct resource_state *state = &parent->resources[r];
		const char *name = ebb_resource_name(r);

		if (!state->present || state->max <= 0)
			continue;
		if (membership.min[r] > state->max)
			sanity_findings_add(
				findings, SANITY_MEMBERSHIP, parent->name, name, false,
				"What belongs to %s needs at least %lld of %s, its max is "
				"%lld: raise that, or lower the min of some",
				parent->name, (long long)membership.min[r], name,
				(long long)state->max);
		else if (membership.current[r] > state->max)
			sanity_findings_add(
				findings, SANITY_MEMBERSHIP, parent->name, name, false,
				"The limits of what belongs to %s are %lld of %s together, "
				"its max is %lld: raise that, or lower the max of some",
				parent->name, (long long)membership.current[r], name,
				(long long)state->max);
	}
}

/* --- rules --- */

int sanity_rules_copy(struct model *model, struct sanity_rules *ret_rules)
{
	struct sanity_rules rules = {.docs = json_deep_copy(model->rules)};

	if (!rules.docs)
		return -ENOMEM;
	for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
		model_rule_reach(model, r, &rules.reach[r]);
		rules.late[r] = rules.reach[r];
		rules.late[r].period = fmax(model->guardian.window_timelapse, BUCKET_S);
	}
	for (size_t i = 0; i < model->n_hosts; i++)
		rules.any_late |= model->hosts[i]->from_series;
	*ret_rules = rules;
	return 0;
}

void sanity_rules_clear(struct sanity_rules *rules)
{
	json_decref(rules->docs);
	rules->docs = NULL;
}

static bool mentions(const json_t *logic, const char *path)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_object(logic))
		json_object_foreach((json_t *)logic, key, value) {
			const json_t *name =
				json_is_array(value) ? json_array_get(value, 0) : value;

			if (strcmp(key, "var") == 0 && json_is_string(name) &&
			    strcmp(json_string_value(name), path) == 0)
				return true;
			if (mentions(value, path))
				return true;
		}
	else if (json_is_array(logic))
		json_array_foreach((json_t *)logic, i, value)
			if (mentions(value, path))
				return true;
	return false;
}

static void check_source(const json_t *doc, const char *name, const struct rule_reach *reach,
			 struct sanity_findings *findings)
{
	const char *type = json_string_value(json_object_get(doc, "rescale_type"));
	const char *generates = json_string_value(json_object_get(doc, "generates"));
	bool up = type && strcmp(type, "up") == 0;

	if (!generates || strcmp(generates, "requests") != 0 ||
	    (up ? reach->up : reach->down) > 0 ||
	    !mentions(json_object_get(doc, "rule"), up ? "events.scale.up" : "events.scale.down"))
		return;
	sanity_findings_add(
		findings, SANITY_RULE, name, NULL, false,
		"Rule %s can never fire: no active rule makes events %s of its resource; "
		"activate one that does, or deactivate it",
		name, up ? "up" : "down");
}

void sanity_check_rules(const struct sanity_rules *rules, struct sanity_findings *findings)
{
	const char *name;
	json_t *doc;

	json_object_foreach(rules->docs, name, doc) {
		const char *text = json_string_value(json_object_get(doc, "resource"));
		enum ebb_resource r = text ? ebb_resource_from_name(text) : EBB_RESOURCE_INVALID;
		_cleanup_free_ char *error = NULL;
		int result;

		if (!json_is_true(json_object_get(doc, "active")))
			continue;
		result = rule_check(doc, &error);
		if (result >= 0 && r != EBB_RESOURCE_INVALID)
			result = rule_check_reach(doc, &rules->reach[r], &error);
		if (result >= 0 && r != EBB_RESOURCE_INVALID && rules->any_late)
			result = rule_check_reach(doc, &rules->late[r], &error);
		if (result == -EINVAL)
			sanity_findings_add(findings, SANITY_RULE, name, NULL, false, "%s",
					    error ? error : "it cannot work");
		else if (result >= 0 && r != EBB_RESOURCE_INVALID)
			check_source(doc, name, &rules->reach[r], findings);
	}
}
