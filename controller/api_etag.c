/* SPDX-License-Identifier: Apache-2.0 */
/* ETag, If-Match and If-None-Match: changes that know what they change. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "document_merge.h"
#include "ebb/cleanup.h"

#define TAG_SIZE 32

static void tag_of(enum store_db db, const json_t *doc, char tag[TAG_SIZE])
{
	snprintf(tag, TAG_SIZE, "\"%016" PRIx64 "\"", document_version(db, doc));
}

void api_etag(struct http_call *call, enum store_db db, const json_t *doc)
{
	char tag[TAG_SIZE];

	tag_of(db, doc, tag);
	http_reply_header(call, "ETag", tag);
}

void api_resume_etag(struct http_deferred *deferred, enum store_db db, const json_t *doc)
{
	char tag[TAG_SIZE];

	tag_of(db, doc, tag);
	http_resume_header(deferred, "ETag", tag);
}

/* Does the list of a header name what is there? `doc` NULL: nothing is. */
static bool names_it(const char *list, enum store_db db, const json_t *doc)
{
	char tag[32];
	size_t len;

	if (!doc)
		return false;
	len = (size_t)snprintf(tag, sizeof(tag), "%016" PRIx64, document_version(db, doc));
	while (*list) {
		list += strspn(list, " \t,");
		if (*list == '*')
			return true;
		/* A weak one says as much: it is about the configuration either way. */
		if (!strncmp(list, "W/", 2))
			list += 2;
		list += *list == '"';
		if (!strncmp(list, tag, len) && strcspn(list, "\", \t") == len)
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

bool api_if_none_match(struct http_call *call, enum store_db db, const json_t *doc)
{
	const char *list = http_header(call, "If-None-Match");

	if (!list || !names_it(list, db, doc))
		return false;
	http_reply_text(call, 304, "application/json", "", 0);
	return true;
}

bool api_may_change(struct http_call *call, enum store_db db, const json_t *doc)
{
	const char *match = http_header(call, "If-Match");
	const char *none = http_header(call, "If-None-Match");
	const char *name = json_string_value(json_object_get(doc, "name"));

	if (!name)
		name = call->captures[0];
	if (match && !names_it(match, db, doc)) {
		http_reply_error(
			call, 412,
			doc ? "'%s' is not as If-Match says any more: somebody has changed it. "
			      "Read it again, and repeat the change on what is there now"
			    : "There is no '%s' that If-Match could be about",
			name);
		return false;
	}
	if (none && names_it(none, db, doc)) {
		http_reply_error(
			call, 412,
			"'%s' is there already, and If-None-Match says that it must not be", name);
		return false;
	}
	return true;
}

bool api_is_conditional(struct http_call *call)
{
	return http_header(call, "If-Match") || http_header(call, "If-None-Match");
}

bool api_may_change_structure(struct http_call *call, const struct structure *structure)
{
	bool user = structure && structure->subtype == STRUCTURE_USER;
	enum store_db db = user ? DB_USERS : DB_STRUCTURES;
	_cleanup_json_ json_t *doc = NULL;

	if (!api_is_conditional(call))
		return true;
	doc = structure ? structure_to_json(structure) : NULL;
	return api_may_change(call, db, doc);
}
