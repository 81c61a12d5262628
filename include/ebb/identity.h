/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this program is and whom it believes: tokens, certificates, keys and CAs, read from files at
 * start and again when the operator asks for it (SIGHUP). Servers and clients hold the same object
 * and see the new ones from their next request on. What is broken in a file leaves in force what
 * was read before. Thread-safe, but for identity_free().
 */
#ifndef EBB_IDENTITY_H
#define EBB_IDENTITY_H

#include <stdbool.h>

struct identity;

/* NULL: none. Read by identity_new() and identity_reload() only. */
struct identity_files {
	const char *token_file; /* see tokens_read_file() */
	/* As a server: PEM. With `tls_client_ca` only clients with a certificate of that CA are let
	 * in. Whether there is TLS at all is settled by identity_new(). */
	const char *tls_cert, *tls_key, *tls_client_ca;
	/* As a client: who vouches for servers (NULL: the system's), and what is shown to them. */
	const char *ca_file, *client_cert, *client_key;
};

/* Pure: NULL, or what is wrong with the choice of files. */
const char *identity_files_check(const struct identity_files *files);

/* Logs what is wrong. */
int identity_new(const struct identity_files *files, struct identity **ret_identity);
/* With the token as it stands: for programs without files, and tests. NULL: none. */
int identity_new_token(const char *token, struct identity **ret_identity);
/* 0; or a negative errno after a log line for each part that is broken, and stays as it was. */
int identity_reload(struct identity *identity, const struct identity_files *files);
void identity_free(struct identity *identity);

/* All of these: NULL `identity` is one that has nothing. */
bool identity_has_token(struct identity *identity);
/* As a server. */
bool identity_has_tls(struct identity *identity);
/* In a time that depends on the length of `given` (may be NULL) only. */
bool identity_accepts(struct identity *identity, const char *given);
/* "Authorization: Bearer TOKEN" with the token that is shown. Caller clears and frees; NULL: there
 * is none, or no memory (then *ret_error is -ENOMEM, else 0). */
char *identity_header(struct identity *identity, int *ret_error);

#endif
