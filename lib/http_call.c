/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are waited for, alone or one after another over one connection. */
#include "ebb/http_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http_transfer.h"
#include "ebb/cleanup.h"

static int perform(const struct http_request_options *options, CURL *easy,
		   struct http_result *ret_result)
{
	struct http_result result = {0};
	struct transfer *transfer;
	int r = http_transfer_new(options, easy, &transfer);

	if (r < 0)
		return r;

	CURLcode code = curl_easy_perform(transfer->easy);
	result.status = http_transfer_status(transfer, code);
	result.cut = code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
		     code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE;
	result.seconds = http_transfer_seconds(transfer);
	http_transfer_explain(transfer, code, result.error, sizeof(result.error));
	result.body = transfer->body ? TAKE_PTR(transfer->body) : strdup("");
	result.body_len = transfer->body_len;
	http_transfer_free(transfer);
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
	http_ensure_curl();
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
