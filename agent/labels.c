/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "hash.h"

static const struct {
	const char *key;
	size_t offset;
} fields[LABELS_N] = {
	{"name", offsetof(struct container_labels, name)},
	{"id", offsetof(struct container_labels, id)},
	{"namespace", offsetof(struct container_labels, namespace)},
	{"pod", offsetof(struct container_labels, pod)},
	{"image", offsetof(struct container_labels, image)},
};

const char *labels_key(size_t index)
{
	return index < LABELS_N ? fields[index].key : NULL;
}

char **labels_at(struct container_labels *labels, size_t index)
{
	return index < LABELS_N ? (char **)((char *)labels + fields[index].offset) : NULL;
}

const char *labels_get(const struct container_labels *labels, size_t index)
{
	return index < LABELS_N ? *(char *const *)((const char *)labels + fields[index].offset)
				: NULL;
}

void labels_clear(struct container_labels *labels)
{
	for (size_t i = 0; i < LABELS_N; i++)
		free(*labels_at(labels, i));
	*labels = (struct container_labels){0};
}

bool labels_equal(const struct container_labels *a, const struct container_labels *b)
{
	for (size_t i = 0; i < LABELS_N; i++) {
		const char *one = labels_get(a, i), *other = labels_get(b, i);

		if (!one != !other || (one && strcmp(one, other)))
			return false;
	}
	return true;
}

bool label_take(char **label, const char *text)
{
	if (!text || !name_is_sane(text, strlen(text)))
		return false;

	char *copy = strndup(text, utf8_fit(text, LABEL_MAX));
	if (!copy)
		return false;
	free(*label);
	*label = copy;
	return true;
}

bool label_take_name(char **label, const char *text)
{
	if (!text || !strcmp(text, ".") || !strcmp(text, "..") || !label_take(label, text))
		return false;
	for (char *at = *label; (at = strchr(at, '/'));)
		*at = '_';
	return true;
}

char *labels_base_name(const struct container_labels *labels)
{
	_cleanup_free_ char *whole = NULL;
	char *name;

	if (!labels->name)
		return NULL;
	if (!labels->pod || !labels->namespace)
		return strdup(labels->name);
	if (asprintf(&whole, "%s_%s_%s", labels->namespace, labels->pod, labels->name) < 0) {
		whole = NULL;
		return NULL;
	}
	for (char *at = whole; (at = strchr(at, '/'));)
		*at = '_';
	if (strlen(whole) <= LABEL_MAX)
		return TAKE_PTR(whole);
	if (asprintf(&name, "%.*s-%016" PRIx64, (int)utf8_fit(whole, LABEL_MAX - 17), whole,
		     hash_string(whole)) < 0)
		return NULL;
	return name;
}
