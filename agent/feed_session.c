/* SPDX-License-Identifier: Apache-2.0 */
/* The session with the controller: how it begins, what is answered, and what follows from it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed_private.h"
#include "grower.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* For what another controller would not change. */
#define BACKOFF_MS  100
#define BACKOFF_CAP 5000
/* One that moves to this host may be here before it has gone there. */
#define TAKEN_ROUNDS   3
#define TAKEN_AGAIN_NS EBB_NS_PER_SEC

void feed_session_start(struct feed *feed)
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
	if (feed->options.grower)
		grower_session_begins(feed->options.grower);
	container_table_foreach(feed->options.table, container) {
		struct feed_container *fc = container->feed_state;

		if (!fc)
			continue;
		fc->n_was_c = fc->n_was_c_in_flight = 0;
		fc->c = feed->next_c++;
		fc->announced = ANNOUNCED_NO;
		fc->changed = false;
		fc->changed_in_flight = false;
		fc->other_labels = false;
		fc->sent_at_ns = 0;
	}
}

void feed_remove_number(struct feed *feed, uint64_t c)
{
	if (feed->n_removed == REMOVED_MAX)
		feed->renew = true;
	else
		feed->removed[feed->n_removed++] = c;
}

void feed_drop_old_numbers(struct feed_container *fc, unsigned n)
{
	fc->n_was_c -= n;
	memmove(fc->was_c, fc->was_c + n, fc->n_was_c * sizeof(fc->was_c[0]));
	fc->n_was_c_in_flight -= MIN(n, fc->n_was_c_in_flight);
}

void feed_tell_removed(struct feed *feed, const struct feed_container *fc)
{
	for (unsigned i = 0; i < fc->n_was_c; i++)
		feed_remove_number(feed, fc->was_c[i]);
	if (fc->announced != ANNOUNCED_NO)
		feed_remove_number(feed, fc->c);
}

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

	feed_settle(feed, false);
	/* Whether a lost registration was understood cannot be known: a new session is clean. */
	if (feed->registering)
		feed_session_start(feed);
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
			feed_session_start(feed);
	} else {
		wait_ms = backoff_ms(feed->failed - 1, BACKOFF_MS, BACKOFF_CAP);
	}
	retry_in(feed, wait_ms);
}

void feed_session_unsent(struct feed *feed, int error)
{
	failed(feed, strerror(-error), false, false, NULL);
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
		feed_name_refused(&fc->name);
		if (++fc->taken >= TAKEN_ROUNDS && feed->options.name_taken) {
			fc->taken = 0;
			feed->options.name_taken(feed->options.userdata, container);
			continue;
		}
		feed_tell_removed(feed, fc);
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

	feed_settle(feed, true);
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
		feed_guard_all(feed, json_is_object(guard) ? guard : NULL);
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
	feed_settle(feed, false);
	feed_session_start(feed);
	feed->batch_at = 0;
}

void feed_session_answered(struct feed *feed, const struct http_response *response)
{
	_cleanup_json_ json_t *answer = NULL;
	json_error_t error;
	char reason[256];

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
}
