/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a guarded container's limit that somebody else changed: DRIFT of the service
 * `scaler`, or `drift` in the container's document. Pure but for drift_set_manual().
 */
#ifndef EBB_CONTROLLER_DRIFT_H
#define EBB_CONTROLLER_DRIFT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "model.h"

/* In documents: the policy of one container, and, while it is set to manual, why. */
#define DRIFT_KEY  "drift"
#define MANUAL_KEY "manual"

const char *drift_name(enum drift drift);
/* DRIFT_MAX: none of them. */
enum drift drift_from_json(const json_t *value);

/* The container's own, else the site's. */
enum drift drift_policy(const struct model *model, const struct structure *structure);

/* Is it left alone until an operator guards it again? */
bool drift_is_manual(const struct structure *structure);

/* A limit that was found to be another than the one on record; -1: unlimited. */
struct drift_found {
	enum ebb_resource resource;
	int64_t was, found;
	bool cores;       /* or only its cores */
	const json_t *by; /* who did it, as the agent says; NULL: not known */
};
/* "cpu changed from 100 to 300 shares by sh (process 12 of cron.service)". */
void drift_text(const struct drift_found *found, char *text, size_t size);

/* Unguards it and writes down why. -ENOMEM, and then nothing has changed. */
int drift_set_manual(struct model *model, struct structure *structure, const char *why);

/* "": the site's policy from now on. -EINVAL: no container. */
int drift_set_policy(struct model *model, struct structure *structure, const char *name);

#endif
