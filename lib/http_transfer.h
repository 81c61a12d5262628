/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request as libcurl sees it; private to the client's files. */
#ifndef EBB_HTTP_TRANSFER_H
#define EBB_HTTP_TRANSFER_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ebb/http_client.h"

/* One request under way; the blocking call uses it too. */
struct transfer {
	struct http_client *client; /* NULL: of a blocking call */
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
	struct transfer *prev, *next; /* of `client` */
};

/* Before anything else of libcurl; as often as one likes. */
void http_ensure_curl(void);

/*
 * `easy`: a session's, or NULL for one of its own. -EINVAL: no method, or an address or path that
 * cannot be; -ENOMEM.
 */
int http_transfer_new(const struct http_request_options *options, CURL *easy,
		      struct transfer **ret_transfer);
void http_transfer_free(struct transfer *transfer);

/* The error text, "" when answered. */
void http_transfer_explain(const struct transfer *transfer, CURLcode code, char *buffer,
			   size_t size);
/* 0 when there is no whole answer. */
long http_transfer_status(const struct transfer *transfer, CURLcode code);
/* Since it was made. */
double http_transfer_seconds(const struct transfer *transfer);

#endif
