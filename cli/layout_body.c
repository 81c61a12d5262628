/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a layout are to the API. Defaults are those of the original's scripts. */
#include <string.h>

#include "layout.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"

struct defaults {
	json_int_t cpu_max, cpu_min, mem_max, mem_min;
	int boundary;
};

static const struct defaults of_container = {200, 20, 6144, 512, 10};
static const struct defaults of_application = {1600, 20, 24576, 512, 5};
#define HOST_CPU  800
#define HOST_MEM  24576
#define HOST_PORT "8000"

/* The port is behind the last colon; an address of IPv6 has its own in brackets. */
static void set_rescaler(json_t *body, const char *name, const json_t *host)
{
	const char *address = json_string_value(json_object_get(host, "address"));
	const char *text = address ? address : name,
		   *colon = address ? strrchr(address, ':') : NULL;
	size_t len = colon ? (size_t)(colon - text) : strlen(text);

	if (colon && strchr(colon, ']')) {
		colon = NULL;
		len = strlen(text);
	}
	json_object_set_new(body, "host_rescaler_ip", json_stringn(text, len));
	json_object_set_new(body, "host_rescaler_port", json_string(colon ? colon + 1 : HOST_PORT));
}

json_t *layout_host_body(const char *name, const json_t *item)
{
	json_t *body = json_pack("{s:s, s:s, s:s, s:{s:{s:I}, s:{s:I}}}", "name", name, "host",
				 name, "subtype", "host", "resources", "cpu", "max",
				 (json_int_t)HOST_CPU, "mem", "max", (json_int_t)HOST_MEM);
	json_t *resources = json_object_get(body, "resources"), *resource, *disk;
	json_t *disks = json_deep_copy(json_object_get(item, "disks"));
	const char *key;
	size_t i;

	set_rescaler(body, name, item);
	json_object_foreach(json_object_get(item, "resources"), key, resource)
		json_object_set_new(resources, key, json_deep_copy(resource));
	json_object_foreach(resources, key, resource)
		json_object_set(resource, "free", json_object_get(resource, "max"));
	json_array_foreach(disks, i, disk) {
		json_object_set(disk, "free_read", json_object_get(disk, "max_read"));
		json_object_set(disk, "free_write", json_object_get(disk, "max_write"));
		if (!json_object_get(disk, "load"))
			json_object_set_new(disk, "load", json_integer(0));
		if (!json_object_get(disk, "type"))
			json_object_set_new(disk, "type", json_string("disk"));
	}
	if (disks)
		json_object_set_new(resources, "disks", disks);
	return body;
}

/* What is not said of `max` and `min` is the default, as far as it fits what is. */
static void set_range(json_t *to, const json_t *resource, json_int_t max, json_int_t min)
{
	const json_t *told_max = json_object_get(resource, "max");
	const json_t *told_min = json_object_get(resource, "min");

	if (told_max)
		max = json_integer_value(told_max);
	else if (told_min)
		max = MAX(max, json_integer_value(told_min));
	min = told_min ? json_integer_value(told_min) : MIN(min, max);
	json_object_set_new(to, "max", json_integer(max));
	json_object_set_new(to, "min", json_integer(min));
}

static const char *const not_of_document[] = {"boundary", "boundary_type", "max", "min"};

static bool is_of_document(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(not_of_document); i++)
		if (!strcmp(not_of_document[i], key))
			return false;
	return true;
}

static void add_resource(json_t *to, json_t *limits, const json_t *item, enum ebb_resource i,
			 const struct defaults *defaults)
{
	const char *name = ebb_resource_name(i), *key;
	json_t *resource = json_object_get(json_object_get(item, "resources"), name), *value;
	const json_t *boundary = json_object_get(resource, "boundary");
	const json_t *type = json_object_get(resource, "boundary_type");
	json_t *object;

	if (!resource && i != EBB_CPU && i != EBB_MEM)
		return;
	object = json_object();
	if (i == EBB_CPU || i == EBB_MEM)
		set_range(object, resource, i == EBB_CPU ? defaults->cpu_max : defaults->mem_max,
			  i == EBB_CPU ? defaults->cpu_min : defaults->mem_min);
	else
		set_range(object, resource, 1, 1);
	json_object_foreach(resource, key, value)
		if (is_of_document(key))
			json_object_set(object, key, value);
	json_object_set_new(to, name, object);
	if (limits)
		json_object_set_new(
			limits, name,
			json_pack("{s:I, s:s}", "boundary",
				  boundary ? json_integer_value(boundary) : defaults->boundary,
				  "boundary_type",
				  type ? json_string_value(type) : "percentage_of_max"));
}

/* `limits` may be NULL: it has none. */
static void add_resources(json_t *object, json_t *limits, const json_t *item,
			  const struct defaults *defaults)
{
	json_t *resources = json_object();

	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		add_resource(resources, limits, item, i, defaults);
	json_object_set_new(object, "resources", resources);
}

static void set_guard(json_t *object, const json_t *item)
{
	bool guard = json_is_true(json_object_get(item, "guard"));
	const char *name;
	json_t *resource;

	json_object_set_new(object, "guard", json_boolean(guard));
	json_object_foreach(json_object_get(object, "resources"), name, resource)
		if (!json_object_get(resource, "guard"))
			json_object_set_new(resource, "guard", json_boolean(guard));
}

json_t *layout_container_body(const char *name, const json_t *item, const json_t *host)
{
	json_t *body = json_pack("{s:{s:s, s:s}, s:{s:{}}}", "container", "name", name, "subtype",
				 "container", "limits", "resources");
	json_t *container = json_object_get(body, "container"), *resource, *resources;
	const char *key;

	json_object_set(container, "host", json_object_get(item, "host"));
	set_rescaler(container, json_string_value(json_object_get(item, "host")) ?: "", host);
	add_resources(container, json_object_get(json_object_get(body, "limits"), "resources"),
		      item, &of_container);
	set_guard(container, item);
	resources = json_object_get(container, "resources");
	json_object_foreach(resources, key, resource)
		if (!json_object_get(resource, "current"))
			json_object_set(resource, "current", json_object_get(resource, "max"));
	if (json_object_get(item, "disk"))
		json_object_set(resources, "disk", json_object_get(item, "disk"));
	return body;
}

json_t *layout_application_body(const char *name, const json_t *item)
{
	static const char *const texts[] = {"install_script", "install_files", "runtime_files",
					    "output_dir",     "start_script",  "stop_script"};
	json_t *body = json_pack("{s:{s:s, s:s}, s:{s:{}}}", "app", "name", name, "subtype",
				 "application", "limits", "resources");
	json_t *app = json_object_get(body, "app"), *resource;
	const char *key;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *text = json_object_get(item, texts[i]);

		json_object_set_new(app, texts[i], text ? json_incref(text) : json_string(""));
	}
	if (json_object_get(item, "framework"))
		json_object_set(app, "framework", json_object_get(item, "framework"));
	if (json_object_get(item, "state"))
		json_object_set(app, "state", json_object_get(item, "state"));
	add_resources(app, json_object_get(json_object_get(body, "limits"), "resources"), item,
		      &of_application);
	set_guard(app, item);
	json_object_foreach(json_object_get(app, "resources"), key, resource)
		if (!json_object_get(resource, "weight"))
			json_object_set_new(resource, "weight", json_integer(1));
	return body;
}

json_t *layout_user_body(const char *name, const json_t *item)
{
	json_t *body = json_pack("{s:{s:s, s:s}}", "user", "name", name, "subtype", "user");
	json_t *user = json_object_get(body, "user");

	add_resources(user, NULL, item, &of_application);
	if (json_object_get(item, "guard"))
		set_guard(user, item);
	if (json_object_get(item, "balancing_method"))
		json_object_set(user, "balancing_method",
				json_object_get(item, "balancing_method"));
	return body;
}
