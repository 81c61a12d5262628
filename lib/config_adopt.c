/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/util.h"

static size_t size_of(enum option_kind kind)
{
	switch (kind) {
	case OPTION_STRING: return sizeof(char *);
	case OPTION_LIST: return sizeof(struct string_list);
	case OPTION_UINT: return sizeof(unsigned);
	case OPTION_BOOL: return sizeof(bool);
	case OPTION_CHOICE: return sizeof(int);
	}
	return 0;
}

/* Blanks stand where an argument's password was. */
static bool same_secret(const char *a, const char *b)
{
	_cleanup_free_ char *public_a = url_public(a), *public_b = url_public(b);
	size_t n_a = public_a ? strlen(public_a) : 0, n_b = public_b ? strlen(public_b) : 0;

	while (n_a && public_a[n_a - 1] == ' ')
		n_a--;
	while (n_b && public_b[n_b - 1] == ' ')
		n_b--;
	return n_a == n_b && (!n_a || !memcmp(public_a, public_b, n_a));
}

static bool same(const struct option_spec *spec, const void *a, const void *b)
{
	if (spec->kind == OPTION_STRING) {
		const char *text_a = *(char *const *)a, *text_b = *(char *const *)b;

		if (!text_a || !text_b)
			return text_a == text_b;
		return spec->secret ? same_secret(text_a, text_b) : !strcmp(text_a, text_b);
	}
	if (spec->kind == OPTION_LIST) {
		const struct string_list *list_a = a, *list_b = b;

		for (size_t i = 0; i < list_a->n && i < list_b->n; i++)
			if (strcmp(list_a->items[i], list_b->items[i]))
				return false;
		return list_a->n == list_b->n;
	}
	return !memcmp(a, b, size_of(spec->kind));
}

void config_adopt(const struct config_program *program, void *target, void *fresh, char *buffer,
		  size_t size)
{
	size_t at = 0;

	*buffer = '\0';
	for (size_t i = 0; i < program->n_options; i++) {
		const struct option_spec *spec = &program->options[i];
		char *old = (char *)target + spec->offset, *new = (char *)fresh + spec->offset;
		size_t n = size_of(spec->kind);

		if (same(spec, old, new))
			continue;
		if (spec->reloads) {
			char swapped[sizeof(struct string_list)];

			memcpy(swapped, old, n);
			memcpy(old, new, n);
			memcpy(new, swapped, n);
		} else if (at < size) {
			at += (size_t)snprintf(buffer + at, size - at, "%s%s", at ? ", " : "",
					       spec->name);
		}
	}
}
