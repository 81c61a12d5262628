/* SPDX-License-Identifier: Apache-2.0 */
#include "layout_diff.h"

#include <errno.h>
#include <string.h>

#include "layout.h"
#include "layout_diff_private.h"
#include "layout_equal.h"
#include "request.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

static json_t *value_body(json_t *value)
{
	return json_pack("{s:o}", "value", value);
}

/* --- one structure that is there --- */

struct subject {
	const char *one; /* "container" */
	const char *name;
	const char *prefix; /* "/structure/", "/user/" */
	const json_t *doc, *item;
};

static int put_parameter(struct diff *diff, const struct subject *s, const char *resource,
			 const char *param, const json_t *now, const json_t *wanted)
{
	_cleanup_free_ char *rest = diff_text("/resources/%s/%s", resource, param);
	double number = json_number_value(wanted);

	if (!wanted || (now && json_number_value(now) == number))
		return 0;
	return diff_add(diff,
			(struct call){"PUT", rest ? request_path(s->prefix, s->name, rest) : NULL,
				      value_body(json_copy((json_t *)wanted)),
				      diff_text("%s %s: %s %s %g", s->one, s->name, resource, param,
						number)},
			now ? "it is %g" : "it has none", now ? json_number_value(now) : 0);
}

/* min <= max holds at each step. */
static int diff_range(struct diff *diff, const struct subject *s, const char *resource,
		      const json_t *now, const json_t *wanted)
{
	const json_t *min = json_object_get(wanted, "min");
	bool max_first = min && json_integer_value(min) > json_get_integer(now, "max", 0);
	const char *order[] = {max_first ? "max" : "min", max_first ? "min" : "max", "weight"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(order) && r >= 0; i++)
		r = put_parameter(diff, s, resource, order[i], json_object_get(now, order[i]),
				  json_object_get(wanted, order[i]));
	return r;
}

static int diff_boundary(struct diff *diff, const struct subject *s, const char *resource,
			 const json_t *wanted)
{
	static const char *const keys[] = {"boundary", "boundary_type"};
	const json_t *now = json_object_get(diff_find(diff->present, "limits", s->name), resource);
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(keys) && r >= 0; i++) {
		json_t *value = json_object_get(wanted, keys[i]);
		const json_t *is = json_object_get(now, keys[i]);
		_cleanup_free_ char *rest = NULL, *shown = NULL, *before = NULL;

		if (!value || layout_equal(is, value))
			continue;
		rest = diff_text("/limits/%s/%s", resource, keys[i]);
		shown = layout_value_text(value);
		before = layout_value_text(is);
		r = diff_add(diff,
			     (struct call){"PUT",
					   rest ? request_path(s->prefix, s->name, rest) : NULL,
					   value_body(json_incref(value)),
					   diff_text("%s %s: %s %s %s", s->one, s->name, resource,
						     keys[i], shown)},
			     "it is %s", is ? before : "the default");
	}
	return r;
}

static int diff_guard_of(struct diff *diff, const struct subject *s, const char *resource,
			 const json_t *now, const json_t *wanted)
{
	bool on = json_is_true(wanted), is = json_is_true(now);
	_cleanup_free_ char *rest = NULL;

	if (!wanted || on == is)
		return 0;
	rest = diff_text("%s%s/%s", resource ? "/resources/" : "", resource ? resource : "",
			 on ? "guard" : "unguard");
	return diff_add(
		diff,
		(struct call){"PUT", rest ? request_path(s->prefix, s->name, rest) : NULL, NULL,
			      diff_text("%s %s: %s%s%s", s->one, s->name, on ? "guard" : "unguard",
					resource ? " " : "", resource ? resource : "")},
		"it is %sguarded", is ? "" : "not ");
}

static int diff_resources(struct diff *diff, const struct subject *s)
{
	const json_t *have = json_object_get(s->doc, "resources");
	const char *name;
	json_t *wanted;
	int r = 0;

	json_object_foreach(json_object_get(s->item, "resources"), name, wanted) {
		const json_t *now = json_object_get(have, name);

		if (!now)
			return diff_impossible(
				diff,
				"%s %s is there without %s: desubscribe it first, or leave "
				"%s out",
				s->one, s->name, name, name);
		r = diff_range(diff, s, name, now, wanted);
		if (r >= 0)
			r = diff_boundary(diff, s, name, wanted);
		if (r >= 0)
			r = diff_guard_of(diff, s, name, json_object_get(now, "guard"),
					  json_object_get(wanted, "guard"));
		if (r < 0)
			return r;
	}
	return diff_guard_of(diff, s, NULL, json_object_get(s->doc, "guard"),
			     json_object_get(s->item, "guard"));
}

static int note_fixed(struct diff *diff, const struct subject *s, const char *key)
{
	return diff_note(
		diff,
		"%s %s: %s differs; only a subscription sets it, desubscribe it first to have "
		"it so",
		s->one, s->name, key);
}

/* Texts that only a subscription says. */
static int note_texts(struct diff *diff, const struct subject *s, const char *const *keys, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		const json_t *wanted = json_object_get(s->item, keys[i]);

		if (wanted && !layout_equal(json_object_get(s->doc, keys[i]), wanted))
			r = note_fixed(diff, s, keys[i]);
	}
	return r;
}

/* PUT PREFIX/NAME/KEY {"value"} of what may be set by a route of its own. */
static int diff_word(struct diff *diff, const struct subject *s, const char *key)
{
	json_t *wanted = json_object_get(s->item, key);
	const char *now = json_get_text(s->doc, key);
	_cleanup_free_ char *rest = diff_text("/%s", key);

	if (!wanted || !strcmp(now, json_string_value(wanted)))
		return 0;
	return diff_add(diff,
			(struct call){"PUT", rest ? request_path(s->prefix, s->name, rest) : NULL,
				      value_body(json_incref(wanted)),
				      diff_text("%s %s: %s %s", s->one, s->name, key,
						json_string_value(wanted))},
			"it is %s", *now ? now : "the default");
}

/* --- hosts --- */

static int diff_disks(struct diff *diff, const struct subject *s)
{
	const json_t *have = json_object_get(json_object_get(s->doc, "resources"), "disks");
	_cleanup_json_ json_t *body = layout_host_body(s->name, s->item);
	json_t *disk;
	size_t i;
	int r = 0;

	json_array_foreach(json_object_get(json_object_get(body, "resources"), "disks"), i, disk) {
		const char *name = json_get_text(disk, "name");
		const json_t *now = json_object_get(have, name);
		bool same = now &&
			    layout_equal(json_object_get(now, "max_read"),
					 json_object_get(disk, "max_read")) &&
			    layout_equal(json_object_get(now, "max_write"),
					 json_object_get(disk, "max_write"));

		if (same)
			continue;
		r = diff_add(diff,
			     (struct call){now ? "POST" : "PUT",
					   request_path("/structure/host/", s->name, "/disks"),
					   json_pack("{s:{s:[O]}}", "resources", "disks", disk),
					   diff_text("host %s: %s disk %s", s->name,
						     now ? "resize" : "add", name)},
			     now ? "it has %lld and %lld" : "it is not there",
			     (long long)json_get_integer(now, "max_read", 0),
			     (long long)json_get_integer(now, "max_write", 0));
		if (r < 0)
			break;
	}
	return r;
}

/* Its agent tells what it has, and where it is itself. */
static bool has_agent(const json_t *doc)
{
	const json_t *live = json_object_get(doc, "live");

	return json_is_true(json_object_get(live, "connected")) &&
	       !json_is_true(json_object_get(live, "agentless"));
}

static int note_address(struct diff *diff, const struct subject *s)
{
	_cleanup_json_ json_t *body = layout_host_body(s->name, s->item);
	static const char *const keys[] = {"host_rescaler_ip", "host_rescaler_port"};
	bool differs = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!layout_means_the_same(json_object_get(s->doc, keys[i]),
					   json_object_get(body, keys[i])))
			differs = true;
	return json_object_get(s->item, "address") && differs && !has_agent(s->doc)
		       ? note_fixed(diff, s, "address")
		       : 0;
}

static int diff_sizes(struct diff *diff, const struct subject *s)
{
	bool agent = has_agent(s->doc);
	const json_t *have = json_object_get(s->doc, "resources");
	const char *name;
	json_t *wanted;
	int r = 0;

	json_object_foreach(json_object_get(s->item, "resources"), name, wanted) {
		const json_t *max = json_object_get(wanted, "max");
		const json_t *now = json_object_get(json_object_get(have, name), "max");
		bool told = agent && (!strcmp(name, "cpu") || !strcmp(name, "mem"));

		if (!told)
			r = put_parameter(diff, s, name, "max", now, max);
		else if (max && json_number_value(now) != json_number_value(max))
			r = diff_note(diff, "host %s: %s max is %lld, as its agent says, not %lld",
				      s->name, name, (long long)json_number_value(now),
				      (long long)json_integer_value(max));
		if (r < 0)
			return r;
	}
	return 0;
}

static int subscribe(struct diff *diff, const char *one, const char *name, char *path, json_t *body,
		     const json_t *doc)
{
	return diff_add(diff,
			(struct call){"PUT", path, body, diff_text("%s %s: subscribe", one, name)},
			"%s", doc ? "it came by itself" : "it is not there");
}

/* The document of that name, which must be of that kind. */
static int structure_of(struct diff *diff, const char *one, const char *name, json_t **ret_doc)
{
	json_t *doc = diff_find(diff->present, "structures", name);

	if (doc && strcmp(json_get_text(doc, "subtype"), one) != 0)
		return diff_impossible(diff, "%s %s: there is a %s of this name", one, name,
				       json_get_text(doc, "subtype"));
	*ret_doc = doc;
	return 0;
}

static int diff_host(struct diff *diff, const char *name, const json_t *item)
{
	struct subject s = {"host", name, "/structure/", NULL, item};
	json_t *doc = NULL;
	int r;

	r = structure_of(diff, "host", name, &doc);
	s.doc = doc;
	if (r >= 0 && (!doc || diff_is_automatic(doc)))
		r = subscribe(diff, "host", name, request_path("/structure/host/", name, ""),
			      layout_host_body(name, item), doc);
	else if (r >= 0)
		r = diff_disks(diff, &s);
	if (r >= 0 && doc && !diff_is_automatic(doc))
		r = diff_sizes(diff, &s);
	if (r >= 0 && doc && !diff_is_automatic(doc))
		r = note_address(diff, &s);
	if (r >= 0)
		r = diff_word(diff, &s, "core_distribution");
	if (r >= 0)
		r = diff_word(diff, &s, "feed");
	return r;
}

/* --- containers --- */

static int note_disk(struct diff *diff, const struct subject *s)
{
	const json_t *now = json_object_get(json_object_get(s->doc, "resources"), "disk");
	const json_t *wanted = json_object_get(s->item, "disk");

	return wanted && !layout_equal(now, wanted) ? note_fixed(diff, s, "disk") : 0;
}

static int subscribe_container(struct diff *diff, const char *name, const json_t *item,
			       const json_t *doc)
{
	_cleanup_json_ json_t *whole = json_copy((json_t *)item);
	const char *host = json_get_text(item, "host");

	if (!*host)
		host = json_get_text(doc, "host");
	if (!*host)
		return diff_impossible(
			diff,
			"container %s is not there, and the layout does not say on which "
			"host it is",
			name);
	if (!diff_find(diff->layout, "hosts", host) &&
	    !diff_find(diff->present, "structures", host))
		return diff_impossible(diff,
				       "container %s: there is no host '%s', nor is it in the "
				       "layout",
				       name, host);
	json_object_set_new(whole, "host", json_string(host));
	return subscribe(diff, "container", name, request_path("/structure/container/", name, ""),
			 layout_container_body(name, whole, diff_find(diff->layout, "hosts", host)),
			 doc);
}

static bool is_new(const struct diff *diff, const char *name)
{
	const json_t *doc = diff_find(diff->present, "structures", name);

	return !doc || diff_is_automatic(doc);
}

static int diff_container(struct diff *diff, const char *name, const json_t *item)
{
	struct subject s = {"container", name, "/structure/", NULL, item};
	const char *host = json_get_text(item, "host");
	json_t *doc = NULL;
	int r;

	r = structure_of(diff, "container", name, &doc);
	if (r < 0)
		return r;
	s.doc = doc;
	if (doc && *host && strcmp(host, json_get_text(doc, "host")) != 0)
		return diff_impossible(diff, "container %s is on host %s, not on %s%s", name,
				       json_get_text(doc, "host"), host,
				       diff_is_automatic(doc) ? ", as its agent says"
							      : ": desubscribe it first");
	if (is_new(diff, name))
		return subscribe_container(diff, name, item, doc);
	r = diff_resources(diff, &s);
	return r < 0 ? r : note_disk(diff, &s);
}

/* Those that are there first: what they are to give up may be what the new ones need. */
static int diff_containers(struct diff *diff)
{
	const char *name;
	json_t *item;
	int r;

	for (int pass = 0; pass < 2; pass++)
		json_object_foreach(json_object_get(diff->layout, "containers"), name, item) {
			r = is_new(diff, name) == (pass == 1) ? diff_container(diff, name, item)
							      : 0;
			if (r < 0)
				return r;
		}
	return 0;
}

/* --- applications, users --- */

static int diff_state(struct diff *diff, const struct subject *s)
{
	const char *wanted = json_get_text(s->item, "state"), *now = json_get_text(s->doc, "state");
	_cleanup_free_ char *front = NULL;

	if (!*wanted || !strcasecmp(wanted, now))
		return 0;
	front = request_path("/structure/", s->name, "/state/");
	return diff_add(diff,
			(struct call){"PUT", front ? request_path(front, wanted, "") : NULL, NULL,
				      diff_text("application %s: state %s", s->name, wanted)},
			"it is %s", *now ? now : "not told");
}

static int diff_application(struct diff *diff, const char *name, const json_t *item)
{
	static const char *const texts[] = {"install_script", "install_files", "runtime_files",
					    "output_dir",     "start_script",  "stop_script",
					    "framework"};
	struct subject s = {"application", name, "/structure/", NULL, item};
	json_t *doc = NULL;
	int r;

	r = structure_of(diff, "application", name, &doc);
	if (r < 0)
		return r;
	s.doc = doc;
	if (!doc)
		return subscribe(diff, "application", name,
				 request_path("/structure/apps/", name, ""),
				 layout_application_body(name, item), NULL);
	r = diff_resources(diff, &s);
	if (r >= 0)
		r = diff_state(diff, &s);
	if (r >= 0)
		r = note_texts(diff, &s, texts, ARRAY_SIZE(texts));
	return r;
}

static int diff_user(struct diff *diff, const char *name, const json_t *item)
{
	static const char *const texts[] = {"balancing_method"};
	struct subject s = {"user", name, "/user/", diff_find(diff->present, "users", name), item};
	int r;

	if (!s.doc)
		return subscribe(diff, "user", name, request_path("/user/", name, ""),
				 layout_user_body(name, item), NULL);
	r = diff_resources(diff, &s);
	return r < 0 ? r : note_texts(diff, &s, texts, ARRAY_SIZE(texts));
}

/* --- rules, services --- */

/* The first member of `item` that `doc` has otherwise, other than what stands for itself. */
static const char *first_difference(const json_t *doc, const json_t *item)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)item, key, value)
		if (!layout_equal(json_object_get(doc, key), value))
			return key;
	return NULL;
}

static int diff_rule(struct diff *diff, const char *name, const json_t *item)
{
	const json_t *doc = diff_find(diff->present, "rules", name);
	const json_t *etag = diff_find(diff->present, "rule_etags", name);
	const char *key = first_difference(doc, item);
	json_t *whole, *change;
	int r;

	if (!doc && !json_object_get(item, "rule"))
		return diff_impossible(
			diff,
			"rule %s is not there: to add it, the layout needs all of it, "
			"with \"rule\"",
			name);
	if (doc && !key)
		return 0;
	whole = doc ? json_deep_copy(doc) : json_object();
	json_object_del(whole, "_id");
	json_object_del(whole, "_rev");
	json_object_update(whole, (json_t *)item);
	r = diff_add(diff,
		     (struct call){"PUT", request_path("/rule/", name, ""), whole,
				   diff_text("rule %s: %s", name, doc ? "change" : "add")},
		     "%s%s", doc ? key : "it is not there", doc ? " differs" : "");
	if (r < 0)
		return r;
	change = json_array_get(diff->changes, json_array_size(diff->changes) - 1);
	if (etag)
		json_object_set(change, "if_match", (json_t *)etag);
	else if (!doc)
		json_object_set_new(change, "only_new", json_true());
	return 0;
}

static int diff_service(struct diff *diff, const char *name, const json_t *item)
{
	const json_t *doc = diff_find(diff->present, "services", name);
	const json_t *config = json_object_get(doc, "config");
	json_t *body = json_object(), *value;
	_cleanup_free_ char *before = NULL, *after = NULL;
	const char *key, *first = NULL;

	json_object_foreach((json_t *)item, key, value) {
		const json_t *now = json_object_get(config, key);

		if (layout_means_the_same(now, value))
			continue;
		if (!first) {
			first = key;
			before = layout_value_text(now);
			after = layout_value_text(value);
		}
		json_object_set(body, key, value);
	}
	if (!doc || !first) {
		json_decref(body);
		return doc ? 0 : diff_impossible(diff, "there is no service '%s'", name);
	}
	return diff_add(diff,
			(struct call){"PUT", request_path("/service/", name, ""), body,
				      diff_text("service %s: %s %s%s", name, first, after,
						json_object_size(body) > 1 ? ", and more" : "")},
			"it is %s", json_object_get(config, first) ? before : "not set");
}

/* --- the whole --- */

typedef int (*each_fn)(struct diff *diff, const char *name, const json_t *item);

static int for_each(struct diff *diff, const char *kind, each_fn each)
{
	const char *name;
	json_t *item;
	int r;

	json_object_foreach(json_object_get(diff->layout, kind), name, item) {
		r = each(diff, name, item);
		if (r < 0)
			return r;
	}
	return 0;
}

static int diff_all(struct diff *diff)
{
	int r;

	r = diff->prune ? diff_prune(diff) : 0;
	if (r >= 0)
		r = for_each(diff, "hosts", diff_host);
	if (r >= 0)
		r = diff_containers(diff);
	if (r >= 0)
		r = for_each(diff, "applications", diff_application);
	if (r >= 0)
		r = diff_containers_of_applications(diff);
	if (r >= 0)
		r = for_each(diff, "users", diff_user);
	if (r >= 0)
		r = diff_applications_of_users(diff);
	if (r >= 0)
		r = for_each(diff, "rules", diff_rule);
	if (r >= 0)
		r = for_each(diff, "services", diff_service);
	return r;
}

int layout_diff(const json_t *present, const json_t *layout, bool prune, json_t **ret_diff,
		char **ret_error)
{
	_cleanup_json_ json_t *result = json_pack("{s:[], s:[]}", "changes", "notes");
	struct diff diff = {
		.present = present,
		.layout = layout,
		.prune = prune,
		.changes = json_object_get(result, "changes"),
		.notes = json_object_get(result, "notes"),
		.ret_error = ret_error,
	};
	int r;

	if (!result)
		return -ENOMEM;
	r = diff_all(&diff);
	if (r >= 0)
		*ret_diff = TAKE_PTR(result);
	return r;
}
