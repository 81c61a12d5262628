/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who belongs to whom: users own applications (`clusters` of the user's document, `user` of the
 * application's), applications own containers (`containers`). The documents say it; here it is as
 * links, kept as documents come, change and go. All with the model's lock held.
 *
 * Lists may name what is not there, or not yet. What two lists name belongs to the one that named
 * it first, and the log says so once. An application belongs to the user that lists it; of several,
 * to the one that its `user` names; when none lists it, its `user` counts alone.
 */
#ifndef EBB_HIERARCHY_H
#define EBB_HIERARCHY_H

#include "model.h"

/* The application of a container, the user of an application; NULL: none. */
struct structure *hierarchy_parent(const struct structure *structure);
/* What belongs to an application or a user and is there, in the order of its document; then those
 * applications that only say so themselves. O(1) for each name in the list. */
struct structure *hierarchy_first(const struct structure *parent);
struct structure *hierarchy_next(const struct structure *child);
#define hierarchy_foreach(child, parent) \
	for ((child) = hierarchy_first(parent); (child); (child) = hierarchy_next(child))
/* Each name in its list, in order, and each application that only says so itself. `child` NULL: it
 * is not there. `owner`: whom it belongs to. */
void hierarchy_each_named(const struct structure *parent,
			  void (*fn)(void *userdata, const char *name,
				     const struct structure *child, const struct structure *owner),
			  void *userdata);

/*
 * Makes `child` a member, in the documents too; O(1). -EEXIST with `ret_error` (caller frees): it
 * is in one already; -EINVAL: not of the kind that belongs there; -ENOMEM. On failure nothing
 * changed.
 */
int hierarchy_join(struct model *model, struct structure *parent, struct structure *child,
		   char **ret_error);
/* Out of this parent's list; another one that names it too has it then. -ENOENT with `ret_error`:
 * it is no member. -ENOMEM. */
int hierarchy_leave(struct model *model, struct structure *parent, struct structure *child,
		    char **ret_error);
/* All of its members out of its list, and it out of the documents of applications that name it;
 * O(their number). -ENOMEM: nothing has changed. */
int hierarchy_leave_all(struct model *model, struct structure *parent);

/*
 * For the model: the documents say something new (a structure came, its list changed), or
 * `structure` is about to go (its name stays in the lists of others, so that it may return). To be
 * called with it findable by its name, or not any more.
 */
void hierarchy_link(struct model *model, struct structure *structure);
void hierarchy_unlink(struct model *model, struct structure *structure);
/* For model_new() and model_free(). NULL: no memory. */
struct hierarchy *hierarchy_new(void);
void hierarchy_free(struct model *model);

#endif
