/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that a user names: a file, or "-" for standard input. */
#ifndef EBB_CLI_JSON_FILE_H
#define EBB_CLI_JSON_FILE_H

#include <jansson.h>

/* Says what is wrong, with the place, on standard error. -EINVAL: it is not JSON; -EIO: it cannot
 * be read. Any JSON value. */
int json_file_read(const char *path, json_t **ret_json);
/* For messages: "standard input" for "-". */
const char *json_file_name(const char *path);

#endif
