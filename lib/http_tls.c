/* SPDX-License-Identifier: Apache-2.0 */
#include "http_tls.h"

#include <errno.h>
#include <gnutls/x509.h>

#include "ebb/util.h"

/* In the handshake, so that nobody without a certificate comes as far as a request. The alert tells
 * the other side what is wrong. */
static int verify_client(gnutls_session_t session)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	gnutls_alert_description_t alert = GNUTLS_A_CERTIFICATE_UNKNOWN;
	unsigned status = 0;

	if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0)
		alert = GNUTLS_A_CERTIFICATE_REQUIRED;
	else if (!status)
		return 0;
	else if (status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		alert = GNUTLS_A_UNKNOWN_CA;
	else if (status & GNUTLS_CERT_EXPIRED)
		alert = GNUTLS_A_CERTIFICATE_EXPIRED;
	gnutls_alert_send(session, GNUTLS_AL_FATAL, alert);
	return GNUTLS_E_CERTIFICATE_ERROR;
}

int http_tls_begin(gnutls_session_t session, struct identity *identity,
		   struct identity_server **ret_server)
{
	struct identity_server *server = identity_server_now(identity);

	if (!server)
		return -ENOENT;
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, server->credentials) < 0) {
		identity_server_unref(server);
		return -ENOMEM;
	}
	if (server->asks_client) {
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_function(session, verify_client);
	}
	*ret_server = server;
	return 0;
}
