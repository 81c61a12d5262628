/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "amount.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NAME_LEN_MAX 255
/* As the controller has it: more is a slip of the hand. */
#define AMOUNT_LIMIT (1LL << 30)
#define WEIGHT_LIMIT 1000000
/* The way to a value, for messages. */
#define WHERE_MAX 160

struct parser {
	json_t *layout;
	char **ret_error;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct parser *parser, const char *where,
							const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0) {
		text = NULL;
		return -ENOMEM;
	}
	if (asprintf(parser->ret_error, "%s%s%s", where, *where ? ": " : "", text) < 0) {
		*parser->ret_error = NULL;
		return -ENOMEM;
	}
	return -EINVAL;
}

/* --- values --- */

typedef int (*value_fn)(struct parser *parser, const char *where, const json_t *value,
			json_t **ret_value);

static int text_value(struct parser *parser, const char *where, const json_t *value,
		      json_t **ret_value)
{
	if (!json_is_string(value))
		return refuse(parser, where, "this is a text: put it in quotes");
	*ret_value = json_copy((json_t *)value);
	return *ret_value ? 0 : -ENOMEM;
}

static int name_value(struct parser *parser, const char *where, const json_t *value,
		      json_t **ret_value)
{
	const char *text = json_string_value(value);

	if (!text)
		return refuse(parser, where, "a name is a text: put it in quotes");
	/* "free" is what the core map calls the shares that nobody has. */
	if (!name_is_sane(text, NAME_LEN_MAX) || !strcmp(text, "free"))
		return refuse(parser, where,
			      "a name has 1 to %d bytes without control characters, and is not "
			      "'free'",
			      NAME_LEN_MAX);
	*ret_value = json_string(text);
	return *ret_value ? 0 : -ENOMEM;
}

static int bool_value(struct parser *parser, const char *where, const json_t *value,
		      json_t **ret_value)
{
	if (!json_is_boolean(value))
		return refuse(parser, where, "this is true or false");
	*ret_value = json_boolean(json_is_true(value));
	return 0;
}

static int weight_value(struct parser *parser, const char *where, const json_t *value,
			json_t **ret_value)
{
	double number = json_is_number(value) ? json_number_value(value) : NAN;

	if (!(number >= 0 && number <= WEIGHT_LIMIT))
		return refuse(parser, where, "a weight is a number from 0 to %d", WEIGHT_LIMIT);
	*ret_value = json_real(number);
	return *ret_value ? 0 : -ENOMEM;
}

static int boundary_value(struct parser *parser, const char *where, const json_t *value,
			  json_t **ret_value)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > 100)
		return refuse(parser, where, "a boundary is a percentage, 0 to 100");
	*ret_value = json_copy((json_t *)value);
	return *ret_value ? 0 : -ENOMEM;
}

static int boundary_type_value(struct parser *parser, const char *where, const json_t *value,
			       json_t **ret_value)
{
	const char *text = json_string_value(value);

	if (!text ||
	    (strcmp(text, "percentage_of_max") && strcmp(text, "percentage_of_current") != 0))
		return refuse(parser, where,
			      "a boundary_type is percentage_of_max or percentage_of_current");
	*ret_value = json_string(text);
	return *ret_value ? 0 : -ENOMEM;
}

static int names_value(struct parser *parser, const char *where, const json_t *value,
		       json_t **ret_value)
{
	_cleanup_json_ json_t *list = json_array();
	json_t *item, *name;
	size_t i;

	if (!json_is_array(value))
		return refuse(parser, where, "this is a list of names");
	json_array_foreach((json_t *)value, i, item) {
		char at[WHERE_MAX];
		int r;

		snprintf(at, sizeof(at), "%.120s[%zu]", where, i);
		r = name_value(parser, at, item, &name);
		if (r < 0)
			return r;
		if (json_array_append_new(list, name) < 0)
			return -ENOMEM;
	}
	*ret_value = TAKE_PTR(list);
	return 0;
}

static int any_value(struct parser *parser, const char *where, const json_t *value,
		     json_t **ret_value)
{
	*ret_value = json_deep_copy(value);
	return *ret_value ? 0 : -ENOMEM;
}

static int amount_value(struct parser *parser, const char *where, enum ebb_resource resource,
			const json_t *value, json_t **ret_value)
{
	int64_t amount = -1;
	int r = -EINVAL;

	if (json_is_string(value)) {
		r = amount_parse(resource, json_string_value(value), &amount);
	} else if (json_is_number(value)) {
		double number = json_number_value(value);

		if (number == trunc(number) && number >= 0 && number <= (double)AMOUNT_LIMIT) {
			amount = (int64_t)number;
			r = 0;
		}
	}
	if (r < 0 || amount > AMOUNT_LIMIT)
		return refuse(parser, where, "this is not an amount of %s, such as %s",
			      ebb_resource_name(resource),
			      resource == EBB_CPU   ? "200 (shares) or 2c (cores)"
			      : resource == EBB_MEM ? "512 (MiB) or 2G"
						    : "100");
	*ret_value = json_integer(amount);
	return *ret_value ? 0 : -ENOMEM;
}

/* --- resources --- */

static int resource_member(struct parser *parser, const char *where, enum ebb_resource resource,
			   const char *key, const json_t *value, json_t **ret_value)
{
	if (!strcmp(key, "min") || !strcmp(key, "max") || !strcmp(key, "current"))
		return amount_value(parser, where, resource, value, ret_value);
	if (!strcmp(key, "weight"))
		return weight_value(parser, where, value, ret_value);
	if (!strcmp(key, "guard"))
		return bool_value(parser, where, value, ret_value);
	if (!strcmp(key, "boundary"))
		return boundary_value(parser, where, value, ret_value);
	return boundary_type_value(parser, where, value, ret_value);
}

static bool list_has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = words; (at = strstr(at, word)); at += n)
		if ((at == words || at[-1] == ' ') && (at[n] == ',' || !at[n]))
			return true;
	return false;
}

static int check_order(struct parser *parser, const char *where, const json_t *object)
{
	const json_t *min = json_object_get(object, "min"), *max = json_object_get(object, "max");
	const json_t *current = json_object_get(object, "current");

	if (max && !json_integer_value(max))
		return refuse(parser, where, "max is 0");
	if (min && max && json_integer_value(min) > json_integer_value(max))
		return refuse(parser, where, "min %lld is above max %lld",
			      (long long)json_integer_value(min),
			      (long long)json_integer_value(max));
	if (current && ((min && json_integer_value(current) < json_integer_value(min)) ||
			(max && json_integer_value(current) > json_integer_value(max))))
		return refuse(parser, where, "current %lld is not between min and max",
			      (long long)json_integer_value(current));
	return 0;
}

static int parse_resource(struct parser *parser, const char *where, enum ebb_resource resource,
			  const char *keys, const json_t *value, json_t *to)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return refuse(parser, where, "this has members, such as {max: 100}");
	json_object_foreach((json_t *)value, key, member) {
		char at[WHERE_MAX];
		json_t *parsed = NULL;
		int r;

		snprintf(at, sizeof(at), "%.120s.%.32s", where, key);
		if (!list_has_word(keys, key))
			return refuse(parser, at, "there is no such member; there are %s", keys);
		r = resource_member(parser, at, resource, key, member, &parsed);
		if (r < 0)
			return r;
		if (json_object_set_new(to, key, parsed) < 0)
			return -ENOMEM;
	}
	return check_order(parser, where, to);
}

static int parse_resources(struct parser *parser, const char *where, const char *keys,
			   const json_t *value, json_t *item)
{
	json_t *resources = json_object(), *member;
	const char *name;

	if (json_object_set_new(item, "resources", resources) < 0)
		return -ENOMEM;
	if (!json_is_object(value))
		return refuse(parser, where, "this has members, such as {cpu: {max: 200}}");
	json_object_foreach((json_t *)value, name, member) {
		enum ebb_resource resource = ebb_resource_from_name(name);
		json_t *to = json_object();
		char at[WHERE_MAX];
		int r;

		snprintf(at, sizeof(at), "%.120s.%.32s", where, name);
		if (json_object_set_new(resources, name, to) < 0)
			return -ENOMEM;
		if (resource == EBB_RESOURCE_INVALID)
			return refuse(parser, at,
				      "there is no such resource; there are cpu, mem, disk_read, "
				      "disk_write, net, energy");
		r = parse_resource(parser, at, resource, keys, member, to);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- parts --- */

struct member {
	const char *key;
	value_fn parse; /* NULL: resources, or what the part itself looks at */
};

struct part {
	const char *kind;       /* in the layout: "hosts" */
	const char *one;        /* "host" */
	const char *range_keys; /* of its resources */
	const struct member *members;
	size_t n_members;
};

static const struct member host_members[] = {
	{"address", name_value}, {"core_distribution", name_value},
	{"feed", name_value},    {"disks", any_value},
	{"containers", NULL},
};
static const struct member container_members[] = {
	{"host", name_value},
	{"guard", bool_value},
	{"disk", any_value},
};
static const struct member application_members[] = {
	{"guard", bool_value},         {"state", name_value},
	{"containers", names_value},   {"install_script", text_value},
	{"install_files", text_value}, {"runtime_files", text_value},
	{"output_dir", text_value},    {"start_script", text_value},
	{"stop_script", text_value},   {"framework", text_value},
};
static const struct member user_members[] = {
	{"guard", bool_value},
	{"clusters", names_value},
	{"balancing_method", name_value},
};

#define RANGE_KEYS "min, max, weight, guard, boundary, boundary_type"
static const struct part parts[] = {
	{"hosts", "host", "max", host_members, ARRAY_SIZE(host_members)},
	{"containers", "container", "current, " RANGE_KEYS, container_members,
	 ARRAY_SIZE(container_members)},
	{"applications", "application", RANGE_KEYS, application_members,
	 ARRAY_SIZE(application_members)},
	{"users", "user", "min, max, weight, guard", user_members, ARRAY_SIZE(user_members)},
};
enum { PART_HOSTS, PART_CONTAINERS, PART_APPLICATIONS, PART_USERS };

static const struct member *find_member(const struct part *part, const char *key)
{
	for (size_t i = 0; i < part->n_members; i++)
		if (!strcmp(part->members[i].key, key))
			return &part->members[i];
	return NULL;
}

static int no_such_member(struct parser *parser, const char *where, const struct part *part)
{
	char list[512] = "name, resources";
	size_t used = strlen(list);

	for (size_t i = 0; i < part->n_members && used < sizeof(list); i++)
		used += snprintf(list + used, sizeof(list) - used, ", %s", part->members[i].key);
	return refuse(parser, where, "there is no such member; %s has %s", part->one, list);
}

/* Where a structure is guarded, the resources it names are, unless they say otherwise. */
static void guard_resources(json_t *item)
{
	const char *name;
	json_t *resource;

	if (!json_is_true(json_object_get(item, "guard")))
		return;
	json_object_foreach(json_object_get(item, "resources"), name, resource)
		if (!json_object_get(resource, "guard"))
			json_object_set_new(resource, "guard", json_true());
}

static int parse_disks(struct parser *parser, const char *where, const json_t *disks)
{
	static const char *const numbers[] = {"max_read", "max_write"};
	json_t *disk;
	size_t i;

	if (!json_is_array(disks))
		return refuse(parser, where, "this is a list of disks");
	json_array_foreach((json_t *)disks, i, disk) {
		char at[WHERE_MAX];

		snprintf(at, sizeof(at), "%.120s[%zu]", where, i);
		if (!json_is_string(json_object_get(disk, "name")) ||
		    !json_is_string(json_object_get(disk, "path")))
			return refuse(parser, at, "a disk has a name and a path");
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
			const json_t *number = json_object_get(disk, numbers[j]);

			if (!json_is_integer(number) || json_integer_value(number) <= 0)
				return refuse(parser, at, "%s is a number of MiB/s", numbers[j]);
		}
	}
	return 0;
}

static int parse_containers_of_host(struct parser *parser, const char *where, const char *host,
				    const json_t *list);

static int parse_member(struct parser *parser, const struct part *part, const char *where,
			const char *name, const char *key, const json_t *value, json_t *item)
{
	const struct member *member = find_member(part, key);
	json_t *parsed;
	int r;

	if (!strcmp(key, "name"))
		return 0;
	if (!strcmp(key, "resources"))
		return parse_resources(parser, where, part->range_keys, value, item);
	if (!member)
		return no_such_member(parser, where, part);
	if (!member->parse)
		return parse_containers_of_host(parser, where, name, value);
	r = member->parse(parser, where, value, &parsed);
	if (r >= 0 && json_object_set_new(item, key, parsed) < 0)
		r = -ENOMEM;
	if (r >= 0 && !strcmp(key, "disks"))
		r = parse_disks(parser, where, value);
	return r;
}

/* Fills what `host` says; an item that was only named before may now be told in full. */
static int parse_item(struct parser *parser, const struct part *part, const char *where,
		      const json_t *value, const char *host)
{
	json_t *known, *item, *member, *name_json = NULL;
	_cleanup_json_ json_t *held = NULL;
	char at[WHERE_MAX];
	const char *key, *name, *told;
	int r;

	if (!json_is_object(value))
		return refuse(parser, where, "this has members, such as {name: %s0}", part->one);
	snprintf(at, sizeof(at), "%s.name", where);
	if (!json_object_get(value, "name"))
		return refuse(parser, where, "the name is missing");
	r = name_value(parser, at, json_object_get(value, "name"), &name_json);
	if (r < 0)
		return r;
	held = name_json;
	name = json_string_value(name_json);
	known = json_object_get(parser->layout, part->kind);
	item = json_object_get(known, name);
	if (item && !json_is_true(json_object_get(item, "_named")))
		return refuse(parser, at, "'%s' is there already, further up", name);
	if (!item) {
		item = json_object();
		if (json_object_set_new(known, name, item) < 0)
			return -ENOMEM;
	}
	json_object_del(item, "_named");
	told = host ? host : json_string_value(json_object_get(item, "host"));
	if (told && json_object_get(value, "host") &&
	    strcmp(told, json_string_value(json_object_get(value, "host")) ?: "") != 0)
		return refuse(parser, at, "'%s' is said to be on host '%s' too", name, told);
	if (host && json_object_set_new(item, "host", json_string(host)) < 0)
		return -ENOMEM;
	json_object_foreach((json_t *)value, key, member) {
		snprintf(at, sizeof(at), "%.120s.%.32s", where, key);
		r = parse_member(parser, part, at, name, key, member, item);
		if (r < 0)
			return r;
	}
	guard_resources(item);
	return 0;
}

/* Whoever lists none of a kind has not told of it. */
static void tell(struct parser *parser, const char *kind)
{
	json_object_set_new(json_object_get(parser->layout, "told"), kind, json_true());
}

/* A name alone: it is on this host, the rest may be told elsewhere. */
static int name_container(struct parser *parser, const char *where, const char *host,
			  const json_t *value)
{
	json_t *containers = json_object_get(parser->layout, "containers"), *item, *parsed;
	_cleanup_json_ json_t *held = NULL;
	const char *name, *told;
	int r;

	r = name_value(parser, where, value, &parsed);
	if (r < 0)
		return r;
	held = parsed;
	name = json_string_value(parsed);
	item = json_object_get(containers, name);
	if (!item) {
		item = json_pack("{s:s, s:b}", "host", host, "_named", true);
		return json_object_set_new(containers, name, item) < 0 ? -ENOMEM : 0;
	}
	told = json_string_value(json_object_get(item, "host"));
	if (told && strcmp(told, host) != 0)
		return refuse(parser, where, "'%s' is said to be on host '%s' too", name, told);
	return json_object_set_new(item, "host", json_string(host)) < 0 ? -ENOMEM : 0;
}

static int parse_containers_of_host(struct parser *parser, const char *where, const char *host,
				    const json_t *list)
{
	json_t *value;
	size_t i;

	if (!json_is_array(list))
		return refuse(parser, where, "this is a list of containers");
	tell(parser, "containers");
	json_array_foreach((json_t *)list, i, value) {
		char at[WHERE_MAX];
		int r;

		snprintf(at, sizeof(at), "%.120s[%zu]", where, i);
		r = json_is_object(value)
			    ? parse_item(parser, &parts[PART_CONTAINERS], at, value, host)
			    : name_container(parser, at, host, value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_part(struct parser *parser, const struct part *part, const char *key,
		      const json_t *list)
{
	json_t *value;
	size_t i;

	if (!json_is_array(list))
		return refuse(parser, key, "this is a list, each with a name");
	tell(parser, part->kind);
	json_array_foreach((json_t *)list, i, value) {
		char where[WHERE_MAX];
		int r;

		snprintf(where, sizeof(where), "%s[%zu]", key, i);
		r = parse_item(parser, part, where, value, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_rules(struct parser *parser, const json_t *list)
{
	json_t *rules = json_object_get(parser->layout, "rules"), *value, *copy;
	size_t i;

	if (!json_is_array(list))
		return refuse(parser, "rules", "this is a list of rules, each with a name");
	json_array_foreach((json_t *)list, i, value) {
		const char *name = json_string_value(json_object_get(value, "name"));
		char where[WHERE_MAX];

		snprintf(where, sizeof(where), "rules[%zu]", i);
		if (!name || !name_is_sane(name, NAME_LEN_MAX))
			return refuse(parser, where, "the name is missing");
		if (json_object_get(rules, name))
			return refuse(parser, where, "'%s' is there already, further up", name);
		copy = json_deep_copy(value);
		if (!copy || json_object_set_new(rules, name, copy) < 0)
			return -ENOMEM;
		json_object_del(copy, "_id");
		json_object_del(copy, "_rev");
	}
	return 0;
}

static int parse_services(struct parser *parser, const json_t *object)
{
	json_t *services = json_object_get(parser->layout, "services"), *config, *copy, *value;
	const char *name, *key;

	if (!json_is_object(object))
		return refuse(parser, "services",
			      "this has members, such as {guardian: {ACTIVE: "
			      "true}}");
	json_object_foreach((json_t *)object, name, config) {
		char where[WHERE_MAX];

		snprintf(where, sizeof(where), "services.%.64s", name);
		if (!json_is_object(config))
			return refuse(parser, where, "this has keys, such as {ACTIVE: true}");
		json_object_foreach(config, key, value) {
			snprintf(where, sizeof(where), "services.%.64s.%.64s", name, key);
			if (json_is_object(value) || json_is_null(value))
				return refuse(parser, where,
					      "a key is a number, a text, true, false or a list");
		}
		copy = json_deep_copy(config);
		if (!copy || json_object_set_new(services, name, copy) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* --- the whole --- */

/* Nobody belongs to two. */
static int check_members(struct parser *parser, int part, const char *list_key)
{
	_cleanup_json_ json_t *owners = json_object();
	const char *owner;
	json_t *item, *name;
	size_t i;

	json_object_foreach(json_object_get(parser->layout, parts[part].kind), owner, item) {
		json_array_foreach(json_object_get(item, list_key), i, name) {
			const char *member = json_string_value(name);
			const char *other = json_string_value(json_object_get(owners, member));

			if (other)
				return refuse(parser, parts[part].kind,
					      "'%s' belongs to '%s' and to '%s': it can only "
					      "belong to one, and once",
					      member, other, owner);
			if (json_object_set_new(owners, member, json_string(owner)) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Hosts, containers and applications share one name space. */
static int check_names(struct parser *parser)
{
	static const int kinds[] = {PART_HOSTS, PART_CONTAINERS, PART_APPLICATIONS};
	const char *name;
	json_t *item;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		json_object_foreach(json_object_get(parser->layout, parts[kinds[i]].kind), name,
				    item) {
			json_object_del(item, "_named");
			for (size_t j = i + 1; j < ARRAY_SIZE(kinds); j++)
				if (json_object_get(
					    json_object_get(parser->layout, parts[kinds[j]].kind),
					    name))
					return refuse(parser, parts[kinds[j]].kind,
						      "'%s' is the name of a %s too: each needs "
						      "its own",
						      name, parts[kinds[i]].one);
		}
	return 0;
}

static const struct part *part_of_key(const char *key)
{
	/* The original's word. */
	if (!strcmp(key, "apps"))
		return &parts[PART_APPLICATIONS];
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strcmp(parts[i].kind, key))
			return &parts[i];
	return NULL;
}

static int parse(struct parser *parser, const json_t *document)
{
	const char *key;
	json_t *value;
	int r = 0;

	if (!json_is_object(document))
		return refuse(parser, "",
			      "a layout has members: hosts, containers, applications, "
			      "users, rules, services");
	json_object_foreach((json_t *)document, key, value) {
		const struct part *part = part_of_key(key);

		if (part)
			r = parse_part(parser, part, key, value);
		else if (!strcmp(key, "rules"))
			r = parse_rules(parser, value);
		else if (!strcmp(key, "services"))
			r = parse_services(parser, value);
		else
			r = refuse(parser, key,
				   "there is no such member; a layout has hosts, containers, "
				   "applications, users, rules, services");
		if (r < 0)
			return r;
	}
	r = check_names(parser);
	if (r >= 0)
		r = check_members(parser, PART_APPLICATIONS, "containers");
	if (r >= 0)
		r = check_members(parser, PART_USERS, "clusters");
	return r;
}

int layout_parse(const json_t *document, json_t **ret_layout, char **ret_error)
{
	_cleanup_json_ json_t *layout =
		json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}}", "hosts", "containers",
			  "applications", "users", "rules", "services", "told");
	struct parser parser = {.layout = layout, .ret_error = ret_error};
	int r;

	if (!layout)
		return -ENOMEM;
	r = parse(&parser, document);
	if (r >= 0)
		*ret_layout = TAKE_PTR(layout);
	return r;
}
