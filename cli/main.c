/* SPDX-License-Identifier: Apache-2.0 */
/* ebb: the command line. Finds the verb; each verb is a file of its own. */
#include <langinfo.h>
#include <locale.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "help_forms.h"
#include "lead.h"
#include "request.h"
#include "settings.h"
#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/http_client.h"
#include "ebb/identity.h"
#include "ebb/util.h"

static const struct verb *const verbs[] = {
	&verb_ps,        &verb_top,         &verb_guard,    &verb_unguard, &verb_set,
	&verb_subscribe, &verb_desubscribe, &verb_app,      &verb_user,    &verb_apply,
	&verb_rules,     &verb_limits,      &verb_service,  &verb_why,     &verb_doctor,
	&verb_sanity,    &verb_migrate,     &verb_simulate, &verb_rule,    &verb_reflex,
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static void print_help(FILE *out)
{
	fputs("ebb: looks after containers whose limits follow what they use\n\n"
	      "Usage: ebb [OPTION...] VERB [ARGUMENT...]\n\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-11s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("  help        more about a verb: ebb help VERB\n\n"
	      "Options, before or after the verb:\n"
	      "  --controller URL   the controller [EBB_CONTROLLER or http://127.0.0.1:5000]; of\n"
	      "                     several, separated by commas, the one that leads\n"
	      "  --agent URL        this host's agent, for doctor [EBB_AGENT or "
	      "http://127.0.0.1:8000]\n"
	      "  --token-file FILE  a file with the token, where one is asked for "
	      "[EBB_TOKEN_FILE]\n"
	      "  --ca-file FILE     who vouches for https servers [EBB_CA_FILE, or the system's]\n"
	      "  --client-cert FILE, --client-key FILE  the certificate shown to those that ask for\n"
	      "                     one [EBB_CLIENT_CERT, EBB_CLIENT_KEY]\n"
	      "  --config FILE      what these are when they are not given, ebb.conf(5)\n"
	      "                     [EBB_CONFIG or " SETTINGS_FILE "]\n"
	      "  --json             print JSON, where something is printed\n"
	      "  --help, --version\n\n"
	      "Exit status: 0 done, 1 failed, 2 not understood. NO_COLOR turns colours off.\n",
	      out);
}

static void print_verb_help(const struct verb *verb)
{
	printf("Usage: ebb %s%s%s\n\n%s\n", verb->name, *verb->usage ? " " : "", verb->usage,
	       verb->summary);
	if (*verb->help)
		printf("\n%s", verb->help);
}

static int help(const char *name)
{
	const struct verb *verb;

	if (!name) {
		print_help(stdout);
		return EXIT_OK;
	}
	verb = find_verb(name);
	if (!verb)
		return cli_usage(NULL, "there is no verb '%s'", name);
	print_verb_help(verb);
	return EXIT_OK;
}

static bool wants_color(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && strcmp(term, "dumb");
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}

static int run(struct cli *cli, char **argv)
{
	const char *config = NULL, *error, *word;
	struct settings_given given = {};
	struct settings settings = {};
	struct identity_files files;
	bool version = false;
	const struct arg_option options[] = {
		{"--controller", 0, NULL, &given.controller},
		{"--agent", 0, NULL, &given.agent},
		{"--token-file", 0, NULL, &given.token_file},
		{"--config", 0, NULL, &config},
		{"--json", 0, &cli->json, NULL},
		{"--ca-file", 0, NULL, &given.ca_file},
		{"--client-cert", 0, NULL, &given.client_cert},
		{"--client-key", 0, NULL, &given.client_key},
		{"--help", 'h', &cli->help, NULL},
		{"--version", 0, &version, NULL},
	};
	const struct verb *verb;
	int argc, status = EXIT_OK;

	if (argv[0] && !strncmp(argv[0], "--help=", 7) &&
	    help_form(argv[0] + 7, verbs, ARRAY_SIZE(verbs)) == 0)
		return EXIT_OK;
	argc = args_parse(argv, options, ARRAY_SIZE(options), true, &error, &word);
	if (argc < 0)
		return cli_usage(NULL, "%s: %s", word, error);
	if (version) {
		printf("ebb %s\n", ebb_version());
		return EXIT_OK;
	}
	if (argc && !strcmp(argv[0], "help"))
		return help(argv[1]);
	if (cli->help)
		return help(argv[0]);
	if (!argc) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	verb = find_verb(argv[0]);
	if (!verb)
		return cli_usage(NULL, "there is no verb '%s'", argv[0]);

	if (settings_load(config, &given, &settings) < 0)
		return EXIT_USAGE;
	files = (struct identity_files){
		.ca_file = settings.ca_file,
		.client_cert = settings.client_cert,
		.client_key = settings.client_key,
	};
	error = identity_files_check(&files);
	if (error)
		status = cli_usage(NULL, "%s", error);
	else if (identity_new(&files, &cli->identity) < 0)
		status = EXIT_FAILED;
	cli->controllers = TAKE_PTR(settings.controller);
	cli->agent = address_normalize(settings.agent);
	cli->token_file = TAKE_PTR(settings.token_file);
	cli->token_by_default = settings.token_by_default;
	settings_clear(&settings);
	if (status != EXIT_OK)
		return status;
	if (!cli->agent || http_session_new(&cli->session) < 0 ||
	    (!verb->offline && lead_choose(cli) < 0))
		return cli_fail("out of memory");
	/* A verb without a controller needs none, and doctor reports a bad file itself. Reading is
	 * allowed to everybody on this machine: one goes without until the controller asks. */
	if (cli->token_file && verb != &verb_doctor && !verb->offline &&
	    !(cli->token_by_default && access(cli->token_file, R_OK) < 0) &&
	    token_read_file(cli->token_file, &cli->token) < 0)
		return EXIT_FAILED;
	if (verb->shows && cli->standby_note)
		cli_fail("%s", cli->standby_note);
	return verb->run(cli, argc, argv);
}

int main(int argc, char **argv)
{
	struct cli cli = {};
	int status;

	setlocale(LC_CTYPE, "");
	cli.color = wants_color();
	cli.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	cli.width = terminal_width();
	status = run(&cli, argv + 1);
	free(cli.controllers);
	free(cli.controller);
	free(cli.standby_note);
	http_session_free(cli.session);
	identity_free(cli.identity);
	free(cli.agent);
	free(cli.token);
	free(cli.token_file);
	/* A full disk or a closed pipe under standard output is a failure too. */
	if (fflush(stdout) && status == EXIT_OK)
		status = EXIT_FAILED;
	return status;
}
