/* SPDX-License-Identifier: Apache-2.0 */
#include "drift.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"

static const char *const names[DRIFT_MAX] = {
	[DRIFT_REASSERT] = "reassert",
	[DRIFT_ACCEPT] = "accept",
	[DRIFT_MANUAL] = "manual",
};

const char *drift_name(enum drift drift)
{
	return (unsigned)drift < DRIFT_MAX ? names[drift] : NULL;
}

enum drift drift_from_json(const json_t *value)
{
	const char *name = json_string_value(value);
	unsigned i;

	for (i = 0; i < DRIFT_MAX; i++)
		if (name && !strcmp(name, names[i]))
			break;
	return i;
}

enum drift drift_policy(const struct model *model, const struct structure *structure)
{
	enum drift own = drift_from_json(json_object_get(structure->doc, DRIFT_KEY));

	if (own != DRIFT_MAX)
		return own;
	/* The older key, which knows only the two. */
	if (!model->scaler.check_core_map && model->scaler.drift == DRIFT_REASSERT)
		return DRIFT_ACCEPT;
	return model->scaler.drift;
}

bool drift_is_manual(const struct structure *structure)
{
	const json_t *manual = json_object_get(structure->doc, MANUAL_KEY);

	return manual && !json_is_null(manual) && !structure->guard;
}

static void hand_text(const json_t *by, char *text, size_t size)
{
	const char *name = json_string_value(json_object_get(by, "name"));
	const char *unit = json_string_value(json_object_get(by, "unit"));
	long long pid = json_integer_value(json_object_get(by, "pid"));

	if (pid <= 0)
		snprintf(text, size, "another hand");
	else if (!name)
		snprintf(text, size, "process %lld, which has ended", pid);
	else
		snprintf(text, size, "%s (process %lld%s%s)", name, pid, unit ? " of " : "",
			 unit ?: "");
}

static void amount_text(int64_t amount, char text[32])
{
	if (amount < 0)
		snprintf(text, 32, "none");
	else
		snprintf(text, 32, "%lld", (long long)amount);
}

void drift_text(const struct drift_found *found, char *text, size_t size)
{
	const char *name = ebb_resource_name(found->resource);
	char hand[200], was[32], is[32];

	hand_text(found->by, hand, sizeof(hand));
	amount_text(found->was, was);
	amount_text(found->found, is);
	if (found->was == found->found && found->cores)
		snprintf(text, size, "cores changed by %s", hand);
	else
		snprintf(text, size, "%s changed from %s to %s %s by %s", name, was, is,
			 ebb_resource_unit(found->resource), hand);
}

int drift_set_manual(struct model *model, struct structure *structure, const char *why)
{
	json_t *doc = structure_own_doc(&structure->doc);
	int r;

	if (!doc || json_object_set_new(doc, MANUAL_KEY,
					json_pack("{s:s, s:f}", "why", why, "since",
						  timebase_wall(model->time))) < 0)
		return -ENOMEM;
	r = model_guard(model, structure, false, NULL);
	if (r < 0) {
		json_object_del(structure->doc, MANUAL_KEY);
		return r;
	}
	/* What was to be ordered anew stays as it was found; but not half an operation. */
	structure->apply &= structure->operating;
	return 0;
}

int drift_set_policy(struct model *model, struct structure *structure, const char *name)
{
	json_t *doc;

	if (structure->subtype != STRUCTURE_CONTAINER)
		return -EINVAL;
	doc = structure_own_doc(&structure->doc);
	if (!doc)
		return -ENOMEM;
	if (!*name)
		json_object_del(doc, DRIFT_KEY);
	else if (json_object_set_new(doc, DRIFT_KEY, json_string(name)) < 0)
		return -ENOMEM;
	structure->automatic = false;
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
	return 0;
}
