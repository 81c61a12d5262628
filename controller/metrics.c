/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "labels.h"
#include "model_walk.h"
#include "drift.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"

/* One structure, copied out under the lock. */
struct row {
	char *labels; /* structure="c0",host="h0" */
	char *told;   /* ,engine="docker",image="nginx" */
	enum structure_subtype subtype;
	bool guard, live;
	struct {
		bool present, guard;
		int64_t max, min, current, upper, lower, free;
		double usage;
	} resources[EBB_RESOURCE_MAX];
};

struct snapshot {
	struct row *rows;
	size_t n, room;
	size_t hosts_connected, guarded;
	bool leading;
	size_t n_hosts;
	struct scaler_stats scaler; /* read under the model's lock */
};

static void snapshot_clear(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->n; i++) {
		free(snapshot->rows[i].labels);
		free(snapshot->rows[i].told);
	}
	free(snapshot->rows);
}

char *metrics_escape(const char *text)
{
	char *escaped = malloc(2 * strlen(text) + 1), *out = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			*out++ = '\\';
		*out++ = *text == '\n' ? 'n' : *text;
	}
	*out = '\0';
	return escaped;
}

static char *row_labels(const struct structure *s)
{
	_cleanup_free_ char *name = metrics_escape(s->name);
	_cleanup_free_ char *host = metrics_escape(s->host_name ? s->host_name : s->name);
	char *labels;

	if (!name || !host || asprintf(&labels, "structure=\"%s\",host=\"%s\"", name, host) < 0)
		return NULL;
	return labels;
}

static int row_fill(struct row *row, const struct structure *s, const struct host *host)
{
	row->labels = row_labels(s);
	if (!row->labels)
		return -ENOMEM;
	row->told = s->live ? labels_metrics(s) : NULL;
	row->subtype = s->subtype;
	row->guard = s->guard;
	row->live = s->live;
	for (int i = 0; i < EBB_RESOURCE_MAX; i++) {
		const struct resource_state *r = &s->resources[i];

		row->resources[i].present = r->present;
		row->resources[i].guard = r->guard;
		row->resources[i].max = r->max;
		row->resources[i].min = r->min;
		row->resources[i].current = r->current;
		row->resources[i].upper = r->has_boundary ? r->upper : -1;
		row->resources[i].lower = r->has_boundary ? r->lower : -1;
		row->resources[i].usage = r->usage;
		if (host) {
			row->resources[i].max = host->max[i];
			row->resources[i].free = host->free[i];
		}
	}
	return 0;
}

/* Without the lock. */
static int snapshot_reserve(struct snapshot *snapshot, size_t room)
{
	struct row *rows;

	if (room <= snapshot->room)
		return 0;
	rows = reallocarray(snapshot->rows, room, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	snapshot->rows = rows;
	snapshot->room = room;
	return 0;
}

static int take_rows(struct model *model, struct snapshot *snapshot)
{
	struct model_walk walk;
	size_t room = 64;
	int r = 0;

	model_walk_begin_reader(&walk, model);
	while (r >= 0 && model_walk_piece(&walk)) {
		struct structure *s;

		room = MAX(room, model->n_structures);
		while (r >= 0 && snapshot->n < snapshot->room && (s = model_walk_next(&walk))) {
			r = row_fill(&snapshot->rows[snapshot->n], s,
				     s->subtype == STRUCTURE_HOST ? s->host : NULL);
			snapshot->n += r >= 0;
		}
		if (snapshot->n == snapshot->room)
			room = MAX(room, 2 * snapshot->n);
		model_walk_release(&walk);
		if (r >= 0)
			r = snapshot_reserve(snapshot, room);
	}
	model_walk_end_reader(&walk);
	return r;
}

static int snapshot_take(struct api *api, struct snapshot *ret_snapshot)
{
	struct model *model = api->model;
	struct snapshot snapshot = {};
	int r;

	r = take_rows(model, &snapshot);
	if (r < 0) {
		snapshot_clear(&snapshot);
		return r;
	}
	model_lock(model);
	snapshot.guarded = model->n_guarded;
	snapshot.n_hosts = model->n_hosts;
	snapshot.leading = model->leading;
	for (size_t i = 0; i < model->n_hosts; i++)
		snapshot.hosts_connected += model->hosts[i]->connected;
	scaler_get_stats(api->scaler, &snapshot.scaler);
	model_unlock(model);
	*ret_snapshot = snapshot;
	return 0;
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A number that there is none of yet is left out. */
static void value(FILE *out, const char *name, const char *type, const char *help, double number)
{
	if (!isfinite(number))
		return;
	head(out, name, type, help);
	fprintf(out, "%s %.10g\n", name, number);
}

enum field { FIELD_USAGE, FIELD_LIMIT, FIELD_MAX, FIELD_MIN, FIELD_UPPER, FIELD_LOWER, FIELD_N };

/* NAN: nothing to show. */
static double row_field(const struct row *row, int resource, enum field field)
{
	int64_t number = -1;

	switch (field) {
	case FIELD_USAGE: return row->resources[resource].usage;
	case FIELD_LIMIT: number = row->resources[resource].current; break;
	case FIELD_MAX: number = row->resources[resource].max; break;
	case FIELD_MIN: number = row->resources[resource].min; break;
	case FIELD_UPPER: number = row->resources[resource].upper; break;
	case FIELD_LOWER: number = row->resources[resource].lower; break;
	case FIELD_N: break;
	}
	return number < 0 ? NAN : (double)number;
}

static void write_structures(FILE *out, const struct snapshot *snapshot)
{
	static const struct {
		const char *name, *help;
	} fields[FIELD_N] = {
		[FIELD_USAGE] = {"ebb_structure_usage",
				 "Last measured usage; shares (100 = one core), MiB, MiB/s"},
		[FIELD_LIMIT] = {"ebb_structure_limit", "Limit in force"},
		[FIELD_MAX] = {"ebb_structure_max", "Most the limit may become"},
		[FIELD_MIN] = {"ebb_structure_min", "Least the limit may become"},
		[FIELD_UPPER] = {"ebb_structure_upper", "Usage above it asks for more"},
		[FIELD_LOWER] = {"ebb_structure_lower", "Usage below it gives some back"},
	};

	head(out, "ebb_structure_guarded", "gauge", "1 when the structure is guarded");
	for (size_t i = 0; i < snapshot->n; i++)
		if (snapshot->rows[i].subtype != STRUCTURE_HOST)
			fprintf(out, "ebb_structure_guarded{%s} %d\n", snapshot->rows[i].labels,
				snapshot->rows[i].guard);
	head(out, "ebb_structure_info", "gauge",
	     "Always 1: what the engine of a container that is there says of it");
	for (size_t i = 0; i < snapshot->n; i++)
		if (snapshot->rows[i].told)
			fprintf(out, "ebb_structure_info{%s%s} 1\n", snapshot->rows[i].labels,
				snapshot->rows[i].told);
	for (enum field f = 0; f < FIELD_N; f++) {
		head(out, fields[f].name, "gauge", fields[f].help);
		for (size_t i = 0; i < snapshot->n; i++) {
			const struct row *row = &snapshot->rows[i];

			if (row->subtype == STRUCTURE_HOST)
				continue;
			for (int r = 0; r < EBB_RESOURCE_MAX; r++) {
				double number = row_field(row, r, f);

				if (row->resources[r].present && isfinite(number))
					fprintf(out, "%s{%s,resource=\"%s\"} %.10g\n",
						fields[f].name, row->labels, ebb_resource_name(r),
						number);
			}
		}
	}
}

static void write_hosts(FILE *out, const struct snapshot *snapshot)
{
	for (int what = 0; what < 2; what++) {
		const char *name = what ? "ebb_host_free" : "ebb_host_max";

		head(out, name, "gauge",
		     what ? "What no structure has been given" : "What the host has to give");
		for (size_t i = 0; i < snapshot->n; i++) {
			const struct row *row = &snapshot->rows[i];

			for (int r = 0; row->subtype == STRUCTURE_HOST && r < EBB_RESOURCE_MAX; r++)
				if (row->resources[r].max > 0)
					fprintf(out, "%s{%s,resource=\"%s\"} %lld\n", name,
						row->labels, ebb_resource_name(r),
						what ? (long long)row->resources[r].free
						     : (long long)row->resources[r].max);
		}
	}
}

static void write_scaler(FILE *out, const struct scaler_stats *stats)
{
	value(out, "ebb_scaler_requests_total", "counter", "Requests the scaler was given",
	      stats->requests);
	value(out, "ebb_scaler_orders_total", "counter", "Orders sent to agents", stats->orders);
	value(out, "ebb_scaler_reflex_growths_total", "counter",
	      "Limits that agents raised inside of their leases, settled", stats->grown);
	head(out, "ebb_scaler_results_total", "counter", "What became of requests");
	fprintf(out,
		"ebb_scaler_results_total{result=\"applied\"} %lu\n"
		"ebb_scaler_results_total{result=\"failed\"} %lu\n"
		"ebb_scaler_results_total{result=\"refused\"} %lu\n"
		"ebb_scaler_results_total{result=\"expired\"} %lu\n",
		stats->applied, stats->failed, stats->refused, stats->expired);
	value(out, "ebb_scaler_operations_total", "counter",
	      "Operations begun: changes of max, swaps, what applications and users ask for",
	      stats->operations);
	value(out, "ebb_scaler_swaps_total", "counter", "Swaps done", stats->swaps);
	value(out, "ebb_scaler_rollbacks_total", "counter", "Operations taken back",
	      stats->rolled_back);
	head(out, "ebb_scaler_drift_total", "counter",
	     "Limits of guarded containers that somebody else changed");
	for (int i = 0; i < DRIFT_MAX; i++)
		fprintf(out, "ebb_scaler_drift_total{policy=\"%s\"} %lu\n", drift_name(i),
			stats->drift[i]);
	value(out, "ebb_scaler_operations_open", "gauge",
	      "Operations under way, or being taken back", stats->operations_open);
	value(out, "ebb_scaler_waiting", "gauge", "Requests that wait for room or for an order",
	      stats->waiting);
	value(out, "ebb_scaler_in_flight", "gauge", "Orders under way", stats->in_flight);
}

static void write_reaction(FILE *out, const struct audit_stats *stats)
{
	value(out, "ebb_decisions_total", "counter", "Decisions on record", stats->total);
	value(out, "ebb_decisions_dropped_total", "counter", "Decisions not written to the file",
	      stats->dropped);
	head(out, "ebb_reaction_seconds", "summary",
	     "From a sample to the limit in force, over the last 1,024");
	if (isfinite(stats->reaction_ms_p50))
		fprintf(out,
			"ebb_reaction_seconds{quantile=\"0.5\"} %.6g\n"
			"ebb_reaction_seconds{quantile=\"0.95\"} %.6g\n"
			"ebb_reaction_seconds{quantile=\"0.99\"} %.6g\n",
			stats->reaction_ms_p50 / 1e3, stats->reaction_ms_p95 / 1e3,
			stats->reaction_ms_p99 / 1e3);
	fprintf(out, "ebb_reaction_seconds_count %lu\n", stats->applied);
}

static void write_feed(FILE *out, const struct feed_stats *stats)
{
	value(out, "ebb_feed_messages_total", "counter", "Feed messages taken", stats->messages);
	value(out, "ebb_feed_rejected_total", "counter", "Feed messages refused", stats->rejected);
	value(out, "ebb_feed_samples_total", "counter", "Samples taken", stats->samples);
	value(out, "ebb_feed_sessions", "gauge", "Agents with a session", stats->sessions);
	value(out, "ebb_guardian_evaluations_total", "counter", "Structures evaluated",
	      stats->evaluations);
	value(out, "ebb_guardian_evaluation_seconds", "gauge", "Mean time of an evaluation",
	      stats->evaluate_ns / 1e9);
}

/* Hosts without an agent. */
static void write_agentless(FILE *out, const struct api *api)
{
	struct container_scalers_stats scalers;
	struct feed_opentsdb_stats stats;

	if (!api->feed_opentsdb || !api->container_scalers)
		return;
	container_scalers_get_stats(api->container_scalers, &scalers);
	feed_opentsdb_get_stats(api->feed_opentsdb, &stats);
	value(out, "ebb_agentless_hosts", "gauge",
	      "Hosts without an agent whose Container Scaler answers", scalers.hosts);
	value(out, "ebb_agentless_containers", "gauge", "Containers that run on these",
	      scalers.containers);
	value(out, "ebb_container_scaler_polls_total", "counter",
	      "Times that limits were read from Container Scalers", scalers.polls);
	value(out, "ebb_container_scaler_failures_total", "counter",
	      "Times that they could not be read", scalers.failures);
	value(out, "ebb_opentsdb_queries_total", "counter", "Queries for usage", stats.queries);
	value(out, "ebb_opentsdb_query_failures_total", "counter",
	      "Queries without an answer that could be read", stats.failures);
	value(out, "ebb_opentsdb_queries_refused_total", "counter",
	      "Queries that named what OpenTSDB does not know", stats.refused);
	value(out, "ebb_opentsdb_query_reachable", "gauge", "0 while it cannot be asked",
	      stats.reachable);
	value(out, "ebb_opentsdb_samples_total", "counter", "Samples made of the answers",
	      (double)stats.samples);
	value(out, "ebb_opentsdb_containers", "gauge", "Containers that are fed from OpenTSDB",
	      stats.containers);
	value(out, "ebb_opentsdb_containers_with_data", "gauge", "Those of which it has usage",
	      stats.with_data);
	value(out, "ebb_opentsdb_unknown_names", "gauge",
	      "Those left out at present, because it does not know them", stats.unknown);
	value(out, "ebb_opentsdb_unknown_metrics", "gauge",
	      "Metrics left out at present, because it does not have them", stats.unknown_metrics);
}

static void write_leader(FILE *out, struct leader *leader)
{
	struct leader_state state;

	leader_get_state(leader, &state);
	value(out, "ebb_controller_leading", "gauge", "1 while this controller leads", state.acts);
	value(out, "ebb_controller_term", "gauge",
	      "The term of who leads, as far as it is known; 0 where there is one controller",
	      (double)state.term);
	value(out, "ebb_controller_takeovers_total", "counter",
	      "Times that this controller became the leader", (double)state.takeovers);
	if (isfinite(state.renewed_age_s))
		value(out, "ebb_controller_lease_age_seconds", "gauge",
		      "Since the last renewal of the lease that CouchDB has taken",
		      state.renewed_age_s);
}

static void write_store(FILE *out, struct store *store)
{
	struct store_stats stats = {};

	store_get_stats(store, &stats);
	value(out, "ebb_store_reachable", "gauge", "1 when the last try to write the state worked",
	      stats.reachable);
	value(out, "ebb_store_following", "gauge",
	      "0 while what others change is not seen in one of the databases at least",
	      stats.following);
	value(out, "ebb_store_writes_total", "counter", "Documents written", stats.writes);
	value(out, "ebb_store_unchanged_total", "counter",
	      "Documents not sent because the database had them just so", stats.unchanged);
	value(out, "ebb_store_batches_total", "counter", "Batches written", stats.batches);
	value(out, "ebb_store_failures_total", "counter", "Batches that failed", stats.failures);
	value(out, "ebb_store_conflicts_total", "counter",
	      "Documents that somebody else had written as well, merged", stats.conflicts);
	value(out, "ebb_store_unconfirmed_total", "counter",
	      "Documents that fewer nodes of a CouchDB cluster than a majority took (202)",
	      stats.unconfirmed);
	value(out, "ebb_store_refused_total", "counter",
	      "Documents that the database never takes, dropped", stats.refused);
	value(out, "ebb_store_changes_total", "counter", "Changes of others that were taken in",
	      stats.changes);
	value(out, "ebb_store_compactions_total", "counter",
	      "Times that the database was asked to take less room", stats.compactions);
	value(out, "ebb_store_queued", "gauge", "Documents waiting to be written",
	      (double)stats.queued);
	value(out, "ebb_store_oldest_queued_seconds", "gauge",
	      "How long the write that waits longest has waited", stats.oldest_queued_s);
	value(out, "ebb_store_last_write_age_seconds", "gauge", "Since the last batch was written",
	      stats.last_write_age_s);
}

static void write_modules(FILE *out, const struct series_stats *stats)
{
	static const struct {
		const char *name, *type, *help;
	} metrics[] = {
		{"ebb_series_active", "gauge", "1 while the service runs here"},
		{"ebb_series_runs_total", "counter", "Runs of the service"},
		{"ebb_series_failures_total", "counter", "Runs that ended early"},
		{"ebb_series_written_total", "counter",
		 "Points (database_snapshoter) or documents (the others) that it wrote"},
		{"ebb_series_run_seconds", "gauge", "Time that its last run took"},
	};
	const struct {
		const char *service;
		const struct series_module_stats *stats;
	} modules[] = {
		{"structures_snapshoter", &stats->structures},
		{"refeeder", &stats->refeeder},
		{"database_snapshoter", &stats->database},
	};

	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		head(out, metrics[i].name, metrics[i].type, metrics[i].help);
		for (size_t m = 0; m < ARRAY_SIZE(modules); m++) {
			const struct series_module_stats *of = modules[m].stats;
			const double values[ARRAY_SIZE(metrics)] = {
				of->runs_here,       (double)of->runs, (double)of->failures,
				(double)of->written, of->seconds,
			};

			fprintf(out, "%s{service=\"%s\"} %.10g\n", metrics[i].name,
				modules[m].service, values[i]);
		}
	}
	value(out, "ebb_series_lock_seconds_max", "gauge",
	      "Longest that they held the model's lock at a time", stats->hold_s);
}

static void write_opentsdb(FILE *out, const struct tsdb_stats *stats)
{
	value(out, "ebb_opentsdb_reachable", "gauge", "0 while OpenTSDB takes no points",
	      stats->reachable);
	value(out, "ebb_opentsdb_points_total", "counter", "Points that it took",
	      (double)stats->points);
	value(out, "ebb_opentsdb_bodies_total", "counter", "Bodies that it took",
	      (double)stats->bodies);
	value(out, "ebb_opentsdb_rejected_total", "counter", "Points that it refused one by one",
	      (double)stats->rejected);
	value(out, "ebb_opentsdb_dropped_total", "counter",
	      "Points lost: too many waited, or the spool's disk failed", (double)stats->dropped);
	value(out, "ebb_opentsdb_put_failures_total", "counter", "Puts without success",
	      (double)stats->failures);
	value(out, "ebb_opentsdb_waiting_points", "gauge", "Points that wait to be put",
	      (double)stats->waiting_points);
	value(out, "ebb_opentsdb_waiting_bytes", "gauge", "Their size",
	      (double)stats->waiting_bytes);
	value(out, "ebb_opentsdb_oldest_seconds", "gauge", "Age of the oldest that waits",
	      stats->oldest_s);
}

static void write_series(FILE *out, struct series *series)
{
	struct series_stats stats;
	const char *error;

	series_get_stats(series, &stats);
	write_modules(out, &stats);
	if (stats.has_tsdb)
		write_opentsdb(out, &stats.tsdb);
	error = stats.has_tsdb && stats.tsdb.last_error[0] ? stats.tsdb.last_error
							   : stats.last_error;
	if (*error) {
		_cleanup_free_ char *escaped = metrics_escape(error);

		head(out, "ebb_series_last_error", "gauge", "What went wrong last, in words");
		fprintf(out, "ebb_series_last_error{message=\"%s\"} 1\n", escaped ? escaped : "");
	}
}

static void write_rebalancer(FILE *out, struct rebalancer *rebalancer)
{
	struct rebalancer_stats stats;

	rebalancer_get_stats(rebalancer, &stats);
	value(out, "ebb_rebalancer_active", "gauge", "1 while the ReBalancer runs here",
	      stats.active);
	value(out, "ebb_rebalancer_epochs_total", "counter", "Epochs", stats.epochs);
	value(out, "ebb_rebalancer_swaps_total", "counter", "Swaps that it asked the scaler for",
	      stats.swaps);
	value(out, "ebb_rebalancer_donors", "gauge", "Structures that had too much, last epoch",
	      (double)stats.donors);
	value(out, "ebb_rebalancer_receivers", "gauge",
	      "Structures that had too little, last epoch", (double)stats.receivers);
	value(out, "ebb_rebalancer_epoch_seconds", "gauge", "Time that the last epoch took",
	      stats.seconds);
	value(out, "ebb_rebalancer_lock_seconds_max", "gauge",
	      "Longest that the model's lock was held for it", stats.hold_s);
}

static void write_sanity(FILE *out, struct sanity *sanity)
{
	size_t counts[SANITY_CHECK_MAX];
	struct sanity_stats stats;

	sanity_get_stats(sanity, &stats);
	sanity_count(sanity, counts);
	value(out, "ebb_sanity_active", "gauge", "1 while the Sanity Checker runs here",
	      stats.active);
	head(out, "ebb_sanity_findings", "gauge", "What cannot be, as of its last epoch");
	for (int i = 0; i < SANITY_CHECK_MAX; i++)
		fprintf(out, "ebb_sanity_findings{check=\"%s\"} %zu\n", sanity_check_name(i),
			counts[i]);
	value(out, "ebb_sanity_repairs_total", "counter", "Orders given to put something right",
	      (double)stats.repairs);
	value(out, "ebb_sanity_epochs_total", "counter", "Epochs of the Sanity Checker",
	      (double)stats.epochs);
	value(out, "ebb_sanity_failures_total", "counter", "Epochs that ended early",
	      (double)stats.failures);
	value(out, "ebb_sanity_run_seconds", "gauge", "Time that its last epoch took",
	      stats.seconds);
	value(out, "ebb_sanity_lock_seconds_max", "gauge",
	      "Longest that it held the model's lock at a time", stats.hold_s);
}

static void write_http(FILE *out, const struct http_server *server)
{
	struct http_server_stats stats = {};

	http_server_get_stats(server, &stats);
	value(out, "ebb_http_requests_total", "counter", "Requests answered", stats.requests);
	head(out, "ebb_http_errors_total", "counter", "Requests answered with an error");
	fprintf(out,
		"ebb_http_errors_total{class=\"4xx\"} %lu\n"
		"ebb_http_errors_total{class=\"5xx\"} %lu\n",
		stats.errors_4xx, stats.errors_5xx);
	value(out, "ebb_http_connections", "gauge", "Open connections", stats.connections);
	value(out, "ebb_http_evicted_total", "counter",
	      "Connections closed because there were too many", stats.evicted);
	value(out, "ebb_http_timed_out_total", "counter",
	      "Connections closed because a request took too long to come", stats.timed_out);
}

static void write_process(FILE *out, double started)
{
	struct rusage usage;
	char statm[128];
	unsigned long pages;

	if (!getrusage(RUSAGE_SELF, &usage))
		value(out, "process_cpu_seconds_total", "counter", "CPU time of the controller",
		      usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
			      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
	if (read_file_at(AT_FDCWD, "/proc/self/statm", statm, sizeof(statm)) > 0 &&
	    sscanf(statm, "%*u %lu", &pages) == 1)
		value(out, "process_resident_memory_bytes", "gauge", "Memory of the controller",
		      (double)pages * (double)sysconf(_SC_PAGESIZE));
	value(out, "process_start_time_seconds", "gauge", "When it was started", started);
}

int metrics_format(struct api *api, char **ret_text, size_t *ret_len)
{
	struct snapshot snapshot;
	struct audit_stats audit = {};
	struct feed_stats feed = {};
	char *text = NULL, *version;
	const struct http_server *server;
	size_t len = 0;
	FILE *out;
	int r;

	r = snapshot_take(api, &snapshot);
	if (r < 0)
		return r;
	audit_get_stats(api->audit, &audit);
	feed_get_stats(api->feed, &feed);

	out = open_memstream(&text, &len);
	if (!out) {
		snapshot_clear(&snapshot);
		return -ENOMEM;
	}
	version = metrics_escape(EBB_VERSION);
	head(out, "ebb_build_info", "gauge", "The version that runs");
	fprintf(out, "ebb_build_info{version=\"%s\"} 1\n", version ? version : "");
	free(version);
	value(out, "ebb_hosts", "gauge", "Hosts known", (double)snapshot.n_hosts);
	/* Who stands by hears of none. */
	if (snapshot.leading)
		value(out, "ebb_hosts_connected", "gauge",
		      "Hosts whose agent or Container Scaler has been heard lately",
		      (double)snapshot.hosts_connected);
	value(out, "ebb_structures", "gauge", "Structures known, hosts included",
	      (double)snapshot.n);
	value(out, "ebb_structures_guarded", "gauge", "Structures guarded",
	      (double)snapshot.guarded);
	write_hosts(out, &snapshot);
	write_structures(out, &snapshot);
	write_scaler(out, &snapshot.scaler);
	write_reaction(out, &audit);
	write_feed(out, &feed);
	write_agentless(out, api);
	if (api->series)
		write_series(out, api->series);
	if (api->rebalancer)
		write_rebalancer(out, api->rebalancer);
	if (api->sanity)
		write_sanity(out, api->sanity);
	if (api->store)
		write_store(out, api->store);
	if (api->leader)
		write_leader(out, api->leader);
	/* Set by the thread that made it, when it serves already. */
	server = __atomic_load_n(&api->server, __ATOMIC_ACQUIRE);
	if (server)
		write_http(out, server);
	write_process(out, api->started);
	snapshot_clear(&snapshot);
	if (fclose(out)) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}
