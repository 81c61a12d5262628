/* SPDX-License-Identifier: Apache-2.0 */
/* The differences as they are found: calls, notes, what cannot be. */
#include "layout_diff_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "view.h"
#include "ebb/cleanup.h"

json_t *diff_find(const json_t *root, const char *kind, const char *name)
{
	return json_object_get(json_object_get(root, kind), name);
}

int diff_impossible(struct diff *diff, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(diff->ret_error, format, args);
	va_end(args);
	if (r < 0)
		*diff->ret_error = NULL;
	return r < 0 ? -ENOMEM : -EINVAL;
}

int diff_note(struct diff *diff, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return json_array_append_new(diff->notes, json_string(text)) < 0 ? -ENOMEM : 0;
}

bool diff_names_kind(const struct diff *diff, const char *kind)
{
	return json_is_true(diff_find(diff->layout, "told", kind));
}

int diff_add(struct diff *diff, struct call call, const char *format, ...)
{
	_cleanup_free_ char *path = call.path, *what = call.what, *why = NULL;
	_cleanup_json_ json_t *body = call.body;
	json_t *change;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&why, format, args);
	va_end(args);
	if (r < 0)
		why = NULL;
	if (!why || !path || !what)
		return -ENOMEM;
	change = json_pack("{s:s, s:s, s:s, s:s}", "what", what, "why", why, "method", call.method,
			   "path", path);
	if (body)
		json_object_set(change, "body", body);
	return json_array_append_new(diff->changes, change) < 0 ? -ENOMEM : 0;
}

char *diff_text(const char *format, ...)
{
	va_list args;
	char *made;
	int r;

	va_start(args, format);
	r = vasprintf(&made, format, args);
	va_end(args);
	return r < 0 ? NULL : made;
}

bool diff_is_automatic(const json_t *doc)
{
	return json_is_true(json_object_get(doc, "automatic"));
}
