/* SPDX-License-Identifier: Apache-2.0 */
/* What the leader asks other controllers. */
#include "leader_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"

/* What the instance at `url` answers; NULL when that one did not. */
static json_t *call_peer(struct leader *leader, struct http_session *session, const char *url,
			 const char *instance, const char *path, json_t *message)
{
	_cleanup_json_ json_t *owned = message, *answer = NULL;
	_cleanup_free_ char *body = owned ? json_dumps(owned, JSON_COMPACT) : NULL;
	struct http_request_options options = {
		.method = message ? "POST" : "GET",
		.address = url,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.identity = leader->options.identity,
		.timeout_ms = ASK_MS,
		.response_max = 64 << 10,
	};
	struct http_result result = {0};
	const char *who;

	if (message && !body)
		return NULL;
	if (http_session_call(session, &options, &result) < 0)
		return NULL;
	if (result.status == 200 && result.body)
		answer = json_loadb(result.body, result.body_len, 0, NULL);
	http_result_clear(&result);
	who = json_string_value(json_object_get(answer, "instance"));
	return who && !strcmp(who, instance) ? TAKE_PTR(answer) : NULL;
}

bool leader_ask_holder(struct leader *leader, const struct lease_doc *doc)
{
	_cleanup_json_ json_t *answer =
		call_peer(leader, leader->peers, doc->holder, doc->instance, "/leader/ask",
			  json_pack("{s:s, s:s}", "url", leader->advertise, "instance",
				    leader->lease.instance));

	return json_is_true(json_object_get(answer, "acts"));
}

struct promise {
	struct leader *leader;
	const struct lease_step *step;
	const struct lease_standby *from;
	pthread_t thread;
	bool asked, promised;
	uint64_t term;
};

static void *ask_for_promise(void *userdata)
{
	struct promise *promise = userdata;
	struct leader *leader = promise->leader;
	const struct lease_step *step = promise->step;
	_cleanup_json_ json_t *answer = NULL;
	struct http_session *session;
	json_int_t term;

	if (http_session_new(&session) < 0)
		return NULL;
	answer = call_peer(
		leader, session, promise->from->url, promise->from->instance, "/leader/promise",
		json_pack("{s:I, s:s, s:s, s:b}", "term", (json_int_t)step->doc.term, "instance",
			  leader->lease.instance, "holder", leader->advertise, "acts", step->acts));
	http_session_free(session);
	term = json_integer_value(json_object_get(answer, "term"));
	promise->promised = json_is_true(json_object_get(answer, "promised"));
	promise->term = term > 0 ? (uint64_t)term : 0;
	return NULL;
}

/* At once: one after another, a few slow ones would take longer than the lease. */
bool leader_collect_promises(struct leader *leader, const struct lease_step *step,
			     uint64_t *ret_term)
{
	struct promise promises[LEASE_STANDBYS_MAX] = {0};
	bool all = true;

	*ret_term = 0;
	for (size_t i = 0; i < step->doc.n_standbys; i++) {
		struct promise *promise = &promises[i];

		promise->leader = leader;
		promise->step = step;
		promise->from = &step->doc.standbys[i];
		promise->asked =
			pthread_create(&promise->thread, NULL, ask_for_promise, promise) == 0;
	}
	for (size_t i = 0; i < step->doc.n_standbys; i++) {
		struct promise *promise = &promises[i];

		if (promise->asked)
			pthread_join(promise->thread, NULL);
		all = all && promise->promised;
		*ret_term = MAX(*ret_term, promise->term);
	}
	return all;
}

static bool is_probed(const struct leader *leader, const char *instance)
{
	for (size_t i = 0; i < leader->n_probed; i++)
		if (!strcmp(leader->probed[i], instance))
			return true;
	return false;
}

/* Once for each: an --advertise that leads nowhere is only missed when it is needed. */
static void probe(struct leader *leader, const char *url, const char *instance, const char *what)
{
	_cleanup_json_ json_t *answer = NULL;

	if (!*instance || is_probed(leader, instance))
		return;
	if (leader->n_probed == LEASE_STANDBYS_MAX) {
		memmove(leader->probed[0], leader->probed[1],
			sizeof(leader->probed) - sizeof(leader->probed[0]));
		leader->n_probed--;
	}
	memcpy(leader->probed[leader->n_probed++], instance, LEASE_INSTANCE_MAX);
	answer = call_peer(leader, leader->peers, url, instance, "/leader", NULL);
	if (!answer)
		log_warning("The controller that %s cannot be reached at %s, or another answers "
			    "there: set its --advertise to a URL that works from here, or one of "
			    "them stops acting when the database is away",
			    what, url);
}

void leader_probe_others(struct leader *leader, const struct lease_doc *doc)
{
	if (leader->lease.holds)
		for (size_t i = 0; i < doc->n_standbys; i++)
			probe(leader, doc->standbys[i].url, doc->standbys[i].instance, "stands by");
	else
		probe(leader, doc->holder, doc->instance, "leads");
}
