/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boundaries.h"
#include "couchdb.h"
#include "disks.h"
#include "hierarchy.h"
#include "member_sums.h"
#include "model_private.h"
#include "ebb/cleanup.h"

#define HOST_SILENT_S 5.0
/* Of a Container Scaler, which is polled. */
#define POLL_SILENT_S 15.0
#define SILENT_POLLS  3

struct model_note {
	struct model_note *next;
	enum log_level level;
	char text[];
};

void model_log(struct model *model, enum log_level level, const char *format, ...)
{
	struct model_note *note;
	char text[512];
	va_list ap;
	size_t len;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	len = strlen(text);
	note = malloc(sizeof(*note) + len + 1);
	if (!note)
		return;
	note->level = level;
	memcpy(note->text, text, len + 1);
	note->next = model->notes;
	model->notes = note;
}

static void write_notes(struct model_note *newest)
{
	struct model_note *notes = NULL;

	while (newest) {
		struct model_note *older = newest->next;

		newest->next = notes;
		notes = newest;
		newest = older;
	}
	while (notes) {
		struct model_note *next = notes->next;

		log_full(notes->level, 0, "%s", notes->text);
		free(notes);
		notes = next;
	}
}

void model_lock(struct model *model)
{
	pthread_mutex_lock(&model->lock);
}

struct store *model_store(const struct model *model)
{
	return model->leading ? model->store : NULL;
}

enum store_db model_db(const struct structure *structure)
{
	return structure->subtype == STRUCTURE_USER ? DB_USERS : DB_STRUCTURES;
}

int model_parse(enum store_db db, const json_t *doc, struct structure **ret_structure,
		char **ret_error)
{
	return db == DB_USERS ? user_from_json(doc, NULL, ret_structure, ret_error)
			      : structure_from_json(doc, NULL, ret_structure, ret_error);
}

static void put_document(struct model *model, enum store_db db, const char *id, json_t *doc)
{
	if (doc && store_put(model->store, db, id, doc) < 0)
		model_log(model, LOG_LEVEL_ERROR, "No memory to keep %s %s", store_db_name(db), id);
	json_decref(doc);
}

void model_settle(struct model *model)
{
	while (model->dirty) {
		struct structure *structure = model->dirty;
		unsigned dirty = structure->dirty;

		model->dirty = structure->next_dirty;
		structure->next_dirty = NULL;
		structure->dirty = 0;
		members_count(structure);
		if (structure->subtype == STRUCTURE_HOST && structure->host)
			host_save_document(structure->host);
		if (model->observer)
			model->observer->changed(model->observer->userdata, structure);
		if (!model_store(model))
			continue;
		if (dirty & MODEL_DIRTY_STRUCTURE)
			put_document(model, model_db(structure), structure->name,
				     structure_to_json_shared(structure));
		if (dirty & MODEL_DIRTY_LIMITS &&
		    model_limits_owner(model, structure->name) == structure)
			put_document(model, DB_LIMITS, structure->name,
				     structure_limits_to_json(structure));
	}
}

void model_unlock(struct model *model)
{
	struct model_note *notes;

	model_settle(model);
	notes = model->notes;
	model->notes = NULL;
	pthread_mutex_unlock(&model->lock);
	write_notes(notes);
}

void model_touch(struct model *model, struct structure *structure, unsigned what)
{
	if (!structure->dirty) {
		structure->next_dirty = model->dirty;
		model->dirty = structure;
	}
	structure->dirty |= what;
}

void model_guard_changed(struct model *model, struct structure *structure)
{
	struct host *host = structure->host;

	/* Agents guard containers. */
	if (structure_is_parent(structure))
		return;
	model->generation++;
	if (host)
		host->guard_version = model->generation;
}

void model_guards_changed(struct model *model)
{
	model->generation++;
	for (size_t i = 0; i < model->n_hosts; i++)
		model->hosts[i]->guard_version = model->generation;
}

void model_apply(struct model *model, struct structure *structure, enum ebb_resource resource)
{
	if (!structure->apply_queued) {
		structure->apply_queued = true;
		structure->next_apply = model->apply;
		model->apply = structure;
	}
	structure->apply |= 1u << resource;
}

struct structure *model_next_apply(struct model *model)
{
	struct structure *structure;

	do {
		structure = model->apply;
		if (!structure)
			return NULL;
		model->apply = structure->next_apply;
		structure->next_apply = NULL;
		structure->apply_queued = false;
	} while (!structure->apply);
	return structure;
}

struct structure *model_structure(struct model *model, const char *name)
{
	return name_index_get(model->index, name);
}

struct structure *model_user(struct model *model, const char *name)
{
	return name_index_get(model->user_index, name);
}

struct structure *model_limits_owner(struct model *model, const char *name)
{
	return model_structure(model, name) ?: model_user(model, name);
}

struct host *model_host(struct model *model, const char *name)
{
	struct structure *structure = model_structure(model, name);

	return structure && structure->subtype == STRUCTURE_HOST ? structure->host : NULL;
}

void host_attach(struct host *host, struct structure *container)
{
	container->host = host;
	container->host_next = host->containers;
	container->host_prev = &host->containers;
	if (host->containers)
		host->containers->host_prev = &container->host_next;
	host->containers = container;
}

void host_detach(struct structure *container)
{
	if (!container->host)
		return;
	*container->host_prev = container->host_next;
	if (container->host_next)
		container->host_next->host_prev = container->host_prev;
	container->host = NULL;
	container->host_next = NULL;
	container->host_prev = NULL;
}

static void host_free(struct host *host)
{
	if (!host)
		return;
	free(host->address);
	cpumap_free(host->cpumap);
	json_decref(host->topology);
	json_decref(host->nodes);
	free(host);
}

/* Room for one more in an array of `n` pointers; grows by doubling. `array`: its address. */
static int make_room(void *array, size_t n)
{
	void *items;

	if (n & (n - 1))
		return 0;
	memcpy(&items, array, sizeof(items));
	items = realloc(items, (n ? n * 2 : 1) * sizeof(void *));
	if (!items)
		return -ENOMEM;
	memcpy(array, &items, sizeof(items));
	return 0;
}

struct host *host_new(struct model *model, struct structure *structure)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host || make_room(&model->hosts, model->n_hosts) < 0) {
		free(host);
		return NULL;
	}
	host->structure = structure;
	structure->host = host;
	model->hosts[model->n_hosts++] = host;
	return host;
}

static void host_forget(struct model *model, struct host *host)
{
	while (host->containers)
		host_detach(host->containers);
	for (size_t i = 0; i < model->n_hosts; i++) {
		if (model->hosts[i] == host) {
			model->hosts[i] = model->hosts[--model->n_hosts];
			break;
		}
	}
	host_free(host);
}

/* What holds the structures, or the users. */
struct holder {
	struct structure ***list;
	size_t *n;
	struct name_index *index;
	struct name_order *order;
};

static struct holder holder_of(struct model *model, const struct structure *structure)
{
	if (structure->subtype == STRUCTURE_USER)
		return (struct holder){&model->users, &model->n_users, model->user_index,
				       model->user_order};
	return (struct holder){&model->structures, &model->n_structures, model->index,
			       model->order};
}

void model_take_over_limits(struct model *model, const struct structure *structure)
{
	if (structure->subtype != STRUCTURE_USER && model_store(model) &&
	    model_user(model, structure->name))
		store_delete(model->store, DB_LIMITS, structure->name);
}

static void count_guarded(struct model *model, const struct structure *structure, int by)
{
	if (structure->guard && structure->subtype != STRUCTURE_USER)
		model->n_guarded += (size_t)by;
}

void model_set_guard_flag(struct model *model, struct structure *structure, bool guard)
{
	count_guarded(model, structure, -1);
	structure->guard = guard;
	count_guarded(model, structure, 1);
}

int model_add(struct model *model, struct structure *structure)
{
	struct holder holder = holder_of(model, structure);
	int r;

	r = make_room(holder.list, *holder.n);
	if (r >= 0 && structure_is_parent(structure))
		r = member_sums_new(structure);
	if (r >= 0)
		r = name_index_add(holder.index, structure->name, structure);
	if (r < 0)
		return r;
	r = name_order_add(holder.order, structure->name, structure);
	if (r < 0) {
		name_index_remove(holder.index, structure->name);
		return r;
	}
	if (structure->subtype == STRUCTURE_HOST) {
		struct host *host = host_new(model, structure);

		if (!host || host_load_document(host) < 0) {
			name_index_remove(holder.index, structure->name);
			name_order_remove(holder.order, structure->name);
			if (host)
				host_forget(model, host);
			structure->host = NULL;
			return -ENOMEM;
		}
	} else if (structure->host_name) {
		struct host *host = model_host(model, structure->host_name);

		if (host)
			host_attach(host, structure);
	}
	model->n_of[structure->subtype]++;
	structure->slot = *holder.n;
	(*holder.list)[(*holder.n)++] = structure;
	count_guarded(model, structure, 1);
	model_take_over_limits(model, structure);
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		boundaries_adjust(&structure->resources[i]);
	if (structure->guard && !structure->guard_state)
		structure->guard_state = guard_state_new();
	hierarchy_link(model, structure);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE | MODEL_DIRTY_LIMITS);
	return 0;
}

static void unlink_lists(struct model *model, struct structure *structure)
{
	struct structure **p;

	if (structure->dirty) {
		for (p = &model->dirty; *p && *p != structure; p = &(*p)->next_dirty)
			;
		if (*p)
			*p = structure->next_dirty;
	}
	if (structure->apply_queued) {
		for (p = &model->apply; *p && *p != structure; p = &(*p)->next_apply)
			;
		if (*p)
			*p = structure->next_apply;
	}
}

void model_delete_documents(struct model *model, enum store_db db, const char *name)
{
	struct structure *owner = model_limits_owner(model, name);

	if (!model_store(model))
		return;
	store_delete(model->store, db, name);
	if (owner && owner->subtype != STRUCTURE_USER)
		return;
	store_delete(model->store, DB_LIMITS, name);
	/* A user's, which had the structure's name. */
	if (owner)
		model_touch(model, owner, MODEL_DIRTY_LIMITS);
}

void model_remove(struct model *model, struct structure *structure)
{
	struct holder holder = holder_of(model, structure);
	struct structure *last;

	hierarchy_unlink(model, structure);
	accounting_release(model, structure);
	disks_unbind(model, structure);
	if (structure->guard)
		model_guard_changed(model, structure);
	if (structure->subtype == STRUCTURE_HOST)
		host_forget(model, structure->host);
	else
		host_detach(structure);
	unlink_lists(model, structure);
	name_index_remove(holder.index, structure->name);
	name_order_remove(holder.order, structure->name);
	model->n_of[structure->subtype]--;
	count_guarded(model, structure, -1);
	last = (*holder.list)[--*holder.n];
	(*holder.list)[structure->slot] = last;
	last->slot = structure->slot;
	model_delete_documents(model, model_db(structure), structure->name);
	guard_state_free(structure->guard_state);
	structure_free(structure);
}

void model_check_hosts(struct model *model, double now)
{
	for (size_t i = 0; i < model->n_hosts; i++) {
		struct host *host = model->hosts[i];
		double polls = SILENT_POLLS * model->series.structures.polling_frequency;
		double silent = host->agentless ? MAX(polls, POLL_SILENT_S) : HOST_SILENT_S;

		if (!host->connected || now - host->last_heard <= silent)
			continue;
		host->connected = false;
		model_log(model, LOG_LEVEL_WARNING,
			  "Host %s has not been heard for %.0f s: its limits stay as they are",
			  host->structure->name, now - host->last_heard);
	}
}

static int collect(void *userdata, const char *id, json_t *doc)
{
	const char *name = json_string_value(json_object_get(doc, "name"));

	if (strcmp(id, COUCHDB_LEASE) == 0)
		return 0;
	return json_object_set(userdata, name ? name : id, doc) < 0 ? -ENOMEM : 0;
}

static int collect_by_id(void *userdata, const char *id, json_t *doc)
{
	return json_object_set(userdata, id, doc) < 0 ? -ENOMEM : 0;
}

static int load(struct model *model, enum store_db db, const char *id, json_t *doc)
{
	const char *what = db == DB_USERS ? "user" : "structure";
	_cleanup_free_ char *error = NULL;
	struct structure *structure;
	int r;

	r = model_parse(db, doc, &structure, &error);
	if (r == -EINVAL) {
		log_warning("State: %s %s is ignored: %s", what, id, error ? error : "?");
		return 0;
	}
	if (r < 0)
		return r;
	r = model_add(model, structure);
	if (r < 0)
		structure_free(structure);
	if (r == -EEXIST) {
		log_warning("State: %s %s is there twice; one is ignored", what, id);
		return 0;
	}
	return r;
}

static int load_structure(void *userdata, const char *id, json_t *doc)
{
	return load(userdata, DB_STRUCTURES, id, doc);
}

static int load_user(void *userdata, const char *id, json_t *doc)
{
	return load(userdata, DB_USERS, id, doc);
}

static int load_limits(void *userdata, const char *id, json_t *doc)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	struct structure *structure = model_limits_owner(userdata, name ? name : id);
	_cleanup_free_ char *error = NULL;
	int r;

	/* Of a structure that was ignored, or removed a moment before the end. */
	if (!structure)
		return 0;
	r = structure_set_limits(structure, doc, &error);
	if (r == -EINVAL)
		log_warning("State: the limits of %s are ignored: %s", structure->name,
			    error ? error : "?");
	else if (r < 0)
		return r;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		boundaries_adjust(&structure->resources[i]);
	return 0;
}

void model_drop_dirty(struct model *model)
{
	while (model->dirty) {
		struct structure *structure = model->dirty;

		model->dirty = structure->next_dirty;
		structure->next_dirty = NULL;
		structure->dirty = 0;
	}
}

/* Documents come in any order. */
void model_attach_containers(struct model *model)
{
	for (size_t i = 0; i < model->n_structures; i++) {
		struct structure *structure = model->structures[i];
		struct host *host =
			structure->host_name ? model_host(model, structure->host_name) : NULL;

		if (host && !structure->host)
			host_attach(host, structure);
	}
}

static void keep_limits_before(struct model *model, const struct structure *s)
{
	json_t *limits = json_object_get(s->doc, SUBSCRIPTION_LIMITS_BEFORE);
	json_t *unfinished = model->unfinished;

	if (!json_is_object(limits) || !s->host_name)
		return;
	if (!unfinished)
		unfinished = json_object();
	json_object_set_new(unfinished, s->name,
			    json_pack("{s:s, s:O}", "host", s->host_name, "limits", limits));
	__atomic_store_n(&model->unfinished, unfinished, __ATOMIC_RELAXED);
}

void model_drop_unfinished(struct model *model)
{
	for (size_t i = model->n_structures; i-- > 0;) {
		struct structure *structure = model->structures[i];

		if (!structure->subscription)
			continue;
		model_log(model, LOG_LEVEL_WARNING,
			  "The subscription of %s was cut short by the end of a controller: it is "
			  "taken back",
			  structure->name);
		keep_limits_before(model, structure);
		model_remove(model, structure);
	}
}

static int load_structures(struct model *model)
{
	int r;

	r = store_load(model->store, DB_STRUCTURES, load_structure, model);
	if (r >= 0)
		r = store_load(model->store, DB_USERS, load_user, model);
	if (r >= 0)
		r = store_load(model->store, DB_LIMITS, load_limits, model);
	if (r < 0)
		return r;
	/* Read, not changed; what the rebuilding changes is written again. */
	model_drop_dirty(model);
	model_attach_containers(model);
	if (model->leading)
		model_drop_unfinished(model);
	for (size_t i = 0; i < model->n_hosts && model->leading; i++)
		host_rebuild_accounting(model, model->hosts[i]);
	return 0;
}

int model_new(struct store *store, struct model **ret_model)
{
	struct model *model = calloc(1, sizeof(*model));
	int r = -ENOMEM;

	if (!model)
		return r;
	pthread_mutex_init(&model->lock, NULL);
	pthread_mutex_init(&model->reader, NULL);
	model->store = store;
	model->time = &timebase_system;
	model->leading = !store || !store_is_shared(store);
	model->rules = json_object();
	model->services = json_object();
	model->requests = json_object();
	model->claimed = json_object();
	model->early_limits = json_object();
	model->index = name_index_new();
	model->user_index = name_index_new();
	model->order = name_order_new();
	model->user_order = name_order_new();
	model->hierarchy = hierarchy_new();
	if (model->rules && model->services && model->requests && model->claimed &&
	    model->early_limits && model->index && model->user_index && model->order &&
	    model->user_order && model->hierarchy)
		r = 0;
	if (r >= 0 && store) {
		r = store_load(store, DB_RULES, collect, model->rules);
		if (r >= 0)
			r = store_load(store, DB_SERVICES, collect, model->services);
		if (r >= 0)
			r = store_load(store, DB_REQUESTS, collect_by_id, model->requests);
	}
	if (r >= 0)
		r = model_load_rules(model);
	if (r >= 0)
		r = model_load_services(model);
	if (r >= 0 && store)
		r = load_structures(model);
	if (r < 0) {
		model_free(model);
		return r;
	}
	model_lock(model);
	model_unlock(model);
	*ret_model = model;
	return 0;
}

static void free_all(struct structure **structures, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		guard_state_free(structures[i]->guard_state);
		structure_free(structures[i]);
	}
	free(structures);
}

void model_free(struct model *model)
{
	if (!model)
		return;
	hierarchy_free(model);
	free_all(model->structures, model->n_structures);
	free_all(model->users, model->n_users);
	for (size_t i = 0; i < model->n_hosts; i++)
		host_free(model->hosts[i]);
	free(model->hosts);
	json_decref(model->rules);
	json_decref(model->services);
	json_decref(model->requests);
	json_decref(model->claimed);
	json_decref(model->early_limits);
	json_decref(model->unfinished);
	ruleset_free(model->ruleset);
	if (model->index)
		name_index_free(model->index);
	if (model->user_index)
		name_index_free(model->user_index);
	name_order_free(model->order);
	name_order_free(model->user_order);
	write_notes(model->notes);
	pthread_mutex_destroy(&model->reader);
	pthread_mutex_destroy(&model->lock);
	free(model);
}
