/* SPDX-License-Identifier: Apache-2.0 */
/* Of what somebody else changed in the database: all but structures and users, which are in
 * model_edit.c. */
#include <errno.h>
#include <stdlib.h>

#include "boundaries.h"
#include "document_merge.h"
#include "model_private.h"
#include "ebb/cleanup.h"

static void cleanup_structurep(struct structure **structure)
{
	structure_free(*structure);
}
#define _cleanup_structure_ __attribute__((cleanup(cleanup_structurep)))

/* There is no version of ours. Takes `error` over. */
void edit_ignore(struct model *model, const char *what, const char *name, char *error)
{
	model_log(model, LOG_LEVEL_WARNING, "%s %s, added in the database, is ignored: %s", what,
		  name, error ? error : "no memory");
	free(error);
}

/* One line; takes `error` over. */
void edit_refuse(struct model *model, const char *what, const char *name, char *error)
{
	model_log(model, LOG_LEVEL_WARNING,
		  "The change of %s %s in the database is refused and set back: %s", what, name,
		  error ? error : "no memory");
	free(error);
}

void edit_tell_lost(struct model *model, const char *what, const char *name, const char *lost)
{
	if (lost)
		model_log(model, LOG_LEVEL_INFO,
			  "%s of %s %s was changed here and in the database at the same time: "
			  "what is there counts",
			  lost, what, name);
}

/* --- limits --- */

static void edit_boundary(struct model *model, struct structure *s, enum ebb_resource resource,
			  const struct resource_state *to)
{
	struct resource_state *state = &s->resources[resource];
	const char *type = boundary_type_name(to->boundary_type);
	char *error = NULL;
	int r = 0;

	if (!to->has_boundary && state->has_boundary && s->guard && state->guard) {
		fail_with(0, &error, "%s is guarded, and has to have a boundary",
			  ebb_resource_name(resource));
		edit_refuse(model, "limits", s->name, error);
		return;
	}
	/* Of what the structure does not have it is kept, and nothing else. */
	if (!to->has_boundary || !state->present || s->subtype == STRUCTURE_HOST) {
		state->has_boundary = to->has_boundary;
		state->boundary = to->boundary;
		state->boundary_type = to->boundary_type;
		state->upper = to->upper;
		state->lower = to->lower;
		return;
	}
	if (!state->has_boundary || state->boundary_type != to->boundary_type)
		r = model_set_boundary_type(model, s, resource, type, &error);
	if (r >= 0 && state->boundary != to->boundary)
		r = model_set_boundary(model, s, resource, to->boundary, &error);
	if (r < 0)
		edit_refuse(model, "limits", s->name, error);
}

static void edit_limits(struct model *model, struct structure *s, const json_t *base, json_t *doc)
{
	_cleanup_json_ json_t *ours = structure_limits_to_json(s), *merged = NULL;
	_cleanup_structure_ struct structure *to = structure_new(s->name, s->subtype);
	_cleanup_free_ char *lost = NULL;
	char *error = NULL;
	int r = -ENOMEM;

	model_touch(model, s, MODEL_DIRTY_LIMITS);
	merged = ours ? document_merge(DB_LIMITS, base ?: ours, ours, doc, NULL, &lost)
		      : json_incref(doc);
	if (merged && ours && document_same(merged, ours))
		return;
	if (merged && to)
		r = structure_set_limits(to, merged, &error);
	if (r < 0) {
		edit_refuse(model, "limits", s->name, error);
		return;
	}
	edit_tell_lost(model, "limits", s->name, lost);
	model_log(model, LOG_LEVEL_INFO, "The limits of %s were changed in the database", s->name);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		edit_boundary(model, s, i, &to->resources[i]);
	json_decref(s->limits_doc);
	s->limits_doc = TAKE_PTR(to->limits_doc);
}

void edit_limits_changed(struct model *model, const char *id, const json_t *base, json_t *doc)
{
	struct structure *s = model_limits_owner(model, id);

	if (s && doc) {
		edit_limits(model, s, base, doc);
	} else if (s) {
		model_log(model, LOG_LEVEL_INFO,
			  "The limits of %s were deleted in the database: they are written again",
			  id);
		model_touch(model, s, MODEL_DIRTY_LIMITS);
	} else if (!doc) {
		json_object_del(model->early_limits, id);
	} else if (json_object_size(model->early_limits) < MODEL_KEPT_MAX) {
		/* Its structure comes by another way, and may come later. */
		json_object_set(model->early_limits, id, doc);
	}
}

/* --- rules, services --- */

void edit_rule_changed(struct model *model, const char *id, const json_t *base, json_t *doc)
{
	json_t *ours = json_object_get(model->rules, id);
	_cleanup_json_ json_t *merged = NULL;
	_cleanup_free_ char *lost = NULL;
	char *error = NULL;

	if (!doc) {
		if (ours && model_rule_removed(model, id) == 0)
			model_log(model, LOG_LEVEL_INFO, "Rule %s was deleted in the database", id);
		return;
	}
	merged = ours ? document_merge(DB_RULES, base ?: ours, ours, doc, NULL, &lost)
		      : json_incref(doc);
	if (merged && ours && document_same(merged, ours)) {
		model_put_rule(model, id);
		return;
	}
	if (!merged || model_set_rule(model, merged, &error) < 0) {
		(ours ? edit_refuse : edit_ignore)(model, ours ? "rule" : "Rule", id, error);
		model_put_rule(model, id);
		return;
	}
	edit_tell_lost(model, "rule", id, lost);
	model_log(model, LOG_LEVEL_INFO, "Rule %s was changed in the database", id);
}

void edit_service_changed(struct model *model, const char *id, const json_t *base, json_t *doc)
{
	json_t *ours = json_object_get(model->services, id);
	_cleanup_json_ json_t *merged = NULL;
	_cleanup_free_ char *lost = NULL;
	char *error = NULL;

	if (!model_service_is_ours(id)) {
		if (doc)
			json_object_set(model->services, id, doc);
		else
			json_object_del(model->services, id);
		return;
	}
	if (!doc) {
		model_log(model, LOG_LEVEL_INFO,
			  "Service %s was deleted in the database: it is written again", id);
		model_put_service(model, id);
		return;
	}
	merged = ours ? document_merge(DB_SERVICES, base ?: ours, ours, doc, NULL, &lost)
		      : json_incref(doc);
	if (merged && ours && document_same(merged, ours)) {
		model_put_service(model, id);
		return;
	}
	if (!merged || model_set_service(model, merged, &error) < 0) {
		(ours ? edit_refuse : edit_ignore)(model, ours ? "service" : "Service", id, error);
		model_put_service(model, id);
		return;
	}
	edit_tell_lost(model, "service", id, lost);
	model_log(model, LOG_LEVEL_INFO, "Service %s was changed in the database", id);
}

/* Of those that are too many the id is kept, for them to be deleted. */
void edit_request_changed(struct model *model, const char *id, json_t *doc)
{
	size_t n;

	json_object_del(model->claimed, id);
	json_object_del(model->requests, id);
	n = json_object_size(model->requests) + json_object_size(model->claimed);
	if (doc)
		json_object_set_new(model->requests, id,
				    n < MODEL_KEPT_MAX ? json_incref(doc) : json_null());
}
