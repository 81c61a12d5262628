/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that a subscription has changed and that could not be put back when it failed, because the
 * host did not answer: they are when it does, unless somebody wants the container by then.
 */
#ifndef EBB_LIMIT_DEBT_H
#define EBB_LIMIT_DEBT_H

#include <jansson.h>
#include <stdbool.h>

#include "executor.h"
#include "model.h"

struct limit_debts;
/* Borrows the model. NULL: no memory. */
struct limit_debts *limit_debts_new(struct model *model, struct order_sink sink);
/* When the sink has done all of its orders. */
void limit_debts_free(struct limit_debts *debts);

/* Lock held, as below. `address` NULL: that of the host, once it is connected. Takes `body` (of PUT
 * /container/NAME; may be NULL) over. False: nobody will put them back, there are too many or there
 * is no memory. */
bool limit_debts_add(struct limit_debts *debts, const char *name, const char *host,
		     const char *address, bool agentless, json_t *body);
/* By time: orders what is due. Of what `is_busy` says so it is left for later. */
void limit_debts_pay(struct limit_debts *debts, bool (*is_busy)(void *userdata, const char *name),
		     void *userdata);
/* An order to put those of `name` back is out: what is ordered now may come before it. */
bool limit_debts_under_way(const struct limit_debts *debts, const char *name);
/* Without the lock, too. */
bool limit_debts_any(const struct limit_debts *debts);

/* Its agent has said what is in force again, in `resources` of an order's answer. */
void limit_debts_taken_back(struct model *model, const char *name, bool agentless,
			    const json_t *resources);

#endif
