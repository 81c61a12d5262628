/* SPDX-License-Identifier: Apache-2.0 */
/* Carries orders to the agents over keep-alive connections, on a thread of its own. Knows nothing
 * of the model. */
#ifndef EBB_EXECUTOR_H
#define EBB_EXECUTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ebb/identity.h"

struct order_result {
	bool ok;
	long status;             /* 0: no answer; it may have been applied all the same */
	char error[256];         /* for people */
	const json_t *resources; /* read by the agent, after a change; NULL on failure. Of all: name
				    -> nothing */
	bool grown;              /* refused: the agent's reflex had raised something meanwhile */
	uint64_t applied_ns;     /* Ebb-Applied-Ns, the host's clock; 0: not told */
	double seconds;
};

/* In the executor's thread, once per order. */
typedef void (*order_done_fn)(void *userdata, void *order_userdata,
			      const struct order_result *result);

struct order {
	char *address;       /* the agent's API */
	char *container;     /* NULL: all of them; then there is no body */
	json_t *body;        /* as PUT /container/NAME takes it; NULL: only a question */
	unsigned timeout_ms; /* 0: 2,000 */
	bool without_token;  /* not to an agent: the token is not for its eyes */
	bool has_knowledge;  /* the next two go with it, as Ebb-Accounts and Ebb-Grown */
	uint64_t accounts, grown;
	void *userdata;
	order_done_fn done; /* NULL: whoever hears of all orders */
	void *done_userdata;
};

/* As a status: it did not leave: we do not lead (a question does all the same), or its agent is
 * silent. */
#define ORDER_NOT_SENT 421

/*
 * Who may give orders, asked at the moment when each is sent. `may_send` false: it fails with
 * ORDER_NOT_SENT; a term above 0 goes with the order (Ebb-Term). `outdated`: an agent has heard of
 * a higher `term`. Both in the executor's thread.
 */
struct executor_fence {
	bool (*may_send)(void *userdata, uint64_t *ret_term);
	void (*outdated)(void *userdata, uint64_t term);
	void *userdata;
};

struct executor;
/* `identity` is borrowed; NULL: no token. */
int executor_new(struct identity *identity, order_done_fn done, void *userdata,
		 struct executor **ret_executor);
/* Before the first order. Without it every order is sent, without a term. */
void executor_set_fence(struct executor *executor, const struct executor_fence *fence);
/* Waits for orders under way (at most 5 s); what is left then is done with status 0. */
void executor_free(struct executor *executor);
/* Takes the order's members over, but on failure. Never blocks. -ESHUTDOWN: it is being freed. */
int executor_submit(struct executor *executor, struct order *order);

/* Who carries orders: an executor, or a simulation. */
struct order_sink {
	/* As executor_submit(). Each order is done once, later: order_done_fn. */
	int (*submit)(void *userdata, struct order *order);
	void *userdata;
};
struct order_sink executor_sink(struct executor *executor);
/* Runs `fn` in the executor's thread every `seconds`: the scaler's retry of waiting requests. */
int executor_every(struct executor *executor, double seconds, void (*fn)(void *userdata),
		   void *userdata);

#endif
