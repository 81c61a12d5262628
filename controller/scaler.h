/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scaler: from requests to orders (spec section 6). Requests arrive from the guardian (or the
 * API); what can be done is done at once, what has to wait for a release or an order in flight
 * waits until REQUEST_TIMEOUT. Shrinks go first; growth takes shares when planned, a shrink gives
 * them back only when the agent has applied it: at no moment is more promised than the host has.
 */
#ifndef EBB_SCALER_H
#define EBB_SCALER_H

#include "audit.h"
#include "executor.h"
#include "feed_message.h"
#include "model.h"

/* What a request changes: the limit in force, or the ceiling that it may rise to (spec 2.10). */
enum request_field { REQUEST_CURRENT, REQUEST_MAX };

/*
 * A container, an application or a user asks. What an application or a user asks for is split over
 * what belongs to it (split.h) and done as one operation: all of it or nothing. With a `pair` it is
 * a swap, one operation too: what one of the two gives up is what the other gets (amount > 0: the
 * pair gives), also when the host has nothing free.
 */
struct request {
	struct structure *structure;
	struct structure *pair; /* of the same subtype; NULL: the host's free share */
	enum request_field field;
	enum ebb_resource resource;
	int64_t amount;
	/* Decided on the limit in force when it was asked: that limit + amount is meant, also when
	 * it has moved meanwhile. Without it the amount counts from what is there when it is
	 * planned. */
	bool absolute;
	bool has_priority;
	int priority;        /* 0 without one */
	double timestamp;    /* wall clock, s: expiry and merging */
	double power_budget; /* W, of who decided by it (spec 6.4); 0: none */
	char origin[32];
	/* What it was decided on, for the record; read by scaler_request() alone. NULL: what the
	 * structure has at the moment. */
	const struct decision *inputs;
	uint64_t sampled_ns, received_ns; /* CLOCK_MONOTONIC of this machine; 0 unknown */
	uint64_t sampled_host_ns;         /* the sample's time on its host's clock; 0 unknown */
};

struct scaler;
/* Borrows both. The sink is set later by scaler_set_sink (each needs the other). */
int scaler_new(struct model *model, struct audit *audit, struct scaler **ret_scaler);
void scaler_set_sink(struct scaler *scaler, struct order_sink sink);
void scaler_free(struct scaler *scaler);
/*
 * Model lock held, also when `fn` is called: a swap is done, wholly, and `receiver` has
 * request->amount of `donor`. One at a time; NULL: nobody.
 */
typedef void (*scaler_swapped_fn)(void *userdata, struct structure *receiver,
				  struct structure *donor, const struct request *request);
void scaler_on_swapped(struct scaler *scaler, scaler_swapped_fn fn, void *userdata);

/*
 * Model lock held. Copies. Merged by structure, resource, sign, field and pair: of two that have a
 * priority the higher one wins, else, or when they have the same, the newer, or the one that came
 * later; amounts are not added. The two directions do not merge, but one of the guardian replaces
 * what it asked the other way. The amount of a swap is exact. -EINVAL: amount 0, no such resource,
 * a container's limit that is not known, a pair that cannot be one (itself, of another subtype, for
 * the `current` of applications or users). -EBUSY: too many others wait to swap with it.
 */
int scaler_request(struct scaler *scaler, const struct request *request);
/* Model lock held: plans all waiting requests and what the model wants applied, and submits the
 * orders. After a feed message, an API change, and by time. */
void scaler_run(struct scaler *scaler);
/* The same for what has just been asked, and for what waits where `about` is: on its host, and for
 * the application and the user above it. NULL: only for what has been asked. */
void scaler_run_for(struct scaler *scaler, const struct structure *about);
/* The same for `share` (0 to 1) of the site, the next part each time: all of it in one hold of the
 * lock takes 45 ms when 1,000 applications of 100 containers wait. */
void scaler_run_share(struct scaler *scaler, double share);
/* Model lock held: the structure is unguarded: its waiting requests are dropped. What is under way
 * goes on. */
void scaler_unguarded(struct scaler *scaler, struct structure *structure);
/* Model lock held: the structure goes away, its shares not yet. Its waiting requests are dropped,
 * operations that it takes part in are taken back. An order under way finds out by itself. */
void scaler_forget(struct scaler *scaler, struct structure *structure);
/* The same before it gets another name: its waiting requests are refused, on record. */
void scaler_renamed(struct scaler *scaler, struct structure *structure);
/*
 * Model lock held. What the agent says is in force since something changed (an entry of the feed's
 * `limits`), at `at` (s) on the host's clock. Where somebody else wrote a limit (systemd after a
 * daemon-reload, an operator), what drift_policy() says is done: the one on record is ordered
 * again, at once the first time and ever later when it goes on, and DRIFT_TRIES times at most
 * without a quiet minute; or the model takes the new one over, as it does for what is not guarded;
 * or the container is left alone.
 */
void scaler_limits_reported(struct scaler *scaler, struct structure *structure,
			    const json_t *limits, double at);
/*
 * Model lock held: whether what a host said at `host_ns` on its clock is from before the
 * structure's last order. What is more than a minute older is from after a reboot: the clock began
 * anew.
 */
bool scaler_is_outdated(const struct scaler *scaler, const struct structure *structure,
			uint64_t host_ns);
/*
 * Model lock held. The agent raised a limit by itself, inside of its lease: what is in force
 * becomes `current`, the shares are its own. False: not yet, and nothing has changed, for an order
 * that will be refused has taken what it needs; the agent tells it again.
 */
bool scaler_grown(struct scaler *scaler, struct structure *structure,
		  const struct feed_growth *growth);
/* It may have taken other cores than the map has for it: `limits` as in scaler_limits_reported().
 */
void scaler_grown_cores(struct scaler *scaler, struct structure *structure, const json_t *limits);
/* order_done_fn: takes the model's lock itself. */
void scaler_order_done(void *scaler, void *order_userdata, const struct order_result *result);

/*
 * Who waits for what becomes of subscriptions: called without the lock, in the thread of the
 * answer, after each order for a structure that has one (`subscription`, its number). Set before
 * the first.
 */
typedef void (*scaler_subscription_fn)(void *userdata, unsigned long subscription,
				       const struct order_result *result);
void scaler_on_subscription(struct scaler *scaler, scaler_subscription_fn answered, void *userdata);

struct scaler_stats {
	unsigned long requests, orders, applied, failed, refused, expired;
	unsigned long grown;                          /* limits that agents raised */
	unsigned long foreign;                        /* limits that somebody else wrote */
	unsigned long drift[DRIFT_MAX];               /* of guarded ones: what was done about it */
	unsigned long operations, swaps, rolled_back; /* begun; done; taken back */
	unsigned waiting, in_flight, operations_open;
};
void scaler_get_stats(const struct scaler *scaler, struct scaler_stats *ret_stats);

#endif
