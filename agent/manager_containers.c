/* SPDX-License-Identifier: Apache-2.0 */
/* Containers come, are named, change and go: which of the parts hear of it, in what order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager_private.h"
#include "runtime.h"
#include "subtree.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/*
 * With events only what they missed is left to find, and a look through 1,000 containers on v1
 * costs as much as 20 sweeps; without them this is all there is.
 */
#define RESCAN_S       30
#define RESCAN_BLIND_S 1
/* Not for containers: the API's connections, the feed, state files, one container more. */
#define SPARE_DESCRIPTORS (API_CONNECTIONS_MAX + 64)
/* At start, for what the engines say of the containers that are there already. */
#define SETTLE_NAMES_MS 1000

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

/* For all but discovery and the sampler. */
static void tell_removed(struct manager *manager, struct container *container)
{
	if (manager->names)
		names_remove(manager->names, container->id);
	if (manager->feed)
		feed_container_removed(manager->feed, container);
	if (manager->grower)
		grower_container_removed(manager->grower, container);
	if (manager->series)
		series_container_removed(manager->series, container);
}

/* NULL: it has gone meanwhile. */
static struct container *find_leaving(struct manager *manager, uint64_t id)
{
	struct container *container =
		manager->stopping ? NULL
				  : container_table_by_id(discovery_table(manager->discovery), id);

	return container && container->leaving ? container : NULL;
}

static void on_left(void *userdata, uint64_t id)
{
	struct manager *manager = userdata;
	struct container *container = find_leaving(manager, id);

	if (container)
		discovery_let_go(manager->discovery, container);
}

/* Nothing writes its limits any more. */
static void on_orders_ended(void *userdata, uint64_t id)
{
	struct manager *manager = userdata;
	struct container *container = find_leaving(manager, id);

	if (container && manager->restore)
		restore_container(manager->restore, &manager->applying, manager->applier, container,
				  on_left, manager);
	else if (container)
		discovery_let_go(manager->discovery, container);
}

/* As at the agent's end: limits stay, or are put back before it is let go. */
static void exclude(struct manager *manager, struct container *container)
{
	if (!container->unnamed)
		log_info("container %s is excluded now", container->name);
	/* At start nobody has ordered anything yet. */
	if (!manager->applier) {
		discovery_let_go(manager->discovery, container);
		return;
	}
	tell_removed(manager, container);
	discovery_hide(manager->discovery, container);
	container->leaving = true;
	applier_leave(manager->applier, container->id, -ECANCELED, on_orders_ended, manager);
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

	/* At the end limits are put back, whatever a container is called. */
	if (!container || container->leaving || manager->restoring)
		return;
	was_unnamed = container->unnamed;
	other_labels = answer && !labels_equal(&answer->labels, &container->labels);
	const char *engine = answer && answer->engine ? answer->engine : container->engine;
	uint32_t uid;
	bool of_user = runtime_of_user(container->path, &uid);

	/* A user must not get what the controller holds for a container of root's. */
	if (of_user)
		snprintf(owner, sizeof(owner), "%s.%u", engine, uid);
	else
		snprintf(owner, sizeof(owner), "%s", engine);
	r = discovery_name(manager->discovery, container, answer ? &answer->labels : NULL, engine,
			   answer || of_user ? owner : NULL, of_user);
	if (r == -ECANCELED) {
		exclude(manager, container);
		return;
	}
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

void manager_name_taken(void *userdata, struct container *container)
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
	tell_removed(manager, container);
	if (manager->net)
		net_links_forget(manager->net, container->id);
	if (manager->restore)
		restore_forget(manager->restore, container->id);
	sampler_remove(manager->sampler, container);
	manager->full = false;
}

void manager_exclude(struct manager *manager)
{
	struct container_table *table = discovery_table(manager->discovery);

	for (size_t i = container_table_count(table); i-- > 0;) {
		struct container *container = container_table_at(table, i);

		/* The last one takes the place of one that goes. */
		if (container && !container->leaving &&
		    discovery_excludes(manager->discovery, container))
			exclude(manager, container);
	}
	discovery_look_again(manager->discovery);
	sample_the_rest(manager);
	manager_tell_status(manager);
}

static void on_joined(void *userdata, struct container *container)
{
	struct manager *manager = userdata;

	if (container->slot >= 0)
		resample_container(manager, container);
	else
		sample_container(manager, container);
	if (container->leaving)
		return;
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

void manager_tell_status(const struct manager *manager)
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
	struct container *container;

	discovery_scan(manager->discovery);
	sample_the_rest(manager);
	container_table_foreach(discovery_table(manager->discovery), container) {
		sampler_refresh(manager->sampler, container);
	}
	manager_tell_status(manager);
}

int manager_start_discovery(struct manager *manager)
{
	const struct agent_options *options = manager->options;
	const struct hierarchies *hierarchies = &manager->hierarchies;
	int r = name_record_open(options->name_record, &manager->record);

	if (r >= 0)
		r = names_new(
			&(struct names_options){
				.loop = manager->loop,
				.roots = {.given = &options->engine_state,
					  .cgroups =
						  hierarchies->by_controller[hierarchies->primary]
							  .mount},
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
