/* SPDX-License-Identifier: Apache-2.0 */
/* Collections page by page: ?limit and ?start, X-Total-Count and Link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

bool api_page(struct http_call *call, struct api_page *ret_page)
{
	const char *limit = http_query(call, "limit"), *start = http_query(call, "start");
	uint64_t n = UINT64_MAX;

	if (limit && (parse_u64(limit, &n) < 0 || !n || n > API_PAGE_MAX)) {
		http_reply_error(call, 400, "?limit= takes a number from 1 to %d", API_PAGE_MAX);
		return false;
	}
	*ret_page = (struct api_page){.start = start && *start ? start : NULL, .limit = n};
	return true;
}

void api_page_headers(struct http_call *call, size_t total, const char *last)
{
	_cleanup_free_ char *target = NULL, *link = NULL;
	char count[24];

	snprintf(count, sizeof(count), "%zu", total);
	http_reply_header(call, "X-Total-Count", count);
	if (!last)
		return;
	target = http_call_target_with(call, "start", last);
	if (target && asprintf(&link, "<%s>; rel=\"next\"", target) >= 0)
		http_reply_header(call, "Link", link);
	else
		link = NULL;
}

bool api_query_bool(struct http_call *call, const char *key, int *ret_value)
{
	const char *text = http_query(call, key);

	if (!text)
		*ret_value = -1;
	else if (!strcmp(text, "true") || !strcmp(text, "1"))
		*ret_value = 1;
	else if (!strcmp(text, "false") || !strcmp(text, "0"))
		*ret_value = 0;
	else {
		http_reply_error(call, 400, "?%s= takes true or false", key);
		return false;
	}
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of those that `filter` lets through. With the lock held; so few that it does not matter. */
static json_t *page_of(json_t *docs, const struct api_filter *filter, const struct api_page *page,
		       size_t *ret_total, const char **ret_last)
{
	_cleanup_free_ const char **names = calloc(json_object_size(docs) + 1, sizeof(*names));
	_cleanup_json_ json_t *list = json_array();
	const char *name;
	json_t *doc;
	size_t n = 0, i = 0;

	if (!names || !list)
		return NULL;
	json_object_foreach(docs, name, doc)
		if (!filter || filter->passes(filter, doc))
			names[n++] = name;
	qsort(names, n, sizeof(*names), by_name);
	while (page->start && i < n && strcmp(names[i], page->start) <= 0)
		i++;
	*ret_total = n;
	*ret_last = NULL;
	for (; i < n && json_array_size(list) < page->limit; i++) {
		if (json_array_append_new(list, json_deep_copy(json_object_get(docs, names[i]))) <
		    0)
			return NULL;
		*ret_last = names[i];
	}
	if (i == n)
		*ret_last = NULL;
	return TAKE_PTR(list);
}

void api_reply_documents(struct api *api, struct http_call *call, json_t *const *docs,
			 const struct api_filter *filter)
{
	_cleanup_free_ char *next = NULL;
	struct api_page page;
	const char *last = NULL;
	size_t total = 0;
	json_t *list;

	if (!api_page(call, &page))
		return;
	model_lock(api->model);
	list = page_of(*docs, filter, &page, &total, &last);
	next = last ? strdup(last) : NULL;
	model_unlock(api->model);
	if (list)
		api_page_headers(call, total, next);
	api_reply(call, list);
}
