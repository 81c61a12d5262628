/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's HTTP API (spec section 3): routes by group, one api_*.c each. */
#ifndef EBB_CONTROLLER_API_H
#define EBB_CONTROLLER_API_H

#include "audit.h"
#include "feed.h"
#include "model.h"
#include "scaler.h"
#include "ebb/http_server.h"

struct api {
	struct model *model;
	struct scaler *scaler;
	struct audit *audit;
	struct feed *feed;
	struct store *store;
	struct http_server *server; /* for /metrics; set after the server exists */
	double started;
};

/* Handlers get a struct api * as userdata. */
extern const struct http_route api_structure_routes[], api_rule_routes[], api_service_routes[],
	api_system_routes[];
extern const size_t api_structure_n_routes, api_rule_n_routes, api_service_n_routes,
	api_system_n_routes;

/* All groups in one array; caller frees. */
int api_routes(struct http_route **ret_routes, size_t *ret_n);

#endif
