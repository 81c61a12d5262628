/* SPDX-License-Identifier: Apache-2.0 */
/* A document that a user names, in JSON or YAML. */
#ifndef EBB_CLI_LAYOUT_FILE_H
#define EBB_CLI_LAYOUT_FILE_H

#include <jansson.h>

/* "-" is standard input. A name that ends in .json is read as JSON, any other as YAML, of which
 * JSON is a part. As json_file_read(). */
int layout_file_read(const char *path, json_t **ret_json);

#endif
