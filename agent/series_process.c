/* SPDX-License-Identifier: Apache-2.0 */
#include "series_process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "series_container.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"

/*
 * A process gets its start time a little before it can be seen. One that started so long before the
 * last look, and was not in it, was merely overlooked.
 */
#define OVERLOOKED_NS EBB_NS_PER_SEC
/*
 * The last numbers come when the kernel frees a process, a grace period after it vanished. After
 * so many intervals they were lost.
 */
#define UNSEEN_MAX 3

/*
 * A container is known to the kernel's side a moment before it is handed over, so what its
 * processes used waits for it; longer than so many intervals only for one that is gone.
 */
#define KEPT_MAX 3

struct process_table {
	struct process **all; /* dense */
	size_t n, size;
	struct hash by_identity;
	struct process_gone *gone;
	size_t n_gone, max_gone;
	struct hash by_command;     /* into `gone` */
	uint64_t look_ns, since_ns; /* this look, and the one that the last interval ended with */
	unsigned round;
};

int process_table_new(size_t max_gone, struct process_table **ret_table)
{
	struct process_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->gone = calloc(max_gone, sizeof(*table->gone));
	if (!table->gone) {
		free(table);
		return -ENOMEM;
	}
	table->max_gone = max_gone;
	*ret_table = table;
	return 0;
}

static void process_free(struct process *process)
{
	free(process->tags);
	free(process->closing_tags);
	free(process);
}

void process_table_free(struct process_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->n; i++)
		process_free(table->all[i]);
	for (size_t i = 0; i < table->n_gone; i++)
		free(table->gone[i].tags);
	free(table->all);
	free(table->gone);
	hash_clear(&table->by_identity);
	hash_clear(&table->by_command);
	free(table);
}

/* --- Those that stay -------------------------------------------------------------------------- */

static uint64_t identity_hash(const struct ebb_process *process)
{
	return hash_u64(process->start_ns ^ ((uint64_t)process->pid << 40));
}

static bool identity_equal(const void *value, const void *key)
{
	const struct process *process = value;
	const struct ebb_process *wanted = key;

	return process->last.pid == wanted->pid && process->last.start_ns == wanted->start_ns;
}

static int process_insert(struct process_table *table, const struct ebb_process *first,
			  struct process **ret_process)
{
	struct process *process;
	int r;

	if (table->n == table->size) {
		size_t size = table->size ? 2 * table->size : 256;
		struct process **all = realloc(table->all, size * sizeof(*all));

		if (!all)
			return -ENOMEM;
		table->all = all;
		table->size = size;
	}
	process = calloc(1, sizeof(*process));
	if (!process)
		return -ENOMEM;
	process->last = *first;
	r = hash_add(&table->by_identity, identity_hash(first), process);
	if (r < 0) {
		free(process);
		return r;
	}
	process->position = table->n;
	table->all[table->n++] = process;
	*ret_process = process;
	return 0;
}

static void process_remove(struct process_table *table, struct process *process)
{
	struct process *last = table->all[--table->n];

	hash_remove(&table->by_identity, identity_hash(&process->last), process);
	last->position = process->position;
	table->all[last->position] = last;
	process_free(process);
}

/* What was counted stays counted: a thread that ended during the look may be missing in it. */
static uint64_t advance(__u64 *counted, uint64_t now)
{
	uint64_t more = now > *counted ? now - *counted : 0;

	*counted += more;
	return more;
}

static void count(struct process *process, const struct ebb_process *now)
{
	struct ebb_process *last = &process->last;
	struct process_use *use = &process->use;
	uint64_t user, kernel;

	use->runtime_ns += advance(&last->runtime_ns, now->runtime_ns);
	use->utime_ns += advance(&last->utime_ns, now->utime_ns);
	use->stime_ns += advance(&last->stime_ns, now->stime_ns);
	use->read_bytes += advance(&last->read_bytes, now->read_bytes);
	use->write_bytes += advance(&last->write_bytes, now->write_bytes);
	use->rss_pages = now->rss_pages;
	use->vm_pages = now->vm_pages;
	last->rss_pages = now->rss_pages;
	last->vm_pages = now->vm_pages;

	/* The ratio moves; what was called user stays user, and what is left is the other's. */
	series_split(last->runtime_ns, last->utime_ns, last->stime_ns, &user, &kernel);
	if (kernel < process->kernel_ns)
		kernel = process->kernel_ns;
	user = last->runtime_ns - kernel;
	if (user < process->user_ns) {
		user = process->user_ns;
		kernel = last->runtime_ns - user;
	}
	use->user_ns += user - process->user_ns;
	use->kernel_ns += kernel - process->kernel_ns;
	process->user_ns = user;
	process->kernel_ns = kernel;
}

/* Counts what was used before we came as counted. */
static void start_from(struct process *process)
{
	struct ebb_process *last = &process->last;

	process->unknown = true;
	series_split(last->runtime_ns, last->utime_ns, last->stime_ns, &process->user_ns,
		     &process->kernel_ns);
	process->use.rss_pages = last->rss_pages;
	process->use.vm_pages = last->vm_pages;
}

static void start_from_nothing(struct process *process)
{
	struct ebb_process all = process->last;
	struct ebb_process *last = &process->last;

	last->runtime_ns = last->utime_ns = last->stime_ns = 0;
	last->read_bytes = last->write_bytes = 0;
	count(process, &all);
}

/* Series under the old tags are closed by the caller. */
static void rename_process(struct process *process, const struct ebb_process *now)
{
	if (process->last.container_id == now->container_id &&
	    !memcmp(process->last.comm, now->comm, sizeof(now->comm)))
		return;
	memcpy(process->last.comm, now->comm, sizeof(now->comm));
	process->last.container_id = now->container_id;
	if (process->open) {
		free(process->closing_tags);
		process->closing_tags = process->tags;
		process->closing = process->open;
		process->open = 0;
	} else {
		free(process->tags);
	}
	process->tags = NULL;
}

static bool born_since_last_look(const struct process_table *table,
				 const struct ebb_process *process)
{
	return table->since_ns && process->start_ns + OVERLOOKED_NS >= table->since_ns;
}

void process_table_look(struct process_table *table, uint64_t at_ns)
{
	table->look_ns = at_ns;
	table->round++;
}

int process_table_add(struct process_table *table, const struct ebb_process *process)
{
	struct process *known =
		hash_find(&table->by_identity, identity_hash(process), identity_equal, process);
	struct ebb_process without_sums;
	int r;

	if (process->flags & EBB_PROCESS_UNSTEADY) {
		/* From what sums would an old one start? */
		if (!known && !born_since_last_look(table, process))
			return 0;
		without_sums = *process;
		without_sums.runtime_ns = without_sums.utime_ns = without_sums.stime_ns = 0;
		without_sums.read_bytes = without_sums.write_bytes = 0;
		process = &without_sums;
	}
	if (!known) {
		r = process_insert(table, process, &known);
		if (r < 0)
			return r;
		if (born_since_last_look(table, process))
			start_from_nothing(known);
		else
			start_from(known);
	} else {
		rename_process(known, process);
		count(known, process);
	}
	known->last.slot = process->slot;
	known->last.flags = process->flags;
	known->last.threads = process->threads;
	known->round = table->round;
	return 0;
}

void process_table_seen(struct process_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		struct process *process = table->all[i];

		if (process->round == table->round) {
			process->unseen = 0;
			continue;
		}
		process->unseen++;
		process->use.rss_pages = process->use.vm_pages = 0;
	}
}

/* --- Those that go ---------------------------------------------------------------------------- */

static uint64_t command_hash(const struct ebb_process *process)
{
	uint64_t words[2];

	memcpy(words, process->comm, sizeof(words));
	return hash_u64(process->container_id ^ hash_u64(words[0] ^ hash_u64(words[1])));
}

/* The kernel does not clear what follows a name. */
static void clean_comm(struct ebb_process *process)
{
	size_t len = strnlen(process->comm, sizeof(process->comm) - 1);

	memset(process->comm + len, 0, sizeof(process->comm) - len);
}

static bool command_equal(const void *value, const void *key)
{
	const struct process_gone *gone = value;
	const struct ebb_process *wanted = key;

	return gone->container_id == wanted->container_id &&
	       !memcmp(gone->comm, wanted->comm, sizeof(gone->comm));
}

static struct process_gone *find_gone(struct process_table *table,
				      const struct ebb_process *process)
{
	uint64_t hash = command_hash(process);
	struct process_gone *gone = hash_find(&table->by_command, hash, command_equal, process);

	if (gone || table->n_gone == table->max_gone)
		return gone;
	gone = &table->gone[table->n_gone];
	*gone = (struct process_gone){
		.container_id = process->container_id,
		.slot = process->slot,
		.flags = process->flags,
	};
	memcpy(gone->comm, process->comm, sizeof(gone->comm));
	if (hash_add(&table->by_command, hash, gone) < 0)
		return NULL;
	table->n_gone++;
	return gone;
}

int process_table_ended(struct process_table *table, const struct ebb_process *ended)
{
	struct ebb_process process = *ended;
	struct process *known =
		hash_find(&table->by_identity, identity_hash(ended), identity_equal, ended);
	struct process_gone *gone;
	struct process_use *use;

	clean_comm(&process);
	if (known) {
		count(known, ended);
		known->ended = true;
		return 0;
	}
	if (!born_since_last_look(table, ended))
		return 0;
	gone = find_gone(table, &process);
	if (!gone)
		return -ENOBUFS;
	use = &gone->use;
	use->runtime_ns += ended->runtime_ns;
	use->utime_ns += ended->utime_ns;
	use->stime_ns += ended->stime_ns;
	use->read_bytes += ended->read_bytes;
	use->write_bytes += ended->write_bytes;
	/* One by one the ticks say nothing of so short a time, but of many together they do. */
	series_split(use->runtime_ns, use->utime_ns, use->stime_ns, &use->user_ns, &use->kernel_ns);
	gone->slot = ended->slot;
	gone->count++;
	return 0;
}

double process_table_seconds(const struct process_table *table)
{
	if (!table->since_ns || table->look_ns <= table->since_ns)
		return 0;
	return (double)(table->look_ns - table->since_ns) / EBB_NS_PER_SEC;
}

size_t process_table_count(const struct process_table *table)
{
	return table->n;
}

struct process *process_table_at(struct process_table *table, size_t index)
{
	return table->all[index];
}

size_t process_table_gone_count(const struct process_table *table)
{
	return table->n_gone;
}

struct process_gone *process_table_gone_at(struct process_table *table, size_t index)
{
	return &table->gone[index];
}

static bool stays(bool *keep, unsigned *kept)
{
	*kept = *keep ? *kept + 1 : 0;
	*keep = false;
	return *kept && *kept < KEPT_MAX;
}

static bool is_over(const struct process *process)
{
	return (process->ended || process->unseen >= UNSEEN_MAX) && !process->open &&
	       !process->closing;
}

/* Those whose series are still open stay, to be closed. */
static void next_gone(struct process_table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->n_gone; i++) {
		struct process_gone *gone = &table->gone[i];
		struct ebb_process key = {.container_id = gone->container_id};
		bool keep = stays(&gone->keep, &gone->kept);

		memcpy(key.comm, gone->comm, sizeof(key.comm));
		hash_remove(&table->by_command, command_hash(&key), gone);
		if (!gone->open && !keep) {
			free(gone->tags);
			continue;
		}
		if (!keep) {
			gone->use = (struct process_use){0};
			gone->count = 0;
		}
		table->gone[kept] = *gone;
		if (hash_add(&table->by_command, command_hash(&key), &table->gone[kept]) < 0)
			free(gone->tags);
		else
			kept++;
	}
	table->n_gone = kept;
}

void process_table_next(struct process_table *table)
{
	table->since_ns = table->look_ns;
	for (size_t i = table->n; i-- > 0;) {
		struct process *process = table->all[i];
		struct process_use *use = &process->use;
		bool keep = stays(&process->keep, &process->kept);

		if (!process->closing) {
			free(process->closing_tags);
			process->closing_tags = NULL;
		}
		process->unknown = false;
		if (keep)
			continue;
		if (is_over(process)) {
			process_remove(table, process);
			continue;
		}
		*use = (struct process_use){
			.rss_pages = use->rss_pages,
			.vm_pages = use->vm_pages,
		};
	}
	next_gone(table);
}

/* Below: atop_to_json.py's value filter. */
#define CPU_LEAST  0.05
#define MEM_LEAST  10
#define DISK_LEAST 0.05

unsigned series_groups_worth(const double *values)
{
	unsigned groups = 0;

	if (values[SERIES_CPU_USER] + values[SERIES_CPU_KERNEL] >= CPU_LEAST)
		groups |= SERIES_GROUP_CPU;
	if (values[SERIES_VIRTUAL] >= MEM_LEAST && values[SERIES_RESIDENT] >= MEM_LEAST)
		groups |= SERIES_GROUP_MEM;
	if (values[SERIES_READS] + values[SERIES_WRITES] >= DISK_LEAST)
		groups |= SERIES_GROUP_DISK;
	return groups;
}
