/* SPDX-License-Identifier: Apache-2.0 */
#include "explain.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "amount.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

static enum style outcome_style(const char *outcome)
{
	if (!strcmp(outcome, "applied"))
		return STYLE_GREEN;
	if (!strcmp(outcome, "failed"))
		return STYLE_RED;
	return STYLE_YELLOW;
}

/* Is it about the ceiling, not the limit in force? */
static bool about_max(const json_t *d)
{
	return !strcmp(json_get_text(d, "field"), "max");
}

/* Another hand's doing: nobody asked for it. */
static bool is_drift(const json_t *d)
{
	return !strcmp(json_get_text(d, "origin"), "drift");
}

/* "14:03:12.345  cpu 150 -> 180 shares  applied", "cpu max 400 -> 340 shares" */
static void print_headline(FILE *out, const json_t *d, enum ebb_resource resource, bool color)
{
	const char *outcome = json_get_text(d, "outcome");
	double at = json_get_real(d, "at", 0), whole = floor(at);
	int64_t before = json_get_integer(d, about_max(d) ? "max" : "current", -1);
	int64_t after = json_get_integer(d, "applied", -1);
	int64_t requested = json_get_integer(d, "requested", 0);
	time_t seconds = (time_t)whole;
	char clock[16], day[16], today[16];
	time_t now = time(NULL);
	struct tm tm;

	strftime(clock, sizeof(clock), "%T", localtime_r(&seconds, &tm));
	strftime(day, sizeof(day), "%F", &tm);
	strftime(today, sizeof(today), "%F", localtime_r(&now, &tm));
	if (strcmp(day, today))
		fprintf(out, "%s ", day);
	fprintf(out, "%s.%03d  %s%s %s", clock, (int)((at - whole) * 1000),
		style_start(STYLE_BOLD, color), json_get_text(d, "resource"),
		about_max(d) ? "max " : "");
	if (before >= 0)
		fprintf(out, "%lld", (long long)before);
	else
		fputs("unlimited", out);
	if (after >= 0)
		fprintf(out, " -> %lld", (long long)after);
	else
		fprintf(out, is_drift(d) ? " (%+lld found)" : " (%+lld asked)",
			(long long)requested);
	if (resource != EBB_RESOURCE_INVALID)
		fprintf(out, " %s", ebb_resource_unit(resource));
	fprintf(out, "%s  %s%s%s\n", style_end(STYLE_BOLD, color),
		style_start(outcome_style(outcome), color), outcome, style_end(STYLE_GREEN, color));
}

static void print_measured(FILE *out, const json_t *d)
{
	double usage = json_get_real(d, "usage", NAN), peak = json_get_real(d, "peak", NAN);
	double throttled = json_get_real(d, "throttled", NAN);
	int64_t upper = json_get_integer(d, "upper", -1), lower = json_get_integer(d, "lower", -1);

	if (!isfinite(usage))
		return;
	fprintf(out, "    Measured: usage %.1f", usage);
	if (isfinite(peak) && fabs(peak - usage) >= 0.1)
		fprintf(out, ", peak %.1f", peak);
	if (isfinite(throttled) && throttled > 0)
		fprintf(out, ", throttled in %.0f%% of the periods", throttled * 100);
	if (upper >= 0 && usage > upper)
		fprintf(out, ": above upper, %lld", (long long)upper);
	else if (lower >= 0 && usage < lower)
		fprintf(out, ": below lower, %lld", (long long)lower);
	else if (upper >= 0)
		fprintf(out, ": between lower, %lld, and upper, %lld", (long long)lower,
			(long long)upper);
	fputs(".\n", out);
}

static void print_asked(FILE *out, const json_t *d, enum ebb_resource resource)
{
	const char *rule = json_get_text(d, "rule"), *origin = json_get_text(d, "origin");
	int64_t requested = json_get_integer(d, "requested", 0);
	int64_t up = json_get_integer(d, "events_up", 0);
	int64_t down = json_get_integer(d, "events_down", 0);

	/* What is on record was put in force: the reason in the result says so. */
	if ((!*rule && !requested) || is_drift(d))
		return;
	if (*rule)
		fprintf(out, "    Rule %s", rule);
	else if (!strcmp(origin, "api"))
		fputs("    A change over the API", out);
	else
		fprintf(out, "    The %s", *origin ? origin : "controller");
	fprintf(out, " asked for %+lld", (long long)requested);
	if (resource != EBB_RESOURCE_INVALID)
		fprintf(out, " %s", ebb_resource_unit(resource));
	if (up || down)
		fprintf(out, " (events: %lld up, %lld down)", (long long)up, (long long)down);
	fputs(".\n", out);
}

/* What is done together with it, or not at all. */
static void print_operation(FILE *out, const json_t *d)
{
	int64_t operation = json_get_integer(d, "operation", 0);
	int64_t requested = json_get_integer(d, "requested", 0);
	const char *pair = json_get_text(d, "pair");

	if (operation <= 0 && !*pair)
		return;
	fputs("    ", out);
	if (*pair)
		fprintf(out,
			requested < 0 ? "A swap: what it gives up goes to %s"
				      : "A swap: it gets what %s gives up",
			pair);
	else
		fputs("All of it or nothing", out);
	if (operation > 0)
		fprintf(out, ", operation %lld", (long long)operation);
	fputs(".\n", out);
}

static void print_planned(FILE *out, const json_t *d)
{
	int64_t planned = json_get_integer(d, "planned", -1);
	int64_t min = json_get_integer(d, "min", -1), max = json_get_integer(d, "max", -1);
	const char *cpus = json_get_text(d, "cpus");

	if (planned < 0)
		return;
	fprintf(out, "    Planned: %s%lld", about_max(d) ? "a max of " : "", (long long)planned);
	if (min >= 0 && max >= 0 && !about_max(d))
		fprintf(out, " within %lld..%lld", (long long)min, (long long)max);
	if (*cpus)
		fprintf(out, ", on CPUs %s", cpus);
	fputs(".\n", out);
}

static void print_result(FILE *out, const json_t *d)
{
	const char *outcome = json_get_text(d, "outcome"), *reason = json_get_text(d, "reason");
	double received = json_get_real(d, "received_ms", NAN);
	double evaluated = json_get_real(d, "evaluated_ms", NAN);
	double sent = json_get_real(d, "sent_ms", NAN);
	double applied = json_get_real(d, "applied_ms", NAN);
	int64_t after = json_get_integer(d, "applied", -1);
	const char *subtype = json_get_text(d, "subtype"), *steps = json_get_text(d, "steps");

	fputs("    Result: ", out);
	/* An application or a user has no agent: its limit is the sum of its containers'. */
	if (after >= 0 && about_max(d))
		fprintf(out, "its max is %lld", (long long)after);
	else if (after >= 0 && *subtype && strcmp(subtype, "container") != 0)
		fprintf(out, "its containers have %lld", (long long)after);
	else if (after >= 0)
		fprintf(out, "the agent read back %lld", (long long)after);
	else
		fputs(*outcome ? outcome : "not known yet", out);
	if (*reason)
		fprintf(out, ": %s", reason);
	if (isfinite(applied)) {
		fprintf(out, "; in force %.0f ms after the sample", applied);
		if (isfinite(received) && isfinite(evaluated) && isfinite(sent))
			fprintf(out, " (received after %.0f, decided %.0f, sent %.0f)", received,
				evaluated, sent);
	}
	fputs(".\n", out);
	if (*steps)
		fprintf(out, "    Steps: %s.\n", steps);
}

char *explain_decision(const json_t *decision, bool color)
{
	enum ebb_resource resource = ebb_resource_from_name(json_get_text(decision, "resource"));
	_cleanup_json_ json_t *tame = json_deep_copy(decision);
	const char *key;
	char *text = NULL;
	size_t size = 0;
	json_t *value;
	FILE *out;

	json_object_foreach(tame, key, value) {
		_cleanup_free_ char *copy = NULL;

		if (!json_is_string(value))
			continue;
		copy = strdup(json_string_value(value));
		if (!copy)
			return NULL;
		text_tame(copy);
		json_string_set(value, copy);
	}
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	print_headline(out, tame, resource, color);
	print_measured(out, tame);
	print_asked(out, tame, resource);
	print_operation(out, tame);
	print_planned(out, tame);
	print_result(out, tame);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}
