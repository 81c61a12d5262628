/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of an order, for tests of the controller: answers PUT /container/NAME as an agent
 * does, remembers what it was asked, and can be told to misbehave.
 */
#ifndef EBB_AGENT_STAND_IN_H
#define EBB_AGENT_STAND_IN_H

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/http_server.h"
#include "ebb/loop.h"

struct stand_in {
	struct http_server *server;
	pthread_mutex_t lock;
	json_t *asked;   /* [{"container", "body"}], oldest first */
	unsigned status; /* 0: 201 */
	unsigned delay_ms;
	double mem_floor;    /* memory limits below it are not reached; 0: none */
	const char *answer;  /* NULL: what was asked, as re-read */
	const char *applied; /* NULL: the clock */
	char token[64];      /* as received, without "Bearer " */
	char ebb_term[32];   /* likewise; "": none */
	int seen_term;       /* orders with a lower one are refused; 0: none */
};

/* {"cpu":{"cpu_allowance_limit":N}} as the agent would re-read it. */
__attribute__((unused)) static json_t *stand_in_reread(struct stand_in *agent, const json_t *body)
{
	json_t *answer = json_deep_copy(body);
	json_t *mem = json_object_get(answer, "mem");

	if (mem && json_number_value(json_object_get(mem, "mem_limit")) < agent->mem_floor)
		json_object_set_new(mem, "mem_limit", json_real(agent->mem_floor));
	return answer;
}

__attribute__((unused)) static void stand_in_put(void *userdata, struct http_call *call)
{
	struct stand_in *agent = userdata;
	json_t *body = http_body_object(call), *answer;
	const char *authorization = http_header(call, "Authorization");
	const char *ebb_term = http_header(call, "Ebb-Term");
	char applied[32];
	unsigned delay, status;
	int outdated;

	if (!body)
		return;
	pthread_mutex_lock(&agent->lock);
	snprintf(agent->ebb_term, sizeof(agent->ebb_term), "%s", ebb_term ? ebb_term : "");
	outdated = ebb_term && atoi(ebb_term) < agent->seen_term ? agent->seen_term : 0;
	json_array_append_new(agent->asked, json_pack("{s:s, s:O}", "container", call->captures[0],
						      "body", body));
	snprintf(agent->token, sizeof(agent->token), "%s",
		 authorization && strlen(authorization) > 7 ? authorization + 7 : "");
	delay = agent->delay_ms;
	status = agent->status;
	answer = agent->answer ? json_loads(agent->answer, JSON_DECODE_ANY, NULL)
			       : stand_in_reread(agent, body);
	snprintf(applied, sizeof(applied), "%llu", (unsigned long long)now_ns());
	if (agent->applied)
		snprintf(applied, sizeof(applied), "%s", agent->applied);
	pthread_mutex_unlock(&agent->lock);
	json_decref(body);

	if (delay)
		usleep(delay * 1000);
	if (outdated) {
		json_decref(answer);
		http_reply_json(call, 409,
				json_pack("{s:s, s:s, s:i}", "error", "Conflict", "message",
					  "an older term", "term", outdated));
		return;
	}
	if (status && status != 201) {
		json_decref(answer);
		http_reply_error(call, status, "told to");
		return;
	}
	http_reply_header(call, "Ebb-Applied-Ns", applied);
	http_reply_json(call, 201, answer);
}

__attribute__((unused)) static int stand_in_start(struct stand_in *agent)
{
	static const struct http_route routes[] = {
		{HTTP_PUT, "/container/*", stand_in_put, false},
	};
	struct http_server_options options = {
		.listen = "127.0.0.1:0",
		.body_max = 1 << 20,
		.connections_max = 128,
		.timeout_s = 30,
		.threads = 2,
		.routes = routes,
		.n_routes = 1,
		.userdata = agent,
	};

	memset(agent, 0, sizeof(*agent));
	pthread_mutex_init(&agent->lock, NULL);
	agent->asked = json_array();
	return http_server_new(&options, &agent->server);
}

__attribute__((unused)) static void stand_in_stop(struct stand_in *agent)
{
	if (agent->server)
		http_server_free(TAKE_PTR(agent->server));
	json_decref(TAKE_PTR(agent->asked));
}

/* "http://127.0.0.1:PORT" */
__attribute__((unused)) static const char *stand_in_url(const struct stand_in *agent, char *buffer,
							size_t size)
{
	snprintf(buffer, size, "http://%s", http_server_address(agent->server));
	return buffer;
}

__attribute__((unused)) static size_t stand_in_n_asked(struct stand_in *agent)
{
	size_t n;

	pthread_mutex_lock(&agent->lock);
	n = json_array_size(agent->asked);
	pthread_mutex_unlock(&agent->lock);
	return n;
}

/* The body of request `i`, compact, into a static buffer; "" when there is none. */
__attribute__((unused)) static const char *stand_in_asked(struct stand_in *agent, size_t i)
{
	static char text[4096];
	char *dumped;

	pthread_mutex_lock(&agent->lock);
	dumped = json_dumps(json_object_get(json_array_get(agent->asked, i), "body"), JSON_COMPACT);
	pthread_mutex_unlock(&agent->lock);
	snprintf(text, sizeof(text), "%s", dumped ? dumped : "");
	free(dumped);
	return text;
}

#endif
