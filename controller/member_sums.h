/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the containers of an application, and those of all applications of a user, use and have in
 * force: sums that follow each sample and each change at a price that does not depend on how many
 * members there are. With the model's lock held.
 */
#ifndef EBB_MEMBER_SUMS_H
#define EBB_MEMBER_SUMS_H

#include "guardian.h"
#include "model.h"

/* Parts of a unit: sums of integers are exact, however often something is put in and taken out. */
#define MEMBER_PARTS 1024

/* All in parts, but for the counts. */
enum member_value {
	/* Of members measured lately; by enum ebb_resource. */
	MEMBER_USAGE = 0,
	MEMBER_MEASURED = MEMBER_USAGE + EBB_RESOURCE_MAX, /* how many have a usage */
	MEMBER_NEED = MEMBER_MEASURED + EBB_RESOURCE_MAX,
	/* CPU of those whose throttling is known: used, and of that used in throttled periods. */
	MEMBER_RAN = MEMBER_NEED + EBB_RESOURCE_MAX,
	MEMBER_RAN_THROTTLED,
	MEMBER_KNOW_THROTTLED,
	MEMBER_HELD_BACK, /* CPU that throttling kept them from using */
	MEMBER_KNOW_HELD_BACK,
	/* Of all members that have not gone: limits in force, whole units. */
	MEMBER_CURRENT,
	MEMBER_LIMITED = MEMBER_CURRENT + EBB_RESOURCE_MAX,
	MEMBER_VALUES = MEMBER_LIMITED + EBB_RESOURCE_MAX,
};

enum member_queue { QUEUE_NONE, QUEUE_DUE, QUEUE_RESTING };

/* Of an application or a user. */
struct member_sums {
	int64_t values[MEMBER_VALUES];

	/* guarding_parents.c */
	struct structure *of;
	struct member_sums *next, *prev;
	enum member_queue queue;
	bool changed;     /* since it was evaluated */
	bool own;         /* it has samples of its own: its members' are left alone */
	bool slow;        /* the newest sample of a member was */
	bool unwritten;   /* `current` in its document is older */
	int64_t together; /* samples of members that came at received_ns */
	uint64_t evaluated_ns, sampled_ns, received_ns;
	int64_t seen[EBB_RESOURCE_MAX];  /* `current` at the last evaluation; -1: none yet */
	int64_t above[EBB_RESOURCE_MAX]; /* `current` above max that less was asked for; 0: none */
	int8_t asked[EBB_RESOURCE_MAX];  /* sign of what was asked for, until that has come */
};

/* For model_add(). -ENOMEM. */
int member_sums_new(struct structure *parent);

/*
 * A sample of a container that belongs to something. What several samples of one message
 * (`received_ns`) tell is averaged, memory excepted. A resource that a message does not have counts
 * no more.
 */
void members_measured(struct model *model, struct structure *container,
		      const struct guard_sample *sample, uint64_t received_ns);
/* The container is not there any more, for the time being. */
void members_silent(struct model *model, struct structure *container);
/* Those who have not been measured for 4 s (45 s where samples come every few seconds). */
void members_expire(struct model *model, uint64_t now_ns);
/* Limits of the container may have changed, or it has gone or come. */
void members_count(struct structure *container);

/* For hierarchy.c: before `child` leaves its parent, after it joined one. */
void members_leave(struct model *model, struct structure *child);
void members_join(struct structure *child);
/* A parent goes, and has no members any more. */
void members_forget(struct model *model, struct structure *parent);

/* The sum of the limits in force of all members that have one and have not gone. False: none. */
bool members_current(const struct structure *parent, enum ebb_resource resource,
		     int64_t *ret_current);
/* It is guarded from now on, or not any more: what was asked for before is forgotten. */
void members_begin(struct structure *parent);
/* What they use, as a sample without times. `valid` says which resources some member has. */
void members_sample(const struct structure *parent, struct guard_sample *ret_sample);

#endif
