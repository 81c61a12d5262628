/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's engine calls it: shown to people and put on metrics, never a path. */
#ifndef EBB_LABELS_H
#define EBB_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#define LABEL_MAX 255

/* Each may be NULL: not known, or there is no such thing. Valid UTF-8, no control characters. */
struct container_labels {
	char *name; /* as the engine and its user say it; in a pod: within the pod */
	char *id;
	char *namespace; /* of Kubernetes */
	char *pod;
	char *image;
};

/* The name of each field ("name", "id", ...) and where it is; `index` from 0 to LABELS_N - 1. */
#define LABELS_N 5
const char *labels_key(size_t index);
char **labels_at(struct container_labels *labels, size_t index);
const char *labels_get(const struct container_labels *labels, size_t index);

void labels_clear(struct container_labels *labels);
bool labels_equal(const struct container_labels *a, const struct container_labels *b);

/*
 * Takes a copy of text that comes from outside (NULL: none) for a label. Left out (*label stays as
 * it is, return false): empty, not UTF-8, with control characters. Cut at LABEL_MAX bytes, between
 * characters. Running out of memory is like a label that is not known.
 */
bool label_take(char **label, const char *text);
/* The same for a name: also no "." and "..", and '/' becomes '_'. */
bool label_take_name(char **label, const char *text);

/*
 * The name that Ebb gives: the engine's, and in a pod NAMESPACE_POD_NAME, which no two containers
 * of a cluster have at a time. At most LABEL_MAX bytes: longer ones end in a hash of the whole.
 * Caller frees. NULL: without a name, or no memory.
 */
char *labels_base_name(const struct container_labels *labels);

#endif
