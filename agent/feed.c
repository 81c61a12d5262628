/* SPDX-License-Identifier: Apache-2.0 */
/* When a message is sent, and what happens to containers between two. */
#include "feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "feed_private.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define BATCH_NS   EBB_NS_PER_SEC
#define TIMEOUT_MS 5000
/*
 * Where another controller may have taken over from one that hangs. A registration may take longer,
 * and has the time once none of so many tries at each controller was answered; before, a standby
 * may have sent us back to the one that hangs: 3.8 s more without a controller.
 */
#define IMPATIENT_MS    1500
#define IMPATIENT_TRIES 3

/* --- When to send ----------------------------------------------------------------------------- */

static unsigned timeout_ms(const struct feed *feed)
{
	size_t n = feed->options.controllers->n;
	bool patient = n == 1 || (feed->registering && feed->failed >= IMPATIENT_TRIES * n);

	return patient ? TIMEOUT_MS : IMPATIENT_MS;
}

static void feed_send_due(struct feed *feed);

static void answered(void *userdata, const struct http_response *response)
{
	struct feed *feed = userdata;

	feed->sending = false;
	feed_session_answered(feed, response);
	feed_send_due(feed);
}

static void feed_send(struct feed *feed, bool batch)
{
	struct http_request_options request = {
		.method = "POST",
		.address = controllers_current(&feed->controllers),
		.path = "/feed",
		.identity = feed->options.identity,
		.timeout_ms = timeout_ms(feed),
		.response_max = 16U << 20,
	};
	int r = feed_compose(feed, batch);

	if (r == 0) {
		request.body = feed->message.data;
		request.body_len = feed->message.len;
		r = http_client_send(feed->client, &request, answered, feed);
	}
	feed->sending_batch = batch;
	if (r < 0) {
		feed_session_unsent(feed, r);
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
		feed_session_start(feed);
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
	feed_collect(feed);
	feed_check_touched(feed);
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
	feed_guard_container(feed, container);
	feed->guarded_stale |= container->guarded;
	/* With the next sweep rather than at once: engines start containers in groups. */
	if (!container->unnamed)
		feed->news_at = MIN(feed->news_at, feed_settled_at(feed, container));
}

void feed_container_joined(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;

	if (!fc)
		return;
	if (container->unnamed)
		return;
	if (fc->announced == ANNOUNCED_NO)
		feed->news_at = MIN(feed->news_at, feed_settled_at(feed, container));
	else
		feed_limits_changed(feed, container);
}

/* What is held for the old name may go along: it is guarded before the controller says so. */
static void take_other_name(struct feed *feed, const struct container *container)
{
	struct feed_container *fc = container->feed_state;
	json_t *upper;

	if (!feed_name_changed(&fc->name))
		return;
	upper = json_object_get(feed->guard, fc->name.was);
	if (upper && !json_object_get(feed->guard, container->name)) {
		json_object_set(feed->guard, container->name, upper);
		json_object_del(feed->guard, fc->name.was);
	}
}

/* The old number goes with the message that has the new one. */
static void take_other_number(struct feed *feed, struct feed_container *fc)
{
	if (fc->n_was_c == RENUMBERED_MAX) {
		feed_remove_number(feed, fc->was_c[0]);
		feed_drop_old_numbers(fc, 1);
	}
	fc->was_c[fc->n_was_c++] = fc->c;
	fc->c = feed->next_c++;
}

static void feed_container_free(struct feed_container *fc)
{
	sample_ring_clear(&fc->ring);
	feed_forget_hand(fc);
	feed_name_clear(&fc->name);
	free(fc);
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
	take_other_name(feed, container);
	if (fc->announced != ANNOUNCED_NO) {
		take_other_number(feed, fc);
		fc->announced = ANNOUNCED_NO;
		fc->changed = fc->changed_in_flight = false;
		sample_ring_clear(&fc->ring);
	}
	feed_guard_container(feed, container);
	/* Once for many that are named at once. */
	feed->guarded_stale = true;
	feed->news_at = MIN(feed->news_at, feed_settled_at(feed, container));
}

void feed_container_removed(struct feed *feed, struct container *container)
{
	struct feed_container *fc = container->feed_state;
	bool guarded = container->guarded;

	if (!fc)
		return;
	feed_tell_removed(feed, fc);
	feed_container_free(fc);
	container->feed_state = NULL;
	container->guarded = false;
	/* Once for many that go. */
	feed->guarded_stale |= guarded;
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

	feed_session_start(feed);
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
		feed_container_free(fc);
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
