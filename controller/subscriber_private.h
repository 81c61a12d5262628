/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the subscriber; with the model's lock held unless it says otherwise. */
#ifndef EBB_SUBSCRIBER_PRIVATE_H
#define EBB_SUBSCRIBER_PRIVATE_H

#include "limit_debt.h"
#include "subscriber.h"

enum stage {
	STAGE_ASKING,    /* the agent, or whether there is one; one order of ours is out */
	STAGE_APPLYING,  /* the scaler's orders are */
	STAGE_RESTORING, /* what was in force before is ordered; one order of ours is out */
	STAGE_DONE,
};

struct subscription {
	struct subscription *next;
	struct subscriber *subscriber;
	unsigned long number;
	enum stage stage;
	char *name;
	json_t *body;
	subscriber_done_fn done;
	void *userdata;
	uint64_t give_up_ns;

	/* Of a container. */
	char *host_name, *address;
	bool agentless;
	json_t *before; /* resources as its agent told them */
	unsigned mask;  /* 1 << resource: what is to be put in force */
	unsigned sent;  /* likewise: what has been ordered so far */
	int64_t wanted[EBB_RESOURCE_MAX];
	bool maybe_changed; /* on the host */
	bool pinned;        /* its cores may have been changed with it */

	/* The outcome. */
	json_t *doc;
	unsigned status;
	char *message;
};

struct subscriber {
	struct model *model;
	struct scaler *scaler;
	struct order_sink sink;
	/* Under the model's lock. */
	struct subscription *under_way, *finished;
	unsigned long last;
	struct limit_debts *debts;
	unsigned n; /* under way; read without the lock, too */
};

/* --- subscriber.c --- */

/* Takes the lock. -errno of `begin`, with what is wrong, ends the subscription. */
typedef int (*subscription_begin_fn)(struct subscription *sub, char **ret_error);
void subscription_start(struct subscriber *subscriber, const char *name, json_t *body,
			subscriber_done_fn done, void *userdata, subscription_begin_fn begin);
/* From now on it is under way. */
void subscription_begin(struct subscription *sub);
/* Answered when the lock is released. */
void subscription_finish(struct subscription *sub);
void subscription_succeed(struct subscription *sub, const struct structure *s);
/* For people. The first reason counts. Takes `message` over. */
void subscription_blame(struct subscription *sub, unsigned status, char *message);
/* Ends it with the status for `err`. Takes `message` over. */
void subscription_fail(struct subscription *sub, int err, char *message);
/* Another controller leads: what is under way that one takes back. True: it is over. */
bool subscription_is_lost(struct subscription *sub);
/* -EBUSY: one of that name is under way. */
int subscription_refuse_twice(struct subscriber *subscriber, const char *name, char **ret_error);
struct subscription *subscriber_by_number(struct subscriber *subscriber, unsigned long number);
/* An order of our own; `container` and `body` as in struct order; takes `body` over. */
int subscription_send(struct subscription *sub, const char *container, json_t *body,
		      unsigned timeout_ms, bool without_token, order_done_fn done);

/* --- subscriber_container.c --- */

/* In STAGE_APPLYING: is that all, and how did it go? */
void subscription_look(struct subscription *sub);
/* An order that has been handed over may still be carried out: what was in force before is only
 * ordered once that one has been answered, which it always is. */
void subscription_give_up(struct subscription *sub);
/* For scaler_on_subscription(); takes the lock. */
void subscriber_order_answered(void *userdata, unsigned long number,
			       const struct order_result *result);

/* Releases the lock, and answers what has ended. */
void subscriber_unlock(struct subscriber *subscriber);

#endif
