/* SPDX-License-Identifier: Apache-2.0 */
#include "http_transfer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "identity_tls.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define TIMEOUT_MS_DEFAULT   5000
#define RESPONSE_MAX_DEFAULT (64 * EBB_MIB)

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

void http_ensure_curl(void)
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

void http_transfer_free(struct transfer *transfer)
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

int http_transfer_new(const struct http_request_options *options, CURL *easy,
		      struct transfer **ret_transfer)
{
	struct transfer *transfer;
	int r;

	if (!options->method)
		return -EINVAL;
	http_ensure_curl();
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
		http_transfer_free(transfer);
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

void http_transfer_explain(const struct transfer *transfer, CURLcode code, char *buffer,
			   size_t size)
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

long http_transfer_status(const struct transfer *transfer, CURLcode code)
{
	long status = 0;

	/* The status of an answer that broke off would claim that it is whole. */
	if (code == CURLE_OK)
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

double http_transfer_seconds(const struct transfer *transfer)
{
	return (double)(now_ns() - transfer->started_ns) / (double)EBB_NS_PER_SEC;
}
