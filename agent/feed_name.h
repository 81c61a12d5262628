/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which name the controller knows a container, and when what it holds for that one goes along
 * to another name: only from the id, which a container is told under while its engine does not say
 * what it is called. What is held for any other name is for whoever has that name. Pure.
 */
#ifndef EBB_FEED_NAME_H
#define EBB_FEED_NAME_H

#include <stdbool.h>

/* Zeroed: it was never told. */
struct feed_name {
	char *told; /* the name that it was told under last; NULL: none */
	bool by_id; /* that is its id */
	/* The id that it was told under before, to be told with each new session: the controller
	 * may have heard of it, and died before it wrote that down. */
	char *was;
	bool heard; /* of the name that came after `was` */
};

void feed_name_clear(struct feed_name *name);
/* A message has it as `told`. Without memory it goes without `was`, should it ever change. */
void feed_name_sent(struct feed_name *name, const char *told, bool by_id);
/* That message has arrived. */
void feed_name_arrived(struct feed_name *name);
/* The controller would not have it under that name. */
void feed_name_refused(struct feed_name *name);
/* It is called otherwise now. True: what is held for `was` goes along. */
bool feed_name_changed(struct feed_name *name);
/* What to tell beside `told`; NULL: nothing. */
const char *feed_name_was(const struct feed_name *name, const char *told);

#endif
