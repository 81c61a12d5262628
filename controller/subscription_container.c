/* SPDX-License-Identifier: Apache-2.0 */
/* Containers come in. */
#include "subscription.h"

#include <errno.h>
#include <string.h>

#include "boundaries.h"
#include "disks.h"
#include "model_private.h"
#include "rescaler.h"
#include "subscription_body.h"
#include "subscription_private.h"
#include "ebb/cleanup.h"

static int check_disk(const json_t *resources, char **ret_error)
{
	static const char *const both[] = {"disk_read", "disk_write"};
	static const char *const keys[] = {"name", "path"};
	const json_t *disk = json_object_get(resources, "disk");
	int r;

	if (!disk)
		return 0;
	if (!json_is_object(disk))
		return fail_with(-EINVAL, ret_error, "container.resources.disk must be an object");
	r = body_has(disk, "container.resources.disk", keys, ARRAY_SIZE(keys), ret_error);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(keys); i++)
		if (!json_is_string(json_object_get(disk, keys[i])))
			r = fail_with(-EINVAL, ret_error,
				      "container.resources.disk.%s must be a string", keys[i]);
	if (r >= 0)
		r = body_has(resources, "container.resources", both, ARRAY_SIZE(both), ret_error);
	return r;
}

static int check_body(const char *name, const json_t *body, const json_t **ret_container,
		      char **ret_error)
{
	static const char *const keys[] = {
		"name", "resources", "host_rescaler_ip", "host_rescaler_port",
		"host", "guard",     "subtype"};
	static const char *const range_keys[] = {"max", "min", "current", "guard"};
	const json_t *container;
	int r;

	r = body_object(body, "container", &container, ret_error);
	if (r >= 0)
		r = body_has(container, "container", keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = body_is_called(container, "container", name, STRUCTURE_CONTAINER, ret_error);
	if (r >= 0)
		r = body_rescaler(container, "container", ret_error);
	if (r >= 0)
		r = body_guard(container, "container", ret_error);
	if (r >= 0 && !json_is_string(json_object_get(container, "host")))
		r = fail_with(-EINVAL, ret_error, "container.host must be the name of its host");
	if (r >= 0)
		r = body_resources(container, "container", STRUCTURE_CONTAINER, range_keys,
				   ARRAY_SIZE(range_keys), ret_error);
	if (r >= 0)
		r = check_disk(json_object_get(container, "resources"), ret_error);
	if (r >= 0)
		r = body_limits(body, container, "container", true, ret_error);
	if (r >= 0)
		*ret_container = container;
	return r;
}

bool subscription_has_to_ask(const struct host *host)
{
	_cleanup_free_ char *address = NULL;

	return host->agentless ||
	       (!host->connected && !host->structure->automatic && !(host->agent_heard > 0) &&
		rescaler_address(host->structure->doc, &address) >= 0);
}

/* It is known, where the body says, and nobody has subscribed it. */
static int check_known(const struct structure *s, const char *name, const struct host *host,
		       char **ret_error)
{
	if (s && s->subscription)
		return fail_with(-EBUSY, ret_error, "%s is being subscribed: wait for the outcome",
				 name);
	if (s && (s->subtype != STRUCTURE_CONTAINER || !s->automatic))
		return subscription_exists(s, ret_error);
	if (s && s->live && s->host != host)
		return fail_with(-EINVAL, ret_error,
				 "container.host is '%s', but %s is on host %s, as its agent says",
				 host->structure->name, name, s->host_name);
	if (subscription_has_to_ask(host) || (s && s->live && host->connected))
		return 0;
	if (!host->connected)
		return fail_with(-EBUSY, ret_error,
				 "The agent of host %s is not connected: start it, then subscribe "
				 "%s again",
				 host->structure->name, name);
	return fail_with(-EINVAL, ret_error,
			 "The agent of host %s reports no container '%s'. GET %s/container/ lists "
			 "those that are there",
			 host->structure->name, name, host->address);
}

/* What it wants is there, and its host can limit it. */
static int check_resource(const struct structure *s, const struct structure *from,
			  const struct host *host, enum ebb_resource resource, char **ret_error)
{
	const char *name = ebb_resource_name(resource), *unit = ebb_resource_unit(resource);
	int64_t wanted = from->resources[resource].current;

	if (!from->resources[resource].present)
		return 0;
	if (s && s->live && s->physical[resource] == INT64_MIN && resource != EBB_ENERGY)
		return fail_with(-EINVAL, ret_error,
				 "The agent of host %s cannot limit %s of %s: `ebb doctor` there "
				 "says why, or leave container.resources.%s out",
				 host->structure->name, name, from->name, name);
	if (host->max[resource] > 0 && wanted > host->free[resource])
		return fail_with(-ENOSPC, ret_error,
				 "Host %s does not have enough free %s: %s wants %lld %s, %lld are "
				 "free. Lower container.resources.%s.current, or what others hold",
				 host->structure->name, name, from->name, (long long)wanted, unit,
				 (long long)host->free[resource], name);
	return 0;
}

static int check_room(const struct structure *s, struct structure *from, struct host *host,
		      char **ret_error)
{
	int64_t read = from->resources[EBB_DISK_READ].current;
	int64_t write = from->resources[EBB_DISK_WRITE].current;
	int r = 0;

	for (int i = 0; i < EBB_RESOURCE_MAX && r >= 0; i++)
		r = check_resource(s, from, host, i, ret_error);
	if (r < 0)
		return r;
	return disks_check_binding(host, from, read, write, ret_error);
}

/* As its document will be, with what its host says of itself. */
static int new_container(const json_t *container, const json_t *limits, const struct host *host,
			 struct structure **ret_container, char **ret_error)
{
	static const char *const rescaler[] = {"host_rescaler_ip", "host_rescaler_port"};
	_cleanup_json_ json_t *doc = body_document(container);

	if (!doc)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(rescaler); i++) {
		json_t *value = json_object_get(host->structure->doc, rescaler[i]);

		if (value && json_object_set(doc, rescaler[i], value) < 0)
			return -ENOMEM;
	}
	return structure_from_json(doc, limits, ret_container, ret_error);
}

#define SWAP(a, b)                         \
	do {                               \
		__typeof__(a) _swap = (a); \
		(a) = (b);                 \
		(b) = _swap;               \
	} while (0)

/* What documents say; the limits measured and in force stay. */
static void swap_documents(struct structure *s, struct structure *from)
{
	SWAP(s->doc, from->doc);
	SWAP(s->limits_doc, from->limits_doc);
	SWAP(s->guard, from->guard);
	SWAP(s->automatic, from->automatic);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		SWAP(s->resources[i], from->resources[i]);
		SWAP(s->resources[i].usage, from->resources[i].usage);
	}
}

static int take_shares(struct model *model, struct structure *s)
{
	int64_t taken[EBB_RESOURCE_MAX] = {0};
	int r = 0;

	for (int i = 0; i < EBB_RESOURCE_MAX && r >= 0; i++) {
		if (!s->resources[i].present)
			continue;
		taken[i] = model_allocate(model, s, i, s->resources[i].current);
		if (taken[i] < s->resources[i].current)
			r = -ENOMEM;
	}
	for (int i = 0; i < EBB_RESOURCE_MAX && r < 0; i++)
		if (taken[i])
			model_allocate(model, s, i, -taken[i]);
	return r;
}

static int take_over(struct model *model, struct structure *s, struct structure *from)
{
	struct host *host = s->host;
	int r = 0;

	if (from->guard && !s->guard_state) {
		s->guard_state = guard_state_new();
		r = s->guard_state ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	swap_documents(s, from);
	r = take_shares(model, s);
	if (r < 0) {
		swap_documents(s, from);
		if (!s->guard) {
			guard_state_free(s->guard_state);
			s->guard_state = NULL;
		}
		return r;
	}
	s->held = 0;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		boundaries_adjust(&s->resources[i]);
		if (s->resources[i].present && s->physical[i] != INT64_MIN)
			model_apply(model, s, i);
	}
	if (disks_settle(host))
		model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	model_touch(model, s, MODEL_DIRTY_STRUCTURE | MODEL_DIRTY_LIMITS);
	if (s->guard)
		model_guard_changed(model, s);
	return 0;
}

int subscribe_container(struct model *model, const char *name, const json_t *body,
			struct structure **ret_container, char **ret_error)
{
	_cleanup_structure_ struct structure *from = NULL;
	struct structure *s = model_structure(model, name);
	const json_t *container;
	const char *host_name;
	struct host *host;
	int r;

	r = check_body(name, body, &container, ret_error);
	if (r < 0)
		return r;
	host_name = json_string_value(json_object_get(container, "host"));
	host = model_host(model, host_name);
	if (!host)
		return fail_with(-EINVAL, ret_error,
				 "container.host: there is no host '%s'. Subscribe it first, PUT "
				 "/structure/host/%s",
				 host_name, host_name);
	r = check_known(s, name, host, ret_error);
	if (r >= 0)
		r = new_container(container, json_object_get(body, "limits"), host, &from,
				  ret_error);
	if (r >= 0)
		r = check_room(s, from, host, ret_error);
	if (r < 0 || !ret_container)
		return r;
	if (!s || !s->live)
		return fail_with(-EINVAL, ret_error, "Host %s reports no container '%s'",
				 host->structure->name, name);
	r = take_over(model, s, from);
	if (r < 0)
		return r;
	*ret_container = s;
	return 0;
}
