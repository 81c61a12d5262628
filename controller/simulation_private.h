/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the simulation. */
#ifndef EBB_SIMULATION_PRIVATE_H
#define EBB_SIMULATION_PRIVATE_H

#include "audit.h"
#include "fail.h"
#include "model.h"
#include "name_index.h"
#include "scaler.h"
#include "simulation.h"

/* A structure of the scenario, and what was last told of it. */
struct simulated {
	struct structure *structure;
	int64_t upper[EBB_RESOURCE_MAX], lower[EBB_RESOURCE_MAX], current[EBB_RESOURCE_MAX];
	double sampled_at;                   /* NAN: not yet */
	double told_at, seconds;             /* to the guardian, of the newest sample */
	double changed_at[EBB_RESOURCE_MAX]; /* when an order was last applied; -INFINITY: never */
	bool listed;                         /* among those that may have changed */
	struct simulated *next_listed;
	/* Of the window that is being evaluated. */
	double sum[EBB_RESOURCE_MAX];
	unsigned count[EBB_RESOURCE_MAX];
	bool in_window;
};

struct simulated_usage {
	double at, due; /* when it was measured, and when it is evaluated */
	size_t index;
	struct simulated *of;
	unsigned valid;
	double usage[EBB_RESOURCE_MAX];
	double throttled, held_back;
};

struct simulated_request {
	double at;
	size_t index;
	double timestamp;
	const json_t *doc;
};

struct simulated_order {
	struct simulated_order *next;
	struct order order;
};

struct simulation {
	json_t *scenario;
	json_t *ignored; /* names of structures whose documents are of no use */
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct rebalancer *rebalancer;
	struct timebase time;
	struct model_observer observer;
	struct guard_observer guard_observer;
	double now;

	struct simulated *structures; /* sorted by name */
	size_t n_structures;
	struct name_index *index, *user_index; /* name -> struct simulated */
	struct simulated_usage *usages;        /* sorted by `due`, then as they were given */
	size_t n_usages;
	struct simulated_request *requests;
	size_t n_requests;
	bool by_window;
	double window, delay; /* of the guardian's service, s */
	double begin;         /* of the first usage or request */
	double longest;       /* of a sample's interval, so that EVENT_TIMEOUT holds as it stands */
	double until;
	struct guardian_config guardian; /* for one sample at a time */

	/* While it runs. */
	simulation_line_fn line;
	void *line_userdata;
	struct simulated *listed;
	struct simulated_order *orders, **last_order;
	double *expiries; /* a heap: when to look whether a request has expired */
	size_t n_expiries, expiries_room;
	json_t *applied;      /* lines that wait for that of their operation */
	double rebalance_due; /* INFINITY: the ReBalancer is not ACTIVE */
	int error;
};

/* scenario_site.c */
/* Users have names of their own: `type` says whom a name that both have means; NULL: anybody. */
struct simulated *simulation_find(const struct simulation *sim, const char *name, const char *type);

/* simulation_scenario.c */
/* Everything from the documents, nothing run yet. */
int simulation_load(struct simulation *sim, char **ret_error);

/* simulation_lines.c */
void simulation_tell(struct simulation *sim, const char *what, json_t *body);
/* Lines of the limits that changed since they were last told. */
void simulation_tell_limits(struct simulation *sim, struct simulated *one);
void simulation_tell_event(struct simulation *sim, const struct structure *structure,
			   const struct rule *rule);
void simulation_tell_request(struct simulation *sim, const struct request *request);
void simulation_tell_operation(struct simulation *sim, const struct decision *decision);
/* `resources`: what is in force now. Told right after its operation, or by
 * simulation_tell_left(). */
void simulation_note_applied(struct simulation *sim, const char *container,
			     const json_t *resources);
/* Of what no operation has told. */
void simulation_tell_left(struct simulation *sim);
void simulation_tell_final(struct simulation *sim);

#endif
