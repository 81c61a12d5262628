/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What applications have of their containers, and users of their applications: sums by resource,
 * written into the documents where they changed. Who belongs to whom: hierarchy.h.
 */
#ifndef EBB_AGGREGATE_H
#define EBB_AGGREGATE_H

#include "model.h"

struct aggregate {
	const char *field;        /* "current" or "usage" */
	unsigned resources;       /* 1 << enum ebb_resource; those that a document has are set */
	bool applications, users; /* which of them are written */
	/* One that has no members is at 0; else, as when no member has a value, the field is left
	 * out. */
	bool empty_is_zero;
	/* The field is left out for all other resources, because nobody else sets it. */
	bool exclusive;
	/* Lock held; NAN: the container has none and adds nothing. */
	double (*of_container)(void *userdata, struct structure *container,
			       enum ebb_resource resource);
	void *userdata;
};

struct aggregate_result {
	size_t applications, users, containers; /* looked at */
	size_t changed;                         /* documents written */
	double hold_s;                          /* the longest hold of the lock */
};

/*
 * Takes the lock, in pieces. `disk`, where a document has it, gets the sum of disk_read and
 * disk_write when both are asked for. -ENOMEM.
 */
int aggregate_run(struct model *model, const struct aggregate *aggregate,
		  struct aggregate_result *ret_result);

#endif
