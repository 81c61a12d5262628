/* SPDX-License-Identifier: Apache-2.0 */
/* A model with containers, applications and users, for tests of what is made of them. Include after
 * test.h. */
#ifndef EBB_TEST_SERIES_WORLD_H
#define EBB_TEST_SERIES_WORLD_H

#include "guarding.h"
#include "quoted_json.h"
#include "model.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

static void free_world(void *model)
{
	model_free(model);
}

__attribute__((unused)) static struct model *new_world(void)
{
	struct model *model = NULL;

	CHECK_INT(model_new(NULL, &model), 0);
	test_at_end(free_world, model);
	return model;
}

__attribute__((unused)) static struct structure *add_structure(struct model *model,
							       const char *text)
{
	_cleanup_json_ json_t *doc = parse_text(text);
	_cleanup_free_ char *error = NULL;
	struct structure *structure = NULL;
	int r;

	if (structure_from_json(doc, NULL, &structure, &error) < 0)
		TEST_FAIL("%s: %s", text, error ? error : "?");
	model_lock(model);
	r = model_add(model, structure);
	model_unlock(model);
	CHECK_INT(r, 0);
	return structure;
}

__attribute__((unused)) static struct structure *add_user(struct model *model, const char *text)
{
	_cleanup_json_ json_t *doc = parse_text(text);
	_cleanup_free_ char *error = NULL;
	struct structure *user = NULL;
	int r;

	if (user_from_json(doc, NULL, &user, &error) < 0)
		TEST_FAIL("%s: %s", text, error ? error : "?");
	model_lock(model);
	r = model_add(model, user);
	model_unlock(model);
	CHECK_INT(r, 0);
	return user;
}

/* The value at a path of keys in a document, printed: "-" when it is not there. */
__attribute__((unused)) static const char *text_at(const json_t *doc, const char *resource,
						   const char *field)
{
	static char texts[4][64];
	static unsigned next;
	char *text = texts[next++ % 4];
	const json_t *value = json_object_get(
		json_object_get(json_object_get(doc, "resources"), resource), field);

	if (json_is_integer(value))
		snprintf(text, 64, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(text, 64, "%.10gr", json_real_value(value));
	else
		snprintf(text, 64, value ? "?" : "-");
	return text;
}

/* What the document of a structure says, as it goes to the database. */
__attribute__((unused)) static const char *kept(struct model *model, const char *name,
						const char *resource, const char *field)
{
	_cleanup_json_ json_t *doc = NULL;
	struct structure *structure;

	model_lock(model);
	structure = model_structure(model, name);
	doc = structure ? structure_to_json(structure) : NULL;
	model_unlock(model);
	return text_at(doc, resource, field);
}

/* The same of a user. */
__attribute__((unused)) static const char *kept_of_user(struct model *model, const char *name,
							const char *resource, const char *field)
{
	_cleanup_json_ json_t *doc = NULL;
	struct structure *user;

	model_lock(model);
	user = model_user(model, name);
	doc = user ? structure_to_json(user) : NULL;
	model_unlock(model);
	return text_at(doc, resource, field);
}

#endif
