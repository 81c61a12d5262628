/* SPDX-License-Identifier: Apache-2.0 */
/* ebb rules add, edit, rm, activate and so on. */
#include <errno.h>
#include <string.h>

#include "editor.h"
#include "layout_file.h"
#include "request.h"
#include "rules.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static void say(const char *name, const char *what)
{
	_cleanup_free_ char *tame = strdup(name);

	if (tame)
		text_tame(tame);
	printf("%s %s\n", tame ? tame : "", what);
}

static int show(struct cli *cli, char **words)
{
	_cleanup_free_ char *path = request_path("/rule/", words[1], "");
	_cleanup_json_ json_t *doc = NULL;

	if (request_call(cli, "GET", path, NULL, &doc) < 0)
		return EXIT_FAILED;
	return cli_print_json(doc);
}

static int add(struct cli *cli, char **words)
{
	_cleanup_json_ json_t *doc = NULL;
	_cleanup_free_ char *path = NULL, *error = NULL;
	const char *name;
	int r;

	if (layout_file_read(words[1], &doc) < 0)
		return EXIT_FAILED;
	name = json_get_text(doc, "name");
	if (!*name)
		return cli_fail("%s: a rule is an object with a name", words[1]);
	path = request_path("/rule/", name, "");
	r = request_send(
		cli,
		&(struct request){.method = "PUT", .path = path, .body = doc, .only_new = true},
		NULL, NULL, &error);
	if (r == -ESTALE)
		return cli_fail("there is a rule '%s' already: `ebb rules edit %s`", name, name);
	if (r < 0)
		return cli_fail("%s", error ? error : strerror(-r));
	say(name, "is added");
	return EXIT_OK;
}

static int drop(struct cli *cli, char **words)
{
	for (char **name = words + 1; *name; name++) {
		_cleanup_free_ char *path = request_path("/rule/", *name, "");

		if (request_call(cli, "DELETE", path, NULL, NULL) < 0)
			return EXIT_FAILED;
		say(*name, "is gone");
	}
	return EXIT_OK;
}

static int activate(struct cli *cli, char **words)
{
	for (char **name = words + 1; *name; name++) {
		_cleanup_free_ char *front = request_path("/rule/", *name, "/");
		_cleanup_free_ char *path = front ? request_path(front, words[0], "") : NULL;

		if (request_call(cli, "PUT", path, NULL, NULL) < 0)
			return EXIT_FAILED;
		say(*name, strcmp(words[0], "activate") ? "is not active" : "is active");
	}
	return EXIT_OK;
}

static int put(struct cli *cli, const char *name, const char *rest, json_t *body)
{
	_cleanup_free_ char *path = request_path("/rule/", name, rest);
	_cleanup_json_ json_t *held = body;

	if (request_call(cli, "PUT", path, held, NULL) < 0)
		return EXIT_FAILED;
	say(name, "is changed");
	return EXIT_OK;
}

static int amount(struct cli *cli, char **words)
{
	return put(cli, words[1], "/amount", json_pack("{s:s}", "value", words[2]));
}

static int policy(struct cli *cli, char **words)
{
	return put(cli, words[1], "/policy", json_pack("{s:s}", "value", words[2]));
}

static int events(struct cli *cli, char **words)
{
	return put(cli, words[1], "/events_required",
		   json_pack("{s:s, s:s}", "event_type", words[2], "value", words[3]));
}

/* --- edit --- */

/* What is not the operator's to write. */
static void strip(json_t *doc)
{
	json_object_del(doc, "_id");
	json_object_del(doc, "_rev");
}

static int keep(const char *file, const char *name, const char *why)
{
	return cli_fail("%s. Nothing is changed; what you wrote is kept: `ebb rules edit %s --from "
			"%s`",
			why, name, file);
}

/* The rule as it is, its ETag, and the file to begin with: that of --from, or one of its own. */
static int begin(struct cli *cli, const char *name, const char *from, json_t **ret_doc,
		 char **ret_etag, char **ret_file)
{
	_cleanup_free_ char *path = request_path("/rule/", name, ""), *text = NULL;
	_cleanup_json_ json_t *doc = NULL;
	int r;

	r = request_say(cli, &(struct request){.method = "GET", .path = path}, &doc, ret_etag);
	if (r < 0)
		return r;
	strip(doc);
	if (from) {
		*ret_file = strdup(from);
		r = *ret_file ? 0 : -ENOMEM;
	} else {
		text = json_dumps(doc, JSON_INDENT(2));
		r = text ? editor_file(name, text, ret_file) : -ENOMEM;
		if (r < 0)
			cli_fail("cannot write a file to edit: %s", strerror(-r));
	}
	if (r >= 0)
		*ret_doc = TAKE_PTR(doc);
	return r;
}

static int edit(struct cli *cli, const char *name, const char *from)
{
	_cleanup_free_ char *etag = NULL, *file = NULL, *error = NULL, *path = NULL;
	_cleanup_json_ json_t *before = NULL, *doc = NULL;
	int r;

	if (begin(cli, name, from, &before, &etag, &file) < 0)
		return EXIT_FAILED;
	r = editor_run(file);
	if (r < 0)
		return keep(file, name, "the editor failed");
	/* It says what is wrong, and where. */
	if (layout_file_read(file, &doc) < 0)
		return keep(file, name, "that is no document");
	strip(doc);
	if (json_equal(before, doc)) {
		if (!from)
			unlink(file);
		say(name, "is as it was");
		return EXIT_OK;
	}
	path = request_path("/rule/", name, "");
	r = request_send(
		cli,
		&(struct request){.method = "PUT", .path = path, .body = doc, .if_match = etag},
		NULL, NULL, &error);
	if (r < 0)
		return keep(file, name, error ? error : strerror(-r));
	unlink(file);
	say(name, "is changed");
	return EXIT_OK;
}

/* --- which --- */

static const struct {
	const char *word;
	int least, most; /* words, itself among them */
	const char *usage;
	int (*run)(struct cli *cli, char **words);
} changes[] = {
	{"show", 2, 2, "show RULE", show},
	{"add", 2, 2, "add FILE", add},
	{"rm", 2, INT32_MAX, "rm RULE...", drop},
	{"activate", 2, INT32_MAX, "activate RULE...", activate},
	{"deactivate", 2, INT32_MAX, "deactivate RULE...", activate},
	{"amount", 3, 3, "amount RULE NUMBER", amount},
	{"policy", 3, 3, "policy RULE POLICY", policy},
	{"events", 4, 4, "events RULE up|down NUMBER", events},
};

int rules_change(struct cli *cli, int n, char **words, const char *from)
{
	if (!strcmp(words[0], "edit"))
		return n == 2 ? edit(cli, words[1], from)
			      : cli_usage(&verb_rules, "edit takes one RULE");
	if (from)
		return cli_usage(&verb_rules, "--from is for edit");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		if (strcmp(changes[i].word, words[0]) != 0)
			continue;
		if (n < changes[i].least || n > changes[i].most)
			return cli_usage(&verb_rules, "rules %s", changes[i].usage);
		return changes[i].run(cli, words);
	}
	return cli_usage(&verb_rules, "'%s' is none of what can be done with rules", words[0]);
}
