/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the server's connections: each takes the certificate that is in force when it begins. */
#ifndef EBB_HTTP_TLS_H
#define EBB_HTTP_TLS_H

#include <gnutls/gnutls.h>

#include "identity_tls.h"

/* TLS 1.2 and 1.3, forward secrecy, authenticated ciphers. */
#define HTTP_TLS_PRIORITIES                                            \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-DHE-RSA:" \
	"-AES-128-CBC:-AES-256-CBC:-AES-128-CCM:-AES-256-CCM"

/*
 * Before the handshake. The caller keeps *ret_server until the session has gone, then gives it back
 * with identity_server_unref().
 */
int http_tls_begin(gnutls_session_t session, struct identity *identity,
		   struct identity_server **ret_server);

#endif
