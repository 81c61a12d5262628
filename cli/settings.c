/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"

#define FIELD(field) offsetof(struct settings, field)

static const struct option_spec table[] = {
	{.name = "controller",
	 .kind = OPTION_STRING,
	 .offset = FIELD(controller),
	 .value = "URL",
	 .help = "the controller; of several, separated by commas, the one that leads",
	 .by_default = "http://127.0.0.1:5000"},
	{.name = "agent",
	 .kind = OPTION_STRING,
	 .offset = FIELD(agent),
	 .value = "URL",
	 .help = "this host's agent, for doctor",
	 .by_default = "http://127.0.0.1:8000"},
	{.name = "token-file",
	 .kind = OPTION_STRING,
	 .offset = FIELD(token_file),
	 .value = "FILE",
	 .help = "a file with the token, where one is asked for"},
	{.name = "ca-file",
	 .kind = OPTION_STRING,
	 .offset = FIELD(ca_file),
	 .value = "FILE",
	 .help = "who vouches for https servers (default: the system's)"},
	{.name = "client-cert",
	 .kind = OPTION_STRING,
	 .offset = FIELD(client_cert),
	 .value = "FILE",
	 .help = "the certificate shown to servers that ask for one"},
	{.name = "client-key",
	 .kind = OPTION_STRING,
	 .offset = FIELD(client_key),
	 .value = "FILE",
	 .help = "its key"},
	{.name = "json",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(json),
	 .help = "print JSON, where something is printed",
	 .action = true},
};

const struct config_program settings_program = {
	.name = "ebb",
	.section = "ebb",
	.summary = "looks after containers whose limits follow what they use",
	.options = table,
	.n_options = ARRAY_SIZE(table),
};

struct given {
	const char *option, *variable, *value;
	char *word;
};

/* As an argument; what an environment variable says counts as given. -ENOMEM. */
static int as_argument(struct given *given)
{
	const char *environment = getenv(given->variable);
	const char *value = given->value                  ? given->value
			    : environment && *environment ? environment
							  : NULL;

	if (value && asprintf(&given->word, "--%s=%s", given->option, value) < 0) {
		given->word = NULL;
		return -ENOMEM;
	}
	return 0;
}

static const char *file_to_read(const char *config)
{
	const char *environment = getenv("EBB_CONFIG");

	if (config)
		return config;
	/* Set and empty: none. */
	if (environment)
		return *environment ? environment : NULL;
	return access(SETTINGS_FILE, R_OK) == 0 ? SETTINGS_FILE : NULL;
}

int settings_load(const char *config, const struct settings_given *options,
		  struct settings *settings)
{
	struct given given[] = {
		{"controller", "EBB_CONTROLLER", options->controller, NULL},
		{"agent", "EBB_AGENT", options->agent, NULL},
		{"token-file", "EBB_TOKEN_FILE", options->token_file, NULL},
		{"ca-file", "EBB_CA_FILE", options->ca_file, NULL},
		{"client-cert", "EBB_CLIENT_CERT", options->client_cert, NULL},
		{"client-key", "EBB_CLIENT_KEY", options->client_key, NULL},
	};
	_cleanup_free_ char *file = NULL;
	char *argv[ARRAY_SIZE(given) + 3] = {(char *)"ebb"};
	const char *path = file_to_read(config);
	int argc = 1, r = 0;

	if (path && asprintf(&file, "--config=%s", path) < 0) {
		file = NULL;
		r = -ENOMEM;
	}
	if (file)
		argv[argc++] = file;
	for (size_t i = 0; i < ARRAY_SIZE(given) && r == 0; i++) {
		r = as_argument(&given[i]);
		if (given[i].word)
			argv[argc++] = given[i].word;
	}
	if (r == 0)
		r = config_load(&settings_program, argc, argv, settings);
	if (r == 0)
		settings->token_by_default = !given[2].word && settings->token_file;
	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		free(given[i].word);
	return r;
}

void settings_clear(struct settings *settings)
{
	config_clear(&settings_program, settings);
}
