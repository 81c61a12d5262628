/* SPDX-License-Identifier: Apache-2.0 */
/* ebb migrate: all of a state from one place to another. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "migrate_state.h"
#include "controller/document_merge.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define BATCH 500
/* A database that is busy or gone for a moment. */
#define TRIES    20
#define RETRY_US 250000
/* More lines of one kind help nobody. */
#define LINES_MAX 20

struct migrate {
	bool merge, force, dry_run;
	struct migrate_state from, to;
	size_t copied[DB_MAX], there[DB_MAX], deleted[DB_MAX];
};

/* "12 structures, 3 rules" */
static void describe(const struct migrate_state *state, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 0; i < DB_MAX; i++) {
		size_t n = json_object_size(state->documents[i]);

		if (n && len < size)
			len += (size_t)snprintf(text + len, size - len, "%s%zu %s", len ? ", " : "",
						n, store_db_name(i));
	}
}

/* --- before anything is written --- */

static int check_from(struct migrate *migrate)
{
	struct migrate_state *from = &migrate->from;
	char *holder = NULL;
	int r;

	r = migrate_state_read(from);
	if (r < 0)
		return r;
	if (!from->exists) {
		cli_fail("there is no state at %s", from->shown);
		return -ENOENT;
	}
	r = migrate_state_leader(from, &holder);
	if (r > 0)
		fprintf(stderr,
			"ebb: the controller at %s is at work on %s: what it changes from now on "
			"is not copied\n",
			holder, from->shown);
	free(holder);
	return MIN(r, 0);
}

static int check_to(struct migrate *migrate)
{
	struct migrate_state *to = &migrate->to;
	_cleanup_free_ char *holder = NULL;
	char what[256];
	int r;

	r = migrate_state_read(to);
	if (r >= 0)
		r = migrate_state_leader(to, &holder);
	if (r > 0) {
		cli_fail("the controller at %s is at work on %s: stop it first", holder, to->shown);
		return -EBUSY;
	}
	if (r < 0 || migrate->merge || migrate->force || !migrate_state_count(to))
		return r;
	describe(to, what, sizeof(what));
	cli_fail("%s is not empty, it has %s: --merge writes over what has the same name and "
		 "leaves the rest, --force deletes the rest",
		 to->shown, what);
	return -ENOTEMPTY;
}

/* --- writing --- */

/* All of them, with patience; `what` for people. */
static int write_all(struct migrate_state *to, struct store_write **writes, size_t n)
{
	int r = -EAGAIN;

	for (unsigned i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (i)
			usleep(RETRY_US);
		for (size_t j = 0; j < n; j++)
			writes[j]->result = 0;
		r = migrate_state_write(to, writes, n);
	}
	for (size_t i = 0; i < n && r >= 0; i++)
		if (writes[i]->result < 0)
			r = writes[i]->result;
	if (r < 0)
		cli_fail("cannot write to %s: %s", to->shown, to->ops->error(to->backend));
	return r;
}

struct batch {
	struct migrate *migrate;
	struct store_write writes[BATCH], *pointers[BATCH];
	size_t n;
};

static int batch_flush(struct batch *batch)
{
	int r = 0;

	if (batch->n)
		r = write_all(&batch->migrate->to, batch->pointers, batch->n);
	for (size_t i = 0; i < batch->n; i++) {
		free(batch->writes[i].id);
		free(batch->writes[i].body);
	}
	batch->n = 0;
	return r;
}

/* `doc` NULL: deletes it. */
static int batch_add(struct batch *batch, enum store_db db, const char *id, const json_t *doc)
{
	struct store_write *write = &batch->writes[batch->n];

	*write = (struct store_write){
		.db = db,
		.id = strdup(id),
		.body = doc ? json_dumps(doc, JSON_COMPACT) : NULL,
	};
	batch->pointers[batch->n++] = write;
	if (!write->id || (doc && !write->body)) {
		cli_fail("out of memory");
		return -ENOMEM;
	}
	return batch->n == BATCH ? batch_flush(batch) : 0;
}

static int copy_database(struct batch *batch, enum store_db db)
{
	struct migrate *migrate = batch->migrate;
	const json_t *from = migrate->from.documents[db], *to = migrate->to.documents[db];
	size_t total = json_object_size(from), done = 0;
	const char *id;
	json_t *doc;
	int r = 0;

	json_object_foreach((json_t *)to, id, doc) {
		if (r < 0 || !migrate->force || json_object_get(from, id))
			continue;
		migrate->deleted[db]++;
		r = batch_add(batch, db, id, NULL);
	}
	json_object_foreach((json_t *)from, id, doc) {
		if (r < 0)
			break;
		if (document_same(doc, json_object_get(to, id))) {
			migrate->there[db]++;
		} else {
			migrate->copied[db]++;
			r = batch_add(batch, db, id, doc);
		}
		if (++done % 5000 == 0)
			fprintf(stderr, "%s: %zu of %zu\n", store_db_name(db), done, total);
	}
	if (r >= 0)
		r = batch_flush(batch);
	if (r >= 0 && total)
		fprintf(stderr, "%s: %zu of %zu\n", store_db_name(db), total, total);
	return r;
}

static int copy(struct migrate *migrate)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	int r = -ENOMEM;

	if (batch) {
		batch->migrate = migrate;
		r = 0;
	}
	for (int i = 0; i < DB_MAX && r >= 0; i++)
		r = copy_database(batch, i);
	for (size_t i = 0; batch && i < batch->n; i++) {
		free(batch->writes[i].id);
		free(batch->writes[i].body);
	}
	free(batch);
	return r;
}

/* What is there now is what was to be copied. */
static int verify(struct migrate *migrate)
{
	size_t wrong = 0;

	if (migrate_state_read(&migrate->to) < 0)
		return -EIO;
	for (int i = 0; i < DB_MAX; i++) {
		const json_t *from = migrate->from.documents[i], *to = migrate->to.documents[i];
		const char *id;
		json_t *doc;

		json_object_foreach((json_t *)from, id, doc) {
			if (document_same(doc, json_object_get(to, id)))
				continue;
			if (!wrong++)
				cli_fail("%s %s is not in %s as it was written", store_db_name(i),
					 id, migrate->to.shown);
		}
		if (migrate->force && json_object_size(to) > json_object_size(from) && !wrong++)
			cli_fail("%s of %s has more than was written", store_db_name(i),
				 migrate->to.shown);
	}
	return wrong ? -EIO : 0;
}

static void count_only(struct migrate *migrate)
{
	for (int i = 0; i < DB_MAX; i++) {
		const json_t *from = migrate->from.documents[i], *to = migrate->to.documents[i];
		const char *id;
		json_t *doc;

		json_object_foreach((json_t *)from, id, doc) {
			if (document_same(doc, json_object_get(to, id)))
				migrate->there[i]++;
			else
				migrate->copied[i]++;
		}
		json_object_foreach((json_t *)to, id, doc)
			migrate->deleted[i] += migrate->force && !json_object_get(from, id);
	}
}

static void print_counts(const struct migrate *migrate)
{
	printf("%-10s  %8s  %9s  %7s\n", "DATABASE", migrate->dry_run ? "TO COPY" : "COPIED",
	       "UNCHANGED", "DELETED");
	for (int i = 0; i < DB_MAX; i++)
		printf("%-10s  %8zu  %9zu  %7zu\n", store_db_name(i), migrate->copied[i],
		       migrate->there[i], migrate->deleted[i]);
}

static size_t print_lines(const json_t *lines)
{
	size_t n = json_array_size(lines);

	for (size_t i = 0; i < MIN(n, (size_t)LINES_MAX); i++)
		cli_fail("%s", json_string_value(json_array_get(lines, i)));
	if (n > LINES_MAX)
		cli_fail("and %zu more like that", n - LINES_MAX);
	return n;
}

/* What of FROM is not in TO afterwards, and with --force what of TO is not in FROM. */
static size_t print_left_out(const struct migrate *migrate)
{
	size_t n = print_lines(migrate->from.twins) + print_lines(migrate->from.attachments);

	if (migrate->force && json_array_size(migrate->to.twins)) {
		cli_fail("%s has documents that --force does not delete:", migrate->to.shown);
		n += print_lines(migrate->to.twins);
	}
	return n;
}

static int run(struct migrate *migrate)
{
	int r;

	r = check_from(migrate);
	if (r >= 0)
		r = check_to(migrate);
	if (r >= 0 && migrate->dry_run) {
		count_only(migrate);
	} else if (r >= 0) {
		r = migrate_state_open(&migrate->to);
		if (r >= 0)
			r = copy(migrate);
		if (r >= 0)
			r = verify(migrate);
	}
	if (r < 0)
		return EXIT_FAILED;
	print_counts(migrate);
	return print_left_out(migrate) ? EXIT_FAILED : EXIT_OK;
}

static int migrate_verb(struct cli *cli, int argc, char **argv)
{
	const char *error, *word, *credentials = NULL, *auth = "basic";
	struct store_options store = {};
	struct migrate migrate = {};
	const struct arg_option options[] = {
		{"--merge", 0, &migrate.merge, NULL},
		{"--force", 0, &migrate.force, NULL},
		{"--dry-run", 0, &migrate.dry_run, NULL},
		{"--state-credentials", 0, NULL, &credentials},
		{"--state-auth", 0, NULL, &auth},
	};
	int n, status = EXIT_FAILED;

	n = args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_migrate, "%s: %s", word, error);
	if (n != 2)
		return cli_usage(&verb_migrate, "migrate takes FROM and TO");
	if (migrate.merge && migrate.force)
		return cli_usage(&verb_migrate, "either --merge or --force");
	if (strcmp(auth, "basic") != 0 && strcmp(auth, "cookie") != 0)
		return cli_usage(&verb_migrate, "--state-auth is basic or cookie");
	if (!strcmp(argv[1], argv[2]))
		return cli_usage(&verb_migrate, "FROM and TO are the same");
	store = (struct store_options){
		.credentials_file = credentials,
		.cookie = auth[0] == 'c',
		.identity = cli->identity,
	};
	if (migrate_state_init(&migrate.from, argv[1], &store) >= 0) {
		if (migrate_state_init(&migrate.to, argv[2], &store) >= 0) {
			/* `ps` would show them for as long as it takes. */
			url_blank(argv[1]);
			url_blank(argv[2]);
			status = run(&migrate);
		}
		migrate_state_clear(&migrate.to);
	}
	migrate_state_clear(&migrate.from);
	return status;
}

const struct verb verb_migrate = {
	.name = "migrate",
	.usage = "FROM TO [--merge | --force] [--dry-run]",
	.summary = "copy the state of a controller from one place to another",
	.help = "FROM, TO  sqlite:PATH, or a CouchDB: http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX]\n"
		"          Stop the controller of an SQLite file, and of TO, first.\n"
		"\n"
		"TO has to be empty, or:\n"
		"  --merge      what has the same name is written over, the rest of TO stays\n"
		"  --force      TO is as FROM afterwards: the rest of it is deleted\n"
		"  --dry-run    say what would be done, write nothing\n"
		"\n"
		"As the controller's options, for every CouchDB named:\n"
		"  --state-credentials FILE, --state-auth basic|cookie\n"
		"\n"
		"Afterwards everything is read back and compared. Attachments are not copied, and of two\n"
		"documents of one name only the first is: that is said, and the exit status is 1. Design\n"
		"documents and who leads stay where they are.\n",
	.offline = true,
	.run = migrate_verb,
};
