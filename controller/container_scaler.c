/* SPDX-License-Identifier: Apache-2.0 */
#include "container_scaler.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name_index.h"
#include "scaler_plan.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/util.h"

#define TICK_NS   (EBB_NS_PER_SEC / 5)
#define CHOOSE_NS (EBB_NS_PER_SEC / 2)
/* It may look for the mount of every container, at up to 3 s each. */
#define TIMEOUT_MS   20000
#define RESPONSE_MAX (16u << 20)
/* An overload can look like a path that is not there. */
#define PLAIN_NS (300 * EBB_NS_PER_SEC)
/* Answers in a row without a container, before it counts as gone; one without any container is
 * rather the list's trouble. */
#define MISSED_MAX       2
#define MISSED_EMPTY_MAX 5
/* Between two tries of a host that does not answer. */
#define RETRY_FIRST_MS 1000
#define RETRY_CAP_MS   60000

/* One host that is looked at. */
struct poll {
	struct poll *next;
	struct container_scalers *scalers;
	char *host, *address;
	unsigned long left; /* the host's, when it was added */
	unsigned resources; /* 1 << resource: what its containers have */
	uint64_t due_ns;
	double asked; /* wall clock */
	unsigned failures;
	bool under_way, gone; /* gone: of no interest any more; freed when its answer is in */
	bool asked_topology;  /* since the host is agentless */
	/* GET /container/resources/ fails there, as it does with LXC; until it is tried again. */
	uint64_t plain_until_ns;
	json_t *topology;
	json_t *missed; /* name -> answers in a row without it */
};

struct container_scalers {
	struct model *model;
	struct scaler *scaler;
	struct loop *loop;
	struct http_client *client;
	pthread_t thread;
	bool has_thread;
	/* The loop's thread. */
	struct poll *polls;
	struct name_index *index; /* of those that are not gone */
	double leading_since;     /* wall clock; 0: does not lead */
	uint64_t chosen_ns;

	struct container_scalers_stats stats; /* under the model's lock */
};

/* --- pure --- */

json_t *container_scaler_limits(const json_t *resources, int64_t host_shares)
{
	const json_t *cpu = json_object_get(resources, "cpu");
	const json_t *cores = json_object_get(cpu, "cpu_num");
	_cleanup_json_ json_t *limits = json_object();
	int64_t limit, effective;

	for (int r = 0; limits && r < EBB_RESOURCE_MAX; r++) {
		if (scaler_body_limit(resources, r, &limit) < 0)
			continue;
		if (r == EBB_CPU && limit < 0 &&
		    json_to_int64(json_object_get(cpu, "effective_cpu_limit"), &effective) >= 0 &&
		    effective > 0 && effective < host_shares)
			limit = effective;
		if (json_object_set_new(limits, ebb_resource_name(r), json_integer(limit)) < 0)
			return NULL;
	}
	if (json_is_string(cores) && json_object_set(limits, "cpus", (json_t *)cores) < 0)
		return NULL;
	return TAKE_PTR(limits);
}

/* --- into the model --- */

static void take_known(struct container_scalers *scalers, struct structure *s, const json_t *limits,
		       double asked)
{
	if (!scaler_is_outdated(scalers->scaler, s, (uint64_t)(asked * (double)EBB_NS_PER_SEC)))
		scaler_limits_reported(scalers->scaler, s, limits, wall_seconds());
}

static void take_new(struct container_scalers *scalers, struct host *host, struct structure *s,
		     const json_t *limits)
{
	_cleanup_json_ json_t *added =
		json_pack("{s:s, s:O}", "name", s->name, "limits", (json_t *)limits);
	struct structure *registered;
	int r;

	r = added ? model_register_container(scalers->model, host, added, &registered) : -ENOMEM;
	if (r < 0 && r != -EEXIST)
		model_log(scalers->model, LOG_LEVEL_WARNING,
			  "Cannot take container %s of host %s: %s", s->name, host->structure->name,
			  strerror(-r));
}

/* Its shares are given to others when it has gone: that is to be certain. `missed`: for the next.
 */
static bool has_gone(const struct poll *poll, const struct structure *s, bool empty, json_t *missed)
{
	json_int_t n = json_integer_value(json_object_get(poll->missed, s->name)) + 1;

	if (n >= (empty ? MISSED_EMPTY_MAX : MISSED_MAX))
		return true;
	json_object_set_new(missed, s->name, json_integer(n));
	return false;
}

/* Only what has a document: the original guards nothing else. */
static void take_containers(struct poll *poll, struct host *host, const json_t *containers)
{
	struct container_scalers *scalers = poll->scalers;
	bool first = !host->adopted, empty = json_object_size(containers) == 0;
	json_t *missed = json_object();

	for (struct structure *s = host->containers, *next; s; s = next) {
		const json_t *resources = json_object_get(containers, s->name);
		_cleanup_json_ json_t *limits = NULL;

		next = s->host_next;
		if (!json_is_object(resources)) {
			if (!s->live || !has_gone(poll, s, empty, missed))
				continue;
			scaler_forget(scalers->scaler, s);
			model_container_gone(scalers->model, s);
			continue;
		}
		limits = container_scaler_limits(resources, host->max[EBB_CPU]);
		if (!limits)
			continue;
		if (s->live)
			take_known(scalers, s, limits, poll->asked);
		else
			take_new(scalers, host, s, limits);
	}
	json_decref(poll->missed);
	poll->missed = missed;
	if (first)
		model_host_registered(scalers->model, host);
}

/* Lock held. The poll's host, if it is still the one that was asked. */
static struct host *poll_host(struct poll *poll)
{
	struct host *host = model_host(poll->scalers->model, poll->host);

	return host && poll->scalers->model->leading && host->agentless && host->left == poll->left
		       ? host
		       : NULL;
}

static int take(struct poll *poll, struct host *host, const json_t *containers)
{
	struct container_scalers *scalers = poll->scalers;
	bool first = !host->adopted;
	int r;

	if (first) {
		r = model_adopt_host(scalers->model, host, poll->topology);
		if (r < 0)
			return r;
		host->adopted = false;
	}
	take_containers(poll, host, containers);
	host->adopted = true;
	if (!host->connected && poll->failures)
		model_log(scalers->model, LOG_LEVEL_INFO,
			  "The Container Scaler of %s answers again", host->structure->name);
	host->connected = true;
	host->last_heard = wall_seconds();
	scaler_run_for(scalers->scaler, host->structure);
	return 0;
}

/* --- asking --- */

static void poll_free(struct poll *poll)
{
	json_decref(poll->topology);
	json_decref(poll->missed);
	free(poll->host);
	free(poll->address);
	free(poll);
}

static void poll_done(struct poll *poll, double seconds)
{
	poll->under_way = false;
	poll->due_ns = now_ns() + (uint64_t)(seconds * (double)EBB_NS_PER_SEC);
}

static void poll_failed(struct poll *poll, const char *why)
{
	struct container_scalers *scalers = poll->scalers;

	model_lock(scalers->model);
	scalers->stats.failures++;
	if (!poll->failures && poll_host(poll))
		model_log(
			scalers->model, LOG_LEVEL_WARNING,
			"Host %s has no agent, and the Container Scaler at %s cannot be used: %s; its "
			"limits stay as they are. Is either running there?",
			poll->host, poll->address, why);
	model_unlock(scalers->model);
	poll_done(poll, backoff_ms(poll->failures++, RETRY_FIRST_MS, RETRY_CAP_MS) / 1e3);
}

/* Without the token: it is for agents, and nobody has said that this is one. */
static int ask(struct poll *poll, const char *path, http_done_fn done)
{
	const struct http_request_options options = {
		.method = "GET",
		.address = poll->address,
		.path = path,
		.timeout_ms = TIMEOUT_MS,
		.response_max = RESPONSE_MAX,
	};

	poll->asked = wall_seconds();
	return http_client_send(poll->scalers->client, &options, done, poll);
}

static void ask_containers(struct poll *poll);

static void on_containers(void *userdata, const struct http_response *response)
{
	struct poll *poll = userdata;
	struct container_scalers *scalers = poll->scalers;
	_cleanup_json_ json_t *containers = NULL;
	struct host *host;
	char why[300];
	double period;
	int r = 0;

	if (poll->gone) {
		poll->under_way = false;
		return;
	}
	if (response->status >= 500 && !poll->plain_until_ns) {
		poll->plain_until_ns = now_ns() + PLAIN_NS;
		ask_containers(poll);
		return;
	}
	if (response->status == 200)
		containers = json_loadb(response->body, response->body_len, 0, NULL);
	if (!json_is_object(containers)) {
		/* It was not the path. */
		poll->plain_until_ns = 0;
		if (!response->status)
			snprintf(why, sizeof(why), "%s", response->error);
		else
			snprintf(why, sizeof(why), "GET /container/ is answered by %ld%s",
				 response->status,
				 response->status == 200 ? ", without the containers" : "");
		poll_failed(poll, why);
		return;
	}
	model_lock(scalers->model);
	host = poll_host(poll);
	if (host)
		r = take(poll, host, containers);
	scalers->stats.polls++;
	period = scalers->model->series.structures.polling_frequency;
	model_unlock(scalers->model);
	if (r < 0) {
		poll_failed(poll, "it tells no CPU topology, and the host's document has neither "
				  "cpu.max nor a core_usage_mapping");
		poll->asked_topology = false;
		return;
	}
	poll->failures = 0;
	poll_done(poll, period);
}

/* The flags make it read no more than is looked at: disks can take it seconds. */
static void ask_containers(struct poll *poll)
{
	char path[256] = "/container/";
	const char *sign = "resources/?";
	int r;

	if (poll->plain_until_ns && now_ns() >= poll->plain_until_ns)
		poll->plain_until_ns = 0;
	for (int i = 0; !poll->plain_until_ns && i < EBB_RESOURCE_MAX; i++) {
		if (!(poll->resources & 1u << i))
			continue;
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "%s%s=1", sign,
			 ebb_resource_name(i));
		sign = "&";
	}
	r = ask(poll, path, on_containers);
	if (r < 0)
		poll_failed(poll, strerror(-r));
}

static void on_topology(void *userdata, const struct http_response *response)
{
	struct poll *poll = userdata;

	if (poll->gone) {
		poll->under_way = false;
		return;
	}
	if (!response->status) {
		poll_failed(poll, response->error);
		return;
	}
	/* Without one the host's document has to do. */
	poll->asked_topology = true;
	json_decref(poll->topology);
	poll->topology = NULL;
	if (response->status == 200)
		poll->topology = json_loadb(response->body, response->body_len, 0, NULL);
	ask_containers(poll);
}

static void begin(struct poll *poll)
{
	int r;

	poll->under_way = true;
	if (poll->asked_topology) {
		ask_containers(poll);
		return;
	}
	r = ask(poll, "/host/cpu_topology", on_topology);
	if (r < 0)
		poll_failed(poll, strerror(-r));
}

/* --- which hosts --- */

static void add_poll(struct container_scalers *scalers, const struct host *host)
{
	struct poll *poll = calloc(1, sizeof(*poll));

	if (!poll)
		return;
	poll->scalers = scalers;
	poll->left = host->left;
	poll->host = strdup(host->structure->name);
	poll->address = strdup(host->address);
	if (!poll->host || !poll->address || name_index_add(scalers->index, poll->host, poll) < 0) {
		poll_free(poll);
		return;
	}
	poll->next = scalers->polls;
	scalers->polls = poll;
}

static void drop_polls(struct container_scalers *scalers)
{
	struct poll **link = &scalers->polls;

	while (*link) {
		struct poll *poll = *link;

		if (!poll->gone && !poll_host(poll)) {
			poll->gone = true;
			name_index_remove(scalers->index, poll->host);
		}
		if (!poll->gone || poll->under_way) {
			link = &poll->next;
			continue;
		}
		*link = poll->next;
		poll_free(poll);
	}
}

/* Lock held. */
static void choose_feeds(struct container_scalers *scalers, uint64_t now)
{
	struct model *model = scalers->model;

	if (!model->leading) {
		if (scalers->leading_since > 0)
			model_abandon_feeds(model);
		scalers->leading_since = 0;
		return;
	}
	if (!(scalers->leading_since > 0))
		scalers->leading_since = wall_seconds();
	if (now - scalers->chosen_ns < CHOOSE_NS)
		return;
	scalers->chosen_ns = now;
	model_choose_feeds(model, true, scalers->leading_since, wall_seconds());
}

static void on_tick(void *userdata)
{
	struct container_scalers *scalers = userdata;
	struct model *model = scalers->model;
	uint64_t now = now_ns();

	model_lock(model);
	choose_feeds(scalers, now);
	drop_polls(scalers);
	scalers->stats.hosts = scalers->stats.containers = 0;
	for (size_t i = 0; i < model->n_hosts; i++) {
		const struct host *host = model->hosts[i];
		struct poll *poll;

		if (!host->agentless)
			continue;
		poll = name_index_get(scalers->index, host->structure->name);
		if (!poll) {
			add_poll(scalers, host);
			continue;
		}
		poll->resources = 1u << EBB_CPU | 1u << EBB_MEM;
		for (const struct structure *s = host->containers; s; s = s->host_next) {
			for (int r = 0; r < EBB_RESOURCE_MAX; r++)
				poll->resources |= s->resources[r].present ? 1u << r : 0;
			scalers->stats.containers += host->connected && s->live;
		}
		scalers->stats.hosts += host->connected;
	}
	model_unlock(model);
	for (struct poll *poll = scalers->polls; poll; poll = poll->next)
		if (!poll->under_way && !poll->gone && poll->resources && now >= poll->due_ns)
			begin(poll);
}

/* --- life --- */

static void *run(void *userdata)
{
	struct container_scalers *scalers = userdata;
	int r = loop_run(scalers->loop);

	if (r < 0)
		log_error_errno(r, "The loop of the Container Scalers failed");
	return NULL;
}

int container_scalers_new(struct model *model, struct scaler *scaler,
			  struct container_scalers **ret_scalers)
{
	struct container_scalers *scalers = calloc(1, sizeof(*scalers));
	int r = 0;

	if (!scalers)
		return -ENOMEM;
	scalers->model = model;
	scalers->scaler = scaler;
	scalers->index = name_index_new();
	if (!scalers->index)
		r = -ENOMEM;
	if (r >= 0)
		r = loop_new(&scalers->loop);
	if (r >= 0)
		r = http_client_new(scalers->loop, &scalers->client);
	if (r >= 0)
		r = loop_add_timer(scalers->loop, TICK_NS, TICK_NS, on_tick, scalers, NULL);
	if (r >= 0)
		r = -pthread_create(&scalers->thread, NULL, run, scalers);
	if (r < 0) {
		container_scalers_free(scalers);
		return r;
	}
	scalers->has_thread = true;
	*ret_scalers = scalers;
	return 0;
}

void container_scalers_free(struct container_scalers *scalers)
{
	if (!scalers)
		return;
	if (scalers->has_thread) {
		loop_stop(scalers->loop);
		pthread_join(scalers->thread, NULL);
	}
	if (scalers->client)
		http_client_free(scalers->client);
	while (scalers->polls) {
		struct poll *poll = scalers->polls;

		scalers->polls = poll->next;
		poll_free(poll);
	}
	if (scalers->loop)
		loop_free(scalers->loop);
	if (scalers->index)
		name_index_free(scalers->index);
	free(scalers);
}

void container_scalers_get_stats(struct container_scalers *scalers,
				 struct container_scalers_stats *ret_stats)
{
	model_lock(scalers->model);
	*ret_stats = scalers->stats;
	model_unlock(scalers->model);
}
