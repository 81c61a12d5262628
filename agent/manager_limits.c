/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sets limits: the API, the controller by way of it, the reflex, other hands beside the agent,
 * and the agent itself when it puts them back at the end.
 */
#include <errno.h>
#include <string.h>

#include "manager_private.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* Well within the 90 s after which systemd kills. */
#define RESTORE_NS (30 * EBB_NS_PER_SEC)

/* --- What becomes of limits ------------------------------------------------------------------- */

static void on_limits_writing(void *userdata, const struct container *container,
			      enum limit_kind kind, const struct limits *before)
{
	struct manager *manager = userdata;

	if (manager->restore)
		restore_writing(manager->restore, container->id, kind, before);
}

static void on_limits_changed(void *userdata, struct container *container, unsigned kinds)
{
	struct manager *manager = userdata;
	struct limits present;

	if (kinds && manager->restore &&
	    restore_read(manager->restore, &manager->applying, container, &present))
		restore_wrote(manager->restore, container->id, kinds, &present);
	if (manager->feed)
		feed_limits_changed(manager->feed, container);
}

static void on_limits_changing(void *userdata, struct container *container, bool under_way)
{
	struct manager *manager = userdata;

	if (manager->feed)
		feed_limits_changing(manager->feed, container, under_way);
}

static void on_grown(void *userdata)
{
	struct manager *manager = userdata;

	if (manager->feed)
		feed_grown(manager->feed);
}

static void on_hand(void *userdata, enum cgroup_controller controller, uint64_t id,
		    const struct hand *hand)
{
	struct manager *manager = userdata;
	struct container *container = discovery_find(manager->discovery, controller, id);

	if (container && manager->feed)
		feed_limits_touched(manager->feed, container, hand);
}

void manager_watch_hands(struct manager *manager)
{
	int r;

	if (!manager->options->controllers.n)
		return;
	r = hands_new(manager->loop, &manager->hierarchies, on_hand, manager, &manager->hands);
	if (r == -EOPNOTSUPP)
		log_info("limits that others change are seen with the next sample, but not who did "
			 "it: this kernel does not tell (Linux 6.6 and later do)");
	else if (r == -EPERM)
		log_info("limits that others change are seen with the next sample, but not who did "
			 "it: that takes CAP_SYS_ADMIN (drop-in ebb-agent-changes.conf)");
	else if (r < 0)
		log_warning_errno(r, "who changes limits beside this agent will not be known");
}

/* --- Start ------------------------------------------------------------------------------------ */

int manager_start_api(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	struct container_table *table = discovery_table(manager->discovery);
	int r = shrinker_new(manager->loop, &manager->hierarchies, &manager->shrinker);

	if (r < 0)
		return log_error_errno(r, "cannot start the thread that lowers memory limits");
	r = pressure_lane_new(manager->loop, &manager->hierarchies, table, &manager->pressure);
	if (r < 0)
		return r;
	manager->applying = (struct applier_options){
		.hierarchies = &manager->hierarchies,
		.table = table,
		.sampler = manager->sampler,
		.net = manager->net,
		.shrinker = manager->shrinker,
		.disk = manager->host.disk,
		.writing = on_limits_writing,
		.changed = on_limits_changed,
		.changing = on_limits_changing,
		.userdata = manager,
	};
	r = applier_new(&manager->applying, &manager->applier);
	if (r >= 0 && options->restore_on_exit)
		r = restore_new(&manager->restore);
	if (r < 0)
		return r;
	if (options->reflex && options->controllers.n)
		r = grower_new(
			&(struct grower_options){
				.loop = manager->loop,
				.table = table,
				.hierarchies = &manager->hierarchies,
				.sampler = manager->sampler,
				.applier = manager->applier,
				.term = &manager->term,
				.host = &manager->host,
				.grown = on_grown,
				.userdata = manager,
			},
			&manager->grower);
	if (r < 0)
		return r;
	manager->metrics = (struct metrics_source){
		.table = table,
		.sampler = manager->sampler,
		.hierarchies = &manager->hierarchies,
		.bpf = manager->bpf,
		.applier = manager->applier,
		.grower = manager->grower,
		.term = &manager->term,
	};
	r = api_new(
		&(struct api_options){
			.loop = manager->loop,
			.listen = options->listen,
			.identity = manager->identity,
			.token_on_reads = !address_is_local(options->listen),
			.hierarchies = &manager->hierarchies,
			.host = &manager->host,
			.table = table,
			.applier = manager->applier,
			.grower = manager->grower,
			.net = manager->net,
			.metrics = &manager->metrics,
			.term = &manager->term,
		},
		&manager->api);
	if (r < 0)
		return r;
	log_info("listening on %s", api_address(manager->api));
	if (!address_is_local(options->listen) && !identity_has_tls(manager->identity))
		log_warning("without --tls-cert and --tls-key whoever listens in on the network "
			    "can read the token and set limits with it");
	return 0;
}

int manager_start_feed(struct manager *manager)
{
	const struct agent_options *options = manager->options;

	if (!options->controllers.n) {
		log_info("no --controller: nothing is fed");
		return 0;
	}
	manager->api_url = agent_api_url(options->advertise, api_address(manager->api),
					 options->name, identity_has_tls(manager->identity));
	if (!manager->api_url)
		return -ENOMEM;

	for (size_t i = 0; i < options->controllers.n; i++)
		if (!agent_api_is_reachable(options->controllers.items[i], manager->api_url))
			log_warning("controller %s is on another machine and cannot send orders to "
				    "%s: --listen on an address that it reaches, with a "
				    "--token-file, or --advertise one",
				    options->controllers.items[i], manager->api_url);

	int r = feed_new(
		&(struct feed_options){
			.loop = manager->loop,
			.controllers = &options->controllers,
			.term = &manager->term,
			.identity = manager->identity,
			.host_name = options->name,
			.api_address = manager->api_url,
			.host = &manager->host,
			.hierarchies = &manager->hierarchies,
			.table = discovery_table(manager->discovery),
			.sampler = manager->sampler,
			.net = manager->net,
			.grower = manager->grower,
			.period_ms = options->period_ms,
			.name_taken = manager_name_taken,
			.userdata = manager,
		},
		&manager->feed);
	if (r < 0)
		return log_error_errno(r, "cannot start the feed");
	manager->metrics.feed = manager->feed;
	return 0;
}

/* --- At the end ------------------------------------------------------------------------------- */

static void on_put_back(void *userdata, unsigned restored, unsigned failed)
{
	struct manager *manager = userdata;

	log_info("put back the limits of %u containers%s", restored, failed ? ", not of all" : "");
	loop_stop(manager->loop);
}

static void on_put_back_late(void *userdata)
{
	struct manager *manager = userdata;

	log_warning("memory limits take too long to be put back: some stay as they are");
	loop_stop(manager->loop);
}

void manager_put_limits_back(struct manager *manager, int signo)
{
	manager->restoring = true;
	log_info("%s: stopping; limits are put back to what they were, another signal leaves them",
		 strsignal(signo));
	/* No more orders, and nobody is to take what is put back for another hand's doing. */
	api_refuse_orders(manager->api);
	manager->metrics.feed = NULL;
	feed_free(TAKE_PTR(manager->feed));
	if (manager->grower)
		grower_lease(manager->grower, NULL, 0);
	if (loop_add_timer(manager->loop, RESTORE_NS, 0, on_put_back_late, manager,
			   &manager->restore_timer) < 0)
		loop_stop(manager->loop);
	restore_all(manager->restore, &(struct restore_run){
					      .reader = &manager->applying,
					      .applier = manager->applier,
					      .done = on_put_back,
					      .userdata = manager,
				      });
}
