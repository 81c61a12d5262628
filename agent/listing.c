/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

#include <errno.h>
#include <stdlib.h>

#include "limits.h"
#include "net_limit.h"
#include "resources.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"

/* The shortest sample period is 10 ms. */
#define SLICE_NS (4 * EBB_NS_PER_MS)

struct listing {
	struct listing *next;
	struct http_deferred *deferred;
	unsigned wanted;
	json_t *all;
	size_t n, at;
	uint64_t ids[]; /* containers come and go between two slices */
};

struct listings {
	struct listings_options options;
	struct loop_source *timer;
	struct listing *first;
};

static void listing_free(struct listing *listing)
{
	json_decref(listing->all);
	free(listing);
}

/* One slice. True: it is complete. */
static bool listing_go_on(struct listings *listings, struct listing *listing)
{
	const struct listings_options *options = &listings->options;
	uint64_t end = now_ns() + SLICE_NS;
	struct limits limits;
	int r;

	for (; listing->at < listing->n; listing->at++) {
		struct container *container =
			container_table_by_id(options->table, listing->ids[listing->at]);

		if (listing->at % 8 == 7 && now_ns() > end)
			return false;
		if (!container || container->unnamed)
			continue;
		r = listing->wanted ? limits_read(options->hierarchies, container,
						  options->host->disk, &limits)
				    : 0;
		if (r == 0 && listing->wanted)
			r = limits_read_more(options->hierarchies, container, &limits);
		if (r == 0 && listing->wanted & 1U << EBB_NET)
			net_limit_read(options->net, container, &limits);
		if (r < 0 && !limits_has_gone(r))
			log_warning_errno(r, "%s is left out of a list: its limits cannot be read",
					  container->name);
		if (r < 0)
			continue;
		json_t *resources = resources_to_json(&limits, options->host, listing->wanted);
		resources_add_pressure(resources, container);
		json_object_set_new(listing->all, container->name, resources);
	}
	return true;
}

static void on_timer(void *userdata)
{
	struct listings *listings = userdata;
	struct listing *listing = listings->first;

	if (!listing)
		return;
	if (listing_go_on(listings, listing)) {
		listings->first = listing->next;
		http_resume_json(listing->deferred, 200, TAKE_PTR(listing->all));
		listing_free(listing);
	}
	if (listings->first)
		loop_set_timer(listings->timer, 0, 0);
}

void listings_reply(struct listings *listings, struct http_call *call, unsigned wanted)
{
	struct container_table *table = listings->options.table;
	size_t n = container_table_count(table);
	struct listing *listing = calloc(1, sizeof(*listing) + n * sizeof(listing->ids[0]));
	struct listing **link = &listings->first;

	if (!listing || !(listing->all = json_object())) {
		free(listing);
		http_reply_error(call, 500, "out of memory");
		return;
	}
	listing->wanted = wanted;
	listing->n = n;
	for (size_t i = 0; i < n; i++)
		listing->ids[i] = container_table_at(table, i)->id;

	if (listing_go_on(listings, listing)) {
		http_reply_json(call, 200, TAKE_PTR(listing->all));
		listing_free(listing);
		return;
	}
	if (http_defer(call, &listing->deferred) < 0) {
		http_reply_error(call, 503, "the agent is stopping");
		listing_free(listing);
		return;
	}
	while (*link)
		link = &(*link)->next;
	*link = listing;
	loop_set_timer(listings->timer, 0, 0);
}

int listings_new(const struct listings_options *options, struct listings **ret_listings)
{
	struct listings *listings = calloc(1, sizeof(*listings));
	int r;

	if (!listings)
		return -ENOMEM;
	listings->options = *options;
	r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_timer, listings, &listings->timer);
	if (r < 0) {
		free(listings);
		return r;
	}
	*ret_listings = listings;
	return 0;
}

void listings_free(struct listings *listings)
{
	if (!listings)
		return;
	while (listings->first) {
		struct listing *listing = listings->first;

		listings->first = listing->next;
		http_resume_error(listing->deferred, 503, "the agent is stopping");
		listing_free(listing);
	}
	loop_remove(listings->timer);
	free(listings);
}
