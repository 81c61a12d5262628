/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the scaler; all with the model's lock held. */
#ifndef EBB_SCALER_PRIVATE_H
#define EBB_SCALER_PRIVATE_H

#include "name_index.h"
#include "scaler.h"
#include "scaler_plan.h"
#include "ebb/util.h"

/* Between two writes of a limit that somebody else keeps changing, or that cannot be reached. */
#define FOREIGN_FIRST_MS 1000
#define FOREIGN_CAP_MS   60000
#define FOREIGN_QUIET_NS (60 * EBB_NS_PER_SEC)
/* A host's clock starts anew when it boots. Answers and messages overtake each other by seconds. */
#define OTHER_BOOT_NS (60 * EBB_NS_PER_SEC)

/* One resource of an order under way. */
struct part {
	struct part *next;
	enum ebb_resource resource;
	bool apply;             /* the model's own wish: `current` is `to` already */
	bool partial;           /* planned for less than was asked */
	int64_t from, to;       /* limit in force before, and ordered; from < 0: not known */
	int64_t taken;          /* from the host, when planned */
	struct cpumap_row *row; /* CPU: the cores before that; NULL: nothing taken */
	int64_t row_total;
	struct decision decision;
	uint64_t sampled_ns, sampled_host_ns;
};

struct waiting {
	struct request request;
	int64_t base;       /* limit in force when it was asked */
	double since;       /* wall clock: first asked */
	const char *reason; /* why it waits; static */
};

/*
 * What the scaler knows of one structure, by name: a structure may be removed, and one of the same
 * name come, while an order is under way.
 */
struct slot {
	struct slot *next, *next_waiting;
	char *name;
	bool listed; /* among those that wait */
	struct waiting *waiting[EBB_RESOURCE_MAX];
	bool under_way[EBB_RESOURCE_MAX];
	uint64_t applied_ns; /* the last order's, on the host's clock */
	unsigned failures[EBB_RESOURCE_MAX];
	uint64_t not_before_ns[EBB_RESOURCE_MAX];
	unsigned foreign[EBB_RESOURCE_MAX]; /* put back so often, without a quiet minute */
	uint64_t foreign_ns[EBB_RESOURCE_MAX], apply_after_ns[EBB_RESOURCE_MAX];
};

struct scaler_order {
	struct scaler_order *next;
	struct slot *slot;
	bool slow; /* lowers a memory limit: apart, so that nothing else waits for its reclaim */
	struct part *parts;
	uint64_t sent_ns;
};

struct scaler {
	struct model *model;
	struct audit *audit;
	struct order_sink sink;
	struct slot *slots, *waiting;
	struct name_index *index;
	uint64_t swept_ns;
	struct scaler_stats stats;
};
/* scaler.c */
/* Made when it is not there. NULL: no memory. */
struct slot *scaler_slot(struct scaler *scaler, const char *name);
/* Whether the host has booted between the slot's last order and `host_ns`; 0: not known. */
bool slot_other_boot(const struct slot *slot, uint64_t host_ns);
double scaler_wall(const struct scaler *scaler);
uint64_t scaler_now_ns(const struct scaler *scaler);
/* NAN: `from_ns` is 0. */
double scaler_ms_since(uint64_t from_ns, uint64_t to_ns);
/* Into the audit. `reason` NULL: the decision has its own. */
void scaler_record(struct scaler *scaler, struct decision *decision, const char *outcome,
		   const char *reason);

/* scaler_order.c */
/* Why nothing can be ordered for this resource at the moment; NULL: it can. */
const char *scaler_held_back(const struct scaler *scaler, const struct slot *slot,
			     const struct structure *s, int resource, uint64_t now);
struct part *part_new(enum ebb_resource resource, int64_t from, int64_t to);
void part_free(struct part *part);
/* Takes the shares that a growth needs; `part` keeps what a way back needs. */
int scaler_take_shares(struct model *model, struct structure *s, struct part *part, int64_t take);
void scaler_return_shares(struct model *model, struct structure *s, struct part *part);
/* Into an order to be sent by scaler_submit(). -ENOMEM. */
int scaler_add_part(struct scaler_order **orders, struct slot *slot, const struct structure *s,
		    struct part *part);
/* What the model wants applied. */
void scaler_plan_applies(struct scaler *scaler, uint64_t now, struct scaler_order **orders);
void scaler_submit(struct scaler *scaler, struct scaler_order *planned, uint64_t now);
/* The first, the second, the fourth, the eighth time in a row. */
bool scaler_worth_a_line(unsigned failures);

#endif
