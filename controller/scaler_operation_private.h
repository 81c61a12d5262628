/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of operations: scaler_operation.c drives each from its orders to its end,
 * moving shares (_shares), changing what the model says (_commit) and telling the audit (_record).
 * All with the model's lock held.
 */
#ifndef EBB_SCALER_OPERATION_PRIVATE_H
#define EBB_SCALER_OPERATION_PRIVATE_H

#include "scaler_private.h"

#define foreach_change(it, operation)                  \
	for (struct change *it = (operation)->changes; \
	     it < (operation)->changes + (operation)->n_changes; it++)
#define foreach_parent(it, operation)                         \
	for (struct parent_change *it = (operation)->parents; \
	     it < (operation)->parents + (operation)->n_parents; it++)

static inline unsigned operation_bit(const struct operation *operation)
{
	return 1u << operation->request.resource;
}

static inline bool change_gives(const struct change *change)
{
	return change->to < change->from;
}

static inline bool change_gets(const struct change *change)
{
	return change->to > change->from;
}

/* scaler_operation_shares.c */
/* NULL: it has gone, or what has its name now is another one. */
struct structure *change_structure(const struct scaler *scaler, const struct change *change);
/* All that receivers need and donors do not give up. */
bool operation_set_aside(struct scaler *scaler, struct operation *operation);
/* Nothing has been ordered: all as it was. */
void operation_set_back(struct scaler *scaler, struct operation *operation);
/* Donors are done: what they gave up is the receivers' from here on. */
bool operation_move_shares(struct scaler *scaler, struct operation *operation);
/* Receivers are back at what they had, and so are all shares. */
void operation_restore_shares(struct scaler *scaler, struct operation *operation);
/* It goes, and its shares are still there: those that came from donors go back to them. */
void change_lose(struct scaler *scaler, struct change *change);

/* scaler_operation_commit.c */
/* What has changed under it, so that it cannot be as planned; NULL: nothing. */
const char *change_overtaken(const struct scaler *scaler, const struct change *change);
/* All of it is in force: the limits of all, and the sums above them, are what was planned. */
void operation_commit(struct scaler *scaler, struct operation *operation);

/* scaler_operation_record.c */
void operation_record_applied(struct scaler *scaler, const struct operation *operation);
/* `reason`: of those that did not fail themselves. */
void operation_record_back(struct scaler *scaler, const struct operation *operation,
			   const char *reason);

#endif
