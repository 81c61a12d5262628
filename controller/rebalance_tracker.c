// SPDX-License-Identifier: Apache-2.0
#include "rebalance_tracker.h"

#include <errno.h>
#include <stdlib.h>

#include "amount_heap.h"
#include "structure.h"
#include "ebb/cleanup.h"

#define MEMBER "rebalance_credit"
/* Beyond any resource of a site: somebody else wrote it. */
#define CREDIT_MAX ((int64_t)1 << 50)

int64_t rebalance_credit(const json_t *doc, enum ebb_resource resource)
{
	const json_t *credits = json_object_get(doc, MEMBER);
	int64_t credit;

	if (!credits ||
	    json_to_int64(json_object_get(credits, ebb_resource_name(resource)), &credit) < 0)
		return 0;
	return CLAMP(credit, -CREDIT_MAX, CREDIT_MAX);
}

int rebalance_credit_add(json_t **doc, enum ebb_resource resource, int64_t amount)
{
	int64_t credit = CLAMP(rebalance_credit(*doc, resource) + amount, -CREDIT_MAX, CREDIT_MAX);
	json_t *credits = json_object_get(*doc, MEMBER);

	if (!structure_own_doc(doc))
		return -ENOMEM;
	if (!json_is_object(credits)) {
		credits = json_object();
		if (json_object_set_new(*doc, MEMBER, credits) < 0)
			return -ENOMEM;
	}
	if (credit == 0)
		json_object_del(credits, ebb_resource_name(resource));
	else if (json_object_set_new(credits, ebb_resource_name(resource), json_integer(credit)) <
		 0)
		return -ENOMEM;
	if (json_object_size(credits) == 0)
		json_object_del(*doc, MEMBER);
	return 0;
}

struct compensation {
	struct rebalance_member *members;
	bool moves_max;
};

static int compare_creditors(const void *a, const void *b, void *userdata)
{
	const struct compensation *c = userdata;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = rebalance_compare_need(&c->members[x], &c->members[y], c->moves_max);

	return order ? order : (x > y) - (x < y);
}

/* What it has after all that is decided. */
static int64_t left_above_min(const struct rebalance_member *member, bool moves_max)
{
	return rebalance_value(member, moves_max) + member->change - member->min;
}

static void pay(struct compensation *c, struct rebalance_member *creditor,
		struct amount_heap *debtors)
{
	struct amount_of debt;
	struct rebalance_member *debtor;
	int64_t amount = creditor->credit - creditor->change;

	amount = MIN(amount, rebalance_room(creditor, c->moves_max) - creditor->change);
	if (amount <= 0 || debtors->n == 0)
		return;
	debt = amount_heap_pop(debtors);
	debtor = &c->members[debt.owner];
	amount = MIN(amount, debt.amount);
	amount = MIN(amount, left_above_min(debtor, c->moves_max));
	creditor->change += amount;
	debtor->change -= amount;
	debt.amount -= amount;
	if (debt.amount > 0 && left_above_min(debtor, c->moves_max) > 0)
		amount_heap_push(debtors, debt.amount, debt.owner);
}

int rebalance_compensate(struct rebalance_member *members, size_t n, bool moves_max)
{
	_cleanup_free_ struct amount_of *items = calloc(n + 1, sizeof(*items));
	_cleanup_free_ size_t *creditors = calloc(n + 1, sizeof(*creditors));
	struct compensation c = {.members = members, .moves_max = moves_max};
	struct amount_heap debtors = {.items = items};
	size_t n_creditors = 0;

	if (!items || !creditors)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct rebalance_member *m = &members[i];
		/* A donor has paid some of it just now. */
		int64_t debt = -m->credit + MIN(m->change, 0);

		if (m->role == REBALANCE_RECEIVER && m->credit > 0)
			creditors[n_creditors++] = i;
		else if (debt > 0 && m->change <= 0 && left_above_min(m, moves_max) > 0)
			amount_heap_push(&debtors, debt, i);
	}
	if (n_creditors && debtors.n) {
		qsort_r(creditors, n_creditors, sizeof(*creditors), compare_creditors, &c);
		for (size_t i = 0; i < n_creditors; i++)
			pay(&c, &members[creditors[i]], &debtors);
	}
	return 0;
}
