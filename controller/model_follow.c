/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standby: documents as they stand, what the leader makes included, and nothing written. And the
 * change from one to the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "hierarchy.h"
#include "model_private.h"
#include "ebb/cleanup.h"

int follow_host(struct structure *s, struct structure *to)
{
	struct host *host = s->host;
	struct cpumap *before = host->cpumap;
	struct resource_state resources[EBB_RESOURCE_MAX];
	json_t *doc = s->doc;
	int r;

	memcpy(resources, s->resources, sizeof(resources));
	memcpy(s->resources, to->resources, sizeof(resources));
	s->doc = to->doc;
	r = host_load_document(host);
	if (r < 0) {
		memcpy(s->resources, resources, sizeof(resources));
		s->doc = doc;
		host->cpumap = before;
		return r;
	}
	to->doc = doc;
	cpumap_free(before);
	return 0;
}

/* The limits stay: they have a document of their own. */
static void take_resources(struct structure *s, const struct structure *to)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		struct resource_state *state = &s->resources[i], before = *state;

		*state = to->resources[i];
		state->has_boundary = before.has_boundary;
		state->boundary = before.boundary;
		state->boundary_type = before.boundary_type;
		state->upper = before.upper;
		state->lower = before.lower;
	}
}

static void take_structure(struct model *model, struct structure *s, struct structure *to)
{
	struct host *host;

	if (s->subtype == STRUCTURE_HOST) {
		if (follow_host(s, to) < 0)
			model_log(model, LOG_LEVEL_ERROR, "No memory to follow host %s", s->name);
		return;
	}
	take_resources(s, to);
	json_decref(s->doc);
	s->doc = TAKE_PTR(to->doc);
	model_set_guard_flag(model, s, to->guard);
	s->automatic = to->automatic;
	s->subscription = to->subscription;
	s->held = to->held;
	s->operating = to->operating;
	s->gone = to->gone;
	host_detach(s);
	free(s->host_name);
	s->host_name = TAKE_PTR(to->host_name);
	host = s->host_name ? model_host(model, s->host_name) : NULL;
	if (host && s->subtype == STRUCTURE_CONTAINER)
		host_attach(host, s);
	hierarchy_link(model, s);
}

static void follow_structure(struct model *model, enum store_db db, const char *id, json_t *doc)
{
	struct structure *s = db == DB_USERS ? model_user(model, id) : model_structure(model, id);
	struct structure *to = NULL;
	const json_t *limits = json_object_get(model->early_limits, id);
	_cleanup_free_ char *error = NULL;
	int r;

	if (!doc) {
		if (s)
			model_remove(model, s);
		return;
	}
	r = model_parse(db, doc, &to, &error);
	if (r < 0)
		goto fail;
	if (s && s->subtype == to->subtype) {
		take_structure(model, s, to);
		structure_free(to);
		return;
	}
	if (s)
		model_remove(model, s);
	if (limits)
		(void)structure_set_limits(to, limits, NULL);
	r = model_add(model, to);
	if (r < 0) {
		structure_free(to);
		goto fail;
	}
	json_object_del(model->early_limits, id);
	if (to->subtype == STRUCTURE_HOST)
		model_attach_containers(model);
	return;
fail:
	model_log(model, LOG_LEVEL_WARNING, "State: %s %s is ignored: %s",
		  db == DB_USERS ? "user" : "structure", id, error ? error : strerror(-r));
}

static void follow_limits(struct model *model, const char *id, json_t *doc)
{
	struct structure *s = model_limits_owner(model, id);

	if (!s) {
		if (!doc)
			json_object_del(model->early_limits, id);
		else if (json_object_size(model->early_limits) < MODEL_KEPT_MAX)
			json_object_set(model->early_limits, id, doc);
		return;
	}
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		s->resources[i].has_boundary = false;
		s->resources[i].upper = s->resources[i].lower = -1;
	}
	if (doc)
		(void)structure_set_limits(s, doc, NULL);
}

static void follow_map(json_t *documents, const char *id, json_t *doc)
{
	if (doc)
		json_object_set(documents, id, doc);
	else
		json_object_del(documents, id);
}

void follow_document(struct model *model, enum store_db db, const char *id, json_t *doc)
{
	switch (db) {
	case DB_STRUCTURES:
	case DB_USERS: follow_structure(model, db, id, doc); break;
	case DB_LIMITS: follow_limits(model, id, doc); break;
	case DB_RULES:
		follow_map(model->rules, id, doc);
		(void)model_load_rules(model);
		break;
	case DB_SERVICES:
		follow_map(model->services, id, doc);
		(void)model_load_services(model);
		break;
	default: break;
	}
}

static void stop_leading(struct model *model)
{
	struct structure *s;

	model->leading = false;
	model_drop_dirty(model);
	/* Who leads does them, unless they are deleted by then. */
	json_object_update(model->requests, model->claimed);
	json_object_clear(model->claimed);
	while ((s = model_next_apply(model)))
		s->apply = 0;
	for (size_t i = 0; i < model->n_hosts; i++) {
		model->hosts[i]->connected = false;
		/* An agent that comes back has to register. */
		model->hosts[i]->session = NULL;
	}
	model_foreach_structure(model, s) {
		s->live = false;
		/* What is under way ends without us. */
		s->in_flight = 0;
	}
}

static int begin_guarding(struct structure *s)
{
	if (s->guard && !s->guard_state)
		s->guard_state = guard_state_new();
	return s->guard && !s->guard_state ? -ENOMEM : 0;
}

/* What was worked out while we did not lead has not been written. The store leaves out what the
 * database has so already. */
static void take_up(struct model *model, struct structure *s)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		boundaries_adjust(&s->resources[i]);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE | MODEL_DIRTY_LIMITS);
	if (s->guard)
		model_guard_changed(model, s);
}

int model_set_leading(struct model *model, bool leading)
{
	struct structure *s;
	int r;

	if (leading == model->leading)
		return 0;
	if (!leading) {
		stop_leading(model);
		return 0;
	}
	model->leading = true;
	r = model_load_rules(model);
	if (r >= 0)
		r = model_load_services(model);
	model_foreach_structure(model, s) {
		if (begin_guarding(s) < 0)
			r = -ENOMEM;
	}
	model_foreach_user(model, s)
	{
		if (begin_guarding(s) < 0)
			r = -ENOMEM;
	}
	if (r < 0) {
		stop_leading(model);
		return r;
	}
	model_attach_containers(model);
	model_drop_unfinished(model);
	for (size_t i = 0; i < model->n_hosts; i++)
		host_rebuild_accounting(model, model->hosts[i]);
	model_foreach_structure(model, s)
		take_up(model, s);
	model_foreach_user(model, s) take_up(model, s);
	return 0;
}
