/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/identity.h"
#include "ebb/log.h"
#include "ebb/util.h"

struct identity {
	pthread_mutex_t lock;
	struct tokens tokens;
};

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

int identity_new(const struct identity_files *files, struct identity **ret_identity)
{
	struct identity *identity = NULL;
	int r = new_empty(&identity);

	if (r < 0)
		return r;
	r = load_tokens(identity, files->token_file);
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
	return load_tokens(identity, files->token_file);
}

void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	tokens_clear(&identity->tokens);
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
