/* SPDX-License-Identifier: Apache-2.0 */
/* Does docs/openapi.yaml say what the controller has, all of it and nothing else? */
#include "test.h"

#include "api.h"
#include "openapi.h"
#include "ebb/cleanup.h"

static json_t *document;
static struct http_route *routes;

static void release(void *unused)
{
	json_decref(document);
	document = NULL;
	free(routes);
	routes = NULL;
}

static void start(void)
{
	json_error_t error;

	test_at_end(release, NULL);
	document = json_loadb(openapi_json, openapi_json_len, JSON_REJECT_DUPLICATES, &error);
	if (!document)
		TEST_FAIL("line %d: %s", error.line, error.text);
}

/* "/rule/{name}" as "/rule/" and '*'. */
static void pattern_of(const char *path, char *pattern, size_t size)
{
	size_t n = 0;

	for (; *path; path++) {
		CHECK(n + 1 < size);
		if (*path == '{') {
			path += strcspn(path, "}");
			pattern[n++] = '*';
		} else {
			pattern[n++] = *path;
		}
	}
	pattern[n] = '\0';
}

static const char *const methods[] = {
	[HTTP_GET] = "get",
	[HTTP_PUT] = "put",
	[HTTP_POST] = "post",
	[HTTP_DELETE] = "delete",
};

static const json_t *described(enum http_method method, const char *pattern)
{
	const char *path;
	json_t *item;
	char of[256];

	json_object_foreach(json_object_get(document, "paths"), path, item) {
		pattern_of(path, of, sizeof(of));
		if (!strcmp(of, pattern))
			return json_object_get(item, methods[method]);
	}
	return NULL;
}

TEST(every_route_is_described)
{
	size_t n, missing = 0;

	start();
	CHECK_INT(api_routes(&routes, &n), 0);
	for (size_t i = 0; i < n; i++) {
		if (described(routes[i].method, routes[i].pattern))
			continue;
		fprintf(stderr, "docs/openapi.yaml has no %s %s\n", methods[routes[i].method],
			routes[i].pattern);
		missing++;
	}
	CHECK_INT(missing, 0);
}

TEST(nothing_is_described_that_is_not_there)
{
	const char *path, *key;
	json_t *item, *operation;
	char pattern[256];
	size_t n;

	start();
	CHECK_INT(api_routes(&routes, &n), 0);
	json_object_foreach(json_object_get(document, "paths"), path, item) {
		pattern_of(path, pattern, sizeof(pattern));
		json_object_foreach(item, key, operation) {
			bool found = !strcmp(key, "parameters");

			for (size_t i = 0; i < n && !found; i++)
				found = !strcmp(methods[routes[i].method], key) &&
					!strcmp(routes[i].pattern, pattern);
			if (!found)
				TEST_FAIL("there is no route %s %s", key, path);
		}
	}
}

/* Calls `fn` for each "$ref" below `value`. */
static void each_reference(const json_t *value, void (*fn)(const char *target, json_t *used),
			   json_t *used)
{
	const char *key;
	json_t *item;
	size_t i;

	json_array_foreach(value, i, item)
		each_reference(item, fn, used);
	json_object_foreach((json_t *)value, key, item) {
		if (!strcmp(key, "$ref") && json_is_string(item))
			fn(json_string_value(item), used);
		else
			each_reference(item, fn, used);
	}
}

static void resolve(const char *target, json_t *used)
{
	char copy[256], *save, *key;
	const json_t *at = document;

	CHECK(!strncmp(target, "#/components/", 13));
	snprintf(copy, sizeof(copy), "%s", target + 2);
	for (key = strtok_r(copy, "/", &save); key; key = strtok_r(NULL, "/", &save))
		at = json_object_get(at, key);
	if (!at)
		TEST_FAIL("%s is not there", target);
	json_object_set_new(used, target, json_true());
}

TEST(every_component_is_used)
{
	_cleanup_json_ json_t *used = json_object();
	const char *kind, *name;
	json_t *components, *component;

	start();
	each_reference(document, resolve, used);
	json_object_foreach(json_object_get(document, "components"), kind, components) {
		if (!strcmp(kind, "securitySchemes"))
			continue;
		json_object_foreach(components, name, component) {
			char target[256];

			snprintf(target, sizeof(target), "#/components/%s/%s", kind, name);
			if (!json_object_get(used, target))
				TEST_FAIL("nothing uses %s", target);
		}
	}
}

TEST(operations_are_whole)
{
	_cleanup_json_ json_t *ids = json_object();
	const char *path, *key;
	json_t *item, *operation;

	start();
	CHECK_STR(json_string_value(json_object_get(document, "openapi")), "3.1.0");
	CHECK_STR(json_string_value(json_object_get(json_object_get(document, "info"), "version")),
		  EBB_VERSION);
	json_object_foreach(json_object_get(document, "paths"), path, item) {
		json_object_foreach(item, key, operation) {
			const char *id =
				json_string_value(json_object_get(operation, "operationId"));
			const json_t *responses = json_object_get(operation, "responses");

			if (!strcmp(key, "parameters"))
				continue;
			if (!id || json_object_get(ids, id) ||
			    !json_string_length(json_object_get(operation, "summary")) ||
			    !json_object_get(responses, "200"))
				TEST_FAIL("%s %s has no operationId of its own, summary or 200",
					  key, path);
			json_object_set_new(ids, id, json_true());
		}
	}
}

TEST_MAIN()
