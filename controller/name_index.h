/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table from names to pointers. Keys are borrowed: they live at least as long as their
 * entry. */
#ifndef EBB_NAME_INDEX_H
#define EBB_NAME_INDEX_H

#include <stddef.h>

struct name_index;

/* NULL on no memory. */
struct name_index *name_index_new(void);
void name_index_free(struct name_index *index);

size_t name_index_size(const struct name_index *index);
/* NULL: no such name. */
void *name_index_get(const struct name_index *index, const char *name);
/* `value` is not NULL. -EEXIST, -ENOMEM. */
int name_index_add(struct name_index *index, const char *name, void *value);
/* What was there; NULL: nothing. */
void *name_index_remove(struct name_index *index, const char *name);

#endif
