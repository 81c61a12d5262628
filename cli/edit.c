/* SPDX-License-Identifier: Apache-2.0 */
#include "edit.h"

#include <string.h>

#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

int edit_get(const struct cli *cli, const char *name, json_t **ret_doc)
{
	_cleanup_free_ char *path = request_path("/structure/", name, "");

	return request_call(cli, "GET", path, NULL, ret_doc);
}

int edit_put(const struct cli *cli, const char *name, const char *rest, json_t *value)
{
	_cleanup_free_ char *path = request_path("/structure/", name, rest);
	_cleanup_json_ json_t *body = json_pack("{s:o}", "value", value);

	return request_call(cli, "PUT", path, body, NULL);
}

static int put_bound(const struct cli *cli, const char *name, enum ebb_resource resource,
		     const char *param, int64_t value)
{
	char rest[64];

	snprintf(rest, sizeof(rest), "/resources/%s/%s", ebb_resource_name(resource), param);
	return edit_put(cli, name, rest, json_integer(value));
}

int edit_range(const struct cli *cli, const json_t *doc, enum ebb_resource resource, int64_t min,
	       int64_t max)
{
	const char *name = json_get_text(doc, "name");
	const json_t *now =
		json_object_get(json_object_get(doc, "resources"), ebb_resource_name(resource));
	int64_t old_min = json_get_integer(now, "min", -1);
	int64_t old_max = json_get_integer(now, "max", -1);
	bool max_first = min > old_max;
	struct {
		const char *param;
		int64_t new, old;
	} steps[2] = {
		{max_first ? "max" : "min", max_first ? max : min, max_first ? old_max : old_min},
		{max_first ? "min" : "max", max_first ? min : max, max_first ? old_min : old_max},
	};
	int r = 0;

	if (steps[0].new >= 0)
		r = put_bound(cli, name, resource, steps[0].param, steps[0].new);
	if (r >= 0 && steps[1].new >= 0) {
		r = put_bound(cli, name, resource, steps[1].param, steps[1].new);
		if (r < 0 && steps[0].new >= 0 && steps[0].old >= 0)
			(void)put_bound(cli, name, resource, steps[0].param, steps[0].old);
	}
	return r;
}

int edit_report(const struct cli *cli, const char *name)
{
	_cleanup_free_ char *path = request_path("/structure/", name, "?live");
	_cleanup_free_ char *tame = strdup(name);
	_cleanup_json_ json_t *doc = NULL;
	struct structure_view view;
	int r;

	r = request_call(cli, "GET", path, NULL, &doc);
	if (r < 0)
		return r;
	if (cli->json)
		return cli_print_json(doc);
	view_read(doc, &view);
	if (tame)
		text_tame(tame);
	printf("%s is %s", tame ? tame : "", view.guard ? "guarded" : "not guarded");
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_view *resource = &view.resources[i];

		if (!resource->present || (view.guard && !resource->guard))
			continue;
		printf("; %s %lld..%lld %s", ebb_resource_name(i), (long long)resource->min,
		       (long long)resource->max, ebb_resource_unit(i));
		if (resource->current >= 0)
			printf(", now %lld", (long long)resource->current);
	}
	putchar('\n');
	return 0;
}
