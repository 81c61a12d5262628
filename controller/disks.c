/* SPDX-License-Identifier: Apache-2.0 */
#include "disks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "subscription_body.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_LEN_MAX 255

static json_t *disks_of(const struct host *host)
{
	return json_object_get(json_object_get(host->structure->doc, "resources"), "disks");
}

static const char *bound_to(const struct structure *container)
{
	const json_t *resources = json_object_get(container->doc, "resources");

	return json_string_value(json_object_get(json_object_get(resources, "disk"), "name"));
}

/* NULL: none, or not one that is known. */
static json_t *disk_of(const struct structure *container)
{
	const char *name = bound_to(container);

	return name && container->host ? json_object_get(disks_of(container->host), name) : NULL;
}

static int64_t number_of(const json_t *disk, const char *key)
{
	int64_t number;

	return json_to_int64(json_object_get(disk, key), &number) < 0 ? 0 : number;
}

static const char *free_key(enum ebb_resource resource)
{
	return resource == EBB_DISK_READ ? "free_read" : "free_write";
}

static bool is_disk(enum ebb_resource resource)
{
	return resource == EBB_DISK_READ || resource == EBB_DISK_WRITE;
}

/* Of reads and writes together. */
static int64_t room_of_both(const json_t *disk)
{
	int64_t max_read = number_of(disk, "max_read"), max_write = number_of(disk, "max_write");

	return MAX(max_read, max_write) - (max_read - number_of(disk, "free_read")) -
	       (max_write - number_of(disk, "free_write"));
}

int64_t disks_room(const struct structure *container, enum ebb_resource resource)
{
	const json_t *disk = is_disk(resource) ? disk_of(container) : NULL;

	if (!disk)
		return INT64_MAX;
	return MAX(MIN(number_of(disk, free_key(resource)), room_of_both(disk)), 0);
}

void disks_take(const struct structure *container, enum ebb_resource resource, int64_t amount)
{
	json_t *disk = is_disk(resource) ? disk_of(container) : NULL;
	const char *key = free_key(resource);

	if (disk)
		json_object_set_new(disk, key, json_integer(number_of(disk, key) - amount));
}

void disks_unbind(struct model *model, const struct structure *container)
{
	json_t *disk = disk_of(container);
	const struct host *host = container->host;

	if (!disk || container->subtype != STRUCTURE_CONTAINER)
		return;
	json_object_set_new(disk, "load", json_integer(MAX(number_of(disk, "load") - 1, 0)));
	model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
}

static bool set_number(json_t *disk, const char *key, int64_t number)
{
	if (json_is_integer(json_object_get(disk, key)) && number_of(disk, key) == number)
		return false;
	json_object_set_new(disk, key, json_integer(number));
	return true;
}

bool disks_settle(struct host *host)
{
	json_t *disks = disks_of(host), *disk;
	bool changed = false;
	const char *name;

	json_object_foreach(disks, name, disk) {
		int64_t load = 0, held_read = 0, held_write = 0;

		if (!json_is_object(disk))
			continue;
		for (const struct structure *s = host->containers; s; s = s->host_next) {
			const char *bound = bound_to(s);

			if (!bound || strcmp(bound, name) != 0)
				continue;
			load++;
			held_read += s->resources[EBB_DISK_READ].allocated;
			held_write += s->resources[EBB_DISK_WRITE].allocated;
		}
		changed |= set_number(disk, "load", load);
		changed |= set_number(disk, "free_read", number_of(disk, "max_read") - held_read);
		changed |=
			set_number(disk, "free_write", number_of(disk, "max_write") - held_write);
	}
	return changed;
}

int disks_check_binding(const struct host *host, const struct structure *from, int64_t read,
			int64_t write, char **ret_error)
{
	const char *name = bound_to(from), *host_name = host->structure->name;
	const json_t *disk = name ? json_object_get(disks_of(host), name) : NULL;
	int64_t free_read, free_write, both;

	if (!name)
		return 0;
	if (!disk)
		return fail_with(-EINVAL, ret_error,
				 "container.resources.disk: host %s has no disk '%s'. Add it with "
				 "PUT /structure/host/%s/disks",
				 host_name, name, host_name);
	free_read = number_of(disk, "free_read");
	free_write = number_of(disk, "free_write");
	both = room_of_both(disk);
	if (read > free_read || write > free_write || read + write > both)
		return fail_with(-ENOSPC, ret_error,
				 "Disk '%s' of host %s does not have enough bandwidth: %s wants to "
				 "read %lld and write %lld MiB/s, free are %lld and %lld, and %lld "
				 "together",
				 name, host_name, from->name, (long long)read, (long long)write,
				 (long long)free_read, (long long)free_write, (long long)both);
	return 0;
}

/* --- from bodies --- */

static int check_name(const json_t *disk, const char *where, const char **ret_name,
		      char **ret_error)
{
	const char *name = json_string_value(json_object_get(disk, "name"));

	if (!name || !name_is_sane(name, NAME_LEN_MAX))
		return fail_with(-EINVAL, ret_error,
				 "%s.name must be a string of 1 to %d bytes without control "
				 "characters",
				 where, NAME_LEN_MAX);
	*ret_name = name;
	return 0;
}

static int check_disk(const json_t *disk, const char *where, char **ret_error)
{
	static const char *const keys[] = {"name",     "type",      "load",      "path",
					   "max_read", "free_read", "max_write", "free_write"};
	static const char *const numbers[] = {"load", "max_read", "free_read", "max_write",
					      "free_write"};
	static const char *const strings[] = {"type", "path"};
	int64_t number;
	const char *name;
	int r;

	r = body_has(disk, where, keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = check_name(disk, where, &name, ret_error);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(strings); i++)
		if (!json_is_string(json_object_get(disk, strings[i])))
			r = fail_with(-EINVAL, ret_error, "%s.%s must be a string", where,
				      strings[i]);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(numbers); i++)
		r = body_number(disk, where, numbers[i], 0, &number, ret_error);
	return r;
}

static int check_list(const json_t *list, const char *where, char **ret_error)
{
	if (!json_is_array(list))
		return fail_with(-EINVAL, ret_error, "%s must be a list of disks", where);
	return 0;
}

/* Of a list: "resources.disks[1]". */
static const char *item_path(char *path, size_t size, const char *where, size_t i)
{
	snprintf(path, size, "%s[%zu]", where, i);
	return path;
}

int disks_check(const json_t *list, const char *where, char **ret_error)
{
	_cleanup_json_ json_t *seen = json_object();
	const char *name = NULL;
	char path[128];
	json_t *disk;
	size_t i;
	int r;

	r = check_list(list, where, ret_error);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)list, i, disk) {
		item_path(path, sizeof(path), where, i);
		if (!json_is_object(disk))
			return fail_with(-EINVAL, ret_error, "%s must be an object", path);
		r = check_disk(disk, path, ret_error);
		if (r >= 0)
			r = check_name(disk, path, &name, ret_error);
		if (r < 0)
			return r;
		if (json_object_get(seen, name))
			return fail_with(-EINVAL, ret_error, "%s: disk '%s' is there twice", path,
					 name);
		if (json_object_set_new(seen, name, json_true()) < 0)
			return -ENOMEM;
	}
	return 0;
}

static json_t *make_member(json_t *object, const char *key)
{
	json_t *found = json_object_get(object, key);

	if (json_is_object(found))
		return found;
	found = json_object();
	return json_object_set_new(object, key, found) < 0 ? NULL : found;
}

int disks_add(struct host *host, const json_t *list)
{
	json_t *disks, *disk;
	size_t i;

	if (!host->structure->doc)
		host->structure->doc = json_object();
	disks = make_member(make_member(host->structure->doc, "resources"), "disks");
	if (!disks)
		return -ENOMEM;
	json_array_foreach((json_t *)list, i, disk) {
		const char *name = json_string_value(json_object_get(disk, "name"));
		json_t *entry;

		if (json_object_get(disks, name))
			continue;
		entry = json_pack("{s:O, s:i, s:O, s:I, s:i, s:I, s:i}", "type",
				  json_object_get(disk, "type"), "load", 0, "path",
				  json_object_get(disk, "path"), "max_read",
				  (json_int_t)number_of(disk, "max_read"), "free_read", 0,
				  "max_write", (json_int_t)number_of(disk, "max_write"),
				  "free_write", 0);
		if (!entry || json_object_set_new(disks, name, entry) < 0)
			return -ENOMEM;
	}
	(void)disks_settle(host);
	return 0;
}

static int check_resize(const struct host *host, const json_t *disk, const char *where,
			char **ret_error)
{
	static const char *const keys[] = {"name", "max_read", "max_write"};
	static const struct {
		const char *max, *free;
	} numbers[] = {{"max_read", "free_read"}, {"max_write", "free_write"}};
	int64_t max[2], held[2];
	const json_t *known;
	const char *name;
	int r;

	if (!json_is_object(disk))
		return fail_with(-EINVAL, ret_error, "%s must be an object", where);
	r = body_has(disk, where, keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = check_name(disk, where, &name, ret_error);
	if (r < 0)
		return r;
	known = json_object_get(disks_of(host), name);
	if (!known)
		return fail_with(
			-ENOENT, ret_error,
			"Host %s has no disk '%s': add it with PUT /structure/host/%s/disks",
			host->structure->name, name, host->structure->name);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		r = body_number(disk, where, numbers[i].max, 0, &max[i], ret_error);
		if (r < 0)
			return r;
		held[i] = number_of(known, numbers[i].max) - number_of(known, numbers[i].free);
		if (max[i] < held[i])
			return fail_with(-EBUSY, ret_error,
					 "%s.%s %lld is below the %lld MiB/s that containers hold "
					 "of disk '%s': lower theirs first",
					 where, numbers[i].max, (long long)max[i],
					 (long long)held[i], name);
	}
	if (MAX(max[0], max[1]) < held[0] + held[1])
		return fail_with(-EBUSY, ret_error,
				 "%s: containers hold %lld MiB/s of disk '%s', reads and writes "
				 "together: lower theirs first",
				 where, (long long)(held[0] + held[1]), name);
	return 0;
}

int disks_resize(struct host *host, const json_t *list, char **ret_error)
{
	const char *where = "resources.disks";
	char path[128];
	json_t *disk;
	size_t i;
	int r;

	r = check_list(list, where, ret_error);
	if (r < 0)
		return r;
	json_array_foreach((json_t *)list, i, disk) {
		r = check_resize(host, disk, item_path(path, sizeof(path), where, i), ret_error);
		if (r < 0)
			return r;
	}
	json_array_foreach((json_t *)list, i, disk) {
		json_t *known = json_object_get(disks_of(host),
						json_string_value(json_object_get(disk, "name")));

		json_object_set_new(known, "max_read", json_integer(number_of(disk, "max_read")));
		json_object_set_new(known, "max_write", json_integer(number_of(disk, "max_write")));
	}
	(void)disks_settle(host);
	return 0;
}
