/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the site's controllers is fed, and when to go to another. Pure but for its jitter. */
#ifndef EBB_CONTROLLERS_H
#define EBB_CONTROLLERS_H

#include <stdbool.h>
#include <stddef.h>

#include "ebb/config.h"

struct controllers {
	const struct string_list *urls; /* borrowed, at least one */
	size_t at;
	unsigned silent; /* answers that did not come, in a row */
	bool followed;   /* went where one pointed, and was not taken there yet */
};

void controllers_init(struct controllers *controllers, const struct string_list *urls);
const char *controllers_current(const struct controllers *controllers);
/* The current one has taken the feed. */
void controllers_settle(struct controllers *controllers);
/*
 * It did not: milliseconds to wait before asking who is current then. `spoke`: it answered, so
 * there is somebody, and a leader soon. `leader` (NULL: not told): where it points to. Only the
 * configured ones are gone to: the token goes along.
 */
unsigned controllers_move_on(struct controllers *controllers, bool spoke, const char *leader);

#endif
