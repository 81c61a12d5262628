/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A continuous `_changes`, as a server or whoever sits between sends it. The first byte says how
 * large the pieces are; whatever they are, the same lines come out.
 */
#include "../fuzz.h"
#include "couchdb_documents.h"
#include "couchdb_feed.h"
#include "ebb/log.h"

#define LINE_MAX_HERE 512

struct lines {
	uint64_t hash;
	size_t n;
	struct couchdb_documents *documents; /* NULL: count only */
};

static int on_line(void *userdata, const char *line, size_t len)
{
	struct lines *lines = userdata;
	struct couchdb_change change;
	COUCHDB_TOLD_LIST(told);

	lines->n++;
	for (size_t i = 0; line && i <= len; i++)
		lines->hash = (lines->hash ^ (unsigned char)line[i]) * 0x100000001b3;
	if (!line)
		return 0;
	FUZZ_CHECK(len > 0 && len <= LINE_MAX_HERE && line[len] == '\0');
	if (!lines->documents || couchdb_change_parse(line, len, &change) < 0)
		return 0;
	FUZZ_CHECK(change.id ? change.rev != NULL : !change.doc);
	FUZZ_CHECK(!change.deleted || !change.doc);
	FUZZ_CHECK(couchdb_documents_take(lines->documents, &change, &told) == 0);
	while (told.first) {
		struct couchdb_told *item = told.first;

		told.first = item->next;
		FUZZ_CHECK(*item->key || !item->doc || json_is_object(item->doc));
		couchdb_told_free(item);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct couchdb_lines whole = {.max = LINE_MAX_HERE}, pieces = {.max = LINE_MAX_HERE};
	struct lines once = {}, again = {};
	size_t piece;

	if (size < 1)
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	piece = data[0] + 1;
	data++;
	size--;
	if (couchdb_documents_new(DB_STRUCTURES, &once.documents) < 0)
		abort();
	FUZZ_CHECK(couchdb_lines_take(&whole, (const char *)data, size, on_line, &once) == 0);
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		FUZZ_CHECK(couchdb_lines_take(&pieces, (const char *)data + at, n, on_line,
					      &again) == 0);
	}
	FUZZ_CHECK(once.n == again.n && once.hash == again.hash);
	couchdb_lines_clear(&whole);
	couchdb_lines_clear(&pieces);
	couchdb_documents_free(once.documents);
	return 0;
}
