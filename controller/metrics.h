/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics: what the controller knows and does, in the Prometheus text format 0.0.4. */
#ifndef EBB_CONTROLLER_METRICS_H
#define EBB_CONTROLLER_METRICS_H

#include <stddef.h>

#include "api.h"

/* Takes the model's lock for a copy of the numbers; formats outside of it. Caller frees. */
int metrics_format(struct api *api, char **ret_text, size_t *ret_len);

/* Pure: `text` as the inside of a quoted label value. Caller frees; NULL on no memory. */
char *metrics_escape(const char *text);

#endif
