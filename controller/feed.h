/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's side of docs/feed.md: sessions, samples to guard samples, evaluation on arrival.
 */
#ifndef EBB_CONTROLLER_FEED_H
#define EBB_CONTROLLER_FEED_H

#include "leader.h"
#include "model.h"
#include "scaler.h"
#include "ebb/http_server.h"

struct feed;
int feed_new(struct model *model, struct scaler *scaler, struct feed **ret_feed);
void feed_free(struct feed *feed);
/* Before the first message; `leader` outlives the feed. Without it every message is taken, and the
 * answers tell no term. */
void feed_set_leader(struct feed *feed, struct leader *leader);
/* POST /feed: http_handler_fn body. Parses outside the lock, applies inside. */
void feed_handle(struct feed *feed, struct http_call *call);

struct feed_stats {
	unsigned long messages, samples, evaluations, rejected;
	unsigned sessions;
	double evaluate_ns; /* mean per evaluation */
};
void feed_get_stats(const struct feed *feed, struct feed_stats *ret_stats);

#endif
