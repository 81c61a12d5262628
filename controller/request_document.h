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
/*
 * Model lock held, leading: all of model->requests. Those that cannot be done are deleted, which
 * the log says; the others are claimed (store_claim()) and wait in model->claimed. True: there were
 * some.
 */
bool requests_take(struct model *model, double now);
/*
 * Model lock held, for store_on_claimed(): the request is not in the database any more, so that
 * nobody can do it again, and is handed to the scaler, unless it was taken back or another leads.
 * The caller runs the scaler if true.
 */
bool request_claimed(struct model *model, struct scaler *scaler, const char *id, double now);

#endif
