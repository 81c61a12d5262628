/* SPDX-License-Identifier: Apache-2.0 */
#include "hierarchy.h"

#include <errno.h>

#include "seed.h"
#include "test.h"
#include "series_world.h"

static struct model *model;

static void start(void)
{
	model = new_world();
}

static struct structure *add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct structure *add(const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return add_structure(model, text);
}

static struct structure *container(const char *name)
{
	return add("{'subtype':'container','name':'%s'}", name);
}

static struct structure *application(const char *name, const char *containers)
{
	return add("{'subtype':'application','name':'%s','containers':%s}", name, containers);
}

static struct structure *user(const char *name, const char *clusters)
{
	char text[512];

	snprintf(text, sizeof(text), "{'name':'%s','clusters':%s}", name, clusters);
	return add_user(model, text);
}

static void gone(struct structure *structure)
{
	model_lock(model);
	model_remove(model, structure);
	model_unlock(model);
}

static const char *name_of(const struct structure *structure)
{
	return structure ? structure->name : "-";
}

static const char *parent_of(const char *name)
{
	return name_of(hierarchy_parent(model_structure(model, name)));
}

/* "c0 c1", in a buffer that the next call overwrites. */
static const char *children_of(const struct structure *parent)
{
	static char text[512];
	struct structure *child;

	text[0] = '\0';
	hierarchy_foreach(child, parent)
	{
		if (text[0])
			strcat(text, " ");
		strcat(text, child->name);
	}
	return text;
}

/* A field that lists names, as JSON. */
static const char *listed(const struct structure *structure, const char *field)
{
	static char text[512];
	_cleanup_json_ json_t *doc = structure_to_json(structure);
	_cleanup_free_ char *dump =
		json_dumps(json_object_get(doc, field), JSON_COMPACT | JSON_ENCODE_ANY);

	snprintf(text, sizeof(text), "%s", dump ? dump : "-");
	return text;
}

static void set_list(struct structure *structure, const char *field, json_t *value)
{
	if (!structure->doc)
		structure->doc = json_object();
	if (value)
		json_object_set_new(structure->doc, field, value);
	else
		json_object_del(structure->doc, field);
	model_lock(model);
	hierarchy_link(model, structure);
	model_unlock(model);
}

TEST(members_come_in_any_order)
{
	struct structure *app, *u;

	start();
	container("c1");
	u = user("u0", "['late','app']");
	app = application("app", "['c0','c1','nobody','c2']");
	CHECK_STR(children_of(app), "c1");
	container("c2");
	container("c0");
	CHECK_STR(children_of(app), "c0 c1 c2");
	CHECK_STR(parent_of("c0"), "app");
	CHECK_STR(parent_of("app"), "u0");
	application("late", "[]");
	CHECK_STR(children_of(u), "late app");
	/* What is gone may return. */
	gone(model_structure(model, "c1"));
	CHECK_STR(children_of(app), "c0 c2");
	container("c1");
	CHECK_STR(children_of(app), "c0 c1 c2");
	gone(app);
	CHECK_STR(parent_of("c0"), "-");
	CHECK_STR(children_of(u), "late");
	app = application("app", "['c2']");
	CHECK_STR(parent_of("c2"), "app");
	CHECK_STR(parent_of("c0"), "-");
	CHECK_STR(children_of(u), "late app");
	gone(u);
	CHECK_STR(parent_of("app"), "-");
}

TEST(names_are_of_a_kind)
{
	struct structure *app, *u;

	start();
	/* A user, an application and a container have nothing to do with each other's names. */
	app = application("x", "['x','other','c0','u']");
	application("other", "[]");
	u = user("x", "['x','c0','u']");
	user("u", "[]");
	container("c0");
	CHECK_STR(children_of(app), "c0");
	CHECK_STR(children_of(u), "x");
	CHECK_STR(parent_of("other"), "-");
	CHECK(model_user(model, "x") == u && model_structure(model, "x") == app);
}

TEST(odd_lists)
{
	struct structure *app;

	start();
	container("c0");
	container("c1");
	app = application("app", "['c1',7,null,'c1','c0',{'a':1},'','c0']");
	CHECK_STR(children_of(app), "c1 c0");
	set_list(app, "containers", json_string("c0"));
	CHECK_STR(children_of(app), "");
	set_list(app, "containers", parse("['c0','c1','c0']"));
	CHECK_STR(children_of(app), "c0 c1");
	set_list(app, "containers", NULL);
	CHECK_STR(children_of(app), "");
	CHECK_STR(parent_of("c0"), "-");
}

TEST(who_named_it_first_has_it)
{
	struct structure *a, *b;

	start();
	container("c0");
	b = application("b", "['c0']");
	a = application("a", "['c1','c0']");
	container("c1");
	CHECK_STR(parent_of("c0"), "b");
	CHECK_STR(children_of(a), "c1");
	/* Also after it was away, and when the list says it again. */
	gone(model_structure(model, "c0"));
	container("c0");
	set_list(b, "containers", parse("['c2','c0']"));
	CHECK_STR(parent_of("c0"), "b");
	set_list(b, "containers", parse("['c2']"));
	CHECK_STR(children_of(a), "c1 c0");
	set_list(b, "containers", parse("['c2','c0']"));
	CHECK_STR(parent_of("c0"), "a");
	gone(a);
	CHECK_STR(children_of(b), "c0");
}

TEST(the_user_that_an_application_names)
{
	struct structure *app, *u0, *u1;

	start();
	app = add("{'subtype':'application','name':'app','containers':[],'user':'u1'}");
	CHECK_STR(parent_of("app"), "-");
	u1 = user("u1", "[]");
	/* Nobody lists it: what it says counts. */
	CHECK_STR(parent_of("app"), "u1");
	CHECK_STR(children_of(u1), "app");
	u0 = user("u0", "['app']");
	CHECK_STR(parent_of("app"), "u0");
	CHECK_STR(children_of(u1), "");
	set_list(u1, "clusters", parse("['app','x']"));
	CHECK_STR(parent_of("app"), "u1");
	set_list(app, "user", NULL);
	CHECK_STR(parent_of("app"), "u0");
	set_list(app, "user", json_string("u1"));
	CHECK_STR(parent_of("app"), "u1");
	gone(u1);
	CHECK_STR(parent_of("app"), "u0");
	gone(u0);
	CHECK_STR(parent_of("app"), "-");
	u1 = user("u1", "['y']");
	application("y", "[]");
	CHECK_STR(children_of(u1), "y app");
	set_list(u1, "clusters", parse("['app','y']"));
	CHECK_STR(children_of(u1), "app y");
}

static int join(struct structure *parent, struct structure *child, char **ret_error)
{
	int r;

	model_lock(model);
	r = hierarchy_join(model, parent, child, ret_error);
	model_unlock(model);
	return r;
}

static int leave(struct structure *parent, struct structure *child, char **ret_error)
{
	int r;

	model_lock(model);
	r = hierarchy_leave(model, parent, child, ret_error);
	model_unlock(model);
	return r;
}

TEST(joining_and_leaving)
{
	struct structure *app, *other, *u, *u1, *c0;
	_cleanup_free_ char *error = NULL;

	start();
	app = add("{'subtype':'application','name':'app','note':7}");
	other = application("other", "['c9']");
	u = user("u", "7");
	u1 = user("u1", "[]");
	c0 = container("c0");
	container("c1");
	CHECK_INT(join(app, c0, NULL), 0);
	CHECK_INT(join(app, model_structure(model, "c1"), NULL), 0);
	CHECK_STR(listed(app, "containers"), "[\"c0\",\"c1\"]");
	CHECK_STR(listed(app, "note"), "7");
	CHECK_STR(children_of(app), "c0 c1");
	CHECK_INT(join(app, c0, &error), -EEXIST);
	CHECK_STR(error, "c0 belongs to app already: take it out of there first");
	free(TAKE_PTR(error));
	CHECK_INT(join(other, c0, NULL), -EEXIST);
	CHECK_STR(listed(other, "containers"), "[\"c9\"]");
	CHECK_INT(join(u, c0, NULL), -EINVAL);
	CHECK_INT(join(c0, app, NULL), -EINVAL);
	CHECK_INT(join(app, other, NULL), -EINVAL);
	CHECK_INT(join(app, u, &error), -EINVAL);
	CHECK(strstr(error, "containers belong to applications, applications to users"));
	free(TAKE_PTR(error));

	CHECK_INT(join(u, app, NULL), 0);
	CHECK_STR(listed(u, "clusters"), "[\"app\"]");
	CHECK_STR(listed(app, "user"), "\"u\"");
	CHECK_INT(join(u1, app, NULL), -EEXIST);
	CHECK_STR(listed(app, "user"), "\"u\"");
	CHECK_STR(listed(u1, "clusters"), "[]");
	CHECK_INT(leave(u1, app, &error), -ENOENT);
	CHECK_STR(error, "app does not belong to u1");
	CHECK_INT(leave(u, app, NULL), 0);
	CHECK_STR(listed(u, "clusters"), "[]");
	CHECK_STR(listed(app, "user"), "-");
	CHECK_STR(parent_of("app"), "-");

	CHECK_INT(leave(app, c0, NULL), 0);
	CHECK_STR(listed(app, "containers"), "[\"c1\"]");
	CHECK_STR(parent_of("c0"), "-");
	CHECK_INT(leave(app, c0, NULL), -ENOENT);
	/* Every mention goes; another list that names it has it then. */
	set_list(app, "containers", parse("['c0','c1','c0']"));
	set_list(other, "containers", parse("['c9','c0']"));
	CHECK_STR(parent_of("c0"), "app");
	CHECK_INT(leave(app, c0, NULL), 0);
	CHECK_STR(listed(app, "containers"), "[\"c1\"]");
	CHECK_STR(parent_of("c0"), "other");
	/* A user that only the application names. */
	set_list(other, "user", json_string("u1"));
	CHECK_STR(children_of(u1), "other");
	CHECK_INT(leave(u1, other, NULL), 0);
	CHECK_STR(listed(other, "user"), "-");
	CHECK_STR(children_of(u1), "");
}

/* --- at random, against the rules said again in the simplest way --- */

#define CONTAINERS   7
#define APPLICATIONS 4
#define USERS        3
#define LIST_MAX     6

static char container_names[CONTAINERS][8], application_names[APPLICATIONS][8],
	user_names[USERS][8];

struct side {
	char (*parents)[8], (*children)[8];
	size_t n_parents, n_children;
	const char *list;
	/* When the parent, being there, began to list the child; 0: it does not. */
	unsigned long since[APPLICATIONS][CONTAINERS];
};
static struct side sides[] = {
	{application_names, container_names, APPLICATIONS, CONTAINERS, "containers", {}},
	{user_names, application_names, USERS, APPLICATIONS, "clusters", {}},
};
static unsigned long now;

static struct structure *parent_at(const struct side *side, size_t i)
{
	return side == &sides[1] ? model_user(model, side->parents[i])
				 : model_structure(model, side->parents[i]);
}

static bool lists(const struct structure *parent, const char *key, const char *name)
{
	const json_t *list = parent ? json_object_get(parent->doc, key) : NULL;

	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), name))
			return true;
	return false;
}

static void note_time(void)
{
	now++;
	for (struct side *side = sides; side < sides + 2; side++)
		for (size_t p = 0; p < side->n_parents; p++)
			for (size_t c = 0; c < side->n_children; c++) {
				unsigned long *since = &side->since[p][c];

				if (!lists(parent_at(side, p), side->list, side->children[c]))
					*since = 0;
				else if (!*since)
					*since = now;
			}
}

static const char *wanted_parent(const struct side *side, size_t c)
{
	const struct structure *child = model_structure(model, side->children[c]);
	const char *named = json_string_value(json_object_get(child->doc, "user"));
	const char *best = "-";
	unsigned long first = 0;

	for (size_t p = 0; p < side->n_parents; p++) {
		unsigned long since = side->since[p][c];

		if (!since)
			continue;
		if (side == &sides[1] && named && !strcmp(named, side->parents[p]))
			return side->parents[p];
		if (!first || since < first) {
			first = since;
			best = side->parents[p];
		}
	}
	if (!first && side == &sides[1] && named && model_user(model, named))
		return named;
	return best;
}

static void check_side(const struct side *side)
{
	size_t found = 0, wanted = 0;

	for (size_t c = 0; c < side->n_children; c++) {
		const struct structure *child = model_structure(model, side->children[c]);

		if (!child)
			continue;
		CHECK_STR(parent_of(child->name), wanted_parent(side, c));
		wanted += hierarchy_parent(child) != NULL;
	}
	for (size_t p = 0; p < side->n_parents; p++) {
		const struct structure *parent = parent_at(side, p);
		char text[512] = "";
		struct structure *child;
		size_t i;
		json_t *name;

		if (!parent)
			continue;
		hierarchy_foreach(child, parent)
		{
			CHECK(hierarchy_parent(child) == parent);
			found++;
		}
		/* Those that the list names, in its order, come first. */
		json_array_foreach(json_object_get(parent->doc, side->list), i, name) {
			child = model_structure(model, json_string_value(name));
			if (!child || hierarchy_parent(child) != parent ||
			    strstr(text, child->name))
				continue;
			strcat(text, *text ? " " : "");
			strcat(text, child->name);
		}
		CHECK(strncmp(children_of(parent), text, strlen(text)) == 0);
	}
	CHECK_INT(found, wanted);
}

static json_t *random_list(const struct side *side)
{
	json_t *list = json_array();

	for (int n = rand() % (LIST_MAX + 1); n > 0; n--)
		json_array_append_new(
			list, json_string(side->children[(size_t)rand() % side->n_children]));
	return list;
}

static void come(bool is_user, const char *name)
{
	const struct side *side = &sides[is_user];
	_cleanup_json_ json_t *list = random_list(side);
	_cleanup_free_ char *text = json_dumps(list, JSON_COMPACT);

	if (is_user)
		user(name, text);
	else
		application(name, text);
}

static void step(void)
{
	const struct side *side = &sides[rand() % 2];
	size_t p = (size_t)rand() % side->n_parents, c = (size_t)rand() % side->n_children;
	struct structure *parent = parent_at(side, p);
	struct structure *child = model_structure(model, side->children[c]);
	const char *named;
	int r;

	switch (rand() % 8) {
	case 0:
		if (parent)
			gone(parent);
		break;
	case 1:
	case 2:
		if (!parent)
			come(side == &sides[1], side->parents[p]);
		break;
	case 3:
		if (child)
			gone(child);
		else if (side == &sides[0])
			container(side->children[c]);
		else
			come(false, side->children[c]);
		break;
	case 4:
		if (parent)
			set_list(parent, side->list, random_list(side));
		break;
	case 5:
		if (child && side == &sides[1])
			set_list(child, "user",
				 rand() % 3 ? json_string(user_names[rand() % USERS]) : NULL);
		break;
	case 6:
		if (!parent || !child)
			break;
		r = hierarchy_parent(child) ? -EEXIST : 0;
		CHECK_INT(join(parent, child, NULL), r);
		if (r == 0)
			CHECK(hierarchy_parent(child) == parent);
		break;
	case 7:
		if (!parent || !child)
			break;
		named = json_string_value(json_object_get(child->doc, "user"));
		r = hierarchy_parent(child) == parent || lists(parent, side->list, child->name) ||
				    (side == &sides[1] && named && !strcmp(named, parent->name))
			    ? 0
			    : -ENOENT;
		CHECK_INT(leave(parent, child, NULL), r);
		CHECK(!lists(parent, side->list, child->name));
		break;
	}
}

TEST(all_leave_at_once)
{
	struct structure *app, *other, *u, *u1;

	start();
	container("c0");
	container("c1");
	app = application("app", "['c0','c1','c9','c0']");
	other = application("other", "['c1']");
	u = user("u", "['app']");
	u1 = user("u1", "['other']");
	set_list(app, "user", json_string("u"));
	set_list(other, "user", json_string("u"));
	CHECK_STR(children_of(app), "c0 c1");
	model_lock(model);
	CHECK_INT(hierarchy_leave_all(model, app), 0);
	model_unlock(model);
	CHECK_STR(listed(app, "containers"), "[]");
	CHECK_STR(children_of(app), "");
	CHECK_STR(parent_of("c0"), "-");
	/* Who names it too has it then. */
	CHECK_STR(parent_of("c1"), "other");
	CHECK_STR(children_of(u), "app");
	CHECK_STR(children_of(u1), "other");
	model_lock(model);
	CHECK_INT(hierarchy_leave_all(model, u), 0);
	model_unlock(model);
	CHECK_STR(listed(u, "clusters"), "[]");
	CHECK_STR(children_of(u), "");
	CHECK_STR(parent_of("app"), "-");
	CHECK_STR(listed(app, "user"), "-");
	CHECK_STR(listed(other, "user"), "-");
	CHECK_STR(children_of(u1), "other");
	/* It has no list, and is none the worse for that. */
	app = add("{'subtype':'application','name':'bare'}");
	model_lock(model);
	CHECK_INT(hierarchy_leave_all(model, app), 0);
	model_unlock(model);
	CHECK_STR(listed(app, "containers"), "-");
}

TEST(at_random)
{
	unsigned seed = (unsigned)test_seed(20251);

	log_set_level(LOG_LEVEL_ERROR);
	srand(seed);
	start();
	for (int i = 0; i < CONTAINERS; i++)
		snprintf(container_names[i], 8, "c%d", i);
	for (int i = 0; i < APPLICATIONS; i++)
		snprintf(application_names[i], 8, "a%d", i);
	for (int i = 0; i < USERS; i++)
		snprintf(user_names[i], 8, "u%d", i);
	for (int i = 0; i < 20000; i++) {
		step();
		note_time();
		check_side(&sides[0]);
		check_side(&sides[1]);
	}
}

TEST_MAIN()
