/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller's one model of the world, under one lock: hosts, structures, rules, services.
 * Every function but model_new() and model_free() wants the lock held. A lock held across I/O is a
 * bug; so is a long computation under it.
 */
#ifndef EBB_MODEL_H
#define EBB_MODEL_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core_order.h"
#include "cpumap.h"
#include "guardian.h"
#include "member_lists.h"
#include "name_index.h"
#include "name_order.h"
#include "rebalance_config.h"
#include "rule.h"
#include "sanity_config.h"
#include "rule_check.h"
#include "series_config.h"
#include "store.h"
#include "structure.h"
#include "timebase.h"
#include "ebb/log.h"

/* A host structure's live side. */
struct host {
	struct structure *structure; /* its document: resources.cpu.max, .free, core_usage_mapping,
					mem.max, .free */
	char *address;               /* the agent's API */
	struct cpumap *cpumap;
	int64_t max[EBB_RESOURCE_MAX]; /* 0: not accounted (no limit known for it) */
	int64_t free[EBB_RESOURCE_MAX];
	json_t *topology;               /* {socket: {core: [cpu, ...]}}; NULL: not told */
	json_t *nodes;                  /* NUMA: {node: [cpu, ...]}; NULL: not told */
	enum core_distribution ordered; /* what the core map is ordered by; CORES_MAX: not known */
	bool told_distribution;         /* that its document's `core_distribution` is not known */
	double period;                  /* s between samples, as its agent said; 0: not known */
	bool connected;                 /* its agent (or Container Scaler) has been heard lately */
	double last_heard;              /* wall clock */
	void *session;                  /* feed.c */

	/* model_feeds.c */
	bool agentless;     /* `address` is that of a Container Scaler: limits are polled */
	bool adopted;       /* agentless: its cores and limits have been read once */
	unsigned long left; /* how often it became agentless */
	bool from_series;   /* usage comes out of OpenTSDB: samples are of the wall clock */
	bool told_setting;  /* that its document's `feed` is not known */
	bool told_rescaler; /* that its document's `host_rescaler_ip` is none */
	double fed_since;   /* wall clock: when `from_series` last changed */
	double agent_heard; /* wall clock; 0: never */

	/* headroom.h */
	bool reflex;       /* its agent can use a lease */
	unsigned beyond;   /* 1 << resource: containers may have more in force than is set aside */
	uint64_t accounts; /* +1 whenever shares are taken: leases and orders tell what they knew */
	uint64_t grown;    /* all growths of the agent up to this number are settled */
	uint64_t registered_ns; /* by its own clock: what it registered was in force then */

	struct structure *containers; /* linked by host_next */
	int64_t room; /* the scaler's, while it plans: what is left to be given out */
	unsigned long guard_version; /* model->generation when its guard table last changed */
};

/* Of a limit that somebody else changed (drift.h). */
enum drift {
	DRIFT_REASSERT, /* ordered again, ever later; to manual when that does not end */
	DRIFT_ACCEPT,   /* it is the limit on record from now on */
	DRIFT_MANUAL,   /* the container is left alone until it is guarded again */
	DRIFT_MAX
};

struct scaler_config {
	bool active;
	double polling_frequency; /* how often requests that wait are tried again, s */
	double request_timeout;   /* s */
	bool check_core_map;
	enum drift drift;
	unsigned drift_tries;                     /* then to manual; 0: never */
	bool pin_cores;                           /* PIN_CORES: write cpusets */
	enum core_distribution core_distribution; /* of hosts whose document names none */
	bool reflex;         /* REFLEX: agents may raise limits by themselves, inside of a lease */
	double reflex_lease; /* REFLEX_LEASE: how long one holds, s */
};
int scaler_config_from_json(const json_t *config, struct scaler_config *ret_config,
			    char **ret_error);

struct request;
/* Who watches a simulation. With the lock held. */
struct model_observer {
	/* Its documents have changed; once for all that one hold of the lock did. */
	void (*changed)(void *userdata, struct structure *structure);
	/* Handed to the scaler, and taken. */
	void (*requested)(void *userdata, const struct request *request);
	void *userdata;
};

struct model {
	pthread_mutex_t lock;
	struct store *store; /* borrowed; NULL in tests: nothing is kept */
	const struct timebase
		*time; /* borrowed; the machine's, unless one is set after model_new() */
	const struct model_observer *observer; /* borrowed; NULL in a controller */
	/* False on a standby: it follows what the leader writes, writes nothing, takes no feed and
	 * gives no order. */
	bool leading;

	/* Owned by model.c; read them, change them through the functions below. */
	struct structure **structures;
	size_t n_structures;
	struct structure **users; /* of the database `users` */
	size_t n_users;
	struct host **hosts;
	size_t n_hosts;
	json_t *rules;    /* name -> document */
	json_t *services; /* name -> document */
	json_t *claimed;  /* id -> document: requests that are done when they have been deleted */
	json_t *requests; /* id -> document: what others ask for, until request_document.h takes it
			   */
	json_t *unfinished;   /* name -> {"host", "limits"}: what was in force before subscriptions
				 that another controller did not end; atomic. subscriber.h takes
				 it. NULL: none */
	json_t *early_limits; /* name -> limits that came before their structure */
	struct ruleset *ruleset;
	struct guardian_config guardian;
	struct scaler_config scaler;
	struct series_config series;
	struct rebalance_config rebalancer;
	struct sanity_config sanity;
	struct name_index *index; /* name -> structure */
	struct name_index *user_index;
	struct name_order *order, *user_order; /* the same names, sorted */
	size_t n_of[STRUCTURE_SUBTYPE_MAX];
	struct hierarchy *hierarchy; /* hierarchy.c */
	struct member_lists members;
	struct structure *dirty;
	struct structure *apply;  /* see `apply` in struct structure */
	unsigned long generation; /* +1 per change that a feed answer carries (guard tables) */
	unsigned long visits;     /* +1 per walk: see `visited` in struct structure */
	pthread_mutex_t reader;   /* model_walk_begin_reader(); taken before `lock` */
	size_t n_guarded;         /* of the structures */
	struct model_note *notes; /* see model_log() */
};

/*
 * Loads everything from `store`, and adds the default rules and services documents that are
 * missing. With a store that others write to it does not lead yet: model_set_leading().
 */
int model_new(struct store *store, struct model **ret_model);
void model_free(struct model *model);

void model_lock(struct model *model);
/* Brings the documents of what was touched up to date and hands them to the store: before an answer
 * has one of them. */
void model_settle(struct model *model);
/* The same, then unlocks, and writes what model_log() kept. */
void model_unlock(struct model *model);
/* A log line from under the lock: written when it is released, because that is I/O. */
void model_log(struct model *model, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Hosts, containers and applications. */
struct structure *model_structure(struct model *model, const char *name);
/*
 * Users have names of their own: a structure may be called the same. There is one limits document
 * per name, and it is the structure's then: the user's limits are not kept, and begin anew from the
 * defaults with the controller.
 */
struct structure *model_user(struct model *model, const char *name);
struct host *model_host(struct model *model, const char *name);

/* The documents to write when the lock is released. */
enum { MODEL_DIRTY_STRUCTURE = 1, MODEL_DIRTY_LIMITS = 2 };
void model_touch(struct model *model, struct structure *structure, unsigned what);
/* The guard tables (who is guarded, upper limits) of the structure's host changed. */
void model_guard_changed(struct model *model, struct structure *structure);

/* Those of all hosts: what makes them has another configuration. */
void model_guards_changed(struct model *model);

/* Takes `structure` over, or a user. -EEXIST. */
int model_add(struct model *model, struct structure *structure);
/* Returns its shares to the host, deletes its documents, frees it. */
void model_remove(struct model *model, struct structure *structure);

/*
 * A host and its containers as an agent registers them: the whole feed message that has `register`,
 * then each entry of `added` (docs/feed.md). Unknown ones become structures: guard false, max = the
 * host's (or the limit in force), min = 20 shares / 64 MiB / 1 MiB/s or max when that is less,
 * boundary 10% of current. Known ones keep their documents. -EINVAL: not such a message. -EEXIST:
 * the name is taken by something else, or by a container that lives on another host.
 */
int model_register_host(struct model *model, const json_t *message, struct host **ret_host);
int model_register_container(struct model *model, struct host *host, const json_t *added,
			     struct structure **ret_structure);
/*
 * A container that its agent reports: removed, and known again as if it had registered for the
 * first time, by the limits last reported. On failure it is removed all the same, until the agent
 * registers it again. `ret_structure` may be NULL.
 */
int model_start_anew(struct model *model, struct structure *structure,
		     struct structure **ret_structure);
/* The container has gone: shares go back; an automatic structure is forgotten, another one waits
 * for its return. */
void model_container_gone(struct model *model, struct structure *structure);

/*
 * model_rename.c. A container, of which nothing is in flight, is called `name` from now on: its
 * guard, limits, shares and the application that it belongs to go along; what was to be put in
 * force still is. -EEXIST: another structure is called so; -EBUSY: it is being subscribed; -EINVAL:
 * it is no container of a host, or none can be called so; -ENOMEM. On failure nothing changed.
 */
int model_rename(struct model *model, struct structure *structure, const char *name);
/* -EBUSY and -EINVAL of model_rename(), before anything is given up for it. */
int model_can_rename(const struct structure *structure, const char *name);

/*
 * After an order: `applied` (edge units) is what the agent read back. Becomes physical and
 * `current`; what the host had set aside beyond it goes back, unless another order for it is in
 * flight. When the model has meanwhile set another `current` (structure->apply), that stays and is
 * still to be ordered. Above a max, or below a guarded one's min (if the host has room for it),
 * that bound becomes `current` and is to be ordered.
 */
void model_limit_applied(struct model *model, struct structure *structure,
			 enum ebb_resource resource, int64_t applied);

/*
 * After all `added` of a registration were given to model_register_container(): the host's
 * containers that were not among them have gone.
 */
void model_host_registered(struct model *model, struct host *host);
/*
 * Limits as an agent reports them (`limits` of an added container, or an entry of the feed's
 * `limits`). A container that is not managed takes them as its `current`. Of a managed one those
 * that differ from `current`, with no order in flight, are adopted too when finite (what is
 * physically in force is the truth; the accounting follows as far as the host has room), and put
 * back when not; one that is not guarded any more is left alone and, if it does not fit, leaves the
 * accounting. Returns 1 << resource for each of those: somebody else wrote them.
 */
unsigned model_limits_reported(struct model *model, struct structure *structure,
			       const json_t *limits);
/* The same for one that is in force otherwise than ordered last, which was no time to look at. */
void model_adopt_limit(struct model *model, struct structure *structure,
		       enum ebb_resource resource);
/* heartbeat and heartbeat_human of the guardian and the scaler; of one service. `now`: wall clock.
 */
void model_heartbeat(struct model *model, double now);
void model_heartbeat_service(struct model *model, const char *name, double now);
/* Hosts not heard for 5 s (agentless ones: for three polls) are disconnected: no orders for them.
 * `now`: wall clock. */
void model_check_hosts(struct model *model, double now);

/*
 * model_feeds.c. Decides for every host whether its agent measures or OpenTSDB is asked, and
 * whether a Container Scaler stands in for the agent: once a second. `leading_since`: since when
 * agents could have registered here. What is agentless anew is not connected, and its containers
 * not live, until the Container Scaler has been heard.
 */
void model_choose_feeds(struct model *model, bool has_opentsdb, double leading_since, double now);
/* The Container Scaler at `address` has answered for a host that no agent has spoken for. */
void model_stand_in(struct model *model, struct host *host, char *address);
/* Does not lead any more: what was agentless is nobody's. */
void model_abandon_feeds(struct model *model);
/*
 * The Container Scaler of an agentless host has answered for the first time. Its CPUs are those of
 * its document (without any, of the topology), in the order of the topology, which may be NULL; its
 * memory that of its document. -EINVAL: neither tells of a CPU.
 */
int model_adopt_host(struct model *model, struct host *host, const json_t *topology);
/* Seconds that points take to arrive: `window_delay` of the host's document, else the guardian's
 * WINDOW_DELAY if any, else 10. */
double model_window_delay(const struct model *model, const struct host *host);
/* `feed` of its document. -EINVAL: it is no host. */
int model_set_feed(struct model *model, struct structure *structure, enum feed_setting setting);
const char *host_feed_name(const struct host *host); /* "local" or "opentsdb" */

/*
 * model_cores.c. How a host's cores are handed out: `core_distribution` of its document, else the
 * scaler's CORE_DISTRIBUTION. A change is for what comes: cores stay with who owns them.
 */
enum core_distribution model_core_distribution(const struct model *model, const struct host *host);
/* The cpuset that the container was last reported to have; NULL: it is not known. */
void model_cpus_reported(struct structure *structure, const char *cpus);
/* Are cpusets written there? */
bool model_pins_cores(const struct model *model, const struct host *host);
/* -EINVAL: it is no host. */
int model_set_core_distribution(struct model *model, struct structure *structure,
				enum core_distribution distribution);

/* `current` of `resource` is to be put in force as it stands: see `apply` in struct structure. */
void model_apply(struct model *model, struct structure *structure, enum ebb_resource resource);
/* Takes a structure with such resources off the list, NULL when there is none. The caller clears
 * structure->apply. */
struct structure *model_next_apply(struct model *model);

/*
 * Guarding sets shares aside on the host: the limit in force when it has one and it fits, else what
 * it uses now plus head-room (at most half of what is free), at least min, at most max and what is
 * free. -ENOSPC when not even min is free. Unguarding keeps the limit and the shares. `ret_error`
 * says what to do, caller frees.
 */
int model_guard(struct model *model, struct structure *structure, bool guard, char **ret_error);
/* The resources of `mask` (1 << resource): all of them or, when one is refused, none. */
int model_guard_resources(struct model *model, struct structure *structure, unsigned mask,
			  bool guard, char **ret_error);
/* Spec 3.3: `param` is "max", "min" or "weight", of energy "current" as well. -EINVAL with
 * `ret_error`: min > max, max above the host, negative, current outside of them; -ENOSPC. */
int model_set_parameter(struct model *model, struct structure *structure,
			enum ebb_resource resource, const char *param, double value,
			char **ret_error);
int model_set_boundary(struct model *model, struct structure *structure, enum ebb_resource resource,
		       int boundary, char **ret_error);
int model_set_boundary_type(struct model *model, struct structure *structure,
			    enum ebb_resource resource, const char *type, char **ret_error);

/*
 * Rules and services: replaces the document, or adds it, and recompiles what depends on it. On
 * failure nothing changed. A rule has to pass rule_check() and rule_check_reach(), unless it is
 * only switched off. -EINVAL; -ENOSPC: there are too many rules.
 */
int model_set_rule(struct model *model, json_t *doc, char **ret_error);
/* For good: one that Ebb comes with does not come back at the next start. -ENOENT. */
int model_delete_rule(struct model *model, const char *name);
/* What there can be of events of `resource`, as the guardian and the rules are now. */
void model_rule_reach(const struct model *model, enum ebb_resource resource,
		      struct rule_reach *ret_reach);
int model_set_service(struct model *model, json_t *doc, char **ret_error);

/*
 * Accounting. Takes up to `amount` (> 0) of `resource` from the host for the container, from the
 * core map for CPU: returns what was taken. Gives back (amount < 0) exactly.
 * structure->resources[r].allocated and host->free follow.
 */
int64_t model_allocate(struct model *model, struct structure *structure, enum ebb_resource resource,
		       int64_t amount);
/* What a container could take now: of its host's free share, and of its disk's. INT64_MAX: it is
 * not accounted. */
int64_t model_free_for(const struct structure *structure, enum ebb_resource resource);
/*
 * model_edit.c. A document that somebody else changed in the database, as store_changed_fn says it.
 * When leading, configuration is taken over as if it came through the API, what is ours is put back
 * when it differs, and an edit that cannot be is refused with a line in the log and our version
 * written again. On a standby the document is taken as it stands, ours included.
 */
void model_document_changed(struct model *model, enum store_db db, const char *id,
			    const json_t *base, json_t *doc);
/*
 * Begins to lead: adds the default documents that are missing, works the accounting of every host
 * out anew and waits for the agents to register. Stops leading: forgets sessions' liveness; nothing
 * is written any more.
 */
int model_set_leading(struct model *model, bool leading);

/* NULL: free = max - allocated holds on every host and the core maps agree; else what is wrong
 * (caller frees). */
char *model_check(struct model *model);

#define model_foreach_structure(model, s) \
	for (size_t _i = 0; _i < (model)->n_structures && ((s) = (model)->structures[_i]); _i++)
#define model_foreach_user(model, u) \
	for (size_t _u = 0; _u < (model)->n_users && ((u) = (model)->users[_u]); _u++)

#endif
