/* SPDX-License-Identifier: Apache-2.0 */
/* What has to change so that a site is as a layout says. Pure. */
#ifndef EBB_CLI_LAYOUT_DIFF_H
#define EBB_CLI_LAYOUT_DIFF_H

#include <jansson.h>
#include <stdbool.h>

/*
 * `present`: {"structures": {NAME: document}, "limits": {NAME: {RESOURCE: {...}}}, "users": {...},
 * "rules": {...}, "rule_etags": {NAME: text}, "services": {...}}, documents as the API tells them;
 * limits and etags at least of what the layout (as layout_parse() leaves it) has such of.
 *
 * `ret_diff`, new reference: {"changes": [{"what", "why", "method", "path", "body"?, "if_match"?,
 * "only_new"?}], "notes": [text]}: calls of the API in an order in which each is possible; notes
 * tell of differences that no call can change. With `prune` what the layout does not have is taken
 * out first, of the kinds that it names; rules and services stay in any case.
 *
 * -EINVAL with `ret_error` (caller frees): it cannot become so.
 */
int layout_diff(const json_t *present, const json_t *layout, bool prune, json_t **ret_diff,
		char **ret_error);

#endif
