/* SPDX-License-Identifier: Apache-2.0 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "packed.h"
#include "ebb/cleanup.h"
#include "ebb/json_text.h"
#include "ebb/log.h"

#define ROTATE_BYTES (64LL << 20)
/* A line is 500 to 1,400 bytes; more than this of a file is never read back. */
#define LINE_BYTES 1536
/* Decisions copied per hold of the lock: 64 of 1.5 KiB take some 10 us. */
#define CHUNK     64
#define SCAN      128 /* looked at in one hold of the lock */
#define REACTIONS 1024

/* A third of what a decision takes: most of one is empty text. */
struct kept {
	uint64_t id;
	struct packed *decision;
};

struct audit {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct kept *ring; /* the decision at `position` is at position % capacity */
	size_t capacity;
	uint64_t first, next; /* positions held: [first, next) */
	uint64_t written;     /* the writer's: next position to write */
	uint64_t next_id, next_operation;
	bool stop;
	unsigned long total, applied, failed, dropped;
	double reactions[REACTIONS];
	size_t n_reactions; /* ever */

	char *path; /* NULL: memory only */
	int fd;
	int64_t size;
	bool failing;
	bool torn; /* the file ends in half a line, which must not swallow the next */
	bool has_thread;
	pthread_t thread;

	void (*added)(void *userdata, const struct decision *decision);
	void *added_userdata;
};

/* --- one decision --- */

enum kind { TEXT, TEXT_IF_ANY, REAL, INTEGER, INTEGER_OR_NONE, COUNT, NUMBER_OR_NONE };
#define FIELD(kind, name)                                       \
	{                                                       \
		kind, #name, offsetof(struct decision, name),   \
			sizeof(((struct decision *)NULL)->name) \
	}
static const struct {
	enum kind kind;
	const char *name;
	size_t offset, size;
} fields[] = {
	FIELD(REAL, at),
	FIELD(TEXT, structure),
	FIELD(TEXT, host),
	FIELD(TEXT, origin),
	FIELD(TEXT, rule),
	FIELD(NUMBER_OR_NONE, operation),
	FIELD(TEXT, subtype),
	FIELD(TEXT, field),
	FIELD(TEXT, pair),
	FIELD(REAL, usage),
	FIELD(REAL, peak),
	FIELD(REAL, throttled),
	FIELD(INTEGER_OR_NONE, current),
	FIELD(INTEGER_OR_NONE, upper),
	FIELD(INTEGER_OR_NONE, lower),
	FIELD(INTEGER, min),
	FIELD(INTEGER, max),
	FIELD(COUNT, events_up),
	FIELD(COUNT, events_down),
	FIELD(INTEGER, requested),
	FIELD(INTEGER_OR_NONE, planned),
	FIELD(TEXT, cpus),
	FIELD(TEXT, outcome),
	FIELD(TEXT, reason),
	FIELD(INTEGER_OR_NONE, applied),
	FIELD(TEXT_IF_ANY, steps),
	FIELD(REAL, received_ms),
	FIELD(REAL, evaluated_ms),
	FIELD(REAL, sent_ms),
	FIELD(REAL, applied_ms),
};
#undef FIELD

void decision_init(struct decision *decision)
{
	memset(decision, 0, sizeof(*decision));
	decision->usage = decision->peak = decision->throttled = NAN;
	decision->current = decision->upper = decision->lower = -1;
	decision->min = decision->max = -1;
	memcpy(decision->subtype, "container", sizeof("container"));
	memcpy(decision->field, "current", sizeof("current"));
	decision->planned = decision->applied = -1;
	decision->received_ms = decision->evaluated_ms = NAN;
	decision->sent_ms = decision->applied_ms = NAN;
}

/* A thousandth of anything here is noise; without rounding a line is twice as long. */
static json_t *real_to_json(double value)
{
	return isfinite(value) ? json_real(round(value * 1000) / 1000) : json_null();
}

static json_t *field_to_json(const struct decision *decision, size_t field)
{
	const void *at = (const char *)decision + fields[field].offset;

	switch (fields[field].kind) {
	case TEXT:
	case TEXT_IF_ANY: {
		/* Cut in the middle of a character it would be refused. */
		json_t *text = json_string(at);

		return text ? text : json_string("?");
	}
	case REAL: return real_to_json(*(const double *)at);
	case INTEGER: return json_integer(*(const int64_t *)at);
	case INTEGER_OR_NONE:
		return *(const int64_t *)at < 0 ? json_null() : json_integer(*(const int64_t *)at);
	case COUNT: return json_integer(*(const int *)at);
	case NUMBER_OR_NONE:
		return *(const uint64_t *)at ? json_integer((json_int_t) * (const uint64_t *)at)
					     : json_null();
	}
	return NULL;
}

json_t *decision_to_json(const struct decision *decision)
{
	const char *resource = ebb_resource_name(decision->resource);
	_cleanup_json_ json_t *grounds = grounds_to_json(&decision->grounds);
	json_t *json = json_object();

	if (json_object_set_new(json, "id", json_integer((json_int_t)decision->id)) < 0 ||
	    json_object_set_new(json, "resource", json_string(resource ? resource : "?")) < 0)
		goto fail;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (fields[i].kind == TEXT_IF_ANY && !*((const char *)decision + fields[i].offset))
			continue;
		if (json_object_set_new(json, fields[i].name, field_to_json(decision, i)) < 0)
			goto fail;
	}
	if (grounds && json_object_set(json, "grounds", grounds) < 0)
		goto fail;
	return json;
fail:
	json_decref(json);
	return NULL;
}

int decision_from_json(const json_t *json, struct decision *ret_decision)
{
	const char *resource = json_string_value(json_object_get(json, "resource"));
	const json_t *id = json_object_get(json, "id");
	struct decision decision;

	decision_init(&decision);
	if (!json_is_integer(id) || json_integer_value(id) < 0 || !resource)
		return -EINVAL;
	decision.id = (uint64_t)json_integer_value(id);
	decision.resource = ebb_resource_from_name(resource);
	if (decision.resource == EBB_RESOURCE_INVALID)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const json_t *value = json_object_get(json, fields[i].name);
		void *at = (char *)&decision + fields[i].offset;

		if (fields[i].kind == TEXT || fields[i].kind == TEXT_IF_ANY) {
			if (json_is_string(value))
				snprintf(at, fields[i].size, "%s", json_string_value(value));
		} else if (fields[i].kind == REAL) {
			if (json_is_number(value))
				*(double *)at = json_number_value(value);
		} else if (json_is_integer(value)) {
			if (fields[i].kind == COUNT)
				*(int *)at = (int)json_integer_value(value);
			else if (fields[i].kind == NUMBER_OR_NONE)
				*(uint64_t *)at = (uint64_t)MAX(json_integer_value(value), 0);
			else
				*(int64_t *)at = json_integer_value(value);
		}
	}
	grounds_from_json(json_object_get(json, "grounds"), &decision.grounds);
	*ret_decision = decision;
	return 0;
}

/* --- the ring --- */

/* Takes over `packed`; NULL: there was no memory for it, and it is lost. */
static void ring_push(struct audit *audit, const struct decision *decision, struct packed *packed,
		      uint64_t id)
{
	struct kept *kept;

	audit->next_id = id + 1;
	audit->next_operation = MAX(audit->next_operation, decision->operation + 1);
	if (!packed) {
		audit->dropped++;
		return;
	}
	kept = &audit->ring[audit->next++ % audit->capacity];
	free(kept->decision);
	*kept = (struct kept){.id = id, .decision = packed};
	if (audit->next - audit->first > audit->capacity)
		audit->first = audit->next - audit->capacity;
}

static void ring_get(const struct audit *audit, uint64_t position, struct decision *ret_decision)
{
	const struct kept *kept = &audit->ring[position % audit->capacity];

	packed_get(kept->decision, ret_decision, sizeof(*ret_decision));
	ret_decision->id = kept->id;
}

static bool limit_changed(const struct decision *decision)
{
	return strcmp(decision->outcome, "applied") == 0 ||
	       strcmp(decision->outcome, "partial") == 0;
}

void audit_observe(struct audit *audit,
		   void (*added)(void *userdata, const struct decision *decision), void *userdata)
{
	audit->added = added;
	audit->added_userdata = userdata;
}

void audit_add(struct audit *audit, const struct decision *decision)
{
	struct packed *packed = packed_new(decision, sizeof(*decision));

	if (audit->added)
		audit->added(audit->added_userdata, decision);
	pthread_mutex_lock(&audit->lock);
	ring_push(audit, decision, packed, audit->next_id);
	audit->total++;
	if (limit_changed(decision)) {
		audit->applied++;
		if (isfinite(decision->applied_ms))
			audit->reactions[audit->n_reactions++ % REACTIONS] = decision->applied_ms;
	} else if (strcmp(decision->outcome, "failed") == 0) {
		audit->failed++;
	}
	pthread_cond_signal(&audit->more);
	pthread_mutex_unlock(&audit->lock);
}

uint64_t audit_next_operation(struct audit *audit)
{
	uint64_t number;

	pthread_mutex_lock(&audit->lock);
	number = audit->next_operation++;
	pthread_mutex_unlock(&audit->lock);
	return number;
}

static bool passes(const struct audit_filter *filter, const struct decision *decision)
{
	return (!filter->structure || strcmp(decision->structure, filter->structure) == 0) &&
	       (!filter->origin || strcmp(decision->origin, filter->origin) == 0) &&
	       (!filter->outcome || strcmp(decision->outcome, filter->outcome) == 0) &&
	       (filter->resource == EBB_RESOURCE_INVALID || decision->resource == filter->resource);
}

struct scan {
	const struct audit_page *page;
	uint64_t before; /* position */
	size_t left, total, beyond;
	struct decision chunk[CHUNK];
	size_t n;
};

/*
 * Looks at up to SCAN positions, newest first: what belongs to the page is copied out, so that
 * nothing is formatted under the lock. False: there are no older ones.
 */
static bool scan_older(struct audit *audit, struct scan *scan)
{
	const struct audit_page *page = scan->page;
	struct decision decision;
	uint64_t at, end;
	bool more;

	pthread_mutex_lock(&audit->lock);
	at = MIN(scan->before, audit->next);
	end = at > audit->first + SCAN ? at - SCAN : audit->first;
	for (scan->n = 0; at > end && scan->n < CHUNK; at--) {
		ring_get(audit, at - 1, &decision);
		if (!passes(&page->filter, &decision))
			continue;
		scan->total++;
		if (page->before && decision.id >= page->before)
			continue;
		if (scan->n < scan->left)
			scan->chunk[scan->n++] = decision;
		else
			scan->beyond++;
	}
	scan->before = at;
	more = at > audit->first;
	pthread_mutex_unlock(&audit->lock);
	scan->left -= scan->n;
	return more;
}

json_t *audit_query_page(struct audit *audit, const struct audit_page *page, size_t *ret_total,
			 bool *ret_more)
{
	_cleanup_free_ struct scan *scan = calloc(1, sizeof(*scan));
	_cleanup_json_ json_t *list = json_array();
	bool more = true;

	if (!scan || !list)
		return NULL;
	scan->page = page;
	scan->before = UINT64_MAX;
	scan->left = page->limit;
	while (more && (ret_total || scan->left)) {
		more = scan_older(audit, scan);
		for (size_t i = 0; i < scan->n; i++)
			if (json_array_append_new(list, decision_to_json(&scan->chunk[i])) < 0)
				return NULL;
	}
	if (ret_total)
		*ret_total = scan->total;
	if (ret_more)
		*ret_more = scan->beyond > 0;
	return TAKE_PTR(list);
}

json_t *audit_query(struct audit *audit, const char *structure, size_t limit)
{
	const struct audit_page page = {
		.filter = {.structure = structure, .resource = EBB_RESOURCE_INVALID},
		.limit = limit,
	};

	return audit_query_page(audit, &page, NULL, NULL);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, double share)
{
	return n ? sorted[MIN((size_t)(share * (double)n), n - 1)] : NAN;
}

void audit_get_stats(struct audit *audit, struct audit_stats *ret_stats)
{
	double reactions[REACTIONS];
	size_t n;

	pthread_mutex_lock(&audit->lock);
	n = MIN(audit->n_reactions, (size_t)REACTIONS);
	memcpy(reactions, audit->reactions, n * sizeof(*reactions));
	*ret_stats = (struct audit_stats){
		.total = audit->total,
		.applied = audit->applied,
		.failed = audit->failed,
		.dropped = audit->dropped,
	};
	pthread_mutex_unlock(&audit->lock);

	qsort(reactions, n, sizeof(*reactions), by_value);
	ret_stats->reaction_ms_p50 = percentile(reactions, n, 0.50);
	ret_stats->reaction_ms_p95 = percentile(reactions, n, 0.95);
	ret_stats->reaction_ms_p99 = percentile(reactions, n, 0.99);
}

/* --- the file --- */

static void rotate(struct audit *audit)
{
	_cleanup_free_ char *old = NULL;
	int fd;

	if (asprintf(&old, "%s.1", audit->path) < 0) {
		old = NULL;
		return;
	}
	if (rename(audit->path, old) < 0) {
		log_warning_errno(errno, "Cannot rename %s to %s", audit->path, old);
		return;
	}
	fd = open(audit->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) {
		log_warning_errno(errno, "Cannot create %s", audit->path);
		return;
	}
	close(audit->fd);
	audit->fd = fd;
	audit->size = 0;
}

static bool write_lines(struct audit *audit, const struct decision *chunk, size_t n)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return false;
	if (audit->torn)
		fputc('\n', out);
	for (size_t i = 0; i < n; i++) {
		_cleanup_json_ json_t *json = decision_to_json(&chunk[i]);

		_cleanup_free_ char *line = json_text(json, 0, NULL);

		if (line)
			fprintf(out, "%s\n", line);
	}
	if (fclose(out) != 0)
		return false;
	for (size_t done = 0; done < len;) {
		ssize_t r = write(audit->fd, text + done, len - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			if (!audit->failing)
				log_warning_errno(errno,
						  "Cannot write decisions to %s; they are kept in "
						  "memory only until this is mended",
						  audit->path);
			audit->failing = true;
			audit->torn = audit->torn || done;
			audit->size += (int64_t)done;
			return false;
		}
		done += (size_t)r;
	}
	audit->failing = audit->torn = false;
	audit->size += (int64_t)len;
	if (audit->size >= ROTATE_BYTES)
		rotate(audit);
	return true;
}

/* Follows the ring; what was overwritten before it came by is counted as dropped. */
static void *writer(void *userdata)
{
	struct audit *audit = userdata;
	struct decision *chunk = calloc(CHUNK, sizeof(*chunk));

	pthread_mutex_lock(&audit->lock);
	while (chunk) {
		size_t n = 0;

		if (audit->written < audit->first) {
			audit->dropped += audit->first - audit->written;
			audit->written = audit->first;
		}
		while (n < CHUNK && audit->written < audit->next)
			ring_get(audit, audit->written++, &chunk[n++]);
		if (!n) {
			if (audit->stop)
				break;
			pthread_cond_wait(&audit->more, &audit->lock);
			continue;
		}
		pthread_mutex_unlock(&audit->lock);
		bool ok = write_lines(audit, chunk, n);
		pthread_mutex_lock(&audit->lock);
		if (!ok)
			audit->dropped += n;
	}
	pthread_mutex_unlock(&audit->lock);
	free(chunk);
	return NULL;
}

/* The newest decisions of an earlier run, so that `ebb why` has an answer after a restart. */
static int read_back(struct audit *audit)
{
	_cleanup_free_ char *text = NULL;
	int64_t room = MIN((int64_t)audit->capacity * LINE_BYTES, ROTATE_BYTES);
	int64_t from = MAX(audit->size - room, 0);
	char *line, *end;
	ssize_t n = 0, r;

	if (!audit->size)
		return 0;
	text = malloc((size_t)(audit->size - from) + 1);
	if (!text)
		return -ENOMEM;
	while (n < audit->size - from &&
	       (r = pread(audit->fd, text + n, (size_t)(audit->size - from - n), from + n)) != 0) {
		if (r < 0)
			return -errno;
		n += r;
	}
	text[n] = '\0';
	line = from ? strchr(text, '\n') : text;
	for (; line && *line; line = end ? end + 1 : NULL) {
		_cleanup_json_ json_t *json = NULL;
		struct decision decision;

		end = strchr(line, '\n');
		json = json_loadb(line, end ? (size_t)(end - line) : strlen(line), 0, NULL);
		if (json && decision_from_json(json, &decision) == 0 &&
		    decision.id >= audit->next_id)
			ring_push(audit, &decision, packed_new(&decision, sizeof(decision)),
				  decision.id);
	}
	audit->torn = n && text[n - 1] != '\n';
	return 0;
}

static int open_file(struct audit *audit, const char *path)
{
	struct stat st;
	int r;

	audit->path = strdup(path);
	if (!audit->path)
		return -ENOMEM;
	audit->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (audit->fd < 0)
		return log_error_errno(errno, "Cannot open %s for the decisions", path);
	if (fstat(audit->fd, &st) < 0)
		return log_error_errno(errno, "Cannot stat %s", path);
	audit->size = st.st_size;
	r = read_back(audit);
	if (r < 0)
		log_warning_errno(r, "Cannot read earlier decisions from %s", path);
	audit->written = audit->next;
	r = pthread_create(&audit->thread, NULL, writer, audit);
	if (r)
		return -r;
	audit->has_thread = true;
	return 0;
}

int audit_new(const char *path, size_t capacity, struct audit **ret_audit)
{
	struct audit *audit = calloc(1, sizeof(*audit));
	int r;

	if (!audit)
		return -ENOMEM;
	audit->fd = -1;
	audit->capacity = MAX(capacity, (size_t)1);
	audit->next_id = audit->next_operation = 1;
	pthread_mutex_init(&audit->lock, NULL);
	pthread_cond_init(&audit->more, NULL);
	audit->ring = calloc(audit->capacity, sizeof(*audit->ring));
	r = !audit->ring ? -ENOMEM : path ? open_file(audit, path) : 0;
	if (r < 0) {
		audit_free(audit);
		return r;
	}
	*ret_audit = audit;
	return 0;
}

void audit_free(struct audit *audit)
{
	if (!audit)
		return;
	if (audit->has_thread) {
		pthread_mutex_lock(&audit->lock);
		audit->stop = true;
		pthread_cond_signal(&audit->more);
		pthread_mutex_unlock(&audit->lock);
		pthread_join(audit->thread, NULL);
	}
	if (audit->fd >= 0)
		close(audit->fd);
	pthread_cond_destroy(&audit->more);
	pthread_mutex_destroy(&audit->lock);
	for (size_t i = 0; audit->ring && i < audit->capacity; i++)
		free(audit->ring[i].decision);
	free(audit->ring);
	free(audit->path);
	free(audit);
}
