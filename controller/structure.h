/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A structure as the controller holds it: the typed fields that decisions use, over the document
 * that it came from. All values are in edge units (shares, MiB, MiB/s). Documents: spec section 2;
 * fields Ebb does not know are kept.
 */
#ifndef EBB_STRUCTURE_H
#define EBB_STRUCTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ebb/units.h"

enum structure_subtype {
	STRUCTURE_HOST,
	STRUCTURE_CONTAINER,
	STRUCTURE_APPLICATION,
	STRUCTURE_USER, /* of the database `users`, with names of its own: model_user() */
	STRUCTURE_SUBTYPE_MAX
};

enum boundary_type {
	BOUNDARY_PERCENTAGE_OF_MAX,
	BOUNDARY_PERCENTAGE_OF_CURRENT,
	BOUNDARY_TYPE_MAX
};

/* What a resource of a container (later: of an application) may be and is. */
struct resource_state {
	bool present;
	bool guard;
	bool has_boundary; /* from the limits document, up to `lower` */
	int boundary;      /* percent, 0..100 */
	enum boundary_type boundary_type;
	int64_t upper, lower; /* set by boundaries_adjust(); -1: not yet */

	int64_t max, min;
	int64_t current; /* limit in force; -1: not known yet */
	double weight;   /* 0: not set */
	double usage;    /* last measured; NAN: none. Never persisted for containers */

	int64_t allocated; /* what the host has set aside for it; 0: not managed. Kept in the
			      document */
};

/* In the document of a container that is being subscribed: what was in force before, as the body of
 * an order. Whoever leads next puts it back when nobody else can. */
#define SUBSCRIPTION_LIMITS_BEFORE "limits_before"

struct structure {
	char *name;
	enum structure_subtype subtype;
	bool guard;
	struct resource_state resources[EBB_RESOURCE_MAX];
	json_t *doc; /* the fields of its document that have no type here (unknown ones, _id, app
			fields, a host's disks); NULL: none. The whole document is what
			structure_to_json() builds. Containers that have nothing else there than
			where their host is share one: to be changed by structure_own_doc() */
	json_t *limits_doc; /* likewise of its limits document */
	char *host_name;    /* containers */

	bool automatic; /* registered by itself and never touched by an operator: forgotten when it
			   goes. Kept in the document */
	bool live;      /* its agent reports it */
	unsigned long subscription; /* number of the one whose outcome is not known yet: its limits
				       are ordered also when the scaler is not ACTIVE. As
				       `subscribing` in the document; 0: none */
	int64_t physical[EBB_RESOURCE_MAX]; /* limits the agent last reported, -1 unlimited,
					       INT64_MIN not reported */

	/* What the agent's reflex raised last (docs/feed.md): CPU and memory, number and limit; and
	 * since when another one waits to be settled, 0: none does. */
	struct {
		uint64_t number, waits_since_ns;
		int64_t to;
	} grown[2];
	unsigned grown_meanwhile; /* 1 << resource: while an order was under way, and not settled */

	char *cpus;          /* its cpuset as last reported; NULL: not known */
	bool cores_put_back; /* it ran on others than the map's, and the scaler saw it; sanity.c */
	bool pinnable; /* its agent reports a cpuset for it: on v1 a container may have none */

	struct guard_state *guard_state; /* guardian.h; NULL: not guarded */
	double throttled;                /* of CFS periods, the share in about the last second; NAN:
					    unknown */
	unsigned in_flight;              /* 1 << enum ebb_resource: an order is under way */
	/*
	 * 1 << enum ebb_resource: the model set `current` itself (first guard, a lower max, a
	 * container that came back) and it is not in force yet. scaler_run() takes these from
	 * model_next_apply() and orders exactly `current`; once that is applied it gives back
	 * allocated - current through model_allocate(). When such an order fails, model_apply()
	 * asks for it again.
	 */
	unsigned apply;
	bool apply_queued;
	struct structure *next_apply;
	unsigned dirty; /* model.c: documents to be written */
	struct structure *next_dirty;
	void *host; /* struct host * (model.h); NULL until its host is known. A host's: itself */
	struct structure *host_next, **host_prev; /* model.c: the host's containers */
	size_t slot; /* model.c: index in model->structures, a user's in model->users */

	/* hierarchy.c */
	struct member *first_member, *last_member; /* an application's, a user's list */
	struct member *first_call, *last_call;     /* applications whose `user` it is */
	struct member *membership;                 /* by which it belongs to its parent */
	struct member *call;                       /* an application's: its `user` */

	/* member_sums.h */
	struct member_sums *sums;          /* an application's, a user's */
	struct contribution *contribution; /* a container's, to what it uses; NULL: none now */
	unsigned counts;                   /* 1 << enum ebb_resource: those that are counted */
	int64_t counted[EBB_RESOURCE_MAX]; /* limits in force, as they are in the sums */

	bool gone;     /* it went and was kept: what comes back under its name is another cgroup */
	unsigned held; /* 1 << enum ebb_resource: shares it gave back when it went.
			  Kept in the document */
	unsigned operating; /* 1 << enum ebb_resource: in an operation of the scaler that is not
			       done. Kept in the document: whoever starts anew goes back to
			       `current`, whatever is in force */

	struct usage_history *history;         /* usage_history.h; NULL: nobody asks for it */
	struct usage_history *balance_history; /* the ReBalancer's */
	unsigned long visited[2]; /* by the walks of these numbers (model->visits): model_walk.c */
};

/*
 * The document with the newest typed values laid over it: what GET returns and the store keeps. New
 * reference. structure_limits_to_json: the limits document (NULL when there is none).
 */
json_t *structure_to_json(const struct structure *structure);
/* The same without copies: shares parts with the structure, to be read under the model's lock. */
json_t *structure_to_json_shared(const struct structure *structure);
json_t *structure_limits_to_json(const struct structure *structure);

/*
 * From documents (`limits` may be NULL). -EINVAL with a reason in `ret_error` (caller frees): wrong
 * types, min > max, no name, a user.
 */
int structure_from_json(const json_t *doc, const json_t *limits, struct structure **ret_structure,
			char **ret_error);
/* The same for a document of the database `users`, which need not tell its subtype. */
int user_from_json(const json_t *doc, const json_t *limits, struct structure **ret_user,
		   char **ret_error);
/* The limits document of one that is there already. On failure nothing changed. */
int structure_set_limits(struct structure *structure, const json_t *limits, char **ret_error);
/* An empty one: no resource present, every limit unknown. NULL on no memory. */
struct structure *structure_new(const char *name, enum structure_subtype subtype);
/* Not its guard_state: whoever made that frees it. */
void structure_free(struct structure *structure);

/*
 * Numbers as documents and requests carry them: an integer, a real or a numeric string. Integers
 * are cut towards zero. -EINVAL: not a number; -ERANGE: not finite, or beyond 2^53.
 */
int json_to_double(const json_t *value, double *ret_value);
int json_to_int64(const json_t *value, int64_t *ret_value);
/* Of a service's config: true or false, also as 1 and 0 and as strings of these. -EINVAL */
int json_to_bool(const json_t *value, bool *ret_value);

/*
 * What agents refuse to go below (agent/limit_order.h): with less memory no program starts, and
 * the original's Container Scaler takes 0 shares for no limit at all. A document written by others
 * may have a lower `min`.
 */
int64_t resource_least(enum ebb_resource resource);
/* The lowest limit to be ordered: min, but never below that. */
int64_t resource_floor(const struct resource_state *state, enum ebb_resource resource);

/* `doc` of a structure, to be changed: one that nobody else has, made when missing. NULL: no
 * memory, and nothing has changed. */
json_t *structure_own_doc(json_t **doc);

/* Can it be called so: 1 to 255 bytes without control characters, and not what the core map calls
 * the shares that nobody has, "free"? NULL: no. */
bool structure_name_is_sane(const char *name);
/* Is it an application or a user? */
static inline bool structure_is_parent(const struct structure *structure)
{
	return structure->subtype == STRUCTURE_APPLICATION || structure->subtype == STRUCTURE_USER;
}

const char *structure_subtype_name(enum structure_subtype subtype);
const char *boundary_type_name(enum boundary_type type);
enum boundary_type boundary_type_from_name(const char *name); /* BOUNDARY_TYPE_MAX: unknown */

#endif
