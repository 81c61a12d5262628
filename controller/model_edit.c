/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody else changed in the database, while we lead: configuration is taken over through
 * the checks of the API, what is ours is put back. A standby's side of it is model_follow.c.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "couchdb.h"
#include "document_merge.h"
#include "hierarchy.h"
#include "model_private.h"
#include "ebb/cleanup.h"

static void cleanup_structurep(struct structure **structure)
{
	structure_free(*structure);
}
#define _cleanup_structure_ __attribute__((cleanup(cleanup_structurep)))

/* --- structures and users --- */

static const char *edit_kind(const struct structure *s)
{
	return s->subtype == STRUCTURE_USER ? "user" : "structure";
}

static void set_number(struct model *model, struct structure *s, enum ebb_resource resource,
		       const char *param, double value)
{
	char *error = NULL;

	if (model_set_parameter(model, s, resource, param, value, &error) < 0)
		edit_refuse(model, edit_kind(s), s->name, error);
}

/* In an order in which min <= max holds at each step. */
static void edit_range(struct model *model, struct structure *s, enum ebb_resource resource,
		       const struct resource_state *to)
{
	struct resource_state *state = &s->resources[resource];
	bool host = s->subtype == STRUCTURE_HOST, max_first = to->max >= state->min;

	if (to->max != state->max && max_first)
		set_number(model, s, resource, "max", (double)to->max);
	if (to->min != state->min && !host)
		set_number(model, s, resource, "min", (double)to->min);
	if (to->max != state->max && !max_first)
		set_number(model, s, resource, "max", (double)to->max);
	if (to->weight != state->weight && !host)
		set_number(model, s, resource, "weight", to->weight);
}

static void clear_resource(struct resource_state *state)
{
	state->present = state->guard = false;
	state->max = state->min = state->allocated = 0;
	state->current = -1;
	state->weight = 0;
	state->usage = NAN;
}

static void add_resource(struct model *model, struct structure *s, enum ebb_resource resource,
			 const struct resource_state *to)
{
	struct resource_state *state = &s->resources[resource];
	int64_t in_force = s->physical[resource];
	char *error = NULL;

	if (s->subtype == STRUCTURE_HOST) {
		set_number(model, s, resource, "max", (double)to->max);
		return;
	}
	clear_resource(state);
	state->present = true;
	state->current = s->live && in_force != INT64_MIN ? MAX(in_force, -1) : to->current;
	if (to->max > 0 &&
	    model_set_parameter(model, s, resource, "max", (double)to->max, &error) < 0) {
		clear_resource(state);
		edit_refuse(model, edit_kind(s), s->name, error);
	}
}

static void remove_resource(struct model *model, struct structure *s, enum ebb_resource resource)
{
	struct resource_state *state = &s->resources[resource];
	bool basic = resource == EBB_CPU || resource == EBB_MEM;
	char *error = NULL;

	if (s->subtype == STRUCTURE_HOST) {
		set_number(model, s, resource, "max", 0);
		return;
	}
	if (state->allocated <= 0 && !(s->guard && state->guard) && !(s->live && basic)) {
		clear_resource(state);
		return;
	}
	fail_with(0, &error, "%s cannot be taken out while it is guarded or its host accounts it",
		  ebb_resource_name(resource));
	edit_refuse(model, edit_kind(s), s->name, error);
}

static void edit_resources(struct model *model, struct structure *s, const struct structure *to)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (s->resources[i].present && !to->resources[i].present)
			remove_resource(model, s, i);
		else if (!s->resources[i].present && to->resources[i].present)
			add_resource(model, s, i, &to->resources[i]);
		if (s->resources[i].present && to->resources[i].present)
			edit_range(model, s, i, &to->resources[i]);
	}
}

static void edit_guard(struct model *model, struct structure *s, const struct structure *to)
{
	unsigned on = 0, off = 0;
	char *error = NULL;

	if (s->guard && !to->guard && model_guard(model, s, false, &error) < 0)
		edit_refuse(model, edit_kind(s), s->name, TAKE_PTR(error));
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (s->resources[i].guard == to->resources[i].guard || !s->resources[i].present)
			continue;
		*(to->resources[i].guard ? &on : &off) |= 1u << i;
	}
	if (off && model_guard_resources(model, s, off, false, &error) < 0)
		edit_refuse(model, edit_kind(s), s->name, TAKE_PTR(error));
	if (on && model_guard_resources(model, s, on, true, &error) < 0)
		edit_refuse(model, edit_kind(s), s->name, TAKE_PTR(error));
	if (!s->guard && to->guard && model_guard(model, s, true, &error) < 0)
		edit_refuse(model, edit_kind(s), s->name, TAKE_PTR(error));
}

/* A container that no agent reports may be said to be elsewhere. */
static void edit_host_name(struct model *model, struct structure *s, struct structure *to)
{
	struct host *host;
	char *error = NULL;

	if (s->subtype != STRUCTURE_CONTAINER ||
	    strcmp(s->host_name ?: "", to->host_name ?: "") == 0)
		return;
	if (s->live) {
		fail_with(0, &error, "its agent says that it is on host %s", s->host_name);
		edit_refuse(model, edit_kind(s), s->name, error);
		return;
	}
	accounting_release(model, s);
	host_detach(s);
	free(s->host_name);
	s->host_name = TAKE_PTR(to->host_name);
	host = s->host_name ? model_host(model, s->host_name) : NULL;
	if (host)
		host_attach(host, s);
}

static void keep_member(const json_t *from, json_t *to, const char *key)
{
	json_t *value = json_object_get(from, key);

	if (value)
		json_object_set(to, key, value);
	else
		json_object_del(to, key);
}

/* The fields that have no type here. */
static void edit_others(struct model *model, struct structure *s, struct structure *to)
{
	const struct host *host = s->host;
	json_t *before = s->doc;

	s->doc = TAKE_PTR(to->doc);
	/* Where its agent is, that one says. */
	if (host && !host->agentless &&
	    (s->subtype == STRUCTURE_HOST ? host->address != NULL : s->live)) {
		if (!s->doc)
			s->doc = json_object();
		keep_member(before, s->doc, "host_rescaler_ip");
		keep_member(before, s->doc, "host_rescaler_port");
	}
	json_decref(before);
	hierarchy_link(model, s);
}

/*
 * A host that no agent has spoken for here has what its document says. `merged`: the document, but
 * for what is in its resources.
 */
static void edit_bare_host(struct model *model, struct structure *s, json_t *merged,
			   const json_t *doc)
{
	_cleanup_structure_ struct structure *to = NULL;
	json_t *resources = json_object_get(doc, "resources");
	struct host *host = s->host;
	int64_t shares = 0;
	char *error = NULL;
	int r;

	if (resources)
		json_object_set(merged, "resources", resources);
	r = structure_from_json(merged, NULL, &to, &error);
	if (r >= 0 && to->subtype != STRUCTURE_HOST)
		r = fail_with(-EINVAL, &error, "a host stays one");
	if (r >= 0) {
		shares = to->resources[EBB_CPU].max;
		r = follow_host(s, to);
	}
	if (r < 0) {
		edit_refuse(model, edit_kind(s), s->name, error);
		return;
	}
	host_rebuild_accounting(model, host);
	/* A max that the core map does not have yet; less than is given out it cannot be. */
	if (shares >= EBB_SHARES_PER_CORE && shares >= host->max[EBB_CPU] - host->free[EBB_CPU] &&
	    shares / EBB_SHARES_PER_CORE != host->max[EBB_CPU] / EBB_SHARES_PER_CORE)
		(void)model_resize_cores(model, host, (size_t)(shares / EBB_SHARES_PER_CORE));
}

static void edit_structure(struct model *model, struct structure *s, const json_t *base,
			   json_t *doc)
{
	_cleanup_json_ json_t *ours = NULL, *merged = NULL;
	_cleanup_structure_ struct structure *to = NULL;
	_cleanup_free_ char *lost = NULL;
	const struct host *host = s->host;
	enum store_db db = model_db(s);
	char *error = NULL;
	bool automatic;
	int r = -ENOMEM;

	if (s->subtype == STRUCTURE_HOST)
		host_save_document(s->host);
	/* What was queued before may be written over theirs: ours, with theirs in it, comes after.
	 */
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	ours = structure_to_json(s);
	if (ours)
		merged = document_merge(db, base ?: ours, ours, doc, NULL, &lost);
	if (merged && s->subtype == STRUCTURE_HOST && (!host->address || host->agentless)) {
		if (!document_same(doc, ours))
			edit_bare_host(model, s, merged, doc);
		return;
	}
	if (merged && document_same(merged, ours))
		return;
	if (merged)
		r = model_parse(db, merged, &to, &error);
	if (r >= 0 && to->subtype != s->subtype)
		r = fail_with(-EINVAL, &error, "a %s cannot become a %s",
			      structure_subtype_name(s->subtype),
			      structure_subtype_name(to->subtype));
	if (r < 0) {
		edit_refuse(model, edit_kind(s), s->name, error);
		return;
	}
	edit_tell_lost(model, edit_kind(s), s->name, lost);
	model_log(model, LOG_LEVEL_INFO, "%s %s was changed in the database",
		  db == DB_USERS ? "User" : "Structure", s->name);

	automatic = to->automatic && !s->automatic;
	if (s->guard && !to->guard)
		edit_guard(model, s, to);
	edit_host_name(model, s, to);
	edit_resources(model, s, to);
	edit_guard(model, s, to);
	edit_others(model, s, to);
	s->automatic = automatic;
	if (s->subtype == STRUCTURE_HOST)
		host_order_cores(model, s->host);
}

static void add_structure(struct model *model, enum store_db db, const char *id, json_t *doc)
{
	_cleanup_structure_ struct structure *structure = NULL;
	struct structure *s;
	const json_t *limits = json_object_get(model->early_limits, id);
	const struct structure *user = db == DB_USERS ? NULL : model_user(model, id);
	_cleanup_json_ json_t *of_user = NULL;
	char *error = NULL;
	int r;

	/* They came before, and were taken for those of the user of that name. */
	if (!limits && user)
		limits = of_user = structure_limits_to_json(user);
	r = model_parse(db, doc, &structure, &error);
	if (r >= 0 && !structure_name_is_sane(id) && db != DB_USERS)
		r = fail_with(-EINVAL, &error, "that is what the core map calls what nobody has");
	if (r >= 0 && limits)
		r = structure_set_limits(structure, limits, &error);
	if (r >= 0) {
		/* Nobody has given it anything yet. */
		for (int i = 0; i < EBB_RESOURCE_MAX; i++)
			structure->resources[i].allocated = 0;
		structure->held = 0;
		structure->gone = false;
		r = model_add(model, structure);
	}
	if (r < 0) {
		edit_ignore(model, db == DB_USERS ? "User" : "Structure", id, error);
		return;
	}
	s = TAKE_PTR(structure);
	json_object_del(model->early_limits, id);
	model_log(model, LOG_LEVEL_INFO, "%s %s was added in the database",
		  structure_subtype_name(s->subtype), s->name);
	if (s->subtype != STRUCTURE_HOST)
		return;
	model_attach_containers(model);
	host_rebuild_accounting(model, s->host);
}

static void start_anew(struct model *model, struct structure *s)
{
	_cleanup_free_ char *name = strdup(s->name);
	const struct host *host = s->host;
	int r = model_start_anew(model, s, NULL);

	model_log(model, r < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		  "The document of %s was deleted in the database, but it runs on host %s: it is "
		  "%s",
		  name ?: "?", host->structure->name,
		  r < 0 ? "lost until its agent registers it again, there is no memory"
			: "as it was when it came, and not guarded");
}

static void delete_structure(struct model *model, struct structure *s)
{
	const struct host *host = s->host;
	const char *id = s->name;

	if (s->subtype == STRUCTURE_HOST && host->connected && !host->agentless) {
		model_log(model, LOG_LEVEL_WARNING,
			  "The document of host %s was deleted in the database, but its agent is "
			  "here: it is written again",
			  id);
		model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	} else if (s->live && host && !host->agentless) {
		start_anew(model, s);
	} else {
		model_log(model, LOG_LEVEL_INFO, "%s %s was deleted in the database",
			  structure_subtype_name(s->subtype), id);
		model_remove(model, s);
	}
}

void model_document_changed(struct model *model, enum store_db db, const char *id,
			    const json_t *base, json_t *doc)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	struct structure *s;

	if (doc && !json_is_object(doc))
		return;
	/* Requests and events have ids, all others their name. */
	if (doc && db != DB_REQUESTS && db != DB_EVENTS && (!name || strcmp(name, id) != 0))
		return;
	if (db == DB_SERVICES && strcmp(id, COUCHDB_LEASE) == 0)
		return;
	if (db == DB_REQUESTS) {
		edit_request_changed(model, id, doc);
		return;
	}
	if (!model->leading) {
		follow_document(model, db, id, doc);
		return;
	}
	switch (db) {
	case DB_STRUCTURES:
	case DB_USERS:
		s = db == DB_USERS ? model_user(model, id) : model_structure(model, id);
		if (s && !doc)
			delete_structure(model, s);
		else if (s)
			edit_structure(model, s, base, doc);
		else if (doc)
			add_structure(model, db, id, doc);
		break;
	case DB_LIMITS: edit_limits_changed(model, id, base, doc); break;
	case DB_RULES: edit_rule_changed(model, id, base, doc); break;
	case DB_SERVICES: edit_service_changed(model, id, base, doc); break;
	default: break;
	}
}
