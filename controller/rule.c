/* SPDX-License-Identifier: Apache-2.0 */
#include "rule.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

/* Beyond any resource of a host; keeps sums and casts in range. */
#define AMOUNT_MAX 1e9
#define EVENTS_MAX 1000000

static const char *const policy_names[RESCALE_POLICY_MAX] = {
	[RESCALE_AMOUNT] = "amount",
	[RESCALE_PROPORTIONAL] = "proportional",
	[RESCALE_FIT_TO_USAGE] = "fit_to_usage",
	[RESCALE_DEMAND] = "demand",
	[RESCALE_MODELLING] = "modelling",
	[RESCALE_FIXED_RATIO] = "fixed-ratio",
};

/* `in_limits`: below RESOURCE.limits, else RESOURCE.structure. */
static const struct {
	const char *name;
	bool in_limits;
} variables[RULE_VARIABLES_PER_RESOURCE] = {
	[VAR_USAGE] = {"usage", false},      [VAR_CURRENT] = {"current", false},
	[VAR_MAX] = {"max", false},          [VAR_MIN] = {"min", false},
	[VAR_UPPER] = {"upper", true},       [VAR_LOWER] = {"lower", true},
	[VAR_BOUNDARY] = {"boundary", true}, [VAR_THROTTLED] = {"throttled", false},
	[VAR_PEAK] = {"peak", false},        [VAR_PRESSURE] = {"pressure", false},
	[VAR_WAIT] = {"wait", false},        [VAR_GROWTH] = {"growth", false},
};

/* "cpu.structure.cpu.usage" */
int rule_variable_index(void *unused, const char *path)
{
	for (int resource = 0; resource < EBB_RESOURCE_MAX; resource++) {
		const char *name = ebb_resource_name((enum ebb_resource)resource);
		size_t length = strlen(name);
		const char *rest = path;
		bool in_limits;

		if (strncmp(rest, name, length) || rest[length] != '.')
			continue;
		rest += length + 1;
		if (!strncmp(rest, "structure.", 10)) {
			in_limits = false;
			rest += 10;
		} else if (!strncmp(rest, "limits.", 7)) {
			in_limits = true;
			rest += 7;
		} else {
			return -1;
		}
		if (strncmp(rest, name, length) || rest[length] != '.')
			return -1;
		rest += length + 1;
		for (int i = 0; i < RULE_VARIABLES_PER_RESOURCE; i++)
			if (variables[i].in_limits == in_limits && !strcmp(variables[i].name, rest))
				return resource * RULE_VARIABLES_PER_RESOURCE + i;
		return -1;
	}
	return -1;
}

int rule_event_variable_index(void *unused, const char *path)
{
	if (!strcmp(path, "events.scale.up"))
		return VAR_EVENTS_UP;
	if (!strcmp(path, "events.scale.down"))
		return VAR_EVENTS_DOWN;
	return -1;
}

static int invalid(const json_t *doc, char **ret_error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "Rule NAME: ..." */
static int invalid(const json_t *doc, char **ret_error, const char *format, ...)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	_cleanup_free_ char *text = NULL;
	char *message;
	va_list args;
	int n;

	if (!ret_error)
		return -EINVAL;
	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	if (asprintf(&message, "Rule %s: %s", name ? name : "without a name", text) < 0)
		return -ENOMEM;
	*ret_error = message;
	return -EINVAL;
}

/* Numbers come as numbers or as text: the old tools write both. */
static bool number_value(const json_t *json, double *ret_value)
{
	double value;

	if (json_is_number(json))
		value = json_number_value(json);
	else if (!json_is_string(json) || parse_double(json_string_value(json), &value) < 0)
		return false;
	if (!isfinite(value))
		return false;
	*ret_value = value;
	return true;
}

/* An integer 0..EVENTS_MAX; absent is `by_default`. */
static int get_count(const json_t *doc, const json_t *object, const char *key, int by_default,
		     int *ret_count, char **ret_error)
{
	const json_t *json = json_object_get(object, key);
	double value;

	if (!json) {
		*ret_count = by_default;
		return 0;
	}
	if (!number_value(json, &value) || value != trunc(value) || value < 0 || value > EVENTS_MAX)
		return invalid(doc, ret_error, "\"%s\" must be an integer from 0 to %d.", key,
			       EVENTS_MAX);
	*ret_count = (int)value;
	return 0;
}

const char *rescale_policy_name(enum rescale_policy policy)
{
	return policy < RESCALE_POLICY_MAX ? policy_names[policy] : NULL;
}

enum rescale_policy rescale_policy_from_name(const char *name)
{
	for (int i = 0; i < RESCALE_POLICY_MAX; i++)
		if (name && !strcmp(policy_names[i], name))
			return (enum rescale_policy)i;
	return RESCALE_POLICY_MAX;
}

/* 1 up, -1 down, 0 neither. */
static int direction_of(const json_t *doc)
{
	const char *type = json_string_value(json_object_get(doc, "rescale_type"));

	if (type && !strcmp(type, "up"))
		return 1;
	if (type && !strcmp(type, "down"))
		return -1;
	return 0;
}

/* `amount`, where the policy uses it, must point where the rule does. */
static int check_amount(const json_t *doc, enum rescale_policy policy, int direction,
			double *ret_amount, char **ret_error)
{
	const json_t *json = json_object_get(doc, "amount");
	const char *name = policy_names[policy];
	double amount = 0;

	if (json && (!number_value(json, &amount) || fabs(amount) > AMOUNT_MAX))
		return invalid(doc, ret_error, "\"amount\" must be a number within +-%g.",
			       AMOUNT_MAX);

	switch (policy) {
	case RESCALE_DEMAND:
		if (direction < 0) {
			if (amount < 0)
				return invalid(
					doc, ret_error,
					"with the policy \"demand\", \"amount\" of a rule that "
					"rescales down is the head-room to leave: 0 or more.");
			break;
		}
		/* fall through */
	case RESCALE_AMOUNT:
	case RESCALE_PROPORTIONAL:
		if (!json)
			return invalid(doc, ret_error,
				       "the policy \"%s\" needs \"amount\". Add it to the rule.",
				       name);
		if (amount * direction <= 0)
			return invalid(doc, ret_error,
				       "\"amount\" must be %s for a rule that rescales %s.",
				       direction > 0 ? "above 0" : "below 0",
				       direction > 0 ? "up" : "down");
		break;
	default: break;
	}
	*ret_amount = amount;
	return 0;
}

static int read_event_action(const json_t *doc, struct rule *rule, char **ret_error)
{
	const json_t *events = json_object_get(json_object_get(doc, "action"), "events");
	const json_t *scale = json_object_get(events, "scale");
	int r;

	if (!json_is_object(scale))
		return invalid(
			doc, ret_error,
			"it generates events, so it needs {\"action\": {\"events\": {\"scale\": "
			"{\"up\" or \"down\": COUNT}}}}.");
	r = get_count(doc, scale, "up", 0, &rule->events_up, ret_error);
	if (r < 0)
		return r;
	r = get_count(doc, scale, "down", 0, &rule->events_down, ret_error);
	if (r < 0)
		return r;
	if (rule->events_up + rule->events_down == 0)
		return invalid(doc, ret_error,
			       "action.events.scale must count \"up\" or \"down\" events.");
	return 0;
}

static int read_request_action(const json_t *doc, struct rule *rule, char **ret_error)
{
	const char *policy = json_string_value(json_object_get(doc, "rescale_policy"));

	rule->rescale_up = direction_of(doc);
	if (rule->rescale_up == 0)
		return invalid(doc, ret_error, "\"rescale_type\" must be \"up\" or \"down\".");
	rule->policy = rescale_policy_from_name(policy);
	if (rule->policy == RESCALE_POLICY_MAX)
		return invalid(doc, ret_error,
			       "\"rescale_policy\" must be \"amount\", \"proportional\", "
			       "\"fit_to_usage\" or \"demand\".");
	/* 1: a rule that fired and consumed nothing would fire again on the next sample. */
	if (get_count(doc, doc, "events_to_remove", 1, &rule->events_to_remove, ret_error) < 0)
		return -EINVAL;
	return check_amount(doc, rule->policy, rule->rescale_up, &rule->amount, ret_error);
}

static int read_logic(const json_t *doc, struct rule *rule, char **ret_error)
{
	const json_t *logic = json_object_get(doc, "rule");
	_cleanup_free_ char *error = NULL;
	int r;

	if (!json_is_object(logic) || json_object_size(logic) != 1)
		return invalid(doc, ret_error,
			       "\"rule\" must be JsonLogic: an object with one operator.");
	r = jsonlogic_compile(logic,
			      rule->generates == RULE_REQUESTS ? rule_event_variable_index
							       : rule_variable_index,
			      NULL, &rule->logic, &error);
	if (r == -EINVAL)
		return invalid(doc, ret_error, "\"rule\" is not JsonLogic: %s.", error);
	return r;
}

int rule_from_json(const json_t *doc, struct rule *ret_rule, char **ret_error)
{
	const char *name = json_string_value(json_object_get(doc, "name"));
	const char *generates = json_string_value(json_object_get(doc, "generates"));
	const char *resource = json_string_value(json_object_get(doc, "resource"));
	const json_t *active = json_object_get(doc, "active");
	struct rule rule = {};
	int r = 0;

	if (!json_is_object(doc))
		return invalid(NULL, ret_error, "it must be a JSON object.");
	if (!name || !name_is_sane(name, 255))
		return invalid(NULL, ret_error,
			       "\"name\" must be 1 to 255 characters without control characters.");
	rule.resource = resource ? ebb_resource_from_name(resource) : EBB_RESOURCE_INVALID;
	if (rule.resource == EBB_RESOURCE_INVALID)
		return invalid(
			doc, ret_error,
			"\"resource\" must be cpu, mem, disk_read, disk_write, net or energy.");
	if (!json_is_boolean(active))
		return invalid(doc, ret_error, "\"active\" must be true or false.");
	rule.active = json_is_true(active);

	if (generates && !strcmp(generates, "events")) {
		rule.generates = RULE_EVENTS;
		r = read_event_action(doc, &rule, ret_error);
	} else if (generates && !strcmp(generates, "requests")) {
		rule.generates = RULE_REQUESTS;
		r = read_request_action(doc, &rule, ret_error);
	} else if (generates && !*generates) {
		rule.generates = RULE_NOTHING;
	} else {
		r = invalid(doc, ret_error,
			    "\"generates\" must be \"events\", \"requests\" or \"\".");
	}
	if (r < 0)
		return r;
	r = read_logic(doc, &rule, ret_error);
	if (r < 0)
		return r;
	rule.name = strdup(name);
	if (!rule.name) {
		rule_clear(&rule);
		return -ENOMEM;
	}
	*ret_rule = rule;
	return 0;
}

void rule_clear(struct rule *rule)
{
	free(rule->name);
	jsonlogic_free(rule->logic);
	*rule = (struct rule){};
}

/* Active before inactive, then by resource, then events before requests. */
static int sort_key(const struct rule *rule)
{
	return (!rule->active * EBB_RESOURCE_MAX + (int)rule->resource) * 3 + (int)rule->generates;
}

/* Stable, so that rules fire in the order of their documents; a site has dozens of rules. */
static void sort_rules(struct rule *rules, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct rule rule = rules[i];
		size_t k = i;

		for (; k > 0 && sort_key(&rules[k - 1]) > sort_key(&rule); k--)
			rules[k] = rules[k - 1];
		rules[k] = rule;
	}
}

static size_t first_at_or_after(const struct ruleset *ruleset, int key)
{
	size_t i = 0;

	while (i < ruleset->n && sort_key(&ruleset->rules[i]) < key)
		i++;
	return i;
}

struct compilation {
	struct ruleset *ruleset;
	const struct rule *rule;
	jsonlogic_bind_fn bind;
	void (*note)(void *userdata, const char *text);
	void *userdata;
};

__attribute__((format(printf, 2, 3))) static void warn(const struct compilation *compilation,
						       const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	compilation->note(compilation->userdata, text);
}

static void warn_unknown_variable(void *userdata, const char *path)
{
	const struct compilation *compilation = userdata;

	if (compilation->bind(NULL, path) < 0)
		warn(compilation,
		     "Rule %s reads %s, which nothing measures: it will always be null",
		     compilation->rule->name, path);
}

static void add_rule(struct compilation *compilation, const json_t *doc)
{
	struct ruleset *ruleset = compilation->ruleset;
	struct rule *rule = &ruleset->rules[ruleset->n];
	_cleanup_free_ char *error = NULL;
	int r;

	r = rule_from_json(doc, rule, &error);
	if (r < 0) {
		warn(compilation, "%s It is left out", error ? error : strerror(-r));
		return;
	}
	ruleset->n++;
	if (!rule->active)
		return;
	ruleset->resources |= 1u << rule->resource;
	compilation->rule = rule;
	compilation->bind =
		rule->generates == RULE_REQUESTS ? rule_event_variable_index : rule_variable_index;
	jsonlogic_each_variable(rule->logic, warn_unknown_variable, compilation);
	if (rule->generates == RULE_REQUESTS && rule->policy >= RESCALE_MODELLING)
		warn(compilation, "Rule %s has the policy \"%s\", which makes no requests",
		     rule->name, policy_names[rule->policy]);
}

static void note_in_log(void *unused, const char *text)
{
	log_warning("%s", text);
}

int ruleset_new(const json_t *docs, struct ruleset **ret_ruleset)
{
	return ruleset_new_noting(docs, note_in_log, NULL, ret_ruleset);
}

int ruleset_new_noting(const json_t *docs, void (*note)(void *userdata, const char *text),
		       void *userdata, struct ruleset **ret_ruleset)
{
	struct ruleset *ruleset = calloc(1, sizeof(*ruleset));
	struct compilation compilation = {.ruleset = ruleset, .note = note, .userdata = userdata};
	const char *key;
	json_t *doc;
	size_t i;

	if (!ruleset)
		return -ENOMEM;
	ruleset->rules = calloc(MAX(json_array_size(docs) + json_object_size(docs), 1),
				sizeof(*ruleset->rules));
	if (!ruleset->rules) {
		free(ruleset);
		return -ENOMEM;
	}

	if (json_is_array(docs)) {
		json_array_foreach(docs, i, doc)
			add_rule(&compilation, doc);
	} else {
		json_object_foreach((json_t *)docs, key, doc)
			add_rule(&compilation, doc);
	}

	sort_rules(ruleset->rules, ruleset->n);
	for (int resource = 0; resource < EBB_RESOURCE_MAX; resource++)
		ruleset->ranges[resource] = (struct rule_range){
			.first = first_at_or_after(ruleset, resource * 3 + RULE_EVENTS),
			.requests = first_at_or_after(ruleset, resource * 3 + RULE_REQUESTS),
			.end = first_at_or_after(ruleset, resource * 3 + RULE_NOTHING),
		};
	*ret_ruleset = ruleset;
	return 0;
}

void ruleset_free(struct ruleset *ruleset)
{
	if (!ruleset)
		return;
	for (size_t i = 0; i < ruleset->n; i++)
		rule_clear(&ruleset->rules[i]);
	free(ruleset->rules);
	free(ruleset);
}

/* ---- changes to a document (spec 3.2) ---- */

static bool generates_requests(const json_t *doc)
{
	const char *generates = json_string_value(json_object_get(doc, "generates"));

	return generates && !strcmp(generates, "requests");
}

static json_t *number_to_json(double value)
{
	if (value == trunc(value))
		return json_integer((json_int_t)value);
	return json_real(value);
}

int rule_set_amount(json_t *doc, double amount, char **ret_error)
{
	if (!generates_requests(doc) || direction_of(doc) <= 0)
		return invalid(doc, ret_error,
			       "its amount can't be changed: only rules that request to rescale up "
			       "have one.");
	if (!isfinite(amount) || amount <= 0 || amount > AMOUNT_MAX)
		return invalid(doc, ret_error, "\"amount\" must be above 0 and at most %g.",
			       AMOUNT_MAX);
	return json_object_set_new(doc, "amount", number_to_json(amount)) < 0 ? -ENOMEM : 0;
}

int rule_set_policy(json_t *doc, const char *name, char **ret_error)
{
	enum rescale_policy policy = rescale_policy_from_name(name);
	int direction = direction_of(doc);
	double amount;
	int r;

	if (!generates_requests(doc) || direction == 0)
		return invalid(doc, ret_error,
			       "its policy can't be changed: it makes no requests.");
	if (policy == RESCALE_POLICY_MAX || (direction > 0 && policy == RESCALE_FIT_TO_USAGE))
		return invalid(doc, ret_error,
			       "the policy must be amount, proportional, %sdemand, modelling or "
			       "fixed-ratio.",
			       direction < 0 ? "fit_to_usage, " : "");
	r = check_amount(doc, policy, direction, &amount, ret_error);
	if (r < 0)
		return r;
	return json_object_set_new(doc, "rescale_policy", json_string(policy_names[policy])) < 0
		       ? -ENOMEM
		       : 0;
}

/* The arguments of the condition {OP: [{"var": "events.scale.TYPE"}, NUMBER]} in rule.and. */
static json_t *find_event_condition(json_t *doc, const char *variable)
{
	json_t *conditions = json_object_get(json_object_get(doc, "rule"), "and");
	json_t *condition;
	size_t i;

	json_array_foreach(conditions, i, condition) {
		json_t *args = json_object_iter_value(json_object_iter(condition));
		json_t *var = json_object_get(json_array_get(args, 0), "var");

		if (json_array_size(args) != 2 || !json_is_number(json_array_get(args, 1)))
			continue;
		if (json_is_array(var))
			var = json_array_get(var, 0);
		if (json_is_string(var) && !strcmp(json_string_value(var), variable))
			return args;
	}
	return NULL;
}

int rule_set_events_required(json_t *doc, const char *type, int value, char **ret_error)
{
	int direction = direction_of(doc);
	json_t *condition;
	bool up;

	if (!type || (strcmp(type, "up") && strcmp(type, "down")))
		return invalid(doc, ret_error, "\"event_type\" must be \"up\" or \"down\".");
	if (value < 0 || value > EVENTS_MAX)
		return invalid(doc, ret_error, "the number of events must be from 0 to %d.",
			       EVENTS_MAX);
	if (!generates_requests(doc) || direction == 0)
		return invalid(doc, ret_error, "it makes no requests, so it requires no events.");
	up = !strcmp(type, "up");
	condition = find_event_condition(doc, up ? "events.scale.up" : "events.scale.down");
	if (!condition)
		return invalid(doc, ret_error,
			       "its \"and\" has no condition on events.scale.%s to change.", type);

	/* Made before anything changes; setting what exists allocates nothing. */
	json_t *required = json_integer(value), *removed = json_integer(value);

	if (!required || !removed) {
		json_decref(required);
		json_decref(removed);
		return -ENOMEM;
	}
	/* The original set events_to_remove for whichever type was changed last. */
	if ((up ? 1 : -1) == direction) {
		if (json_object_set_new(doc, "events_to_remove", removed) < 0) {
			json_decref(required);
			return -ENOMEM;
		}
	} else {
		json_decref(removed);
	}
	json_array_set_new(condition, 1, required);
	return 0;
}
