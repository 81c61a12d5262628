/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_document.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "couchdb.h"
#include "ebb/cleanup.h"

static int get_text(const json_t *object, const char *key, char *text, size_t size)
{
	const json_t *value = json_object_get(object, key);
	const char *string = json_string_value(value);

	if (!value || json_is_null(value))
		string = "";
	if (!string || strlen(string) >= size)
		return -EINVAL;
	memcpy(text, string, strlen(string) + 1);
	return 0;
}

static int get_count(const json_t *object, const char *key, uint64_t *ret_count)
{
	const json_t *value = json_object_get(object, key);
	json_int_t count = json_integer_value(value);

	if (!json_is_integer(value) || count < 0 || (uint64_t)count > LEASE_TERM_MAX)
		return -EINVAL;
	*ret_count = (uint64_t)count;
	return 0;
}

static int parse_standbys(const json_t *list, struct lease_doc *doc)
{
	const json_t *member;
	size_t i;

	if (list && (!json_is_array(list) || json_array_size(list) > LEASE_STANDBYS_MAX))
		return -EINVAL;
	json_array_foreach(list, i, member) {
		struct lease_standby *one = &doc->standbys[i];

		if (get_text(member, "url", one->url, sizeof(one->url)) < 0 ||
		    get_text(member, "instance", one->instance, sizeof(one->instance)) < 0 ||
		    get_count(member, "seen", &one->seen) < 0 || !one->instance[0])
			return -EINVAL;
		doc->n_standbys++;
	}
	return 0;
}

int lease_document_parse(const json_t *json, struct lease_doc *ret_doc)
{
	struct lease_doc doc = {0};

	if (!json_is_object(json) || get_text(json, "_rev", doc.rev, sizeof(doc.rev)) < 0 ||
	    get_text(json, "holder", doc.holder, sizeof(doc.holder)) < 0 ||
	    get_text(json, "instance", doc.instance, sizeof(doc.instance)) < 0 ||
	    get_count(json, "term", &doc.term) < 0 ||
	    get_count(json, "renewed", &doc.renewed) < 0 ||
	    parse_standbys(json_object_get(json, "standbys"), &doc) < 0 || !doc.rev[0])
		return -EINVAL;
	doc.split = json_array_size(json_object_get(json, "_conflicts")) > 0;
	*ret_doc = doc;
	return 0;
}

json_t *lease_document_build(const struct lease_doc *doc, const json_t *before, double now)
{
	_cleanup_json_ json_t *json = before ? json_deep_copy(before) : json_object();
	json_t *standbys = json_array();
	time_t seconds = (time_t)now;
	char human[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		strftime(human, sizeof(human), "%Y-%m-%d %H:%M:%S", &tm);
	for (size_t i = 0; i < doc->n_standbys; i++)
		json_array_append_new(standbys,
				      json_pack("{s:s, s:s, s:I}", "url", doc->standbys[i].url,
						"instance", doc->standbys[i].instance, "seen",
						(json_int_t)doc->standbys[i].seen));
	if (json_object_set_new(json, "_id", json_string(COUCHDB_LEASE)) < 0 ||
	    json_object_set_new(json, "name", json_string(COUCHDB_LEASE)) < 0 ||
	    json_object_set_new(json, "type", json_string("service")) < 0 ||
	    json_object_set_new(json, "heartbeat", json_real(now)) < 0 ||
	    json_object_set_new(json, "heartbeat_human", json_string(human)) < 0 ||
	    json_object_set_new(json, "holder", json_string(doc->holder)) < 0 ||
	    json_object_set_new(json, "instance", json_string(doc->instance)) < 0 ||
	    json_object_set_new(json, "term", json_integer((json_int_t)doc->term)) < 0 ||
	    json_object_set_new(json, "renewed", json_integer((json_int_t)doc->renewed)) < 0 ||
	    json_object_set_new(json, "standbys", standbys) < 0)
		return NULL;
	json_object_del(json, "_conflicts");
	if (!json_object_get(json, "config") &&
	    json_object_set_new(json, "config", json_object()) < 0)
		return NULL;
	if (!doc->rev[0])
		json_object_del(json, "_rev");
	else if (json_object_set_new(json, "_rev", json_string(doc->rev)) < 0)
		return NULL;
	return TAKE_PTR(json);
}
