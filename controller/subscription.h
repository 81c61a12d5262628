/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts, containers, applications and users as an operator brings them in and takes them out (spec
 * 3.4, 3.5). Everything here is wholly done or not at all, on the host and in the state.
 */
#ifndef EBB_SUBSCRIPTION_H
#define EBB_SUBSCRIPTION_H

#include "model.h"
#include "scaler.h"

/*
 * Lock held. Bodies as the API takes them. With a `ret_…` of NULL a host or a container is only
 * checked, and nothing changes. -EINVAL, -EEXIST, -ENOENT, -ENOSPC with `ret_error`
 * (caller frees) that says what to do. What registered by itself and was never touched is taken
 * over; a change to what is there already is none of a subscription's business.
 *
 * A container's limits have then still to be put in force: subscribe_container() leaves its shares
 * set aside and its limits to be applied (model_apply()); the caller runs the scaler, waits for the
 * outcome without the lock, and takes it back with desubscribe() when it fails.
 */
int subscribe_host(struct model *model, const char *name, const json_t *body,
		   struct structure **ret_host, char **ret_error);
int subscribe_container(struct model *model, const char *name, const json_t *body,
			struct structure **ret_container, char **ret_error);
int subscribe_application(struct model *model, const char *name, const json_t *body,
			  struct structure **ret_application, char **ret_error);
int subscribe_user(struct model *model, const char *name, const json_t *body,
		   struct structure **ret_user, char **ret_error);
/* As it is spelt in documents, whatever the case of `text`; NULL: no state of an application. */
const char *application_state(const char *text);
int application_set_state(struct model *model, struct structure *application, const char *text,
			  char **ret_error);
/* Disks that are not known yet; new sizes of known ones (spec 3.4). */
int subscribe_disks(struct model *model, struct structure *host, const json_t *body,
		    char **ret_error);
int resize_disks(struct model *model, struct structure *host, const json_t *body, char **ret_error);

/*
 * Out of all lists, shares back to the host whatever state it is in, documents deleted; requests
 * and operations that it takes part in end. A host with containers that were subscribed is refused
 * with -EBUSY. Frees `structure`.
 *
 * What an agent still reports is known on, as if it had registered for the first time: automatic,
 * not guarded, its limits as they are in force. A container of a connected host is so at once, a
 * host and its containers when its agent speaks again.
 */
int desubscribe(struct model *model, struct scaler *scaler, struct structure *structure,
		char **ret_error);

#endif
