/* SPDX-License-Identifier: Apache-2.0 */
/* What the model keeps for member_sums.h and guarding_parents.c. */
#ifndef EBB_MEMBER_LISTS_H
#define EBB_MEMBER_LISTS_H

struct contribution;
struct member_sums;

struct member_queues {
	struct member_sums *first, *last;
};

struct member_lists {
	struct {
		struct contribution *first, *last;
	} measured[2];                     /* oldest first: fast feeds, slow ones */
	struct member_queues due, resting; /* guarded ones, in the order of their evaluation */
};

#endif
