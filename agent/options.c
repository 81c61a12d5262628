/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/tsdb_metrics.h"
#include "ebb/util.h"
#include "engine_files.h"
#include "sampler.h"
#include "subtree.h"

/* In the order of their enums. */
static const char *const sampler_choices[] = {"auto", "held", "walk", "files", NULL};
static const char *const cpu_choices[] = {"quota", "weight", NULL};
static const char *const switch_choices[] = {"off", "on", NULL};
static const char *const log_choices[] = {"error", "warning", "info", "debug", NULL};

#define FIELD(field) offsetof(struct agent_options, field)

#define SPOOL_OF_ROOT "/var/lib/ebb/spool/agent"
#define PIN_DIR       "/sys/fs/bpf/ebb"
#define NAMES_OF_ROOT "/var/lib/ebb/names"

static const struct option_spec option_table[] = {
	{.name = "listen",
	 .kind = OPTION_STRING,
	 .offset = FIELD(listen),
	 .value = "ADDR:PORT|unix:PATH",
	 .help = "where the API listens; beyond loopback it needs --token-file",
	 .by_default = "127.0.0.1:8000"},
	{.name = "advertise",
	 .kind = OPTION_STRING,
	 .offset = FIELD(advertise),
	 .value = "URL",
	 .help = "the API's address as the controller reaches it, when it differs from --listen"},
	{.name = "controller",
	 .kind = OPTION_LIST,
	 .offset = FIELD(controllers),
	 .value = "URL",
	 .help = "the controllers of the site, http(s)://HOST:PORT; the one that leads is fed. "
		 "Without it nothing is sent"},
	{.name = "name",
	 .kind = OPTION_STRING,
	 .offset = FIELD(name),
	 .value = "HOST",
	 .help = "name of this host in the controller (default: the node name)"},
	{.name = "containers",
	 .kind = OPTION_LIST,
	 .offset = FIELD(containers),
	 .value = "GLOB",
	 .help = "cgroups that are containers too, relative to the cgroup root: 'batch/*'"},
	{.name = "exclude",
	 .kind = OPTION_LIST,
	 .offset = FIELD(exclude),
	 .value = "GLOB",
	 .help = "containers to leave alone: their names, with a '/' cgroup paths, or "
		 "engine=, image=, pod=, namespace=, user= and a pattern",
	 .reloads = true},
	{.name = "engine-state",
	 .kind = OPTION_LIST,
	 .offset = FIELD(engine_state),
	 .value = "ENGINE=DIR",
	 .help = "where an engine keeps its state, when not where it usually does: "
		 "docker=/data/docker"},
	{.name = "name-record",
	 .kind = OPTION_STRING,
	 .offset = FIELD(name_record),
	 .value = "FILE",
	 .help = "where it is kept which of several containers a name belongs to; none: nowhere "
		 "(default: /var/lib/ebb/names for root with the usual --pin-dir, else none)"},
	{.name = "period",
	 .kind = OPTION_UINT,
	 .offset = FIELD(period_ms),
	 .value = "MS",
	 .help = "milliseconds between two samples",
	 .by_default = "100",
	 .min = 10,
	 .max = 10000},
	{.name = "sampler",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(sampler),
	 .value = "KIND",
	 .help = "auto, held, walk or files",
	 .by_default = "auto",
	 .choices = sampler_choices},
	{.name = "reflex",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(reflex),
	 .value = "on|off",
	 .help = "raise the CPU or memory of a guarded container at once, inside of what the "
		 "controller leased for that",
	 .by_default = "on",
	 .choices = switch_choices},
	/* 128 bytes of map each: half a MiB, of which only what is used is ever touched. */
	{.name = "max-containers",
	 .kind = OPTION_UINT,
	 .offset = FIELD(max_containers),
	 .value = "N",
	 .help = "containers sampled at most",
	 .by_default = "4096",
	 .min = 1,
	 .max = 65536},
	{.name = "cpu-mode",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(cpu_mode),
	 .value = "MODE",
	 .help = "how CPU limits are set: quota caps what a container gets; weight shares the CPUs "
		 "in proportion when they are all in use, and caps nothing",
	 .by_default = "quota",
	 .choices = cpu_choices},
	{.name = "enable-controllers",
	 .kind = OPTION_LIST,
	 .offset = FIELD(enable_controllers),
	 .value = "NAMES",
	 .help = "cgroup v2: have the ancestors of containers hand these controllers down "
		 "(cgroup.subtree_control): cpu, cpuset, memory, io; comma between them. Otherwise "
		 "nothing is written there"},
	{.name = "disk",
	 .kind = OPTION_STRING,
	 .offset = FIELD(disk),
	 .value = "PATH",
	 .help = "a path on the disk whose bandwidth is limited",
	 .by_default = "/"},
	{.name = "pin-dir",
	 .kind = OPTION_STRING,
	 .offset = FIELD(pin_dir),
	 .value = "DIR",
	 .help = "where the BPF maps are pinned; a second agent on this host needs its own",
	 .by_default = PIN_DIR},
	{.name = "opentsdb",
	 .kind = OPTION_STRING,
	 .offset = FIELD(opentsdb),
	 .value = "URL",
	 .help = "the OpenTSDB that series are written to, http(s)://[USER:PASSWORD@]HOST:4242 "
		 "(default: none)",
	 .secret = true},
	{.name = "opentsdb-period",
	 .kind = OPTION_UINT,
	 .offset = FIELD(opentsdb_period_s),
	 .value = "S",
	 .help = "seconds between two points of a series",
	 .by_default = "5",
	 .min = 1,
	 .max = 3600},
	{.name = "opentsdb-sets",
	 .kind = OPTION_LIST,
	 .offset = FIELD(opentsdb_sets),
	 .value = "SETS",
	 .help = "which series: container, process (the same per pid), host; comma between them",
	 .by_default = "container"},
	{.name = "opentsdb-body-max",
	 .kind = OPTION_UINT,
	 .offset = FIELD(opentsdb_body_max),
	 .value = "BYTES",
	 .help = "the largest body that the OpenTSDB takes",
	 .by_default = "8192",
	 .min = 1024,
	 .max = 16777216},
	{.name = "spool",
	 .kind = OPTION_STRING,
	 .offset = FIELD(spool),
	 .value = "DIR",
	 .help = "where points wait while it cannot be reached; none: in memory, a restart loses "
		 "them (default: /var/lib/ebb/spool/agent for root, else none)"},
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
	{.name = "print-mkmetric",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(print_mkmetric),
	 .action = true,
	 .help = "print the name of every metric, for tsdb mkmetric, and end"},
	{.name = "assign-metrics",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(assign_metrics),
	 .action = true,
	 .help = "have the OpenTSDB make every metric, and end"},
	{.name = "token-file",
	 .kind = OPTION_STRING,
	 .offset = FIELD(token_file),
	 .value = "FILE",
	 .help = "the secret that orders must carry, and that the controller is shown; a second "
		 "line is accepted too, while it is replaced",
	 .reloads = true},
	{.name = "restore-on-exit",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(restore_on_exit),
	 .help = "at a clean stop put limits back to what they were before this agent changed them "
		 "(default: they stay)"},
	{.name = "keep-privileges",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(keep_privileges),
	 .help = "do not give up capabilities and system calls once started (for debugging)"},
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
	.name = "ebb-agent",
	.section = "agent",
	.summary = "samples this host's containers, feeds the controller and applies limits",
	.options = option_table,
	.n_options = ARRAY_SIZE(option_table),
};

static const char *problem(char *buffer, size_t size, const char *format, const char *what)
{
	snprintf(buffer, size, format, what);
	return buffer;
}

static const struct {
	const char *name;
	enum tsdb_set set;
} series_sets[] = {
	{"container", TSDB_SET_CONTAINER},
	{"process", TSDB_SET_PROCESS},
	{"host", TSDB_SET_HOST},
};

static unsigned series_set(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(series_sets); i++)
		if (!strcmp(name, series_sets[i].name))
			return series_sets[i].set;
	return 0;
}

unsigned agent_opentsdb_sets(const struct agent_options *options)
{
	unsigned sets = 0;

	for (size_t i = 0; i < options->opentsdb_sets.n; i++)
		sets |= series_set(options->opentsdb_sets.items[i]);
	return sets;
}

/* The URL may hold a password: it is not shown. */
static const char *check_opentsdb(const struct agent_options *options, char *buffer, size_t size)
{
	const char *url = options->opentsdb;

	for (size_t i = 0; i < options->opentsdb_sets.n; i++)
		if (!series_set(options->opentsdb_sets.items[i]))
			return problem(buffer, size,
				       "--opentsdb-sets %s is no set: write container, process, "
				       "host or several of them with commas",
				       options->opentsdb_sets.items[i]);
	if (url && strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
		return "--opentsdb must be a URL like http://HOST:4242";
	if (!url && options->assign_metrics)
		return "--assign-metrics needs --opentsdb URL: where to make them";
	if (!url && options->spool && *options->spool && strcmp(options->spool, "none"))
		return problem(buffer, size,
			       "--spool %s is for points that wait for OpenTSDB: give --opentsdb "
			       "URL too, or take it out",
			       options->spool);
	return NULL;
}

struct identity_files agent_identity_files(const struct agent_options *options)
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

const char *agent_options_check(const struct agent_options *options, char *buffer, size_t size)
{
	struct identity_files files = agent_identity_files(options);
	const char *files_wrong = identity_files_check(&files);
	if (!name_is_sane(options->name, 255) || strchr(options->name, '/'))
		return problem(buffer, size,
			       "\"%s\" cannot name a host: 1 to 255 bytes of UTF-8 without '/' and "
			       "control characters; set --name",
			       options->name);
	if (files_wrong)
		return files_wrong;
	if (!strncmp(options->listen, "unix:", 5) && options->tls_cert)
		return "--tls-cert is for a network: a unix socket has none; take it out, or "
		       "listen on ADDR:PORT";
	if (!address_is_local(options->listen) && !options->token_file)
		return problem(buffer, size,
			       "--listen %s can be reached from other machines, and whoever "
			       "reaches it could set limits: give a --token-file, or listen on "
			       "127.0.0.1 or unix:PATH",
			       options->listen);
	for (size_t i = 0; i < options->controllers.n; i++) {
		const char *url = options->controllers.items[i];

		if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8) &&
		    strncmp(url, "unix:", 5))
			return problem(buffer, size,
				       "--controller %s is no address: write http://HOST:PORT or "
				       "unix:PATH",
				       url);
	}
	if (options->advertise && strncmp(options->advertise, "http://", 7) &&
	    strncmp(options->advertise, "https://", 8) && strncmp(options->advertise, "unix:", 5))
		return problem(buffer, size,
			       "--advertise %s is no address: write http://HOST:PORT or unix:PATH",
			       options->advertise);
	if (options->pin_dir[0] != '/')
		return problem(buffer, size, "--pin-dir %s must be an absolute path",
			       options->pin_dir);
	for (size_t i = 0; i < options->enable_controllers.n; i++) {
		unsigned one;

		if (subtree_parse(options->enable_controllers.items[i], &one) < 0)
			return problem(buffer, size,
				       "--enable-controllers %s is no controller that Ebb sets: "
				       "write cpu, cpuset, memory, io or several of them with "
				       "commas",
				       options->enable_controllers.items[i]);
	}
	if (options->disk[0] != '/')
		return problem(buffer, size, "--disk %s must be an absolute path", options->disk);
	for (size_t i = 0; i < options->engine_state.n; i++) {
		const char *given = options->engine_state.items[i];
		const char *wrong = engine_state_check(given);

		if (wrong) {
			snprintf(buffer, size, "--engine-state %s %s", given, wrong);
			return buffer;
		}
	}
	if (options->name_record && options->name_record[0] != '/' && *options->name_record &&
	    strcmp(options->name_record, "none"))
		return problem(buffer, size, "--name-record %s must be an absolute path, or none",
			       options->name_record);
	return check_opentsdb(options, buffer, size);
}

int agent_spool(bool root, const char *opentsdb, char **spool)
{
	if (*spool && (!**spool || !strcmp(*spool, "none"))) {
		free(*spool);
		*spool = NULL;
	} else if (!*spool && opentsdb && root) {
		*spool = strdup(SPOOL_OF_ROOT);
		if (!*spool)
			return -ENOMEM;
	}
	return 0;
}

int agent_name_record(bool root, const char *pin_dir, char **record)
{
	if (*record && (!**record || !strcmp(*record, "none"))) {
		free(*record);
		*record = NULL;
	} else if (!*record && root && !strcmp(pin_dir, PIN_DIR)) {
		*record = strdup(NAMES_OF_ROOT);
		if (!*record)
			return -ENOMEM;
	}
	return 0;
}

int agent_options_load(int argc, char **argv, struct agent_options *options)
{
	char buffer[512];
	int r = config_load(&program, argc, argv, options);
	if (r != CONFIG_OK)
		return r;

	if (!options->name) {
		char node[256] = "";

		gethostname(node, sizeof(node) - 1);
		options->name = strdup(node);
		if (!options->name)
			return log_error_errno(ENOMEM, "host name");
	}

	const char *wrong = agent_options_check(options, buffer, sizeof(buffer));
	if (wrong) {
		log_error("%s", wrong);
		return -EINVAL;
	}
	options->argc = argc;
	options->argv = argv;
	r = agent_name_record(geteuid() == 0, options->pin_dir, &options->name_record);
	if (r >= 0)
		r = agent_spool(geteuid() == 0, options->opentsdb, &options->spool);
	return r < 0 ? log_error_errno(r, "spool") : CONFIG_OK;
}

int agent_options_reload(struct agent_options *options)
{
	struct agent_options fresh = {0};
	char changed[512];
	int r = agent_options_load(options->argc, options->argv, &fresh);

	if (r == CONFIG_OK) {
		config_adopt(&program, options, &fresh, changed, sizeof(changed));
		if (*changed)
			log_warning("changed, but only a restart takes it over: %s", changed);
	}
	agent_options_clear(&fresh);
	return r;
}

void agent_options_clear(struct agent_options *options)
{
	config_clear(&program, options);
}

char *agent_api_url(const char *advertise, const char *bound, const char *host_name, bool tls)
{
	const char *scheme = tls ? "https://" : "http://";
	char *url;

	if (advertise)
		return strdup(advertise);
	if (!strncmp(bound, "unix:", 5))
		return strdup(bound);

	const char *port = strrchr(bound, ':');
	if (port && (!strncmp(bound, "0.0.0.0:", 8) || !strncmp(bound, "[::]:", 5))) {
		if (asprintf(&url, "%s%s%s", scheme, host_name, port) < 0)
			return NULL;
		return url;
	}
	if (asprintf(&url, "%s%s", scheme, bound) < 0)
		return NULL;
	return url;
}

/* The port may be left out. */
static bool url_is_local(const char *url)
{
	const char *host = strstr(url, "://");
	char address[512];

	if (!host)
		return address_is_local(url);
	host += 3;
	int n = (int)strcspn(host, "/");
	/* The last colon after the brackets of IPv6 is the port's. */
	const char *end = memrchr(host, ']', (size_t)n);
	bool port = strchr(end ? end : host, ':') != NULL;
	snprintf(address, sizeof(address), "%.*s%s", MIN(n, 500), host, port ? "" : ":80");
	return address_is_local(address);
}

bool agent_api_is_reachable(const char *controller, const char *api)
{
	return url_is_local(controller) || !url_is_local(api);
}
