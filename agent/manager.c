/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the parts in their order, samples, heeds signals, and ends all in the other order. */
#include "manager.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "manager_private.h"
#include "sandbox.h"
#include "subtree.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* One pread. */
#define CHECK_ONLINE_NS EBB_NS_PER_SEC
/* Directories on v1, the kept-open files of the `files` sampler, and those of the series. */
#define FDS_PER_CONTAINER 15

/* --- In the loop ------------------------------------------------------------------------------ */

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

/* Each part by itself: a broken one keeps what it had, and has said why. */
static void reload(struct manager *manager)
{
	char *const *excludes = manager->options->exclude.items;
	int r = agent_options_reload(manager->options);
	struct identity_files files = agent_identity_files(manager->options);
	int files_r = identity_reload(manager->identity, &files);

	log_set_level((enum log_level)manager->options->log_level);
	/* A list that differs is another one. */
	if (manager->options->exclude.items != excludes && !manager->restoring)
		manager_exclude(manager);
	if (r < 0 || files_r < 0)
		log_warning("SIGHUP: what cannot be read stays as it was");
	else
		log_info("SIGHUP: options and files were read again");
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
		manager_put_limits_back(manager, signo);
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
	manager_watch_hands(manager);
	r = give_up_privileges(manager);
	if (r < 0)
		return r;
	manager->io_path = instance_file(manager->instance.path, ".io");
	if (!manager->io_path)
		return -ENOMEM;
	sampler_load_io(manager->sampler, manager->io_path);
	r = manager_start_discovery(manager);
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
	r = manager_start_api(manager);
	if (r < 0)
		return r;
	r = manager_start_feed(manager);
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
	manager_tell_status(manager);
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
	/* Containers that go with the discovery are told to those that are still there. */
	restore_free(TAKE_PTR(manager->restore));
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
