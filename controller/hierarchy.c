/* SPDX-License-Identifier: Apache-2.0 */
#include "hierarchy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "member_sums.h"
#include "ebb/cleanup.h"

/* What is named: containers by applications, applications by users, users by applications. */
enum kind { KIND_CONTAINER, KIND_APPLICATION, KIND_CALLED, KIND_MAX };

/* All who name the same, in the order in which they began to. */
struct claim {
	struct member *first, *last;
	bool told; /* that there are several */
	char name[];
};

/* A name in a list; or, when `called`, the `user` of an application. */
struct member {
	struct structure *parent;   /* whose list it is; called: NULL until the user is there */
	struct structure *child;    /* NULL: it is not there; called: the application */
	struct member *next, *prev; /* in the parent's list, or of its calls */
	struct claim *claim;
	struct member *claim_next, *claim_prev;
	bool called;
	bool kept; /* relist() */
};

struct hierarchy {
	struct name_index *claims[KIND_MAX];
};

struct hierarchy *hierarchy_new(void)
{
	struct hierarchy *hierarchy = calloc(1, sizeof(*hierarchy));

	for (int i = 0; hierarchy && i < KIND_MAX; i++) {
		hierarchy->claims[i] = name_index_new();
		if (hierarchy->claims[i])
			continue;
		while (i-- > 0)
			name_index_free(hierarchy->claims[i]);
		free(hierarchy);
		return NULL;
	}
	return hierarchy;
}

/* --- reading --- */

struct structure *hierarchy_parent(const struct structure *structure)
{
	return structure->membership ? structure->membership->parent : NULL;
}

/* The first from `member` on that is there and belongs to this list. */
static struct structure *present(const struct member *member)
{
	while (member && !(member->child && member->child->membership == member))
		member = member->next;
	return member ? member->child : NULL;
}

struct structure *hierarchy_first(const struct structure *parent)
{
	return present(parent->first_member) ?: present(parent->first_call);
}

struct structure *hierarchy_next(const struct structure *child)
{
	const struct member *member = child->membership;
	struct structure *next = member ? present(member->next) : NULL;

	return member && !next && !member->called ? present(member->parent->first_call) : next;
}

static void each_named(const struct member *member,
		       void (*fn)(void *userdata, const char *name, const struct structure *child,
				  const struct structure *owner),
		       void *userdata)
{
	for (; member; member = member->next)
		fn(userdata, member->called ? member->child->name : member->claim->name,
		   member->child, member->child ? hierarchy_parent(member->child) : NULL);
}

void hierarchy_each_named(const struct structure *parent,
			  void (*fn)(void *userdata, const char *name,
				     const struct structure *child, const struct structure *owner),
			  void *userdata)
{
	each_named(parent->first_member, fn, userdata);
	each_named(parent->first_call, fn, userdata);
}

/* --- claims --- */

static enum kind kind_of(const struct member *member)
{
	if (member->called)
		return KIND_CALLED;
	return member->parent->subtype == STRUCTURE_USER ? KIND_APPLICATION : KIND_CONTAINER;
}

static struct claim *claim_get(struct hierarchy *hierarchy, enum kind kind, const char *name)
{
	struct claim *claim = name_index_get(hierarchy->claims[kind], name);
	size_t size = strlen(name) + 1;

	if (claim)
		return claim;
	claim = calloc(1, sizeof(*claim) + size);
	if (!claim)
		return NULL;
	memcpy(claim->name, name, size);
	if (name_index_add(hierarchy->claims[kind], claim->name, claim) < 0) {
		free(claim);
		return NULL;
	}
	return claim;
}

/* NULL: no memory. */
static struct member *member_new(struct hierarchy *hierarchy, enum kind kind, const char *name)
{
	struct member *member = calloc(1, sizeof(*member));
	struct claim *claim = member ? claim_get(hierarchy, kind, name) : NULL;

	if (!claim) {
		free(member);
		return NULL;
	}
	member->claim = claim;
	member->called = kind == KIND_CALLED;
	member->claim_prev = claim->last;
	*(claim->last ? &claim->last->claim_next : &claim->first) = member;
	claim->last = member;
	return member;
}

static void list_append(struct structure *parent, struct member *member)
{
	struct member **first = member->called ? &parent->first_call : &parent->first_member;
	struct member **last = member->called ? &parent->last_call : &parent->last_member;

	member->parent = parent;
	member->next = NULL;
	member->prev = *last;
	*(*last ? &(*last)->next : first) = member;
	*last = member;
}

static void list_take(struct member *member)
{
	struct structure *parent = member->parent;

	if (!parent)
		return;
	*(member->prev     ? &member->prev->next
	  : member->called ? &parent->first_call
			   : &parent->first_member) = member->next;
	*(member->next     ? &member->next->prev
	  : member->called ? &parent->last_call
			   : &parent->last_member) = member->prev;
	member->next = member->prev = NULL;
	if (member->called)
		member->parent = NULL;
}

/* Frees it; nobody's membership any more, and in no parent's list. */
static void member_free(struct hierarchy *hierarchy, struct member *member)
{
	struct claim *claim = member->claim;

	*(member->claim_prev ? &member->claim_prev->claim_next : &claim->first) =
		member->claim_next;
	*(member->claim_next ? &member->claim_next->claim_prev : &claim->last) = member->claim_prev;
	if (claim->first == claim->last)
		claim->told = false;
	if (!claim->first) {
		name_index_remove(hierarchy->claims[kind_of(member)], claim->name);
		free(claim);
	}
	free(member);
}

/* --- whose it is --- */

static struct member *listed_by(struct claim *claim, const char *parent)
{
	for (struct member *m = claim ? claim->first : NULL; m; m = m->claim_next)
		if (strcmp(m->parent->name, parent) == 0)
			return m;
	return NULL;
}

/* By which of those that name it a child belongs to its parent; NULL: it has none. */
static struct member *choose(const struct hierarchy *hierarchy, const struct structure *child)
{
	bool container = child->subtype == STRUCTURE_CONTAINER;
	enum kind kind = container ? KIND_CONTAINER : KIND_APPLICATION;
	struct claim *claim = name_index_get(hierarchy->claims[kind], child->name);
	struct member *named = NULL;

	if (child->call && claim && claim->first != claim->last)
		named = listed_by(claim, child->call->claim->name);
	if (named)
		return named;
	if (claim)
		return claim->first;
	return child->call && child->call->parent ? child->call : NULL;
}

static void belong(struct model *model, struct structure *child, struct member *member)
{
	if (child->membership == member)
		return;
	members_leave(model, child);
	child->membership = member;
	members_join(child);
}

static void settle(struct model *model, struct structure *child)
{
	belong(model, child, choose(model->hierarchy, child));
}

/* Takes a name out of its parent's list; the child may be another's then. */
static void drop(struct model *model, struct member *member)
{
	struct structure *child = member->child;

	if (child && child->membership == member)
		belong(model, child, NULL);
	list_take(member);
	member_free(model->hierarchy, member);
	if (child)
		settle(model, child);
}

/* --- documents --- */

static const char *list_key(const struct structure *parent)
{
	return parent->subtype == STRUCTURE_USER ? "clusters" : "containers";
}

static enum structure_subtype child_subtype(const struct structure *parent)
{
	return parent->subtype == STRUCTURE_USER ? STRUCTURE_APPLICATION : STRUCTURE_CONTAINER;
}

static struct structure *find_child(struct model *model, const struct structure *parent,
				    const char *name)
{
	struct structure *child = model_structure(model, name);

	return child && child->subtype == child_subtype(parent) ? child : NULL;
}

/* Does the list say what the links say already? */
static bool list_is_same(const struct structure *parent, const json_t *list)
{
	const struct member *member = parent->first_member;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (!name || !member || strcmp(member->claim->name, name) != 0)
			return false;
		member = member->next;
	}
	return !member;
}

/* NULL: no memory. Last in its parent's list. */
static struct member *add_member(struct model *model, struct structure *parent, const char *name)
{
	enum kind kind = parent->subtype == STRUCTURE_USER ? KIND_APPLICATION : KIND_CONTAINER;
	struct member *member = member_new(model->hierarchy, kind, name);

	if (!member)
		return NULL;
	list_append(parent, member);
	member->child = find_child(model, parent, name);
	if (member->child)
		settle(model, member->child);
	return member;
}

/* What others name too is told once, in one line for all of a list. */
struct conflict {
	const struct member *first;
	size_t n;
};

static void note_conflict(struct conflict *conflict, const struct member *member)
{
	struct claim *claim = member->claim;

	if (claim->told || claim->first == claim->last)
		return;
	claim->told = true;
	if (conflict->n++ == 0)
		conflict->first = member;
}

static void tell_conflict(struct model *model, const struct conflict *conflict)
{
	const struct member *member = conflict->first, *other;
	const struct structure *owner;
	char more[48] = "";

	if (!member)
		return;
	other = member->claim->first;
	owner = member->child ? hierarchy_parent(member->child) : other->parent;
	if (conflict->n > 1)
		snprintf(more, sizeof(more), " (and %zu more)", conflict->n - 1);
	model_log(model, LOG_LEVEL_WARNING,
		  "%s%s is in the %s of %s and of %s: it belongs to %s, take it out of the other",
		  member->claim->name, more, list_key(member->parent), other->parent->name,
		  member->parent->name, owner->name);
}

static int keep_or_add(struct model *model, struct structure *parent, const char *name,
		       struct name_index *listed, struct conflict *conflict)
{
	struct member *member = name_index_get(listed, name);
	int r;

	/* Named twice it is still one. */
	if (member && member->kept)
		return 0;
	if (member) {
		list_take(member);
		list_append(parent, member);
	} else {
		member = add_member(model, parent, name);
		if (!member)
			return -ENOMEM;
		r = name_index_add(listed, member->claim->name, member);
		if (r < 0) {
			drop(model, member);
			return r;
		}
		note_conflict(conflict, member);
	}
	member->kept = true;
	return 0;
}

/* Those that are still named are at the end now, in their order. */
static void drop_others(struct model *model, struct structure *parent)
{
	while (parent->first_member && !parent->first_member->kept)
		drop(model, parent->first_member);
	for (struct member *member = parent->first_member; member; member = member->next)
		member->kept = false;
}

/*
 * The list anew, O(its length). What was in it already keeps its place among those that name the
 * same.
 */
static int relist(struct model *model, struct structure *parent)
{
	const json_t *list = json_object_get(parent->doc, list_key(parent));
	struct name_index *listed;
	struct conflict conflict = {};
	int r = 0;

	if (list_is_same(parent, list))
		return 0;
	listed = name_index_new();
	if (!listed)
		return -ENOMEM;
	for (struct member *m = parent->first_member; m && r >= 0; m = m->next)
		r = name_index_add(listed, m->claim->name, m);
	for (size_t i = 0; i < json_array_size(list) && r >= 0; i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name)
			r = keep_or_add(model, parent, name, listed, &conflict);
	}
	name_index_free(listed);
	drop_others(model, parent);
	tell_conflict(model, &conflict);
	return r;
}

/* --- coming and going --- */

static void drop_call(struct model *model, struct structure *application)
{
	struct member *call = application->call;

	if (!call)
		return;
	application->call = NULL;
	drop(model, call);
}

/* `user` of an application. */
static int set_call(struct model *model, struct structure *application)
{
	const char *name = json_string_value(json_object_get(application->doc, "user"));
	struct structure *user;
	struct member *call;

	if (application->call && name && strcmp(application->call->claim->name, name) == 0)
		return 0;
	drop_call(model, application);
	if (!name || !*name)
		return 0;
	call = member_new(model->hierarchy, KIND_CALLED, name);
	if (!call)
		return -ENOMEM;
	call->child = application;
	application->call = call;
	user = model_user(model, name);
	if (user)
		list_append(user, call);
	return 0;
}

static struct claim *claim_on(const struct hierarchy *hierarchy, const struct structure *child)
{
	enum kind kind = child->subtype == STRUCTURE_CONTAINER ? KIND_CONTAINER : KIND_APPLICATION;

	return name_index_get(hierarchy->claims[kind], child->name);
}

static int link_child(struct model *model, struct structure *child)
{
	struct claim *claim = claim_on(model->hierarchy, child);
	int r = 0;

	for (struct member *m = claim ? claim->first : NULL; m; m = m->claim_next)
		m->child = child;
	if (child->subtype == STRUCTURE_APPLICATION)
		r = set_call(model, child);
	settle(model, child);
	return r;
}

static void link_calls(struct model *model, struct structure *user)
{
	struct claim *claim = name_index_get(model->hierarchy->claims[KIND_CALLED], user->name);

	for (struct member *m = claim ? claim->first : NULL; m; m = m->claim_next) {
		if (m->parent)
			continue;
		list_append(user, m);
		settle(model, m->child);
	}
}

void hierarchy_link(struct model *model, struct structure *structure)
{
	int r = 0;

	if (structure->subtype == STRUCTURE_HOST)
		return;
	if (structure_is_parent(structure))
		r = relist(model, structure);
	if (structure->subtype == STRUCTURE_USER)
		link_calls(model, structure);
	else if (link_child(model, structure) < 0)
		r = -ENOMEM;
	if (r < 0)
		model_log(model, LOG_LEVEL_ERROR, "No memory for all that %s belongs to or owns",
			  structure->name);
}

static void unlink_child(struct model *model, struct structure *child)
{
	struct claim *claim;

	drop_call(model, child);
	claim = claim_on(model->hierarchy, child);
	for (struct member *m = claim ? claim->first : NULL; m; m = m->claim_next)
		m->child = NULL;
	belong(model, child, NULL);
}

static void unlink_parent(struct model *model, struct structure *parent)
{
	struct member *call;

	while (parent->first_member)
		drop(model, parent->first_member);
	while ((call = parent->first_call)) {
		if (call->child->membership == call)
			belong(model, call->child, NULL);
		list_take(call);
		settle(model, call->child);
	}
}

void hierarchy_unlink(struct model *model, struct structure *structure)
{
	if (structure->subtype == STRUCTURE_HOST)
		return;
	if (structure_is_parent(structure)) {
		unlink_parent(model, structure);
		members_forget(model, structure);
	}
	if (structure->subtype != STRUCTURE_USER)
		unlink_child(model, structure);
}

void hierarchy_free(struct model *model)
{
	struct structure *s;

	if (!model->hierarchy)
		return;
	model_foreach_user(model, s) hierarchy_unlink(model, s);
	model_foreach_structure(model, s)
		hierarchy_unlink(model, s);
	for (int i = 0; i < KIND_MAX; i++)
		name_index_free(model->hierarchy->claims[i]);
	free(model->hierarchy);
	model->hierarchy = NULL;
}

/* --- what an operator says --- */

static int refuse_kind(const struct structure *parent, const struct structure *child,
		       char **ret_error)
{
	if (structure_is_parent(parent) && child->subtype == child_subtype(parent))
		return 0;
	return fail_with(-EINVAL, ret_error,
			 "%s is a %s and cannot belong to %s, which is a %s: containers belong to "
			 "applications, applications to users",
			 child->name, structure_subtype_name(child->subtype), parent->name,
			 structure_subtype_name(parent->subtype));
}

/* The names that an application or a user lists; made when there are none. NULL: no memory. */
static json_t *list_of(struct structure *parent)
{
	json_t *list = json_object_get(parent->doc, list_key(parent));

	if (json_is_array(list))
		return list;
	if (!parent->doc)
		parent->doc = json_object();
	list = json_array();
	return json_object_set_new(parent->doc, list_key(parent), list) < 0 ? NULL : list;
}

static int set_user(struct model *model, struct structure *application, const char *name)
{
	json_t *before = json_incref(json_object_get(application->doc, "user"));
	int r;

	if (!application->doc)
		application->doc = json_object();
	r = json_object_set_new(application->doc, "user", json_string(name)) < 0 ? -ENOMEM : 0;
	if (r >= 0)
		r = set_call(model, application);
	if (r < 0 && before)
		json_object_set(application->doc, "user", before);
	else if (r < 0)
		json_object_del(application->doc, "user");
	if (r < 0)
		(void)set_call(model, application);
	json_decref(before);
	return r;
}

static void unlist(const struct structure *parent, const char *name)
{
	json_t *list = json_object_get(parent->doc, list_key(parent));

	for (size_t i = json_array_size(list); i-- > 0;) {
		const char *listed = json_string_value(json_array_get(list, i));

		if (listed && strcmp(listed, name) == 0)
			json_array_remove(list, i);
	}
}

int hierarchy_join(struct model *model, struct structure *parent, struct structure *child,
		   char **ret_error)
{
	const struct structure *owner = hierarchy_parent(child);
	struct member *member;
	json_t *list;
	int r = 0;

	if (refuse_kind(parent, child, ret_error) < 0)
		return -EINVAL;
	if (owner)
		return fail_with(-EEXIST, ret_error,
				 "%s belongs to %s already: take it out of there first",
				 child->name, owner->name);
	list = list_of(parent);
	member = list ? add_member(model, parent, child->name) : NULL;
	if (!member)
		return -ENOMEM;
	if (json_array_append_new(list, json_string(child->name)) < 0)
		r = -ENOMEM;
	else if (child->subtype == STRUCTURE_APPLICATION)
		r = set_user(model, child, parent->name);
	if (r < 0) {
		unlist(parent, child->name);
		drop(model, member);
		return r;
	}
	model_touch(model, parent, MODEL_DIRTY_STRUCTURE);
	if (child->subtype == STRUCTURE_APPLICATION) {
		settle(model, child);
		model_touch(model, child, MODEL_DIRTY_STRUCTURE);
	}
	return 0;
}

int hierarchy_leave(struct model *model, struct structure *parent, struct structure *child,
		    char **ret_error)
{
	struct member *member;
	bool calls;

	if (refuse_kind(parent, child, ret_error) < 0)
		return -EINVAL;
	member = listed_by(claim_on(model->hierarchy, child), parent->name);
	calls = child->call && child->call->parent == parent;
	if (!member && !calls)
		return fail_with(-ENOENT, ret_error, "%s does not belong to %s", child->name,
				 parent->name);
	if (member) {
		unlist(parent, child->name);
		drop(model, member);
		model_touch(model, parent, MODEL_DIRTY_STRUCTURE);
	}
	if (calls) {
		json_object_del(child->doc, "user");
		drop_call(model, child);
		model_touch(model, child, MODEL_DIRTY_STRUCTURE);
	}
	return 0;
}

int hierarchy_leave_all(struct model *model, struct structure *parent)
{
	struct member *call;

	if (json_object_get(parent->doc, list_key(parent)) &&
	    json_object_set_new(parent->doc, list_key(parent), json_array()) < 0)
		return -ENOMEM;
	while (parent->first_member)
		drop(model, parent->first_member);
	while ((call = parent->first_call)) {
		struct structure *child = call->child;

		json_object_del(child->doc, "user");
		drop_call(model, child);
		model_touch(model, child, MODEL_DIRTY_STRUCTURE);
	}
	model_touch(model, parent, MODEL_DIRTY_STRUCTURE);
	return 0;
}
