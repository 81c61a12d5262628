/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "options.h"
#include "store.h"
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
	check("127.0.0.1:5000", "http://127.0.0.1:5984/", NULL, NULL);
	check("127.0.0.1:5000", "https://admin:secret@couch.example/ebb_", NULL, NULL);
	check("127.0.0.1:5000", "http://", NULL, "HOST");
}

TEST(options_errors_keep_the_password)
{
	static const char *const states[] = {
		"htp://admin:hunter2@couch/", "http:/admin:hunter2@couch/",
		"http://admin:hunter2@/",     "http://admin:hunter2@couch:99999/",
		"http://admin:hun/ter2@h/",   "http://admin:%zzhunter2@couch/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		_cleanup_free_ char *wrong = store_uri_check(states[i]);

		if (!wrong || strstr(wrong, "ter2"))
			TEST_FAIL("%s: %s", states[i], wrong ? wrong : "(nothing)");
	}
}

TEST(options_uris)
{
	_cleanup_free_ char *public = store_uri_public("http://admin:hunter2@h:5984/p_");

	CHECK_STR(public, "http://admin:***@h:5984/p_");
	CHECK(store_uri_is_shared("https://h"));
	CHECK(!store_uri_is_shared("sqlite:http://h"));
}

static void opentsdb(char *url, char *spool, const char *mention)
{
	struct controller_options options = {
		.listen = "127.0.0.1:5000", .state = "sqlite:x", .opentsdb = url, .spool = spool};
	_cleanup_free_ char *wrong = controller_options_check(&options);

	if (!mention)
		CHECK(wrong == NULL);
	else if (!wrong || !strstr(wrong, mention) || strstr(wrong, "hunter2"))
		TEST_FAIL("\"%s\" for %s", wrong ? wrong : "(null)", url ? url : "(null)");
}

TEST(options_opentsdb)
{
	opentsdb(NULL, NULL, NULL);
	opentsdb("http://tsdb:4242", NULL, NULL);
	opentsdb("https://u:hunter2@tsdb.example", "/var/lib/ebb/spool", NULL);
	opentsdb("u:hunter2@tsdb:4242", NULL, "http://HOST:4242");
	opentsdb("http:///x", NULL, "http://HOST:4242");
	opentsdb("", NULL, "http://HOST:4242");
	opentsdb(NULL, "/var/lib/ebb/spool", "--opentsdb URL");
	opentsdb(NULL, "none", NULL);
}

static void spool(const char *opentsdb, const char *state, const char *given, const char *want)
{
	char *path = given ? strdup(given) : NULL;

	CHECK_INT(controller_spool(opentsdb, state, &path), 0);
	if (want)
		CHECK_STR(path, want);
	else
		CHECK(!path);
	free(path);
}

TEST(options_points_survive_a_restart_unless_told_otherwise)
{
	spool("http://t", "sqlite:/var/lib/ebb/state.db", NULL, "/var/lib/ebb/spool/controller");
	spool("http://t", "sqlite:/h/.local/state/ebb/state.db", NULL,
	      "/h/.local/state/ebb/spool/controller");
	spool("http://t", "sqlite:/var/lib/ebb/state.db", "/srv/spool", "/srv/spool");
	spool("http://t", "sqlite:/var/lib/ebb/state.db", "none", NULL);
	spool("http://t", "sqlite:/var/lib/ebb/state.db", "", NULL);
	spool("http://t", NULL, NULL, NULL);
	spool(NULL, "sqlite:/var/lib/ebb/state.db", NULL, NULL);
	spool(NULL, "sqlite:/var/lib/ebb/state.db", "none", NULL);
}

TEST(options_credentials_are_for_a_couchdb)
{
	struct controller_options options = {
		.listen = "127.0.0.1:5000", .state = "sqlite:x", .state_credentials = "f"};
	_cleanup_free_ char *wrong = controller_options_check(&options);

	CHECK(wrong && strstr(wrong, "--state-credentials"));
	options.state = "http://h";
	CHECK(controller_options_check(&options) == NULL);
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
	_cleanup_free_ char *path = controller_audit_path(state, "sqlite:/default/state.db");

	CHECK_STR(path, want);
}

TEST(options_audit_lies_beside_the_state)
{
	audit("sqlite:/var/lib/ebb/state.db", "/var/lib/ebb/audit.jsonl");
	audit("sqlite:state.db", "audit.jsonl");
	audit("sqlite:/state.db", "/audit.jsonl");
	audit("sqlite:./a/b", "./a/audit.jsonl");
	/* A CouchDB has no such place. */
	audit("http://admin:x@couch:5984/", "/default/audit.jsonl");

	_cleanup_free_ char *nowhere = controller_audit_path("http://couch", NULL);

	CHECK(nowhere && !strstr(nowhere, "http"));
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
	CHECK_INT(load(&options, "--state=http://couch", "--state-auth=cookie"), CONFIG_OK);
	CHECK_INT(options.state_auth, AUTH_COOKIE);
	CHECK(strstr(options.audit, "audit.jsonl") && !strstr(options.audit, "couch"));
	controller_options_clear(&options);
	CHECK_INT(load(&options, "--state=http://couch", "--audit=/srv/decisions"), CONFIG_OK);
	CHECK_STR(options.audit, "/srv/decisions");
	controller_options_clear(&options);
	CHECK(options.audit == NULL);
	CHECK(load(&options, "--audit=", NULL) < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--state=http://couch", "--state-auth=oauth") < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--threads=0", NULL) < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--listen=0.0.0.0:1", NULL) < 0);
	controller_options_clear(&options);
	CHECK(load(&options, "--bogus", NULL) < 0);
	controller_options_clear(&options);
}

TEST_MAIN()
