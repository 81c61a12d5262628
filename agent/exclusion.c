/* SPDX-License-Identifier: Apache-2.0 */
#include "exclusion.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "runtime.h"

struct excluded {
	uint64_t id;
	unsigned generation;
	size_t position;
	const char *engine;
	struct container_labels labels;
	char path[];
};

/* The pattern behind "KEY="; NULL: it is none of that key. */
static const char *pattern_of(const char *text, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(text, key, len) && text[len] == '=' ? text + len + 1 : NULL;
}

static bool matches(const char *pattern, const char *text)
{
	/* No escapes: cgroup names hold backslashes ("\x2d"). */
	return text && fnmatch(pattern, text, FNM_NOESCAPE) == 0;
}

/* 1 or 0: it is a pattern for a key, and that matches or not; -1: it is none. */
static int matches_key(const char *text, const char *engine, const struct container_labels *labels)
{
	const struct {
		const char *key, *value;
	} keys[] = {
		{"engine", engine},
		{"namespace", labels ? labels->namespace : NULL},
		{"pod", labels ? labels->pod : NULL},
		{"image", labels ? labels->image : NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *pattern = pattern_of(text, keys[i].key);

		if (pattern)
			return matches(pattern, keys[i].value);
	}
	return -1;
}

static bool matches_path(const char *pattern, const char *path)
{
	return fnmatch(pattern + strspn(pattern, "/"), path + strspn(path, "/"),
		       FNM_PATHNAME | FNM_NOESCAPE | FNM_LEADING_DIR) == 0;
}

static bool matches_user(const char *pattern, const char *uid, const char *const *names)
{
	char name[LABEL_MAX + 32];

	if (matches(pattern, uid))
		return true;
	for (; *names; names++) {
		snprintf(name, sizeof(name), "%s/%s", uid, *names);
		if (matches(pattern, name))
			return true;
	}
	return false;
}

static bool one_matches(const char *pattern, const char *engine, const char *path,
			const char *const *names, const struct container_labels *labels)
{
	const char *for_users = pattern_of(pattern, "user");
	char user[16];
	uint32_t uid;
	bool of_user = runtime_of_user(path, &uid);

	if (of_user)
		snprintf(user, sizeof(user), "%u", uid);
	if (for_users)
		return of_user && matches_user(for_users, user, names);

	/* What a user says of a container hides it only where users are meant. */
	int by_key = matches_key(pattern, engine, of_user ? NULL : labels);

	if (by_key >= 0)
		return by_key;
	if (strchr(pattern, '/'))
		return matches_path(pattern, path);
	for (; *names && !of_user; names++)
		if (matches(pattern, *names))
			return true;
	return false;
}

bool exclusion_matches(const struct string_list *patterns, const char *engine, const char *path,
		       const char *const *names, const struct container_labels *labels)
{
	for (size_t i = 0; patterns && i < patterns->n; i++)
		if (one_matches(patterns->items[i], engine, path, names, labels))
			return true;
	return false;
}

static bool id_equal(const void *value, const void *key)
{
	return ((const struct excluded *)value)->id == *(const uint64_t *)key;
}

static struct excluded *find(const struct exclusion_set *set, uint64_t id)
{
	return hash_find(&set->by_id, hash_u64(id), id_equal, &id);
}

static void drop(struct exclusion_set *set, struct excluded *excluded)
{
	struct excluded *last = set->all[--set->n];

	hash_remove(&set->by_id, hash_u64(excluded->id), excluded);
	last->position = excluded->position;
	set->all[last->position] = last;
	labels_clear(&excluded->labels);
	free(excluded);
}

int exclusion_set_add(struct exclusion_set *set, uint64_t id, const char *path, const char *engine,
		      const struct container_labels *labels, unsigned generation)
{
	size_t len = strlen(path) + 1;
	struct excluded *excluded;

	exclusion_set_remove(set, id);
	if (set->n == set->size) {
		size_t size = set->size ? 2 * set->size : 16;
		struct excluded **all = realloc(set->all, size * sizeof(*all));

		if (!all)
			return -ENOMEM;
		set->all = all;
		set->size = size;
	}
	excluded = calloc(1, sizeof(*excluded) + len);
	if (!excluded)
		return -ENOMEM;
	excluded->id = id;
	excluded->generation = generation;
	excluded->position = set->n;
	excluded->engine = engine;
	for (size_t i = 0; i < LABELS_N; i++)
		label_take(labels_at(&excluded->labels, i), labels_get(labels, i));
	memcpy(excluded->path, path, len);
	int r = hash_add(&set->by_id, hash_u64(id), excluded);
	if (r < 0) {
		labels_clear(&excluded->labels);
		free(excluded);
		return r;
	}
	set->all[set->n++] = excluded;
	return 0;
}

bool exclusion_set_sees(struct exclusion_set *set, uint64_t id, const char *path,
			unsigned generation)
{
	struct excluded *excluded = set->n ? find(set, id) : NULL;

	if (!excluded || strcmp(excluded->path, path))
		return false;
	excluded->generation = generation;
	return true;
}

void exclusion_set_remove(struct exclusion_set *set, uint64_t id)
{
	struct excluded *excluded = set->n ? find(set, id) : NULL;

	if (excluded)
		drop(set, excluded);
}

void exclusion_set_prune(struct exclusion_set *set, unsigned generation)
{
	for (size_t i = set->n; i-- > 0;)
		if (set->all[i]->generation != generation)
			drop(set, set->all[i]);
}

static bool still_matches(const struct excluded *excluded, const struct string_list *patterns)
{
	const struct container_labels *labels = &excluded->labels;
	_cleanup_free_ char *base = labels_base_name(labels);
	const char *names[] = {base ? base : labels->name, labels->name, NULL};

	return exclusion_matches(patterns, excluded->engine, excluded->path, names, labels);
}

void exclusion_set_keep(struct exclusion_set *set, const struct string_list *patterns)
{
	for (size_t i = set->n; i-- > 0;)
		if (!still_matches(set->all[i], patterns))
			drop(set, set->all[i]);
}

void exclusion_set_clear(struct exclusion_set *set)
{
	while (set->n > 0)
		drop(set, set->all[set->n - 1]);
	free(set->all);
	hash_clear(&set->by_id);
	*set = (struct exclusion_set){0};
}
