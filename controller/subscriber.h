/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions that have to wait for a host: whether it is there, whether it knows the container,
 * whether the limits could be put in force. Nobody's thread waits meanwhile, and the model's lock
 * is free. What fails is taken back, on the host too.
 */
#ifndef EBB_SUBSCRIBER_H
#define EBB_SUBSCRIBER_H

#include <jansson.h>

#include "executor.h"
#include "model.h"
#include "scaler.h"

/*
 * Once per subscription, without the lock, in any thread, also before the function that began it
 * returns. `doc`: the new document, which the callee owns; NULL: it failed, `status` is an HTTP one
 * and `message` for people.
 */
typedef void (*subscriber_done_fn)(void *userdata, json_t *doc, unsigned status,
				   const char *message);

struct subscriber;
/* Borrows model and scaler. Questions, and orders to put limits back, go to `sink`. */
int subscriber_new(struct model *model, struct scaler *scaler, struct order_sink sink,
		   struct subscriber **ret_subscriber);
/* When the sink has done all of its orders; what still waits is done with 503. */
void subscriber_free(struct subscriber *subscriber);

/* Without the lock. `body` as in subscription.h; a reference is kept. */
void subscriber_host(struct subscriber *subscriber, const char *name, json_t *body,
		     subscriber_done_fn done, void *userdata);
void subscriber_container(struct subscriber *subscriber, const char *name, json_t *body,
			  subscriber_done_fn done, void *userdata);
/* By time, a few times a second: what takes too long is given up. */
void subscriber_tick(void *subscriber);

#endif
