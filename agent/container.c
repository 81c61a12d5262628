/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "hash.h"

struct container_table {
	struct container **all; /* dense */
	size_t n, size;
	struct hash by_name, by_id;
};

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
	if (!container->name || !container->path) {
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

/* "app", "app-2" ... "app-9", then by id; the base is cut so that the whole stays a name. */
static char *free_name(struct container_table *table, const struct container *container)
{
	char name[CONTAINER_NAME_MAX + 1], suffix[32] = "";

	for (uint64_t attempt = 1;; attempt++) {
		if (attempt > 1)
			snprintf(suffix, sizeof(suffix), "-%" PRIu64,
				 attempt < 10 ? attempt : container->id + (attempt - 10));
		snprintf(name, sizeof(name), "%.*s%s", (int)(CONTAINER_NAME_MAX - strlen(suffix)),
			 container->name, suffix);
		if (!container_table_by_name(table, name))
			return strdup(name);
	}
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

	char *name = free_name(table, container);
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
