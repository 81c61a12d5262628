/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the model; all with the lock held. */
#ifndef EBB_MODEL_PRIVATE_H
#define EBB_MODEL_PRIVATE_H

#include "fail.h"
#include "model.h"

/* Of early_limits and of requests: more is somebody's mistake, and not to eat our memory. */
#define MODEL_KEPT_MAX 10000

/* model.c */
/* Of the document of a structure or a user. */
enum store_db model_db(const struct structure *structure);
/* Whose limits the document `name` has; NULL: nobody's. */
struct structure *model_limits_owner(struct model *model, const char *name);
/* From a document of `db`: structures or users. As structure_from_json(). */
int model_parse(enum store_db db, const json_t *doc, struct structure **ret_structure,
		char **ret_error);
/* Where changes are written; NULL: nowhere, as long as another controller leads. */
struct store *model_store(const struct model *model);
/* Nothing that waits is written any more. */
void model_drop_dirty(struct model *model);
/* Begins to lead: what nobody knows the outcome of was not subscribed. */
void model_drop_unfinished(struct model *model);
/* Containers whose host came after them. */
void model_attach_containers(struct model *model);
struct host *host_new(struct model *model, struct structure *structure);
void host_attach(struct host *host, struct structure *container);
void host_detach(struct structure *container);

/* A name that a structure and a user share has one limits document: the structure's. */
void model_take_over_limits(struct model *model, const struct structure *structure);
/* Of a structure that has gone, or is called otherwise now. */
void model_delete_documents(struct model *model, enum store_db db, const char *name);
/* Of a structure that the model has. */
void model_set_guard_flag(struct model *model, struct structure *structure, bool guard);

/* model_accounting.c */
/* Between a host's document and its live side. */
int host_load_document(struct host *host);
void host_save_document(struct host *host);
/* Gives the cores of `map` (taken over) the owners that the present one has. Those whose cores are
 * gone get others, as far as there are; their limits follow. On failure nothing changed. */
int host_replace_cpumap(struct model *model, struct host *host, struct cpumap *map);
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
/* What is accounted and has more on record than its max is brought down to it, by an order to come.
 * True: it was above. */
bool accounting_below_max(struct model *model, struct structure *structure,
			  enum ebb_resource resource);

/* model_follow.c */
/* A document as another controller, which leads, has left it; NULL: deleted. */
void follow_document(struct model *model, enum store_db db, const char *id, json_t *doc);
/* A host as `to` says, its core map included; what was there goes to `to`. */
int follow_host(struct structure *s, struct structure *to);

/* model_edit_others.c */
/* Of a document that has no version of ours. Takes `error` over; NULL: no memory. */
void edit_ignore(struct model *model, const char *what, const char *name, char *error);
/* Our version is written again. Takes `error` over; NULL: no memory. */
void edit_refuse(struct model *model, const char *what, const char *name, char *error);
/* `lost`: the path of a field that both changed; NULL: there was none. */
void edit_tell_lost(struct model *model, const char *what, const char *name, const char *lost);
/* While leading, but for requests. `base` NULL: not known; `doc` NULL: deleted. */
void edit_limits_changed(struct model *model, const char *id, const json_t *base, json_t *doc);
void edit_rule_changed(struct model *model, const char *id, const json_t *base, json_t *doc);
void edit_service_changed(struct model *model, const char *id, const json_t *base, json_t *doc);
void edit_request_changed(struct model *model, const char *id, json_t *doc);

/* model_registration.c */
/* The range of a resource that nobody has set: up to the limit in force, or to the host's. */
void registration_first_range(const struct host *host, struct resource_state *state,
			      enum ebb_resource resource, int64_t limit);
/* A resource that an agent tells of for the first time. `limitable`: it is a limit in force. */
void registration_first_resource(const struct host *host, struct structure *structure,
				 enum ebb_resource resource, int64_t limit, bool limitable);
/* Where orders for the host go; its documents follow. True: it is new. */
bool model_set_address(struct model *model, struct host *host, const char *address);

/* As model_check(), of one host. */
char *host_check(const struct host *host);

/* model_cores.c */
/* Before shares are handed out: the core map's order follows the distribution. */
void host_order_cores(struct model *model, struct host *host);
/* The CPUs that are there (a JSON array of ids), in the order in which their shares are handed out;
 * those that the topology does not know come last. -EINVAL. Caller clears. */
int registration_order(enum core_distribution distribution, const json_t *cpus,
		       const json_t *topology, const json_t *nodes, struct cpu_list *ret_order);
/* These are the host's CPUs now. */
int host_take_cores(struct model *model, struct host *host, const struct cpu_list *order);
/* The cores that are there (a JSON array of ids), in the order of `topology`. -EINVAL. */
int registration_set_cores(struct model *model, struct host *host, const json_t *cpus,
			   const json_t *topology);

/* model_feeds.c */
/* So many cores of an agentless host: the first that it has, and the lowest beside them. -EINVAL */
int model_resize_cores(struct model *model, struct host *host, size_t n);
/* An agent registers from `address`. */
void model_agent_takes_over(struct model *model, struct host *host, const char *address);

/* model_rules.c and model_services.c */
/* Compiles what the documents say, and when leading adds the default ones that are missing first.
 * Again after any change of the documents. */
int model_load_rules(struct model *model);
/* Its document has gone: it is not compiled any more, and if Ebb comes with it that is remembered.
 */
int model_rule_removed(struct model *model, const char *name);
/* Queues a document while leading. */
void model_keep(struct model *model, enum store_db db, const char *name, const json_t *doc);
int model_load_services(struct model *model);
/* Is it one that a controller runs? Whatever else is in `services` belongs to somebody else. */
bool model_service_is_ours(const char *name);
/* Writes one that did not change here, because it was changed in the database. */
void model_put_rule(struct model *model, const char *name);
void model_put_service(struct model *model, const char *name);

#endif
