/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "controllers.h"
#include "feed_message.h"
#include "hash.h"
#include "limits.h"
#include "net_limit.h"
#include "resources.h"
#include "sample_ring.h"
#include "text.h"
#include "urgency.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define BATCH_NS   EBB_NS_PER_SEC
#define TIMEOUT_MS 5000
/* Where another controller may have taken over from one that hangs; a registration takes longer. */
#define IMPATIENT_MS 1500
/* For what another controller would not change. */
#define BACKOFF_MS  100
#define BACKOFF_CAP 5000
#define KEEP_MS     10000
/* Of all containers together while the controller is away: 4 MiB. */
#define KEEP_SAMPLES 32768
/* Samples beyond this wait for the next message, which follows at once. */
#define MESSAGE_BYTES (1U << 20)
/*
 * On cgroup v1 a container is made directory by directory. One that lacks some is told with what it
 * has after this time: the controller takes what it is told first for what there is to guard.
 */
#define SETTLE_NS (250 * EBB_NS_PER_MS)
/*
 * What samples do not carry, cpusets, disk and network limits, is read again of each container once
 * in so many batches: 0.1% of a core with 1,000 containers.
 */
#define RECHECK_BATCHES 60
/* One that moves to this host may be here before it has gone there. */
#define TAKEN_ROUNDS   3
#define TAKEN_AGAIN_NS EBB_NS_PER_SEC
/* More than these removals unsent, and a new session says the same in less. */
#define REMOVED_MAX 4096

/* Whether the controller knows the container in this session. */
enum announced { ANNOUNCED_NO, ANNOUNCED_IN_FLIGHT, ANNOUNCED_YES };

struct feed_container {
	uint64_t c; /* its number in this session */
	enum announced announced;
	bool changed, changed_in_flight; /* its limits */
	bool changing;                   /* by an order that takes time */
	bool urgent;                     /* a sample in the ring is */
	bool has_last, has_seen;
	bool other_labels; /* than were told */
	unsigned taken;    /* so often the controller said that another host's has its name */
	bool told_foreign, told_unread;
	bool touched;      /* somebody wrote a file of its limits */
	struct hand *hand; /* who did last, until the controller has it; NULL: not known */
	bool had_net;      /* in the last report */
	uint64_t added_ns;
	uint64_t sent_at_ns; /* `at_ns` of the last sample that was sent; unguarded only */
	/* Limits: in the last sample, and in the last report (cpuset and disk as a hash). */
	uint64_t seen_quota_ns, seen_period_ns, seen_mem;
	uint64_t reported_quota_ns, reported_period_ns, reported_mem, reported_rest;
	/* Guarded only. */
	struct ebb_sample last;
	struct sample_ring ring;
};

struct feed {
	struct feed_options options;
	char *host_name, *api_address;
	struct controllers controllers;
	struct http_client *client;
	struct loop_source *timer; /* for retries, and what no sweep would send */

	char session[17];
	uint64_t seq, next_c;
	bool registered, registering, sending, sending_batch;
	bool carries_news; /* the message under way */
	unsigned failed;   /* messages in a row */
	uint64_t retry_at, batch_at;
	uint64_t asked_ns; /* when the message under way was made */
	struct text message;
	size_t recheck; /* index of the next one */
	unsigned long samples_in_message;

	uint64_t guard_version;
	json_t *guard; /* {name: {resource: upper}} */
	struct container **guarded;
	size_t n_guarded, size_guarded;

	/* Why not to wait for the next batch. `news_at`: when there are containers to be told. */
	bool urgent, more;
	uint64_t news_at;
	bool any_changed, any_unread, any_touched;
	bool renew; /* start a new session as soon as no message is under way */
	uint64_t removed[REMOVED_MAX];
	size_t n_removed, removed_in_flight;

	bool told_away;
	struct feed_stats stats;
};

static void feed_send_due(struct feed *feed);

/* --- Sessions ------------------------------------------------------------------------------- */

static void session_start(struct feed *feed)
{
	struct container *container;

	snprintf(feed->session, sizeof(feed->session), "%016" PRIx64, random_u64());
	feed->registered = false;
	feed->seq = 0;
	feed->next_c = 1;
	feed->guard_version = 0;
	feed->n_removed = 0;
	feed->removed_in_flight = 0;
	feed->news_at = UINT64_MAX;
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc)
			continue;
		fc->c = feed->next_c++;
		fc->announced = ANNOUNCED_NO;
		fc->changed = false;
		fc->changed_in_flight = false;
		fc->other_labels = false;
		fc->sent_at_ns = 0;
	}
}

/* --- Who is guarded --------------------------------------------------------------------------- */

static void guard_container(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;
	json_t *uppers = json_object_get(feed->guard, container->name), *value;
	const char *key;

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		container->upper[r] = INT64_MAX;
	/* Not the sample again that went with the last batch. */
	if (!container->guarded)
		fc->last.at_ns = MAX(fc->last.at_ns, fc->sent_at_ns);
	container->guarded = json_is_object(uppers);
	if (!container->guarded) {
		sample_ring_clear(&fc->ring);
		fc->urgent = false;
		fc->has_last = false;
		return;
	}
	json_object_foreach(uppers, key, value) {
		enum ebb_resource r = ebb_resource_from_name(key);
		double upper = json_number_value(value);

		if (r != EBB_RESOURCE_INVALID && json_is_number(value) && upper >= 0 &&
		    upper < 1e15)
			container->upper[r] = (int64_t)upper;
	}
}

/* A dense list: a sweep must not touch the containers that are not guarded. */
static void list_guarded(struct feed *feed)
{
	struct container *container;

	feed->n_guarded = 0;
	container_table_foreach(feed->options.table, container) {
		if (!container->feed_state || !container->guarded)
			continue;
		if (feed->n_guarded == feed->size_guarded) {
			size_t size = feed->size_guarded ? feed->size_guarded * 2 : 64;
			struct container **list = reallocarray(feed->guarded, size, sizeof(*list));

			if (!list) {
				/* It is still in every batch, only not sampled in between. */
				container->guarded = false;
				continue;
			}
			feed->guarded = list;
			feed->size_guarded = size;
		}
		feed->guarded[feed->n_guarded++] = container;
	}
}

static void guard_all(struct feed *feed, json_t *guard)
{
	struct container *container;

	json_decref(feed->guard);
	feed->guard = json_incref(guard);
	container_table_foreach(feed->options.table, container) {
		if (container->feed_state)
			guard_container(feed, container);
	}
	list_guarded(feed);
}

/* --- Collecting samples ----------------------------------------------------------------------- */

static unsigned ring_limit(const struct feed *feed)
{
	unsigned by_time = KEEP_MS / feed->options.period_ms;
	unsigned by_count = KEEP_SAMPLES / MAX(feed->n_guarded, 1U);

	return MAX(MIN(by_time, by_count), 8U);
}

static void forget_hand(struct feed_container *fc)
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

/* The sampler carries the limits: those that another hand changed are seen here. */
static void check_limits(struct feed *feed, struct container *container,
			 const struct ebb_sample *sample)
{
	struct feed_container *fc = container->feed_state;
	uint64_t quota = sample->valid & EBB_VALID_BANDWIDTH ? sample->quota_ns : EBB_UNLIMITED;
	uint64_t period = sample->valid & EBB_VALID_BANDWIDTH ? sample->period_ns : 0;
	uint64_t mem = sample->valid & EBB_VALID_MEM ? sample->mem_limit : EBB_UNLIMITED;

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

static void collect(struct feed *feed, struct container *container, unsigned limit)
{
	struct feed_container *fc = container->feed_state;
	struct ebb_sample sample;

	if (container->slot < 0 || !sampler_read(feed->options.sampler, container->slot, &sample) ||
	    sample.id != container->id || sample.at_ns <= fc->last.at_ns)
		return;

	check_limits(feed, container, &sample);
	if (urgency_of(fc->has_last ? &fc->last : NULL, &sample, container->upper)) {
		fc->urgent = true;
		feed->urgent = true;
	}
	fc->last = sample;
	fc->has_last = true;
	/* On a host too busy for its period, as many samples as usual reach back further. */
	if (sample.at_ns > KEEP_MS * EBB_NS_PER_MS)
		feed->stats.samples_dropped +=
			sample_ring_expire(&fc->ring, sample.at_ns - KEEP_MS * EBB_NS_PER_MS);
	feed->stats.samples_dropped += sample_ring_push(&fc->ring, &sample, limit);
}

/* --- Messages --------------------------------------------------------------------------------- */

static int add_registration(struct feed *feed)
{
	const struct feed_options *options = &feed->options;
	_cleanup_json_ json_t *cpus = json_array(), *topology = NULL, *registration = NULL,
			      *nodes = NULL;
	_cleanup_free_ char *dumped = NULL;
	struct utsname system = {0};

	for (size_t i = 0; i < options->host->online.n; i++)
		json_array_append_new(cpus, json_integer(options->host->online.cpus[i]));
	topology = host_topology(NULL, &options->host->online);
	nodes = host_nodes(NULL, &options->host->online);
	uname(&system);
	registration = json_pack(
		"{s:s, s:s, s:i, s:O, s:I, s:O?, s:s, s:s, s:s}", "version", ebb_version(),
		"address", feed->api_address, "period_ms", (int)options->period_ms, "cpus", cpus,
		"mem", (json_int_t)options->host->mem_bytes, "topology", topology, "kernel",
		system.release, "cgroup", hierarchies_kind(options->hierarchies), "sampler",
		sampler_name(options->sampler));
	if (registration && options->host->disk)
		json_object_set_new(registration, "disk",
				    json_pack("{s:s, s:s*}", "path", options->host->disk_path,
					      "device", options->host->disk_device));
	if (registration && json_object_size(nodes))
		json_object_set(registration, "numa", nodes);
	/* What `added` tells of limits is from after its last growth. */
	if (registration && options->grower)
		json_object_set_new(registration, "grown",
				    json_integer((json_int_t)grower_last(options->grower)));
	dumped = registration ? json_dumps(registration, JSON_COMPACT) : NULL;
	if (!dumped)
		return -ENOMEM;
	text_str(&feed->message, ",\"register\":");
	text_str(&feed->message, dumped);
	return 0;
}

static bool read_limits(struct feed *feed, struct container *container, struct limits *ret_limits)
{
	struct feed_container *fc = container->feed_state;

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

	if (!read_limits(feed, container, &limits))
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

/* Some of them each time, in turn. */
static void recheck_limits(struct feed *feed)
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

/* Those that somebody wrote to since the last sample. */
static void check_touched(struct feed *feed)
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
			forget_hand(fc);
	}
}

/* Opens the list at its first member. */
static void add_member(struct text *message, const char *list, size_t *n)
{
	if ((*n)++)
		text_char(message, ',');
	else
		text_printf(message, ",\"%s\":[", list);
}

static void end_list(struct text *message, size_t n)
{
	if (n)
		text_char(message, ']');
}

/* Has a directory in every hierarchy of this host. */
static bool is_complete(const struct feed *feed, const struct container *container)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (feed->options.hierarchies->by_controller[c].mount && container->dir_fds[c] < 0)
			return false;
	}
	return true;
}

static uint64_t settled_at(const struct feed *feed, const struct container *container)
{
	const struct feed_container *fc = container->feed_state;

	return is_complete(feed, container) ? 0 : fc->added_ns + SETTLE_NS;
}

static void add_containers(struct feed *feed, uint64_t now)
{
	struct text *message = &feed->message;
	struct container *container;
	struct limits limits;
	size_t n = 0;

	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc || fc->announced != ANNOUNCED_NO || container->unnamed)
			continue;
		if (settled_at(feed, container) > now) {
			feed->news_at = MIN(feed->news_at, settled_at(feed, container));
			continue;
		}
		/* Most likely it has gone, and its removal is on its way. */
		if (!read_limits(feed, container, &limits)) {
			feed->any_unread = true;
			continue;
		}
		add_member(message, "added", &n);
		feed_message_added(message, fc->c, container, &limits);
		fc->other_labels = false;
		fc->announced = ANNOUNCED_IN_FLIGHT;
		fc->changed = false;
	}
	end_list(message, n);
}

static void add_changed(struct feed *feed)
{
	struct text *message = &feed->message;
	struct container *container;
	struct limits limits;
	size_t n = 0;

	feed->any_changed = false;
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc || !fc->changed || fc->announced == ANNOUNCED_NO)
			continue;
		if (!read_limits(feed, container, &limits)) {
			feed->any_changed = true;
			continue;
		}
		add_member(message, "limits", &n);
		feed_message_limits(message, fc->c, &limits, fc->other_labels ? container : NULL,
				    fc->hand);
		fc->changed = false;
		fc->changed_in_flight = true;
	}
	end_list(message, n);
}

static void add_guarded_samples(struct feed *feed, struct container *container, size_t *n)
{
	struct feed_container *fc = container->feed_state;
	unsigned sent;

	for (sent = 0; sent < fc->ring.n; sent++) {
		if (feed->message.len > MESSAGE_BYTES) {
			feed->more = true;
			break;
		}
		add_member(&feed->message, "samples", n);
		feed_message_sample(&feed->message, fc->c, sample_ring_at(&fc->ring, sent));
	}
	sample_ring_send(&fc->ring, sent);
	fc->urgent = fc->urgent && sent < fc->ring.n;
}

/* The last sample of each container that is not guarded. */
static void add_other_samples(struct feed *feed, size_t *n)
{
	struct text *message = &feed->message;
	struct container *container;
	struct ebb_sample sample;

	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc || container->guarded || container->slot < 0 ||
		    !sampler_read(feed->options.sampler, container->slot, &sample) ||
		    sample.id != container->id || sample.at_ns == fc->sent_at_ns)
			continue;
		/* What it finds goes with the next batch. */
		check_limits(feed, container, &sample);
		if (fc->announced == ANNOUNCED_NO)
			continue;
		add_member(message, "samples", n);
		feed_message_sample(message, fc->c, &sample);
		fc->sent_at_ns = sample.at_ns;
	}
}

static void add_samples(struct feed *feed, bool batch)
{
	size_t n = 0;

	for (size_t i = 0; i < feed->n_guarded; i++) {
		struct feed_container *fc = feed->guarded[i]->feed_state;

		if (fc->announced != ANNOUNCED_NO && (batch || fc->urgent))
			add_guarded_samples(feed, feed->guarded[i], &n);
	}
	if (batch)
		add_other_samples(feed, &n);
	end_list(&feed->message, n);
	feed->samples_in_message = n;
}

static void add_growths(struct feed *feed)
{
	struct container *container;
	struct growth growth;
	size_t n = 0;

	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		for (enum reflex_resource r = 0; fc && r < REFLEX_MAX; r++) {
			if (fc->announced == ANNOUNCED_NO ||
			    !grower_report(feed->options.grower, container, r, &growth))
				continue;
			add_member(&feed->message, "reflex", &n);
			feed_message_growth(&feed->message, fc->c, &growth);
		}
	}
	end_list(&feed->message, n);
}

/* What was told of growths is told again, with the limits, where it has not been settled. */
static void settle_growths(struct feed *feed, const json_t *answer)
{
	const json_t *settled = json_object_get(answer, "grown");
	struct grower *grower = feed->options.grower;
	struct container *container;

	if (json_integer_value(settled) > 0)
		grower_acknowledged(grower, (uint64_t)json_integer_value(settled));
	if (!grower_has_reports(grower))
		return;
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (fc && grower_is_pending(container)) {
			fc->changed = true;
			feed->any_changed = true;
		}
	}
}

static int build_message(struct feed *feed, bool batch)
{
	struct text *message = &feed->message;
	uint64_t now = now_ns();
	int r;

	text_reset(message);
	text_str(message, "{\"host\":");
	text_json_string(message, feed->host_name);
	text_printf(message,
		    ",\"session\":\"%s\",\"seq\":%" PRIu64 ",\"guard_version\":%" PRIu64
		    ",\"now\":%" PRIu64,
		    feed->session, ++feed->seq, feed->guard_version, now);
	if (feed->options.term->seen)
		text_printf(message, ",\"term\":%" PRIu64, feed->options.term->seen);
	feed->registering = !feed->registered;
	if (feed->registering) {
		r = add_registration(feed);
		if (r < 0)
			return r;
	}

	feed->asked_ns = now;
	feed->more = false;
	feed->urgent = false;
	if (batch)
		recheck_limits(feed);
	bool containers = feed->registering || now >= feed->news_at || (batch && feed->any_unread);
	feed->carries_news = containers || feed->any_changed;
	if (containers) {
		feed->any_unread = false;
		feed->news_at = UINT64_MAX;
		add_containers(feed, now);
	}
	if (feed->any_changed)
		add_changed(feed);
	if (feed->options.grower && grower_has_reports(feed->options.grower))
		add_growths(feed);
	if (feed->n_removed) {
		size_t n = 0;

		for (; n < feed->n_removed;) {
			uint64_t c = feed->removed[n];

			add_member(message, "removed", &n);
			text_u64(message, c);
		}
		end_list(message, n);
		feed->removed_in_flight = feed->n_removed;
	}
	add_samples(feed, batch);
	text_char(message, '}');
	return message->failed ? -ENOMEM : 0;
}

static void settle_news(struct feed *feed, bool arrived)
{
	struct container *container;

	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc)
			continue;
		if (fc->announced == ANNOUNCED_IN_FLIGHT) {
			fc->announced = arrived ? ANNOUNCED_YES : ANNOUNCED_NO;
			if (!arrived)
				feed->news_at = 0;
		}
		if (fc->changed_in_flight && !arrived) {
			fc->changed = true;
			feed->any_changed = true;
		} else if (fc->changed_in_flight) {
			fc->other_labels = false;
			if (!fc->changed && !fc->touched)
				forget_hand(fc);
		}
		fc->changed_in_flight = false;
	}
}

/* Takes back, or strikes off, all that the last message carried. */
static void settle(struct feed *feed, bool arrived)
{
	if (feed->carries_news)
		settle_news(feed, arrived);
	feed->carries_news = false;
	for (size_t i = 0; i < feed->n_guarded; i++) {
		struct feed_container *fc = feed->guarded[i]->feed_state;

		sample_ring_sent(&fc->ring, arrived);
	}
	if (arrived) {
		feed->n_removed -= feed->removed_in_flight;
		memmove(feed->removed, feed->removed + feed->removed_in_flight,
			feed->n_removed * sizeof(feed->removed[0]));
		feed->stats.samples_sent += feed->samples_in_message;
		*(feed->sending_batch ? &feed->stats.batches : &feed->stats.urgent) += 1;
	}
	feed->removed_in_flight = 0;
}

/* What the controller knows as `fc->c` is no more. */
static void tell_removed(struct feed *feed, const struct feed_container *fc)
{
	if (fc->announced == ANNOUNCED_NO)
		return;
	if (feed->n_removed == REMOVED_MAX)
		feed->renew = true;
	else
		feed->removed[feed->n_removed++] = fc->c;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void retry_in(struct feed *feed, unsigned wait_ms)
{
	feed->retry_at = now_ns() + wait_ms * EBB_NS_PER_MS;
	feed->batch_at = 0;
	loop_set_timer(feed->timer, wait_ms * EBB_NS_PER_MS, 0);
}

/* `moves`: another controller may do better; `leader`, see controllers_move_on(). */
static void failed(struct feed *feed, const char *reason, bool moves, bool spoke,
		   const char *leader)
{
	const char *asked = controllers_current(&feed->controllers);
	bool last_of_all =
		feed->failed % feed->options.controllers->n == feed->options.controllers->n - 1;
	unsigned wait_ms;

	settle(feed, false);
	/* Whether a lost registration was understood cannot be known: a new session is clean. */
	if (feed->registering)
		session_start(feed);
	feed->stats.failures++;
	feed->stats.connected = false;
	/* When one of several has gone another is fed soon, which says it all. */
	if (!feed->told_away && last_of_all)
		log_warning("controller %s: %s; all limits stay as they are, trying again", asked,
			    reason);
	else
		log_debug("controller %s: %s", asked, reason);
	feed->told_away = feed->told_away || last_of_all;
	feed->failed++;
	if (moves) {
		wait_ms = controllers_move_on(&feed->controllers, spoke, leader);
		if (controllers_current(&feed->controllers) != asked)
			session_start(feed);
	} else {
		wait_ms = backoff_ms(feed->failed - 1, BACKOFF_MS, BACKOFF_CAP);
	}
	retry_in(feed, wait_ms);
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The controller would not have these for their names, which containers of other hosts have. */
static void names_taken(struct feed *feed, const json_t *taken)
{
	size_t n = json_array_size(taken), n_containers;
	_cleanup_free_ uint64_t *numbers = n ? calloc(n, sizeof(*numbers)) : NULL;

	if (!numbers)
		return;
	for (size_t i = 0; i < n; i++)
		numbers[i] = (uint64_t)json_integer_value(json_array_get(taken, i));
	qsort(numbers, n, sizeof(*numbers), by_number);
	n_containers = container_table_count(feed->options.table);
	for (size_t i = 0; i < n_containers; i++) {
		struct container *container = container_table_at(feed->options.table, i);
		struct feed_container *fc = container->feed_state;

		if (!fc || fc->announced != ANNOUNCED_YES ||
		    !bsearch(&fc->c, numbers, n, sizeof(*numbers), by_number))
			continue;
		if (++fc->taken >= TAKEN_ROUNDS && feed->options.name_taken) {
			fc->taken = 0;
			feed->options.name_taken(feed->options.userdata, container);
			continue;
		}
		tell_removed(feed, fc);
		fc->c = feed->next_c++;
		fc->announced = ANNOUNCED_NO;
		feed->news_at = MIN(feed->news_at, now_ns() + TAKEN_AGAIN_NS);
	}
}

/* False: of a controller that led before. */
static bool heed_term(struct feed *feed, const json_t *answer)
{
	json_int_t term = json_integer_value(json_object_get(answer, "term"));

	return term < 1 || (uint64_t)term > TERM_MAX ||
	       term_heed(feed->options.term, (uint64_t)term) >= 0;
}

static void succeeded(struct feed *feed, const json_t *answer)
{
	json_t *guard = json_object_get(answer, "guard");
	json_t *version = json_object_get(answer, "guard_version");

	settle(feed, true);
	if (feed->options.grower) {
		const json_t *ceilings = json_object_get(answer, "ceilings");

		if (feed->registering)
			grower_registered(feed->options.grower);
		settle_growths(feed, answer);
		grower_lease(feed->options.grower, json_object_get(answer, "lease"),
			     feed->asked_ns);
		/* They come with the guard table, and only then. */
		if (json_is_object(guard) || feed->registering)
			grower_ceilings(feed->options.grower, ceilings);
	}
	if (!feed->stats.connected)
		log_info("feeding controller %s as \"%s\"", controllers_current(&feed->controllers),
			 feed->host_name);
	controllers_settle(&feed->controllers);
	feed->stats.connected = true;
	feed->told_away = false;
	feed->failed = 0;
	feed->retry_at = 0;
	/* The first answer of a session says all: what it does not name is not guarded. */
	if (json_is_object(guard) || feed->registering)
		guard_all(feed, json_is_object(guard) ? guard : NULL);
	if (json_is_integer(version))
		feed->guard_version = (uint64_t)json_integer_value(version);
	feed->registered = true;
	names_taken(feed, json_object_get(answer, "taken"));
}

static void unknown_session(struct feed *feed)
{
	if (feed->registering) {
		failed(feed, "it asks for a registration in answer to one", true, false, NULL);
		return;
	}
	log_info("controller %s does not know this session; registering anew",
		 controllers_current(&feed->controllers));
	settle(feed, false);
	session_start(feed);
	feed->batch_at = 0;
}

static void answered(void *userdata, const struct http_response *response)
{
	struct feed *feed = userdata;
	_cleanup_json_ json_t *answer = NULL;
	json_error_t error;
	char reason[256];

	feed->sending = false;
	if (response->body_len)
		answer = json_loadb(response->body, response->body_len, 0, &error);
	if (response->status == 200 && json_is_object(answer)) {
		if (heed_term(feed, answer))
			succeeded(feed, answer);
		else
			failed(feed, "it led before another did", true, true, NULL);
	} else if (response->status == 409 && json_is_true(json_object_get(answer, "register"))) {
		unknown_session(feed);
	} else if (response->status == 401 || response->status == 403) {
		failed(feed, "it does not accept the token (--token-file)", false, true, NULL);
	} else if (response->status) {
		const char *message = json_string_value(json_object_get(answer, "message"));
		const char *leader = json_string_value(json_object_get(answer, "leader"));
		bool standby = response->status == 421 || response->status == 307;

		snprintf(reason, sizeof(reason), "answered %ld%s%s", response->status,
			 message ? ", " : "", message ? message : "");
		failed(feed, reason, standby || response->status >= 500, standby, leader);
	} else {
		snprintf(reason, sizeof(reason), "%s", response->error);
		failed(feed, reason, true, false, NULL);
	}
	feed_send_due(feed);
}

/* --- When to send ----------------------------------------------------------------------------- */

static void feed_send(struct feed *feed, bool batch)
{
	struct http_request_options request = {
		.method = "POST",
		.address = controllers_current(&feed->controllers),
		.path = "/feed",
		.identity = feed->options.identity,
		.timeout_ms = TIMEOUT_MS,
		.response_max = 16U << 20,
	};
	int r = build_message(feed, batch);

	if (feed->options.controllers->n > 1 && !feed->registering)
		request.timeout_ms = IMPATIENT_MS;
	if (r == 0) {
		request.body = feed->message.data;
		request.body_len = feed->message.len;
		r = http_client_send(feed->client, &request, answered, feed);
	}
	feed->sending_batch = batch;
	if (r < 0) {
		failed(feed, strerror(-r), false, false, NULL);
		return;
	}
	feed->sending = true;
}

static void feed_send_due(struct feed *feed)
{
	uint64_t now = now_ns();
	/* The sweep that is nearest to the second, not the first after it. */
	uint64_t slack = MIN(feed->options.period_ms, 1000U) * EBB_NS_PER_MS / 2;
	bool batch = now + slack >= feed->batch_at;

	if (feed->sending || now < feed->retry_at)
		return;
	if (feed->renew) {
		feed->renew = false;
		session_start(feed);
	}
	if (!batch && feed->registered && !feed->urgent && now < feed->news_at && !feed->more)
		return;
	if (batch) {
		feed->batch_at += BATCH_NS;
		if (feed->batch_at <= now)
			feed->batch_at = now + BATCH_NS;
	}
	feed_send(feed, batch || feed->more || !feed->registered);
}

static void on_timer(void *userdata)
{
	feed_send_due(userdata);
}

void feed_swept(struct feed *feed)
{
	unsigned limit = ring_limit(feed);

	for (size_t i = 0; i < feed->n_guarded; i++)
		collect(feed, feed->guarded[i], limit);
	check_touched(feed);
	feed_send_due(feed);
}

/* --- What happens to containers --------------------------------------------------------------- */

void feed_container_added(struct feed *feed, struct container *container)
{
	struct feed_container *fc = calloc(1, sizeof(*fc));

	if (!fc) {
		log_error_errno(ENOMEM, "%s will not be fed", container->name);
		return;
	}
	fc->c = feed->next_c++;
	fc->added_ns = now_ns();
	container->feed_state = fc;
	guard_container(feed, container);
	if (container->guarded)
		list_guarded(feed);
	/* With the next sweep rather than at once: engines start containers in groups. */
	if (!container->unnamed)
		feed->news_at = MIN(feed->news_at, settled_at(feed, container));
}

void feed_container_joined(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;

	if (!fc)
		return;
	if (container->unnamed)
		return;
	if (fc->announced == ANNOUNCED_NO)
		feed->news_at = MIN(feed->news_at, settled_at(feed, container));
	else
		feed_limits_changed(feed, container);
}

void feed_container_named(struct feed *feed, struct container *container, bool renamed)
{
	struct feed_container *fc = container->feed_state;

	if (!fc)
		return;
	if (!renamed) {
		if (fc->announced == ANNOUNCED_NO)
			return;
		fc->other_labels = true;
		fc->changed = true;
		feed->any_changed = true;
		return;
	}
	if (fc->announced != ANNOUNCED_NO) {
		/* To the controller one has gone, and another one has come. */
		tell_removed(feed, fc);
		fc->c = feed->next_c++;
		fc->announced = ANNOUNCED_NO;
		fc->changed = fc->changed_in_flight = false;
		sample_ring_clear(&fc->ring);
	}
	guard_container(feed, container);
	list_guarded(feed);
	feed->news_at = MIN(feed->news_at, settled_at(feed, container));
}

void feed_container_removed(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;
	bool guarded = container->guarded;

	if (!fc)
		return;
	tell_removed(feed, fc);
	sample_ring_clear(&fc->ring);
	forget_hand(fc);
	free(fc);
	container->feed_state = NULL;
	container->guarded = false;
	if (guarded)
		list_guarded(feed);
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

void feed_grown(struct feed *feed)
{
	feed->urgent = true;
	feed_send_due(feed);
}

void feed_host_changed(struct feed *feed)
{
	feed->renew = true;
	/* Now: shares of a CPU that went are promised to somebody. */
	feed_send_due(feed);
}

void feed_limits_changing(struct feed *feed, struct container *container, bool under_way)
{
	struct feed_container *fc = container->feed_state;

	if (fc)
		fc->changing = under_way;
}

/* --- Life ------------------------------------------------------------------------------------- */

int feed_new(const struct feed_options *options, struct feed **ret_feed)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	struct container *container;
	int r = -ENOMEM;

	if (!feed)
		return -ENOMEM;
	feed->options = *options;
	controllers_init(&feed->controllers, options->controllers);
	feed->host_name = strdup(options->host_name);
	feed->api_address = strdup(options->api_address);
	if (!feed->host_name || !feed->api_address)
		goto fail;
	r = http_client_new(options->loop, &feed->client);
	if (r < 0)
		goto fail;
	r = loop_add_timer(options->loop, 0, 0, on_timer, feed, &feed->timer);
	if (r < 0)
		goto fail;

	session_start(feed);
	container_table_foreach(options->table, container) {
		feed_container_added(feed, container);
		/* Complete or not, it was there before. */
		if (container->feed_state)
			((struct feed_container *)container->feed_state)->added_ns = 0;
	}
	*ret_feed = feed;
	return 0;

fail:
	feed_free(feed);
	return r;
}

void feed_free(struct feed *feed)
{
	struct container *container;

	if (!feed)
		return;
	http_client_free(feed->client);
	loop_remove(feed->timer);
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc)
			continue;
		sample_ring_clear(&fc->ring);
		forget_hand(fc);
		free(fc);
		container->feed_state = NULL;
		container->guarded = false;
	}
	text_clear(&feed->message);
	json_decref(feed->guard);
	free(feed->guarded);
	free(feed->host_name);
	free(feed->api_address);
	free(feed);
}

const char *feed_controller(const struct feed *feed)
{
	return controllers_current(&feed->controllers);
}

void feed_get_stats(const struct feed *feed, struct feed_stats *ret_stats)
{
	*ret_stats = feed->stats;
}
