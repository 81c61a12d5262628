/* SPDX-License-Identifier: Apache-2.0 */
#include "controller.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "audit.h"
#include "container_scaler.h"
#include "executor.h"
#include "feed.h"
#include "leader.h"
#include "feed_opentsdb.h"
#include "model.h"
#include "rebalancer.h"
#include "request_document.h"
#include "sanity.h"
#include "scaler.h"
#include "series.h"
#include "store.h"
#include "subscriber.h"
#include "ebb/cleanup.h"
#include "ebb/http_server.h"
#include "ebb/identity.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/notify.h"
#include "ebb/tsdb.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define HEARTBEAT_NS   (10 * EBB_NS_PER_SEC)
#define CHECK_HOSTS_NS (1 * EBB_NS_PER_SEC)
/* Of the lease, 1.2 s: then the leader renews it again. */
#define CATCH_UP_MS 500
/* How finely POLLING_FREQUENCY is kept. */
#define RETRY_TICK_S 0.1

/* Decisions kept in memory; the file keeps them all. */
#define AUDIT_CAPACITY 20000
/* A second of 4,096 guarded containers at 10 Hz is 5 MB of feed. */
#define BODY_MAX        (16 * 1024 * 1024)
#define CONNECTIONS_MAX 4096
/* Of a request, as it comes: 16 MiB at 4 Mbit/s. */
#define REQUEST_S 35

struct controller {
	struct loop *loop;
	struct store *store;
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct leader *leader;
	struct executor *executor;
	struct subscriber *subscriber;
	struct feed *feed;
	struct container_scalers *container_scalers;
	struct feed_opentsdb *feed_opentsdb; /* NULL: no --opentsdb */
	struct tsdb *tsdb;                   /* NULL: no --opentsdb */
	struct timed *timed;
	struct series *series;
	struct rebalancer *rebalancer;
	struct sanity *sanity;
	struct http_route *routes;
	struct http_server *server;
	struct api api;
	struct identity *identity;
	struct controller_options *options; /* NULL: they were not loaded */
	struct watchdog watchdog;
};

/* Each part by itself: a broken one keeps what it had, and has said why. */
static void reload(struct controller *controller)
{
	struct controller_options *options = controller->options;
	struct identity_files files;
	int r, files_r;

	if (!options)
		return;
	r = controller_options_reload(options);
	files = controller_identity_files(options);
	files_r = identity_reload(controller->identity, &files);
	log_set_level((enum log_level)options->log_level);
	if (r < 0 || files_r < 0)
		log_warning("SIGHUP: what cannot be read stays as it was");
	else
		log_info("SIGHUP: options and files were read again");
}

static void on_signal(void *userdata, int signo)
{
	struct controller *controller = userdata;

	if (signo == SIGHUP) {
		notify_reloading();
		reload(controller);
		notify_reloaded();
		return;
	}

	log_info("Stopping on %s", strsignal(signo));
	notify_send("STOPPING=1");
	loop_stop(controller->loop);
}

static void on_heartbeat(void *userdata)
{
	struct controller *controller = userdata;
	size_t structures;
	bool leading;

	model_lock(controller->model);
	model_heartbeat(controller->model, wall_seconds());
	structures = controller->model->n_structures;
	leading = controller->model->leading;
	model_unlock(controller->model);
	notify_status("%s, %zu structures", leading ? "Leads" : "Stands by", structures);
}

static void on_check_hosts(void *userdata)
{
	struct controller *controller = userdata;

	model_lock(controller->model);
	model_check_hosts(controller->model, wall_seconds());
	model_unlock(controller->model);
	/* Only when the model can be had: one that a thread never gives back serves nobody. */
	watchdog_alive(&controller->watchdog, now_ns());
}

/* In the executor's thread: what waits for shares, for an agent or after a failure. */
static void on_retry(void *userdata)
{
	struct controller *controller = userdata;
	const struct model *model = controller->model;

	model_lock(controller->model);
	if (model->leading)
		scaler_run_share(controller->scaler,
				 RETRY_TICK_S / model->scaler.polling_frequency);
	model_unlock(controller->model);
}

/* In a thread of the store's. */
static void on_state_changed(void *userdata, enum store_db db, const char *id, const json_t *base,
			     json_t *doc)
{
	struct controller *controller = userdata;
	struct model *model = controller->model;
	struct structure *deleted;

	model_lock(model);
	deleted = db == DB_STRUCTURES && !doc ? model_structure(model, id) : NULL;
	if (deleted && model->leading)
		scaler_forget(controller->scaler, deleted);
	model_document_changed(model, db, id, base, doc);
	if (model->leading) {
		requests_take(model, wall_seconds());
		scaler_run_for(controller->scaler,
			       db == DB_STRUCTURES && doc ? model_structure(model, id) : NULL);
	}
	model_unlock(model);
}

/* In the thread that writes the state. */
static void on_claimed(void *userdata, enum store_db db, const char *id)
{
	struct controller *controller = userdata;

	model_lock(controller->model);
	if (db == DB_REQUESTS &&
	    request_claimed(controller->model, controller->scaler, id, wall_seconds()))
		scaler_run_for(controller->scaler, NULL);
	model_unlock(controller->model);
}

/* Leads, or leads no more. */
static int set_leading(struct controller *controller, bool leading)
{
	struct model *model = controller->model;
	int r;

	model_lock(model);
	r = model_set_leading(model, leading);
	if (r >= 0 && leading) {
		requests_take(model, wall_seconds());
		scaler_run(controller->scaler);
	}
	model_unlock(model);
	return r;
}

/* In the leader's thread. */
static void on_leading(void *userdata, uint64_t term)
{
	struct controller *controller = userdata;
	int r;

	/* Else what the leader before, or a person, wrote last may be missing. Nobody leading is
	 * worse than that: what could not be read comes by the feeds. */
	if (term > 0)
		store_catch_up(controller->store, CATCH_UP_MS);
	r = set_leading(controller, term > 0);
	if (r < 0)
		log_error_errno(r, "Cannot take over the state");
}

/* In the leader's thread. */
static bool may_lead(void *userdata)
{
	struct controller *controller = userdata;

	return store_is_read(controller->store);
}

static bool may_send(void *userdata, uint64_t *ret_term)
{
	return leader_acts(userdata, ret_term);
}

static void on_outdated(void *userdata, uint64_t term)
{
	leader_outdated(userdata, term);
}

static int make_leader(struct controller *controller, const struct controller_options *options,
		       const struct store_options *store)
{
	const struct leader_options leader = {
		.uri = options->state,
		.store = store,
		.identity = controller->identity,
		.changed = on_leading,
		.ready = may_lead,
		.userdata = controller,
	};
	int r = leader_new(&leader, &controller->leader);

	return r < 0 ? log_error_errno(r, "Cannot start the election of a leader") : 0;
}

/* When the address is known. */
static int start_leading(struct controller *controller, const struct controller_options *options)
{
	_cleanup_free_ char *advertise =
		controller_advertise(options->advertise, controller_address(controller),
				     identity_has_tls(controller->identity));
	int r = advertise ? 0 : -ENOMEM;

	if (r >= 0)
		r = store_follow(controller->store, on_state_changed, controller);
	if (r >= 0 && !store_is_shared(controller->store))
		r = set_leading(controller, true);
	if (r >= 0)
		r = leader_start(controller->leader, advertise);
	return r < 0 ? log_error_errno(r, "Cannot follow the state") : 0;
}

static int start_loop(struct controller *controller)
{
	sigset_t signals;
	int r;

	r = loop_new(&controller->loop);
	if (r < 0)
		return log_error_errno(r, "Cannot make the event loop");
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	/* Before any thread: they inherit the mask. */
	r = loop_add_signals(controller->loop, &signals, on_signal, controller);
	if (r >= 0)
		r = loop_add_timer(controller->loop, 0, HEARTBEAT_NS, on_heartbeat, controller,
				   NULL);
	if (r >= 0)
		r = loop_add_timer(controller->loop, CHECK_HOSTS_NS, CHECK_HOSTS_NS, on_check_hosts,
				   controller, NULL);
	return r < 0 ? log_error_errno(r, "Cannot set up the event loop") : 0;
}

/* While the loop does not run yet: its signals are blocked, and wait. */
static bool is_interrupted(void *userdata)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM));
}

static int start_state(struct controller *controller, const struct controller_options *options)
{
	_cleanup_free_ char *audit_path = NULL;
	const struct store_options store = {
		.credentials_file = options->state_credentials,
		.identity = controller->identity,
		.cookie = options->state_auth == AUTH_COOKIE,
		.optional = options->state_optional,
		.give_up = is_interrupted,
	};
	int r;

	audit_path = options->audit ? strdup(options->audit)
				    : controller_audit_path(options->state, NULL);
	if (!audit_path)
		return -ENOMEM;
	r = store_open(options->state, &store, &controller->store);
	if (r < 0)
		return r;
	r = model_new(controller->store, &controller->model);
	if (r < 0)
		return log_error_errno(r, "Cannot load the state");
	store_on_claimed(controller->store, on_claimed, controller);
	r = store_start(controller->store);
	if (r >= 0)
		r = make_leader(controller, options, &store);
	if (r < 0)
		return r;
	/* With a CouchDB nobody has made it. */
	r = make_directory_for(audit_path);
	if (r < 0)
		return log_error_errno(r, "Cannot create the directory of %s", audit_path);
	r = audit_new(audit_path, AUDIT_CAPACITY, &controller->audit);
	return r < 0 ? log_error_errno(r, "Cannot open %s", audit_path) : 0;
}

static int start_scaling(struct controller *controller)
{
	const struct executor_fence fence = {
		.may_send = may_send,
		.outdated = on_outdated,
		.userdata = controller->leader,
	};
	int r;

	r = scaler_new(controller->model, controller->audit, &controller->scaler);
	if (r >= 0)
		r = executor_new(controller->identity, scaler_order_done, controller->scaler,
				 &controller->executor);
	if (r < 0)
		return log_error_errno(r, "Cannot start the executor");
	executor_set_fence(controller->executor, &fence);
	scaler_set_sink(controller->scaler, executor_sink(controller->executor));
	r = subscriber_new(controller->model, controller->scaler,
			   executor_sink(controller->executor), &controller->subscriber);
	if (r >= 0)
		r = executor_every(controller->executor, RETRY_TICK_S, on_retry, controller);
	if (r >= 0)
		r = executor_every(controller->executor, RETRY_TICK_S, subscriber_tick,
				   controller->subscriber);
	if (r >= 0)
		r = feed_new(controller->model, controller->scaler, &controller->feed);
	if (r >= 0)
		feed_set_leader(controller->feed, controller->leader);
	return r < 0 ? log_error_errno(r, "Cannot start the scaler") : 0;
}

/* For hosts that have BDWatchdog and a Container Scaler, but no agent. */
static int start_agentless(struct controller *controller, const struct controller_options *options)
{
	const struct feed_opentsdb_options opentsdb = {
		.url = options->opentsdb,
		.identity = controller->identity,
		.body_max = options->opentsdb_body_max,
	};
	int r;

	if (!options->opentsdb) {
		enum feed_setting feed;

		model_lock(controller->model);
		feed = controller->model->guardian.feed;
		model_unlock(controller->model);
		if (feed == FEED_OPENTSDB)
			log_warning("The guardian's FEED is opentsdb, but there is no --opentsdb "
				    "URL: only agents are heard");
		return 0;
	}
	r = container_scalers_new(controller->model, controller->scaler,
				  &controller->container_scalers);
	if (r >= 0)
		r = feed_opentsdb_new(controller->model, controller->scaler, &opentsdb,
				      &controller->feed_opentsdb);
	return r < 0 ? log_error_errno(r, "Cannot start the feed from OpenTSDB") : 0;
}

static int start_series(struct controller *controller, const struct controller_options *options)
{
	const struct tsdb_options tsdb = {
		.url = options->opentsdb,
		.spool = options->spool,
		.spool_max = options->spool_max * EBB_MIB,
		.body_max = options->opentsdb_body_max,
		.identity = controller->identity,
	};
	int r = 0;

	if (options->opentsdb) {
		r = tsdb_new(&tsdb, &controller->tsdb);
		if (r < 0)
			return r;
		if (!controller->model->series.database.active)
			log_info("No series go to OpenTSDB: the service database_snapshoter is not "
				 "ACTIVE (PUT /service/database_snapshoter/ACTIVE "
				 "{\"value\": true} changes that)");
	}
	r = timed_new(&controller->timed);
	if (r >= 0)
		r = series_new(controller->model, controller->tsdb, controller->timed,
			       &controller->series);
	if (r >= 0)
		r = sanity_new(controller->model, controller->scaler, controller->timed,
			       &controller->sanity);
	return r < 0 ? log_error_errno(r, "Cannot start the services that work by time") : 0;
}

static int start_rebalancer(struct controller *controller)
{
	int r = rebalancer_new(controller->model, controller->scaler, &controller->rebalancer);

	if (r >= 0)
		r = timed_add(controller->timed, rebalancer_turn, controller->rebalancer);
	return r < 0 ? log_error_errno(r, "Cannot start the rebalancer") : 0;
}

static int start_server(struct controller *controller, const struct controller_options *options)
{
	struct http_server_options server = {
		.listen = options->listen,
		.identity = controller->identity,
		.body_max = BODY_MAX,
		.connections_max = CONNECTIONS_MAX,
		.token_on_reads = !address_is_local(options->listen),
		.threads = options->threads,
		.request_s = REQUEST_S,
		.loop = controller->loop,
		.admit = api_admit,
		.userdata = &controller->api,
	};
	int r;

	controller->api = (struct api){
		.model = controller->model,
		.scaler = controller->scaler,
		.audit = controller->audit,
		.subscriber = controller->subscriber,
		.feed = controller->feed,
		.feed_opentsdb = controller->feed_opentsdb,
		.container_scalers = controller->container_scalers,
		.series = controller->series,
		.rebalancer = controller->rebalancer,
		.sanity = controller->sanity,
		.store = controller->store,
		.leader = controller->leader,
		.started = wall_seconds(),
	};
	r = api_routes(&controller->routes, &server.n_routes);
	if (r < 0)
		return log_error_errno(r, "Cannot set up the API");
	server.routes = controller->routes;
	r = http_server_new(&server, &controller->server);
	if (r >= 0)
		__atomic_store_n(&controller->api.server, controller->server, __ATOMIC_RELEASE);
	return r;
}

int controller_new(struct controller_options *options, struct controller **ret_controller)
{
	struct controller *controller = calloc(1, sizeof(*controller));
	struct identity_files files = controller_identity_files(options);
	_cleanup_free_ char *state = NULL;
	int r;

	if (!controller)
		return log_error_errno(ENOMEM, "Cannot start");
	controller->options = options->argv ? options : NULL;
	r = identity_new(&files, &controller->identity);
	if (r >= 0)
		r = start_loop(controller);
	/* A CouchDB that is not there is waited for. */
	notify_status("Reading the state");
	if (r >= 0)
		r = start_state(controller, options);
	if (r >= 0)
		r = start_scaling(controller);
	if (r >= 0)
		r = start_agentless(controller, options);
	if (r >= 0)
		r = start_series(controller, options);
	if (r >= 0)
		r = start_rebalancer(controller);
	if (r >= 0)
		r = start_server(controller, options);
	if (r >= 0)
		r = start_leading(controller, options);
	if (r < 0) {
		controller_free(controller);
		return r;
	}
	state = store_uri_public(options->state);
	if (!address_is_local(options->listen) && !identity_has_tls(controller->identity))
		log_warning("Without --tls-cert and --tls-key whoever listens in on the network "
			    "can read the token and set limits with it");
	log_info("ebb-controller %s listens on %s, state %s, %zu structures", ebb_version(),
		 controller_address(controller), state ? state : "?",
		 controller->model->n_structures);
	*ret_controller = controller;
	return 0;
}

const char *controller_address(const struct controller *controller)
{
	return http_server_address(controller->server);
}

int controller_run(struct controller *controller)
{
	int r;

	if (watchdog_init(&controller->watchdog) < 0)
		log_warning(
			"WATCHDOG_USEC is no number: the service manager gets no signs of life");
	notify_send("READY=1");
	r = loop_run(controller->loop);

	return r < 0 ? log_error_errno(r, "The event loop failed") : 0;
}

void controller_stop(struct controller *controller)
{
	loop_stop(controller->loop);
}

void controller_free(struct controller *controller)
{
	if (!controller)
		return;
	store_unfollow(controller->store);
	/* No requests any more, then no orders, then nobody is left to change the model. */
	http_server_free(controller->server);
	feed_opentsdb_free(controller->feed_opentsdb);
	container_scalers_free(controller->container_scalers);
	timed_free(controller->timed);
	rebalancer_free(controller->rebalancer);
	series_free(controller->series);
	sanity_free(controller->sanity);
	tsdb_free(controller->tsdb);
	executor_free(controller->executor);
	subscriber_free(controller->subscriber);
	/* The next leader begins with what this one wrote. */
	if (controller->leader)
		store_flush(controller->store);
	leader_free(controller->leader);
	feed_free(controller->feed);
	scaler_free(controller->scaler);
	audit_free(controller->audit);
	store_close(controller->store);
	model_free(controller->model);
	loop_free(controller->loop);
	free(controller->routes);
	identity_free(controller->identity);
	free(controller);
}
