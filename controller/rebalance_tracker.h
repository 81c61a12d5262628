/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gave how much more than it got: a credit, or a debt when it is below 0. What is given away
 * pays a debt off first, and what is got uses a credit up first. It is kept in the document of the
 * structure itself, as `rebalance_credit`: {RESOURCE: amount}, so that it lives as long as that,
 * and whoever leads next goes on with it.
 */
#ifndef EBB_REBALANCE_TRACKER_H
#define EBB_REBALANCE_TRACKER_H

#include <jansson.h>

#include "rebalance_roles.h"

/* 0 when there is none, or nothing that is a number. */
int64_t rebalance_credit(const json_t *doc, enum ebb_resource resource);
/* `doc` becomes an object when it is NULL. -ENOMEM: nothing changed. */
int rebalance_credit_add(json_t **doc, enum ebb_resource resource, int64_t amount);

/*
 * After rebalance_deal(), for the members of one domain: receivers that are not full and have
 * credit are paid by who owes most and got nothing, whether that has much or little: as much as the
 * one owes and the other is owed, down to its min. One payment for each receiver. Adds to
 * `change`; nobody gives and gets. O(n log n). -ENOMEM.
 */
int rebalance_compensate(struct rebalance_member *members, size_t n, bool moves_max);

#endif
