/* SPDX-License-Identifier: Apache-2.0 */
/* Failures that carry a text for people. */
#ifndef EBB_FAIL_H
#define EBB_FAIL_H

/* Sets *ret_error (unless NULL) to the text, NULL when there is no memory for it, and returns
 * `err`. The caller of whoever fails frees it. */
int fail_with(int err, char **ret_error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
