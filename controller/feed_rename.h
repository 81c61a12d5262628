/* SPDX-License-Identifier: Apache-2.0 */
/* Containers that their agent tells under other names than before (docs/feed.md). */
#ifndef EBB_FEED_RENAME_H
#define EBB_FEED_RENAME_H

#include "feed_message.h"
#include "model.h"
#include "scaler.h"

/*
 * What is held for those of `added` that were called otherwise goes with them, as far as their new
 * names are free: before the message's `removed` and `added`, under the same lock.
 */
void feed_rename(struct model *model, struct scaler *scaler, struct host *host,
		 const struct feed_message *message);

#endif
