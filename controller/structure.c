/* SPDX-License-Identifier: Apache-2.0 */
#include "structure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "drift.h"
#include "headroom.h"
#include "fail.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_LEN_MAX 255

/* Doubles, which strings and reals go through, hold integers exactly up to here. */
#define EXACT_MAX 9007199254740992.0

static const char *const subtype_names[STRUCTURE_SUBTYPE_MAX] = {
	[STRUCTURE_HOST] = "host",
	[STRUCTURE_CONTAINER] = "container",
	[STRUCTURE_APPLICATION] = "application",
	[STRUCTURE_USER] = "user",
};

static const char *const boundary_type_names[BOUNDARY_TYPE_MAX] = {
	[BOUNDARY_PERCENTAGE_OF_MAX] = "percentage_of_max",
	[BOUNDARY_PERCENTAGE_OF_CURRENT] = "percentage_of_current",
};

/* Fields that the structs hold; everything else stays in `doc` and `limits_doc`. */
static const char *const document_fields[] = {"name", "subtype", "guard", "automatic",
					      "subscribing"};
static const char *const resource_fields[] = {"max",   "min",       "current", "guard",    "weight",
					      "usage", "allocated", "held",    "operating"};
static const char *const limits_fields[] = {"boundary", "boundary_type", "upper", "lower"};

int64_t resource_least(enum ebb_resource resource)
{
	return resource == EBB_MEM ? 64 : resource == EBB_CPU ? 1 : 0;
}

int64_t resource_floor(const struct resource_state *state, enum ebb_resource resource)
{
	return MAX(state->min, resource_least(resource));
}

bool structure_name_is_sane(const char *name)
{
	return name && name_is_sane(name, NAME_LEN_MAX) && strcmp(name, "free") != 0;
}

const char *structure_subtype_name(enum structure_subtype subtype)
{
	return (unsigned)subtype < STRUCTURE_SUBTYPE_MAX ? subtype_names[subtype] : NULL;
}

static enum structure_subtype subtype_from_name(const char *name)
{
	unsigned i;

	for (i = 0; i < STRUCTURE_SUBTYPE_MAX; i++)
		if (strcmp(name, subtype_names[i]) == 0)
			break;
	return i;
}

const char *boundary_type_name(enum boundary_type type)
{
	return (unsigned)type < BOUNDARY_TYPE_MAX ? boundary_type_names[type] : NULL;
}

enum boundary_type boundary_type_from_name(const char *name)
{
	unsigned i;

	for (i = 0; i < BOUNDARY_TYPE_MAX; i++)
		if (strcmp(name, boundary_type_names[i]) == 0)
			break;
	return i;
}

int json_to_double(const json_t *value, double *ret_value)
{
	double v;
	int r;

	if (json_is_number(value)) {
		v = json_number_value(value);
	} else if (json_is_string(value)) {
		r = parse_double(json_string_value(value), &v);
		if (r < 0)
			return r;
	} else {
		return -EINVAL;
	}
	if (!isfinite(v))
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int json_to_bool(const json_t *value, bool *ret_value)
{
	const char *text = json_string_value(value);
	bool v;

	if (json_is_boolean(value))
		v = json_is_true(value);
	else if (json_is_integer(value) && (json_integer_value(value) & ~1LL) == 0)
		v = json_integer_value(value) != 0;
	else if (text && (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0))
		v = true;
	else if (text && (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0))
		v = false;
	else
		return -EINVAL;
	*ret_value = v;
	return 0;
}

int json_to_int64(const json_t *value, int64_t *ret_value)
{
	double v;
	int r;

	r = json_to_double(value, &v);
	if (r < 0)
		return r;
	if (fabs(v) > EXACT_MAX)
		return -ERANGE;
	*ret_value = (int64_t)v;
	return 0;
}

/* A field that may be absent (then `value` stays). */
static int get_int64(const json_t *object, const char *where, const char *key, int64_t least,
		     int64_t *value, char **ret_error)
{
	const json_t *field = json_object_get(object, key);
	int64_t v;

	if (!field || json_is_null(field))
		return 0;
	if (json_to_int64(field, &v) < 0)
		return fail_with(-EINVAL, ret_error, "%s.%s: not a number", where, key);
	if (v < least)
		return fail_with(-EINVAL, ret_error, "%s.%s: %lld is below %lld", where, key,
				 (long long)v, (long long)least);
	*value = v;
	return 0;
}

static int get_bool(const json_t *object, const char *where, const char *key, bool *value,
		    char **ret_error)
{
	const json_t *field = json_object_get(object, key);
	const char *text = json_string_value(field);

	if (!field || json_is_null(field))
		return 0;
	if (json_is_boolean(field))
		*value = json_is_true(field);
	else if (text && (!strcmp(text, "true") || !strcmp(text, "false")))
		*value = text[0] == 't';
	else
		return fail_with(-EINVAL, ret_error, "%s%s%s: must be true or false", where,
				 *where ? "." : "", key);
	return 0;
}

/* What gave its shares back comes back to its own limits, also after the controller was started
 * again. */
static int held_from_json(const json_t *doc, struct structure *structure, char **ret_error)
{
	const json_t *resources = json_object_get(doc, "resources");

	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const char *name = ebb_resource_name(i);
		bool held = false, operating = false;
		int r;

		r = get_bool(json_object_get(resources, name), name, "held", &held, ret_error);
		if (r < 0)
			return r;
		r = get_bool(json_object_get(resources, name), name, "operating", &operating,
			     ret_error);
		if (r < 0)
			return r;
		if (operating)
			structure->operating |= 1u << i;
		/* What is accounted was not given back. */
		if (held && structure->resources[i].allocated <= 0)
			structure->held |= 1u << i;
	}
	structure->gone = structure->held != 0;
	return 0;
}

static int resource_from_json(const json_t *object, const char *where,
			      struct resource_state *resource, char **ret_error)
{
	const json_t *weight = json_object_get(object, "weight");
	const json_t *usage = json_object_get(object, "usage");
	int r;

	if (!json_is_object(object))
		return fail_with(-EINVAL, ret_error, "%s: not an object", where);
	r = get_int64(object, where, "max", 0, &resource->max, ret_error);
	if (r >= 0)
		r = get_int64(object, where, "min", 0, &resource->min, ret_error);
	if (r >= 0)
		r = get_int64(object, where, "current", INT64_MIN, &resource->current, ret_error);
	if (r >= 0)
		r = get_int64(object, where, "allocated", 0, &resource->allocated, ret_error);
	if (r >= 0)
		r = get_bool(object, where, "guard", &resource->guard, ret_error);
	if (r < 0)
		return r;
	if (resource->current < 0)
		resource->current = -1;
	/* A max of 0 is one that nobody has set. */
	if (resource->max > 0 && resource->min > resource->max)
		return fail_with(-EINVAL, ret_error, "%s: min %lld is above max %lld", where,
				 (long long)resource->min, (long long)resource->max);
	if (weight && !json_is_null(weight)) {
		if (json_to_double(weight, &resource->weight) < 0 || resource->weight < 0)
			return fail_with(-EINVAL, ret_error,
					 "%s.weight: must be a number, 0 or more", where);
	}
	if (usage && !json_is_null(usage) && json_to_double(usage, &resource->usage) < 0)
		return fail_with(-EINVAL, ret_error, "%s.usage: not a number", where);
	/* -1 is how the original writes "none". */
	if (resource->usage < 0)
		resource->usage = NAN;
	resource->present = true;
	return 0;
}

static int limit_from_json(const json_t *object, const char *where, struct resource_state *resource,
			   char **ret_error)
{
	const char *type = json_string_value(json_object_get(object, "boundary_type"));
	int64_t boundary = -1;
	int r;

	if (!json_is_object(object))
		return fail_with(-EINVAL, ret_error, "%s: not an object", where);
	r = get_int64(object, where, "boundary", 0, &boundary, ret_error);
	if (r >= 0)
		r = get_int64(object, where, "upper", INT64_MIN, &resource->upper, ret_error);
	if (r >= 0)
		r = get_int64(object, where, "lower", INT64_MIN, &resource->lower, ret_error);
	if (r < 0)
		return r;
	/* The original left negative ones behind (spec 5.3, current 0). */
	resource->upper = MAX(resource->upper, -1);
	resource->lower = MAX(resource->lower, -1);
	if (boundary < 0)
		return fail_with(-EINVAL, ret_error, "%s.boundary: missing; a percentage, 0 to 100",
				 where);
	if (boundary > 100)
		return fail_with(-EINVAL, ret_error,
				 "%s.boundary: %lld is not a percentage, 0 to 100", where,
				 (long long)boundary);
	if (!type || boundary_type_from_name(type) == BOUNDARY_TYPE_MAX)
		return fail_with(-EINVAL, ret_error,
				 "%s.boundary_type: must be percentage_of_max or "
				 "percentage_of_current",
				 where);
	resource->boundary_type = boundary_type_from_name(type);
	resource->boundary = (int)boundary;
	resource->has_boundary = true;
	return 0;
}

static void strip(json_t *object, const char *const *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_object_del(object, fields[i]);
}

/* What is left of each resource when the typed fields are gone; empty ones go. */
static void strip_resources(json_t *doc, const char *const *fields, size_t n)
{
	json_t *resources = json_object_get(doc, "resources");

	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		json_t *object = json_object_get(resources, ebb_resource_name(i));

		strip(object, fields, n);
		if (json_object_size(object) == 0)
			json_object_del(resources, ebb_resource_name(i));
	}
	if (json_object_size(resources) == 0)
		json_object_del(doc, "resources");
}

static void strip_constant(json_t *doc, const char *key, const char *value)
{
	const char *text = json_string_value(json_object_get(doc, key));

	if (text && strcmp(text, value) == 0)
		json_object_del(doc, key);
}

static int keep_extra(const json_t *doc, const char *type, const char *const *fields, size_t n,
		      const char *const *of_resource, size_t n_of_resource, json_t **ret_extra)
{
	_cleanup_json_ json_t *extra = json_deep_copy(doc);

	if (!extra)
		return -ENOMEM;
	strip(extra, fields, n);
	strip_constant(extra, "type", type);
	strip_resources(extra, of_resource, n_of_resource);
	*ret_extra = json_object_size(extra) > 0 ? TAKE_PTR(extra) : NULL;
	return 0;
}

struct structure *structure_new(const char *name, enum structure_subtype subtype)
{
	struct structure *structure = calloc(1, sizeof(*structure));

	if (!structure)
		return NULL;
	structure->name = strdup(name);
	if (!structure->name) {
		free(structure);
		return NULL;
	}
	structure->subtype = subtype;
	structure->throttled = NAN;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		structure->resources[i].current = -1;
		structure->resources[i].usage = NAN;
		structure->resources[i].upper = structure->resources[i].lower = -1;
		structure->physical[i] = INT64_MIN;
	}
	return structure;
}

void structure_free(struct structure *structure)
{
	if (!structure)
		return;
	json_decref(structure->doc);
	json_decref(structure->limits_doc);
	free(structure->history);
	free(structure->balance_history);
	free(structure->contribution);
	free(structure->sums);
	free(structure->cpus);
	free(structure->host_name);
	free(structure->name);
	free(structure);
}

static void cleanup_structurep(struct structure **structure)
{
	structure_free(*structure);
}

typedef int (*resource_parser)(const json_t *object, const char *where,
			       struct resource_state *resource, char **ret_error);

/* Every known resource of `doc` through `parse`. */
static int resources_from_json(const json_t *doc, const char *what, resource_parser parse,
			       struct resource_state *resources, char **ret_error)
{
	const json_t *members = json_object_get(doc, "resources");
	char where[64];
	int r;

	if (members && !json_is_object(members))
		return fail_with(-EINVAL, ret_error, "%s: not an object", what);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const json_t *object = json_object_get(members, ebb_resource_name(i));

		if (!object)
			continue;
		snprintf(where, sizeof(where), "%s.%s", what, ebb_resource_name(i));
		r = parse(object, where, &resources[i], ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

int structure_set_limits(struct structure *structure, const json_t *limits, char **ret_error)
{
	struct resource_state resources[EBB_RESOURCE_MAX];
	json_t *extra;
	int r;

	if (!json_is_object(limits))
		return fail_with(-EINVAL, ret_error, "limits: not an object");
	memcpy(resources, structure->resources, sizeof(resources));
	r = resources_from_json(limits, "limits", limit_from_json, resources, ret_error);
	if (r >= 0)
		r = keep_extra(limits, "limit", document_fields, 1, limits_fields,
			       ARRAY_SIZE(limits_fields), &extra);
	if (r < 0)
		return r;
	memcpy(structure->resources, resources, sizeof(resources));
	json_decref(structure->limits_doc);
	structure->limits_doc = extra;
	return 0;
}

static const char *document_type(enum structure_subtype subtype)
{
	return subtype == STRUCTURE_USER ? "user" : "structure";
}

/* STRUCTURE_SUBTYPE_MAX with `ret_error`: none that belongs there. */
static enum structure_subtype subtype_of(const json_t *doc, bool user, char **ret_error)
{
	const json_t *value = json_object_get(doc, "subtype");
	const char *name = json_string_value(value);
	enum structure_subtype subtype = name ? subtype_from_name(name) : STRUCTURE_SUBTYPE_MAX;

	if (user && (!value || subtype == STRUCTURE_USER))
		return STRUCTURE_USER;
	if (user)
		fail_with(-EINVAL, ret_error, "subtype: must be user");
	else if (subtype == STRUCTURE_USER)
		fail_with(-EINVAL, ret_error, "subtype: a user belongs in the database users");
	else if (subtype == STRUCTURE_SUBTYPE_MAX)
		fail_with(-EINVAL, ret_error, "subtype: must be host, container or application");
	else
		return subtype;
	return STRUCTURE_SUBTYPE_MAX;
}

static int from_json(const json_t *doc, const json_t *limits, bool user,
		     struct structure **ret_structure, char **ret_error)
{
	__attribute__((cleanup(cleanup_structurep))) struct structure *structure = NULL;
	const char *name = json_string_value(json_object_get(doc, "name"));
	const json_t *host = json_object_get(doc, "host");
	const json_t *drift = json_object_get(doc, DRIFT_KEY);
	enum structure_subtype subtype;
	bool subscribing = false, reflex = true;
	int r;

	if (!json_is_object(doc))
		return fail_with(-EINVAL, ret_error, "not an object");
	if (!name || !name_is_sane(name, NAME_LEN_MAX))
		return fail_with(
			-EINVAL, ret_error,
			"name: must be a string of 1 to %d bytes without control characters",
			NAME_LEN_MAX);
	subtype = subtype_of(doc, user, ret_error);
	if (subtype == STRUCTURE_SUBTYPE_MAX)
		return -EINVAL;
	if (host && !json_is_null(host) &&
	    (!json_is_string(host) || !name_is_sane(json_string_value(host), NAME_LEN_MAX)))
		return fail_with(-EINVAL, ret_error, "host: not the name of a host");
	if (drift && !json_is_null(drift) && drift_from_json(drift) == DRIFT_MAX)
		return fail_with(-EINVAL, ret_error, "drift: must be reassert, accept or manual");

	structure = structure_new(name, subtype);
	if (!structure)
		return -ENOMEM;
	r = get_bool(doc, "", "guard", &structure->guard, ret_error);
	if (r >= 0)
		r = get_bool(doc, "", "automatic", &structure->automatic, ret_error);
	if (r >= 0)
		r = get_bool(doc, "", "subscribing", &subscribing, ret_error);
	structure->subscription = subscribing;
	if (r >= 0)
		r = get_bool(doc, "", REFLEX_KEY, &reflex, ret_error);
	if (r >= 0)
		r = resources_from_json(doc, "resources", resource_from_json, structure->resources,
					ret_error);
	if (r >= 0 && structure->subtype == STRUCTURE_CONTAINER)
		r = held_from_json(doc, structure, ret_error);
	if (r >= 0)
		r = keep_extra(doc, document_type(subtype), document_fields,
			       ARRAY_SIZE(document_fields), resource_fields,
			       ARRAY_SIZE(resource_fields), &structure->doc);
	if (r >= 0 && limits)
		r = structure_set_limits(structure, limits, ret_error);
	if (r < 0)
		return r;
	if (json_is_string(host) && structure->subtype == STRUCTURE_CONTAINER) {
		structure->host_name = strdup(json_string_value(host));
		if (!structure->host_name)
			return -ENOMEM;
		json_object_del(structure->doc, "host");
	}
	*ret_structure = TAKE_PTR(structure);
	return 0;
}

int structure_from_json(const json_t *doc, const json_t *limits, struct structure **ret_structure,
			char **ret_error)
{
	return from_json(doc, limits, false, ret_structure, ret_error);
}

int user_from_json(const json_t *doc, const json_t *limits, struct structure **ret_user,
		   char **ret_error)
{
	return from_json(doc, limits, true, ret_user, ret_error);
}

static json_t *copy_or_share(json_t *value, bool share)
{
	return share ? json_incref(value) : json_deep_copy(value);
}

/* Adds what `out` does not have, inside each resource too. */
static int add_extra(json_t *out, const json_t *extra, json_t *out_resources, bool share)
{
	const char *key;
	json_t *value, *object;
	int r = 0;

	json_object_foreach((json_t *)extra, key, value) {
		if (strcmp(key, "resources") != 0) {
			if (!json_object_get(out, key))
				r |= json_object_set_new(out, key, copy_or_share(value, share));
			continue;
		}
		const char *name;

		json_object_foreach(value, name, object) {
			json_t *into = json_object_get(out_resources, name);
			_cleanup_json_ json_t *copy = copy_or_share(object, share);

			if (into && copy)
				r |= json_object_update_missing(into, copy);
			else
				r |= json_object_set(out_resources, name, copy);
		}
	}
	return r;
}

static json_t *resource_to_json(const struct structure *structure, enum ebb_resource which)
{
	const struct resource_state *resource = &structure->resources[which];
	/* Of these the original writes neither. */
	bool bare = structure->subtype == STRUCTURE_HOST || structure->subtype == STRUCTURE_USER;
	json_t *out = json_object();
	int r;

	if (!out)
		return NULL;
	r = json_object_set_new(out, "max", json_integer(resource->max));
	if (resource->current >= 0)
		r |= json_object_set_new(out, "current", json_integer(resource->current));
	if (!bare || resource->min > 0)
		r |= json_object_set_new(out, "min", json_integer(resource->min));
	if (!bare || resource->guard)
		r |= json_object_set_new(out, "guard", json_boolean(resource->guard));
	if (resource->weight > 0)
		r |= json_object_set_new(out, "weight", json_real(resource->weight));
	if (structure_is_parent(structure) && !isnan(resource->usage))
		r |= json_object_set_new(out, "usage", json_real(resource->usage));
	if (resource->allocated > 0)
		r |= json_object_set_new(out, "allocated", json_integer(resource->allocated));
	if (structure->held & 1u << which)
		r |= json_object_set_new(out, "held", json_true());
	if (structure->operating & 1u << which)
		r |= json_object_set_new(out, "operating", json_true());
	if (r != 0) {
		json_decref(out);
		return NULL;
	}
	return out;
}

static json_t *to_json(const struct structure *structure, bool share)
{
	_cleanup_json_ json_t *out = json_object();
	json_t *resources = json_object();
	int r = 0;

	if (!json_object_get(structure->doc, "type"))
		r |= json_object_set_new(out, "type",
					 json_string(document_type(structure->subtype)));
	r |= json_object_set_new(out, "subtype",
				 json_string(structure_subtype_name(structure->subtype)));
	r |= json_object_set_new(out, "name", json_string(structure->name));
	if (structure->host_name)
		r |= json_object_set_new(out, "host", json_string(structure->host_name));
	if (structure->guard || structure->subtype != STRUCTURE_USER)
		r |= json_object_set_new(out, "guard", json_boolean(structure->guard));
	if (structure->automatic)
		r |= json_object_set_new(out, "automatic", json_true());
	if (structure->subscription)
		r |= json_object_set_new(out, "subscribing", json_true());
	r |= json_object_set_new(out, "resources", resources);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		if (structure->resources[i].present)
			r |= json_object_set_new(resources, ebb_resource_name(i),
						 resource_to_json(structure, i));
	}
	r |= add_extra(out, structure->doc, resources, share);
	return r == 0 ? TAKE_PTR(out) : NULL;
}

json_t *structure_to_json(const struct structure *structure)
{
	return to_json(structure, false);
}

json_t *structure_to_json_shared(const struct structure *structure)
{
	return to_json(structure, true);
}

json_t *structure_limits_to_json(const struct structure *structure)
{
	_cleanup_json_ json_t *out = NULL;
	json_t *resources;
	bool any = structure->limits_doc != NULL;
	int r = 0;

	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		any |= structure->resources[i].has_boundary;
	if (!any)
		return NULL;

	out = json_object();
	resources = json_object();
	if (!json_object_get(structure->limits_doc, "type"))
		r |= json_object_set_new(out, "type", json_string("limit"));
	r |= json_object_set_new(out, "name", json_string(structure->name));
	r |= json_object_set_new(out, "resources", resources);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_state *resource = &structure->resources[i];
		json_t *object;

		if (!resource->has_boundary)
			continue;
		object = json_pack("{s:i, s:s}", "boundary", resource->boundary, "boundary_type",
				   boundary_type_name(resource->boundary_type));
		if (resource->upper >= 0)
			r |= json_object_set_new(object, "upper", json_integer(resource->upper));
		if (resource->lower >= 0)
			r |= json_object_set_new(object, "lower", json_integer(resource->lower));
		r |= json_object_set_new(resources, ebb_resource_name(i), object);
	}
	r |= add_extra(out, structure->limits_doc, resources, false);
	return r == 0 ? TAKE_PTR(out) : NULL;
}

json_t *structure_own_doc(json_t **doc)
{
	json_t *own;

	if (*doc && (*doc)->refcount == 1)
		return *doc;
	own = *doc ? json_copy(*doc) : json_object();
	if (!own)
		return NULL;
	json_decref(*doc);
	*doc = own;
	return own;
}
