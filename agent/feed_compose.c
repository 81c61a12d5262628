/* SPDX-License-Identifier: Apache-2.0 */
/* What a message tells, and what becomes of that when it has arrived or been lost. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "feed_message.h"
#include "feed_private.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"

/*
 * On cgroup v1 a container is made directory by directory. One that lacks some is told with what it
 * has after this time: the controller takes what it is told first for what there is to guard.
 */
#define SETTLE_NS (250 * EBB_NS_PER_MS)

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

/* Has a directory in every hierarchy of this host. */
static bool is_complete(const struct feed *feed, const struct container *container)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (feed->options.hierarchies->by_controller[c].mount && container->dir_fds[c] < 0)
			return false;
	}
	return true;
}

uint64_t feed_settled_at(const struct feed *feed, const struct container *container)
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
		if (feed_settled_at(feed, container) > now) {
			feed->news_at = MIN(feed->news_at, feed_settled_at(feed, container));
			continue;
		}
		/* Most likely it has gone, and its removal is on its way. */
		if (!feed_read_limits(feed, container, &limits)) {
			feed->any_unread = true;
			continue;
		}
		feed_message_member(message, "added", &n);
		feed_message_added(message, fc->c, container, &limits,
				   feed_name_was(&fc->name, container->name));
		fc->n_was_c_in_flight = fc->n_was_c;
		feed_name_sent(&fc->name, container->name, container->by_id);
		fc->other_labels = false;
		fc->announced = ANNOUNCED_IN_FLIGHT;
		fc->changed = false;
	}
	feed_message_end_list(message, n);
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
		if (!feed_read_limits(feed, container, &limits)) {
			feed->any_changed = true;
			continue;
		}
		feed_message_member(message, "limits", &n);
		feed_message_limits(message, fc->c, &limits, fc->other_labels ? container : NULL,
				    fc->hand);
		fc->changed = false;
		fc->changed_in_flight = true;
	}
	feed_message_end_list(message, n);
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
			feed_message_member(&feed->message, "reflex", &n);
			feed_message_growth(&feed->message, fc->c, &growth);
		}
	}
	feed_message_end_list(&feed->message, n);
}

/* Those that have gone, and the old numbers of those that the message has under new ones. */
static void add_removed(struct feed *feed, bool renumbered)
{
	struct text *message = &feed->message;
	struct container *container;
	size_t n = 0;

	for (size_t i = 0; i < feed->n_removed; i++) {
		feed_message_member(message, "removed", &n);
		text_u64(message, feed->removed[i]);
	}
	feed->removed_in_flight = feed->n_removed;
	if (renumbered) {
		container_table_foreach(feed->options.table, container) {
			const struct feed_container *fc = container->feed_state;

			for (unsigned i = 0; fc && i < fc->n_was_c_in_flight; i++) {
				feed_message_member(message, "removed", &n);
				text_u64(message, fc->was_c[i]);
			}
		}
	}
	feed_message_end_list(message, n);
}

int feed_compose(struct feed *feed, bool batch)
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
		feed_recheck_limits(feed);
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
	add_removed(feed, containers);
	feed_add_samples(feed, batch);
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
			else
				feed_name_arrived(&fc->name);
		}
		if (arrived)
			feed_drop_old_numbers(fc, fc->n_was_c_in_flight);
		fc->n_was_c_in_flight = 0;
		if (fc->changed_in_flight && !arrived) {
			fc->changed = true;
			feed->any_changed = true;
		} else if (fc->changed_in_flight) {
			fc->other_labels = false;
			if (!fc->changed && !fc->touched)
				feed_forget_hand(fc);
		}
		fc->changed_in_flight = false;
	}
}

void feed_settle(struct feed *feed, bool arrived)
{
	if (feed->carries_news)
		settle_news(feed, arrived);
	feed->carries_news = false;
	feed_check_guarded(feed);
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
