/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "model.h"
#include "model_private.h"
#include "structure.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define FIELD     "labels"
#define LABEL_MAX 255

/* "engine" first: it is beside the others in the message. */
static const char *const keys[] = {"engine", "name", "id", "namespace", "pod", "image"};

static void take(json_t *labels, const char *key, const json_t *value)
{
	const char *text = json_string_value(value);

	if (text && name_is_sane(text, LABEL_MAX))
		json_object_set_new(labels, key, json_string(text));
}

/* A --containers glob has no engine that would say anything. */
static bool says_something(const struct structure *structure, const json_t *labels)
{
	const char *name = json_string_value(json_object_get(labels, "name"));

	for (size_t i = 2; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(labels, keys[i]))
			return true;
	return name && strcmp(name, structure->name) != 0;
}

void labels_take(struct model *model, struct structure *structure, const json_t *told)
{
	const json_t *given = json_object_get(told, FIELD);
	_cleanup_json_ json_t *labels = json_object();
	json_t *doc;

	if (!json_is_object(given) || !labels)
		return;
	take(labels, keys[0], json_object_get(told, keys[0]));
	for (size_t i = 1; i < ARRAY_SIZE(keys); i++)
		take(labels, keys[i], json_object_get(given, keys[i]));
	if (!says_something(structure, labels)) {
		if (!json_object_get(structure->doc, FIELD))
			return;
		json_object_clear(labels);
	}
	if (json_equal(labels, json_object_get(structure->doc, FIELD)))
		return;
	doc = structure_own_doc(&structure->doc);
	if (json_object_size(labels))
		json_object_set(doc, FIELD, labels);
	else
		json_object_del(doc, FIELD);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
}

char *labels_metrics(const struct structure *structure)
{
	const json_t *labels = json_object_get(structure->doc, FIELD);
	char *text = NULL;

	/* An operator may have written anything into the document. */
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = json_string_value(json_object_get(labels, keys[i]));
		_cleanup_free_ char *escaped = NULL;
		char *longer;

		if (!value || strlen(value) > LABEL_MAX || !strcmp(keys[i], "id"))
			continue;
		escaped = metrics_escape(value);
		if (!escaped ||
		    asprintf(&longer, "%s,%s=\"%s\"", text ? text : "",
			     strcmp(keys[i], "name") ? keys[i] : "container", escaped) < 0)
			break;
		free(text);
		text = longer;
	}
	return text;
}
