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
#include "sanity.h"
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
	struct sanity *sanity;                       /* NULL in tests */
	struct store *store;
	struct http_server *server; /* for /metrics; set after the server exists */
	struct leader *leader;      /* NULL in tests: nobody else leads */
	double started;             /* wall clock, s */
};

/* Handlers get a struct api * as userdata. */
extern const struct http_route api_subscription_routes[], api_structure_routes[],
	api_structure_read_routes[], api_limits_routes[], api_rule_routes[], api_service_routes[],
	api_system_routes[], api_leader_routes[], api_user_routes[], api_sanity_routes[];
extern const size_t api_subscription_n_routes, api_structure_n_routes, api_structure_read_n_routes,
	api_limits_n_routes, api_rule_n_routes, api_service_n_routes, api_system_n_routes,
	api_leader_n_routes, api_user_n_routes, api_sanity_n_routes;

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

/* Before a change: with the lock taken, or, when this controller does not lead (any more), as
 * api_admit(). All that changes something takes the lock so. */
bool api_lock_to_change(struct api *api, struct http_call *call);
/* With the lock taken, or 404; before a change also 412 (api_may_change()). */
struct structure *api_lock_structure(struct api *api, struct http_call *call);
/* The same for a change of its limits, which have an ETag of their own. */
struct structure *api_lock_limits(struct api *api, struct http_call *call);
/* A user, likewise. */
struct structure *api_lock_user(struct api *api, struct http_call *call);
/* Under the lock: the application that the path names second. NULL: answered 404, and unlocked. */
struct structure *api_second_application(struct api *api, struct http_call *call);
/*
 * Rules and services: `docs` points to the model's own, `kind` is "rule" or the like. A copy
 * of the one that the path names, with the lock taken; or 404.
 */
json_t *api_lock_document(struct api *api, struct http_call *call, json_t *const *docs,
			  const char *kind);
/* Answers with that copy; with all of them that `filter` (NULL: any) lets through, page by page. */
struct api_filter {
	/* With the lock held. */
	bool (*passes)(const struct api_filter *filter, const json_t *doc);
	const void *userdata;
};
void api_reply_document(struct api *api, struct http_call *call, json_t *const *docs,
			const char *kind);
void api_reply_documents(struct api *api, struct http_call *call, json_t *const *docs,
			 const struct api_filter *filter);
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

/*
 * Ends a change under the lock: lets the scaler order what follows from it, unlocks and answers
 * with the document as it is now (DB_LIMITS: the limits document), or with the failure `err`.
 */
void api_end_change(struct api *api, struct http_call *call, struct structure *structure,
		    enum store_db db, int err, const char *error);
/* Answers the part of `doc` that the captures from the second on lead to, below `member`. */
void api_reply_part(struct http_call *call, const json_t *doc, const char *member);

/*
 * api_page.c. A collection is told in the order of the names, or a part of it: at most `limit` of
 * those after `start`, a name or an id that need not be there (any more).
 */
#define API_PAGE_MAX 10000
struct api_page {
	const char *start; /* NULL: from the beginning */
	size_t limit;
};
/* ?limit= and ?start=. False: answered 400. */
bool api_page(struct http_call *call, struct api_page *ret_page);
/* How many there are in all, and where to go on: after `last`, unless that is NULL. */
void api_page_headers(struct http_call *call, size_t total, const char *last);
/* ?guard=true; -1: not asked. False: answered 400. */
bool api_query_bool(struct http_call *call, const char *key, int *ret_value);

/*
 * api_etag.c. An ETag stands for the configuration in a document: what people and tools set, not
 * what is measured or decided from second to second. It is the same on every controller.
 */
void api_etag(struct http_call *call, enum store_db db, const json_t *doc);
void api_resume_etag(struct http_deferred *deferred, enum store_db db, const json_t *doc);
/* For GET. True: the caller has it so already, and has been answered 304. */
bool api_if_none_match(struct http_call *call, enum store_db db, const json_t *doc);
/* Before a change. `doc` is what is there, NULL: nothing. False: answered 412. */
bool api_may_change(struct http_call *call, enum store_db db, const json_t *doc);
/* The same for a structure or a user, which may be NULL: its document is only made when it is asked
 * about. */
bool api_may_change_structure(struct http_call *call, const struct structure *structure);
/* Is there anything for api_may_change() to look at? */
bool api_is_conditional(struct http_call *call);
/* Answers with a document that has changed. Steals `doc`. */
void api_reply_changed(struct http_call *call, enum store_db db, json_t *doc);

#endif
