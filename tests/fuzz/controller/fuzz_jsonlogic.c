/* SPDX-License-Identifier: Apache-2.0 */
/* {"rule": ..., "data": ...}: rules come from the API and from hand-edited documents. */
#include <math.h>

#include "../fuzz.h"
#include "ebb/cleanup.h"
#include "jsonlogic.h"

static int bind(void *userdata, const char *path)
{
	static const char *const known[] = {"cpu.structure.cpu.usage", "a", "events.scale.up"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(path, known[i]))
			return (int)i;
	return -1;
}

static void see_variable(void *userdata, const char *path)
{
	FUZZ_CHECK(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const double values[] = {1.5, NAN, 0};
	const struct jsonlogic_numbers numbers = {values, ARRAY_SIZE(values)};
	_cleanup_json_ json_t *json = json_loadb((const char *)data, size, 0, NULL);
	const json_t *rule = json_object_get(json, "rule");
	struct jsonlogic *logic = NULL;
	char *error = NULL;

	if (!rule)
		return 0;
	if (jsonlogic_compile(rule, bind, NULL, &logic, &error) == 0) {
		FUZZ_CHECK(!error);
		jsonlogic_test(logic, &numbers);
		json_t *result = jsonlogic_apply(logic, json_object_get(json, "data"));
		/* What it gives can be sent. */
		if (result)
			free(json_dumps(result, JSON_ENCODE_ANY));
		json_decref(result);
		jsonlogic_each_variable(logic, see_variable, NULL);
		jsonlogic_free(logic);
	} else {
		FUZZ_CHECK(error && *error);
		free(error);
	}
	return 0;
}
