/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_rename.h"

#include <errno.h>
#include <stdlib.h>

#include "name_index.h"
#include "ebb/cleanup.h"

/* Who has a name: of the session's containers, and of those that the message tells of. */
struct names {
	struct name_index *members; /* to struct member, one that stays if there is one */
	struct name_index *added;   /* to its entry; to the whole array: there are several */
};

static void names_clear(struct names *names)
{
	name_index_free(names->members);
	name_index_free(names->added);
}

static bool add_members(const struct session *session, bool going, struct names *names)
{
	for (size_t i = 0; i < session->n; i++) {
		struct member *member = session->members[i];

		if (member->goes == going &&
		    name_index_add(names->members, member->name, member) == -ENOMEM)
			return false;
	}
	return true;
}

static bool names_take(const struct session *session, const struct feed_message *message,
		       struct names *names)
{
	const json_t *added;
	size_t i;
	int r;

	names->members = name_index_new();
	names->added = name_index_new();
	if (!names->members || !names->added || !add_members(session, false, names) ||
	    !add_members(session, true, names))
		return false;
	json_array_foreach(message->added, i, added) {
		const char *name = json_string_value(json_object_get(added, "name"));

		r = name_index_add(names->added, name, (void *)added);
		if (r == -EEXIST) {
			name_index_remove(names->added, name);
			r = name_index_add(names->added, name, message->added);
		}
		if (r < 0)
			return false;
	}
	return true;
}

/* An agent says what a container was called as long as that lives: another one may be called so by
 * now. */
static bool has_an_owner(const struct names *names, const char *name)
{
	const struct member *member = name_index_get(names->members, name);

	return member ? !member->goes : name_index_get(names->added, name) != NULL;
}

/* One that is not there any more, and of which nobody has changed a thing. */
static bool gives_way(const struct names *names, const struct feed_message *message,
		      const struct host *host, const struct structure *s)
{
	return s->subtype == STRUCTURE_CONTAINER && s->host == host && !s->live && s->automatic &&
	       !s->guard && name_index_get(names->added, s->name) != message->added;
}

/* What may be called otherwise from now on; NULL: nothing of this host is. */
static struct structure *former(struct model *model, const struct host *host, const json_t *added)
{
	const char *was = json_string_value(json_object_get(added, "was"));
	struct structure *s = was ? model_structure(model, was) : NULL;

	return s && s->subtype == STRUCTURE_CONTAINER && s->host == host ? s : NULL;
}

static void rename_one(struct model *model, struct scaler *scaler, const struct host *host,
		       const struct feed_message *message, const struct names *names,
		       const json_t *added)
{
	const char *was = json_string_value(json_object_get(added, "was"));
	const char *name = json_string_value(json_object_get(added, "name"));
	struct structure *s = former(model, host, added);
	struct structure *taken = model_structure(model, name);

	if (!s || s == taken || has_an_owner(names, was))
		return;
	/* Nobody has changed a thing of it. */
	if (s->automatic && !s->guard)
		return;
	if (model_can_rename(s, name) < 0) {
		model_log(model, LOG_LEVEL_WARNING,
			  "%s is called %s now, and what was held for it stays behind", was, name);
		return;
	}
	if (taken && gives_way(names, message, host, taken)) {
		scaler_forget(scaler, taken);
		model_container_gone(model, taken);
		taken = NULL;
	}
	if (taken) {
		model_log(model, LOG_LEVEL_INFO,
			  "%s is called %s now, which is known already: what is held for that name "
			  "counts from here",
			  was, name);
		return;
	}
	scaler_renamed(scaler, s);
	/* What an order has set aside for it goes back, and is set aside anew when it is added. */
	if (s->in_flight || s->operating)
		model_container_gone(model, s);
	if (model_rename(model, s, name) < 0)
		model_log(model, LOG_LEVEL_ERROR, "No memory to keep what was held for %s as %s",
			  was, name);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = json_integer_value(json_object_get(*(const json_t *const *)a, "c"));
	int64_t y = json_integer_value(json_object_get(*(const json_t *const *)b, "c"));

	return x < y ? -1 : x > y;
}

void feed_rename(struct model *model, struct scaler *scaler, const struct session *session,
		 const struct feed_message *message)
{
	_cleanup_free_ const json_t **renames = NULL;
	const struct host *host = session->host;
	struct names names = {0};
	json_t *added;
	size_t i, n = 0;

	/* Mostly said before, and done. */
	json_array_foreach(message->added, i, added)
		n += former(model, host, added) != NULL;
	renames = n ? calloc(n, sizeof(*renames)) : NULL;
	if (!renames)
		return;
	n = 0;
	json_array_foreach(message->added, i, added) {
		if (former(model, host, added))
			renames[n++] = added;
	}
	/* In the order in which they happened: the second may take what the first has left. */
	qsort(renames, n, sizeof(*renames), by_number);
	if (names_take(session, message, &names))
		for (i = 0; i < n; i++)
			rename_one(model, scaler, host, message, &names, renames[i]);
	names_clear(&names);
}
