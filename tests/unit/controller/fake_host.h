/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of orders without a thread or a network: they wait until the test says what becomes
 * of each. What is in force on the host is `containers`.
 */
#ifndef EBB_TEST_FAKE_HOST_H
#define EBB_TEST_FAKE_HOST_H

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor.h"
#include "quoted_json.h"
#include "scaler.h"

enum fate {
	FATE_DONE,
	FATE_REFUSED,    /* 400, nothing changed */
	FATE_BROKEN,     /* 500, after a change */
	FATE_UNREACHED,  /* no answer, nothing changed */
	FATE_UNANSWERED, /* no answer, changed all the same */
	FATE_MAX
};

struct fake_host {
	struct scaler *scaler;
	json_t *containers; /* name -> {"cpu": {"cpu_allowance_limit", "cpu_num"}, ...} */
	struct order orders[256];
	size_t first, n;
	int64_t mem_floor; /* memory is not brought below; 0: none */
	bool is_full;      /* no order is taken */
};

static int fake_submit(void *userdata, struct order *order)
{
	struct fake_host *fake = userdata;

	if (fake->is_full || fake->n == sizeof(fake->orders) / sizeof(fake->orders[0]))
		return -ESHUTDOWN;
	fake->orders[(fake->first + fake->n++) % 256] = *order;
	memset(order, 0, sizeof(*order));
	return 0;
}

static inline struct order_sink fake_sink(struct fake_host *fake)
{
	return (struct order_sink){.submit = fake_submit, .userdata = fake};
}

/* Its limits are those of `text`, with ' for ". */
static inline void fake_container(struct fake_host *fake, const char *name, const char *text)
{
	json_object_set_new(fake->containers, name, parse_text(text));
}

static inline void fake_change(struct fake_host *fake, const struct order *order)
{
	json_t *now = json_object_get(fake->containers, order->container), *part;
	const char *resource;

	json_object_foreach(order->body, resource, part) {
		const json_t *mem = json_object_get(part, "mem_limit");

		json_object_update(json_object_get(now, resource), part);
		if (mem && json_integer_value(mem) >= 0 &&
		    json_integer_value(mem) < fake->mem_floor)
			json_object_set_new(json_object_get(now, resource), "mem_limit",
					    json_integer(fake->mem_floor));
	}
}

/* The oldest order comes to its end. False: there is none. */
static inline bool fake_answer(struct fake_host *fake, enum fate fate)
{
	struct order_result result = {0};
	struct order order;
	json_t *resources = NULL;

	if (!fake->n)
		return false;
	order = fake->orders[fake->first];
	fake->first = (fake->first + 1) % 256;
	fake->n--;
	if (order.container && !json_object_get(fake->containers, order.container))
		fate = fate == FATE_UNREACHED || fate == FATE_UNANSWERED ? fate : FATE_MAX;
	if (order.body && (fate == FATE_DONE || fate == FATE_BROKEN || fate == FATE_UNANSWERED))
		fake_change(fake, &order);
	switch (fate) {
	case FATE_DONE:
		result.ok = true;
		result.status = 200;
		resources = order.container ? json_object_get(fake->containers, order.container)
					    : fake->containers;
		resources = json_deep_copy(resources);
		break;
	case FATE_REFUSED: result.status = 400; break;
	case FATE_BROKEN: result.status = 500; break;
	case FATE_MAX: result.status = 404; break;
	default: break;
	}
	if (!result.ok)
		snprintf(result.error, sizeof(result.error),
			 result.status ? "it answered %ld: told to" : "no answer: told to",
			 result.status);
	result.resources = resources;
	if (order.done)
		order.done(order.done_userdata, order.userdata, &result);
	else
		scaler_order_done(fake->scaler, order.userdata, &result);
	json_decref(resources);
	free(order.address);
	free(order.container);
	json_decref(order.body);
	return true;
}

/* All that come. Returns how many. */
static inline int fake_answer_all(struct fake_host *fake, enum fate fate)
{
	int n = 0;

	while (fake_answer(fake, fate))
		n++;
	return n;
}

/* Of the order that is next, compact; "" for a question. Into a static buffer. */
static inline const char *fake_next(const struct fake_host *fake)
{
	static char text[1024];
	char *dumped = NULL;

	if (fake->n)
		dumped = json_dumps(fake->orders[fake->first].body, JSON_COMPACT | JSON_SORT_KEYS);
	snprintf(text, sizeof(text), "%s", dumped ? dumped : "");
	free(dumped);
	return text;
}

#endif
