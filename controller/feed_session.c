/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_session.h"

#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

static size_t member_place(const struct session *session, int64_t c)
{
	size_t low = 0, high = session->n;

	/* Numbers only rise: most are appended. */
	if (high && session->members[high - 1]->c < c)
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (session->members[middle]->c < c)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct member *member_find(const struct session *session, int64_t c)
{
	size_t at = member_place(session, c);

	return at < session->n && session->members[at]->c == c ? session->members[at] : NULL;
}

static void member_free(struct member *member)
{
	free(member->name);
	free(member);
}

struct member *member_add(struct session *session, int64_t c, const char *name)
{
	struct member *member = member_find(session, c);
	size_t at = member_place(session, c);

	if (member)
		return member;
	if (session->n == session->room) {
		size_t room = MAX(2 * session->room, (size_t)16);
		struct member **members =
			reallocarray(session->members, room, sizeof(struct member *));

		if (!members)
			return NULL;
		session->members = members;
		session->room = room;
	}
	member = calloc(1, sizeof(*member));
	if (!member)
		return NULL;
	member->c = c;
	member->name = strdup(name);
	if (!member->name) {
		free(member);
		return NULL;
	}
	memmove(&session->members[at + 1], &session->members[at],
		(session->n - at) * sizeof(struct member *));
	session->members[at] = member;
	session->n++;
	return member;
}

void member_remove(struct session *session, int64_t c)
{
	size_t at = member_place(session, c);

	member_free(session->members[at]);
	memmove(&session->members[at], &session->members[at + 1],
		(session->n - at - 1) * sizeof(struct member *));
	session->n--;
}

void feed_session_free(struct session *session)
{
	for (size_t i = 0; i < session->n; i++)
		member_free(session->members[i]);
	free(session->members);
	free(session->host_name);
	free(session->id);
	free(session);
}

struct session *feed_session_new(const char *id, const char *host_name)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->id = strdup(id);
	session->host_name = strdup(host_name);
	if (!session->id || !session->host_name) {
		feed_session_free(session);
		return NULL;
	}
	session->seq = -1;
	return session;
}
