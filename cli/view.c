/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

double json_get_real(const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : fallback;
}

int64_t json_get_integer(const json_t *object, const char *key, int64_t fallback)
{
	double value = json_get_real(object, key, NAN);

	return fabs(value) < 1e15 ? (int64_t)value : fallback;
}

const char *json_get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

void view_read(const json_t *doc, struct structure_view *ret_view)
{
	const json_t *live = json_object_get(doc, "live");
	const json_t *connected = json_object_get(live, "connected");
	struct structure_view view = {
		.name = json_get_text(doc, "name"),
		.host = json_get_text(doc, "host"),
		.labels = json_object_get(doc, "labels"),
		.guard = json_is_true(json_object_get(doc, "guard")),
		.manual = json_is_object(json_object_get(doc, "manual")) &&
			  !json_is_true(json_object_get(doc, "guard")),
		.connection = json_is_true(connected)    ? CONNECTION_UP
			      : json_is_false(connected) ? CONNECTION_AWAY
							 : CONNECTION_UNKNOWN,
		.throttled = json_get_real(live, "throttled", NAN),
	};

	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const char *name = ebb_resource_name(i);
		const json_t *kept = json_object_get(json_object_get(doc, "resources"), name);
		const json_t *now = json_object_get(json_object_get(live, "resources"), name);

		view.resources[i] = (struct resource_view){
			.present = kept != NULL,
			.guard = json_is_true(json_object_get(kept, "guard")),
			.max = json_get_integer(kept, "max", -1),
			.min = json_get_integer(kept, "min", -1),
			.current = json_get_integer(kept, "current", -1),
			.upper = json_get_integer(now, "upper", -1),
			.lower = json_get_integer(now, "lower", -1),
			.usage = json_get_real(now, "usage", NAN),
		};
	}
	*ret_view = view;
}

/* Most CPU first; what is not measured last; then by name, so that idle ones do not dance. */
static int compare(const void *a, const void *b)
{
	const struct structure_view *va = a, *vb = b;
	double ua = va->resources[EBB_CPU].usage, ub = vb->resources[EBB_CPU].usage;

	ua = isfinite(ua) ? round(ua) : -1;
	ub = isfinite(ub) ? round(ub) : -1;
	if (ua != ub)
		return ua < ub ? 1 : -1;
	return strcmp(va->name, vb->name);
}

static bool wanted(const char *name, char *const *globs)
{
	if (!*globs)
		return true;
	for (; *globs; globs++)
		if (!fnmatch(*globs, name, 0))
			return true;
	return false;
}

int views_read(const json_t *docs, const json_t *decisions, char *const *globs,
	       struct structure_view **ret_views, size_t *ret_n)
{
	struct structure_view *views = calloc(json_array_size(docs) + 1, sizeof(*views));
	_cleanup_json_ json_t *newest = json_object();
	json_t *doc;
	size_t i, n = 0;

	if (!views || !newest) {
		free(views);
		return -ENOMEM;
	}
	json_array_foreach((json_t *)decisions, i, doc) {
		const char *name = json_get_text(doc, "structure");

		if (!json_object_get(newest, name))
			json_object_set(newest, name, doc);
	}
	json_array_foreach((json_t *)docs, i, doc) {
		if (!wanted(json_get_text(doc, "name"), globs))
			continue;
		view_read(doc, &views[n]);
		/* Held by `decisions`, which outlives the views. */
		views[n].decision = json_object_get(newest, views[n].name);
		n++;
	}
	qsort(views, n, sizeof(*views), compare);
	*ret_views = views;
	*ret_n = n;
	return 0;
}

void decision_brief(const json_t *decision, char *text, size_t size)
{
	const char *resource = json_get_text(decision, "resource");
	const char *outcome = json_get_text(decision, "outcome");
	bool max = strcmp(json_get_text(decision, "field"), "max") == 0;
	int64_t before = json_get_integer(decision, max ? "max" : "current", -1);
	int64_t after = json_get_integer(decision, "applied", -1);

	if (after >= 0 && before >= 0)
		snprintf(text, size, "%s %s%lld>%lld", resource, max ? "max " : "",
			 (long long)before, (long long)after);
	else if (after >= 0)
		snprintf(text, size, "%s >%lld", resource, (long long)after);
	else
		snprintf(text, size, "%s %s", resource, outcome);
}

void view_bar(const struct resource_view *view, unsigned width, bool utf8, char *text)
{
	double scale = view->max > 0 ? (double)width / (double)view->max : 0;
	unsigned filled, mark;
	char *out = text;

	filled = isfinite(view->usage) ? (unsigned)CLAMP(round(view->usage * scale), 0, width) : 0;
	mark = view->current >= 0 ? (unsigned)CLAMP(round(view->current * scale), 1, width) : 0;
	for (unsigned i = 1; i <= width; i++) {
		if (i == mark)
			out = stpcpy(out, utf8 ? "▏" : "|");
		else if (i <= filled)
			out = stpcpy(out, utf8 ? "█" : "#");
		else
			out = stpcpy(out, utf8 ? "·" : ".");
	}
	*out = '\0';
}
