/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site as one document: hosts, containers, applications, users, rules, services (docs/cli.md).
 * Pure.
 */
#ifndef EBB_CLI_LAYOUT_H
#define EBB_CLI_LAYOUT_H

#include <jansson.h>

/*
 * Checks the document and brings it into one form, also that of the original's layout.json:
 *
 *   {"hosts": {NAME: {...}}, "containers": {...}, "applications": {...}, "users": {...},
 *    "rules": {NAME: {...}}, "services": {NAME: {KEY: value}}, "told": {KIND: true}}
 *
 * all of these always there ("told": which of the first four the document has at all), in the order
 * of the document; amounts are integers in shares, MiB and so on; a container's "host" is there as
 * far as the document tells it; "containers" of a host are among the containers. New reference.
 * -EINVAL with `ret_error` (caller frees) that begins with the way to what is wrong, such as
 * "containers[2].resources.cpu.max"; -ENOMEM.
 */
int layout_parse(const json_t *document, json_t **ret_layout, char **ret_error);

/*
 * The bodies that subscribe one of a layout's parts, what it does not say filled with the defaults
 * of the original's scripts. New reference; NULL on no memory.
 */
json_t *layout_host_body(const char *name, const json_t *item);
/* `host`: the item of its host; NULL: not in the layout. */
json_t *layout_container_body(const char *name, const json_t *item, const json_t *host);
json_t *layout_application_body(const char *name, const json_t *item);
json_t *layout_user_body(const char *name, const json_t *item);

#endif
