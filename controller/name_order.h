/* SPDX-License-Identifier: Apache-2.0 */
/* Names in order, each with a pointer, for lists that are read page by page. Keys are borrowed:
 * they live at least as long as their entry. */
#ifndef EBB_NAME_ORDER_H
#define EBB_NAME_ORDER_H

#include <stddef.h>

struct name_order;

/* NULL on no memory. */
struct name_order *name_order_new(void);
void name_order_free(struct name_order *order);

size_t name_order_size(const struct name_order *order);
/* `value` is not NULL. -EEXIST, -ENOMEM. */
int name_order_add(struct name_order *order, const char *name, void *value);
/* What was there; NULL: nothing. */
void *name_order_remove(struct name_order *order, const char *name);
/*
 * Up to `n` values whose names come after `after` (which need not be there; NULL: the first ones),
 * in the order of the bytes of the names. Returns how many.
 */
size_t name_order_after(const struct name_order *order, const char *after, void **ret_values,
			size_t n);

#endif
