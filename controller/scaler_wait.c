/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits, by host: an order that is done makes room on one host, and only what waits for that
 * one is looked at again. With all of it, 100,000 containers at work cost each other everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scaler_private.h"

/* Of one host; of the name "" what is on none, applications and users. Kept until the end. */
struct wait_group {
	char *host;
	struct slot *slots;
	bool due;
	struct wait_group *next, *next_due;
};

static const char *group_name(const struct structure *structure)
{
	if (!structure)
		return "";
	if (structure->subtype == STRUCTURE_HOST)
		return structure->name;
	return structure->subtype == STRUCTURE_CONTAINER && structure->host_name
		       ? structure->host_name
		       : "";
}

static struct wait_group *group_get(struct scaler *scaler, const char *name)
{
	struct wait_group *group = name_index_get(scaler->groups_by_host, name);

	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->host = strdup(name);
	if (!group->host || name_index_add(scaler->groups_by_host, group->host, group) < 0) {
		free(group->host);
		free(group);
		return NULL;
	}
	group->next = scaler->groups;
	scaler->groups = group;
	return group;
}

static void make_due(struct scaler *scaler, struct wait_group *group)
{
	if (group->due || !group->slots)
		return;
	group->due = true;
	group->next_due = scaler->due;
	scaler->due = group;
}

int scaler_wait(struct scaler *scaler, struct slot *slot, const struct structure *structure)
{
	struct wait_group *group = slot->group;

	if (group)
		return 0;
	group = group_get(scaler, group_name(structure));
	if (!group)
		return -ENOMEM;
	slot->group = group;
	slot->next_waiting = group->slots;
	group->slots = slot;
	return 0;
}

void scaler_wake_slot(struct scaler *scaler, const struct slot *slot)
{
	if (slot->group)
		make_due(scaler, slot->group);
}

void scaler_wake(struct scaler *scaler, const struct structure *structure)
{
	struct wait_group *group = name_index_get(scaler->groups_by_host, group_name(structure));

	if (group)
		make_due(scaler, group);
}

void scaler_wake_all(struct scaler *scaler)
{
	for (struct wait_group *group = scaler->groups; group; group = group->next)
		make_due(scaler, group);
}

struct slot *scaler_take_due(struct scaler *scaler)
{
	struct slot *due = NULL;

	while (scaler->due) {
		struct wait_group *group = scaler->due;

		scaler->due = group->next_due;
		group->due = false;
		while (group->slots) {
			struct slot *slot = group->slots;

			group->slots = slot->next_waiting;
			slot->group = NULL;
			slot->next_due = due;
			due = slot;
		}
	}
	return due;
}

void scaler_wait_free(struct scaler *scaler)
{
	while (scaler->groups) {
		struct wait_group *group = scaler->groups;

		scaler->groups = group->next;
		free(group->host);
		free(group);
	}
	name_index_free(scaler->groups_by_host);
}
