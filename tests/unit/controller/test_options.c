/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "options.h"
#include "ebb/cleanup.h"

static void check(char *listen, char *state, char *token_file, const char *mention)
{
	struct controller_options options = {
		.listen = listen, .state = state, .token_file = token_file};
	_cleanup_free_ char *wrong = controller_options_check(&options);

	if (!mention)
		CHECK(wrong == NULL);
	else if (!wrong || !strstr(wrong, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", wrong ? wrong : "(null)", mention);
}

TEST(options_beyond_loopback_want_a_token)
{
	check("127.0.0.1:5000", "sqlite:x", NULL, NULL);
	check("[::1]:5000", "sqlite:x", NULL, NULL);
	check("unix:/run/ebb.sock", "sqlite:x", NULL, NULL);
	check("0.0.0.0:5000", "sqlite:x", NULL, "--token-file");
	check("[::]:5000", "sqlite:x", NULL, "--token-file");
	check("10.1.2.3:5000", "sqlite:x", NULL, "--token-file");
	check("0.0.0.0:5000", "sqlite:x", "/etc/ebb/token", NULL);
}

TEST(options_state_must_be_known)
{
	check("127.0.0.1:5000", "/var/lib/x", NULL, "sqlite:PATH");
	check("127.0.0.1:5000", "sqlite:", NULL, "sqlite:PATH");
	check("127.0.0.1:5000", "mysql:x", NULL, "sqlite:PATH");
}

static void by_default(bool root, const char *xdg, const char *home, const char *want)
{
	_cleanup_free_ char *state = controller_default_state(root, xdg, home);

	if (want)
		CHECK_STR(state, want);
	else
		CHECK(state == NULL);
}

TEST(options_default_state)
{
	by_default(true, "/x", "/root", "sqlite:/var/lib/ebb/state.db");
	by_default(false, "/x", "/home/u", "sqlite:/x/ebb/state.db");
	by_default(false, "relative", "/home/u", "sqlite:/home/u/.local/state/ebb/state.db");
	by_default(false, "", "/home/u", "sqlite:/home/u/.local/state/ebb/state.db");
	by_default(false, NULL, NULL, NULL);
	by_default(false, NULL, "", NULL);
}

static void audit(const char *state, const char *want)
{
	_cleanup_free_ char *path = controller_audit_path(state);

	CHECK_STR(path, want);
}

TEST(options_audit_lies_beside_the_state)
{
	audit("sqlite:/var/lib/ebb/state.db", "/var/lib/ebb/audit.jsonl");
	audit("sqlite:state.db", "audit.jsonl");
	audit("sqlite:/state.db", "/audit.jsonl");
	audit("sqlite:./a/b", "./a/audit.jsonl");
}

static int load(struct controller_options *options, char *a, char *b)
{
	char *argv[] = {"ebb-controller", a, b, NULL};
	int argc = a ? b ? 3 : 2 : 1;

	*options = (struct controller_options){};
	return controller_options_load(argc, argv, options);
}

TEST(options_are_loaded)
{
	struct controller_options options;

	CHECK_INT(load(&options, "--state=sqlite:/tmp/x.db", "--threads=7"), CONFIG_OK);
	CHECK_STR(options.listen, "127.0.0.1:5000");
	CHECK_STR(options.state, "sqlite:/tmp/x.db");
	CHECK_INT(options.threads, 7);
	controller_options_clear(&options);
	CHECK(load(&options, "--threads=0", NULL) < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--listen=0.0.0.0:1", NULL) < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--bogus", NULL) < 0);
	controller_options_clear(&options);
}

TEST_MAIN()
