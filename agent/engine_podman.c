/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Podman: the lists that its storage keeps, containers.json and, for `podman run --rm`,
 * volatile-containers.json. One file tells of all containers, so what it says is kept for as long
 * as it is the same file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"
#include "hash.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

/* About 1 KiB a container. */
#define LIST_MAX            (64U << 20)
#define LIST_VALUES_MAX     (1U << 20)
#define METADATA_VALUES_MAX 1024
/* Users write what they like into theirs. */
#define USER_LIST_MAX        (4U << 20)
#define USER_LIST_VALUES_MAX ENGINE_VALUES_MAX
#define USER_CONTAINERS_MAX  4096
/* The lists that are kept, of different stores: those of users too. */
#define LISTS_MAX 64
/* Where containers start one after another the list is read so often, and no more. */
#define FRESH_NS (250 * EBB_NS_PER_MS)

struct entry {
	struct container_labels labels;
};

struct list {
	char *dir, *file;
	bool of_user;
	uint64_t stamp; /* 0: not read */
	uint64_t read_ns, used;
	struct hash by_id;
	struct entry **entries;
	size_t n, size;
};

struct podman_cache {
	struct list lists[LISTS_MAX];
	size_t n;
	uint64_t uses;
};

static void list_empty(struct list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		labels_clear(&list->entries[i]->labels);
		free(list->entries[i]);
	}
	free(list->entries);
	hash_clear(&list->by_id);
	list->entries = NULL;
	list->n = list->size = 0;
}

static void list_clear(struct list *list)
{
	list_empty(list);
	free(list->dir);
	free(list->file);
	*list = (struct list){0};
}

int podman_cache_new(struct podman_cache **ret_cache)
{
	*ret_cache = calloc(1, sizeof(**ret_cache));
	return *ret_cache ? 0 : -ENOMEM;
}

void podman_cache_free(struct podman_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->n; i++)
		list_clear(&cache->lists[i]);
	free(cache);
}

/* The name of the image is in a JSON text within the JSON. */
static void take_metadata(const char *text, struct container_labels *labels)
{
	_cleanup_json_ json_t *metadata =
		text ? engine_json_load(text, strlen(text), METADATA_VALUES_MAX) : NULL;

	label_take(&labels->image, engine_json_string(metadata, "image-name"));
	if (!labels->name)
		label_take_name(&labels->name, engine_json_string(metadata, "name"));
}

int podman_containers_parse(const char *text, size_t len, podman_container_fn fn, void *userdata)
{
	_cleanup_json_ json_t *list = engine_json_load(text, len, LIST_VALUES_MAX);
	json_t *one;
	size_t i;
	int r;

	if (!json_is_array(list))
		return -EBADMSG;
	json_array_foreach(list, i, one) {
		struct container_labels labels = {0};

		label_take(&labels.id, engine_json_string(one, "id"));
		label_take_name(&labels.name, json_string_value(json_array_get(
						      json_object_get(one, "names"), 0)));
		take_metadata(engine_json_string(one, "metadata"), &labels);
		if (!labels.id || !labels.name) {
			labels_clear(&labels);
			continue;
		}
		r = fn(userdata, &labels);
		labels_clear(&labels);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool id_equal(const void *value, const void *key)
{
	return !strcmp(((const struct entry *)value)->labels.id, key);
}

static int keep(void *userdata, struct container_labels *labels)
{
	struct list *list = userdata;
	struct entry *entry;

	if (hash_find(&list->by_id, hash_string(labels->id), id_equal, labels->id))
		return 0;
	if (list->of_user && list->n == USER_CONTAINERS_MAX)
		return -EFBIG;
	if (list->n == list->size) {
		size_t size = list->size ? 2 * list->size : 64;
		struct entry **entries = realloc(list->entries, size * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		list->entries = entries;
		list->size = size;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	int r = hash_add(&list->by_id, hash_string(labels->id), entry);
	if (r < 0) {
		free(entry);
		return r;
	}
	entry->labels = *labels;
	*labels = (struct container_labels){0};
	list->entries[list->n++] = entry;
	return 0;
}

static struct list *list_of(struct podman_cache *cache, const char *dir, const char *file)
{
	struct list *oldest = NULL, *list;

	for (size_t i = 0; i < cache->n; i++) {
		list = &cache->lists[i];
		if (!strcmp(list->dir, dir) && !strcmp(list->file, file))
			return list;
		if (!oldest || list->used < oldest->used)
			oldest = list;
	}
	list = cache->n < LISTS_MAX ? &cache->lists[cache->n] : oldest;
	list_clear(list);
	list->dir = strdup(dir);
	list->file = strdup(file);
	if (list == &cache->lists[cache->n])
		cache->n++;
	if (!list->dir || !list->file) {
		list_clear(list);
		*list = cache->lists[--cache->n];
		cache->lists[cache->n] = (struct list){0};
		return NULL;
	}
	return list;
}

/* As it is on disk, or was a moment ago. */
static int list_read(struct list *list)
{
	_cleanup_free_ char *text = NULL;
	uint64_t now = now_ns(), stamp = list->stamp;
	size_t len;
	int r;

	if (list->read_ns && now - list->read_ns < FRESH_NS)
		return list->stamp ? 0 : -ENOENT;
	r = engine_read_file(list->dir, list->file, list->of_user ? USER_LIST_MAX : LIST_MAX,
			     &stamp, &text, &len);
	list->read_ns = now;
	if (r == -EALREADY)
		return 0;
	list_empty(list);
	list->stamp = 0;
	if (r == 0 && list->of_user && engine_json_values(text, len) > USER_LIST_VALUES_MAX)
		r = -EFBIG;
	if (r == 0)
		r = podman_containers_parse(text, len, keep, list);
	if (r < 0) {
		list_empty(list);
		return r;
	}
	list->stamp = stamp;
	return 0;
}

static int look_up(struct podman_cache *cache, const char *dir, const char *file,
		   const struct engine_query *query, struct engine_answer *ret_answer)
{
	struct list *list = list_of(cache, dir, file);
	const struct entry *entry;
	uint64_t stamp;

	if (!list)
		return -ENOMEM;
	list->used = ++cache->uses;
	list->of_user = ret_answer->of_user;
	int r = list_read(list);
	if (r < 0)
		return r;
	entry = hash_find(&list->by_id, hash_string(query->key), id_equal, query->key);
	if (!entry)
		return -ENOENT;
	/* The list changes with every container; this is of what it says of this one. */
	stamp = hash_string(entry->labels.name) ^
		hash_u64(entry->labels.image ? hash_string(entry->labels.image) : 2);
	if (stamp == query->stamp)
		return -EALREADY;
	ret_answer->stamp = stamp;
	for (size_t i = 0; i < LABELS_N; i++)
		label_take(labels_at(&ret_answer->labels, i), labels_get(&entry->labels, i));
	return 0;
}

static int look_through(struct podman_cache *cache, const char *dir,
			const struct engine_query *query, struct engine_answer *ret_answer)
{
	static const char *const drivers[] = {"overlay", "vfs", "btrfs", "zfs"};
	static const char *const files[] = {"containers.json", "volatile-containers.json"};
	int error = -ENOENT;

	for (size_t d = 0; d < ARRAY_SIZE(drivers); d++) {
		for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
			char file[64];

			snprintf(file, sizeof(file), "%s-containers/%s", drivers[d], files[f]);
			int r = look_up(cache, dir, file, query, ret_answer);
			if (r == 0 || r == -EALREADY)
				return r;
			if (r != -ENOENT && r != -ENOTDIR)
				error = r;
		}
	}
	return error;
}

int engine_podman_ask(const struct engine_roots *roots, struct podman_cache *cache,
		      const struct engine_query *query, struct engine_answer *ret_answer)
{
	static const char *const defaults[] = {"/var/lib/containers/storage",
					       "/run/containers/storage", NULL};
	char dir[PATH_MAX], home[PATH_MAX / 2];
	int r, error = -ENOENT;

	r = engine_user_home(roots, query->path, home, sizeof(home));
	if (r < 0)
		return r;
	if (r > 0) {
		snprintf(dir, sizeof(dir), "%s/.local/share/containers/storage", home);
		return look_through(cache, dir, query, ret_answer);
	}
	for (size_t i = 0; engine_root(roots, "podman", defaults, i, dir, sizeof(dir)); i++) {
		r = look_through(cache, dir, query, ret_answer);
		if (r == 0 || r == -EALREADY)
			return r;
		if (r != -ENOENT && r != -ENOTDIR)
			error = r;
	}
	return error;
}
