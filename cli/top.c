/* SPDX-License-Identifier: Apache-2.0 */
/* ebb top: the containers, live, most CPU first. */
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "lead.h"
#include "request.h"
#include "screen.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define BAR 20

/* The first is for output that is kept; a live screen has the time on top. */
static const struct column columns[] = {
	{.title = "TIME"},
	{.title = "NAME", .shrink = 10},
	{.title = "G"},
	{.title = "CPU", .right = true, .at_least = 4},
	{.title = "LIMIT", .right = true},
	{.title = "LOW..UP", .at_least = 8},
	{.title = "THR", .right = true, .at_least = 4},
	{.title = "CPU OF MAX", .drop = 2, .at_least = BAR},
	{.title = "MEM", .right = true, .at_least = 5},
	{.title = "LIMIT", .right = true, .at_least = 5},
	{.title = "MEM OF MAX", .drop = 3, .at_least = BAR},
	{.title = "LAST DECISION", .shrink = 11, .at_least = 15},
	{.title = "TOOK", .drop = 1, .right = true, .at_least = 6},
};
#define N_COLUMNS ARRAY_SIZE(columns)

struct top {
	struct cli *cli;
	char *const *globs;
	bool timed; /* the TIME column is shown */
	bool said;  /* that it is a standby's view */
	json_t *docs, *decisions, *heartbeat;
	char error[256]; /* "" while the controller answers */
};

/* Takes what the controller has now; keeps what was there when it does not answer. */
static void refresh_from(struct top *top)
{
	static const char *const paths[] = {
		"/heartbeat",
		"/structure/?subtype=container&live",
		"/decision/?limit=200",
	};
	json_t **docs[] = {&top->heartbeat, &top->docs, &top->decisions};
	char error[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		json_t *doc = NULL;
		long status = request_try(top->cli, top->cli->controller, top->cli->token, paths[i],
					  &doc, error);

		if (status == 200 && doc) {
			json_decref(*docs[i]);
			*docs[i] = doc;
			continue;
		}
		if (status)
			snprintf(error, sizeof(error), "it answered %ld", status);
		json_decref(doc);
		break;
	}
	memcpy(top->error, error, sizeof(error));
}

/* Another may lead by now. */
static void refresh(struct top *top)
{
	refresh_from(top);
	if ((top->error[0] || lead_stands_by(top->heartbeat)) && lead_choose(top->cli) == 0 &&
	    (!top->cli->standby_note || top->error[0]))
		refresh_from(top);
}

static void add_cpu(struct table *table, const struct structure_view *view, bool utf8)
{
	const struct resource_view *cpu = &view->resources[EBB_CPU];
	bool throttled = isfinite(view->throttled) && view->throttled > 0.005;
	char bar[3 * BAR + 1];
	enum style style = STYLE_NONE;

	if (throttled)
		style = STYLE_RED;
	else if (cpu->upper >= 0 && cpu->usage > cpu->upper)
		style = STYLE_YELLOW;
	if (isfinite(cpu->usage))
		table_add(table, style, "%.0f", cpu->usage);
	else
		table_add(table, STYLE_DIM, "-");
	if (cpu->current >= 0)
		table_add(table, STYLE_BOLD, "%lld", (long long)cpu->current);
	else
		table_add(table, STYLE_DIM, "none");
	if (cpu->upper >= 0)
		table_add(table, STYLE_NONE, "%lld..%lld", (long long)cpu->lower,
			  (long long)cpu->upper);
	else
		table_add(table, STYLE_DIM, "-");
	if (isfinite(view->throttled))
		table_add(table, throttled ? STYLE_RED : STYLE_NONE, "%.0f%%",
			  view->throttled * 100);
	else
		table_add(table, STYLE_DIM, "-");
	view_bar(cpu, BAR, utf8, bar);
	table_add(table, style == STYLE_NONE ? STYLE_GREEN : style, "%s", bar);
}

static void add_mem(struct table *table, const struct structure_view *view, bool utf8)
{
	const struct resource_view *mem = &view->resources[EBB_MEM];
	bool high = mem->upper >= 0 && mem->usage > mem->upper;
	char bar[3 * BAR + 1];

	if (isfinite(mem->usage))
		table_add(table, high ? STYLE_YELLOW : STYLE_NONE, "%.0f", mem->usage);
	else
		table_add(table, STYLE_DIM, "-");
	if (mem->current >= 0)
		table_add(table, STYLE_BOLD, "%lld", (long long)mem->current);
	else
		table_add(table, STYLE_DIM, "none");
	view_bar(mem, BAR, utf8, bar);
	table_add(table, high ? STYLE_YELLOW : STYLE_GREEN, "%s", bar);
}

static void add_decision(struct table *table, const json_t *decision)
{
	double age, took;
	char text[80], duration[AMOUNT_MAX];
	const char *outcome = json_get_text(decision, "outcome");
	enum style style = STYLE_NONE;

	if (!decision) {
		table_add(table, STYLE_NONE, "%s", "");
		table_add(table, STYLE_NONE, "%s", "");
		return;
	}
	age = fmax(0, wall_seconds() - json_get_real(decision, "at", 0));
	if (age < 5)
		style = STYLE_BOLD;
	if (!strcmp(outcome, "failed") || !strcmp(outcome, "refused"))
		style = STYLE_YELLOW;
	decision_brief(decision, text, sizeof(text));
	if (age < 120)
		table_add(table, style, "%s %.0fs", text, age);
	else
		table_add(table, style, "%s %.0fm", text, age / 60);
	took = json_get_real(decision, "applied_ms", NAN);
	if (isfinite(took))
		table_add(table, STYLE_NONE, "%s", duration_format(took / 1e3, duration));
	else
		table_add(table, STYLE_NONE, "%s", "");
}

static int build(struct top *top, struct table **ret_table)
{
	_cleanup_free_ struct structure_view *views = NULL;
	char clock[16];
	time_t now = time(NULL);
	struct tm tm;
	size_t n;
	int r;

	r = table_new(columns + !top->timed, N_COLUMNS - !top->timed, ret_table);
	if (r < 0)
		return r;
	r = views_read(top->docs, top->decisions, top->globs, &views, &n);
	if (r < 0)
		return r;
	strftime(clock, sizeof(clock), "%T", localtime_r(&now, &tm));
	for (size_t i = 0; i < n; i++) {
		if (top->timed)
			table_add(*ret_table, STYLE_DIM, "%s", clock);
		table_add(*ret_table, views[i].connection == CONNECTION_UP ? STYLE_NONE : STYLE_DIM,
			  "%s", views[i].name);
		table_add(*ret_table, STYLE_GREEN, "%s", views[i].guard ? "*" : "");
		add_cpu(*ret_table, &views[i], top->cli->utf8);
		add_mem(*ret_table, &views[i], top->cli->utf8);
		add_decision(*ret_table, views[i].decision);
	}
	return 0;
}

static void print_head(const struct top *top, FILE *out, unsigned width)
{
	const json_t *beat = top->heartbeat;
	char text[512], clock[16];
	time_t now = time(NULL);
	struct tm tm;

	strftime(clock, sizeof(clock), "%T", localtime_r(&now, &tm));
	if (top->error[0])
		snprintf(text, sizeof(text), "no controller at %s (%s); trying again",
			 top->cli->controller, top->error);
	else if (top->cli->standby_note)
		snprintf(text, sizeof(text), "%s", top->cli->standby_note);
	else
		snprintf(text, sizeof(text),
			 "ebb  %s  %lld containers, %lld guarded, %lld of %lld hosts connected%s%s",
			 clock, (long long)json_get_integer(beat, "containers", 0),
			 (long long)json_get_integer(beat, "guarded", 0),
			 (long long)json_get_integer(beat, "hosts_connected", 0),
			 (long long)json_get_integer(beat, "hosts", 0),
			 json_is_false(json_object_get(beat, "guardian_active")) ? "; guardian off"
										 : "",
			 json_is_false(json_object_get(beat, "scaler_active")) ? "; scaler off"
									       : "");
	text_tame(text);
	fprintf(out, "%s%.*s%s%s",
		style_start(top->error[0]            ? STYLE_RED
			    : top->cli->standby_note ? STYLE_YELLOW
						     : STYLE_BOLD,
			    top->cli->color),
		(int)width, text, style_end(STYLE_BOLD, top->cli->color), SCREEN_EOL);
}

static void draw(struct top *top, struct screen *screen)
{
	_cleanup_table_ struct table *table = NULL;
	_cleanup_free_ char *frame = NULL;
	unsigned columns_now, rows_now;
	size_t size = 0, rows, room;
	FILE *out;

	screen_size(screen, &columns_now, &rows_now);
	out = open_memstream(&frame, &size);
	if (!out)
		return;
	print_head(top, out, columns_now);
	if (build(top, &table) >= 0) {
		rows = table_rows(table);
		/* Head, titles, foot; the last line stays empty, or the screen would scroll. */
		room = rows_now > 5 ? rows_now - 4 : 1;
		table_print(table, out,
			    &(struct table_style){.width = columns_now,
						  .max_rows = room,
						  .color = top->cli->color,
						  .eol = SCREEN_EOL});
		if (rows > room)
			fprintf(out, "and %zu more. ", rows - room);
	}
	fputs("CPU in shares (100 = one core), MEM in MiB, * guarded. q quits", out);
	fputs(SCREEN_EOL, out);
	if (!fclose(out))
		screen_show(screen, frame, size);
}

/* Once, as long as it does. */
static void say_if_standby(struct top *top)
{
	bool stands_by = top->cli->standby_note && !top->error[0];

	if (stands_by && !top->said)
		cli_fail("%s", top->cli->standby_note);
	top->said = stands_by;
}

/* Rows that are kept: titles once, then a row per container and tick. */
static void print_rows(struct top *top, bool titles)
{
	_cleanup_table_ struct table *table = NULL;

	say_if_standby(top);
	if (top->error[0]) {
		printf("no controller at %s (%s); trying again\n", top->cli->controller,
		       top->error);
	} else if (build(top, &table) >= 0) {
		table_print(table, stdout,
			    &(struct table_style){.width = top->cli->width ? top->cli->width : 120,
						  .color = top->cli->color,
						  .no_titles = !titles});
	}
	fflush(stdout);
}

static int run_live(struct top *top, double interval, double seconds, bool live)
{
	uint64_t start = now_ns(), step = (uint64_t)(interval * EBB_NS_PER_SEC), next = start;
	uint64_t end = seconds > 0 ? start + (uint64_t)(seconds * EBB_NS_PER_SEC) : UINT64_MAX;
	struct screen *screen;
	bool first = true;
	int r;

	r = screen_open(live, &screen);
	if (r < 0)
		return cli_fail("cannot use the terminal: %s", strerror(-r));
	for (;;) {
		enum screen_event event;

		if (live)
			draw(top, screen);
		else
			print_rows(top, first);
		first = false;
		next += step;
		if (next < now_ns())
			next = now_ns() + step;
		while ((event = screen_wait(screen, MIN(next, end))) == SCREEN_REDRAW)
			if (live)
				draw(top, screen);
		if (event == SCREEN_QUIT || now_ns() >= end)
			break;
		refresh(top);
	}
	screen_close(screen);
	return EXIT_OK;
}

static int top_main(struct top *top, double interval, double seconds, bool once)
{
	json_t *all;
	int status;

	refresh(top);
	if (top->error[0]) {
		/* Says it in one line, with what to do. */
		if (request_call(top->cli, "GET", "/structure/?subtype=container&live", NULL,
				 NULL) < 0)
			return EXIT_FAILED;
		refresh(top);
	}
	if (top->cli->json) {
		say_if_standby(top);
		all = json_pack("{s:O*, s:O*, s:O*}", "structures", top->docs, "decisions",
				top->decisions, "heartbeat", top->heartbeat);
		status = cli_print_json(all);
		json_decref(all);
		return status;
	}
	top->timed = !once && !isatty(STDOUT_FILENO);
	if (once) {
		print_rows(top, true);
		return EXIT_OK;
	}
	return run_live(top, interval, seconds, isatty(STDOUT_FILENO));
}

static int top_verb(struct cli *cli, int argc, char **argv)
{
	const char *interval_text = "1", *for_text = "0", *error, *word;
	struct top top = {.cli = cli, .globs = argv + 1};
	bool once = false;
	const struct arg_option options[] = {
		{"--once", 0, &once, NULL},
		{"--interval", 0, NULL, &interval_text},
		{"--for", 0, NULL, &for_text},
	};
	double interval, seconds;
	int status;

	if (args_parse(argv + 1, options, ARRAY_SIZE(options), false, &error, &word) < 0)
		return cli_usage(&verb_top, "%s: %s", word, error);
	if (parse_double(interval_text, &interval) < 0 || interval < 0.1 || interval > 3600)
		return cli_usage(&verb_top, "--interval takes seconds, 0.1 to 3600");
	if (parse_double(for_text, &seconds) < 0 || seconds < 0 || seconds > 1e9)
		return cli_usage(&verb_top, "--for takes seconds");
	status = top_main(&top, interval, seconds, once);
	json_decref(top.docs);
	json_decref(top.decisions);
	json_decref(top.heartbeat);
	return status;
}

const struct verb verb_top = {
	.name = "top",
	.usage = "[NAME...] [--once] [--interval SECONDS] [--for SECONDS] [--json]",
	.summary = "watch containers live, most CPU first",
	.help = "CPU and LIMIT are in shares (100 = one core), MEM in MiB. Usage above UP asks for\n"
		"more, below LOW gives some back. THR is the share of CFS periods throttled. In a\n"
		"bar the filled part is usage, the mark is the limit, the whole is max. TOOK is the\n"
		"time from the sample to the limit in force. NAME may be a pattern ('web-*').\n"
		"q or Ctrl-C ends. Without a terminal it prints rows, one per container and tick.\n",
	.run = top_verb,
};
