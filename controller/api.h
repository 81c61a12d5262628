/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller's HTTP API (spec section 3): routes by group, one api_*.c each. A change is
 * answered 200 with the changed document, a refusal 4xx with {"error","message"} and the state as
 * it was. Replies are built under the model's lock and serialised outside of it.
 */
#ifndef EBB_CONTROLLER_API_H
#define EBB_CONTROLLER_API_H

#include "audit.h"
#include "container_scaler.h"
#include "feed.h"
#include "feed_opentsdb.h"
#include "leader.h"
#include "model.h"
#include "scaler.h"
#include "rebalancer.h"
#include "series.h"
#include "subscriber.h"
#include "ebb/http_server.h"

struct api {
	struct model *model;
	struct scaler *scaler;
	struct audit *audit;
	struct subscriber *subscriber; /* NULL in tests: no hosts and containers come in */
	struct feed *feed;
	struct feed_opentsdb *feed_opentsdb;         /* NULL: no --opentsdb */
	struct container_scalers *container_scalers; /* likewise */
	struct series *series;                       /* NULL in tests */
	struct rebalancer *rebalancer;               /* NULL in tests */
	struct store *store;
	struct http_server *server; /* for /metrics; set after the server exists */
	struct leader *leader;      /* NULL in tests: nobody else leads */
	double started;             /* wall clock, s */
};

/* Handlers get a struct api * as userdata. */
extern const struct http_route api_subscription_routes[], api_structure_routes[], api_rule_routes[],
	api_service_routes[], api_system_routes[], api_leader_routes[], api_user_routes[];
extern const size_t api_subscription_n_routes, api_structure_n_routes, api_rule_n_routes,
	api_service_n_routes, api_system_n_routes, api_leader_n_routes, api_user_n_routes;

/* All groups in one array; caller frees. */
int api_routes(struct http_route **ret_routes, size_t *ret_n);
/* For http_server_options: what changes something is the leader's; a standby shows the way. */
bool api_admit(void *userdata, const struct http_route *route, struct http_call *call);
/* As GET /leader answers. NULL on no memory. */
json_t *api_leader_json(struct api *api);

/*
 * Shared by the groups. Those that return false or NULL have answered the call already, and hold no
 * lock.
 */

/* With the lock taken, or 404. */
struct structure *api_lock_structure(struct api *api, struct http_call *call);
/*
 * Rules and services: `docs` points to the model's own, `kind` is "rule" or the like. A copy
 * of the one that the path names, with the lock taken; or 404.
 */
json_t *api_lock_document(struct api *api, struct http_call *call, json_t *const *docs,
			  const char *kind);
/* Answers with that copy, or with all of them. */
void api_reply_document(struct api *api, struct http_call *call, json_t *const *docs,
			const char *kind);
void api_reply_documents(struct api *api, struct http_call *call, json_t *const *docs);
/* The resource that capture `index` names, or 400 with the list of names. */
bool api_resource(struct http_call *call, int index, enum ebb_resource *ret_resource);
/* The body's `key`, or 400. *ret_body owns *ret_value. */
bool api_body_member(struct http_call *call, const char *key, json_t **ret_body,
		     json_t **ret_value);
/* A finite number from a JSON number or a numeric string, or 400 that names `what`. */
bool api_number(struct http_call *call, const json_t *value, const char *what, double *ret_number);
/* The same, and a whole one within min..max. */
bool api_integer(struct http_call *call, const json_t *value, const char *what, int64_t min,
		 int64_t max, int64_t *ret_integer);
bool api_string(struct http_call *call, const json_t *value, const char *what,
		const char **ret_string);
/* 400, 404, 409 or 500 by `err`, a negative errno; `message` may be NULL. */
void api_reply_failure(struct http_call *call, int err, const char *message);
/* Steals `body`; NULL is answered as out of memory. */
void api_reply(struct http_call *call, json_t *body);

#endif
