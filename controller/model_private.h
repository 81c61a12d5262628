/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the model; all with the lock held. */
#ifndef EBB_MODEL_PRIVATE_H
#define EBB_MODEL_PRIVATE_H

#include "model.h"

/* Sets *ret_error (unless NULL) to the text, and returns `err`. */
int model_fail(int err, char **ret_error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* model.c */
struct host *host_new(struct model *model, struct structure *structure);
void host_attach(struct host *host, struct structure *container);
void host_detach(struct structure *container);

/* model_accounting.c */
/* Between a host's document and its live side. */
int host_load_document(struct host *host);
void host_save_document(struct host *host);
/* Gives the cores of `map` (taken over) the owners that the present one has, as far as they fit. */
void host_replace_cpumap(struct model *model, struct host *host, struct cpumap *map);
/* What the containers hold, from their documents: after a start. */
void host_rebuild_accounting(struct model *model, struct host *host);
/* free = max - what is allocated; when that would be below 0 the last ones hold less. */
void host_settle(struct model *model, struct host *host, enum ebb_resource resource);
/* All shares of a container back to its host; `held` remembers of what. */
void accounting_release(struct model *model, struct structure *structure);
/*
 * Sets shares aside for a container that has none of `resource`: `current` and `apply` follow.
 * `keep_current`: the limit its document has counts, not the physical one. -ENOSPC.
 */
int accounting_take(struct model *model, struct structure *structure, enum ebb_resource resource,
		    bool keep_current, char **ret_error);

/* `current` became `limit` (-1: not known); documents and guard tables follow. */
void accounting_set_current(struct model *model, struct structure *structure,
			    enum ebb_resource resource, int64_t limit);

/* model_registration.c */
/* The range of a resource that nobody has set: up to the limit in force, or to the host's. */
void registration_first_range(const struct host *host, struct resource_state *state,
			      enum ebb_resource resource, int64_t limit);

/* The cores that are there (a JSON array of ids), in the order of `topology`. -EINVAL. */
int registration_set_cores(struct model *model, struct host *host, const json_t *cpus,
			   const json_t *topology);
/* Where orders for the host go; its documents follow. True: it is new. */
bool model_set_address(struct model *model, struct host *host, const char *address);

/* model_feeds.c */
/* An agent registers from `address`. */
void model_agent_takes_over(struct model *model, struct host *host, const char *address);

/* model_services.c */
int model_load_rules(struct model *model);
int model_load_services(struct model *model);

#endif
