/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that other tools leave in the database (spec 2.10), handed to the scaler. */
#ifndef EBB_REQUEST_DOCUMENT_H
#define EBB_REQUEST_DOCUMENT_H

#include "model.h"
#include "scaler.h"

/*
 * Model lock held; nothing is changed. `now`: wall clock. -EINVAL with `ret_error` (caller frees):
 * it is too old, asks for what is not there or cannot be done.
 */
int request_from_document(struct model *model, const json_t *doc, double now,
			  struct request *ret_request, char **ret_error);
/* Model lock held, leading: all of model->requests. Their documents are deleted; those that cannot
 * be are said in the log. The caller runs the scaler. True: there were some. */
bool requests_take(struct model *model, struct scaler *scaler, double now);

#endif
