/* SPDX-License-Identifier: Apache-2.0 */
#include "identity_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* The CA certificates of a whole system are a fifth of that. */
#define PEM_MAX EBB_MIB

static void pem_clear(struct pem *pem)
{
	if (pem->data)
		explicit_bzero(pem->data, pem->len);
	free(pem->data);
	*pem = (struct pem){0};
}

/* `option`: "tls-key", for messages. NULL `path`: none. */
static int pem_read(const char *option, const char *path, bool secret, struct pem *ret_pem)
{
	_cleanup_close_ int fd = -1;
	struct pem pem = {0};
	struct stat st;
	ssize_t n;

	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(errno, "cannot read --%s %s", option, path);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)PEM_MAX) {
		log_error("--%s %s is no file of certificates or keys in PEM form", option, path);
		return -EINVAL;
	}
	if (secret && st.st_mode & (S_IROTH | S_IWOTH)) {
		log_error("--%s %s is open to every user of this machine; run: chmod o-rwx %s",
			  option, path, path);
		return -EPERM;
	}
	/* One more shows that it grew meanwhile. */
	pem.data = malloc((size_t)st.st_size + 2);
	if (!pem.data)
		return log_error_errno(ENOMEM, "cannot read --%s %s", option, path);
	while ((n = read(fd, pem.data + pem.len, (size_t)st.st_size + 1 - pem.len)) > 0)
		pem.len += (size_t)n;
	if (n < 0 || pem.len > (size_t)st.st_size) {
		int r = log_error_errno(n < 0 ? errno : EAGAIN, "cannot read --%s %s", option,
					path);
		pem_clear(&pem);
		return r;
	}
	pem.data[pem.len] = '\0';
	*ret_pem = pem;
	return 0;
}

static gnutls_datum_t datum(const struct pem *pem)
{
	return (gnutls_datum_t){(unsigned char *)pem->data, (unsigned)pem->len};
}

/* Told, not refused: the clock of a machine that boots may be wrong. */
static void warn_if_expired(const char *option, const char *path, const struct pem *pem)
{
	gnutls_datum_t text = datum(pem);
	gnutls_x509_crt_t *certs = NULL;
	unsigned n = 0;
	time_t now = time(NULL);

	if (gnutls_x509_crt_list_import2(&certs, &n, &text, GNUTLS_X509_FMT_PEM, 0) < 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		if (i == 0 && gnutls_x509_crt_get_expiration_time(certs[i]) < now)
			log_warning("--%s %s has expired: nobody will accept it; renew it", option,
				    path);
		else if (i == 0 && gnutls_x509_crt_get_activation_time(certs[i]) > now)
			log_warning("--%s %s is not valid yet: is the clock right?", option, path);
		gnutls_x509_crt_deinit(certs[i]);
	}
	gnutls_free(certs);
}

static int check_ca(const char *option, const char *path, const struct pem *pem)
{
	gnutls_x509_crt_t *certs = NULL;
	gnutls_datum_t text = datum(pem);
	unsigned n = 0;
	int g = gnutls_x509_crt_list_import2(&certs, &n, &text, GNUTLS_X509_FMT_PEM, 0);

	for (unsigned i = 0; g >= 0 && i < n; i++)
		gnutls_x509_crt_deinit(certs[i]);
	if (g >= 0)
		gnutls_free(certs);
	if (g >= 0 && n)
		return 0;
	log_error("--%s %s has no certificates in PEM form: %s", option, path,
		  g < 0 ? gnutls_strerror(g) : "it is empty");
	return -EINVAL;
}

/* Certificate (with its chain) and key, as a pair. */
static int set_pair(gnutls_certificate_credentials_t credentials, const char *cert_option,
		    const char *cert_path, const struct pem *cert, const char *key_option,
		    const char *key_path, const struct pem *key)
{
	gnutls_datum_t cert_text = datum(cert), key_text = datum(key);
	int g = check_ca(cert_option, cert_path, cert);

	if (g < 0)
		return g;
	g = gnutls_certificate_set_x509_key_mem2(credentials, &cert_text, &key_text,
						 GNUTLS_X509_FMT_PEM, NULL, 0);
	if (g >= 0) {
		warn_if_expired(cert_option, cert_path, cert);
		return 0;
	}
	if (g == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		log_error("--%s %s is not the key of --%s %s", key_option, key_path, cert_option,
			  cert_path);
	else if (g == GNUTLS_E_DECRYPTION_FAILED)
		log_error("--%s %s is encrypted: a program that starts by itself needs one without "
			  "a passphrase",
			  key_option, key_path);
	else
		log_error("--%s %s has no key in PEM form that can be used: %s", key_option,
			  key_path, gnutls_strerror(g));
	return -EINVAL;
}

static int load_server(const struct identity_files *files, struct identity_server *server)
{
	struct pem cert = {0}, key = {0}, ca = {0};
	gnutls_datum_t ca_text;
	int r;

	server->refs = 1;
	if (gnutls_certificate_allocate_credentials(&server->credentials) < 0)
		return log_error_errno(ENOMEM, "cannot prepare TLS");
	r = pem_read("tls-cert", files->tls_cert, false, &cert);
	if (r >= 0)
		r = pem_read("tls-key", files->tls_key, true, &key);
	if (r >= 0)
		r = pem_read("tls-client-ca", files->tls_client_ca, false, &ca);
	if (r >= 0)
		r = set_pair(server->credentials, "tls-cert", files->tls_cert, &cert, "tls-key",
			     files->tls_key, &key);
	if (r >= 0 && ca.data)
		r = check_ca("tls-client-ca", files->tls_client_ca, &ca);
	if (r >= 0 && ca.data) {
		ca_text = datum(&ca);
		server->asks_client = true;
		if (gnutls_certificate_set_x509_trust_mem(server->credentials, &ca_text,
							  GNUTLS_X509_FMT_PEM) < 1) {
			log_error("--tls-client-ca %s has no certificate of a CA",
				  files->tls_client_ca);
			r = -EINVAL;
		}
	}
	pem_clear(&cert);
	pem_clear(&key);
	pem_clear(&ca);
	return r;
}

int identity_server_load(const struct identity_files *files, struct identity_server **ret_server)
{
	struct identity_server *server;
	int r;

	if (!files->tls_cert) {
		*ret_server = NULL;
		return 0;
	}
	server = calloc(1, sizeof(*server));
	if (!server)
		return log_error_errno(ENOMEM, "cannot prepare TLS");
	r = load_server(files, server);
	if (r < 0) {
		identity_server_unref(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

static int load_client(const struct identity_files *files, struct identity_client *client)
{
	gnutls_certificate_credentials_t scratch;
	int r;

	client->refs = 1;
	r = pem_read("ca-file", files->ca_file, false, &client->ca);
	if (r >= 0 && client->ca.data)
		r = check_ca("ca-file", files->ca_file, &client->ca);
	if (r >= 0)
		r = pem_read("client-cert", files->client_cert, false, &client->cert);
	if (r >= 0)
		r = pem_read("client-key", files->client_key, true, &client->key);
	if (r < 0 || !client->cert.data)
		return r;
	if (gnutls_certificate_allocate_credentials(&scratch) < 0)
		return log_error_errno(ENOMEM, "cannot prepare TLS");
	r = set_pair(scratch, "client-cert", files->client_cert, &client->cert, "client-key",
		     files->client_key, &client->key);
	gnutls_certificate_free_credentials(scratch);
	return r;
}

int identity_client_load(const struct identity_files *files, struct identity_client **ret_client)
{
	struct identity_client *client;
	int r;

	if (!files->ca_file && !files->client_cert) {
		*ret_client = NULL;
		return 0;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		return log_error_errno(ENOMEM, "cannot prepare TLS");
	r = load_client(files, client);
	if (r < 0) {
		identity_client_unref(client);
		return r;
	}
	*ret_client = client;
	return 0;
}

struct identity_server *identity_server_ref(struct identity_server *server)
{
	if (server)
		server->refs++;
	return server;
}

void identity_server_unref(struct identity_server *server)
{
	if (!server || --server->refs)
		return;
	if (server->credentials)
		gnutls_certificate_free_credentials(server->credentials);
	free(server);
}

struct identity_client *identity_client_ref(struct identity_client *client)
{
	if (client)
		client->refs++;
	return client;
}

void identity_client_unref(struct identity_client *client)
{
	if (!client || --client->refs)
		return;
	pem_clear(&client->ca);
	pem_clear(&client->cert);
	pem_clear(&client->key);
	free(client);
}
