/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the controller (or an agent), and saying in one line what to do when that fails. */
#ifndef EBB_CLI_REQUEST_H
#define EBB_CLI_REQUEST_H

#include "cli.h"

/*
 * A call to the controller. `body` may be NULL. 0 and the answer (new reference; `ret_doc` may be
 * NULL), or a negative errno after one line on standard error: -ECONNREFUSED unreachable, -EPERM
 * token, -ENOENT 404, -EINVAL any other refusal.
 */
int request_call(const struct cli *cli, const char *method, const char *path, const json_t *body,
		 json_t **ret_doc);

/* A call with conditions. */
struct request {
	const char *method, *path;
	const json_t *body;   /* NULL: none */
	const char *if_match; /* NULL: none; an ETag that the document must still have */
	bool only_new;        /* there must be none yet */
};
/*
 * Like request_call(), but says nothing: `ret_error` (caller frees) is the line. -ESTALE: the
 * condition does not hold. `ret_etag` (caller frees; may be NULL, and NULL when there is none).
 */
int request_send(const struct cli *cli, const struct request *request, json_t **ret_doc,
		 char **ret_etag, char **ret_error);
/* The same with words. */
int request_say(const struct cli *cli, const struct request *request, json_t **ret_doc,
		char **ret_etag);

/*
 * GET without words: the status (0: no answer, then `ret_error`, 256 bytes, says why) and the body
 * as JSON, NULL when it is none (new reference; may be NULL).
 */
long request_try(const struct cli *cli, const char *address, const char *token, const char *path,
		 json_t **ret_doc, char *ret_error);

/* "/structure/" + NAME + rest, NAME encoded. Caller frees; NULL on no memory. */
char *request_path(const char *prefix, const char *name, const char *rest);

/* "host:5000" and "http://host:5000/" become "http://host:5000"; "unix:PATH" stays. Caller frees.
 */
char *address_normalize(const char *text);

/*
 * Pure: "http(s)://HOST[:PORT]" and the path of a Location header; false when it is something else.
 * Caller frees both.
 */
bool request_split_location(const char *location, char **ret_address, char **ret_path);

#endif
