/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of layout_diff share. */
#ifndef EBB_CLI_LAYOUT_DIFF_PRIVATE_H
#define EBB_CLI_LAYOUT_DIFF_PRIVATE_H

#include <jansson.h>
#include <stdbool.h>

struct diff {
	const json_t *present, *layout;
	json_t *changes, *notes;
	bool prune;
	char **ret_error;
};

/* Of members of `present` and of the layout: an object, or NULL. */
json_t *diff_find(const json_t *root, const char *kind, const char *name);
/* The layout has this kind, be it empty. */
bool diff_names_kind(const struct diff *diff, const char *kind);
/* Nobody has subscribed it. */
bool diff_is_automatic(const json_t *doc);
/* printf(); caller frees; NULL on no memory. */
char *diff_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One call. `path` is freed, `body` (may be NULL) stolen. */
struct call {
	const char *method;
	char *path;
	json_t *body;
	char *what;
};

/* The next change; `format` says why. 0, -ENOMEM. */
int diff_add(struct diff *diff, struct call call, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* 0, -ENOMEM. */
int diff_note(struct diff *diff, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Why the site cannot become so. -EINVAL, -ENOMEM. */
int diff_impossible(struct diff *diff, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Those of layout_diff_members.c. 0, or a negative errno as layout_diff() has it. */
int diff_containers_of_applications(struct diff *diff);
int diff_applications_of_users(struct diff *diff);
/* What is taken out: before anything else. */
int diff_prune(struct diff *diff);

#endif
