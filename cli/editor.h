/* SPDX-License-Identifier: Apache-2.0 */
/* A text in the user's editor. */
#ifndef EBB_CLI_EDITOR_H
#define EBB_CLI_EDITOR_H

/* A new file of the user's own in TMPDIR or /tmp, that holds `text`, named after `name` and ending
 * in .json. Caller frees the path. Negative errno. */
int editor_file(const char *name, const char *text, char **ret_path);
/* VISUAL, EDITOR, or vi on the file, and waits. -EIO when it ends with a failure. */
int editor_run(const char *path);

#endif
