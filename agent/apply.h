/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out orders (limit_order.h) on containers: one after another for each limit of a
 * container, writes in their safe order, and everything put back when one fails. Lowering memory
 * happens on the shrinker's threads meanwhile, everything else at once in the loop's.
 */
#ifndef EBB_APPLY_H
#define EBB_APPLY_H

#include "container.h"
#include "limit_order.h"
#include "net_link.h"
#include "sampler.h"
#include "shrink.h"

enum apply_state {
	APPLY_NOT_ASKED,
	APPLY_EQUAL,        /* was so already */
	APPLY_NOT_TRIED,    /* one before it failed */
	APPLY_WRITTEN,      /* and read back */
	APPLY_FAILED,       /* `errors` says why; the limit is what it was */
	APPLY_PUT_BACK,     /* was written, and undone because another failed */
	APPLY_NOT_PUT_BACK, /* undoing failed: `errors` says why, the new limit holds */
	APPLY_REPLACED,     /* was written, and a newer order has written it again since */
};

struct apply_result {
	/*
	 * 0; -EOPNOTSUPP: refused before any write, see `message`; -ECANCELED: a newer order raised
	 * the memory that this one was lowering, or its container is let go; -ESHUTDOWN: the agent
	 * stops; else why a read or a write failed.
	 */
	int error;
	bool gone;              /* the container has, meanwhile, or was let go */
	enum limit_kind failed; /* the write that failed */
	enum apply_state states[LIMIT_KIND_MAX];
	int errors[LIMIT_KIND_MAX];
	char message[256];
	/* Memory was asked below what is in use, and lowered to the floor only; bytes. */
	bool mem_floored;
	uint64_t mem_asked, mem_applied;
	uint64_t mem_reclaimed;        /* bytes, of LIMIT_MEM_RECLAIM */
	struct shrink_steps mem_steps; /* on which memory came down, or what was tried */
	uint64_t applied_ns;           /* CLOCK_MONOTONIC when all limits were in force */
};

/* In the loop's thread; the result lives until it returns. */
typedef void (*apply_done_fn)(void *userdata, const struct apply_result *result);

struct applier_options {
	const struct hierarchies *hierarchies;
	struct container_table *table;
	const struct sampler *sampler;
	struct shrinker *shrinker;
	struct net_links *net; /* NULL: no network limits */
	dev_t disk;            /* 0: none */
	/* After limits of a container were written, whether the order succeeded or not. `kinds`
	 * (1 << enum limit_kind): those that the order has set, and not put back. */
	void (*changed)(void *userdata, struct container *container, unsigned kinds);
	/* A limit is about to be written. NULL: nobody asks. */
	void (*writing)(void *userdata, const struct container *container, enum limit_kind kind,
			const struct limits *before);
	/* Its memory begins, or has ended, to come down step by step. */
	void (*changing)(void *userdata, struct container *container, bool under_way);
	void *userdata;
};

struct applier;
int applier_new(const struct applier_options *options, struct applier **ret_applier);
/* Starts no further order. Then free the shrinker, which ends the orders that wait for it. */
void applier_close(struct applier *applier);
/* Ends what waits with -ESHUTDOWN. */
void applier_free(struct applier *applier);

/*
 * An order waits for those before it that ask for one of the same limits, of which quota and burst
 * are one (the one bounds the other), and by weight quota and weight. Nothing that grows waits for
 * reclaim, though: while the memory of an order is being lowered, its other limits are free for
 * newer orders (and are not put back after those, should it fail), and an order that raises the
 * memory ends the lowering.
 *
 * 0 and `done` is called once, perhaps before this returns; or -EBUSY (too many orders wait for
 * this container) or -ENOMEM, and it is never called.
 */
int applier_submit(struct applier *applier, const struct container *container,
		   const struct limit_order *order, apply_done_fn done, void *userdata);

/*
 * The agent is to leave the container alone: orders that wait for others fail with `why`, one that
 * lowers memory is stopped and undone. -ECANCELED: it is let go, and counts as gone; -ESHUTDOWN:
 * the agent stops. `left` is called once, when no order of the container is left, perhaps before
 * this returns, and not after applier_free(), nor when this is called again before. Until then the
 * container must stay in the table: without it nothing can be undone.
 */
typedef void (*applier_left_fn)(void *userdata, uint64_t container_id);
void applier_leave(struct applier *applier, uint64_t container_id, int why, applier_left_fn left,
		   void *userdata);

/* Would an order for these limits (1 << enum limit_kind) have to wait, or stop one that lowers? */
bool applier_is_busy(const struct applier *applier, uint64_t container_id, unsigned kinds);

struct applier_stats {
	unsigned long orders, writes, errors, floored;
};
void applier_get_stats(const struct applier *applier, struct applier_stats *ret_stats);

/* "written", "put back", ...: for people. */
const char *apply_state_text(enum apply_state state);

#endif
