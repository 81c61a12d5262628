/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in a loop, many at once. */
#include "ebb/http_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "http_transfer.h"
#include "ebb/loop.h"
#include "ebb/units.h"

/* Idle connections kept: one for each agent of a large site. */
#define CONNECTIONS_KEPT 1024
/* To one address at once. Above the number of slow calls (a memory shrink) that one host can have
 * under way, so that they cannot hold back a quick one. */
#define CONNECTIONS_PER_HOST 64

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_source *timer;
	struct transfer *transfers;
	bool in_callback, freed;
};

const char *http_response_header(const struct http_response *response, const char *name)
{
	struct curl_header *header;

	if (!response->easy ||
	    curl_easy_header(response->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

static void unlink_transfer(struct transfer *transfer)
{
	struct http_client *client = transfer->client;

	if (transfer->prev)
		transfer->prev->next = transfer->next;
	else
		client->transfers = transfer->next;
	if (transfer->next)
		transfer->next->prev = transfer->prev;
	curl_multi_remove_handle(client->multi, transfer->easy);
}

static void finish(struct transfer *transfer, CURLcode code)
{
	char error[CURL_ERROR_SIZE + 512];
	struct http_response response = {
		.status = http_transfer_status(transfer, code),
		.body = transfer->body ? transfer->body : "",
		.body_len = transfer->body_len,
		.error = error,
		.seconds = http_transfer_seconds(transfer),
		.easy = transfer->easy,
	};

	http_transfer_explain(transfer, code, error, sizeof(error));
	unlink_transfer(transfer);
	transfer->done(transfer->userdata, &response);
	http_transfer_free(transfer);
}

static void act(struct http_client *client, curl_socket_t fd, int events)
{
	/* A callback may turn the loop, or free the client: the outermost call does that then. */
	bool outermost = !client->in_callback;
	CURLMsg *message;
	int left, running;

	if (client->freed)
		return;
	curl_multi_socket_action(client->multi, fd, events, &running);
	client->in_callback = true;
	while (!client->freed && (message = curl_multi_info_read(client->multi, &left))) {
		struct transfer *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		finish(transfer, message->data.result);
	}
	if (!outermost)
		return;
	client->in_callback = false;
	if (client->freed)
		http_client_free(client);
}

static void on_socket_event(void *userdata, int fd, uint32_t events)
{
	int flags = 0;

	if (events & EPOLLIN)
		flags |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		flags |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		flags |= CURL_CSELECT_ERR;
	act(userdata, fd, flags);
}

static void on_timer(void *userdata)
{
	act(userdata, CURL_SOCKET_TIMEOUT, 0);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
	struct http_client *client = userdata;
	struct loop_source *source = socket_data;
	uint32_t events = 0;
	int r;

	if (what == CURL_POLL_REMOVE) {
		loop_remove(source);
		curl_multi_assign(client->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (source) {
		r = loop_modify_fd(source, events);
	} else {
		r = loop_add_fd(client->loop, fd, events, on_socket_event, client, &source);
		if (r == 0)
			curl_multi_assign(client->multi, fd, source);
	}
	return r < 0 ? -1 : 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *userdata)
{
	struct http_client *client = userdata;
	uint64_t first = timeout_ms < 0 ? LOOP_TIMER_OFF : (uint64_t)timeout_ms * EBB_NS_PER_MS;

	return loop_set_timer(client->timer, first, 0) < 0 ? -1 : 0;
}

int http_client_new(struct loop *loop, struct http_client **ret_client)
{
	struct http_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	http_ensure_curl();
	client->loop = loop;
	client->multi = curl_multi_init();
	r = client->multi
		    ? loop_add_timer(loop, LOOP_TIMER_OFF, 0, on_timer, client, &client->timer)
		    : -ENOMEM;
	if (r < 0) {
		http_client_free(client);
		return r;
	}
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
	*ret_client = client;
	return 0;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	if (client->in_callback) {
		client->freed = true;
		return;
	}
	while (client->transfers) {
		struct transfer *transfer = client->transfers;
		unlink_transfer(transfer);
		http_transfer_free(transfer);
	}
	if (client->multi)
		curl_multi_cleanup(client->multi);
	loop_remove(client->timer);
	free(client);
}

int http_client_send(struct http_client *client, const struct http_request_options *options,
		     http_done_fn done, void *userdata)
{
	struct transfer *transfer;
	int r;

	if (client->freed)
		return -ESHUTDOWN;
	r = http_transfer_new(options, NULL, &transfer);
	if (r < 0)
		return r;
	transfer->client = client;
	transfer->done = done;
	transfer->userdata = userdata;
	if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
		http_transfer_free(transfer);
		return -ENOMEM;
	}
	transfer->next = client->transfers;
	if (client->transfers)
		client->transfers->prev = transfer;
	client->transfers = transfer;
	return 0;
}
