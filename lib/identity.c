/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "identity_tls.h"

#include "ebb/cleanup.h"
#include "ebb/identity.h"
#include "ebb/log.h"
#include "ebb/util.h"

struct identity {
	pthread_mutex_t lock;
	struct tokens tokens;
	struct identity_server *server; /* NULL: no TLS */
	struct identity_client *client; /* NULL: what the system has */
};

const char *identity_files_check(const struct identity_files *files)
{
	if (!files->tls_cert != !files->tls_key)
		return "--tls-cert and --tls-key belong together: give both, or none";
	if (files->tls_client_ca && !files->tls_cert)
		return "--tls-client-ca is about the clients of a server with TLS: give --tls-cert "
		       "and --tls-key too";
	if (!files->client_cert != !files->client_key)
		return "--client-cert and --client-key belong together: give both, or none";
	return NULL;
}

static int new_empty(struct identity **ret_identity)
{
	struct identity *identity = calloc(1, sizeof(*identity));

	if (!identity)
		return log_error_errno(ENOMEM, "cannot keep tokens");
	pthread_mutex_init(&identity->lock, NULL);
	*ret_identity = identity;
	return 0;
}

static int load_tokens(struct identity *identity, const char *path)
{
	struct tokens tokens = {0}, old;
	int r = path ? tokens_read_file(path, &tokens) : 0;

	if (r < 0)
		return r;
	pthread_mutex_lock(&identity->lock);
	old = identity->tokens;
	identity->tokens = tokens;
	pthread_mutex_unlock(&identity->lock);
	tokens_clear(&old);
	return 0;
}

static int load_server(struct identity *identity, const struct identity_files *files)
{
	struct identity_server *server = NULL, *old;
	int r = identity_server_load(files, &server);

	if (r < 0)
		return r;
	pthread_mutex_lock(&identity->lock);
	old = identity->server;
	identity->server = server;
	pthread_mutex_unlock(&identity->lock);
	identity_server_unref(old);
	return 0;
}

static int load_client(struct identity *identity, const struct identity_files *files)
{
	struct identity_client *client = NULL, *old;
	int r = identity_client_load(files, &client);

	if (r < 0)
		return r;
	pthread_mutex_lock(&identity->lock);
	old = identity->client;
	identity->client = client;
	pthread_mutex_unlock(&identity->lock);
	identity_client_unref(old);
	return 0;
}

int identity_new(const struct identity_files *files, struct identity **ret_identity)
{
	struct identity *identity = NULL;
	int r = new_empty(&identity);

	if (r < 0)
		return r;
	r = load_tokens(identity, files->token_file);
	if (r >= 0)
		r = load_server(identity, files);
	if (r >= 0)
		r = load_client(identity, files);
	if (r < 0) {
		identity_free(identity);
		return r;
	}
	*ret_identity = identity;
	return 0;
}

int identity_new_token(const char *token, struct identity **ret_identity)
{
	struct identity *identity = NULL;
	int r = new_empty(&identity);

	if (r < 0)
		return r;
	if (token) {
		identity->tokens.items[0] = strdup(token);
		identity->tokens.n = 1;
		if (!identity->tokens.items[0]) {
			identity_free(identity);
			return -ENOMEM;
		}
	}
	*ret_identity = identity;
	return 0;
}

int identity_reload(struct identity *identity, const struct identity_files *files)
{
	int tokens = load_tokens(identity, files->token_file), server = 0, client;

	if (!files->tls_cert != !identity->server) {
		log_error("whether there is TLS is settled at the start: restart the program to "
			  "turn it %s",
			  files->tls_cert ? "on" : "off");
		server = -EBUSY;
	} else {
		server = load_server(identity, files);
	}
	client = load_client(identity, files);
	return tokens < 0 ? tokens : server < 0 ? server : client;
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	tokens_clear(&identity->tokens);
	identity_server_unref(identity->server);
	identity_client_unref(identity->client);
	pthread_mutex_destroy(&identity->lock);
	free(identity);
}

bool identity_has_token(struct identity *identity)
{
	bool has;

	if (!identity)
		return false;
	pthread_mutex_lock(&identity->lock);
	has = identity->tokens.n > 0;
	pthread_mutex_unlock(&identity->lock);
	return has;
}

bool identity_has_tls(struct identity *identity)
{
	bool has;

	if (!identity)
		return false;
	pthread_mutex_lock(&identity->lock);
	has = identity->server != NULL;
	pthread_mutex_unlock(&identity->lock);
	return has;
}

struct identity_server *identity_server_now(struct identity *identity)
{
	struct identity_server *server;

	if (!identity)
		return NULL;
	pthread_mutex_lock(&identity->lock);
	server = identity_server_ref(identity->server);
	pthread_mutex_unlock(&identity->lock);
	return server;
}

struct identity_client *identity_client_now(struct identity *identity)
{
	struct identity_client *client;

	if (!identity)
		return NULL;
	pthread_mutex_lock(&identity->lock);
	client = identity_client_ref(identity->client);
	pthread_mutex_unlock(&identity->lock);
	return client;
}

bool identity_accepts(struct identity *identity, const char *given)
{
	bool accepted = false;

	if (!identity)
		return false;
	pthread_mutex_lock(&identity->lock);
	/* All of them, also behind one that fits. */
	for (size_t i = 0; i < identity->tokens.n; i++)
		accepted |= token_equal(identity->tokens.items[i], given);
	pthread_mutex_unlock(&identity->lock);
	return accepted;
}

char *identity_header(struct identity *identity, int *ret_error)
{
	static const char start[] = "Authorization: Bearer ";
	char *line = NULL;
	int r = 0;

	if (identity) {
		pthread_mutex_lock(&identity->lock);
		if (identity->tokens.n) {
			const char *token = identity->tokens.items[0];

			line = malloc(sizeof(start) + strlen(token));
			if (line)
				strcpy(stpcpy(line, start), token);
			else
				r = -ENOMEM;
		}
		pthread_mutex_unlock(&identity->lock);
	}
	*ret_error = r;
	return line;
}
