/* SPDX-License-Identifier: Apache-2.0 */
#include "manager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api.h"
#include "apply.h"
#include "bpf_programs.h"
#include "discovery.h"
#include "feed.h"
#include "grower.h"
#include "hands.h"
#include "host.h"
#include "instance.h"
#include "lifecycle.h"
#include "metrics.h"
#include "names.h"
#include "net_link.h"
#include "restore.h"
#include "sampler.h"
#include "sandbox.h"
#include "series.h"
#include "pressure_lane.h"
#include "shrink.h"
#include "subtree.h"
#include "tasks.h"
#include "term.h"
#include "ebb/cleanup.h"
#include "ebb/identity.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/notify.h"
#include "ebb/units.h"
#include "ebb/util.h"

/*
 * With events only what they missed is left to find, and a look through 1,000 containers on v1
 * costs as much as 20 sweeps; without them this is all there is.
 */
#define RESCAN_S       30
#define RESCAN_BLIND_S 1
/* Well within the 90 s after which systemd kills. */
#define RESTORE_NS (30 * EBB_NS_PER_SEC)
/* One pread. */
#define CHECK_ONLINE_NS EBB_NS_PER_SEC
/* Directories on v1, the kept-open files of the `files` sampler, and those of the series. */
#define FDS_PER_CONTAINER 15
/* Not for containers: the API's connections, the feed, state files, one container more. */
#define SPARE_DESCRIPTORS (API_CONNECTIONS_MAX + 64)
/* At start, for what the engines say of the containers that are there already. */
#define SETTLE_NAMES_MS 1000

struct manager {
	struct agent_options *options;
	struct identity *identity;
	char *api_url;
	char *io_path; /* where counts of block I/O wait for the next run */
	struct instance instance;
	struct term term;
	struct loop *loop;
	struct hierarchies hierarchies;
	struct host host;
	struct bpf_programs *bpf; /* NULL: none here */
	struct sampler *sampler;
	struct discovery *discovery;
	struct name_record *record;
	struct names *names;
	struct lifecycle *lifecycle; /* NULL: no events */
	struct shrinker *shrinker;
	struct pressure_lane *pressure;
	unsigned controllers;  /* 1 << enum: to be handed down, as the operator asked */
	unsigned told_missing; /* 1 << set of controllers: said that a container lacks them */
	struct applier *applier;
	struct applier_options applying;
	struct restore *restore; /* NULL: limits stay as they are at the end */
	struct grower *grower;   /* NULL: no reflex */
	struct net_links *net;   /* NULL: no network limits */
	struct metrics_source metrics;
	struct api *api;
	struct feed *feed;   /* NULL: no controller */
	struct hands *hands; /* NULL: no controller, or a kernel that does not tell */
	struct tsdb *tsdb;   /* NULL: no OpenTSDB */
	struct tasks *tasks; /* NULL: not loaded, or the series' by now */
	struct series *series;
	struct loop_source *sweep_timer, *rescan_timer, *online_timer, *restore_timer;
	int online_fd; /* host_watch_online() */
	struct watchdog watchdog;
	bool sweep_failing, full, discovered, stopping, restoring;
};

/* --- Containers come and go ------------------------------------------------------------------- */

static void not_sampled(struct manager *manager, struct container *container, int r)
{
	if (r == -ENOENT)
		return;
	if (r != -ENOSPC) {
		/* Once: every rescan tries again. */
		if (!container->told_unsampled)
			log_warning_errno(r, "%s is not sampled; trying again", container->name);
		container->told_unsampled = true;
	} else if (!manager->full) {
		/* Once: on a full host every further container would say it. */
		manager->full = true;
		log_warning("%s is not sampled: all %u slots are taken; raise --max-containers",
			    container->name, manager->options->max_containers);
	}
}

static int sample_container(struct manager *manager, struct container *container)
{
	int r = sampler_add(manager->sampler, container);

	if (r < 0) {
		not_sampled(manager, container, r);
		return r;
	}
	if (container->told_unsampled)
		log_info("%s is sampled now", container->name);
	container->told_unsampled = false;
	return 0;
}

/* Those that found no slot, or no descriptor or memory, when they came. */
static void sample_the_rest(struct manager *manager)
{
	struct container *container;

	container_table_foreach(discovery_table(manager->discovery), container) {
		if (container->slot < 0 && sample_container(manager, container) == -ENOSPC)
			return;
	}
}

static void resample_container(struct manager *manager, struct container *container)
{
	int r = sampler_update(manager->sampler, container);

	if (r >= 0)
		return;
	/* Out, so that the next rescan takes it in again as a whole. */
	sampler_remove(manager->sampler, container);
	not_sampled(manager, container, r);
}

/* Before it is sampled, so that what comes with a controller is there. */
static void see_controllers(struct manager *manager, const struct container *container)
{
	unsigned missing = subtree_missing(&manager->hierarchies, container, SUBTREE_ALL);
	char names[64];

	if (missing & manager->controllers)
		missing &= ~manager->controllers |
			   subtree_enable(&manager->hierarchies, container, manager->controllers);
	if (!missing || manager->told_missing & 1U << missing)
		return;
	/* Once for each set of them: thousands of containers lack the same. */
	manager->told_missing |= 1U << missing;
	subtree_names(missing, names, sizeof(names));
	log_info("%s has no limits of %s: the cgroups above it do not hand down %s; the agent does "
		 "it with --enable-controllers",
		 container->path, names, missing & (missing - 1) ? "these controllers" : "it");
}

static void on_added(void *userdata, struct container *container)
{
	struct manager *manager = userdata;

	if (!container->unnamed)
		log_info("container %s (%s, %s)", container->name, container->engine,
			 container->path);
	see_controllers(manager, container);
	if (shrink_ladder_recover(&manager->hierarchies, container))
		log_warning("%s: memory.high was still where an agent that was killed held it: put "
			    "back",
			    container->path);
	sample_container(manager, container);
	if (manager->feed)
		feed_container_added(manager->feed, container);
	/* Last: no name is waited for where it cannot even be asked for. */
	if (container->unnamed && names_add(manager->names, container) < 0)
		log_error_errno(ENOMEM, "the name of the container at %s", container->path);
}

/* What its engine says of a container, if anything. */
static void on_named(void *userdata, uint64_t id, struct engine_answer *answer)
{
	struct manager *manager = userdata;
	struct container *container =
		container_table_by_id(discovery_table(manager->discovery), id);
	_cleanup_free_ char *before = container ? strdup(container->name) : NULL;
	char owner[64];
	bool was_unnamed, other_labels;
	int r;

	if (!container)
		return;
	was_unnamed = container->unnamed;
	other_labels = answer && !labels_equal(&answer->labels, &container->labels);
	if (!answer) {
		r = discovery_name(manager->discovery, container, NULL, NULL, NULL, false);
	} else {
		const char *engine = answer->engine ? answer->engine : container->engine;

		/* A user must not get what the controller holds for a container of root's. */
		snprintf(owner, sizeof(owner), answer->of_user ? "%s.%u" : "%s", engine,
			 (unsigned)answer->uid);
		r = discovery_name(manager->discovery, container, &answer->labels, engine, owner,
				   answer->of_user);
	}
	if (r == -ECANCELED)
		return;
	if (r < 0)
		log_error_errno(r, "the name of the container at %s", container->path);
	else if (was_unnamed)
		log_info("container %s (%s, %s)", container->name, container->engine,
			 container->path);
	else if (r == 1)
		log_info("container %s is called %s now", before ? before : "?", container->name);
	if (manager->feed && (r == 1 || other_labels))
		feed_container_named(manager->feed, container, r == 1);
}

static void on_name_taken(void *userdata, struct container *container)
{
	struct manager *manager = userdata;
	_cleanup_free_ char *before = strdup(container->name);
	int r = discovery_name_taken(manager->discovery, container);

	if (r < 0)
		log_error_errno(r, "no other name for %s, which a container of another host has",
				container->name);
	if (r <= 0)
		return;
	log_info("container %s is called %s now: one of another host has that name",
		 before ? before : "?", container->name);
	feed_container_named(manager->feed, container, true);
}

static void on_removed(void *userdata, struct container *container)
{
	struct manager *manager = userdata;

	if (!manager->stopping && !container->unnamed)
		log_info("container %s has gone", container->name);
	if (manager->names)
		names_remove(manager->names, container->id);
	if (manager->feed)
		feed_container_removed(manager->feed, container);
	if (manager->grower)
		grower_container_removed(manager->grower, container);
	if (manager->series)
		series_container_removed(manager->series, container);
	if (manager->net)
		net_links_forget(manager->net, container->id);
	if (manager->restore)
		restore_forget(manager->restore, container->id);
	sampler_remove(manager->sampler, container);
	manager->full = false;
}

static void on_joined(void *userdata, struct container *container)
{
	struct manager *manager = userdata;

	if (container->slot >= 0)
		resample_container(manager, container);
	else
		sample_container(manager, container);
	if (manager->feed)
		feed_container_joined(manager->feed, container);
	if (manager->grower)
		grower_container_joined(manager->grower, container);
	if (manager->series)
		series_container_joined(manager->series, container);
}

static void tell_oom_kill(struct manager *manager, const struct lifecycle_event *event)
{
	const struct container *container =
		container_table_by_id(discovery_table(manager->discovery), event->cgroup_id);

	if (container)
		log_warning("%s: the kernel killed process %d for want of memory", container->name,
			    event->pid);
}

static void on_lifecycle(void *userdata, const struct lifecycle_event *event)
{
	struct manager *manager = userdata;

	if (event->kind == LIFECYCLE_LOST)
		log_warning("cgroup events were lost; looking through all cgroups");
	if (event->kind == LIFECYCLE_OOM_KILL)
		tell_oom_kill(manager, event);
	discovery_event(manager->discovery, event);
}

static void tell_status(const struct manager *manager)
{
	notify_status("%zu containers, sampler %s%s",
		      container_table_count(discovery_table(manager->discovery)),
		      sampler_name(manager->sampler),
		      manager->sweep_failing ? ", which fails"
		      : manager->feed        ? ""
					     : ", no controller");
}

static void on_rescan(void *userdata)
{
	struct manager *manager = userdata;

	discovery_scan(manager->discovery);
	sample_the_rest(manager);
	tell_status(manager);
}

/* --- Sampling and orders ---------------------------------------------------------------------- */

static void on_sweep(void *userdata)
{
	struct manager *manager = userdata;
	bool grew;
	int r = 0;

	if (container_table_count(discovery_table(manager->discovery)))
		r = sampler_sweep(manager->sampler);
	if (r < 0 && !manager->sweep_failing)
		log_error_errno(r, "sampling fails");
	else if (r >= 0 && manager->sweep_failing)
		log_info("sampling works again");
	manager->sweep_failing = r < 0;
	/* Before the feed: what it raises goes with the samples that tell why. */
	grew = manager->grower && grower_swept(manager->grower);
	if (manager->feed)
		feed_swept(manager->feed);
	if (manager->feed && grew)
		feed_grown(manager->feed);
	/* Not from a timer of its own: an agent that does not sample is as good as dead. */
	if (r >= 0)
		watchdog_alive(&manager->watchdog, now_ns());
}

static void on_check_online(void *userdata)
{
	struct manager *manager = userdata;
	int r = host_check_online(manager->online_fd, &manager->host);
	_cleanup_free_ char *online = r > 0 ? cpu_list_format_ranges(&manager->host.online) : NULL;

	if (r <= 0)
		return;
	log_warning("the online CPUs are %s now: registering anew", online ? online : "?");
	if (manager->feed)
		feed_host_changed(manager->feed);
}

static void on_limits_writing(void *userdata, const struct container *container,
			      enum limit_kind kind, const struct limits *before)
{
	struct manager *manager = userdata;

	if (manager->restore)
		restore_writing(manager->restore, container->id, kind, before);
}

static void on_limits_changed(void *userdata, struct container *container)
{
	struct manager *manager = userdata;
	struct limits present;

	if (manager->restore &&
	    restore_read(manager->restore, &manager->applying, container, &present))
		restore_wrote(manager->restore, container->id, &present);
	if (manager->feed)
		feed_limits_changed(manager->feed, container);
}

static void on_limits_changing(void *userdata, struct container *container, bool under_way)
{
	struct manager *manager = userdata;

	if (manager->feed)
		feed_limits_changing(manager->feed, container, under_way);
}

static void on_hand(void *userdata, enum cgroup_controller controller, uint64_t id,
		    const struct hand *hand)
{
	struct manager *manager = userdata;
	struct container *container = discovery_find(manager->discovery, controller, id);

	if (container && manager->feed)
		feed_limits_touched(manager->feed, container, hand);
}

/* Each part by itself: a broken one keeps what it had, and has said why. */
static void reload(struct manager *manager)
{
	int r = agent_options_reload(manager->options);
	struct identity_files files = agent_identity_files(manager->options);
	int files_r = identity_reload(manager->identity, &files);

	log_set_level((enum log_level)manager->options->log_level);
	if (r < 0 || files_r < 0)
		log_warning("SIGHUP: what cannot be read stays as it was");
	else
		log_info("SIGHUP: options and files were read again");
}

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

/* The loop goes on until it is done: memory comes down step by step. */
static void put_limits_back(struct manager *manager, int signo)
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

static void on_grown(void *userdata)
{
	struct manager *manager = userdata;

	if (manager->feed)
		feed_grown(manager->feed);
}

static void on_signal(void *userdata, int signo)
{
	struct manager *manager = userdata;

	if (signo == SIGHUP) {
		notify_reloading();
		reload(manager);
		notify_reloaded();
		return;
	}

	notify_send("STOPPING=1");
	if (manager->restore && !manager->restoring) {
		put_limits_back(manager, signo);
		return;
	}
	log_info("%s: stopping; limits stay as they are", strsignal(signo));
	loop_stop(manager->loop);
}

/* --- Start ------------------------------------------------------------------------------------ */

/* Every container keeps descriptors open; the usual soft limit of 1,024 is 80 containers. */
static void raise_descriptor_limit(unsigned max_containers)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)max_containers * FDS_PER_CONTAINER + API_CONNECTIONS_MAX + 256;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = MIN(wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < wanted)
		log_info("%llu descriptors are enough for about %llu containers; raise the limit "
			 "of open files (LimitNOFILE=) for more",
			 (unsigned long long)limit.rlim_cur,
			 (unsigned long long)limit.rlim_cur / FDS_PER_CONTAINER);
}

/* BPF where it can be had; without it only a forced BPF sampler is an error. */
static int start_bpf(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	enum sampler_kind kind = (enum sampler_kind)options->sampler;
	int r = bpf_programs_load(
		&(struct bpf_programs_options){
			.pin_dir = options->pin_dir,
			.max_containers = options->max_containers,
			.kind = kind,
			.hierarchies = &manager->hierarchies,
		},
		&manager->bpf);

	if (r >= 0)
		return 0;
	if (kind == SAMPLER_HELD || kind == SAMPLER_WALK)
		return log_error_errno(r, "--sampler=%s needs BPF, which cannot be had here",
				       kind == SAMPLER_HELD ? "held" : "walk");
	log_warning_errno(r, "no BPF: cgroup files are read instead, and new containers are looked "
			     "for once a second");
	return 0;
}

static int start_discovery(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	int r = name_record_open(options->name_record, &manager->record);

	if (r >= 0)
		r = names_new(
			&(struct names_options){
				.loop = manager->loop,
				.roots = {.given = &options->engine_state},
				.named = on_named,
				.userdata = manager,
			},
			&manager->names);
	if (r < 0)
		return log_error_errno(r, "cannot start the thread that asks engines for names");
	r = discovery_new(
		&(struct discovery_options){
			.hierarchies = &manager->hierarchies,
			.loop = manager->loop,
			.globs = &options->containers,
			.excludes = &options->exclude,
			.names_follow = true,
			.record = manager->record,
			.host_name = options->name,
			.max_containers = options->max_containers,
			.spare_descriptors = SPARE_DESCRIPTORS,
			.added = on_added,
			.removed = on_removed,
			.joined = on_joined,
			.userdata = manager,
		},
		&manager->discovery);

	if (r < 0)
		return log_error_errno(r, "cannot start the discovery of containers");

	/* Events first, so that nothing falls between the scan and them. */
	if (manager->bpf) {
		r = lifecycle_new(manager->bpf, manager->loop, on_lifecycle, manager,
				  &manager->lifecycle);
		if (r < 0)
			log_warning_errno(r, "no cgroup events: new containers are looked for once "
					     "a second");
	}
	r = discovery_scan(manager->discovery);
	if (r < 0)
		return log_error_errno(r, "cannot look through the cgroups");
	names_settle(manager->names, SETTLE_NAMES_MS);

	uint64_t rescan_ns =
		(manager->lifecycle ? RESCAN_S : RESCAN_BLIND_S) * (uint64_t)EBB_NS_PER_SEC;
	return loop_add_timer(manager->loop, rescan_ns, rescan_ns, on_rescan, manager,
			      &manager->rescan_timer);
}

static int start_api(struct manager *manager)
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
				.n_cpus = (unsigned)manager->host.online.n,
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

static int start_feed(struct manager *manager)
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
			.name_taken = on_name_taken,
			.userdata = manager,
		},
		&manager->feed);
	if (r < 0)
		return log_error_errno(r, "cannot start the feed");
	manager->metrics.feed = manager->feed;
	return 0;
}

/* With all privileges: to one who has fewer the kernel does not tell who wrote. */
static void watch_hands(struct manager *manager)
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

/* After the last program is loaded, before the first thread. */
static int give_up_privileges(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	struct address address;
	int r = 0;

	if (options->opentsdb)
		r = series_load_tasks(manager->bpf, &manager->hierarchies,
				      agent_opentsdb_sets(options), &manager->tasks);
	if (r < 0 || options->keep_privileges)
		return r;
	return sandbox_enter(&(struct sandbox_options){
		.net = manager->net,
		.bpf = manager->bpf && sandbox_bpf_needs_capability(),
		.low_ports = address_parse(options->listen, &address) == 0 && address.port &&
			     address.port < 1024,
	});
}

static int start_series(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	int r;

	if (!options->opentsdb)
		return 0;
	r = tsdb_new(
		&(struct tsdb_options){
			.url = options->opentsdb,
			.spool = options->spool,
			.spool_max = (uint64_t)options->spool_max << 20,
			.body_max = options->opentsdb_body_max,
			.identity = manager->identity,
		},
		&manager->tsdb);
	if (r < 0)
		return r;
	r = series_new(
		&(struct series_options){
			.loop = manager->loop,
			.tsdb = manager->tsdb,
			.sets = agent_opentsdb_sets(options),
			.period_s = options->opentsdb_period_s,
			.host_name = options->name,
			.hierarchies = &manager->hierarchies,
			.table = discovery_table(manager->discovery),
			.sampler = manager->sampler,
			.tasks = TAKE_PTR(manager->tasks),
		},
		&manager->series);
	if (r < 0)
		return r;
	char *shown = url_public(options->opentsdb);
	log_info("series go to %s every %u s", shown ? shown : "OpenTSDB",
		 options->opentsdb_period_s);
	free(shown);
	manager->metrics.series = manager->series;
	manager->metrics.tsdb = manager->tsdb;
	return 0;
}

static int start(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	uint64_t period_ns = options->period_ms * EBB_NS_PER_MS;
	struct identity_files files = agent_identity_files(options);
	sigset_t signals;
	int r;

	r = identity_new(&files, &manager->identity);
	if (r < 0)
		return r;
	r = instance_acquire("/run/ebb", options->pin_dir, &manager->instance);
	if (r >= 0)
		r = term_open(manager->instance.path, &manager->term);
	if (r < 0)
		return r;
	r = loop_new(&manager->loop);
	if (r < 0)
		return log_error_errno(r, "cannot start the event loop");
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	r = loop_add_signals(manager->loop, &signals, on_signal, manager);
	if (r < 0)
		return log_error_errno(r, "cannot receive signals");
	raise_descriptor_limit(options->max_containers);

	r = hierarchies_open(NULL, &manager->hierarchies);
	if (r < 0)
		return r;
	for (size_t i = 0; i < options->enable_controllers.n; i++) {
		unsigned one = 0;

		subtree_parse(options->enable_controllers.items[i], &one);
		manager->controllers |= one;
	}
	manager->hierarchies.cpu_by_weight = options->cpu_mode == 1;
	r = host_read(NULL, options->disk, &manager->host);
	if (r < 0)
		return log_error_errno(r, "cannot tell what this host has");
	r = start_bpf(manager);
	if (r < 0)
		return r;
	r = sampler_new((enum sampler_kind)options->sampler, manager->bpf, &manager->hierarchies,
			options->max_containers, &manager->sampler);
	if (r < 0)
		return r;
	log_info("cgroup %s, sampler %s: %s", hierarchies_kind(&manager->hierarchies),
		 sampler_name(manager->sampler), sampler_reason(manager->sampler));
	r = net_links_new(&manager->hierarchies, &manager->net);
	if (r < 0)
		log_warning_errno(r, "no network limits: the agent's own network namespace is not "
				     "known; is /proc mounted?");
	watch_hands(manager);
	r = give_up_privileges(manager);
	if (r < 0)
		return r;
	manager->io_path = instance_file(manager->instance.path, ".io");
	if (!manager->io_path)
		return -ENOMEM;
	sampler_load_io(manager->sampler, manager->io_path);
	r = start_discovery(manager);
	if (r < 0)
		return r;
	manager->discovered = true;
	r = loop_add_timer(manager->loop, period_ns, period_ns, on_sweep, manager,
			   &manager->sweep_timer);
	if (r < 0)
		return log_error_errno(r, "cannot set the sample timer");
	manager->online_fd = host_watch_online(NULL);
	if (manager->online_fd < 0)
		log_warning_errno(manager->online_fd, "CPUs that go offline will not be noticed");
	else
		r = loop_add_timer(manager->loop, CHECK_ONLINE_NS, CHECK_ONLINE_NS, on_check_online,
				   manager, &manager->online_timer);
	if (r < 0)
		return log_error_errno(r, "cannot set the timer that looks at the CPUs");
	r = start_api(manager);
	if (r < 0)
		return r;
	r = start_feed(manager);
	return r < 0 ? r : start_series(manager);
}

int manager_new(struct agent_options *options, struct manager **ret_manager)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	int r;

	if (!manager)
		return log_error_errno(ENOMEM, "cannot start");
	manager->options = options;
	manager->instance.fd = -1;
	manager->online_fd = -1;
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		manager->hierarchies.by_controller[c].root_fd = -1;
	r = start(manager);
	if (r < 0) {
		/* All else has been explained where it happened. */
		if (r == -ENOMEM)
			log_error("out of memory");
		manager_free(manager);
		return r;
	}
	*ret_manager = manager;
	return 0;
}

int manager_run(struct manager *manager)
{
	if (watchdog_init(&manager->watchdog) < 0)
		log_warning(
			"WATCHDOG_USEC is no number: the service manager gets no signs of life");
	tell_status(manager);
	notify_send("READY=1");
	int r = loop_run(manager->loop);
	if (r < 0)
		log_error_errno(r, "the event loop failed");
	return r;
}

void manager_free(struct manager *manager)
{
	if (!manager)
		return;
	manager->stopping = true;
	loop_remove(manager->sweep_timer);
	loop_remove(manager->rescan_timer);
	loop_remove(manager->online_timer);
	loop_remove(manager->restore_timer);
	if (manager->online_fd >= 0)
		close(manager->online_fd);
	hands_free(manager->hands);
	feed_free(manager->feed);
	manager->feed = NULL;
	grower_free(manager->grower);
	manager->grower = NULL;
	series_free(manager->series);
	manager->series = NULL;
	tsdb_free(manager->tsdb);
	tasks_free(manager->tasks);
	if (manager->applier)
		applier_close(manager->applier);
	pressure_lane_free(manager->pressure);
	shrinker_free(manager->shrinker);
	applier_free(manager->applier);
	restore_free(manager->restore);
	api_free(manager->api);
	lifecycle_free(manager->lifecycle);
	names_free(manager->names);
	manager->names = NULL;
	if (manager->discovered)
		sampler_save_io(manager->sampler, manager->io_path);
	free(manager->io_path);
	discovery_free(manager->discovery);
	name_record_close(manager->record);
	sampler_free(manager->sampler);
	bpf_programs_free(manager->bpf);
	net_links_free(manager->net);
	host_clear(&manager->host);
	hierarchies_close(&manager->hierarchies);
	loop_free(manager->loop);
	term_close(&manager->term);
	instance_release(&manager->instance);
	free(manager->api_url);
	identity_free(manager->identity);
	free(manager);
}
