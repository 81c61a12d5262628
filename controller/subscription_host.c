/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts and their disks come in. */
#include "subscription.h"

#include <errno.h>
#include <string.h>

#include "disks.h"
#include "model_private.h"
#include "subscription_body.h"
#include "subscription_private.h"
#include "ebb/cleanup.h"

static const char *const range_keys[] = {"max", "free"};

static int check_free(const json_t *body, char **ret_error)
{
	const json_t *resources = json_object_get(body, "resources");
	const char *name;
	json_t *resource;

	json_object_foreach((json_t *)resources, name, resource) {
		char where[128];
		int64_t max, free;
		int r;

		if (strcmp(name, "disks") == 0)
			continue;
		snprintf(where, sizeof(where), "resources.%s", name);
		r = body_number(resource, where, "max", 1, &max, ret_error);
		if (r >= 0)
			r = body_number(resource, where, "free", 0, &free, ret_error);
		if (r < 0)
			return r;
		if (free > max)
			return fail_with(-EINVAL, ret_error, "%s.free %lld is above max %lld",
					 where, (long long)free, (long long)max);
		if (strcmp(name, "cpu") == 0 && max < EBB_SHARES_PER_CORE)
			return fail_with(-EINVAL, ret_error,
					 "%s.max must be some cores, 100 shares each", where);
	}
	return 0;
}

static int check_body(const char *name, const json_t *body, char **ret_error)
{
	static const char *const keys[] = {
		"name", "host", "subtype", "host_rescaler_ip", "host_rescaler_port", "resources"};
	const json_t *disks, *object;
	int r;

	r = body_object(body, NULL, &object, ret_error);
	if (r >= 0)
		r = body_has(body, "", keys, ARRAY_SIZE(keys), ret_error);
	if (r >= 0)
		r = body_is_called(body, "", name, STRUCTURE_HOST, ret_error);
	if (r >= 0 && !json_is_string(json_object_get(body, "host")))
		r = fail_with(-EINVAL, ret_error, "host must be the name of the host");
	if (r >= 0)
		r = body_rescaler(body, "", ret_error);
	if (r >= 0)
		r = body_resources(body, "", STRUCTURE_HOST, range_keys, ARRAY_SIZE(range_keys),
				   ret_error);
	if (r >= 0)
		r = check_free(body, ret_error);
	disks = json_object_get(json_object_get(body, "resources"), "disks");
	if (r >= 0 && disks)
		r = disks_check(disks, "resources.disks", ret_error);
	return r;
}

/* Its document, without the disks and with whole cores. */
static int new_host(const char *name, const json_t *body, struct structure **ret_structure,
		    char **ret_error)
{
	_cleanup_json_ json_t *doc = body_document(body);
	json_t *resources = json_object_get(doc, "resources");
	json_t *cpu = json_object_get(resources, "cpu");
	int64_t shares = 0;

	if (!doc)
		return -ENOMEM;
	json_object_del(resources, "disks");
	(void)json_to_int64(json_object_get(cpu, "max"), &shares);
	shares -= shares % EBB_SHARES_PER_CORE;
	if (json_object_set_new(cpu, "max", json_integer(shares)) < 0 ||
	    json_object_set_new(doc, "host", json_string(name)) < 0)
		return -ENOMEM;
	return structure_from_json(doc, NULL, ret_structure, ret_error);
}

/* What its agent does not know of: energy, say. cpu and mem are as that one says. */
static void take_sizes(struct host *host, const struct structure *from)
{
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		struct resource_state *state = &host->structure->resources[i];
		int64_t held = host->max[i] > 0 ? host->max[i] - host->free[i] : 0;

		if (i == EBB_CPU || i == EBB_MEM || !from->resources[i].present)
			continue;
		state->present = true;
		state->max = host->max[i] = MAX(from->resources[i].max, held);
		host->free[i] = host->max[i] - held;
	}
}

/* Fields of the body that have no type, but for those that its agent tells. */
static int take_others(struct host *host, struct structure *from)
{
	static const char *const agents[] = {"host", "host_rescaler_ip", "host_rescaler_port",
					     "resources"};
	struct structure *s = host->structure;

	if (!from->doc)
		return 0;
	if (!s->doc)
		s->doc = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(agents); i++)
		if (json_object_get(s->doc, agents[i]))
			json_object_del(from->doc, agents[i]);
	return json_object_update(s->doc, from->doc) < 0 ? -ENOMEM : 0;
}

static int take_over(struct model *model, struct structure *s, struct structure *from)
{
	struct host *host = s->host;
	int r;

	r = take_others(host, from);
	if (r < 0)
		return r;
	take_sizes(host, from);
	s->automatic = false;
	model_touch(model, s, MODEL_DIRTY_STRUCTURE);
	return 0;
}

int subscribe_host(struct model *model, const char *name, const json_t *body,
		   struct structure **ret_host, char **ret_error)
{
	struct structure *s = model_structure(model, name);
	_cleanup_structure_ struct structure *host = NULL;
	const json_t *disks;
	int r;

	r = check_body(name, body, ret_error);
	if (r < 0)
		return r;
	if (s && (s->subtype != STRUCTURE_HOST || !s->automatic))
		return subscription_exists(s, ret_error);
	r = new_host(name, body, &host, ret_error);
	if (r < 0 || !ret_host)
		return r;
	if (s) {
		r = take_over(model, s, host);
	} else {
		r = model_add(model, host);
		if (r < 0)
			return r;
		s = TAKE_PTR(host);
		model_attach_containers(model);
		host_rebuild_accounting(model, s->host);
	}
	disks = json_object_get(json_object_get(body, "resources"), "disks");
	if (r >= 0 && disks)
		r = disks_add(s->host, disks);
	if (r < 0)
		return r;
	*ret_host = s;
	return 0;
}

/* {"resources": {"disks": [...]}} */
static int body_disks(const struct structure *host, const json_t *body, const json_t **ret_disks,
		      char **ret_error)
{
	const json_t *resources = NULL;
	int r;

	if (host->subtype != STRUCTURE_HOST)
		return fail_with(-EINVAL, ret_error, "%s is no host: only hosts have disks",
				 host->name);
	r = body_object(body, "resources", &resources, ret_error);
	if (r < 0)
		return r;
	*ret_disks = json_object_get(resources, "disks");
	if (!*ret_disks)
		return fail_with(-EINVAL, ret_error, "Missing key 'resources.disks'");
	return 0;
}

int subscribe_disks(struct model *model, struct structure *host, const json_t *body,
		    char **ret_error)
{
	const json_t *disks;
	int r;

	r = body_disks(host, body, &disks, ret_error);
	if (r >= 0)
		r = disks_check(disks, "resources.disks", ret_error);
	if (r >= 0)
		r = disks_add(host->host, disks);
	if (r >= 0)
		model_touch(model, host, MODEL_DIRTY_STRUCTURE);
	return r;
}

int resize_disks(struct model *model, struct structure *host, const json_t *body, char **ret_error)
{
	const json_t *disks;
	int r;

	r = body_disks(host, body, &disks, ret_error);
	if (r >= 0)
		r = disks_resize(host->host, disks, ret_error);
	if (r >= 0)
		model_touch(model, host, MODEL_DIRTY_STRUCTURE);
	return r;
}
