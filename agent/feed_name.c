/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_name.h"

#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

void feed_name_clear(struct feed_name *name)
{
	free(name->told);
	free(name->was);
	*name = (struct feed_name){0};
}

void feed_name_sent(struct feed_name *name, const char *told, bool by_id)
{
	free(name->told);
	name->told = strdup(told);
	name->by_id = by_id;
}

void feed_name_arrived(struct feed_name *name)
{
	name->heard = true;
}

void feed_name_refused(struct feed_name *name)
{
	name->heard = false;
	/* Whatever is held for it is not this one's. */
	name->by_id = false;
}

bool feed_name_changed(struct feed_name *name)
{
	/* The oldest that the controller may still know it by. */
	if (name->was && !name->heard)
		return false;
	free(name->was);
	name->was = name->told && name->by_id ? TAKE_PTR(name->told) : NULL;
	name->by_id = false;
	name->heard = false;
	return name->was;
}

const char *feed_name_was(const struct feed_name *name, const char *told)
{
	return name->was && strcmp(name->was, told) ? name->was : NULL;
}
