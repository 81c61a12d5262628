/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container's engine says of it, as its agent tells: kept in the structure's document as
 * `labels`, {"engine", "name", "id", "namespace", "pod", "image"}, those that are known.
 */
#ifndef EBB_CONTROLLER_LABELS_H
#define EBB_CONTROLLER_LABELS_H

#include <jansson.h>

struct model;
struct structure;

/*
 * Takes "engine" and "labels" of one of the feed's `added` or `limits`; without "labels" nothing
 * changes. What is no label, no text or too long is left out. Nothing is kept of a container that
 * has only its name.
 */
void labels_take(struct model *model, struct structure *structure, const json_t *told);

/* For /metrics: `,engine="docker",image="..."`, escaped. NULL: there are none. Caller frees. */
char *labels_metrics(const struct structure *structure);

#endif
