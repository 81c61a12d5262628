/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guarded applications and users add to the price of a container's sample, as CPU time: the
 * containers are guarded with the default rules (CPU and memory), and sampled once a second in
 * messages of 100. And what it takes to join and leave an application.
 *	bench_parents [CONTAINERS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guarding.h"
#include "hierarchy.h"
#include "member_sums.h"
#include "ebb/cleanup.h"

#define ROUNDS      20
#define PER_MESSAGE 100

static double now = 1000;

static uint64_t virtual_ns(void *userdata)
{
	return (uint64_t)(now * 1e9);
}

static double virtual_wall(void *userdata)
{
	return 1795344748 + now;
}

static const struct timebase virtual = {virtual_wall, virtual_ns, NULL};

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct structure *add(struct model *model, json_t *doc)
{
	struct structure *s;
	int r;

	if (!doc)
		exit(1);
	if (strcmp(json_string_value(json_object_get(doc, "subtype")), "user") == 0)
		r = user_from_json(doc, NULL, &s, NULL);
	else
		r = structure_from_json(doc, NULL, &s, NULL);
	json_decref(doc);
	if (r < 0 || model_add(model, s) < 0)
		exit(1);
	return s;
}

static json_t *document(const char *subtype, int number, int64_t max)
{
	char name[32];

	snprintf(name, sizeof(name), "%s-%d", subtype, number);
	return json_pack("{s:s, s:s, s:{s:{s:I, s:i, s:i, s:b}, s:{s:I, s:i, s:i, s:b}}}",
			 "subtype", subtype, "name", name, "resources", "cpu", "max",
			 (json_int_t)max, "min", 10, "current", 100, "guard", 1, "mem", "max",
			 (json_int_t)max * 10, "min", 10, "current", 1000, "guard", 1);
}

struct world {
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct structure **containers;
	int n;
};

/* `size`: containers of an application; 0: none. Ten applications have one user. */
static void begin(struct world *world, int n, int size)
{
	struct structure *application = NULL, *user = NULL;

	*world = (struct world){.n = n, .containers = calloc((size_t)n, sizeof(void *))};
	if (!world->containers || model_new(NULL, &world->model) < 0 ||
	    audit_new(NULL, 64, &world->audit) < 0 ||
	    scaler_new(world->model, world->audit, &world->scaler) < 0)
		exit(1);
	world->model->time = &virtual;
	model_lock(world->model);
	for (int i = 0; i < n; i++) {
		struct structure *s = add(world->model, document("container", i, 400));

		world->containers[i] = s;
		s->live = true;
		for (int r = EBB_CPU; r <= EBB_MEM; r++) {
			s->resources[r].has_boundary = true;
			s->resources[r].boundary = 10;
		}
		if (model_guard(world->model, s, true, NULL) < 0)
			exit(1);
		if (!size)
			continue;
		if (i % (10 * size) == 0)
			user = add(world->model, document("user", i, 1000000000));
		if (i % size == 0) {
			application = add(world->model, document("application", i, 1000000000));
			if (hierarchy_join(world->model, user, application, NULL) < 0)
				exit(1);
		}
		if (hierarchy_join(world->model, application, s, NULL) < 0)
			exit(1);
	}
	for (size_t i = 0; size && i < world->model->n_structures; i++)
		if (structure_is_parent(world->model->structures[i]))
			(void)model_guard(world->model, world->model->structures[i], true, NULL);
	for (size_t i = 0; i < world->model->n_users; i++)
		(void)model_guard(world->model, world->model->users[i], true, NULL);
	model_unlock(world->model);
}

static void end(struct world *world)
{
	scaler_free(world->scaler);
	audit_free(world->audit);
	model_free(world->model);
	free(world->containers);
}

static void take(struct world *world, struct structure *s, int round)
{
	/* Within the boundaries: nothing is asked for, which others measure. */
	struct guard_sample sample = {
		.at = now,
		.seconds = 1,
		.valid = 1 << EBB_CPU | 1 << EBB_MEM,
		.usage = {[EBB_CPU] = 84 + round % 5, [EBB_MEM] = 840 + round % 50},
	};
	const struct sample_times times = {virtual_ns(NULL), virtual_ns(NULL), virtual_ns(NULL)};

	guarding_take_sample(world->model, world->scaler, s, &world->model->guardian, &sample,
			     &times);
}

/* Nanoseconds per sample. */
static double measure(int n, int size, const char *kinds)
{
	json_t *config = json_pack("{s:o}", "STRUCTURE_GUARDED", json_loads(kinds, 0, NULL));
	struct world world;
	double started = 0, spent;

	begin(&world, n, size);
	log_set_level(LOG_LEVEL_ERROR);
	if (guardian_config_from_json(config, &world.model->guardian, NULL) < 0)
		exit(1);
	json_decref(config);
	/* The first rounds allocate and fill the windows. */
	for (int round = -4; round < ROUNDS; round++) {
		double begun = now;

		if (round == 0)
			started = cpu_seconds();
		for (int i = 0; i < n; i += PER_MESSAGE) {
			now = begun + (double)i / n;
			model_lock(world.model);
			for (int k = i; k < i + PER_MESSAGE && k < n; k++)
				take(&world, world.containers[k], round + 4);
			guarding_samples_in(world.model, world.scaler, &world.model->guardian);
			model_unlock(world.model);
		}
		now = begun + 1;
	}
	spent = cpu_seconds() - started;
	end(&world);
	return spent * 1e9 / ROUNDS / n;
}

/* 100 containers join an application, and leave it: microseconds each. */
static void memberships(int n)
{
	struct world world;
	struct structure *application;
	double started, joined, left;

	begin(&world, n, n / 10);
	model_lock(world.model);
	for (int i = 0; i < 100; i++)
		(void)hierarchy_leave(world.model,
				      hierarchy_parent(world.containers[i * (n / 100)]),
				      world.containers[i * (n / 100)], NULL);
	application = add(world.model, document("application", n, 1000000));
	started = cpu_seconds();
	for (int i = 0; i < 100; i++)
		if (hierarchy_join(world.model, application, world.containers[i * (n / 100)],
				   NULL) < 0)
			exit(1);
	joined = cpu_seconds();
	for (int i = 0; i < 100; i++)
		if (hierarchy_leave(world.model, application, world.containers[i * (n / 100)],
				    NULL) < 0)
			exit(1);
	left = cpu_seconds();
	model_unlock(world.model);
	end(&world);
	printf("%8d containers: join %.2f us, leave %.2f us\n", n, (joined - started) * 1e4,
	       (left - joined) * 1e4);
}

int main(int argc, char **argv)
{
	const int sizes[] = {10, 100, 1000, 10000};
	int n = argc > 1 ? atoi(argv[1]) : 20000;

	if (n < 1000)
		return 2;
	log_set_level(LOG_LEVEL_ERROR);
	printf("%d containers, ns per sample\n%-24s %10s %12s %12s\n", n, "containers each",
	       "containers", "+ applications", "+ users");
	for (size_t i = 0; i < ARRAY_SIZE(sizes) && sizes[i] <= n; i++)
		printf("%-24d %10.0f %12.0f %12.0f\n", sizes[i],
		       measure(n, sizes[i], "[\"container\"]"),
		       measure(n, sizes[i], "[\"container\",\"application\"]"),
		       measure(n, sizes[i], "[\"container\",\"application\",\"user\"]"));
	for (int many = 1000; many <= 100000; many *= 10)
		memberships(many);
	return 0;
}
