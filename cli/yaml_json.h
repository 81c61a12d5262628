/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as JSON values. Pure. */
#ifndef EBB_CLI_YAML_JSON_H
#define EBB_CLI_YAML_JSON_H

#include <jansson.h>
#include <stddef.h>

/*
 * One document of YAML 1.2 in its core schema: plain null, true and false, integers (also 0x and
 * 0o) and numbers are that, everything else and all that is quoted is text. Keys are texts, and
 * each is there once. An alias is the value of its anchor, read-only: values may be shared within
 * the result. Refused: tags other than !!str, merge keys, numbers that JSON has not (.inf, .nan),
 * more than 64 levels, and more than 2,000,000 values with those of aliases counted.
 *
 * New reference. -EINVAL with `ret_error` (caller frees), "LINE:COLUMN: what is wrong"; -ENOMEM.
 */
int yaml_to_json(const char *text, size_t len, json_t **ret_json, char **ret_error);

#endif
