/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed_message.h"
#include "feed_rates.h"
#include "feed_rename.h"
#include "feed_session.h"
#include "guarding.h"
#include "headroom.h"
#include "labels.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define TELL_RIVAL_NS (60000 * EBB_NS_PER_MS)

struct feed {
	struct model *model;
	struct scaler *scaler;
	struct leader *leader; /* NULL: none to ask */
	struct session *sessions;
	struct feed_stats stats; /* under the model's lock */
	double evaluating_ns;
};

/* What became of a message. */
struct verdict {
	unsigned status;
	bool reregister;
	char message[256];
};

/* --- sessions --- */

static void session_end(struct feed *feed, struct session *session)
{
	struct session **link = &feed->sessions;

	while (*link != session)
		link = &(*link)->next;
	*link = session->next;
	feed->stats.sessions--;
	feed_session_free(session);
}

static struct session *session_begin(struct feed *feed, const char *id, const char *host_name)
{
	struct session *session = feed_session_new(id, host_name);

	if (!session)
		return NULL;
	session->next = feed->sessions;
	feed->sessions = session;
	feed->stats.sessions++;
	return session;
}

/* --- what a message tells --- */

static int64_t number_of(const json_t *object)
{
	return json_integer_value(json_object_get(object, "c"));
}

static const char *name_of(const json_t *object)
{
	return json_string_value(json_object_get(object, "name"));
}

/* Every number it uses is known, and none is used anew: else both sides have to begin again. */
static bool numbers_fit(const struct session *session, const struct feed_message *message)
{
	const json_t *entry;
	int64_t last = -1;
	size_t i;

	json_array_foreach(message->added, i, entry) {
		const struct member *member =
			session ? member_find(session, number_of(entry)) : NULL;

		if (member && strcmp(member->name, name_of(entry)) != 0)
			return false;
	}
	json_array_foreach(message->limits, i, entry) {
		if (!(session && member_find(session, number_of(entry))) &&
		    !feed_message_adds(message, number_of(entry)))
			return false;
	}
	json_array_foreach(message->growths, i, entry) {
		if (!(session && member_find(session, number_of(entry))) &&
		    !feed_message_adds(message, number_of(entry)))
			return false;
	}
	for (i = 0; i < message->n_samples; i++) {
		int64_t c = message->samples[i].c;

		if (c != last && !(session && member_find(session, c)) &&
		    !feed_message_adds(message, c))
			return false;
		last = c;
	}
	return true;
}

static struct structure *member_structure(struct feed *feed, struct session *session,
					  struct member *member)
{
	if (member->looked_up != session->messages) {
		struct structure *s =
			member->refused ? NULL : model_structure(feed->model, member->name);

		member->structure = s && s->live && s->host == session->host ? s : NULL;
		member->looked_up = session->messages;
	}
	return member->structure;
}

static void apply_renames(struct feed *feed, struct session *session,
			  const struct feed_message *message)
{
	struct member *member;
	const json_t *number;
	size_t i;

	json_array_foreach(message->removed, i, number) {
		member = member_find(session, json_integer_value(number));
		if (!member)
			continue;
		member->goes = true;
		member_structure(feed, session, member);
	}
	feed_rename(feed->model, feed->scaler, session, message);
	/* What has another name now is not the removed one's any more. */
	json_array_foreach(message->removed, i, number) {
		member = member_find(session, json_integer_value(number));
		if (!member)
			continue;
		member->refused |=
			member->structure && strcmp(member->structure->name, member->name) != 0;
		/* Anew for each: two may have had one name. */
		member->looked_up = 0;
	}
}

/* `untouched`: only those of which nobody has changed a thing. */
static void apply_removed(struct feed *feed, struct session *session,
			  const struct feed_message *message, bool untouched)
{
	const json_t *number;
	size_t i;

	json_array_foreach(message->removed, i, number) {
		int64_t c = json_integer_value(number);
		struct member *member = member_find(session, c);
		struct structure *s = member ? member_structure(feed, session, member) : NULL;

		if (untouched && !(s && s->automatic && !s->guard))
			continue;
		if (s) {
			scaler_forget(feed->scaler, s);
			model_container_gone(feed->model, s);
		}
		if (member)
			member_remove(session, c);
	}
}

static void apply_added(struct feed *feed, struct session *session,
			const struct feed_message *message)
{
	json_t *added;
	size_t i;

	json_array_foreach(message->added, i, added) {
		struct member *member = member_add(session, number_of(added), name_of(added));
		struct structure *s;
		int r;

		if (!member)
			continue;
		r = model_register_container(feed->model, session->host, added, &s);
		member->refused = r < 0;
		member->name_taken = r == -EEXIST;
		member->looked_up = 0;
		/* The model has said who has the name. */
		if (r < 0 && r != -EEXIST)
			model_log(feed->model, LOG_LEVEL_WARNING,
				  "Cannot take container %s of host %s: %s", member->name,
				  message->host, strerror(-r));
	}
}

static bool has_renames(const struct feed_message *message)
{
	const json_t *added;
	size_t i;

	json_array_foreach(message->added, i, added)
		if (json_object_get(added, "was"))
			return true;
	return false;
}

/*
 * Of containers that are known here already, before their limits are: else what grew while nobody
 * could be told, or was told to a controller that ended before it was written down, would be what
 * somebody else has changed.
 */
static void settle_registered(struct feed *feed, struct session *session,
			      const struct feed_message *message)
{
	struct feed_growth growth;
	const json_t *entry;
	size_t i;

	if (!json_array_size(message->growths))
		return;
	json_array_foreach(message->added, i, entry)
		(void)member_add(session, number_of(entry), name_of(entry));
	json_array_foreach(message->growths, i, entry) {
		const struct member *member = member_find(session, number_of(entry));
		struct structure *s = member ? model_structure(feed->model, member->name) : NULL;

		if (s && s->host == session->host && s->subtype == STRUCTURE_CONTAINER &&
		    !s->gone && feed_message_growth(entry, &growth) >= 0)
			(void)scaler_grown(feed->scaler, s, &growth);
	}
}

/* Before the limits: they show what has grown. */
static void apply_growths(struct feed *feed, struct session *session,
			  const struct feed_message *message)
{
	struct host *host = session->host;
	uint64_t settled = 0, first_open = UINT64_MAX;
	struct feed_growth growth;
	const json_t *entry;
	size_t i;

	json_array_foreach(message->growths, i, entry) {
		struct member *member = member_find(session, number_of(entry));
		struct structure *s = member ? member_structure(feed, session, member) : NULL;

		if (feed_message_growth(entry, &growth) < 0)
			continue;
		if (member)
			member->grew = session->messages;
		if (!s || scaler_grown(feed->scaler, s, &growth)) {
			settled = MAX(settled, (uint64_t)growth.at);
			continue;
		}
		member->open = session->messages;
		first_open = MIN(first_open, (uint64_t)growth.at);
	}
	host->grown = MAX(host->grown, MIN(settled, first_open - 1));
}

static void apply_limits(struct feed *feed, struct session *session,
			 const struct feed_message *message)
{
	const json_t *limits;
	size_t i;

	json_array_foreach(message->limits, i, limits) {
		struct member *member = member_find(session, number_of(limits));
		struct structure *s = member ? member_structure(feed, session, member) : NULL;

		if (s)
			labels_take(feed->model, s, limits);
		if (member && member->open == session->messages)
			continue;
		if (s && member->grew == session->messages)
			scaler_grown_cores(feed->scaler, s, limits);
		/* Written down before an order was applied, read after its answer. */
		if (s && !scaler_is_outdated(feed->scaler, s, (uint64_t)message->now))
			scaler_limits_reported(feed->scaler, s, limits,
					       session->host->from_series
						       ? wall_seconds()
						       : (double)message->now / 1e9);
	}
}

/* --- samples --- */

static void apply_sample(struct feed *feed, struct session *session,
			 const struct feed_message *message, const struct feed_sample *sample,
			 uint64_t received_ns)
{
	struct member *member = member_find(session, sample->c);
	struct structure *s = member ? member_structure(feed, session, member) : NULL;
	uint64_t age = (uint64_t)MAX(message->now - sample->t, 0);
	const struct sample_times times = {
		.sampled_ns = received_ns > age ? received_ns - age : 0,
		.received_ns = received_ns,
		.host_ns = (uint64_t)sample->t,
	};
	struct guard_sample rates;
	bool known;

	if (!s || (member->sampled && sample->t <= member->last.t))
		return;
	known = member->sampled && feed_rates(&member->last, sample, &rates);
	member->last = *sample;
	member->sampled = true;
	/* It may be told to leave the measuring to BDWatchdog. */
	if (known && !session->host->from_series &&
	    guarding_take_sample(feed->model, feed->scaler, s, &feed->model->guardian, &rates,
				 &times))
		feed->stats.evaluations++;
}

static void apply_samples(struct feed *feed, struct session *session,
			  const struct feed_message *message, uint64_t received_ns)
{
	uint64_t started = now_ns();

	for (size_t i = 0; i < message->n_samples; i++)
		apply_sample(feed, session, message, &message->samples[i], received_ns);
	feed->stats.samples += message->n_samples;
	feed->evaluating_ns += (double)(now_ns() - started);
}

/* --- a message --- */

static bool refuse(struct verdict *verdict, unsigned status, bool reregister, const char *text)
{
	verdict->status = status;
	verdict->reregister = reregister;
	snprintf(verdict->message, sizeof(verdict->message), "%s", text);
	return false;
}

static size_t len_without_port(const char *address)
{
	const char *scheme = strstr(address, "://");
	const char *colon = strrchr(scheme ? scheme + 3 : address, ':');

	return colon ? (size_t)(colon - address) : strlen(address);
}

/*
 * Two agents under one name would take the session from each other without end, and each time all
 * shares of the other's containers. The port says nothing: an agent that was started again may have
 * another, and is not to wait for the 5 s after which the old one counts as gone.
 */
static bool another_feeds(struct feed *feed, const struct feed_message *message)
{
	const struct host *host = model_host(feed->model, message->host);
	const char *address = json_string_value(json_object_get(message->registration, "address"));
	struct session *session = host && host->connected ? host->session : NULL;
	uint64_t now = now_ns();
	size_t len;

	if (!session || !host->address || !address || strcmp(session->id, message->session) == 0)
		return false;
	len = len_without_port(address);
	if (len == len_without_port(host->address) && memcmp(address, host->address, len) == 0)
		return false;
	if (!session->told_rival_ns || now - session->told_rival_ns > TELL_RIVAL_NS) {
		session->told_rival_ns = now;
		model_log(feed->model, LOG_LEVEL_WARNING,
			  "The agent at %s is refused: another feeds as %s from %s; give one of "
			  "them another --name",
			  address, message->host, host->address);
	}
	return true;
}

/* A new session for the host, in the place of the one it had. */
static bool begin(struct feed *feed, const struct feed_message *message,
		  struct session **ret_session, struct verdict *verdict)
{
	struct session *session, *next;
	struct host *host;
	int r;

	if (another_feeds(feed, message)) {
		verdict->status = 409;
		verdict->reregister = false;
		snprintf(verdict->message, sizeof(verdict->message),
			 "Another agent feeds as %.80s from %.80s: give one of them another "
			 "--name.",
			 message->host, model_host(feed->model, message->host)->address);
		return false;
	}
	r = model_register_host(feed->model, message->json, &host);
	if (r == -EEXIST)
		return refuse(verdict, 400, false,
			      "another structure has the name of this host: give the agent another "
			      "--name");
	if (r < 0)
		return refuse(verdict, r == -EINVAL ? 400 : 503, false,
			      r == -EINVAL ? "the registration of the host is not complete"
					   : strerror(-r));
	for (session = feed->sessions; session; session = next) {
		next = session->next;
		if (strcmp(session->host_name, message->host) == 0)
			session_end(feed, session);
	}
	session = host->session = session_begin(feed, message->session, message->host);
	if (!session)
		return refuse(verdict, 503, false, "no memory for another session");
	model_log(feed->model, LOG_LEVEL_INFO, "Host %s has registered with %zu containers",
		  message->host, json_array_size(message->added));
	*ret_session = session;
	return true;
}

static bool take(struct feed *feed, const struct feed_message *message, uint64_t received_ns,
		 struct session **ret_session, struct verdict *verdict)
{
	struct host *host = model_host(feed->model, message->host);
	struct session *session = host ? host->session : NULL;

	if (session && strcmp(session->id, message->session) != 0)
		session = NULL;
	if (!session && !message->registration)
		return refuse(verdict, 409, true,
			      "this session is not known here: register the host and its "
			      "containers under a new one");
	if (session && message->seq <= session->seq) {
		session->host = host;
		*ret_session = session; /* it was taken already */
		return true;
	}
	if (!numbers_fit(message->registration ? NULL : session, message))
		return refuse(verdict, 409, true,
			      "a container number does not fit the session: register the host and "
			      "its containers under a new one");
	if (message->registration) {
		if (!begin(feed, message, &session, verdict))
			return false;
		host = model_host(feed->model, message->host);
	}

	session->host = host;
	session->seq = message->seq;
	session->messages++;
	host->connected = true;
	host->agent_heard = host->last_heard = wall_seconds();
	/* Their names are free for those that are called so now. */
	apply_removed(feed, session, message, true);
	apply_renames(feed, session, message);
	apply_removed(feed, session, message, false);
	if (message->registration || has_renames(message))
		settle_registered(feed, session, message);
	apply_added(feed, session, message);
	if (message->registration)
		model_host_registered(feed->model, host);
	apply_growths(feed, session, message);
	apply_limits(feed, session, message);
	apply_samples(feed, session, message, received_ns);
	guarding_samples_in(feed->model, feed->scaler, &feed->model->guardian);
	scaler_run_for(feed->scaler, host->structure);
	*ret_session = session;
	return true;
}

/* --- the answer --- */

/* All guarded containers of the host and the usage above which the agent reports at once. */
static json_t *guard_table(const struct host *host)
{
	json_t *table = json_object();

	for (const struct structure *s = host->containers; s; s = s->host_next) {
		json_t *upper;

		if (!s->guard || !s->live)
			continue;
		upper = json_object();
		for (int r = 0; r < EBB_RESOURCE_MAX; r++)
			if (s->resources[r].present && s->resources[r].guard &&
			    s->resources[r].has_boundary && s->resources[r].upper >= 0)
				json_object_set_new(upper, ebb_resource_name(r),
						    json_integer(s->resources[r].upper));
		json_object_set_new(table, s->name, upper);
	}
	return table;
}

/* Those of the message's `added` whose names others have: the agent finds them other ones. */
static json_t *taken_names(const struct session *session, const struct feed_message *message)
{
	json_t *taken = NULL, *added;
	size_t i;

	json_array_foreach(message->added, i, added) {
		const struct member *member = member_find(session, number_of(added));

		if (!member || !member->name_taken)
			continue;
		if (!taken)
			taken = json_array();
		json_array_append_new(taken, json_integer(member->c));
	}
	return taken;
}

static void add_guards(const struct feed *feed, const struct session *session, json_t *answer)
{
	json_object_set_new(answer, "guard", guard_table(session->host));
	if (session->host->reflex)
		json_object_set_new(answer, "ceilings",
				    headroom_ceilings(feed->model, session->host));
}

static json_t *answer_to(const struct feed *feed, const struct session *session,
			 const struct feed_message *message)
{
	json_t *taken;
	int64_t version = (int64_t)session->host->guard_version;
	json_t *answer = json_pack("{s:I, s:I}", "ack", (json_int_t)session->seq, "guard_version",
				   (json_int_t)version);

	json_t *lease = headroom_lease(feed->model, session->host);

	if (answer && session->host->grown)
		json_object_set_new(answer, "grown",
				    json_integer((json_int_t)session->host->grown));
	if (answer && lease)
		json_object_set_new(answer, "lease", lease);
	else
		json_decref(lease);
	/* A version from before this controller started may look like one of its own. */
	if (answer && (version != message->guard_version || message->registration))
		add_guards(feed, session, answer);
	taken = taken_names(session, message);
	if (taken)
		json_object_set_new(answer, "taken", taken);
	return answer;
}

/* 421, with the leader as far as it is known: agents go there. */
static void answer_misdirected(struct feed *feed, struct http_call *call)
{
	struct leader_state state = {0};
	bool known;

	if (feed->leader)
		leader_get_state(feed->leader, &state);
	known = state.holder[0] && !state.acts;
	http_reply_json(
		call, 421,
		json_pack("{s:s, s:s, s:s?, s:I}", "error", "Misdirected Request", "message",
			  known ? "this controller stands by: feed the one that leads"
				: "no controller leads at the moment: try again soon",
			  "leader", known ? state.holder : NULL, "term", (json_int_t)state.term));
}

/* Do we lead the agent that says this? */
static bool is_ours(struct feed *feed, const struct feed_message *message, uint64_t *ret_term)
{
	*ret_term = 0;
	if (!feed->leader)
		return true;
	if (!leader_acts(feed->leader, ret_term))
		return false;
	if (!*ret_term || message->term <= (int64_t)*ret_term)
		return true;
	leader_outdated(feed->leader, (uint64_t)message->term);
	return false;
}

void feed_handle(struct feed *feed, struct http_call *call)
{
	_cleanup_free_ char *error = NULL;
	struct feed_message message;
	struct verdict verdict;
	struct session *session;
	uint64_t received_ns = now_ns();
	json_t *answer = NULL;
	uint64_t term;
	bool taken, ours;
	int r;

	r = feed_message_parse(call->body, call->body_len, &message, &error);
	ours = r >= 0 && is_ours(feed, &message, &term);
	model_lock(feed->model);
	ours = ours && feed->model->leading;
	if (r < 0 || !ours) {
		feed->stats.rejected++;
		model_unlock(feed->model);
		if (r >= 0) {
			answer_misdirected(feed, call);
			feed_message_clear(&message);
			return;
		}
		http_reply_error(call, r == -EINVAL ? 400 : 503, "%s",
				 error ? error : strerror(-r));
		return;
	}
	taken = take(feed, &message, received_ns, &session, &verdict);
	if (taken) {
		feed->stats.messages++;
		answer = answer_to(feed, session, &message);
		if (answer && term)
			json_object_set_new(answer, "term", json_integer((json_int_t)term));
	} else {
		feed->stats.rejected++;
	}
	model_unlock(feed->model);
	feed_message_clear(&message);

	if (taken && answer)
		http_reply_json(call, 200, answer);
	else if (taken)
		http_reply_error(call, 503, "no memory for an answer");
	else if (verdict.reregister)
		http_reply_json(call, verdict.status,
				json_pack("{s:s, s:s, s:b}", "error", "Conflict", "message",
					  verdict.message, "register", 1));
	else
		http_reply_error(call, verdict.status, "%s", verdict.message);
}

/* --- life --- */

int feed_new(struct model *model, struct scaler *scaler, struct feed **ret_feed)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (!feed)
		return -ENOMEM;
	feed->model = model;
	feed->scaler = scaler;
	*ret_feed = feed;
	return 0;
}

void feed_set_leader(struct feed *feed, struct leader *leader)
{
	feed->leader = leader;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	while (feed->sessions)
		session_end(feed, feed->sessions);
	free(feed);
}

void feed_get_stats(const struct feed *feed, struct feed_stats *ret_stats)
{
	model_lock(feed->model);
	*ret_stats = feed->stats;
	ret_stats->evaluate_ns = feed->stats.evaluations
					 ? feed->evaluating_ns / (double)feed->stats.evaluations
					 : NAN;
	model_unlock(feed->model);
}
