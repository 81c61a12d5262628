/* SPDX-License-Identifier: Apache-2.0 */
#include "restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "net_limit.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

struct original {
	uint64_t id;
	unsigned known;                   /* 1 << enum limit_kind */
	uint64_t before[LIMIT_KIND_MAX];  /* agent units */
	uint64_t written[LIMIT_KIND_MAX]; /* by us, last */
	char *cpus;                       /* of LIMIT_CPUS before */
};

struct restore {
	struct hash by_id;
	struct restore_run run;
	unsigned pending, restored, failed;
	bool submitting;
};

static bool has_id(const void *value, const void *key)
{
	return ((const struct original *)value)->id == *(const uint64_t *)key;
}

static struct original *find(const struct restore *restore, uint64_t id)
{
	return hash_find(&restore->by_id, hash_u64(id), has_id, &id);
}

static void original_free(struct original *original)
{
	free(original->cpus);
	free(original);
}

int restore_new(struct restore **ret_restore)
{
	*ret_restore = calloc(1, sizeof(**ret_restore));
	return *ret_restore ? 0 : -ENOMEM;
}

void restore_free(struct restore *restore)
{
	if (!restore)
		return;
	for (size_t i = 0; i < restore->by_id.size; i++)
		if (restore->by_id.slots[i].value)
			original_free(restore->by_id.slots[i].value);
	hash_clear(&restore->by_id);
	free(restore);
}

/* Quotas are compared, and put back, per the period that Ebb writes. */
static uint64_t value_of(const struct limits *limits, enum limit_kind kind)
{
	uint64_t value = limits_value(limits, kind);

	if (kind == LIMIT_QUOTA && value != LIMIT_NONE && limits->cpu.period_us)
		value = (uint64_t)((double)value * EBB_CFS_PERIOD_US /
				   (double)limits->cpu.period_us);
	return value;
}

static struct original *add(struct restore *restore, uint64_t id)
{
	struct original *original = calloc(1, sizeof(*original));

	if (!original)
		return NULL;
	original->id = id;
	if (hash_add(&restore->by_id, hash_u64(id), original) < 0) {
		free(original);
		return NULL;
	}
	return original;
}

void restore_writing(struct restore *restore, uint64_t container_id, enum limit_kind kind,
		     const struct limits *before)
{
	struct original *original = find(restore, container_id);
	char *cpus;

	/* Done once, and gone. */
	if (kind == LIMIT_MEM_RECLAIM || (original && original->known & 1U << kind))
		return;
	original = original ?: add(restore, container_id);
	cpus = original && kind == LIMIT_CPUS ? strdup(before->cpu.cpus) : NULL;
	if (!original || (kind == LIMIT_CPUS && !cpus)) {
		log_error("out of memory: a limit will not be put back at the end");
		return;
	}
	original->known |= 1U << kind;
	original->before[kind] = original->written[kind] = value_of(before, kind);
	if (cpus)
		original->cpus = cpus;
}

void restore_wrote(struct restore *restore, uint64_t container_id, unsigned kinds,
		   const struct limits *present)
{
	struct original *original = find(restore, container_id);

	for (int kind = 0; original && kind < LIMIT_KIND_MAX; kind++)
		if (original->known & kinds & 1U << kind)
			original->written[kind] = value_of(present, (enum limit_kind)kind);
}

void restore_forget(struct restore *restore, uint64_t container_id)
{
	struct original *original = find(restore, container_id);

	if (!original)
		return;
	hash_remove(&restore->by_id, hash_u64(container_id), original);
	original_free(original);
}

bool restore_order(const struct restore *restore, uint64_t container_id,
		   const struct limits *present, struct limit_order *ret_order)
{
	const struct original *original = find(restore, container_id);
	struct limit_order order = {0};

	for (int kind = 0; original && kind < LIMIT_KIND_MAX; kind++) {
		uint64_t now = value_of(present, (enum limit_kind)kind);

		if (!(original->known & 1U << kind) || now != original->written[kind])
			continue;
		if (kind == LIMIT_CPUS ? limits_cpus_equal(present->cpu.cpus, original->cpus)
				       : now == original->before[kind])
			continue;
		order.asked |= 1U << kind;
		order.value[kind] = original->before[kind];
	}
	if (!order.asked)
		return false;
	if (order.asked & 1U << LIMIT_CPUS)
		snprintf(order.cpus, sizeof(order.cpus), "%s", original->cpus);
	*ret_order = order;
	return true;
}

static void end_when_all_have(struct restore *restore)
{
	if (restore->submitting || restore->pending || !restore->run.done)
		return;
	restore->run.done(restore->run.userdata, restore->restored, restore->failed);
}

static void on_put_back(void *userdata, const struct apply_result *result)
{
	struct restore *restore = userdata;

	restore->pending--;
	if (result->error && !result->gone)
		restore->failed++;
	else
		restore->restored++;
	end_when_all_have(restore);
}

bool restore_read(const struct restore *restore, const struct applier_options *reader,
		  const struct container *container, struct limits *ret_present)
{
	const struct original *original = find(restore, container->id);

	if (!original ||
	    limits_read(reader->hierarchies, container, reader->disk, ret_present) < 0 ||
	    limits_read_more(reader->hierarchies, container, ret_present) < 0)
		return false;
	/* It costs more than all the others. */
	if (original->known & 1U << LIMIT_NET)
		net_limit_read(reader->net, container, ret_present);
	return true;
}

struct leaving {
	struct restore *restore;
	uint64_t id;
	restore_left_fn left;
	void *userdata;
	char path[];
};

static void on_left(void *userdata, const struct apply_result *result)
{
	_cleanup_free_ struct leaving *leaving = userdata;
	struct restore *restore = leaving->restore;

	if (result && result->error && !result->gone)
		log_warning_errno(result->error, "%s: its limits are not put back", leaving->path);
	leaving->left(leaving->userdata, leaving->id);
	if (!result)
		return;
	restore->pending--;
	end_when_all_have(restore);
}

void restore_container(struct restore *restore, const struct applier_options *reader,
		       struct applier *applier, const struct container *container,
		       restore_left_fn left, void *userdata)
{
	size_t len = strlen(container->path) + 1;
	struct leaving *leaving = calloc(1, sizeof(*leaving) + len);
	struct limit_order order;
	struct limits present;
	int r = -ENOMEM;

	if (!leaving) {
		log_warning_errno(r, "%s: its limits are not put back", container->path);
		left(userdata, container->id);
		return;
	}
	*leaving = (struct leaving){restore, container->id, left, userdata};
	memcpy(leaving->path, container->path, len);
	if (!restore_read(restore, reader, container, &present) ||
	    !restore_order(restore, container->id, &present, &order)) {
		on_left(leaving, NULL);
		return;
	}
	restore->pending++;
	r = applier_submit(applier, container, &order, on_left, leaving);
	if (r < 0) {
		log_warning_errno(r, "%s: its limits are not put back", container->path);
		restore->pending--;
		on_left(leaving, NULL);
	}
}

static void put_back(struct restore *restore, const struct container *container)
{
	struct limit_order order;
	struct limits present;
	int r;

	if (!restore_read(restore, restore->run.reader, container, &present) ||
	    !restore_order(restore, container->id, &present, &order))
		return;
	restore->pending++;
	r = applier_submit(restore->run.applier, container, &order, on_put_back, restore);
	if (r < 0) {
		log_warning_errno(r, "%s: its limits are not put back", container->name);
		restore->pending--;
		restore->failed++;
	}
}

/* What an order would still change, or undo, is not read before. */
static void on_orders_ended(void *userdata, uint64_t id)
{
	struct restore *restore = userdata;
	const struct container *container = container_table_by_id(restore->run.reader->table, id);

	if (container)
		put_back(restore, container);
	restore->pending--;
	end_when_all_have(restore);
}

void restore_all(struct restore *restore, const struct restore_run *run)
{
	struct container *container;

	restore->run = *run;
	restore->submitting = true;
	container_table_foreach(run->reader->table, container) {
		if (!find(restore, container->id))
			continue;
		restore->pending++;
		applier_leave(run->applier, container->id, -ESHUTDOWN, on_orders_ended, restore);
	}
	restore->submitting = false;
	end_when_all_have(restore);
}
