/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_rename.h"

#include <stdlib.h>

#include "ebb/cleanup.h"

static void rename_one(struct model *model, struct scaler *scaler, const struct host *host,
		       const json_t *added, bool registers)
{
	const char *was = json_string_value(json_object_get(added, "was"));
	const char *name = json_string_value(json_object_get(added, "name"));
	struct structure *s = model_structure(model, was);
	const struct structure *taken = model_structure(model, name);

	if (!s || s->subtype != STRUCTURE_CONTAINER || s->host != host || s == taken ||
	    (!s->live && !registers))
		return;
	if (taken) {
		model_log(model, LOG_LEVEL_INFO,
			  "%s is called %s now, which is known already: what is held for that name "
			  "counts from here",
			  was, name);
		return;
	}
	/* Nobody has changed a thing of it. */
	if (s->automatic && !s->guard)
		return;
	scaler_forget(scaler, s);
	/* What an order has set aside for it goes back, and is set aside anew when it is added. */
	if (s->in_flight || s->operating)
		model_container_gone(model, s);
	if (model_rename(model, s, name) < 0)
		model_log(model, LOG_LEVEL_WARNING,
			  "%s is called %s now, and what was held for it stays behind", was, name);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = json_integer_value(json_object_get(*(const json_t *const *)a, "c"));
	int64_t y = json_integer_value(json_object_get(*(const json_t *const *)b, "c"));

	return x < y ? -1 : x > y;
}

void feed_rename(struct model *model, struct scaler *scaler, struct host *host,
		 const struct feed_message *message)
{
	_cleanup_free_ const json_t **renames = NULL;
	json_t *added;
	size_t i, n = 0;

	json_array_foreach(message->added, i, added)
		n += json_object_get(added, "was") != NULL;
	renames = n ? calloc(n, sizeof(*renames)) : NULL;
	if (!renames)
		return;
	n = 0;
	json_array_foreach(message->added, i, added) {
		if (json_object_get(added, "was"))
			renames[n++] = added;
	}
	/* In the order in which they happened: the second may take what the first has left. */
	qsort(renames, n, sizeof(*renames), by_number);
	for (i = 0; i < n; i++)
		rename_one(model, scaler, host, renames[i], message->registration);
}
