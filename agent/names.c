/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "hash.h"
#include "name_lanes.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"

/* Engines write down a container before they make its cgroup, or a moment later. */
#define RETRY_NS (100 * EBB_NS_PER_MS)
/* For engines that were down and, less often, containers that were renamed: one fstat() each. */
#define REFRESH_NS     (5 * EBB_NS_PER_SEC)
#define REFRESH_ROUNDS 12 /* of those whose names are known */

struct entry {
	uint64_t id, stamp;
	uint64_t added_ns;
	const char *engine;
	char *path, *key;
	size_t position;
	unsigned asked;  /* the families whose answers are not there yet */
	unsigned family; /* that knows it; 0: none does */
	bool lost;       /* it did once, and does not any more */
	bool told;       /* `named` was called, with or without a name */
	/* The best that the last round has found so far; of no family: nothing. */
	struct engine_answer found;
	unsigned found_in;
	int error; /* of one that could not say */
};

struct names {
	struct names_options options;
	struct name_lanes *lanes;
	struct hash by_id;
	struct entry **entries;
	size_t n, size, n_untold, n_asked;
	struct loop_source *source, *retry_timer, *refresh_timer;
	bool retrying, told_unreadable;
	unsigned slow; /* families that take too long */
	unsigned round;
};

static bool id_equal(const void *value, const void *key)
{
	return ((const struct entry *)value)->id == *(const uint64_t *)key;
}

static struct entry *find(const struct names *names, uint64_t id)
{
	return hash_find(&names->by_id, hash_u64(id), id_equal, &id);
}

static void entry_free(struct entry *entry)
{
	engine_answer_clear(&entry->found);
	free(entry->path);
	free(entry->key);
	free(entry);
}

/* Whoever knows it, or else everybody that may. What cannot be asked now is in the next round. */
static void ask(struct names *names, struct entry *entry)
{
	unsigned families =
		entry->family && !entry->lost ? entry->family : engines_families(entry->engine);

	for (unsigned family = 1; family <= families; family <<= 1) {
		struct engine_query query = {
			.engine = entry->engine,
			.path = entry->path,
			.key = entry->key,
			.stamp = family == entry->family ? entry->stamp : 0,
		};

		if (!(families & family & ~entry->asked) ||
		    name_lanes_ask(names->lanes, family, entry->id, &query) < 0)
			continue;
		entry->asked |= family;
		names->n_asked++;
	}
}

static void tell(struct names *names, struct entry *entry, struct engine_answer *answer)
{
	uint64_t id = entry->id;

	if (!entry->told)
		names->n_untold--;
	entry->told = true;
	/* It may remove the entry. */
	names->options.named(names->options.userdata, id, answer);
}

static void retry_later(struct names *names)
{
	if (names->retrying)
		return;
	names->retrying = true;
	loop_set_timer(names->retry_timer, RETRY_NS, 0);
}

static void tell_unreadable(struct names *names, const struct entry *entry)
{
	if (!names->told_unreadable)
		log_warning_errno(entry->error,
				  "the engines' state about the container at %s cannot be read: "
				  "such containers are called by their ids",
				  entry->path);
	names->told_unreadable = true;
}

/* When all have answered who may know better than the one that knows it, but for slow ones. */
static void conclude(struct names *names, struct entry *entry)
{
	struct engine_answer found = entry->found;

	if (entry->found_in && !(entry->asked & (entry->found_in - 1) & ~names->slow)) {
		entry->family = entry->found_in;
		entry->stamp = found.stamp;
		entry->lost = false;
		entry->found = (struct engine_answer){0};
		entry->found_in = 0;
		entry->error = 0;
		tell(names, entry, &found);
		engine_answer_clear(&found);
		return;
	}
	if (entry->asked || entry->found_in)
		return;
	if (entry->error)
		tell_unreadable(names, entry);
	entry->error = 0;
	if (!entry->told)
		retry_later(names);
}

static void take_answer(struct names *names, struct name_answer *one)
{
	struct entry *entry = find(names, one->id);
	bool settled;

	names->n_asked--;
	/* It has gone, and its id may be another one's by now. */
	if (!entry || strcmp(entry->path, one->query.path))
		return;
	entry->asked &= ~one->family;
	settled = entry->family && !entry->lost;
	if (one->result == 0 && !(settled && one->family > entry->family) &&
	    !(entry->found_in && one->family > entry->found_in)) {
		engine_answer_clear(&entry->found);
		entry->found = one->answer;
		entry->found_in = one->family;
		one->answer = (struct engine_answer){0};
	} else if (one->result < 0 && one->result != -EALREADY) {
		entry->lost = entry->lost || one->family == entry->family;
		if (one->result != -ENOENT)
			entry->error = one->result;
	}
	conclude(names, entry);
}

static int by_age(const void *a, const void *b)
{
	const struct name_answer *x = *(struct name_answer *const *)a,
				 *y = *(struct name_answer *const *)b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->family < y->family ? -1 : x->family > y->family;
}

static void take_answers(struct names *names)
{
	struct name_answer *first = name_lanes_take(names->lanes), *one;
	size_t n = 0;

	names->slow = name_lanes_slow(names->lanes);
	for (one = first; one; one = one->next)
		n++;
	_cleanup_free_ struct name_answer **all = calloc(n + 1, sizeof(*all));
	n = 0;
	for (struct name_answer *next; first; first = next) {
		next = first->next;
		if (all) {
			all[n++] = first;
			continue;
		}
		take_answer(names, first);
		name_answer_free(first);
	}
	if (all)
		qsort(all, n, sizeof(*all), by_age);
	for (size_t i = 0; i < n; i++) {
		take_answer(names, all[i]);
		name_answer_free(all[i]);
	}
}

static void on_finished(void *userdata, int fd, uint32_t events)
{
	take_answers(userdata);
}

/* What waited for one that has become slow. */
static void conclude_all(struct names *names)
{
	names->slow = name_lanes_slow(names->lanes);
	/* Being told may remove some. */
	for (size_t i = names->n; i-- > 0;)
		if (i < names->n && names->entries[i]->found_in)
			conclude(names, names->entries[i]);
}

static void on_retry(void *userdata)
{
	struct names *names = userdata;
	uint64_t now = now_ns();

	names->retrying = false;
	conclude_all(names);
	for (size_t i = names->n; i-- > 0 && names->n_untold > 0;) {
		struct entry *entry;

		/* Being told may have removed some. */
		if (i >= names->n)
			continue;
		entry = names->entries[i];
		if (entry->told)
			continue;
		ask(names, entry);
		if (now - entry->added_ns >= NAMES_WAIT_NS)
			tell(names, entry, NULL);
	}
	if (names->n_untold > 0)
		retry_later(names);
}

static void on_refresh(void *userdata)
{
	struct names *names = userdata;

	names->round++;
	conclude_all(names);
	for (size_t i = 0; i < names->n; i++) {
		struct entry *entry = names->entries[i];

		if (!entry->family || entry->lost || names->round % REFRESH_ROUNDS == 0)
			ask(names, entry);
	}
}

int names_add(struct names *names, const struct container *container)
{
	struct entry *entry;
	int r = -ENOMEM;

	names_remove(names, container->id);
	if (names->n == names->size) {
		size_t size = names->size ? 2 * names->size : 64;
		struct entry **entries = realloc(names->entries, size * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		names->entries = entries;
		names->size = size;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->id = container->id;
	entry->engine = container->engine;
	entry->added_ns = now_ns();
	entry->position = names->n;
	entry->path = strdup(container->path);
	entry->key = strdup(container->key);
	if (entry->path && entry->key)
		r = hash_add(&names->by_id, hash_u64(entry->id), entry);
	if (r < 0) {
		entry_free(entry);
		return r;
	}
	names->entries[names->n++] = entry;
	names->n_untold++;
	ask(names, entry);
	/* A thread may hang, and the second passes all the same. */
	retry_later(names);
	return 0;
}

static void drop(struct names *names, struct entry *entry)
{
	struct entry *last = names->entries[--names->n];

	last->position = entry->position;
	names->entries[last->position] = last;
	if (!entry->told)
		names->n_untold--;
	hash_remove(&names->by_id, hash_u64(entry->id), entry);
	entry_free(entry);
}

void names_remove(struct names *names, uint64_t id)
{
	struct entry *entry = find(names, id);

	if (entry)
		drop(names, entry);
}

void names_settle(struct names *names, unsigned timeout_ms)
{
	uint64_t until = now_ns() + timeout_ms * EBB_NS_PER_MS, now;
	size_t answered = 0;

	while (answered < names->n_asked && (now = now_ns()) < until) {
		struct pollfd ready = {.fd = name_lanes_fd(names->lanes), .events = POLLIN};
		eventfd_t count;

		poll(&ready, 1, (int)((until - now) / EBB_NS_PER_MS) + 1);
		eventfd_read(name_lanes_fd(names->lanes), &count);
		answered = name_lanes_answered(names->lanes);
	}
	take_answers(names);
}

int names_new(const struct names_options *options, struct names **ret_names)
{
	struct names *names = calloc(1, sizeof(*names));
	int r;

	if (!names)
		return -ENOMEM;
	names->options = *options;
	r = name_lanes_new(&options->roots, &names->lanes);
	if (r >= 0)
		r = loop_add_fd(options->loop, name_lanes_fd(names->lanes), EPOLLIN, on_finished,
				names, &names->source);
	if (r >= 0)
		r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_retry, names,
				   &names->retry_timer);
	if (r >= 0)
		r = loop_add_timer(options->loop, REFRESH_NS, REFRESH_NS, on_refresh, names,
				   &names->refresh_timer);
	if (r < 0) {
		names_free(names);
		return r;
	}
	*ret_names = names;
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	loop_remove(names->source);
	loop_remove(names->retry_timer);
	loop_remove(names->refresh_timer);
	name_lanes_free(names->lanes);
	while (names->n > 0)
		drop(names, names->entries[names->n - 1]);
	free(names->entries);
	hash_clear(&names->by_id);
	free(names);
}
