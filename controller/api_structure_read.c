/* SPDX-License-Identifier: Apache-2.0 */
/* /structure/: reading structures, one, a part of one, or many (spec 3.3). */
#include "api.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_walk.h"
#include "ebb/cleanup.h"
#include "ebb/json_text.h"
#include "ebb/loop.h"

#define NAME_SIZE 256

/*
 * ?live adds what is measured rather than kept: {"connected", "heard_s", "throttled", "resources":
 * {"cpu": {"usage", "upper", "lower"}}}; what is not known is left out.
 */
static json_t *to_json(struct model *model, const struct structure *s, bool live)
{
	const struct host *host = model_host(model, s->host_name ? s->host_name : s->name);
	json_t *doc = structure_to_json(s), *more, *resources;

	/* A standby shows what the leader wrote. */
	if (doc && host && s->subtype == STRUCTURE_HOST &&
	    (model->leading || !json_object_get(doc, "feed_in_use")))
		json_object_set_new(doc, "feed_in_use", json_string(host_feed_name(host)));
	if (!doc || !live)
		return doc;
	more = json_object();
	resources = json_object();
	/* Only who leads hears of the hosts; who did knows what was. */
	if (host && model->leading) {
		json_object_set_new(more, "connected", json_boolean(host->connected));
		if (host->last_heard > 0)
			json_object_set_new(more, "heard_s",
					    json_real(wall_seconds() - host->last_heard));
		json_object_set_new(more, "agentless", json_boolean(host->agentless));
	}
	if (isfinite(s->throttled) && model->leading)
		json_object_set_new(more, "throttled", json_real(s->throttled));
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_state *state = &s->resources[i];
		json_t *object;

		if (!state->present)
			continue;
		object = json_object();
		if (isfinite(state->usage) && model->leading)
			json_object_set_new(object, "usage", json_real(state->usage));
		if (state->has_boundary && state->upper >= 0) {
			json_object_set_new(object, "upper", json_integer(state->upper));
			json_object_set_new(object, "lower", json_integer(state->lower));
		}
		json_object_set_new(resources, ebb_resource_name(i), object);
	}
	json_object_set_new(more, "resources", resources);
	json_object_set_new(doc, "live", more);
	return doc;
}

struct filter {
	const char *subtype, *host; /* NULL: any */
	int guard;                  /* -1: any */
};

static bool passes(const struct filter *filter, const struct structure *s)
{
	return (!filter->subtype || !strcmp(filter->subtype, structure_subtype_name(s->subtype))) &&
	       (!filter->host || !strcmp(filter->host, s->host_name ? s->host_name : s->name)) &&
	       (filter->guard < 0 || s->guard == filter->guard);
}

/* The names of a page, each with its NUL, and what there is beyond it. */
struct selection {
	const struct filter *filter;
	const struct api_page *page;
	FILE *out;
	char *names;
	size_t size;
	size_t taken, total;
	char last[NAME_SIZE]; /* of the page */
	bool more;
};

static void selection_clear(struct selection *selection)
{
	if (selection->out)
		fclose(selection->out);
	free(selection->names);
}
#define _cleanup_selection_ __attribute__((cleanup(selection_clear)))

/* The next in order that passes. */
static void take(struct selection *selection, const char *name)
{
	const struct api_page *page = selection->page;

	if (page->start && strcmp(name, page->start) <= 0)
		return;
	if (selection->taken == page->limit) {
		selection->more = true;
		return;
	}
	selection->taken++;
	fwrite(name, 1, strlen(name) + 1, selection->out);
	snprintf(selection->last, sizeof(selection->last), "%s", name);
}

/* What passes can be counted only one by one; -1. Else how many there are. With the lock held. */
static ssize_t known_total(const struct model *model, const struct filter *filter)
{
	if (filter->guard >= 0 || filter->host)
		return -1;
	if (!filter->subtype)
		return (ssize_t)name_order_size(model->order);
	for (int i = 0; i < STRUCTURE_SUBTYPE_MAX; i++)
		if (i != STRUCTURE_USER &&
		    !strcmp(filter->subtype, structure_subtype_name((enum structure_subtype)i)))
			return (ssize_t)model->n_of[i];
	return 0;
}

/* In pieces: there may be 100,000. */
static void select_all(struct model *model, struct selection *selection)
{
	struct model_hold hold = {.model = model};
	char cursor[NAME_SIZE] = "";
	bool done = false, count;
	ssize_t known;

	model_lock(model);
	known = known_total(model, selection->filter);
	model_unlock(model);
	count = known < 0;
	if (!count && selection->page->start)
		snprintf(cursor, sizeof(cursor), "%s", selection->page->start);
	while (!done) {
		model_hold_begin(&hold);
		do {
			void *some[64];
			size_t n = name_order_after(model->order, *cursor ? cursor : NULL, some,
						    ARRAY_SIZE(some));

			for (size_t i = 0; i < n; i++) {
				const struct structure *s = some[i];

				if (!passes(selection->filter, s))
					continue;
				selection->total++;
				take(selection, s->name);
			}
			if (n)
				snprintf(cursor, sizeof(cursor), "%s",
					 ((const struct structure *)some[n - 1])->name);
			done = n < ARRAY_SIZE(some) || (selection->more && !count);
		} while (!done && !model_hold_is_over(&hold));
		model_hold_end(&hold);
	}
	if (!count)
		selection->total = (size_t)known;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of one host there are so few that a page need not look at all the others. -ENOENT: no such. */
static int select_of_host(struct model *model, struct selection *selection)
{
	_cleanup_free_ char **names = NULL;
	struct host *host;
	size_t n = 1;
	int r = -ENOENT;

	model_lock(model);
	host = model_host(model, selection->filter->host);
	if (host) {
		for (struct structure *s = host->containers; s; s = s->host_next)
			n++;
		names = calloc(n, sizeof(*names));
		r = names ? 0 : -ENOMEM;
	}
	n = 0;
	if (r == 0 && passes(selection->filter, host->structure))
		names[n++] = strdup(host->structure->name);
	for (struct structure *s = r == 0 ? host->containers : NULL; s; s = s->host_next)
		if (passes(selection->filter, s))
			names[n++] = strdup(s->name);
	model_unlock(model);
	for (size_t i = 0; i < n && r == 0; i++)
		r = names[i] ? 0 : -ENOMEM;
	if (r == 0)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			take(selection, names[i]);
		free(names[i]);
	}
	selection->total = n;
	return r;
}

static int select_names(struct model *model, struct selection *selection)
{
	int r = -ENOENT;

	selection->out = open_memstream(&selection->names, &selection->size);
	if (!selection->out)
		return -ENOMEM;
	if (selection->filter->host)
		r = select_of_host(model, selection);
	if (r == -ENOENT) {
		select_all(model, selection);
		r = 0;
	}
	if (fclose(TAKE_PTR(selection->out)))
		r = -ENOMEM;
	return r;
}

/*
 * A document takes some 10 microseconds: of thousands, all at once would hold the feed up for as
 * long as a reaction may take. So it is some at a time, and they are serialised in between.
 */
#define DOCUMENTS_AT_ONCE 32

static int list_documents(struct model *model, const char *names, size_t size, bool live, FILE *out)
{
	const char *name = names, *end = names + size;
	bool first = true;

	fputc('[', out);
	while (name < end) {
		_cleanup_json_ json_t *some = json_array();
		json_t *doc;
		size_t i;

		if (!some)
			return -ENOMEM;
		model_lock(model);
		for (i = 0; i < DOCUMENTS_AT_ONCE && name < end; i++) {
			const struct structure *s = model_structure(model, name);

			/* It may have gone meanwhile. */
			if (s)
				json_array_append_new(some, to_json(model, s, live));
			name += strlen(name) + 1;
		}
		model_unlock(model);
		json_array_foreach(some, i, doc) {
			if (!first)
				fputc(',', out);
			first = false;
			_cleanup_free_ char *text = json_text(doc, JSON_REAL_PRECISION(15), NULL);

			if (!text || fputs(text, out) < 0)
				return -ENOMEM;
		}
	}
	fputc(']', out);
	return 0;
}

/* GET /structure/?subtype=&host=&guard=&limit=&start=&live */
static void structure_list(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct filter filter = {
		.subtype = http_query(call, "subtype"),
		.host = http_query(call, "host"),
	};
	struct api_page page;
	_cleanup_selection_ struct selection selection = {.filter = &filter, .page = &page};
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *out;
	int r;

	if (!api_query_bool(call, "guard", &filter.guard) || !api_page(call, &page))
		return;
	r = select_names(api->model, &selection);
	out = r < 0 ? NULL : open_memstream(&text, &len);
	if (out) {
		r = list_documents(api->model, selection.names, selection.size,
				   http_query(call, "live"), out);
		if (fclose(out))
			r = -ENOMEM;
	}
	if (r < 0 || !out) {
		api_reply(call, NULL);
		return;
	}
	api_page_headers(call, selection.total, selection.more ? selection.last : NULL);
	http_reply_text(call, 200, "application/json", text, len);
}

static void structure_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	bool live = http_query(call, "live");
	_cleanup_json_ json_t *doc = NULL;

	if (!s)
		return;
	doc = to_json(api->model, s, live);
	model_unlock(api->model);
	if (!doc) {
		api_reply(call, NULL);
		return;
	}
	api_etag(call, DB_STRUCTURES, doc);
	/* What is measured has another value each time. */
	if (live || !api_if_none_match(call, DB_STRUCTURES, doc))
		api_reply(call, TAKE_PTR(doc));
}

static void resources_get(void *userdata, struct http_call *call)
{
	struct api *api = userdata;
	struct structure *s = api_lock_structure(api, call);
	_cleanup_json_ json_t *doc = NULL;

	if (!s)
		return;
	doc = structure_to_json(s);
	model_unlock(api->model);
	if (doc)
		api_etag(call, DB_STRUCTURES, doc);
	api_reply_part(call, doc, "resources");
}

const struct http_route api_structure_read_routes[] = {
	{HTTP_GET, "/structure", structure_list, false},
	{HTTP_GET, "/structure/*", structure_get, false},
	{HTTP_GET, "/structure/*/resources", resources_get, false},
	{HTTP_GET, "/structure/*/resources/*", resources_get, false},
	{HTTP_GET, "/structure/*/resources/*/*", resources_get, false},
};
const size_t api_structure_read_n_routes = ARRAY_SIZE(api_structure_read_routes);
