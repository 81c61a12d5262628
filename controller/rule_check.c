/* SPDX-License-Identifier: Apache-2.0 */
#include "rule_check.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "structure.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define DEPTH_MAX 64
/* More variables than a rule has; those beyond are not looked at. */
#define RANGES_MAX 32
/* As the guardian keeps events: for EVENT_TIMEOUT, but for so many samples at least. */
#define SAMPLES_LEAST 20

struct check {
	const json_t *doc, *logic;
	enum rule_generates generates;
	char **error;
};

/* --- where something is --- */

static bool is_word(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

	return n > 0 && !text[n];
}

/* Bytes of `text` to show. */
static int shown(const char *text)
{
	return (int)utf8_fit(text, 32);
}

/* The way from `node` to `target`, an object or an array below it, is written to `text`. */
static bool find_way(const json_t *node, const json_t *target, unsigned depth, char *text,
		     size_t size)
{
	size_t used = 0, i;
	const char *key;
	json_t *value, *item;

	if (node == target)
		return true;
	if (depth > DEPTH_MAX)
		return false;
	if (json_is_array(node)) {
		json_array_foreach(node, i, item) {
			used = (size_t)snprintf(text, size, "[%zu]", i);
			if (used < size &&
			    find_way(item, target, depth + 1, text + used, size - used))
				return true;
		}
	}
	json_object_foreach((json_t *)node, key, value) {
		used = (size_t)snprintf(text, size, is_word(key) ? ".%.*s" : ".\"%.*s\"",
					shown(key), key);
		if (used < size && find_way(value, target, depth + 1, text + used, size - used))
			return true;
	}
	*text = '\0';
	return false;
}

#define WAY_MAX 512
/* "rule.and[1]"; `target` NULL: "rule". */
static const char *way_to(const struct check *check, const json_t *target, char text[WAY_MAX])
{
	int n = snprintf(text, WAY_MAX, "rule");

	if (target)
		(void)find_way(check->logic, target, 0, text + n, WAY_MAX - (size_t)n);
	return text;
}

/* The operator of `node`: its only member. NULL: it has none. */
static const char *operator_of(const json_t *node, const json_t **ret_args)
{
	void *iter = json_object_size(node) == 1 ? json_object_iter((json_t *)node) : NULL;

	*ret_args = iter ? json_object_iter_value(iter) : NULL;
	return iter ? json_object_iter_key(iter) : NULL;
}

static size_t n_args(const json_t *args)
{
	return json_is_array(args) ? json_array_size(args) : 1;
}

static const json_t *arg(const json_t *args, size_t i)
{
	return json_is_array(args) ? json_array_get(args, i) : i == 0 ? args : NULL;
}

/* "Rule NAME: PLACE: REASON"; steals neither. */
static int refuse_at(const struct check *check, const char *place, const char *below,
		     const char *format, va_list args)
{
	const char *name = json_string_value(json_object_get(check->doc, "name"));
	_cleanup_free_ char *reason = NULL;
	char *message;

	if (!check->error)
		return -EINVAL;
	if (vasprintf(&reason, format, args) < 0) {
		reason = NULL;
		return -ENOMEM;
	}
	if (asprintf(&message, "Rule %s: %s%s: %s", name ? name : "without a name", place, below,
		     reason) < 0)
		return -ENOMEM;
	*check->error = message;
	return -EINVAL;
}

/* `target` is what in the condition is wrong, `below` the rest of the way to it. */
__attribute__((format(printf, 4, 5))) static int
refuse(const struct check *check, const json_t *target, const char *below, const char *format, ...)
{
	char way[WAY_MAX];
	va_list args;
	int r;

	va_start(args, format);
	r = refuse_at(check, way_to(check, target, way), below, format, args);
	va_end(args);
	return r;
}

__attribute__((format(printf, 3, 4))) static int
refuse_member(const struct check *check, const char *member, const char *format, ...)
{
	va_list args;
	int r;

	va_start(args, format);
	r = refuse_at(check, member, "", format, args);
	va_end(args);
	return r;
}

/* --- operators and variables --- */

/* Do its later arguments see the elements of a list, and not the structure? */
static bool looks_into_list(const char *op)
{
	static const char *const names[] = {"map", "filter", "reduce", "all", "none", "some"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(op, names[i]))
			return true;
	return false;
}

/* Of the CPU alone there is something to measure. */
static bool is_of_another(const char *path)
{
	const char *last = strrchr(path, '.');

	return (!strcmp(last, ".throttled") || !strcmp(last, ".wait")) &&
	       strncmp(path, "cpu.", 4) != 0;
}

/* What the rebalancer knows of a structure. */
static bool is_of_swaps(const char *path)
{
	static const char *const names[] = {"usage", "current", "max", "min"};
	const char *last = strrchr(path, '.');

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(last + 1, names[i]))
			return true;
	return false;
}

static int check_variable(const struct check *check, const json_t *node, const char *below,
			  const char *path)
{
	switch (check->generates) {
	case RULE_REQUESTS:
		if (rule_event_variable_index(NULL, path) >= 0)
			return 0;
		return refuse(
			check, node, below,
			"there is no variable '%.*s' for a rule that generates requests. It can "
			"read events.scale.up and events.scale.down",
			shown(path), path);
	case RULE_EVENTS:
		if (rule_variable_index(NULL, path) >= 0 && !is_of_another(path))
			return 0;
		return refuse(
			check, node, below,
			"there is no variable '%.*s' for a rule that generates events. It can "
			"read R.structure.R.V with V usage, peak, growth, pressure, current, max "
			"or min, R.limits.R.V with V upper, lower or boundary, and "
			"cpu.structure.cpu.throttled and .wait, where R is a resource, such as "
			"cpu.structure.cpu.usage",
			shown(path), path);
	default:
		if (rule_variable_index(NULL, path) >= 0 && is_of_swaps(path))
			return 0;
		return refuse(
			check, node, below,
			"there is no variable '%.*s' for a rule of the rebalancer. It can read "
			"R.structure.R.V with V usage, current, max or min, where R is a resource",
			shown(path), path);
	}
}

static int check_node(const struct check *check, const json_t *node, bool in_list, unsigned depth);

static int check_var(const struct check *check, const json_t *node, const json_t *args,
		     bool in_list, unsigned depth)
{
	const json_t *name = arg(args, 0);
	const char *below = json_is_array(args) ? ".var[0]" : ".var";
	int r = 0;

	if (n_args(args) > 1)
		r = check_node(check, arg(args, 1), in_list, depth + 1);
	if (r < 0 || in_list)
		return r;
	if (json_is_string(name) && *json_string_value(name))
		return check_variable(check, node, below, json_string_value(name));
	if (json_is_object(name))
		return refuse(
			check, node, below,
			"write the variable's name out: one that is worked out cannot be checked");
	return refuse(check, node, below, "the name of a variable is wanted here");
}

/* The strings of `missing` and `missing_some` are variables. */
static int check_names(const struct check *check, const json_t *node, const json_t *args)
{
	for (size_t i = 0; i < n_args(args); i++) {
		const json_t *name = arg(args, i);
		int r = 0;

		if (json_is_array(name))
			r = check_names(check, node, name);
		else if (json_is_string(name))
			r = check_variable(check, node, "", json_string_value(name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_count(const struct check *check, const json_t *node, const char *op, size_t n,
			unsigned least, unsigned most)
{
	unsigned bound = n < least ? least : most;

	return refuse(check, node, "", "'%s' takes %s%u argument%s, not %zu", op,
		      least == most ? ""
		      : n < least   ? "at least "
				    : "at most ",
		      bound, bound == 1 ? "" : "s", n);
}

static int check_operator(const struct check *check, const json_t *node, bool in_list,
			  unsigned depth)
{
	const json_t *args;
	const char *op = operator_of(node, &args);
	unsigned least, most;
	size_t n = n_args(args);

	if (!op)
		return refuse(
			check, node, "",
			"an object with one member, the operator, is wanted here, not with %zu",
			json_object_size(node));
	if (!jsonlogic_operator(op, &least, &most))
		return refuse(check, node, "", "there is no operator '%.*s'", shown(op), op);
	if (n < least || n > most)
		return refuse_count(check, node, op, n, least, most);
	if (!strcmp(op, "var"))
		return check_var(check, node, args, in_list, depth);
	if (!in_list && (!strcmp(op, "missing") || !strcmp(op, "missing_some"))) {
		int r = check_names(check, node, args);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < n; i++) {
		bool inside = in_list || (i > 0 && looks_into_list(op));
		int r = check_node(check, arg(args, i), inside, depth + 1);

		if (r < 0)
			return r;
	}
	return 0;
}

static int check_node(const struct check *check, const json_t *node, bool in_list, unsigned depth)
{
	const json_t *item;
	size_t i;
	int r;

	if (depth > DEPTH_MAX)
		return refuse(check, NULL, "", "it is nested deeper than %d", DEPTH_MAX);
	if (json_is_object(node))
		return check_operator(check, node, in_list, depth);
	json_array_foreach(node, i, item) {
		r = check_node(check, item, in_list, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- can the conditions hold together? --- */

/* What is left for a variable by the conditions so far. */
struct range {
	const char *path;
	double least, most;
	bool above, below;                /* the bound itself is not among it */
	const json_t *least_by, *most_by; /* the condition; NULL: it lies in the variable */
};

struct ranges {
	struct range ranges[RANGES_MAX];
	size_t n;
};

static struct range *range_of(struct ranges *ranges, const char *path)
{
	static const char *const not_negative[] = {".usage",   ".peak", ".max",  ".min",
						   ".current", ".up",   ".down", ".wait"};
	static const char *const shares[] = {".throttled", ".pressure"};
	const char *last = strrchr(path, '.');
	struct range *range;

	for (size_t i = 0; i < ranges->n; i++)
		if (!strcmp(ranges->ranges[i].path, path))
			return &ranges->ranges[i];
	if (ranges->n == RANGES_MAX || !last)
		return NULL;
	range = &ranges->ranges[ranges->n++];
	*range = (struct range){.path = path, .least = -INFINITY, .most = INFINITY};
	for (size_t i = 0; i < ARRAY_SIZE(not_negative); i++)
		if (!strcmp(last, not_negative[i]))
			range->least = 0;
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
		if (!strcmp(last, shares[i]))
			range->least = 0, range->most = 1;
	if (!strcmp(last, ".boundary"))
		range->least = 0, range->most = 100;
	return range;
}

static bool is_count(const struct range *range)
{
	return strncmp(range->path, "events.", 7) == 0;
}

static void narrow_least(struct range *range, double least, bool above, const json_t *by)
{
	if (is_count(range)) {
		least = above ? floor(least) + 1 : ceil(least);
		above = false;
	}
	if (least < range->least || (least == range->least && (range->above || !above)))
		return;
	range->least = least;
	range->above = above;
	range->least_by = by;
}

static void narrow_most(struct range *range, double most, bool below, const json_t *by)
{
	if (is_count(range)) {
		most = below ? ceil(most) - 1 : floor(most);
		below = false;
	}
	if (most > range->most || (most == range->most && (range->below || !below)))
		return;
	range->most = most;
	range->below = below;
	range->most_by = by;
}

static bool is_empty(const struct range *range)
{
	return range->least > range->most ||
	       (range->least == range->most && (range->above || range->below));
}

/* The path of {"var": "a.b"}; NULL: it is something else, or has a default. */
static const char *variable_of(const json_t *node)
{
	const json_t *args;
	const char *op = operator_of(node, &args);

	if (!op || strcmp(op, "var") != 0 || n_args(args) != 1)
		return NULL;
	return json_string_value(arg(args, 0));
}

/* A bound as people say it. */
static void bound_text(const struct check *check, const struct range *range, bool least,
		       const json_t *except, char *text, size_t size)
{
	const json_t *by = least ? range->least_by : range->most_by;
	char way[WAY_MAX] = "";

	if (by && by != except)
		way_to(check, by, way);
	snprintf(text, size, "%s %.15g%s%s%s",
		 least          ? range->above ? "above" : "at least"
		 : range->below ? "below"
				: "at most",
		 least ? range->least : range->most, *way ? " (" : "", way, *way ? ")" : "");
}

static int contradiction(const struct check *check, const struct range *range,
			 const json_t *condition)
{
	char least[WAY_MAX + 64], most[WAY_MAX + 64];

	bound_text(check, range, true, condition, least, sizeof(least));
	bound_text(check, range, false, condition, most, sizeof(most));
	if (!range->least_by || !range->most_by)
		return refuse(check, condition, "",
			      "it can never fire: %s is always %s, and would have to be %s",
			      range->path, range->least_by ? most : least,
			      range->least_by ? least : most);
	return refuse(check, condition, "",
		      "it can never fire: %s would have to be %s and %s at once", range->path,
		      least, most);
}

enum relation { REL_LT, REL_LE, REL_GT, REL_GE, REL_EQ, REL_NONE };

static enum relation relation_of(const char *op)
{
	static const char *const names[] = {"<", "<=", ">", ">=", "=="};

	for (int i = 0; i < REL_NONE; i++)
		if (!strcmp(op, names[i]))
			return (enum relation)i;
	return strcmp(op, "===") ? REL_NONE : REL_EQ;
}

static enum relation turned(enum relation relation)
{
	static const enum relation other[] = {REL_GT, REL_GE, REL_LT, REL_LE, REL_EQ};

	return other[relation];
}

static bool holds(double a, enum relation relation, double b)
{
	switch (relation) {
	case REL_LT: return a < b;
	case REL_LE: return a <= b;
	case REL_GT: return a > b;
	case REL_GE: return a >= b;
	default: return a == b;
	}
}

/* `condition` says that `a` and `b` are so. */
static int narrow_pair(const struct check *check, struct ranges *ranges, const json_t *condition,
		       const json_t *a, enum relation relation, const json_t *b)
{
	const char *path = variable_of(a);
	struct range *range;
	double value;

	if (!path && variable_of(b)) {
		path = variable_of(b);
		relation = turned(relation);
		b = a;
	} else if (!path) {
		if (json_is_number(a) && json_is_number(b) &&
		    !holds(json_number_value(a), relation, json_number_value(b)))
			return refuse(check, condition, "",
				      "it can never fire: %.15g and %.15g are never so",
				      json_number_value(a), json_number_value(b));
		return 0;
	}
	if (json_to_double(b, &value) < 0)
		return 0;
	range = range_of(ranges, path);
	if (!range)
		return 0;
	if (relation == REL_GT || relation == REL_GE || relation == REL_EQ)
		narrow_least(range, value, relation == REL_GT, condition);
	if (relation == REL_LT || relation == REL_LE || relation == REL_EQ)
		narrow_most(range, value, relation == REL_LT, condition);
	return is_empty(range) ? contradiction(check, range, condition) : 0;
}

static int narrow(const struct check *check, struct ranges *ranges, const json_t *node,
		  bool alternatives, unsigned depth);

/* One of the arguments has to be possible beside what holds already. */
static int narrow_or(const struct check *check, const struct ranges *ranges, const json_t *node,
		     const json_t *args, unsigned depth)
{
	const struct check quiet = {check->doc, check->logic, check->generates, NULL};
	_cleanup_free_ struct ranges *copy = malloc(sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n_args(args); i++) {
		int r;

		*copy = *ranges;
		r = narrow(&quiet, copy, arg(args, i), false, depth + 1);
		if (r >= 0)
			r = narrow(&quiet, copy, arg(args, i), true, depth + 1);
		if (r != -EINVAL)
			return r;
	}
	return refuse(check, node, "", "it can never fire: none of these can hold%s",
		      ranges->n ? " beside the other conditions" : "");
}

/* What has to hold for `node` to be true: first without the alternatives, then these. */
static int narrow(const struct check *check, struct ranges *ranges, const json_t *node,
		  bool alternatives, unsigned depth)
{
	const json_t *args;
	const char *op = operator_of(node, &args);
	enum relation relation;
	size_t n;
	int r = 0;

	if (json_is_false(node) || json_is_null(node) ||
	    (json_is_number(node) && json_number_value(node) == 0))
		return refuse(check, NULL, "", "it can never fire: a condition of it is constant");
	if (!op || depth > DEPTH_MAX)
		return 0;
	n = n_args(args);
	if (!strcmp(op, "and") || !strcmp(op, "!!")) {
		for (size_t i = 0; i < n && r >= 0; i++)
			r = narrow(check, ranges, arg(args, i), alternatives, depth + 1);
		return r;
	}
	if (!strcmp(op, "or"))
		return alternatives ? narrow_or(check, ranges, node, args, depth) : 0;
	relation = relation_of(op);
	if (alternatives || relation == REL_NONE || n < 2)
		return 0;
	r = narrow_pair(check, ranges, node, arg(args, 0), relation, arg(args, 1));
	if (r >= 0 && n == 3)
		r = narrow_pair(check, ranges, node, arg(args, 1), relation, arg(args, 2));
	return r;
}

static enum rule_generates generates_of(const json_t *doc)
{
	const char *text = json_string_value(json_object_get(doc, "generates"));

	return !text || !*text          ? RULE_NOTHING
	       : strcmp(text, "events") ? RULE_REQUESTS
					: RULE_EVENTS;
}

static int narrow_all(const struct check *check, struct ranges *ranges)
{
	int r = narrow(check, ranges, check->logic, false, 1);

	return r < 0 ? r : narrow(check, ranges, check->logic, true, 1);
}

int rule_check(const json_t *doc, char **ret_error)
{
	const json_t *logic = json_object_get(doc, "rule");
	const struct check check = {doc, logic, generates_of(doc), ret_error};
	_cleanup_free_ struct ranges *ranges = NULL;
	struct rule rule;
	bool fits;
	int r = 0;

	/* First, because it tells the place of what rule_from_json() refuses in other words. */
	if (json_is_object(logic))
		r = check_node(&check, logic, false, 1);
	if (r >= 0)
		r = rule_from_json(doc, &rule, ret_error);
	if (r < 0)
		return r;
	fits = rule.generates != RULE_REQUESTS || rule.policy != RESCALE_FIT_TO_USAGE ||
	       rule.rescale_up < 0;
	rule_clear(&rule);
	if (!fits)
		return refuse_member(&check, "rescale_policy",
				     "\"fit_to_usage\" is for rules that rescale down");
	ranges = calloc(1, sizeof(*ranges));
	return ranges ? narrow_all(&check, ranges) : -ENOMEM;
}

void rule_reach_count(const struct ruleset *ruleset, enum ebb_resource resource,
		      struct rule_reach *reach)
{
	const struct rule_range *range = &ruleset->ranges[resource];

	reach->up = reach->down = 0;
	for (size_t i = range->first; i < range->requests; i++) {
		reach->up += (unsigned)ruleset->rules[i].events_up;
		reach->down += (unsigned)ruleset->rules[i].events_down;
	}
}

/* How many events of a direction there can be; INFINITY: nothing counts such. */
static double events_most(const struct rule_reach *reach, bool up)
{
	unsigned per_sample = up ? reach->up : reach->down;
	double samples = floor(reach->event_timeout / reach->period);

	return per_sample ? (fmax(samples, SAMPLES_LEAST) + 1) * per_sample : INFINITY;
}

static int check_count(const struct check *check, const struct rule_reach *reach,
		       const struct range *range)
{
	bool up = !strcmp(range->path, "events.scale.up");
	double most = events_most(reach, up);

	if (range->least <= most)
		return 0;
	return refuse(
		check, range->least_by, "",
		"it can never fire: of the %.15g events %s that it wants there are at most "
		"%.15g at once, because they are forgotten after EVENT_TIMEOUT, %.15g s. Ask for "
		"fewer, or raise EVENT_TIMEOUT of the guardian",
		range->least, up ? "up" : "down", most, reach->event_timeout);
}

int rule_check_reach(const json_t *doc, const struct rule_reach *reach, char **ret_error)
{
	const struct check check = {doc, json_object_get(doc, "rule"), generates_of(doc),
				    ret_error};
	const char *type = json_string_value(json_object_get(doc, "rescale_type"));
	_cleanup_free_ struct ranges *ranges = NULL;
	bool up = type && !strcmp(type, "up");
	double removed, most = events_most(reach, up);
	int r;

	if (check.generates != RULE_REQUESTS)
		return 0;
	ranges = calloc(1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r = narrow_all(&check, ranges);
	for (size_t i = 0; i < ranges->n && r >= 0; i++)
		r = check_count(&check, reach, &ranges->ranges[i]);
	if (r < 0)
		return r;
	if (json_to_double(json_object_get(doc, "events_to_remove"), &removed) >= 0 &&
	    removed > most)
		return refuse_member(&check, "events_to_remove",
				     "%.15g is more than the %.15g events %s that there can be at "
				     "once within EVENT_TIMEOUT, %.15g s",
				     removed, most, up ? "up" : "down", reach->event_timeout);
	return 0;
}
