/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits, by host: an order that is done makes room on one host, and only what waits for that
 * one is looked at again. With all of it, 100,000 containers at work cost each other everything.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "scaler_private.h"

/* Of one host; each application and each user has one of its own. Kept until the end. */
struct wait_group {
	char *key;
	struct slot *slots;
	bool due;
	unsigned releases[EBB_RESOURCE_MAX]; /* planned or under way on the host */
	struct wait_group *next, *next_due;
};

/* So long a growth waits for all that it asks for, not for some of it: as long as the agent may
 * take to reclaim memory. Where there is always one release more, waiting would never end. */
#define RELEASE_WAIT_S 10

/* Of the names of structures; those of users are apart, in the keys of slots too. */
static const char *group_key(const struct slot *slot, const struct structure *structure)
{
	if (structure->subtype == STRUCTURE_CONTAINER && structure->host_name)
		return structure->host_name;
	return slot ? slot->key : structure->name;
}

static struct wait_group *group_get(struct scaler *scaler, const char *name)
{
	struct wait_group *group = name_index_get(scaler->groups, name);

	if (group)
		return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->key = strdup(name);
	if (!group->key || name_index_add(scaler->groups, group->key, group) < 0) {
		free(group->key);
		free(group);
		return NULL;
	}
	group->next = scaler->all_groups;
	scaler->all_groups = group;
	scaler->n_groups++;
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
	group = group_get(scaler, group_key(slot, structure));
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

static void wake_one(struct scaler *scaler, const struct structure *structure)
{
	const struct slot *slot =
		structure->subtype == STRUCTURE_USER ? scaler_slot_of(scaler, structure) : NULL;
	struct wait_group *group = name_index_get(scaler->groups, group_key(slot, structure));

	if (group)
		make_due(scaler, group);
}

void scaler_wake(struct scaler *scaler, const struct structure *structure)
{
	for (; structure; structure = hierarchy_parent(structure))
		wake_one(scaler, structure);
}

void scaler_wake_all(struct scaler *scaler)
{
	for (struct wait_group *group = scaler->all_groups; group; group = group->next)
		make_due(scaler, group);
}

void scaler_wake_share(struct scaler *scaler, double share)
{
	size_t n = (size_t)ceil((double)scaler->n_groups * fmin(share, 1));

	while (n-- > 0) {
		if (!scaler->turn)
			scaler->turn = scaler->all_groups;
		make_due(scaler, scaler->turn);
		scaler->turn = scaler->turn->next;
	}
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

struct wait_group *scaler_release_begin(struct scaler *scaler, const struct structure *s,
					enum ebb_resource resource)
{
	struct wait_group *group = s->host_name ? group_get(scaler, s->host_name) : NULL;

	if (group)
		group->releases[resource]++;
	return group;
}

void scaler_release_end(struct wait_group *group, enum ebb_resource resource)
{
	if (group)
		group->releases[resource]--;
}

bool scaler_has_releases(const struct scaler *scaler, const struct structure *s,
			 const struct waiting *waiting)
{
	const struct wait_group *group =
		s->host_name ? name_index_get(scaler->groups, s->host_name) : NULL;

	return group && group->releases[waiting->request.resource] &&
	       scaler_wall(scaler) - waiting->since < RELEASE_WAIT_S;
}

void scaler_wait_free(struct scaler *scaler)
{
	while (scaler->all_groups) {
		struct wait_group *group = scaler->all_groups;

		scaler->all_groups = group->next;
		free(group->key);
		free(group);
	}
	name_index_free(scaler->groups);
}
