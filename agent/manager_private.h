/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the manager, for the files that make it: what it owns, and how its parts are started.
 * manager.c starts them in their order and calls the others, never the other way round.
 */
#ifndef EBB_MANAGER_PRIVATE_H
#define EBB_MANAGER_PRIVATE_H

#include <stdbool.h>

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
#include "manager.h"
#include "metrics.h"
#include "names.h"
#include "net_link.h"
#include "pressure_lane.h"
#include "restore.h"
#include "sampler.h"
#include "series.h"
#include "shrink.h"
#include "tasks.h"
#include "term.h"
#include "ebb/identity.h"
#include "ebb/loop.h"
#include "ebb/notify.h"

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

/* manager_containers.c */
/* Looks for containers, from now on; those that are there are known when it returns. */
int manager_start_discovery(struct manager *manager);
/* Of struct feed_options. */
void manager_name_taken(void *userdata, struct container *container);
/* After SIGHUP, with other patterns in --exclude. */
void manager_exclude(struct manager *manager);
/* To the service manager. */
void manager_tell_status(const struct manager *manager);

/* manager_limits.c */
/* With all privileges: to one who has fewer the kernel does not tell who wrote. */
void manager_watch_hands(struct manager *manager);
/* The API, and all that sets limits. */
int manager_start_api(struct manager *manager);
/* After the API, whose address it tells. */
int manager_start_feed(struct manager *manager);
/* The loop goes on until it is done, and stops then: memory comes down step by step. */
void manager_put_limits_back(struct manager *manager, int signo);

#endif
