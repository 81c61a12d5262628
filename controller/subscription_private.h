/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the subscription. */
#ifndef EBB_SUBSCRIPTION_PRIVATE_H
#define EBB_SUBSCRIPTION_PRIVATE_H

#include "model.h"

static inline void cleanup_structurep(struct structure **structure)
{
	structure_free(*structure);
}
#define _cleanup_structure_ __attribute__((cleanup(cleanup_structurep)))

/* No agent says what is there: its Container Scaler has to be asked for each container. */
bool subscription_has_to_ask(const struct host *host);
/* -EEXIST, with how the one that is there is taken out. */
int subscription_exists(const struct structure *structure, char **ret_error);

#endif
