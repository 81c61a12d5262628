/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the scaler; all with the model's lock held. */
#ifndef EBB_SCALER_PRIVATE_H
#define EBB_SCALER_PRIVATE_H

#include "name_index.h"
#include "packed.h"
#include "scaler.h"
#include "scaler_plan.h"
#include "ebb/util.h"

/* Between two writes of a limit that somebody else keeps changing, or that cannot be reached. */
#define FOREIGN_FIRST_MS 1000
#define FOREIGN_CAP_MS   60000
/* In a row: what still fails then holds up nobody else any more. With the pauses, half a minute. */
#define SCALER_TRIES     8
#define FOREIGN_QUIET_NS (60 * EBB_NS_PER_SEC)
/* A host's clock starts anew when it boots. Answers and messages overtake each other by seconds. */
#define OTHER_BOOT_NS (60 * EBB_NS_PER_SEC)

struct change;
struct operation;
struct plan_leaf;
struct wait_group;

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
	struct packed *inputs; /* of its decision; NULL: none are known */
	char *cpus;            /* ordered; NULL: none */
	double sent_ms;
	uint64_t sampled_ns, sampled_host_ns;
	struct change *change;       /* of an operation, which does its own accounting */
	struct wait_group *releases; /* of the host that gets shares back by it; NULL: none */
};

struct waiting {
	struct waiting *next;
	struct request request; /* its pointers are not to be followed: the names are */
	char *pair;             /* NULL: no swap */
	int64_t base;           /* of the field, when it was asked; for absolute requests */
	double since;           /* wall clock: first asked */
	const char *reason;     /* why it waits; static */
	struct packed *inputs;  /* of its decision */
	bool planned;
	struct plan_input plan; /* the last time */
};

/*
 * What the scaler knows of one structure, by name: a structure may be removed, and one of the same
 * name come, while an order is under way.
 */
struct slot {
	struct slot *next, *next_waiting, *next_due;
	char *key; /* of the index: users have names of their own */
	const char *name;
	bool user;
	struct wait_group *group; /* that it waits in; NULL: none */
	struct waiting *waiting;
	unsigned later;        /* 1 << resource: wanted by the model, held back the last time */
	unsigned putting_back; /* 1 << resource: ordered, of an operation that is no more */
	struct scaler_order *planned[2];  /* not sent yet; [1]: a slow one */
	bool under_way[EBB_RESOURCE_MAX]; /* an order, or an operation */
	uint64_t applied_ns;              /* the last order's, on the host's clock */
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
	struct slot *slots;
	struct name_index *index;
	struct wait_group *all_groups, *due;
	struct wait_group *turn; /* the next that scaler_run_share() wakes; NULL: the first */
	size_t n_groups;
	struct name_index *groups;
	struct scaler_order *planned, **planned_end; /* to be sent by scaler_flush() */
	struct operation *operations, *stuck;
	uint64_t retried_ns;
	uint64_t swept_ns;   /* when it last began */
	struct slot **sweep; /* where it goes on; NULL: it is through */
	struct scaler_stats stats;
	scaler_subscription_fn answered; /* NULL: nobody waits */
	void *answered_userdata;
	scaler_swapped_fn swapped; /* NULL: nobody asks */
	void *swapped_userdata;
};
/* --- operations --- */

enum change_state {
	CHANGE_NONE,      /* nothing ordered */
	CHANGE_UNDER_WAY, /* an order is */
	CHANGE_DONE,      /* in force */
	CHANGE_REFUSED,   /* what was in force before still is */
	CHANGE_UNKNOWN,   /* either may be in force, or something between */
	CHANGE_LOST,      /* the container has gone */
};

/* What an operation does to one container. */
struct change {
	struct operation *operation;
	struct slot *slot;
	size_t parent;    /* of operation->parents; SIZE_MAX: none */
	int64_t amount;   /* of the field asked for */
	int64_t from, to; /* limit in force; the same: nothing is ordered */
	int64_t max_from, max_to;
	int64_t held_first;  /* by its host, when it was planned */
	int64_t held_before; /* likewise, with what was in force without being accounted */
	int64_t in_force;    /* as the agent said last */
	enum change_state state;
	bool ordered;           /* at any time */
	bool adrift;            /* given up: what is in force is not known, the old limit wanted */
	struct cpumap_row *row; /* its cores before shares moved; NULL: it is not CPU */
	char cpus[256], error[160];
	char steps[256]; /* of memory that came down */
	double sent_ms, applied_ms;
	struct wait_group *releases; /* as of a part, to the end of the operation */
};

/* And to an application or a user. */
struct parent_change {
	struct slot *slot;
	enum structure_subtype subtype;
	size_t parent;  /* its user; SIZE_MAX: none */
	int64_t before; /* of the field */
	int64_t amount; /* planned */
	int64_t done;   /* so far */
	bool bare;      /* only its document changes */
};

enum operation_phase {
	OPERATION_RELEASE,   /* donors' orders */
	OPERATION_GROW,      /* what they gave up has moved: receivers' orders */
	OPERATION_TAKE_BACK, /* something failed: receivers go back to what they had */
};

struct operation {
	struct operation *next, *prev;
	struct operation *next_stuck;
	bool stuck; /* it goes on by time */
	uint64_t number;
	struct request request; /* as asked; its pointers are not to be followed */
	struct packed *inputs;  /* of its decision */
	char *name, *pair;      /* who asked, and its pair; NULL: no swap */
	bool moved;             /* donors' shares have been given to receivers */
	bool committed;
	enum operation_phase phase;
	struct change *changes;
	size_t n_changes, under_way;
	struct parent_change *parents;
	size_t n_parents;
	char failure[256]; /* why it is taken back; "": it is not */
	unsigned failures; /* to take it back */
	uint64_t not_before_ns;
};

/* What becomes of a request. */
struct verdict {
	enum { VERDICT_DONE, VERDICT_WAIT, VERDICT_REFUSE } what;
	const char *wait; /* static */
	char refusal[256];
};

/* scaler.c */
/* NULL: there is none. */
struct slot *scaler_slot_of(const struct scaler *scaler, const struct structure *structure);
/* Made when it is not there. NULL: no memory. */
struct slot *scaler_slot(struct scaler *scaler, const struct structure *structure);
struct structure *scaler_structure(const struct scaler *scaler, const struct slot *slot);
/* Whether the host has booted between the slot's last order and `host_ns`; 0: not known. */
bool slot_other_boot(const struct slot *slot, uint64_t host_ns);
double scaler_wall(const struct scaler *scaler);
uint64_t scaler_now_ns(const struct scaler *scaler);
/* NAN: `from_ns` is 0. */
double scaler_ms_since(uint64_t from_ns, uint64_t to_ns);
/* What is on record so far of a request that waits. */
void scaler_inputs(const struct waiting *waiting, struct decision *ret_decision);
/* Into the audit. `reason` NULL: the decision has its own. */
void scaler_record(struct scaler *scaler, struct decision *decision, const char *outcome,
		   const char *reason);

/* scaler_request.c */
void waiting_free(struct waiting *waiting);
/* It waits no more, and is freed. */
void waiting_drop(struct scaler *scaler, struct slot *slot, struct waiting *waiting);
/* The same, and it goes on record as `outcome`. */
void waiting_refuse(struct scaler *scaler, struct slot *slot, struct waiting *waiting,
		    const char *outcome, const char *reason);
bool request_is_guardians(const struct request *request);

/* scaler_wait.c */
/* Until its host's turn comes: scaler_wake…(), then scaler_take_due(). -ENOMEM. */
int scaler_wait(struct scaler *scaler, struct slot *slot, const struct structure *structure);
/*
 * A container gives up shares of its host, until scaler_release_end() of what this returns. NULL:
 * no memory, and nobody waits for it. Has its host more to give soon, so that a growth that cannot
 * have all yet should wait?
 */
struct wait_group *scaler_release_begin(struct scaler *scaler, const struct structure *s,
					enum ebb_resource resource);
void scaler_release_end(struct wait_group *group, enum ebb_resource resource);
bool scaler_has_releases(const struct scaler *scaler, const struct structure *s,
			 const struct waiting *waiting);
void scaler_wake_slot(struct scaler *scaler, const struct slot *slot);
/* What waits on a host, or on that of a container; and the applications and users above it. */
void scaler_wake(struct scaler *scaler, const struct structure *structure);
void scaler_wake_all(struct scaler *scaler);
/* So many of all hosts, applications and users, in turn. */
void scaler_wake_share(struct scaler *scaler, double share);
/* All that wait where something has changed, linked by next_due; they wait no more. */
struct slot *scaler_take_due(struct scaler *scaler);
void scaler_wait_free(struct scaler *scaler);

/* scaler_order.c */
/* Why nothing can be ordered for this resource at the moment; NULL: it can. */
const char *scaler_held_back(const struct scaler *scaler, const struct slot *slot,
			     const struct structure *s, int resource, uint64_t now);
/* To be freed by part_free(). NULL: no memory. */
struct part *part_new(enum ebb_resource resource, int64_t from, int64_t to);
void part_free(struct part *part);
/* Takes the shares that a growth needs; `part` keeps what a way back needs. */
int scaler_take_shares(struct model *model, struct structure *s, struct part *part, int64_t take);
void scaler_return_shares(struct model *model, struct structure *s, struct part *part);
/* Into an order to be sent by scaler_flush(). -ENOMEM. */
int scaler_add_part(struct scaler *scaler, struct slot *slot, const struct structure *s,
		    struct part *part);
/* What the model wants applied. */
void scaler_plan_applies(struct scaler *scaler, uint64_t now);
/* Sends what is planned. */
void scaler_flush(struct scaler *scaler, uint64_t now);
/* The agent says that `applied` is in force. */
void scaler_limit_in_force(struct scaler *scaler, struct slot *slot, struct structure *s,
			   enum ebb_resource resource, int64_t from, int64_t applied,
			   const struct order_result *result);
/* Somebody wrote another limit while an order or an operation was under way, which was no time to
 * put it back: now it is, or it is adopted where nothing is guarded. */
void scaler_settle_overwritten(struct scaler *scaler, struct structure *s,
			       enum ebb_resource resource);
/* What is guarded and above its max after an order failed comes down to it. True: it was above. */
bool scaler_below_max(struct scaler *scaler, struct structure *s, enum ebb_resource resource);
/* The first, the second, the fourth, the eighth time in a row. */
bool scaler_worth_a_line(unsigned failures);

/* scaler_foreign.c */
/* The cores a container runs on against those that the core map gives it. */
bool scaler_cores_differ(const struct scaler *scaler, const struct structure *s,
			 const json_t *limits);

/* scaler_reflex.c */
/* What is in force beyond what is set aside for it is nobody else's until it has been cut. */
void scaler_hold_physical(struct scaler *scaler, struct structure *s, enum ebb_resource resource);
/* The order that was under way when it grew was not carried out: what grew is in force. */
void scaler_settle_meanwhile(struct scaler *scaler, struct structure *s,
			     enum ebb_resource resource);

/* scaler_begin.c */
/* A request that is not for the limit in force of one container alone. */
void operation_begin(struct scaler *scaler, struct slot *slot, struct structure *s,
		     struct waiting *waiting, uint64_t now, struct verdict *verdict);
void verdict_refuse(struct verdict *verdict, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void verdict_wait(struct verdict *verdict, const char *reason);
/* What is left to do of what was asked; 0: nothing, for the value has moved past what was meant. */
int64_t operation_amount(const struct waiting *waiting, int64_t value);
/* What its host has free, before anything is planned; NULL: it has no host. */
int64_t *operation_room(const struct scaler *scaler, const struct structure *s,
			enum ebb_resource resource);
void operation_leaf(const struct structure *s, enum ebb_resource resource, int64_t *room,
		    struct plan_leaf *ret_leaf);
/* `parent`: of operation->parents, SIZE_MAX for none. */
void operation_add_change(struct operation *operation, struct slot *slot,
			  const struct plan_leaf *leaf, size_t parent);

/* scaler_parents.c */
/* What a request for `field` changes: of an application or a user the limit in force is the sum of
 * its containers'. */
int64_t operation_value(const struct structure *structure, enum request_field field,
			enum ebb_resource resource);
void operation_begin_parent(struct scaler *scaler, struct structure *s, struct waiting *waiting,
			    uint64_t now, struct verdict *verdict);
/* What belongs to an application or a user has changed: its document follows. */
void operation_parent_changed(struct scaler *scaler, struct structure *parent,
			      enum ebb_resource resource);

/* scaler_operation.c */
struct operation *operation_new(const struct waiting *waiting, const char *name, size_t n_changes,
				size_t n_parents);
void operation_free(struct operation *operation);
/*
 * Takes it over and sets it off, once shares for all of it are set aside. Without them nothing has
 * changed, it is freed and `verdict` says so.
 */
void operation_start(struct scaler *scaler, struct operation *operation, uint64_t now,
		     struct verdict *verdict);
/* An order of it was answered: `answer` is what became of it, `in_force` counts when it is known.
 */
void operation_answered(struct scaler *scaler, struct change *change, enum change_state answer,
			int64_t in_force, const char *error);
/* After an answer: what follows from it. */
void operation_go_on(struct scaler *scaler, struct operation *operation, uint64_t now);
/* Tries again what could not be taken back. */
void operations_retry(struct scaler *scaler, uint64_t now);
/* `structure` goes: its part in an operation ends while its shares are still there. */
void operations_lose(struct scaler *scaler, struct slot *slot);
/* Another controller leads: what is in force, that one finds out. */
void operations_abandon(struct scaler *scaler);

#endif
