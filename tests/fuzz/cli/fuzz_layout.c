/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a layout in YAML: read, parsed, compared with a small site. */
#include "../fuzz.h"
#include "layout.h"
#include "layout_diff.h"
#include "yaml_json.h"
#include "ebb/cleanup.h"

static const char site[] =
	"{\"structures\":{\"h0\":{\"subtype\":\"host\",\"name\":\"h0\",\"resources\":{\"cpu\":{\"max\":"
	"400}}},\"c0\":{\"subtype\":\"container\",\"name\":\"c0\",\"host\":\"h0\",\"guard\":false,"
	"\"resources\":{\"cpu\":{\"max\":200,\"min\":20,\"guard\":false},\"mem\":{\"max\":512}}},\"c1\":"
	"{\"subtype\":\"container\",\"name\":\"c1\",\"host\":\"h0\",\"automatic\":true},\"a0\":{"
	"\"subtype\":\"application\",\"name\":\"a0\",\"containers\":[\"c0\"],\"resources\":{}}},\"users\":"
	"{\"u0\":{\"subtype\":\"user\",\"name\":\"u0\",\"clusters\":[\"a0\"]}},\"rules\":{\"r0\":{"
	"\"name\":\"r0\",\"amount\":5}},\"services\":{\"guardian\":{\"config\":{\"ACTIVE\":true}}},"
	"\"limits\":{\"c0\":{\"cpu\":{\"boundary\":10}}}}";

static void check_diff(const json_t *layout, bool prune)
{
	_cleanup_json_ json_t *present = json_loads(site, 0, NULL), *diff = NULL;
	_cleanup_free_ char *error = NULL;
	json_t *change;
	size_t i;
	int r;

	r = layout_diff(present, layout, prune, &diff, &error);
	FUZZ_CHECK((r == 0) == (diff != NULL));
	FUZZ_CHECK((r == 0) == (error == NULL));
	json_array_foreach(json_object_get(diff, "changes"), i, change) {
		const char *path = json_string_value(json_object_get(change, "path"));

		/* A name must not be able to be a path. */
		FUZZ_CHECK(path && *path == '/' && !strpbrk(path, " ?#"));
		FUZZ_CHECK(json_object_get(change, "what") && json_object_get(change, "why"));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = fuzz_string(data, size), *error = NULL;
	_cleanup_json_ json_t *document = NULL, *layout = NULL;
	int r;

	r = yaml_to_json(text, size, &document, &error);
	FUZZ_CHECK((r == 0) == (document != NULL));
	FUZZ_CHECK((r == 0) == (error == NULL));
	if (r < 0)
		return 0;
	r = layout_parse(document, &layout, &error);
	FUZZ_CHECK((r == 0) == (layout != NULL));
	FUZZ_CHECK((r == 0) == (error == NULL));
	if (r < 0)
		return 0;
	check_diff(layout, false);
	check_diff(layout, true);
	return 0;
}
