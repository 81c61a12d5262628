/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "hash.h"

struct container_table {
	struct container **all; /* dense */
	size_t n, size;
	struct hash by_name, by_id;
	struct name_record *record; /* NULL: none */
	const char *host_name;      /* NULL: none */
};

#define OWNER_MAX 64

/*
 * The engine; for a --containers glob the directory that it lies in, "batch.b", of which a long one
 * is a hash.
 */
static char *first_owner(const char *engine, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *owner;

	if (strcmp(engine, "cgroup") && strcmp(engine, "systemd"))
		return strdup(engine);
	path += strspn(path, "/");
	if (!slash || slash < path)
		return strdup(engine);
	owner = strndup(path, (size_t)(slash - path));
	if (owner && strlen(owner) > OWNER_MAX)
		snprintf(owner, OWNER_MAX, "%016" PRIx64, hash_string(owner));
	for (char *at = owner; at && (at = strchr(at, '/'));)
		*at = '.';
	return owner;
}

int container_new(uint64_t id, const char *name, const char *path, const char *engine,
		  struct container **ret_container)
{
	struct container *container = calloc(1, sizeof(*container));
	if (!container)
		return -ENOMEM;

	container->id = id;
	container->engine = engine;
	container->slot = -1;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		container->dir_fds[c] = -1;
	for (unsigned r = 0; r < EBB_RESOURCE_MAX; r++)
		container->upper[r] = INT64_MAX;

	container->name = strdup(name);
	container->path = strdup(path);
	container->key = strdup(name);
	container->owner = first_owner(engine, path);
	if (!container->name || !container->path || !container->key || !container->owner) {
		container_free(container);
		return -ENOMEM;
	}
	*ret_container = container;
	return 0;
}

void container_free(struct container *container)
{
	if (!container)
		return;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		container_close_dir(container, container->dir_fds[c]);
	free(container->name);
	free(container->path);
	free(container->key);
	free(container->owner);
	labels_clear(&container->labels);
	free(container);
}

void container_close_dir(struct container *container, int fd)
{
	if (fd < 0)
		return;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (container->dir_fds[c] == fd) {
			container->dir_fds[c] = -1;
			container->ids[c] = 0;
		}
	}
	close(fd);
}

int container_table_new(struct container_table **ret_table)
{
	struct container_table *table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	*ret_table = table;
	return 0;
}

void container_table_free(struct container_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n; i++)
		container_free(table->all[i]);
	free(table->all);
	hash_clear(&table->by_name);
	hash_clear(&table->by_id);
	free(table);
}

size_t container_table_count(const struct container_table *table)
{
	return table->n;
}

struct container *container_table_at(struct container_table *table, size_t index)
{
	return index < table->n ? table->all[index] : NULL;
}

static bool name_equal(const void *value, const void *key)
{
	return !strcmp(((const struct container *)value)->name, key);
}

static bool id_equal(const void *value, const void *key)
{
	return ((const struct container *)value)->id == *(const uint64_t *)key;
}

struct container *container_table_by_name(struct container_table *table, const char *name)
{
	return hash_find(&table->by_name, hash_string(name), name_equal, name);
}

struct container *container_table_by_id(struct container_table *table, uint64_t id)
{
	return hash_find(&table->by_id, hash_u64(id), id_equal, &id);
}

/* `base` of at most so many bytes, cut between two characters, then the suffix. */
static void compose(char name[CONTAINER_NAME_MAX + 1], const char *base, const char *suffix)
{
	size_t suffix_len = strlen(suffix);
	size_t len = utf8_fit(base, CONTAINER_NAME_MAX - suffix_len);

	memcpy(name, base, len);
	memcpy(name + len, suffix, suffix_len + 1);
}

/* As the record has it where containers of one owner share a name: by their paths. */
static void specific_owner(const struct container *container, char owner[OWNER_MAX + 16])
{
	snprintf(owner, OWNER_MAX + 16, "%.*s:%08x", OWNER_MAX, container->owner,
		 (unsigned)hash_string(container->path));
}

/* Is the name the container's own to have? Records whose it is when that is in doubt. */
static bool may_have(struct container_table *table, const struct container *container,
		     const char *name)
{
	const struct container *holder = container_table_by_name(table, name);
	const char *owner = name_record_owner(table->record, name);
	char specific[OWNER_MAX + 16];

	if (holder == container)
		holder = NULL;
	if (!owner && !holder)
		return true;
	if (holder) {
		bool alike = !strcmp(holder->owner, container->owner);

		specific_owner(holder, specific);
		/* That it could not be kept has been said. */
		if (table->record && (!owner || (alike && !strcmp(owner, holder->owner))))
			(void)name_record_keep(table->record, name,
					       alike ? specific : holder->owner);
		return false;
	}
	specific_owner(container, specific);
	return !strcmp(owner, container->owner) || !strcmp(owner, specific);
}

/* `wanted`, or WANTED@HOST where a container of another host is called so. */
static bool is_free(struct container_table *table, const struct container *container,
		    const char *wanted, char name[CONTAINER_NAME_MAX + 1])
{
	const char *owner = name_record_owner(table->record, wanted);
	char suffix[CONTAINER_NAME_MAX / 2];

	snprintf(suffix, sizeof(suffix), "@%s", table->host_name ? table->host_name : "");
	compose(name, wanted, owner && !strcmp(owner, CONTAINER_ELSEWHERE) ? suffix : "");
	return may_have(table, container, name);
}

static char *free_name(struct container_table *table, const struct container *container,
		       const char *base, bool qualified)
{
	char wanted[CONTAINER_NAME_MAX + 1], name[CONTAINER_NAME_MAX + 1];
	char suffix[OWNER_MAX + 16];

	if (!qualified && is_free(table, container, base, name))
		return strdup(name);
	for (uint64_t attempt = 0;; attempt++) {
		if (attempt == 0)
			snprintf(suffix, sizeof(suffix), "@%.*s", OWNER_MAX, container->owner);
		else
			snprintf(suffix, sizeof(suffix), "@%.*s-%08x", OWNER_MAX, container->owner,
				 (unsigned)(hash_string(container->path) + attempt - 1));
		compose(wanted, base, suffix);
		if (is_free(table, container, wanted, name))
			return strdup(name);
	}
}

int container_table_name_taken(struct container_table *table, struct container *container)
{
	return table->record ? name_record_keep(table->record, container->name, CONTAINER_ELSEWHERE)
			     : -EOPNOTSUPP;
}

void container_table_set_record(struct container_table *table, struct name_record *record,
				const char *host_name)
{
	table->record = record;
	table->host_name = host_name;
}

int container_table_rename(struct container_table *table, struct container *container,
			   const char *name, const char *owner, bool qualified)
{
	char *owner_copy = strdup(owner ? owner : container->owner);
	char *owner_before = container->owner, *free_one;
	int r;

	if (!owner_copy)
		return -ENOMEM;
	container->owner = owner_copy;
	free_one = free_name(table, container, name, qualified);
	if (!free_one || !strcmp(free_one, container->name)) {
		r = free_one ? 0 : -ENOMEM;
		goto fail;
	}
	r = hash_add(&table->by_name, hash_string(free_one), container);
	if (r < 0)
		goto fail;
	hash_remove(&table->by_name, hash_string(container->name), container);
	free(container->name);
	container->name = free_one;
	free(owner_before);
	return 1;

fail:
	free(free_one);
	if (r < 0) {
		container->owner = owner_before;
		free(owner_copy);
	} else {
		free(owner_before);
	}
	return r;
}

int container_table_add(struct container_table *table, struct container *container)
{
	int r;

	if (container_table_by_id(table, container->id))
		return -EEXIST;

	if (table->n == table->size) {
		size_t size = table->size ? 2 * table->size : 64;
		struct container **all = realloc(table->all, size * sizeof(*all));
		if (!all)
			return -ENOMEM;
		table->all = all;
		table->size = size;
	}

	char *name = free_name(table, container, container->name, false);
	if (!name)
		return -ENOMEM;
	free(container->name);
	container->name = name;

	r = hash_add(&table->by_name, hash_string(container->name), container);
	if (r < 0)
		return r;
	r = hash_add(&table->by_id, hash_u64(container->id), container);
	if (r < 0) {
		hash_remove(&table->by_name, hash_string(container->name), container);
		return r;
	}
	container->position = table->n;
	table->all[table->n++] = container;
	return 0;
}

struct container *container_table_remove(struct container_table *table, uint64_t id)
{
	struct container *container = container_table_by_id(table, id);
	if (!container)
		return NULL;

	hash_remove(&table->by_name, hash_string(container->name), container);
	hash_remove(&table->by_id, hash_u64(id), container);
	table->all[container->position] = table->all[--table->n];
	table->all[container->position]->position = container->position;
	return container;
}
