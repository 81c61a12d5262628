/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What TLS needs, read from PEM files and checked as a whole: one state of it, which does not
 * change any more, counted by those who use it. A rotation makes another one. Thread-safe.
 */
#ifndef EBB_IDENTITY_TLS_H
#define EBB_IDENTITY_TLS_H

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "ebb/identity.h"

struct pem {
	char *data; /* NUL-terminated; NULL: none */
	size_t len;
};

struct identity_server {
	atomic_uint refs;
	gnutls_certificate_credentials_t credentials;
	bool asks_client; /* for a certificate that its CA vouches for */
};

struct identity_client {
	atomic_uint refs;
	struct pem ca; /* who vouches for servers; none: the system's */
	struct pem cert, key;
};

/* NULL into *ret_... when no file is given. Logs what is wrong. */
int identity_server_load(const struct identity_files *files, struct identity_server **ret_server);
int identity_client_load(const struct identity_files *files, struct identity_client **ret_client);
/* NULL is ignored. */
struct identity_server *identity_server_ref(struct identity_server *server);
void identity_server_unref(struct identity_server *server);
struct identity_client *identity_client_ref(struct identity_client *client);
void identity_client_unref(struct identity_client *client);

/* The state of this moment, to be given back with unref; NULL: no TLS. */
struct identity_server *identity_server_now(struct identity *identity);
struct identity_client *identity_client_now(struct identity *identity);

#endif
