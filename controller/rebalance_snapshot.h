/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ReBalancer decides on: users, applications and containers with what they have, as they
 * were for a moment each; decisions of one level are laid over it before the next one looks.
 */
#ifndef EBB_REBALANCE_SNAPSHOT_H
#define EBB_REBALANCE_SNAPSHOT_H

#include "model.h"
#include "rebalance_config.h"

#define REBALANCE_NONE SIZE_MAX

struct rebalance_value {
	int64_t max, min, current;        /* as the decisions so far will have it */
	int64_t model_max, model_current; /* as it was in the model */
	double usage;                     /* mean over the window; NAN: not known */
	double weight;
	int64_t credit;
	int64_t allocated; /* what its host holds for it */
	bool present;      /* it has this resource */
	bool usable;       /* all of it is known, and it may change now */
};

struct rebalance_node {
	size_t name;      /* rebalance_name() */
	size_t host_name; /* likewise in `names`; REBALANCE_NONE: its host is known by its key */
	size_t parent;    /* of the level above; REBALANCE_NONE: none */
	size_t host;      /* of `hosts`: containers; REBALANCE_NONE: not known */
	bool opted_out;
	bool running;   /* a container; an application that has one, a user that has such */
	bool stopped;   /* an application without containers */
	bool reachable; /* a container whose host is connected */
	const void *key, *parent_key, *host_key; /* who they were; only to be compared */
};

struct rebalance_nodes {
	struct rebalance_node *nodes;
	struct rebalance_value *values; /* [node * n_resources + k] */
	size_t n, room;
	/* Of `below`, those of node i: children[first_child[i]] up to children[first_child[i + 1]].
	 */
	size_t *children, *first_child;
};

struct rebalance_host {
	const void *key;
	int64_t max[EBB_RESOURCE_MAX], free[EBB_RESOURCE_MAX]; /* max 0: not accounted */
	int64_t room;                                          /* while a swap is being laid */
};

struct rebalance_snapshot {
	enum ebb_resource resources[EBB_RESOURCE_MAX]; /* those that are looked at */
	size_t n_resources;
	struct rebalance_nodes levels[REBALANCE_LEVEL_MAX];
	struct rebalance_host *hosts;
	size_t n_hosts, hosts_room;
	char *names;
	size_t names_length, names_room;
	double hold_s; /* the longest hold of the lock */
};

/*
 * Takes the model's lock, in pieces. Usage is that of the window of `config`, which containers are
 * made to remember from now on: of one that did not so far it is not known yet. Of an application
 * it is the sum over its containers, of a user that over its applications. -ENOMEM.
 */
int rebalance_snapshot_take(struct model *model, const struct rebalance_config *config,
			    struct rebalance_snapshot *ret_snapshot);
void rebalance_snapshot_clear(struct rebalance_snapshot *snapshot);
/* No container has to remember its usage any more. Takes the lock, in pieces. */
void rebalance_snapshot_forget(struct model *model);

const char *rebalance_name(const struct rebalance_snapshot *snapshot, enum rebalance_level level,
			   size_t node);
static inline struct rebalance_value *rebalance_value_of(const struct rebalance_snapshot *snapshot,
							 enum rebalance_level level, size_t node,
							 size_t k)
{
	return &snapshot->levels[level].values[node * snapshot->n_resources + k];
}

/*
 * A swap of up to `amount`, as the scaler will do it (split over what belongs to both; `current` of
 * containers follows their max as far as their hosts have room): laid over the snapshot as far as
 * it can be done exactly, which is *ret_done; 0: nothing changed. Pure (rebalance_lay.c). -ENOMEM.
 */
int rebalance_lay_swap(struct rebalance_snapshot *snapshot, enum rebalance_level level,
		       bool moves_max, size_t k, size_t donor, size_t receiver, int64_t amount,
		       int64_t *ret_done);

#endif
