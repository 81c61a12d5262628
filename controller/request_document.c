/* SPDX-License-Identifier: Apache-2.0 */
#include "request_document.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_private.h"
#include "ebb/cleanup.h"

/* Clocks of two machines differ. */
#define FUTURE_S   60.0
#define AMOUNT_MAX 1e15
/* More lines about bad ones at once help nobody. */
#define LINES_MAX 10

static int get_number(const json_t *doc, const char *key, double by_default, double *ret_value,
		      char **ret_error)
{
	const json_t *value = json_object_get(doc, key);

	*ret_value = by_default;
	if (!value || json_is_null(value))
		return isnan(by_default) ? fail_with(-EINVAL, ret_error, "it has no %s", key) : 0;
	return json_to_double(value, ret_value) < 0
		       ? fail_with(-EINVAL, ret_error, "its %s is no number", key)
		       : 0;
}

/* `structure_type` says where a name is looked up; without it users come last. */
static struct structure *find(struct model *model, const char *name, const char *type)
{
	bool user = type && strcmp(type, structure_subtype_name(STRUCTURE_USER)) == 0;
	struct structure *s = user ? NULL : model_structure(model, name);

	return !s && (user || !type) ? model_user(model, name) : s;
}

/* "user" begins as "you" does. */
static const char *article(const char *word)
{
	return word[0] && strchr("aeio", word[0]) ? "an" : "a";
}

static int check_target(const struct structure *s, const char *type, const char *resource,
			char **ret_error)
{
	enum ebb_resource r = resource ? ebb_resource_from_name(resource) : EBB_RESOURCE_INVALID;

	if (s->subtype == STRUCTURE_HOST)
		return fail_with(-EINVAL, ret_error,
				 "%s is a host, and only containers, applications and users are "
				 "scaled",
				 s->name);
	if (type && strcmp(type, structure_subtype_name(s->subtype)) != 0)
		return fail_with(-EINVAL, ret_error, "%s is %s %s, not %s %s", s->name,
				 article(structure_subtype_name(s->subtype)),
				 structure_subtype_name(s->subtype), article(type), type);
	if (r == EBB_RESOURCE_INVALID || !s->resources[r].present)
		return fail_with(-EINVAL, ret_error, "%s has no resource %s", s->name,
				 resource ? resource : "of no name");
	if (s->subtype == STRUCTURE_CONTAINER && s->resources[r].current < 0)
		return fail_with(-EINVAL, ret_error, "the %s limit of %s is not known", resource,
				 s->name);
	return 0;
}

static int get_field(const json_t *doc, enum request_field *ret_field, char **ret_error)
{
	const json_t *value = json_object_get(doc, "field");
	const char *field = json_string_value(value);

	*ret_field = REQUEST_CURRENT;
	if (!value || json_is_null(value) || (field && strcmp(field, "current") == 0))
		return 0;
	if (!field || strcmp(field, "max") != 0)
		return fail_with(-EINVAL, ret_error, "its field is %s: use current or max",
				 field ? field : "no text");
	*ret_field = REQUEST_MAX;
	return 0;
}

/* Half of a swap is worse than none. */
static int get_pair(struct model *model, const json_t *doc, const char *type, const char *resource,
		    struct request *request, char **ret_error)
{
	const json_t *value = json_object_get(doc, "pair_structure");
	const char *name = json_string_value(value);
	const struct structure *s = request->structure;
	struct structure *pair;
	int r;

	if (!value || json_is_null(value))
		return 0;
	pair = name ? find(model, name, type ?: structure_subtype_name(s->subtype)) : NULL;
	if (!pair || pair == s)
		return fail_with(-EINVAL, ret_error, "it cannot swap with %s",
				 pair   ? "itself"
				 : name ? name
					: "what is no name");
	r = check_target(pair, structure_subtype_name(s->subtype), resource, ret_error);
	if (r < 0)
		return r;
	if (s->subtype != STRUCTURE_CONTAINER && request->field != REQUEST_MAX)
		return fail_with(-EINVAL, ret_error, "%s %s swaps max, not current",
				 article(structure_subtype_name(s->subtype)),
				 structure_subtype_name(s->subtype));
	request->pair = pair;
	return 0;
}

static int get_target(struct model *model, const json_t *doc, struct request *request,
		      char **ret_error)
{
	const char *name = json_string_value(json_object_get(doc, "structure"));
	const char *resource = json_string_value(json_object_get(doc, "resource"));
	const char *type = json_string_value(json_object_get(doc, "structure_type"));
	int r;

	request->structure = name ? find(model, name, type) : NULL;
	if (!request->structure)
		return fail_with(-EINVAL, ret_error, "there is no structure %s",
				 name ? name : "in it");
	r = check_target(request->structure, type, resource, ret_error);
	if (r < 0)
		return r;
	request->resource = ebb_resource_from_name(resource);
	r = get_field(doc, &request->field, ret_error);
	if (r < 0)
		return r;
	return get_pair(model, doc, type, resource, request, ret_error);
}

int request_from_document(struct model *model, const json_t *doc, double now,
			  struct request *ret_request, char **ret_error)
{
	struct request request = {.origin = "database"};
	double amount, priority, age;
	const json_t *has_priority = json_object_get(doc, "priority");
	int r;

	r = get_target(model, doc, &request, ret_error);
	if (r >= 0)
		r = get_number(doc, "amount", NAN, &amount, ret_error);
	if (r >= 0)
		r = get_number(doc, "priority", 0, &priority, ret_error);
	if (r >= 0)
		r = get_number(doc, "power_budget", 0, &request.power_budget, ret_error);
	if (r >= 0)
		r = get_number(doc, "timestamp", now, &request.timestamp, ret_error);
	if (r < 0)
		return r;
	if (fabs(amount) < 1 || fabs(amount) > AMOUNT_MAX)
		return fail_with(-EINVAL, ret_error, "its amount of %g cannot be", amount);
	age = now - request.timestamp;
	if (age > model->scaler.request_timeout || age < -FUTURE_S)
		return fail_with(-EINVAL, ret_error,
				 "its timestamp is %.0f s %s (REQUEST_TIMEOUT is %g s)", fabs(age),
				 age > 0 ? "old" : "in the future", model->scaler.request_timeout);
	request.timestamp = fmin(request.timestamp, now);
	request.amount = (int64_t)amount;
	request.has_priority = has_priority && !json_is_null(has_priority);
	request.priority = (int)CLAMP(priority, -1000.0, 1000.0);

	*ret_request = request;
	return 0;
}

static void tell_refused(struct model *model, const char *id, const char *error, unsigned *lines)
{
	if ((*lines)++ < LINES_MAX)
		model_log(model, LOG_LEVEL_WARNING,
			  "Request %s in the database is deleted, not done: %s", id, error);
}

/* Could it be done now? Says why not. */
static bool is_possible(struct model *model, const char *id, const json_t *doc, double now,
			struct request *ret_request, unsigned *lines)
{
	_cleanup_free_ char *error = NULL;
	int r;

	if (json_is_null(doc))
		r = fail_with(-EINVAL, &error, "more than %d wait", MODEL_KEPT_MAX);
	else
		r = request_from_document(model, doc, now, ret_request, &error);
	if (r < 0)
		tell_refused(model, id, error ?: strerror(-r), lines);
	return r >= 0;
}

bool requests_take(struct model *model, double now)
{
	struct store *store = model_store(model);
	unsigned lines = 0;
	const char *id;
	json_t *doc;
	void *next;

	if (json_object_size(model->requests) == 0 || !store)
		return false;
	json_object_foreach_safe(model->requests, next, id, doc) {
		struct request request;

		if (!is_possible(model, id, doc, now, &request, &lines)) {
			store_delete(store, DB_REQUESTS, id);
		} else if (json_object_set(model->claimed, id, doc) < 0 ||
			   store_claim(store, DB_REQUESTS, id) < 0) {
			json_object_del(model->claimed, id);
			tell_refused(model, id, strerror(ENOMEM), &lines);
			store_delete(store, DB_REQUESTS, id);
		}
	}
	if (lines > LINES_MAX)
		model_log(model, LOG_LEVEL_WARNING, "And %u other requests", lines - LINES_MAX);
	json_object_clear(model->requests);
	return true;
}

bool request_claimed(struct model *model, struct scaler *scaler, const char *id, double now)
{
	_cleanup_json_ json_t *doc = json_incref(json_object_get(model->claimed, id));
	struct request request;
	unsigned lines = 0;
	int r;

	json_object_del(model->claimed, id);
	if (!model->leading) {
		json_object_del(model->requests, id);
		return false;
	}
	if (!doc || !is_possible(model, id, doc, now, &request, &lines))
		return false;
	r = scaler_request(scaler, &request);
	if (r < 0)
		tell_refused(model, id, strerror(-r), &lines);
	return r >= 0;
}
