/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

/* In the order of enum log_level. */
static const char *const log_choices[] = {"error", "warning", "info", "debug", NULL};

/* AUTH_COOKIE is the second. */
static const char *const auth_choices[] = {"basic", "cookie", NULL};

#define FIELD(field) offsetof(struct controller_options, field)

static const struct option_spec option_table[] = {
	{.name = "listen",
	 .kind = OPTION_STRING,
	 .offset = FIELD(listen),
	 .value = "ADDR:PORT|unix:PATH",
	 .help = "where agents and people reach it; beyond loopback it needs --token-file",
	 .by_default = "127.0.0.1:5000"},
	{.name = "advertise",
	 .kind = OPTION_STRING,
	 .offset = FIELD(advertise),
	 .value = "URL",
	 .help = "where agents, people and other controllers reach it, when that differs from "
		 "--listen"},
	{.name = "state",
	 .kind = OPTION_STRING,
	 .offset = FIELD(state),
	 .value = "sqlite:PATH|URL",
	 .help = "where the state is kept: a file, or a CouchDB, "
		 "http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX] (default: "
		 "sqlite:/var/lib/ebb/state.db for root, else sqlite:~/.local/state/ebb/state.db)",
	 .secret = true},
	{.name = "state-credentials",
	 .kind = OPTION_STRING,
	 .offset = FIELD(state_credentials),
	 .value = "FILE",
	 .help = "\"USER:PASSWORD\" of the CouchDB in one line, instead of in its URL"},
	{.name = "state-auth",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(state_auth),
	 .value = "HOW",
	 .help = "how the CouchDB is shown who we are: basic, or cookie (by /_session)",
	 .by_default = "basic",
	 .choices = auth_choices},
	{.name = "state-optional",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(state_optional),
	 .help = "begin without the CouchDB when it does not answer, rather than wait for it"},
	{.name = "audit",
	 .kind = OPTION_STRING,
	 .offset = FIELD(audit),
	 .value = "FILE",
	 .help = "where each decision is appended as a line of JSON (default: audit.jsonl beside "
		 "the state; with a CouchDB, where the state would be by default)"},
	{.name = "opentsdb",
	 .kind = OPTION_STRING,
	 .offset = FIELD(opentsdb),
	 .value = "URL",
	 .help = "the OpenTSDB of the site, http(s)://[USER:PASSWORD@]HOST:PORT, where the series "
		 "of structures go (default: none)",
	 .secret = true},
	{.name = "opentsdb-body-max",
	 .kind = OPTION_UINT,
	 .offset = FIELD(opentsdb_body_max),
	 .value = "BYTES",
	 .help = "the largest body that it takes",
	 .by_default = "8192",
	 .min = 1024,
	 .max = 16777216},
	{.name = "spool",
	 .kind = OPTION_STRING,
	 .offset = FIELD(spool),
	 .value = "DIR",
	 .help = "where points wait while it cannot be reached; none: in memory, a restart loses "
		 "them (default: /var/lib/ebb/spool/controller for root, else "
		 "~/.local/state/ebb/spool/controller)"},
	{.name = "spool-max",
	 .kind = OPTION_UINT,
	 .offset = FIELD(spool_max),
	 .value = "MIB",
	 .help = "how much may wait; beyond it the oldest points are dropped",
	 .by_default = "256",
	 .min = 1,
	 .max = 1048576},
	{.name = "ca-file",
	 .kind = OPTION_STRING,
	 .offset = FIELD(ca_file),
	 .value = "FILE",
	 .help = "certificates that https servers are checked against (default: the system's)",
	 .reloads = true},
	{.name = "token-file",
	 .kind = OPTION_STRING,
	 .offset = FIELD(token_file),
	 .value = "FILE",
	 .help = "the secret that changes must carry, and that the agents are shown; a second line "
		 "is accepted too, while it is replaced",
	 .reloads = true},
	{.name = "tls-cert",
	 .kind = OPTION_STRING,
	 .offset = FIELD(tls_cert),
	 .value = "FILE",
	 .help = "speak TLS on --listen, with this certificate and its chain (PEM)",
	 .reloads = true},
	{.name = "tls-key",
	 .kind = OPTION_STRING,
	 .offset = FIELD(tls_key),
	 .value = "FILE",
	 .help = "the key of --tls-cert",
	 .reloads = true},
	{.name = "tls-client-ca",
	 .kind = OPTION_STRING,
	 .offset = FIELD(tls_client_ca),
	 .value = "FILE",
	 .help = "let only clients in that have a certificate of this CA",
	 .reloads = true},
	{.name = "client-cert",
	 .kind = OPTION_STRING,
	 .offset = FIELD(client_cert),
	 .value = "FILE",
	 .help = "the certificate shown to https servers that ask for one",
	 .reloads = true},
	{.name = "client-key",
	 .kind = OPTION_STRING,
	 .offset = FIELD(client_key),
	 .value = "FILE",
	 .help = "the key of --client-cert",
	 .reloads = true},
	{.name = "threads",
	 .kind = OPTION_UINT,
	 .offset = FIELD(threads),
	 .value = "N",
	 .help = "threads that answer requests",
	 .by_default = "4",
	 .min = 1,
	 .max = 64},
	{.name = "log-level",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(log_level),
	 .value = "LEVEL",
	 .help = "error, warning, info or debug",
	 .by_default = "info",
	 .choices = log_choices,
	 .reloads = true},
};

static const struct config_program program = {
	.name = "ebb-controller",
	.section = "controller",
	.summary = "keeps the state, guards and scales the containers that agents report",
	.options = option_table,
	.n_options = ARRAY_SIZE(option_table),
};

static bool is_http_url(const char *url)
{
	size_t scheme = strncmp(url, "http://", 7) == 0    ? 7
			: strncmp(url, "https://", 8) == 0 ? 8
							   : 0;

	return scheme && url[scheme] && url[scheme] != '/';
}

/* NULL, or what is wrong. Caller frees. */
static char *check_opentsdb(const struct controller_options *options)
{
	char *text = NULL;

	if (!options->opentsdb) {
		if (options->spool && *options->spool && strcmp(options->spool, "none") != 0 &&
		    asprintf(&text,
			     "--spool %s is for points that wait for OpenTSDB: give "
			     "--opentsdb URL too, or take it out",
			     options->spool) > 0)
			return text;
		return NULL;
	}
	/* It may have a password, in whatever place: it is not shown. */
	if (!is_http_url(options->opentsdb) &&
	    asprintf(&text, "--opentsdb must be a URL like http://HOST:4242") > 0)
		return text;
	return NULL;
}

struct identity_files controller_identity_files(const struct controller_options *options)
{
	return (struct identity_files){
		.token_file = options->token_file,
		.tls_cert = options->tls_cert,
		.tls_key = options->tls_key,
		.tls_client_ca = options->tls_client_ca,
		.ca_file = options->ca_file,
		.client_cert = options->client_cert,
		.client_key = options->client_key,
	};
}

char *controller_advertise(const char *advertise, const char *bound, bool tls)
{
	const char *scheme = tls ? "https://" : "http://";
	char name[256] = "localhost", *url = NULL;
	const char *port = strrchr(bound, ':');
	int r;

	if (advertise) {
		size_t n = strlen(advertise);

		while (n && advertise[n - 1] == '/')
			n--;
		return strndup(advertise, n);
	}
	if (strncmp(bound, "unix:", 5) == 0)
		return strdup(bound);
	if (strncmp(bound, "0.0.0.0:", 8) == 0 || strncmp(bound, "[::]:", 5) == 0) {
		gethostname(name, sizeof(name) - 1);
		r = asprintf(&url, "%s%s%s", scheme, name, port);
	} else {
		r = asprintf(&url, "%s%s", scheme, bound);
	}
	return r < 0 ? NULL : url;
}

char *controller_options_check(const struct controller_options *options)
{
	struct identity_files files = controller_identity_files(options);
	const char *wrong = identity_files_check(&files);
	char *text = NULL;

	if (wrong)
		return strdup(wrong);
	if (strncmp(options->listen, "unix:", 5) == 0 && options->tls_cert)
		return strdup("--tls-cert is for a network: a unix socket has none; take it out, "
			      "or listen on ADDR:PORT");
	if (options->advertise &&
	    (!is_http_url(options->advertise) || strlen(options->advertise) > 255 ||
	     strpbrk(options->advertise, " @\"\\")) &&
	    asprintf(&text, "--advertise %s is no address: write http://HOST:PORT",
		     options->advertise) > 0)
		return text;

	if (!address_is_local(options->listen) && !options->token_file &&
	    asprintf(&text,
		     "--listen %s can be reached from other machines, and whoever reaches it could "
		     "set limits: give a --token-file, or listen on 127.0.0.1 or unix:PATH",
		     options->listen) > 0)
		return text;
	if (!store_uri_is_shared(options->state) && options->state_credentials &&
	    asprintf(&text,
		     "--state-credentials are those of a CouchDB, but the state is %s: take the "
		     "option out, or set --state to the URL of the CouchDB",
		     options->state) > 0)
		return text;
	text = check_opentsdb(options);
	return text ? text : store_uri_check(options->state);
}

char *controller_default_state(bool root, const char *xdg_state, const char *home)
{
	char *state = NULL;
	int r;

	if (root)
		r = asprintf(&state, "sqlite:/var/lib/ebb/state.db");
	/* A relative one is to be ignored, says the XDG base directory specification. */
	else if (xdg_state && xdg_state[0] == '/')
		r = asprintf(&state, "sqlite:%s/ebb/state.db", xdg_state);
	else if (home && home[0] == '/')
		r = asprintf(&state, "sqlite:%s/.local/state/ebb/state.db", home);
	else
		return NULL;
	return r < 0 ? NULL : state;
}

int controller_spool(const char *opentsdb, const char *default_state, char **spool)
{
	const char *path = default_state ? default_state + strlen("sqlite:") : NULL;

	if (*spool && (!**spool || strcmp(*spool, "none") == 0)) {
		free(*spool);
		*spool = NULL;
	} else if (!*spool && opentsdb && path) {
		if (asprintf(spool, "%.*sspool/controller", (int)(strrchr(path, '/') - path) + 1,
			     path) < 0) {
			*spool = NULL;
			return -ENOMEM;
		}
	}
	return 0;
}

char *controller_audit_path(const char *state, const char *default_state)
{
	const char *uri = store_uri_is_shared(state) ? default_state ?: "" : state;
	const char *path = strncmp(uri, "sqlite:", 7) == 0 ? uri + 7 : uri;
	const char *slash = strrchr(path, '/');
	char *audit = NULL;

	if (asprintf(&audit, "%.*saudit.jsonl", slash ? (int)(slash - path) + 1 : 0, path) < 0)
		return NULL;
	return audit;
}

/* A service has a place of its own for it. */
static char *default_state(void)
{
	const char *service = getenv("STATE_DIRECTORY");
	char *state = NULL;

	if (!service || service[0] != '/')
		return controller_default_state(geteuid() == 0, getenv("XDG_STATE_HOME"),
						getenv("HOME"));
	/* The first, should the unit name several. */
	if (asprintf(&state, "sqlite:%.*s/state.db", (int)strcspn(service, ":"), service) < 0)
		return NULL;
	return state;
}

int controller_options_load(int argc, char **argv, struct controller_options *options)
{
	_cleanup_free_ char *wrong = NULL;
	_cleanup_free_ char *by_default = NULL;
	int r;

	r = config_load(&program, argc, argv, options);
	if (r != CONFIG_OK)
		return r;
	by_default = default_state();
	if (!options->audit && (options->state || by_default))
		options->audit = controller_audit_path(options->state ?: by_default, by_default);
	if (!options->state && by_default)
		options->state = strdup(by_default);
	if (!options->state) {
		log_error("No place for the state: set --state sqlite:PATH, or HOME");
		return -EINVAL;
	}
	wrong = controller_options_check(options);
	if (wrong) {
		log_error("%s", wrong);
		return -EINVAL;
	}
	options->argc = argc;
	options->argv = argv;
	r = controller_spool(options->opentsdb, by_default, &options->spool);
	return r < 0 ? log_error_errno(r, "spool") : CONFIG_OK;
}

int controller_options_reload(struct controller_options *options)
{
	struct controller_options fresh = {0};
	char changed[512];
	int r = controller_options_load(options->argc, options->argv, &fresh);

	if (r == CONFIG_OK) {
		config_adopt(&program, options, &fresh, changed, sizeof(changed));
		if (*changed)
			log_warning("Changed, but only a restart takes it over: %s", changed);
	}
	controller_options_clear(&fresh);
	return r;
}

void controller_options_clear(struct controller_options *options)
{
	config_clear(&program, options);
}
