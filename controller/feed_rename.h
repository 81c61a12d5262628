/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that their agent tells under other names than before (docs/feed.md). */
#ifndef EBB_FEED_RENAME_H
#define EBB_FEED_RENAME_H

#include "feed_message.h"
#include "feed_session.h"
#include "model.h"
#include "scaler.h"

/*
 * What is held for those of `added` that were called otherwise goes with them, as far as their new
 * names are free and no other container of the host has the old ones: before the message's
 * `removed`, whose members are marked, and `added`, under the same lock.
 */
void feed_rename(struct model *model, struct scaler *scaler, const struct session *session,
		 const struct feed_message *message);

#endif
