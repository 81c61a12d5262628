/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "test.h"

static const char *const levels[] = {"error", "warning", "info", NULL};

struct options {
	char *listen, *name;
	struct string_list globs;
	unsigned period, port;
	bool pin, dry;
	int level;
	char *state;
};

#define FIELD(field) offsetof(struct options, field)

static const struct option_spec table[] = {
	{.name = "listen",
	 .kind = OPTION_STRING,
	 .offset = FIELD(listen),
	 .value = "ADDR:PORT",
	 .help = "where it listens",
	 .by_default = "127.0.0.1:8000"},
	{.name = "name",
	 .kind = OPTION_STRING,
	 .offset = FIELD(name),
	 .value = "HOST",
	 .help = "its name (default: the node name)"},
	{.name = "containers",
	 .kind = OPTION_LIST,
	 .offset = FIELD(globs),
	 .value = "GLOB",
	 .help = "what to look at",
	 .by_default = "a/*, b/*"},
	{.name = "period",
	 .kind = OPTION_UINT,
	 .offset = FIELD(period),
	 .value = "MS",
	 .help = "between samples",
	 .by_default = "100",
	 .min = 10,
	 .max = 10000},
	{.name = "port",
	 .kind = OPTION_UINT,
	 .offset = FIELD(port),
	 .value = "PORT",
	 .help = "no limits but the type"},
	{.name = "pin",
	 .kind = OPTION_BOOL,
	 .offset = FIELD(pin),
	 .help = "pin it",
	 .by_default = "yes"},
	{.name = "state",
	 .kind = OPTION_STRING,
	 .offset = FIELD(state),
	 .value = "URL",
	 .help = "where it is kept",
	 .secret = true},
	{.name = "dry-run", .kind = OPTION_BOOL, .offset = FIELD(dry), .help = "change nothing"},
	{.name = "log-level",
	 .kind = OPTION_CHOICE,
	 .offset = FIELD(level),
	 .value = "LEVEL",
	 .help = "how much is told",
	 .by_default = "info",
	 .choices = levels},
};

static const struct config_program program = {
	.name = "ebb-test",
	.section = "test",
	.summary = "tests",
	.options = table,
	.n_options = ARRAY_SIZE(table),
};

static struct options options;
static char said[16384];
static char file_path[64];

static void end(void *arg)
{
	config_clear(&program, &options);
	if (*file_path)
		unlink(file_path);
	*file_path = '\0';
}

/* What was said on `stream_fd` stays in said[]. "FILE" among the arguments stands for the path. */
static int load(const char *file, int stream_fd, int argc, const char *const *args)
{
	char *argv[16] = {"ebb-test"};
	static char eq[96];
	FILE *out = tmpfile();
	int kept = dup(stream_fd), r;

	CHECK(out && kept >= 0 && argc < 15);
	config_clear(&program, &options);
	if (*file_path)
		unlink(file_path);
	snprintf(file_path, sizeof(file_path), "/tmp/ebb-test-config-XXXXXX");
	_cleanup_close_ int fd = mkstemp(file_path);
	CHECK(fd >= 0);
	test_n_ends = 0;
	test_at_end(end, NULL);
	if (file)
		CHECK_INT(write(fd, file, strlen(file)), strlen(file));
	for (int i = 0; i < argc; i++)
		argv[i + 1] = !strcmp(args[i], "FILE") ? file_path : (char *)args[i];
	if (argc && !strcmp(args[0], "--config=FILE")) {
		snprintf(eq, sizeof(eq), "--config=%s", file_path);
		argv[1] = eq;
	}
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(out), stream_fd);
	r = config_load(&program, argc + 1, argv, &options);
	fflush(stdout);
	fflush(stderr);
	dup2(kept, stream_fd);
	close(kept);
	rewind(out);
	size_t n = fread(said, 1, sizeof(said) - 1, out);
	said[n] = '\0';
	fclose(out);
	return r;
}

#define LOAD(file, ...)                                                   \
	({                                                                \
		const char *const _args[] = {__VA_ARGS__};                \
		load(file, STDERR_FILENO, (int)ARRAY_SIZE(_args), _args); \
	})
#define SAYS(file, text, ...)                                                                  \
	do {                                                                                   \
		CHECK_INT(LOAD(file, __VA_ARGS__), -EINVAL);                                   \
		if (!strstr(said, text))                                                       \
			TEST_FAIL("said \"%s\", want \"%s\"", said, text);                     \
		CHECK(strchr(said, '\n') && !strchr(said, '\n')[1]);                           \
		CHECK(!options.listen && !options.globs.n && !options.period && !options.pin); \
	} while (0)

TEST(defaults)
{
	CHECK_INT(load(NULL, STDERR_FILENO, 0, NULL), 0);
	CHECK_STR(options.listen, "127.0.0.1:8000");
	CHECK(!options.name);
	CHECK_INT(options.globs.n, 2);
	CHECK_STR(options.globs.items[1], "b/*");
	CHECK_INT(options.period, 100);
	CHECK_INT(options.port, 0);
	CHECK(options.pin && !options.dry);
	CHECK_INT(options.level, 2);
	CHECK_STR(said, "");
}

TEST(arguments)
{
	CHECK_INT(LOAD(NULL, "--listen", "[::1]:1", "--name=a=b", "--containers=x", "--containers",
		       "y, ,z", "--period", "10", "--pin=no", "--dry-run", "--log-level", "error",
		       "--port", "4294967295"),
		  0);
	CHECK_STR(options.listen, "[::1]:1");
	CHECK_STR(options.name, "a=b");
	CHECK_INT(options.globs.n, 3);
	CHECK_STR(options.globs.items[0], "x");
	CHECK_STR(options.globs.items[1], "y");
	CHECK_STR(options.globs.items[2], "z");
	CHECK_INT(options.period, 10);
	CHECK_INT(options.port, 4294967295u);
	CHECK(!options.pin && options.dry);
	CHECK_INT(options.level, 0);
	CHECK_INT(LOAD(NULL, "--period", "20", "--period=30"), 0);
	CHECK_INT(options.period, 30);
}

TEST(file_then_arguments)
{
	static const char file[] = "# comment\n"
				   "[other]\n"
				   "whatever = 1\n"
				   "[test]\n"
				   "listen = unix:/run/x   ; inline\n"
				   "containers = p, q\n"
				   "containers = r\n"
				   "period: 50\n"
				   "dry-run = true\n"
				   "\n"
				   "log-level=warning\n";
	CHECK_INT(LOAD(file, "--period", "60", "--config", "FILE", "--name", "n"), 0);
	CHECK_STR(options.listen, "unix:/run/x");
	CHECK_STR(options.name, "n");
	CHECK_INT(options.globs.n, 3);
	CHECK_STR(options.globs.items[2], "r");
	CHECK_INT(options.period, 60);
	CHECK(options.dry && options.pin);
	CHECK_INT(options.level, 1);
	CHECK_INT(LOAD(file, "--config=FILE", "--containers", "s"), 0);
	CHECK_INT(options.globs.n, 1);
	CHECK_STR(options.globs.items[0], "s");
}

TEST(wrong_arguments)
{
	SAYS(NULL, "ebb-test: unknown option --perod, did you mean --period?\n", "--perod", "5");
	SAYS(NULL, "unknown option --lsiten, did you mean --listen?", "--lsiten=x");
	SAYS(NULL, "unknown option --container, did you mean --containers?", "--container", "x");
	SAYS(NULL, "unknown option --confg, did you mean --config?", "--confg", "x");
	SAYS(NULL, "unknown option --log, did you mean --log-level?", "--log", "x");
	SAYS(NULL, "unknown option --zzzzzz (--help lists all)", "--zzzzzz");
	SAYS(NULL, "unexpected argument \"x\"", "x");
	SAYS(NULL, "unexpected argument \"-p\"", "-p");
	SAYS(NULL, "unexpected argument \"--\"", "--");
	SAYS(NULL, "unexpected argument \"--=x\"", "--=x");
	SAYS(NULL, "unexpected argument \"a\\x0ab\"", "a\nb");
	SAYS(NULL, "--listen needs a value: ADDR:PORT", "--listen");
	SAYS(NULL, "--listen needs a value", "--listen=");
	SAYS(NULL, "--config needs a value: FILE", "--config");
	SAYS(NULL, "--period: \"abc\" is no number", "--period", "abc");
	SAYS(NULL, "--period: \"-5\" is no number", "--period", "-5");
	SAYS(NULL, "--period: 9 is outside 10 to 10000", "--period=9");
	SAYS(NULL, "--period: 10001 is outside 10 to 10000", "--period=10001");
	SAYS(NULL, "--port: 4294967296 is outside 0 to 4294967295", "--port=4294967296");
	SAYS(NULL, "--port: 99999999999999999999999 is outside", "--port=99999999999999999999999");
	SAYS(NULL, "--pin: \"maybe\" is neither yes nor no", "--pin=maybe");
	SAYS(NULL, "unexpected argument \"no\"", "--pin", "no");
	SAYS(NULL, "--log-level: \"loud\" is none of error, warning, info", "--log-level", "loud");
	/* A long name is no reason to overrun anything. */
	static char many[4000] = "--";
	memset(many + 2, 'x', sizeof(many) - 3);
	SAYS(NULL, "unknown option --xxxx", many);
}

TEST(wrong_files)
{
	SAYS("[test]\nperod = 5\n", ":2: unknown key \"perod\", did you mean \"period\"?",
	     "--config", "FILE");
	CHECK(!strncmp(said, "ebb-test: /tmp/ebb-test-config-", 31));
	SAYS("[test]\n\n\nperiod = 5\n", ":4: period: 5 is outside 10 to 10000", "--config",
	     "FILE");
	SAYS("period = 50\n", ":1: \"period\" is in no section; put it below [test]", "--config",
	     "FILE");
	SAYS("[test]\nperiod = 50\nperiod = 60\n", ":3: period is there twice", "--config", "FILE");
	SAYS("[test]\nperiod\n", ":2: this is no \"key = value\"", "--config", "FILE");
	SAYS("[test\nperiod = 50\n", ":1: this is no", "--config", "FILE");
	SAYS("[test]\nlisten =\n", ":2: listen needs a value", "--config", "FILE");
	SAYS("[test]\nlog-level = loud\n",
	     ":2: log-level: \"loud\" is none of error, warning, info", "--config", "FILE");
	SAYS("[test]\nconfig = x\n", ":2: unknown key \"config\"", "--config", "FILE");
	char text[2000] = "[test]\nname = ";
	size_t at = strlen(text);
	memset(text + at, 'n', sizeof(text) - at - 2);
	text[sizeof(text) - 2] = '\n';
	SAYS(text, ":2: a line may have ", "--config", "FILE");

	CHECK_INT(LOAD(NULL, "--config", "/nowhere/at/all"), -ENOENT);
	CHECK(strstr(said, "cannot read --config /nowhere/at/all: No such file or directory"));
	CHECK_INT(LOAD(NULL, "--config", "/"), -EINVAL);
	CHECK(strstr(said, "cannot read --config /: it is no file"));
}

TEST(a_file_for_others_is_told)
{
	CHECK_INT(LOAD("[agnet]\nperiod = 50\n", "--config", "FILE"), 0);
	CHECK(strstr(said, "no key below [test]"));
	CHECK_INT(LOAD("", "--config", "FILE"), 0);
	CHECK_STR(said, "");
	CHECK_INT(LOAD("\xef\xbb\xbf[test]\r\nperiod = 50\r\n", "--config", "FILE"), 0);
	CHECK_INT(options.period, 50);
}

TEST(help_and_version)
{
	const char *const help[] = {"--nonsense", "--help"};

	CHECK_INT(load(NULL, STDOUT_FILENO, 2, help), CONFIG_EXIT);
	CHECK(strstr(said, "Usage: ebb-test [OPTION...]\n"));
	CHECK(strstr(said, "\n  --listen ADDR:PORT  where it listens (default: 127.0.0.1:8000)\n"));
	CHECK(strstr(said, "\n  --name HOST         its name (default: the node name)\n"));
	CHECK(strstr(said, "\n  --dry-run           change nothing\n"));
	CHECK(strstr(said, "\n  --config FILE       "));
	CHECK(!options.listen);
	const char *const version[] = {"--version"};
	CHECK_INT(load(NULL, STDOUT_FILENO, 1, version), CONFIG_EXIT);
	CHECK(!strncmp(said, "ebb-test ", 9));
	CHECK_STR(strchr(said, ' ') + 1 + strlen(ebb_version()), "\n");
}

/* In argv of the process: `ps` shows what stands there. */
TEST(passwords_leave_the_command_line)
{
	char inlined[] = "--state=http://admin:hunter2@h/", separate[] = "http://u:hunter22@h/";
	char *argv[] = {"ebb-test", inlined, "--state", separate, NULL};

	config_clear(&program, &options);
	test_at_end(end, NULL);
	CHECK_INT(config_load(&program, 4, argv, &options), 0);
	CHECK_STR(options.state, "http://u:hunter22@h/");
	CHECK_STR(inlined, "--state=http://admin:***@h/    ");
	CHECK_STR(separate, "http://u:***@h/     ");
	/* From a file it was never there. */
	CHECK_INT(LOAD("[test]\nstate = http://admin:hunter2@h/\n", "--config", "FILE"), 0);
	CHECK_STR(options.state, "http://admin:hunter2@h/");
}

TEST(passwords_are_in_no_message)
{
	SAYS(NULL, "\"http://admin:***@h\"", "http://admin:hunter2@h");
	CHECK(!strstr(said, "hunter2"));
	SAYS(NULL, "unknown option --stat,", "--stat=http://admin:hunter2@h");
	CHECK(!strstr(said, "hunter2"));
	SAYS("[test]\nstate = http://a:hunter2@h\nstate = http://b:hunter2@h\n", ":3: state is",
	     "--config", "FILE");
	CHECK(!strstr(said, "hunter2"));
	SAYS("[test]\nhttp://a:hunter2@h\n", ":2: unknown key \"http\"", "--config", "FILE");
	CHECK(!strstr(said, "hunter2"));
}

/* A table of its own: what reloads, what does not, and secrets. */
struct reloaded {
	char *file, *fixed, *url;
	struct string_list lists, fixed_lists;
	unsigned number;
	int level;
};

#define RELOADED(field) offsetof(struct reloaded, field)

static const struct option_spec reload_table[] = {
	{.name = "file", .kind = OPTION_STRING, .offset = RELOADED(file), .reloads = true},
	{.name = "fixed", .kind = OPTION_STRING, .offset = RELOADED(fixed)},
	{.name = "url", .kind = OPTION_STRING, .offset = RELOADED(url), .secret = true},
	{.name = "lists", .kind = OPTION_LIST, .offset = RELOADED(lists), .reloads = true},
	{.name = "fixed-lists", .kind = OPTION_LIST, .offset = RELOADED(fixed_lists)},
	{.name = "number", .kind = OPTION_UINT, .offset = RELOADED(number)},
	{.name = "level",
	 .kind = OPTION_CHOICE,
	 .offset = RELOADED(level),
	 .choices = levels,
	 .reloads = true},
};

static const struct config_program reload_program = {
	.name = "ebb-test",
	.section = "test",
	.summary = "tests",
	.options = reload_table,
	.n_options = ARRAY_SIZE(reload_table),
};

static void load_reloaded(struct reloaded *target, char *const *words)
{
	char copies[8][64], *argv[10] = {"ebb-test"};
	int argc = 1;

	for (; *words && argc < 9; words++) {
		snprintf(copies[argc - 1], sizeof(copies[0]), "%s", *words);
		argv[argc] = copies[argc - 1];
		argc++;
	}
	*target = (struct reloaded){0};
	CHECK_INT(config_load(&reload_program, argc, argv, target), 0);
}

TEST(config_adopts_what_reloads_and_names_the_rest)
{
	struct reloaded target, fresh;
	char changed[128];

	load_reloaded(&target, (char *[]){"--file=a", "--fixed=b", "--url=http://u:old@h/",
					  "--lists=x,y", "--fixed-lists=p", "--level=error", NULL});
	load_reloaded(&fresh, (char *[]){"--file=a", "--fixed=b", "--url=http://u:***@h/   ",
					 "--lists=x,y", "--fixed-lists=p", "--level=error", NULL});
	config_adopt(&reload_program, &target, &fresh, changed, sizeof(changed));
	CHECK_STR(changed, "");
	CHECK_STR(target.url, "http://u:old@h/");
	config_clear(&reload_program, &fresh);

	load_reloaded(&fresh,
		      (char *[]){"--file=other", "--url=http://u:old@elsewhere/", "--lists=x,z,y",
				 "--fixed-lists=p,q", "--number=5", "--level=info", NULL});
	config_adopt(&reload_program, &target, &fresh, changed, sizeof(changed));
	CHECK_STR(changed, "fixed, url, fixed-lists, number");
	CHECK_STR(target.file, "other");
	CHECK_STR(target.fixed, "b");
	CHECK_STR(target.url, "http://u:old@h/");
	CHECK_INT(target.lists.n, 3);
	CHECK_STR(target.lists.items[1], "z");
	CHECK_INT(target.fixed_lists.n, 1);
	CHECK_INT(target.number, 0);
	CHECK_INT(target.level, 2);
	/* What it had is in the other one, to be freed. */
	CHECK_STR(fresh.file, "a");
	CHECK_INT(fresh.lists.n, 2);
	config_clear(&reload_program, &fresh);
	config_clear(&reload_program, &target);
}

TEST(config_adopts_into_a_short_buffer)
{
	struct reloaded target, fresh;
	char changed[9];

	load_reloaded(&target, (char *[]){"--fixed=b", "--number=1", NULL});
	load_reloaded(&fresh, (char *[]){"--fixed=c", "--number=2", "--url=http://h", NULL});
	config_adopt(&reload_program, &target, &fresh, changed, sizeof(changed));
	CHECK_STR(changed, "fixed, u");
	config_clear(&reload_program, &fresh);
	config_clear(&reload_program, &target);
}

TEST_MAIN()
