/* SPDX-License-Identifier: Apache-2.0 */
#include "document_merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

/* Where in a document an object stands: what its members are depends on it. */
enum place {
	PLACE_TOP,
	PLACE_RESOURCES, /* resources */
	PLACE_RESOURCE,  /* resources.NAME */
	PLACE_DISKS,     /* resources.disks of a host */
	PLACE_DISK,      /* resources.disks.NAME */
	PLACE_OTHER,
};

enum owner {
	OWNER_CONFIG,
	OWNER_OURS,
	OWNER_ADDITIVE,
	OWNER_SET, /* a list without an order: what each side added and removed counts */
};

struct merge {
	enum store_db db;
	bool host;
	bool base_known;
	char *lost;
	bool no_memory;
};

/* The way to a field, for `lost`. */
struct path {
	const struct path *up;
	const char *key;
};

static bool one_of(const char *key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(key, names[i]) == 0)
			return true;
	return false;
}

static enum owner owner_of_resource(const struct merge *merge, const char *key)
{
	static const char *const structure[] = {"current", "usage",     "allocated",
						"held",    "operating", "core_usage_mapping"};
	static const char *const limits[] = {"upper", "lower"};

	if (merge->db == DB_LIMITS)
		return one_of(key, limits, ARRAY_SIZE(limits)) ? OWNER_OURS : OWNER_CONFIG;
	if (one_of(key, structure, ARRAY_SIZE(structure)))
		return OWNER_OURS;
	return merge->host && strcmp(key, "free") == 0 ? OWNER_ADDITIVE : OWNER_CONFIG;
}

static enum owner owner_of(const struct merge *merge, enum place place, const char *key)
{
	static const char *const service[] = {"heartbeat", "heartbeat_human"};
	static const char *const sets[] = {"containers", "clusters"};

	switch (place) {
	case PLACE_TOP:
		if (merge->db == DB_SERVICES && one_of(key, service, ARRAY_SIZE(service)))
			return OWNER_OURS;
		if ((merge->db == DB_STRUCTURES || merge->db == DB_USERS) &&
		    one_of(key, sets, ARRAY_SIZE(sets)))
			return OWNER_SET;
		return OWNER_CONFIG;
	case PLACE_RESOURCE: return owner_of_resource(merge, key);
	case PLACE_DISK: return strncmp(key, "free_", 5) == 0 ? OWNER_ADDITIVE : OWNER_CONFIG;
	default: return OWNER_CONFIG;
	}
}

static enum place place_of(const struct merge *merge, enum place parent, const char *key)
{
	bool resources =
		merge->db == DB_STRUCTURES || merge->db == DB_LIMITS || merge->db == DB_USERS;

	switch (parent) {
	case PLACE_TOP:
		return resources && strcmp(key, "resources") == 0 ? PLACE_RESOURCES : PLACE_OTHER;
	case PLACE_RESOURCES:
		return merge->host && strcmp(key, "disks") == 0 ? PLACE_DISKS : PLACE_RESOURCE;
	case PLACE_DISKS: return PLACE_DISK;
	default: return PLACE_OTHER;
	}
}

static bool same_objects(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)a, key, value)
		if (!document_same(value, json_object_get(b, key)))
			return false;
	return true;
}

bool document_same(const json_t *a, const json_t *b)
{
	if (a == b)
		return true;
	if (!a || !b)
		return false;
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_object(a))
		return same_objects(a, b);
	if (!json_is_array(a))
		return json_equal(a, b);
	if (json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 0; i < json_array_size(a); i++)
		if (!document_same(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

/* What the document gets must not be shared with the three: callers go on changing theirs. */
static json_t *copy(struct merge *merge, const json_t *value)
{
	json_t *copied;

	if (!value)
		return NULL;
	copied = json_deep_copy(value);
	if (!copied)
		merge->no_memory = true;
	return copied;
}

static size_t format_path(const struct path *path, char *buffer, size_t size)
{
	size_t at = path->up ? format_path(path->up, buffer, size) : 0;

	if (at < size)
		at += (size_t)snprintf(buffer + at, size - at, "%s%s", at ? "." : "", path->key);
	return at;
}

static void note_lost(struct merge *merge, const struct path *path)
{
	char text[512] = "";

	if (merge->lost || !merge->base_known || !path)
		return;
	format_path(path, text, sizeof(text));
	merge->lost = strdup(text);
	if (!merge->lost)
		merge->no_memory = true;
}

static bool contains(const json_t *list, const json_t *item)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (document_same(json_array_get(list, i), item))
			return true;
	return false;
}

static json_t *merge_sets(struct merge *merge, const json_t *base, const json_t *ours,
			  const json_t *theirs)
{
	json_t *out = json_array();
	int r = out ? 0 : -1;

	for (size_t i = 0; i < json_array_size(theirs) && r == 0; i++) {
		const json_t *item = json_array_get(theirs, i);

		if (!contains(base, item) || contains(ours, item))
			r = json_array_append_new(out, copy(merge, item));
	}
	for (size_t i = 0; i < json_array_size(ours) && r == 0; i++) {
		const json_t *item = json_array_get(ours, i);

		if (!contains(base, item) && !contains(out, item))
			r = json_array_append_new(out, copy(merge, item));
	}
	if (r != 0)
		merge->no_memory = true;
	return out;
}

static json_t *add_up(struct merge *merge, const json_t *base, const json_t *ours,
		      const json_t *theirs)
{
	json_t *sum;

	if (!json_is_number(base) || !json_is_number(ours) || !json_is_number(theirs))
		return copy(merge, ours);
	if (json_is_integer(base) && json_is_integer(ours) && json_is_integer(theirs)) {
		json_int_t value;

		/* What no integer holds is nobody's doing: ours. */
		if (__builtin_sub_overflow(json_integer_value(ours), json_integer_value(base),
					   &value) ||
		    __builtin_add_overflow(value, json_integer_value(theirs), &value))
			return copy(merge, ours);
		sum = json_integer(value);
	} else {
		double value = json_number_value(theirs) +
			       (json_number_value(ours) - json_number_value(base));

		if (!isfinite(value))
			return copy(merge, ours);
		sum = json_real(value);
	}
	if (!sum)
		merge->no_memory = true;
	return sum;
}

static json_t *merge_objects(struct merge *merge, enum place place, const struct path *path,
			     const json_t *base, const json_t *ours, const json_t *theirs);

/* Is the configuration in `value` still that of `base`, whatever its owned fields are? */
static bool same_config(struct merge *merge, enum place place, const json_t *base,
			const json_t *value)
{
	struct merge quiet = {.db = merge->db, .host = merge->host};
	_cleanup_json_ json_t *merged = NULL;

	if (!json_is_object(base) || !json_is_object(value))
		return document_same(base, value);
	merged = merge_objects(&quiet, place, NULL, base, base, value);
	merge->no_memory |= quiet.no_memory;
	return document_same(merged, base);
}

/* A value or an object that at least one side has, in `place` when it is an object. NULL: gone. */
static json_t *merge_config(struct merge *merge, enum place place, const struct path *path,
			    const json_t *base, const json_t *ours, const json_t *theirs)
{
	if (json_is_object(ours) && json_is_object(theirs))
		return merge_objects(merge, place, path, json_is_object(base) ? base : NULL, ours,
				     theirs);
	/* From here on at most one of them is an object. */
	if (document_same(ours, theirs) || same_config(merge, place, base, theirs))
		return copy(merge, ours);
	if (!same_config(merge, place, base, ours))
		note_lost(merge, path);
	return copy(merge, theirs);
}

static json_t *merge_member(struct merge *merge, enum place place, const struct path *path,
			    const json_t *base, const json_t *ours, const json_t *theirs)
{
	bool lists = json_is_array(ours) && json_is_array(theirs);

	switch (owner_of(merge, place, path->key)) {
	case OWNER_OURS: return copy(merge, ours);
	case OWNER_ADDITIVE:
		if (document_same(base, theirs))
			return copy(merge, ours);
		/* We left it as it was. */
		if (base && document_same(base, ours) && json_is_number(theirs))
			return copy(merge, theirs);
		return add_up(merge, base, ours, theirs);
	case OWNER_SET:
		if (lists && !document_same(ours, theirs) && !document_same(base, theirs) &&
		    !document_same(base, ours))
			return merge_sets(merge, base, ours, theirs);
		break;
	case OWNER_CONFIG: break;
	}
	return merge_config(merge, place_of(merge, place, path->key), path, base, ours, theirs);
}

static void set_member(struct merge *merge, json_t *out, const char *key, json_t *value)
{
	if (value && json_object_set_new(out, key, value) < 0)
		merge->no_memory = true;
}

static json_t *merge_objects(struct merge *merge, enum place place, const struct path *path,
			     const json_t *base, const json_t *ours, const json_t *theirs)
{
	json_t *out = json_object();
	const char *key;
	json_t *value;

	if (!out) {
		merge->no_memory = true;
		return NULL;
	}
	json_object_foreach((json_t *)ours, key, value) {
		const struct path here = {path, key};

		set_member(merge, out, key,
			   merge_member(merge, place, &here, json_object_get(base, key), value,
					json_object_get(theirs, key)));
	}
	json_object_foreach((json_t *)theirs, key, value) {
		const struct path here = {path, key};

		if (!json_object_get(ours, key))
			set_member(merge, out, key,
				   merge_member(merge, place, &here, json_object_get(base, key),
						NULL, value));
	}
	return out;
}

static bool is_host(enum store_db db, const json_t *doc)
{
	const char *subtype = json_string_value(json_object_get(doc, "subtype"));

	return db == DB_STRUCTURES && subtype && strcmp(subtype, "host") == 0;
}

json_t *document_merge(enum store_db db, const json_t *base, const json_t *ours,
		       const json_t *theirs, bool *ret_theirs, char **ret_lost)
{
	struct merge merge = {
		.db = db,
		.host = is_host(db, ours),
		.base_known = base != NULL,
	};
	_cleanup_json_ json_t *merged = merge_config(&merge, PLACE_TOP, NULL, base, ours, theirs);

	if (merge.no_memory || !merged) {
		free(merge.lost);
		return NULL;
	}
	if (ret_theirs)
		*ret_theirs = !document_same(merged, ours);
	if (ret_lost)
		*ret_lost = merge.lost;
	else
		free(merge.lost);
	return TAKE_PTR(merged);
}

/* --- versions --- */

static uint64_t stir(uint64_t hash)
{
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdULL;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53ULL;
	return hash ^ hash >> 33;
}

static uint64_t hash_bytes(uint64_t seed, const void *data, size_t size)
{
	const unsigned char *bytes = data;
	uint64_t hash = seed ^ 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return stir(hash);
}

static uint64_t hash_number(const json_t *value)
{
	double real = json_number_value(value) + 0.0; /* -0 is 0 */
	json_int_t integer = json_integer_value(value);

	/* Beyond what a double tells apart. */
	if (json_is_integer(value) && (json_int_t)real != integer)
		return hash_bytes(JSON_INTEGER, &integer, sizeof(integer));
	return hash_bytes(JSON_REAL, &real, sizeof(real));
}

/* Names that only databases use; where a host is measured, and what GET adds with ?live. */
static bool is_no_config(enum place place, const char *key)
{
	return *key == '_' || (place == PLACE_TOP &&
			       (strcmp(key, "feed_in_use") == 0 || strcmp(key, "live") == 0));
}

static uint64_t hash_value(const struct merge *merge, enum place place, const json_t *value)
{
	uint64_t hash = stir((uint64_t)json_typeof(value) + 1);
	const char *key;
	json_t *item;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_STRING:
		return hash_bytes(hash, json_string_value(value), json_string_length(value));
	case JSON_INTEGER:
	case JSON_REAL: return hash_number(value);
	case JSON_ARRAY:
		json_array_foreach(value, i, item)
			hash = stir(hash + hash_value(merge, PLACE_OTHER, item));
		return hash;
	case JSON_OBJECT:
		/* In any order. */
		json_object_foreach((json_t *)value, key, item) {
			enum owner owner = owner_of(merge, place, key);

			if (owner == OWNER_OURS || owner == OWNER_ADDITIVE ||
			    is_no_config(place, key))
				continue;
			hash += stir(hash_value(merge, place_of(merge, place, key), item) ^
				     hash_bytes(0, key, strlen(key)));
		}
		return hash;
	default: return hash;
	}
}

uint64_t document_version(enum store_db db, const json_t *doc)
{
	const struct merge merge = {.db = db, .host = is_host(db, doc)};

	return doc ? hash_value(&merge, PLACE_TOP, doc) : 0;
}
