/* SPDX-License-Identifier: Apache-2.0 */
/* Which limits the controller has been told of, and which somebody has changed since. */
#include <stdlib.h>

#include "feed_private.h"
#include "grower.h"
#include "hash.h"
#include "net_limit.h"
#include "resources.h"
#include "ebb/log.h"
#include "ebb/util.h"

/*
 * What samples do not carry, cpusets, disk and network limits, is read again of each container once
 * in so many batches: 0.1% of a core with 1,000 containers.
 */
#define RECHECK_BATCHES 60

void feed_forget_hand(struct feed_container *fc)
{
	free(fc->hand);
	fc->hand = NULL;
}

static void foreign_change(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;

	fc->changed = true;
	feed->any_changed = true;
	feed->stats.foreign++;
	/* Once: a manager that disagrees with every order would fill the log. */
	if (!fc->told_foreign && fc->hand)
		log_info("%s: its limits were changed by another hand: %s, process %d%s%s",
			 container->name, fc->hand->name[0] ? fc->hand->name : "one that ended",
			 (int)fc->hand->pid, fc->hand->unit[0] ? " of " : "", fc->hand->unit);
	else if (!fc->told_foreign)
		log_info("%s: its limits were changed by another hand", container->name);
	fc->told_foreign = true;
}

void feed_check_limits(struct feed *feed, struct container *container,
		       const struct ebb_sample *sample)
{
	struct feed_container *fc = container->feed_state;
	uint64_t quota = sample->valid & EBB_VALID_BANDWIDTH ? sample->quota_ns : EBB_UNLIMITED;
	uint64_t period = sample->valid & EBB_VALID_BANDWIDTH ? sample->period_ns : 0;
	uint64_t mem = sample->valid & EBB_VALID_MEM ? sample->mem_limit : EBB_UNLIMITED;

	/* A message that is made between two sweeps has the sample of before an order. */
	if (sample->at_ns < fc->reported_ns)
		return;
	if (fc->has_seen && quota == fc->seen_quota_ns && mem == fc->seen_mem &&
	    period == fc->seen_period_ns)
		return;

	fc->has_seen = true;
	fc->seen_quota_ns = quota;
	fc->seen_period_ns = period;
	fc->seen_mem = mem;
	if (fc->changed || fc->changing || fc->announced == ANNOUNCED_NO ||
	    (quota == fc->reported_quota_ns && mem == fc->reported_mem &&
	     (quota == EBB_UNLIMITED || period == fc->reported_period_ns)))
		return;
	foreign_change(feed, container);
}

bool feed_read_limits(struct feed *feed, struct container *container, struct limits *ret_limits)
{
	struct feed_container *fc = container->feed_state;
	uint64_t now = now_ns();

	int r = limits_read(feed->options.hierarchies, container, feed->options.host->disk,
			    ret_limits);
	if (r == 0)
		net_limit_read(feed->options.net, container, ret_limits);
	if (r < 0) {
		/* Once: it is tried again with every batch. */
		if (!limits_has_gone(r) && !fc->told_unread)
			log_warning_errno(r, "the limits of %s cannot be read", container->name);
		fc->told_unread = fc->told_unread || !limits_has_gone(r);
		return false;
	}
	fc->told_unread = false;
	fc->reported_ns = now;
	fc->reported_quota_ns = !ret_limits->has_cpu || ret_limits->cpu.quota_us == LIMIT_NONE
					? EBB_UNLIMITED
					: ret_limits->cpu.quota_us * 1000;
	/* Without a quota the period limits nothing. */
	fc->reported_period_ns =
		fc->reported_quota_ns == EBB_UNLIMITED ? 0 : ret_limits->cpu.period_us * 1000;
	fc->reported_mem = ret_limits->has_mem ? ret_limits->mem_bytes : EBB_UNLIMITED;
	fc->reported_rest = hash_string(limits_cpus(ret_limits));
	if (ret_limits->has_disk)
		fc->reported_rest ^=
			hash_u64(ret_limits->disk.read_bps) ^ hash_u64(~ret_limits->disk.write_bps);
	if (ret_limits->has_cpu && ret_limits->cpu.by_weight)
		fc->reported_rest ^= hash_u64(ret_limits->cpu.weight | 1ULL << 32);
	fc->had_net = ret_limits->has_net;
	if (feed->options.grower)
		grower_limits_told(feed->options.grower, container, ret_limits);
	if (ret_limits->has_net)
		fc->reported_rest ^= hash_u64(ret_limits->net.bps ^ NET_LIMIT_HANDLE);
	return true;
}

/* Reads them again: are they what was reported last? */
static void compare_limits(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;
	struct feed_container before = *fc;
	struct limits limits;

	if (!feed_read_limits(feed, container, &limits))
		return;
	/* Its network has come or gone, which is no change of limits by anybody. */
	if (before.had_net != fc->had_net) {
		fc->changed = true;
		feed->any_changed = true;
		return;
	}
	if (before.reported_quota_ns != fc->reported_quota_ns ||
	    before.reported_period_ns != fc->reported_period_ns ||
	    before.reported_mem != fc->reported_mem || before.reported_rest != fc->reported_rest)
		foreign_change(feed, container);
}

void feed_recheck_limits(struct feed *feed)
{
	size_t n = container_table_count(feed->options.table);
	size_t due = (n + RECHECK_BATCHES - 1) / RECHECK_BATCHES;

	for (; due; due--) {
		struct container *container =
			container_table_at(feed->options.table, feed->recheck++ % n);
		const struct feed_container *fc = container->feed_state;

		if (fc && fc->announced == ANNOUNCED_YES && !fc->changed && !fc->changing)
			compare_limits(feed, container);
	}
}

void feed_check_touched(struct feed *feed)
{
	struct container *container;

	if (!feed->any_touched)
		return;
	feed->any_touched = false;
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc || !fc->touched)
			continue;
		if (fc->changing || fc->announced == ANNOUNCED_IN_FLIGHT) {
			feed->any_touched = true;
			continue;
		}
		fc->touched = false;
		if (fc->announced == ANNOUNCED_YES && !fc->changed)
			compare_limits(feed, container);
		/* It wrote what was there. */
		if (!fc->changed)
			feed_forget_hand(fc);
	}
}

void feed_limits_changed(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;

	if (!fc)
		return;
	/* `last` stays: the sample that follows a change is the one that the next decision waits
	 * for, and urgent without need costs a message. */
	fc->has_seen = false;
	fc->urgent = false;
	if (fc->announced != ANNOUNCED_NO) {
		fc->changed = true;
		feed->any_changed = true;
	}
}

void feed_limits_touched(struct feed *feed, struct container *container, const struct hand *hand)
{
	struct feed_container *fc = container->feed_state;

	if (!fc)
		return;
	fc->touched = true;
	feed->any_touched = true;
	if (!fc->hand)
		fc->hand = malloc(sizeof(*fc->hand));
	if (fc->hand)
		*fc->hand = *hand;
}

void feed_limits_changing(struct feed *feed, struct container *container, bool under_way)
{
	struct feed_container *fc = container->feed_state;

	if (fc)
		fc->changing = under_way;
}
