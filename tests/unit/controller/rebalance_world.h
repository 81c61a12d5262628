/* SPDX-License-Identifier: Apache-2.0 */
/* A model whose containers have used something lately, on a clock of its own: for tests of the
 * ReBalancer. Include after test.h. */
#ifndef EBB_TEST_REBALANCE_WORLD_H
#define EBB_TEST_REBALANCE_WORLD_H

#include "series_world.h"

#include "hierarchy.h"
#include "usage_history.h"

static double world_now = 1000;

static double world_wall(void *unused)
{
	return world_now;
}

static uint64_t world_now_ns(void *unused)
{
	return (uint64_t)(world_now * 1e9);
}

static const struct timebase world_time = {world_wall, world_now_ns, NULL};

__attribute__((unused)) static struct model *new_balanced_world(void)
{
	struct model *model = new_world();

	world_now = 1000;
	model->time = &world_time;
	return model;
}

__attribute__((unused)) static struct host *add_host(struct model *model, const char *name,
						     int cpu_max, int cpu_free)
{
	char text[512];
	struct host *host;

	snprintf(
		text, sizeof(text),
		"{'name':'%s','subtype':'host','host':'%s','resources':{'cpu':{'max':%d,'free':%d},"
		"'mem':{'max':100000,'free':100000}}}",
		name, name, cpu_max, cpu_free);
	add_structure(model, text);
	host = model_host(model, name);
	CHECK(host);
	host->connected = true;
	host->free[EBB_CPU] = cpu_free;
	return host;
}

/* With its shares set aside. */
__attribute__((unused)) static struct structure *
add_container(struct model *model, const char *name, const char *host, int current, int max)
{
	char text[512];
	struct structure *s;

	snprintf(text, sizeof(text),
		 "{'name':'%s','subtype':'container','host':'%s','guard':false,'resources':{'cpu':"
		 "{'max':%d,'min':20,'current':%d,'guard':false}}}",
		 name, host, max, current);
	s = add_structure(model, text);
	s->live = true;
	s->resources[EBB_CPU].allocated = current;
	s->resources[EBB_CPU].current = current;
	s->physical[EBB_CPU] = current;
	return s;
}

/* `members`: 'c0','c1' */
__attribute__((unused)) static struct structure *
add_application(struct model *model, const char *name, int max, const char *members)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{'name':'%s','subtype':'application','guard':false,'containers':[%s],"
		 "'resources':{'cpu':{'max':%d,'min':20,'guard':false}}}",
		 name, members, max);
	return add_structure(model, text);
}

/* What it uses for `seconds` from now on, measured once a second. The clock stays. */
__attribute__((unused)) static void use(struct structure *s, enum ebb_resource resource,
					double usage, int seconds)
{
	struct guard_sample sample = {
		.seconds = 1,
		.valid = 1u << resource,
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};

	sample.usage[resource] = usage;
	s->resources[resource].usage = usage;
	for (int i = 1; i <= seconds && s->balance_history; i++)
		usage_history_add(s->balance_history, (uint64_t)((world_now + i) * 1e9), &sample);
}

#endif
