/* SPDX-License-Identifier: Apache-2.0 */
#include "limit_debt.h"

#include <stdlib.h>
#include <string.h>

#include "scaler_plan.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

/* A Container Scaler's orders take that long. */
#define AGENTLESS_MS 20000
#define RETRY_NS     EBB_NS_PER_SEC
#define GIVE_UP_NS   (600 * EBB_NS_PER_SEC)
#define DEBTS_MAX    1000

struct debt {
	struct debt *next;
	struct limit_debts *debts;
	char *name, *host_name, *address; /* address: NULL, not known */
	json_t *body;
	bool agentless, under_way;
	uint64_t due_ns, give_up_ns;
};

struct limit_debts {
	struct model *model;
	struct order_sink sink;
	struct debt *first;
	unsigned n; /* read without the lock, too */
};

void limit_debts_taken_back(struct model *model, const char *name, bool agentless,
			    const json_t *resources)
{
	struct structure *s = model_structure(model, name);
	_cleanup_json_ json_t *limits = json_object();

	if (!s || !s->automatic || !s->live || s->in_flight || agentless)
		return;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		int64_t limit;

		if (scaler_body_limit(resources, i, &limit) >= 0)
			json_object_set_new(limits, ebb_resource_name(i), json_integer(limit));
	}
	if (s->pinnable)
		json_object_set_new(limits, "cpus", json_string(""));
	(void)model_limits_reported(model, s, limits);
}

static void debt_free(struct debt *debt)
{
	struct debt **link = &debt->debts->first;

	while (*link != debt)
		link = &(*link)->next;
	*link = debt->next;
	__atomic_sub_fetch(&debt->debts->n, 1, __ATOMIC_RELAXED);
	free(debt->name);
	free(debt->host_name);
	free(debt->address);
	json_decref(debt->body);
	free(debt);
}

bool limit_debts_add(struct limit_debts *debts, const char *name, const char *host,
		     const char *address, bool agentless, json_t *body)
{
	uint64_t now = timebase_now_ns(debts->model->time);
	struct debt *debt = NULL;

	if (body && debts->n < DEBTS_MAX)
		debt = calloc(1, sizeof(*debt));
	if (!debt) {
		json_decref(body);
		return false;
	}
	*debt = (struct debt){
		.next = debts->first,
		.debts = debts,
		.name = strdup(name),
		.host_name = strdup(host),
		.address = address ? strdup(address) : NULL,
		.body = body,
		.agentless = agentless,
		.due_ns = now + RETRY_NS,
		.give_up_ns = now + GIVE_UP_NS,
	};
	debts->first = debt;
	__atomic_add_fetch(&debts->n, 1, __ATOMIC_RELAXED);
	if (debt->name && debt->host_name && (debt->address || !address))
		return true;
	debt_free(debt);
	return false;
}

static void answered(void *userdata, void *order_userdata, const struct order_result *result)
{
	struct model *model = userdata;
	struct debt *debt = order_userdata;

	model_lock(model);
	debt->under_way = false;
	debt->due_ns = timebase_now_ns(model->time) + RETRY_NS;
	if (result->ok && model->leading) {
		limit_debts_taken_back(model, debt->name, debt->agentless, result->resources);
		model_log(model, LOG_LEVEL_INFO,
			  "%s, which was not subscribed, has its old limits again", debt->name);
	}
	if (result->status && result->status != ORDER_NOT_SENT)
		debt_free(debt);
	model_unlock(model);
}

/* Is it still as it was left, with nobody else to say what its limits are? */
static bool is_owed(const struct debt *debt, uint64_t now)
{
	struct model *model = debt->debts->model;
	const struct structure *s = model_structure(model, debt->name);

	return now < debt->give_up_ns && model->leading &&
	       (!s || (s->subtype == STRUCTURE_CONTAINER && s->automatic &&
		       strcmp(s->host_name, debt->host_name) == 0));
}

static void pay(struct debt *debt, const struct host *host)
{
	struct limit_debts *debts = debt->debts;
	const char *address = host->address ? host->address : debt->address;
	struct order order = {
		.address = address ? strdup(address) : NULL,
		.container = strdup(debt->name),
		.body = json_incref(debt->body),
		.timeout_ms = host->agentless ? AGENTLESS_MS : 0,
		.without_token = host->agentless,
		.userdata = debt,
		.done = answered,
		.done_userdata = debts->model,
	};

	debt->agentless = host->agentless;
	debt->under_way = order.address && order.container && debts->sink.submit &&
			  debts->sink.submit(debts->sink.userdata, &order) >= 0;
	if (debt->under_way)
		return;
	free(order.address);
	free(order.container);
	json_decref(order.body);
}

void limit_debts_pay(struct limit_debts *debts, bool (*is_busy)(void *userdata, const char *name),
		     void *userdata)
{
	uint64_t now = timebase_now_ns(debts->model->time);

	for (struct debt *debt = debts->first, *next; debt; debt = next) {
		const struct host *host = model_host(debts->model, debt->host_name);

		next = debt->next;
		if (debt->under_way || is_busy(userdata, debt->name))
			continue;
		if (!is_owed(debt, now))
			debt_free(debt);
		else if (now >= debt->due_ns && host && host->connected)
			pay(debt, host);
	}
}

bool limit_debts_under_way(const struct limit_debts *debts, const char *name)
{
	for (const struct debt *debt = debts->first; debt; debt = debt->next)
		if (debt->under_way && strcmp(debt->name, name) == 0)
			return true;
	return false;
}

bool limit_debts_any(const struct limit_debts *debts)
{
	return __atomic_load_n(&debts->n, __ATOMIC_RELAXED) > 0;
}

struct limit_debts *limit_debts_new(struct model *model, struct order_sink sink)
{
	struct limit_debts *debts = calloc(1, sizeof(*debts));

	if (!debts)
		return NULL;
	debts->model = model;
	debts->sink = sink;
	return debts;
}

void limit_debts_free(struct limit_debts *debts)
{
	while (debts->first)
		debt_free(debts->first);
	free(debts);
}
