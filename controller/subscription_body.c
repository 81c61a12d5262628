/* SPDX-License-Identifier: Apache-2.0 */
#include "subscription_body.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "rescaler.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_LEN_MAX 255
#define WEIGHT_MAX   1000000
/* A way through a body, for messages. */
#define WHERE_MAX 128

static const char *dot(const char *where)
{
	return *where ? "." : "";
}

int body_object(const json_t *body, const char *key, const json_t **ret_object, char **ret_error)
{
	const json_t *object = key ? json_object_get(body, key) : body;

	if (key && !object)
		return fail_with(-EINVAL, ret_error,
				 "Missing key '%s': the body is {\"%s\": {...}}", key, key);
	if (!json_is_object(object))
		return fail_with(-EINVAL, ret_error, "%s must be an object",
				 key ? key : "The body");
	*ret_object = object;
	return 0;
}

int body_has(const json_t *object, const char *where, const char *const *keys, size_t n,
	     char **ret_error)
{
	for (size_t i = 0; i < n; i++)
		if (!json_object_get(object, keys[i]))
			return fail_with(-EINVAL, ret_error, "Missing key '%s%s%s'", where,
					 dot(where), keys[i]);
	return 0;
}

int body_is_called(const json_t *object, const char *where, const char *name,
		   enum structure_subtype subtype, char **ret_error)
{
	const char *in_body = json_string_value(json_object_get(object, "name"));
	const char *kind = json_string_value(json_object_get(object, "subtype"));

	if (!in_body || strcmp(in_body, name) != 0)
		return fail_with(-EINVAL, ret_error,
				 "%s%sname is '%s', but the path says '%s': they must be the same",
				 where, dot(where), in_body ? in_body : "(not a string)", name);
	if (!structure_name_is_sane(name))
		return fail_with(-EINVAL, ret_error,
				 "%s%sname must be 1 to %d bytes without control characters, and "
				 "not 'free'",
				 where, dot(where), NAME_LEN_MAX);
	if (!kind || strcmp(kind, structure_subtype_name(subtype)) != 0)
		return fail_with(-EINVAL, ret_error, "%s%ssubtype must be \"%s\"", where,
				 dot(where), structure_subtype_name(subtype));
	return 0;
}

int body_number(const json_t *object, const char *where, const char *key, int64_t least,
		int64_t *ret_number, char **ret_error)
{
	double number;

	if (json_to_double(json_object_get(object, key), &number) < 0)
		return fail_with(-EINVAL, ret_error,
				 "%s%s%s must be a number, such as 100 or \"100\"", where,
				 dot(where), key);
	if (number != trunc(number) || number < (double)least || number > (double)BODY_NUMBER_MAX)
		return fail_with(-EINVAL, ret_error,
				 "%s%s%s must be a whole number from %lld to %lld", where,
				 dot(where), key, (long long)least, BODY_NUMBER_MAX);
	*ret_number = (int64_t)number;
	return 0;
}

int body_guard(const json_t *object, const char *where, char **ret_error)
{
	bool guard;

	if (json_to_bool(json_object_get(object, "guard"), &guard) < 0)
		return fail_with(-EINVAL, ret_error, "%s%sguard must be true or false", where,
				 dot(where));
	return 0;
}

int body_rescaler(const json_t *object, const char *where, char **ret_error)
{
	_cleanup_free_ char *address = NULL;
	int r;

	r = rescaler_address(object, &address);
	if (r == -EINVAL)
		return fail_with(r, ret_error,
				 "%s%shost_rescaler_ip must be a name or an IP alone, and "
				 "host_rescaler_port a port from 1 to 65535",
				 where, dot(where));
	return r;
}

static bool has_key(const char *const *keys, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

/* min <= current <= max. */
static int check_range(const json_t *object, const char *where, const char *const *keys, size_t n,
		       int64_t least, char **ret_error)
{
	bool has_min = has_key(keys, n, "min"), has_current = has_key(keys, n, "current");
	int64_t min = 0, current = 0, max;
	int r;

	/* As documents of the original have it, a min may be less than what can be set. */
	r = body_number(object, where, "max", MAX(least, 1), &max, ret_error);
	if (r >= 0 && has_min)
		r = body_number(object, where, "min", 0, &min, ret_error);
	if (r >= 0 && has_current)
		r = body_number(object, where, "current", MAX(least, 1), &current, ret_error);
	if (r < 0)
		return r;
	if (min > max)
		return fail_with(-EINVAL, ret_error, "%s.min %lld is above max %lld", where,
				 (long long)min, (long long)max);
	if (has_current && (current < min || current > max))
		return fail_with(-EINVAL, ret_error,
				 "%s.current %lld is not from min %lld to max %lld", where,
				 (long long)current, (long long)min, (long long)max);
	return 0;
}

static int check_resource(const json_t *object, const char *where, enum ebb_resource resource,
			  enum structure_subtype subtype, const char *const *keys, size_t n,
			  char **ret_error)
{
	bool container = subtype == STRUCTURE_CONTAINER;
	const json_t *weight = json_object_get(object, "weight");
	double number;
	int r;

	if (!json_is_object(object))
		return fail_with(-EINVAL, ret_error, "%s must be an object", where);
	r = body_has(object, where, keys, n, ret_error);
	if (r >= 0)
		r = check_range(object, where, keys, n, container ? resource_least(resource) : 0,
				ret_error);
	if (r < 0)
		return r;
	if (weight && (json_to_double(weight, &number) < 0 || number < 0 || number > WEIGHT_MAX))
		return fail_with(-EINVAL, ret_error, "%s.weight must be a number, 0 to %d", where,
				 WEIGHT_MAX);
	return has_key(keys, n, "guard") ? body_guard(object, where, ret_error) : 0;
}

int body_resources(const json_t *object, const char *where, enum structure_subtype subtype,
		   const char *const *keys, size_t n, char **ret_error)
{
	static const char *const both[] = {"cpu", "mem"};
	const json_t *resources = json_object_get(object, "resources");
	char path[WHERE_MAX];
	const char *name;
	json_t *member;
	int r;

	snprintf(path, sizeof(path), "%s%sresources", where, dot(where));
	if (!json_is_object(resources))
		return fail_with(-EINVAL, ret_error, "%s must be an object", path);
	r = body_has(resources, path, both, ARRAY_SIZE(both), ret_error);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)resources, name, member) {
		enum ebb_resource resource = ebb_resource_from_name(name);

		if ((subtype == STRUCTURE_CONTAINER && strcmp(name, "disk") == 0) ||
		    (subtype == STRUCTURE_HOST && strcmp(name, "disks") == 0))
			continue;
		if (resource == EBB_RESOURCE_INVALID)
			return fail_with(-EINVAL, ret_error,
					 "Resource '%.64s' in %s is not valid. Use cpu, mem, "
					 "disk_read, disk_write, net or energy%s",
					 name, path,
					 subtype == STRUCTURE_CONTAINER ? ", and disk"
					 : subtype == STRUCTURE_HOST    ? ", and disks"
									: "");
		snprintf(path, sizeof(path), "%s%sresources.%s", where, dot(where), name);
		r = check_resource(member, path, resource, subtype, keys, n, ret_error);
		if (r < 0)
			return r;
		snprintf(path, sizeof(path), "%s%sresources", where, dot(where));
	}
	return 0;
}

static int check_limit(const json_t *object, const char *name, char **ret_error)
{
	const char *type = json_string_value(json_object_get(object, "boundary_type"));
	char where[WHERE_MAX];
	int64_t boundary;
	int r;

	snprintf(where, sizeof(where), "limits.resources.%s", name);
	if (!json_is_object(object))
		return fail_with(-EINVAL, ret_error, "%s must be an object", where);
	r = body_number(object, where, "boundary", 0, &boundary, ret_error);
	if (r < 0)
		return r;
	if (boundary > 100)
		return fail_with(-EINVAL, ret_error, "%s.boundary must be a percentage, 0 to 100",
				 where);
	if (!type || boundary_type_from_name(type) == BOUNDARY_TYPE_MAX)
		return fail_with(-EINVAL, ret_error,
				 "%s.boundary_type must be percentage_of_max or "
				 "percentage_of_current",
				 where);
	return 0;
}

int body_limits(const json_t *body, const json_t *object, const char *where, bool both_needed,
		char **ret_error)
{
	static const char *const both[] = {"cpu", "mem"};
	const json_t *has = json_object_get(object, "resources"), *limits, *resources;
	const char *name;
	json_t *member;
	int r;

	r = body_object(body, "limits", &limits, ret_error);
	if (r < 0)
		return r;
	resources = json_object_get(limits, "resources");
	if (!json_is_object(resources))
		return fail_with(-EINVAL, ret_error,
				 "limits.resources must be an object, such as {\"cpu\": "
				 "{\"boundary\": 10, \"boundary_type\": \"percentage_of_max\"}}");
	if (both_needed) {
		r = body_has(resources, "limits.resources", both, ARRAY_SIZE(both), ret_error);
		if (r < 0)
			return r;
	}
	json_object_foreach((json_t *)resources, name, member) {
		if (ebb_resource_from_name(name) == EBB_RESOURCE_INVALID ||
		    !json_object_get(has, name))
			return fail_with(-EINVAL, ret_error,
					 "limits.resources.%.64s has no counterpart in "
					 "%s.resources",
					 name, where);
		r = check_limit(member, name, ret_error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "false" became of a shell's false. */
static void set_guard(json_t *object)
{
	bool guard;

	if (json_to_bool(json_object_get(object, "guard"), &guard) == 0)
		json_object_set_new(object, "guard", json_boolean(guard));
}

json_t *body_document(const json_t *object)
{
	static const char *const ours[] = {"_id",         "_rev",
					   "_deleted",    "type",
					   "automatic",   "containers",
					   "clusters",    "user",
					   "feed_in_use", "container_scaler",
					   "subscribing", SUBSCRIPTION_LIMITS_BEFORE};
	static const char *const of_resource[] = {"allocated", "held", "operating",
						  "usage",     "free", "core_usage_mapping"};
	json_t *doc = json_deep_copy(object), *resource;
	const char *name;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		json_object_del(doc, ours[i]);
	set_guard(doc);
	json_object_foreach(json_object_get(doc, "resources"), name, resource) {
		for (size_t i = 0; i < ARRAY_SIZE(of_resource); i++)
			json_object_del(resource, of_resource[i]);
		set_guard(resource);
	}
	return doc;
}
