/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: their documents, the defaults, and what is compiled from them. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "document_merge.h"
#include "model_private.h"
#include "rule_check.h"
#include "ebb/cleanup.h"

/* Of each change all are compiled again, under the lock: some milliseconds for as many as there can
 * be. */
#define RULES_MAX 500
/* Of their text, all together. */
#define RULES_BYTES_MAX (1 << 20)
/* How often samples come unless an agent says otherwise, s. */
#define PERIOD_DEFAULT 0.1

/*
 * A list in the document of the guardian: the names of rules that Ebb comes with and somebody has
 * deleted. Without it they would be back at the next start; a list of those that were there once
 * would keep from a site what a newer Ebb comes with.
 */
#define DELETED "rules_deleted"

static json_t *deleted_rules(const struct model *model)
{
	return json_object_get(json_object_get(model->services, "guardian"), DELETED);
}

static bool list_has(const json_t *list, const char *name, size_t *ret_index)
{
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		if (!json_is_string(item) || strcmp(json_string_value(item), name) != 0)
			continue;
		*ret_index = i;
		return true;
	}
	return false;
}

static bool is_default(const char *name)
{
	_cleanup_json_ json_t *defaults = rules_default();
	json_t *doc;
	size_t i;

	json_array_foreach(defaults, i, doc)
		if (!strcmp(json_string_value(json_object_get(doc, "name")), name))
			return true;
	return false;
}

static void remember_deleted(struct model *model, const char *name)
{
	json_t *guardian = json_object_get(model->services, "guardian");
	size_t i;

	if (!guardian || !is_default(name) || list_has(deleted_rules(model), name, &i))
		return;
	if (!json_is_array(deleted_rules(model)))
		json_object_set_new(guardian, DELETED, json_array());
	json_array_append_new(deleted_rules(model), json_string(name));
	model_put_service(model, "guardian");
}

static void forget_deleted(struct model *model, const char *name)
{
	json_t *guardian = json_object_get(model->services, "guardian");
	size_t i;

	if (!list_has(deleted_rules(model), name, &i))
		return;
	json_array_remove(deleted_rules(model), i);
	if (!json_array_size(deleted_rules(model)))
		json_object_del(guardian, DELETED);
	model_put_service(model, "guardian");
}

static void note(void *userdata, const char *text)
{
	model_log(userdata, LOG_LEVEL_WARNING, "%s", text);
}

static int add_default_rules(struct model *model)
{
	_cleanup_json_ json_t *defaults = rules_default();
	json_t *doc;
	size_t i, at;

	if (!defaults)
		return -ENOMEM;
	json_array_foreach(defaults, i, doc) {
		const char *name = json_string_value(json_object_get(doc, "name"));

		/* One that an operator changed stays as it is. */
		if (!name || json_object_get(model->rules, name) ||
		    list_has(deleted_rules(model), name, &at))
			continue;
		if (json_object_set(model->rules, name, doc) < 0)
			return -ENOMEM;
		model_keep(model, DB_RULES, name, doc);
	}
	return 0;
}

int model_load_rules(struct model *model)
{
	struct ruleset *ruleset;
	int r;

	if (model->leading) {
		r = add_default_rules(model);
		if (r < 0)
			return r;
	}
	r = ruleset_new_noting(model->rules, note, model, &ruleset);
	if (r < 0)
		return r;
	ruleset_free(model->ruleset);
	model->ruleset = ruleset;
	model_guards_changed(model);
	return 0;
}

void model_put_rule(struct model *model, const char *name)
{
	const json_t *doc = json_object_get(model->rules, name);

	if (doc)
		model_keep(model, DB_RULES, name, doc);
}

int model_rule_removed(struct model *model, const char *name)
{
	json_t *doc = json_incref(json_object_get(model->rules, name));
	struct ruleset *ruleset;
	int r;

	json_object_del(model->rules, name);
	r = ruleset_new_noting(model->rules, note, model, &ruleset);
	if (r < 0) {
		json_object_set_new(model->rules, name, doc);
		return r;
	}
	json_decref(doc);
	ruleset_free(model->ruleset);
	model->ruleset = ruleset;
	model_guards_changed(model);
	remember_deleted(model, name);
	return 0;
}

int model_delete_rule(struct model *model, const char *name)
{
	int r;

	if (!json_object_get(model->rules, name))
		return -ENOENT;
	r = model_rule_removed(model, name);
	if (r >= 0 && model_store(model))
		r = store_delete(model->store, DB_RULES, name);
	return r;
}

void model_rule_reach(const struct model *model, enum ebb_resource resource,
		      struct rule_reach *ret_reach)
{
	ret_reach->event_timeout = model->guardian.event_timeout;
	ret_reach->period = INFINITY;
	for (size_t i = 0; i < model->n_hosts; i++)
		if (model->hosts[i]->period > 0)
			ret_reach->period = fmin(ret_reach->period, model->hosts[i]->period);
	if (!isfinite(ret_reach->period))
		ret_reach->period = PERIOD_DEFAULT;
	rule_reach_count(model->ruleset, resource, ret_reach);
}

/* Switching a bad one off mends something; it was there before. */
static bool is_switched_off(const json_t *before, const json_t *doc)
{
	_cleanup_json_ json_t *a = NULL, *b = NULL;

	if (!before || !json_is_false(json_object_get(doc, "active")))
		return false;
	a = json_copy((json_t *)before);
	b = json_copy((json_t *)doc);
	if (!a || !b)
		return false;
	json_object_del(a, "active");
	json_object_del(b, "active");
	return document_same(a, b);
}

static int check_rule(const struct model *model, const json_t *doc, char **ret_error)
{
	const char *resource = json_string_value(json_object_get(doc, "resource"));
	struct rule_reach reach;
	int r;

	r = rule_check(doc, ret_error);
	if (r < 0)
		return r;
	model_rule_reach(model, ebb_resource_from_name(resource), &reach);
	return rule_check_reach(doc, &reach, ret_error);
}

static size_t bytes_of(const json_t *doc)
{
	return doc ? json_dumpb(doc, NULL, 0, JSON_COMPACT) : 0;
}

/* More than there can be stays, once it is there, but does not grow. */
static int check_size(const struct model *model, const json_t *before, const json_t *doc,
		      char **ret_error)
{
	size_t was = bytes_of(before), now = bytes_of(doc), all;

	if (!before && json_object_size(model->rules) >= RULES_MAX)
		return fail_with(-ENOSPC, ret_error,
				 "There are %d rules already: delete one that is not needed",
				 RULES_MAX);
	if (now <= was)
		return 0;
	all = bytes_of(model->rules) - was + now;
	if (all > RULES_BYTES_MAX)
		return fail_with(-ENOSPC, ret_error,
				 "All rules together may have %d bytes, and would have %zu with "
				 "this one: shorten it, or delete others that are not needed",
				 RULES_BYTES_MAX, all);
	return 0;
}

int model_set_rule(struct model *model, json_t *doc, char **ret_error)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	const json_t *before = name ? json_object_get(model->rules, name) : NULL;
	_cleanup_json_ json_t *rules = NULL, *mine = NULL;
	struct ruleset *ruleset;
	int r = 0;

	if (!is_switched_off(before, doc)) {
		r = check_rule(model, doc, ret_error);
		if (r >= 0)
			r = check_size(model, before, doc, ret_error);
	}
	if (r < 0)
		return r;
	rules = json_copy(model->rules);
	mine = json_deep_copy(doc);
	if (!name || !rules || !mine || json_object_set(rules, name, mine) < 0)
		return -ENOMEM;
	r = ruleset_new_noting(rules, note, model, &ruleset);
	if (r < 0)
		return r;
	ruleset_free(model->ruleset);
	model->ruleset = ruleset;
	model_guards_changed(model);
	json_decref(model->rules);
	model->rules = TAKE_PTR(rules);
	model_keep(model, DB_RULES, name, mine);
	forget_deleted(model, name);
	return 0;
}
