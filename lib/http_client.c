/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "identity_tls.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/units.h"

#define TIMEOUT_MS_DEFAULT   5000
#define RESPONSE_MAX_DEFAULT (64 * EBB_MIB)
/* Idle connections kept: one for each agent of a large site. */
#define CONNECTIONS_KEPT 1024
/* To one address at once. Above the number of slow calls (a memory shrink) that one host can have
 * under way, so that they cannot hold back a quick one. */
#define CONNECTIONS_PER_HOST 64

/* One request under way; the blocking call uses it too. */
struct transfer {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	char *address; /* as it is shown */
	char *body;
	size_t body_len, body_room, response_max;
	struct identity_client *tls;
	bool too_large, borrowed; /* `easy` belongs to a session */
	int (*on_data)(void *userdata, const char *data, size_t len);
	void *data_userdata;
	bool (*stopped)(void *userdata);
	void *stopped_userdata;
	char why[CURL_ERROR_SIZE];
	uint64_t started_ns;
	http_done_fn done;
	void *userdata;
	struct transfer *prev, *next;
};

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_source *timer;
	struct transfer *transfers;
	bool in_callback, freed;
};

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void ensure_curl(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_curl);
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata)
{
	struct transfer *transfer = userdata;
	size_t len = size * n, need = transfer->body_len + len + 1;
	long status = 0;

	if (transfer->on_data) {
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status / 100 == 2)
			return transfer->on_data(transfer->data_userdata, data, len) < 0 ? 0 : len;
	}
	if (transfer->body_len + len > transfer->response_max) {
		transfer->too_large = true;
		return 0;
	}
	if (need > transfer->body_room) {
		size_t room = MAX(need, MAX(transfer->body_room * 2, 4096));
		char *grown = realloc(transfer->body, room);
		if (!grown)
			return 0;
		transfer->body = grown;
		transfer->body_room = room;
	}
	memcpy(transfer->body + transfer->body_len, data, len);
	transfer->body_len += len;
	transfer->body[transfer->body_len] = '\0';
	return len;
}

static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct transfer *transfer = userdata;

	return transfer->stopped(transfer->stopped_userdata);
}

static void transfer_free(struct transfer *transfer)
{
	if (!transfer)
		return;
	if (transfer->borrowed)
		curl_easy_reset(transfer->easy); /* it points into what is freed here */
	else if (transfer->easy)
		curl_easy_cleanup(transfer->easy);
	identity_client_unref(transfer->tls);
	curl_slist_free_all(transfer->headers);
	free(transfer->address);
	free(transfer->body);
	free(transfer);
}

static int add_header(struct transfer *transfer, const char *line)
{
	struct curl_slist *grown = curl_slist_append(transfer->headers, line);

	if (!grown)
		return -ENOMEM;
	transfer->headers = grown;
	return 0;
}

static int set_method_and_body(CURL *easy, const struct http_request_options *options)
{
	bool body = options->body || !strcmp(options->method, "PUT") ||
		    !strcmp(options->method, "POST");
	CURLcode c = CURLE_OK;

	if (body) {
		/* Copied after its size is known; an empty one still says "Content-Length: 0". */
		c = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				     (curl_off_t)(options->body ? options->body_len : 0));
		if (c == CURLE_OK)
			c = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
					     options->body ? options->body : "");
	} else if (!strcmp(options->method, "HEAD")) {
		c = curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	if (c == CURLE_OK)
		c = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method);
	return c == CURLE_OK ? 0 : -ENOMEM;
}

/* The URL, and the socket path for "unix:PATH". */
static int set_address(CURL *easy, const struct http_request_options *options)
{
	_cleanup_free_ char *url = NULL;
	const char *base = options->address;
	CURLcode c = CURLE_OK;

	if (!base || !options->path || *options->path != '/')
		return -EINVAL;
	if (!strncmp(base, "unix:", 5)) {
		if (!base[5])
			return -EINVAL;
		c = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, base + 5);
		base = "http://localhost";
	} else if (strncmp(base, "http://", 7) && strncmp(base, "https://", 8)) {
		return -EINVAL;
	}

	size_t len = strlen(base);
	while (len && base[len - 1] == '/')
		len--;
	if (asprintf(&url, "%.*s%s", (int)len, base, options->path) < 0) {
		url = NULL;
		return -ENOMEM;
	}
	if (c == CURLE_OK)
		c = curl_easy_setopt(easy, CURLOPT_URL, url);
	return c == CURLE_OK ? 0 : -ENOMEM;
}

/* The headers that every request has, and its own. */
static int add_headers(struct transfer *transfer, const struct http_request_options *options)
{
	bool typed = false;
	char *line = NULL;
	int r;

	/* Never ask for a "100 Continue": it costs a round trip, or a second with old servers. */
	r = add_header(transfer, "Expect:");
	for (const char *const *own = options->headers; r == 0 && own && *own; own++) {
		typed = typed || !strncasecmp(*own, "Content-Type:", strlen("Content-Type:"));
		r = add_header(transfer, *own);
	}
	if (r == 0 && !typed)
		r = add_header(transfer, "Content-Type: application/json");
	if (r < 0)
		return r;
	if (options->token) {
		if (asprintf(&line, "Authorization: Bearer %s", options->token) < 0)
			return -ENOMEM;
	} else if (!options->without_token) {
		line = identity_header(options->identity, &r);
	}
	if (line) {
		r = add_header(transfer, line);
		explicit_bzero(line, strlen(line));
		free(line);
	}
	return r;
}

/* Those that are copied and so may fail; without them the request must not go out. */
static int set_strings(CURL *easy, const struct http_request_options *options)
{
	CURLcode c = curl_easy_setopt(easy, CURLOPT_PROXY, "");

	if (c == CURLE_OK)
		c = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	if (c == CURLE_OK && options->user) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		c = curl_easy_setopt(easy, CURLOPT_USERNAME, options->user);
		if (c == CURLE_OK)
			c = curl_easy_setopt(easy, CURLOPT_PASSWORD,
					     options->password ? options->password : "");
	}
	if (c == CURLE_OK && options->ca_file) {
		/* Else the system's directory vouches for servers too. */
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
		c = curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
	}
	return c == CURLE_OK ? 0 : -ENOMEM;
}

static CURLcode set_pem(CURL *easy, CURLoption option, const struct pem *pem)
{
	struct curl_blob blob = {pem->data, pem->len, CURL_BLOB_NOCOPY};

	return pem->data ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

/* libcurl keeps connections apart that were made with other certificates. */
static int set_tls(CURL *easy, const struct identity_client *tls)
{
	CURLcode c = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);

	if (c == CURLE_OK && tls && tls->ca.data) {
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
		c = set_pem(easy, CURLOPT_CAINFO_BLOB, &tls->ca);
	}
	if (c == CURLE_OK && tls)
		c = set_pem(easy, CURLOPT_SSLCERT_BLOB, &tls->cert);
	if (c == CURLE_OK && tls)
		c = set_pem(easy, CURLOPT_SSLKEY_BLOB, &tls->key);
	return c == CURLE_OK ? 0 : -ENOMEM;
}

static void set_times(CURL *easy, const struct http_request_options *options)
{
	long timeout_ms = options->timeout_ms ? (long)options->timeout_ms : TIMEOUT_MS_DEFAULT;
	long connect_ms = options->connect_timeout_ms ? (long)options->connect_timeout_ms
						      : TIMEOUT_MS_DEFAULT;

	if (options->timeout_ms == HTTP_NO_TIMEOUT)
		timeout_ms = 0;
	else if (!options->connect_timeout_ms)
		connect_ms = timeout_ms;
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
	if (options->silence_s) {
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)options->silence_s);
	}
}

/*
 * For error texts: without user and password. Up to the last '@' of all, because a password that is
 * not encoded as it should be may hold an '@' or a '/'. Caller frees; NULL on no memory.
 */
static char *shown_address(const char *address)
{
	const char *scheme = strstr(address, "://"), *at = scheme ? strrchr(scheme, '@') : NULL;
	char *shown;

	if (!at)
		return strdup(address);
	if (asprintf(&shown, "%.*s%s", (int)(scheme + 3 - address), address, at + 1) < 0)
		return NULL;
	return shown;
}

/* `easy`: a session's, or NULL for one of its own. */
static int transfer_new(const struct http_request_options *options, CURL *easy,
			struct transfer **ret_transfer)
{
	struct transfer *transfer;
	int r;

	if (!options->method)
		return -EINVAL;
	ensure_curl();
	transfer = calloc(1, sizeof(*transfer));
	if (!transfer)
		return -ENOMEM;
	transfer->response_max =
		options->response_max ? options->response_max : RESPONSE_MAX_DEFAULT;
	transfer->on_data = options->on_data;
	transfer->data_userdata = options->data_userdata;
	transfer->stopped = options->stopped;
	transfer->stopped_userdata = options->stopped_userdata;
	transfer->borrowed = easy != NULL;
	transfer->easy = easy ? easy : curl_easy_init();
	easy = transfer->easy;
	transfer->address = options->address ? shown_address(options->address) : NULL;
	r = transfer->easy ? set_address(transfer->easy, options) : -ENOMEM;
	if (r == 0)
		r = set_method_and_body(transfer->easy, options);
	if (r == 0)
		r = add_headers(transfer, options);
	if (r == 0)
		r = set_strings(transfer->easy, options);
	transfer->tls = identity_client_now(options->identity);
	if (r == 0)
		r = set_tls(transfer->easy, transfer->tls);
	if (r < 0 || !transfer->address) {
		transfer_free(transfer);
		return r < 0 ? r : -ENOMEM;
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	set_times(easy, options);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	if (transfer->stopped) {
		curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
	}
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->why);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	transfer->started_ns = now_ns();
	*ret_transfer = transfer;
	return 0;
}

/* Why a server is not who it should be, and what to do; `why` as OpenSSL and libcurl say it. */
static const char *distrust(const char *why)
{
	if (strstr(why, "expired"))
		return "its certificate has expired, renew it there";
	if (strstr(why, "not yet valid"))
		return "its certificate is not valid yet, is the clock right here?";
	if (strstr(why, "subject name") || strstr(why, "hostname") || strstr(why, "IP address"))
		return "its certificate is for other names; address it by one of those, or have one "
		       "made with this name";
	if (strstr(why, "issuer") || strstr(why, "self-signed") || strstr(why, "self signed"))
		return "nobody whom we believe vouches for its certificate; give its CA with "
		       "--ca-file";
	return why;
}

/* The error text, "" when answered. */
static void explain(const struct transfer *transfer, CURLcode code, char *buffer, size_t size)
{
	const char *why = *transfer->why ? transfer->why : curl_easy_strerror(code);

	long answered = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &answered);
	*buffer = '\0';
	if (transfer->too_large)
		snprintf(buffer, size, "%s: the response is larger than %zu bytes",
			 transfer->address, transfer->response_max);
	else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
		snprintf(buffer, size, "cannot reach %s: %s", transfer->address, why);
	/* So OpenSSL, and GnuTLS, call an answer that is plain text. */
	else if (code == CURLE_SSL_CONNECT_ERROR &&
		 (strstr(why, "wrong version number") || strstr(why, "unexpected TLS packet")))
		snprintf(buffer, size, "%s: no TLS is spoken there, write http:// instead",
			 transfer->address);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		snprintf(buffer, size, "%s: %s", transfer->address, distrust(why));
	else if (code != CURLE_OK && strstr(why, "alert"))
		snprintf(buffer, size, "%s: it does not take our certificate (%s)",
			 transfer->address, why);
	/* In TLS 1.3 the client is done first: sending may be what fails. */
	else if ((code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
		  code == CURLE_SEND_ERROR || code == CURLE_SSL_CONNECT_ERROR) &&
		 !strncmp(transfer->address, "https://", 8) && !answered)
		snprintf(buffer, size,
			 "%s: %s; if it lets only clients with a certificate in, it did not take "
			 "ours (--client-cert)",
			 transfer->address, why);
	else if (code == CURLE_GOT_NOTHING && !strncmp(transfer->address, "http://", 7))
		snprintf(buffer, size, "%s: %s; if TLS is spoken there, write https:// instead",
			 transfer->address, why);
	else if (code != CURLE_OK)
		snprintf(buffer, size, "%s: %s", transfer->address, why);
}

static long status_of(const struct transfer *transfer, CURLcode code)
{
	long status = 0;

	/* The status of an answer that broke off would claim that it is whole. */
	if (code == CURLE_OK)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static double seconds_of(const struct transfer *transfer)
{
	return (double)(now_ns() - transfer->started_ns) / (double)EBB_NS_PER_SEC;
}

const char *http_response_header(const struct http_response *response, const char *name)
{
	struct curl_header *header;

	if (!response->easy ||
	    curl_easy_header(response->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

/* --- In a loop -------------------------------------------------------------------------------- */

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
		.status = status_of(transfer, code),
		.body = transfer->body ? transfer->body : "",
		.body_len = transfer->body_len,
		.error = error,
		.seconds = seconds_of(transfer),
		.easy = transfer->easy,
	};

	explain(transfer, code, error, sizeof(error));
	unlink_transfer(transfer);
	transfer->done(transfer->userdata, &response);
	transfer_free(transfer);
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
	ensure_curl();
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
		transfer_free(transfer);
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
	r = transfer_new(options, NULL, &transfer);
	if (r < 0)
		return r;
	transfer->client = client;
	transfer->done = done;
	transfer->userdata = userdata;
	if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
		transfer_free(transfer);
		return -ENOMEM;
	}
	transfer->next = client->transfers;
	if (client->transfers)
		client->transfers->prev = transfer;
	client->transfers = transfer;
	return 0;
}

/* --- Blocking --------------------------------------------------------------------------------- */

static int perform(const struct http_request_options *options, CURL *easy,
		   struct http_result *ret_result)
{
	struct http_result result = {0};
	struct transfer *transfer;
	int r = transfer_new(options, easy, &transfer);

	if (r < 0)
		return r;

	CURLcode code = curl_easy_perform(transfer->easy);
	result.status = status_of(transfer, code);
	result.cut = code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
		     code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE;
	result.seconds = seconds_of(transfer);
	explain(transfer, code, result.error, sizeof(result.error));
	result.body = transfer->body ? TAKE_PTR(transfer->body) : strdup("");
	result.body_len = transfer->body_len;
	transfer_free(transfer);
	if (!result.body)
		return -ENOMEM;
	*ret_result = result;
	return 0;
}

int http_call_blocking(const struct http_request_options *options, struct http_result *ret_result)
{
	return perform(options, NULL, ret_result);
}

struct http_session {
	CURL *easy;
};

int http_session_new(struct http_session **ret_session)
{
	struct http_session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	ensure_curl();
	session->easy = curl_easy_init();
	if (!session->easy) {
		free(session);
		return -ENOMEM;
	}
	*ret_session = session;
	return 0;
}

void http_session_free(struct http_session *session)
{
	if (!session)
		return;
	curl_easy_cleanup(session->easy);
	free(session);
}

int http_session_call(struct http_session *session, const struct http_request_options *options,
		      struct http_result *ret_result)
{
	return perform(options, session->easy, ret_result);
}

const char *http_session_header(const struct http_session *session, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(session->easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return NULL;
	return header->value;
}

void http_result_clear(struct http_result *result)
{
	free(result->body);
	*result = (struct http_result){0};
}

char *http_escape(const char *segment)
{
	static const char hex[] = "0123456789ABCDEF";
	char *text = malloc(strlen(segment) * 3 + 1), *at = text;

	if (!text)
		return NULL;
	for (const unsigned char *p = (const unsigned char *)segment; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-._~", *p);
		if (plain) {
			*at++ = (char)*p;
		} else {
			*at++ = '%';
			*at++ = hex[*p >> 4];
			*at++ = hex[*p & 15];
		}
	}
	*at = '\0';
	return text;
}
