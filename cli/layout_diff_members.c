/* SPDX-License-Identifier: Apache-2.0 */
/* Who belongs to whom, and what is taken out. */
#include <string.h>

#include "layout_diff_private.h"
#include "request.h"
#include "view.h"
#include "ebb/cleanup.h"

/* PREFIX/A/MIDDLE/B, names encoded. */
static char *path_of_two(const char *prefix, const char *a, const char *b)
{
	_cleanup_free_ char *front = request_path(prefix, a, "/");

	return front ? request_path(front, b, "") : NULL;
}

/* {MEMBER: OWNER}. `subtype` NULL: any. */
static json_t *owners_of(const json_t *docs, const char *subtype, const char *key)
{
	json_t *owners = json_object(), *doc, *member;
	const char *name;
	size_t i;

	json_object_foreach((json_t *)docs, name, doc) {
		if (subtype && strcmp(json_get_text(doc, "subtype"), subtype) != 0)
			continue;
		json_array_foreach(json_object_get(doc, key), i, member)
			if (json_is_string(member))
				json_object_set_new(owners, json_string_value(member),
						    json_string(name));
	}
	return owners;
}

/* How the one kind of membership is told and changed. */
struct membership {
	const char *kind;   /* "applications" in the layout */
	const char *one;    /* "application" */
	const char *key;    /* "containers" */
	const char *member; /* "container" */
	bool of_user;
};
static const struct membership of_applications = {"applications", "application", "containers",
						  "container", false};
static const struct membership of_users = {"users", "user", "clusters", "application", true};

static char *membership_path(const struct membership *m, const char *owner, const char *member)
{
	return m->of_user ? path_of_two("/user/clusters/", owner, member)
			  : path_of_two("/structure/container/", member, owner);
}

static int leave(struct diff *diff, const struct membership *m, const char *owner,
		 const char *member, const char *why)
{
	return diff_add(
		diff,
		(struct call){"DELETE", membership_path(m, owner, member), NULL,
			      diff_text("%s %s: without %s %s", m->one, owner, m->member, member)},
		"%s", why);
}

static int join(struct diff *diff, const struct membership *m, const char *owner,
		const char *member, const char *before)
{
	const char *kind = m->of_user ? "applications" : "containers";
	const json_t *doc = diff_find(diff->present, "structures", member);
	int r = 0;

	if (!diff_find(diff->layout, kind, member) &&
	    (!doc || strcmp(json_get_text(doc, "subtype"), m->member) != 0))
		return diff_impossible(diff, "%s %s: there is no %s '%s', nor is it in the layout",
				       m->one, owner, m->member, member);
	/* An owner that was taken out has let it go. */
	if (before && !(diff->prune && diff_names_kind(diff, m->kind) &&
			!diff_find(diff->layout, m->kind, before)))
		r = leave(diff, m, before, member, "it is to belong to another");
	if (r < 0)
		return r;
	return diff_add(
		diff,
		(struct call){"PUT", membership_path(m, owner, member), NULL,
			      diff_text("%s %s: with %s %s", m->one, owner, m->member, member)},
		"it %s", before ? "belongs to another" : "is no member");
}

static int join_all(struct diff *diff, const struct membership *m, const json_t *docs)
{
	_cleanup_json_ json_t *owners = owners_of(docs, m->one, m->key);
	const char *owner;
	json_t *item, *member;
	size_t i;
	int r = 0;

	json_object_foreach(json_object_get(diff->layout, m->kind), owner, item) {
		json_array_foreach(json_object_get(item, m->key), i, member) {
			const char *name = json_string_value(member);
			const char *now = json_string_value(json_object_get(owners, name));

			if (!now || strcmp(now, owner) != 0)
				r = join(diff, m, owner, name, now);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int diff_containers_of_applications(struct diff *diff)
{
	return join_all(diff, &of_applications, json_object_get(diff->present, "structures"));
}

int diff_applications_of_users(struct diff *diff)
{
	return join_all(diff, &of_users, json_object_get(diff->present, "users"));
}

/* --- taking out --- */

/* Members of the layout's own that it gives to nobody. */
static int prune_members(struct diff *diff, const struct membership *m, const json_t *docs)
{
	_cleanup_json_ json_t *wanted =
		owners_of(json_object_get(diff->layout, m->kind), NULL, m->key);
	const char *owner;
	json_t *item, *member;
	size_t i;
	int r = 0;

	json_object_foreach(json_object_get(diff->layout, m->kind), owner, item) {
		const json_t *doc = json_object_get(docs, owner);

		if (!json_object_get(item, m->key))
			continue;
		json_array_foreach(json_object_get(doc, m->key), i, member) {
			const char *name = json_string_value(member);

			if (name && !json_object_get(wanted, name))
				r = leave(diff, m, owner, name, "the layout does not have it");
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int prune_kind(struct diff *diff, const char *kind, const char *one, const json_t *docs,
		      const char *prefix)
{
	const char *name;
	json_t *doc;
	int r;

	if (!diff_names_kind(diff, kind))
		return 0;
	json_object_foreach((json_t *)docs, name, doc) {
		if (strcmp(json_get_text(doc, "subtype"), one) != 0 || diff_is_automatic(doc) ||
		    diff_find(diff->layout, kind, name))
			continue;
		r = diff_add(diff,
			     (struct call){"DELETE", request_path(prefix, name, ""), NULL,
					   diff_text("%s %s: desubscribe", one, name)},
			     "the layout does not have it");
		if (r < 0)
			return r;
	}
	return 0;
}

int diff_prune(struct diff *diff)
{
	const json_t *structures = json_object_get(diff->present, "structures");
	const json_t *users = json_object_get(diff->present, "users");
	int r;

	r = prune_members(diff, &of_users, users);
	if (r >= 0)
		r = prune_kind(diff, "users", "user", users, "/user/");
	if (r >= 0)
		r = prune_members(diff, &of_applications, structures);
	if (r >= 0)
		r = prune_kind(diff, "applications", "application", structures, "/structure/apps/");
	if (r >= 0)
		r = prune_kind(diff, "containers", "container", structures,
			       "/structure/container/");
	if (r >= 0)
		r = prune_kind(diff, "hosts", "host", structures, "/structure/host/");
	return r;
}
