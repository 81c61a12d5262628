/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an epoch of the ReBalancer costs, for 1,000, 10,000 and 100,000 containers: a hundred on
 * each host, a hundred in each application, ten applications to a user; a third is idle and a third
 * starved. Containers by rules, in the scope of an application and of the host, by weights, and all
 * three levels. CPU time per container, the longest hold of the model's lock (with the scaler
 * planning the swaps under it), how long another thread that wants it all the time waited, and how
 * many swaps were asked for. Orders are done between the epochs.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rebalancer.h"
#include "usage_history.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define PER_HOST        100
#define PER_APPLICATION 100
#define PER_USER        10
#define EPOCHS          3

static double virtual_now = 100000;

static double wall(void *unused)
{
	return virtual_now;
}

static uint64_t monotonic_ns(void *unused)
{
	return (uint64_t)(virtual_now * 1e9);
}

static const struct timebase virtual_time = {wall, monotonic_ns, NULL};

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct structure *add(struct model *model, json_t *doc, bool user)
{
	struct structure *structure;
	int r = user ? user_from_json(doc, NULL, &structure, NULL)
		     : structure_from_json(doc, NULL, &structure, NULL);

	if (r < 0 || model_add(model, structure) < 0)
		exit(1);
	json_decref(doc);
	return structure;
}

static json_t *names(const char *prefix, int first, int n)
{
	json_t *list = json_array();
	char name[32];

	for (int i = first; i < first + n; i++) {
		snprintf(name, sizeof(name), "%s%d", prefix, i);
		json_array_append_new(list, json_string(name));
	}
	return list;
}

/* Each application has ten containers on each of ten hosts. */
static int host_of(int i, int n)
{
	return i / 10 % (n / PER_HOST);
}

static struct model *fill(int n, int max)
{
	struct model *model;
	char name[32], host[32];

	if (model_new(NULL, &model) < 0)
		exit(1);
	model->time = &virtual_time;
	model_lock(model);
	for (int h = 0; h < n / PER_HOST; h++) {
		snprintf(name, sizeof(name), "h%d", h);
		add(model,
		    json_pack("{s:s, s:s, s:s, s:{s:{s:i}, s:{s:i}}}", "subtype", "host", "name",
			      name, "host", name, "resources", "cpu", "max", 20000, "mem", "max",
			      1 << 20),
		    false);
		model_host(model, name)->connected = true;
		model_host(model, name)->address = strdup("http://127.0.0.1:1");
	}
	for (int i = 0; i < n; i++) {
		struct structure *s;

		snprintf(name, sizeof(name), "c%d", i);
		snprintf(host, sizeof(host), "h%d", host_of(i, n));
		s = add(model,
			json_pack("{s:s, s:s, s:s, s:{s:{s:i, s:i, s:i, s:f}}}", "subtype",
				  "container", "name", name, "host", host, "resources", "cpu",
				  "max", max, "min", 20, "current", 150 + i % 50, "weight",
				  1.0 + i % 7),
			false);
		s->live = true;
		s->physical[EBB_CPU] = s->resources[EBB_CPU].current;
		model_allocate(model, s, EBB_CPU, s->resources[EBB_CPU].current);
	}
	for (int a = 0; a < n / PER_APPLICATION; a++) {
		snprintf(name, sizeof(name), "app%d", a);
		add(model,
		    json_pack("{s:s, s:s, s:o, s:{s:{s:i, s:i}}}", "subtype", "application", "name",
			      name, "containers", names("c", a * PER_APPLICATION, PER_APPLICATION),
			      "resources", "cpu", "max", 11000, "min", 20),
		    false);
	}
	for (int u = 0; u < n / PER_APPLICATION / PER_USER; u++) {
		snprintf(name, sizeof(name), "u%d", u);
		add(model,
		    json_pack("{s:s, s:o, s:{s:{s:i, s:i}}}", "name", name, "clusters",
			      names("app", u * PER_USER, PER_USER), "resources", "cpu", "max",
			      110000, "min", 20),
		    true);
	}
	model_unlock(model);
	return model;
}

/* Every other user is busy, and of each every other application. */
static double busyness(int container)
{
	int application = container / PER_APPLICATION, user = application / PER_USER;

	if (user % 2)
		return application % 2 ? 1 : 0.5;
	return application % 2 ? 0.6 : 0.2;
}

/* For one window. */
static void use(struct model *model, bool levels, double seconds)
{
	struct structure *s;

	virtual_now += seconds;
	model_foreach_structure(model, s) {
		struct guard_sample sample = {.seconds = 1, .valid = 1u << EBB_CPU};
		double used[] = {0.1, 0.55, 0.95};
		int i;

		if (s->subtype != STRUCTURE_CONTAINER || !s->balance_history)
			continue;
		i = atoi(s->name + 1);
		sample.usage[EBB_CPU] = used[i % 3] * (levels ? busyness(i) : 1) *
					(double)s->resources[EBB_CPU].current;
		usage_history_add(s->balance_history, monotonic_ns(NULL), &sample);
	}
}

/* --- orders --- */

struct todo {
	struct todo *next;
	struct order order;
};

static int take_order(void *userdata, struct order *order)
{
	struct todo **todos = userdata, *todo = calloc(1, sizeof(*todo));

	if (!todo)
		return -1;
	*todo = (struct todo){*todos, *order};
	*todos = todo;
	return 0;
}

static void do_orders(struct scaler *scaler, struct todo **todos)
{
	while (*todos) {
		struct todo *todo = *todos;
		struct order_result result = {
			.ok = true,
			.status = 201,
			.resources = todo->order.body,
			.applied_ns = monotonic_ns(NULL),
		};

		*todos = todo->next;
		scaler_order_done(scaler, todo->order.userdata, &result);
		free(todo->order.address);
		free(todo->order.container);
		json_decref(todo->order.body);
		free(todo);
	}
}

/* --- one who wants the lock all the time --- */

struct rival {
	struct model *model;
	atomic_bool done;
	uint64_t longest_ns;
};

static void *compete(void *userdata)
{
	struct rival *rival = userdata;

	while (!atomic_load(&rival->done)) {
		uint64_t started = now_ns();

		model_lock(rival->model);
		model_unlock(rival->model);
		rival->longest_ns = MAX(rival->longest_ns, now_ns() - started);
		/* As often as a host sends urgent samples. */
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
	return NULL;
}

/* --- what is measured --- */

static void configure(struct model *model, const char *keys)
{
	_cleanup_free_ char *text = NULL;
	json_t *doc;

	if (asprintf(&text,
		     "{\"name\":\"rebalancer\",\"type\":\"service\",\"config\":{\"ACTIVE\":true,"
		     "\"WINDOW_TIMELAPSE\":10,\"WINDOW_DELAY\":0%s}}",
		     keys) < 0)
		exit(1);
	doc = json_loads(text, 0, NULL);
	model_lock(model);
	if (!doc || model_set_service(model, doc, NULL) < 0)
		exit(1);
	model_unlock(model);
	json_decref(doc);
}

static void measure(int n, const char *what, bool levels, const char *keys)
{
	struct todo *todos = NULL;
	/* By thresholds only those near their max give. */
	struct model *model = fill(n, levels ? 200 : 400);
	struct rival rival = {.model = model};
	struct rebalancer_stats stats;
	struct rebalancer *rebalancer;
	struct scaler *scaler;
	struct audit *audit;
	double best = INFINITY;
	pthread_t thread;

	configure(model, keys);
	if (audit_new(NULL, 16, &audit) < 0 || scaler_new(model, audit, &scaler) < 0 ||
	    rebalancer_new(model, scaler, &rebalancer) < 0 ||
	    rebalancer_epoch(rebalancer, virtual_now) < 0)
		exit(1);
	scaler_set_sink(scaler, (struct order_sink){take_order, &todos});
	if (pthread_create(&thread, NULL, compete, &rival) != 0)
		exit(1);
	for (int i = 0; i < EPOCHS; i++) {
		double cpu;

		use(model, levels, 10);
		cpu = cpu_seconds();
		if (rebalancer_epoch(rebalancer, virtual_now) < 0)
			exit(1);
		best = fmin(best, cpu_seconds() - cpu);
		do_orders(scaler, &todos);
	}
	atomic_store(&rival.done, true);
	pthread_join(thread, NULL);
	rebalancer_get_stats(rebalancer, &stats);
	printf("%-24s %7d %9.3f us %9.1f ms %9.3f ms %9.3f ms   %lu swaps of %zu + %zu\n", what, n,
	       best * 1e6 / n, best * 1e3, stats.hold_s * 1e3, (double)rival.longest_ns / 1e6,
	       stats.swaps / EPOCHS, stats.donors, stats.receivers);
	rebalancer_free(rebalancer);
	scaler_free(scaler);
	audit_free(audit);
	model_free(model);
}

int main(void)
{
	static const int counts[] = {1000, 10000, 100000};

	printf("%-24s %7s %12s %12s %12s %12s\n", "an epoch", "n", "each", "in all", "lock held",
	       "others wait");
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		measure(counts[i], "containers, application", false, "");
		measure(counts[i], "containers, host", false, ",\"CONTAINERS_SCOPE\":\"host\"");
		measure(counts[i], "containers, weights", false,
			",\"CONTAINERS_SCOPE\":\"host\",\"BALANCING_METHOD\":\"weights\"");
		measure(counts[i], "all levels", true,
			",\"BALANCING_POLICY\":\"thresholds\",\"STRUCTURES_BALANCED\":[\"user\","
			"\"application\",\"container\"]");
	}
	return 0;
}
