/* SPDX-License-Identifier: Apache-2.0 */
#include "cpumap.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"

#define CORE_SHARES EBB_SHARES_PER_CORE
/* The document's key for what nobody owns: a container of that name cannot be accounted. */
#define FREE_KEY "free"
#define NO_CORE  UINT_MAX

struct core {
	unsigned cpu;
	int free;
	json_t *json; /* its object in `mapping`; NULL when there is none */
};

/* Owners are few per core and cores few per owner: a sparse row each, in order of acquisition. */
struct share {
	unsigned core; /* index into cores, not a CPU id; in a cpumap_row the id */
	int shares;
};

struct owner {
	struct owner *next;
	char *name;
	uint32_t hash;
	int64_t total;
	struct share *row;
	size_t n, room;
};

struct cpumap {
	struct core *cores; /* in the order they are handed out */
	size_t n_cores;
	unsigned *places; /* by CPU id: index into cores; NO_CORE */
	size_t n_places;
	int64_t free;
	struct owner **buckets;
	size_t n_buckets; /* a power of two */
	size_t n_owners;
	json_t *mapping; /* the document's, kept in step from when it is first asked for; NULL */
};

struct cpumap_row {
	int64_t total;
	size_t n;
	struct share row[];
};

/* --- owners --- */

static uint32_t hash_name(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash;
}

static struct owner **owner_place(const struct cpumap *map, const char *name, uint32_t hash)
{
	struct owner **place = &map->buckets[hash & (map->n_buckets - 1)];

	while (*place && ((*place)->hash != hash || strcmp((*place)->name, name) != 0))
		place = &(*place)->next;
	return place;
}

static struct owner *owner_find(const struct cpumap *map, const char *name)
{
	return *owner_place(map, name, hash_name(name));
}

/* Longer chains are slower, not wrong: no memory for more buckets is no failure. */
static void more_buckets(struct cpumap *map)
{
	size_t n = map->n_buckets * 2;
	struct owner **buckets = calloc(n, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < map->n_buckets; i++) {
		struct owner *next;

		for (struct owner *o = map->buckets[i]; o; o = next) {
			next = o->next;
			o->next = buckets[o->hash & (n - 1)];
			buckets[o->hash & (n - 1)] = o;
		}
	}
	free(map->buckets);
	map->buckets = buckets;
	map->n_buckets = n;
}

static struct owner *owner_get(struct cpumap *map, const char *name)
{
	uint32_t hash = hash_name(name);
	struct owner **place = owner_place(map, name, hash), *owner;

	if (*place)
		return *place;
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return NULL;
	owner->name = strdup(name);
	if (!owner->name) {
		free(owner);
		return NULL;
	}
	owner->hash = hash;
	*place = owner;
	if (++map->n_owners > map->n_buckets)
		more_buckets(map);
	return owner;
}

static void owner_free(struct owner *owner)
{
	free(owner->name);
	free(owner->row);
	free(owner);
}

static void owner_drop_if_empty(struct cpumap *map, struct owner *owner)
{
	if (owner->n)
		return;
	*owner_place(map, owner->name, owner->hash) = owner->next;
	map->n_owners--;
	owner_free(owner);
}

static int owner_reserve(struct owner *owner, size_t n)
{
	struct share *row;
	size_t room;

	if (n <= owner->room)
		return 0;
	room = MAX(n, MAX(owner->room * 2, (size_t)4));
	row = reallocarray(owner->row, room, sizeof(*row));
	if (!row)
		return -ENOMEM;
	owner->row = row;
	owner->room = room;
	return 0;
}

static void drop_mapping(struct cpumap *map)
{
	json_decref(map->mapping);
	map->mapping = NULL;
}

static void follow_mapping(struct cpumap *map, const struct owner *owner, const struct share *share)
{
	json_t *core = map->cores[share->core].json;
	int r = json_object_set_new(core, FREE_KEY, json_integer(map->cores[share->core].free));

	if (share->shares)
		r |= json_object_set_new(core, owner->name, json_integer(share->shares));
	else
		json_object_del(core, owner->name);
	/* Without memory it is made anew when there is some. */
	if (r < 0)
		drop_mapping(map);
}

/* Moves shares between the core's `free` and the owner's entry; negative gives back. */
static void move(struct cpumap *map, struct owner *owner, struct share *share, int shares)
{
	share->shares += shares;
	owner->total += shares;
	map->cores[share->core].free -= shares;
	map->free -= shares;
	if (map->mapping)
		follow_mapping(map, owner, share);
}

/* The owner has no entry for `core` yet, and room for one. */
static void append(struct cpumap *map, struct owner *owner, size_t core, int shares)
{
	struct share *share = &owner->row[owner->n++];

	*share = (struct share){.core = (unsigned)core};
	move(map, owner, share, shares);
}

static void drop_entry(struct owner *owner, size_t i)
{
	memmove(&owner->row[i], &owner->row[i + 1], (owner->n - i - 1) * sizeof(*owner->row));
	owner->n--;
}

/* --- the map --- */

static int find_places(struct cpumap *map)
{
	for (size_t i = 0; i < map->n_cores; i++)
		map->n_places = MAX(map->n_places, (size_t)map->cores[i].cpu + 1);
	map->places = malloc((map->n_places + 1) * sizeof(*map->places));
	if (!map->places)
		return -ENOMEM;
	for (size_t i = 0; i < map->n_places; i++)
		map->places[i] = NO_CORE;
	for (size_t i = 0; i < map->n_cores; i++)
		map->places[map->cores[i].cpu] = (unsigned)i;
	return 0;
}

static unsigned place_of(const struct cpumap *map, unsigned cpu)
{
	return cpu < map->n_places ? map->places[cpu] : NO_CORE;
}

int cpumap_new(const struct cpu_list *order, struct cpumap **ret_map)
{
	struct cpumap *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	map->n_buckets = 16;
	map->buckets = calloc(map->n_buckets, sizeof(*map->buckets));
	map->cores = calloc(order->n + 1, sizeof(*map->cores));
	if (!map->buckets || !map->cores) {
		cpumap_free(map);
		return -ENOMEM;
	}
	map->n_cores = order->n;
	for (size_t i = 0; i < order->n; i++)
		map->cores[i] = (struct core){.cpu = order->cpus[i], .free = CORE_SHARES};
	if (find_places(map) < 0) {
		cpumap_free(map);
		return -ENOMEM;
	}
	map->free = (int64_t)order->n * CORE_SHARES;
	*ret_map = map;
	return 0;
}

void cpumap_free(struct cpumap *map)
{
	if (!map)
		return;
	drop_mapping(map);
	for (size_t i = 0; map->buckets && i < map->n_buckets; i++) {
		struct owner *next;

		for (struct owner *o = map->buckets[i]; o; o = next) {
			next = o->next;
			owner_free(o);
		}
	}
	free(map->buckets);
	free(map->places);
	free(map->cores);
	free(map);
}

bool cpumap_has_cpus(const struct cpumap *map, const struct cpu_list *cpus)
{
	for (size_t i = 0; i < cpus->n; i++)
		if (place_of(map, cpus->cpus[i]) == NO_CORE)
			return false;
	return cpus->n == map->n_cores;
}

static bool has_order(const struct cpumap *map, const struct cpu_list *order)
{
	for (size_t i = 0; i < map->n_cores; i++)
		if (i >= order->n || map->cores[i].cpu != order->cpus[i])
			return false;
	return order->n == map->n_cores;
}

int cpumap_reorder(struct cpumap *map, const struct cpu_list *order)
{
	_cleanup_free_ unsigned *to = malloc((map->n_cores + 1) * sizeof(*to));
	struct core *cores = calloc(map->n_cores + 1, sizeof(*cores));
	size_t n = 0;

	if (!to || !cores || has_order(map, order)) {
		free(cores);
		return to && cores ? 0 : -ENOMEM;
	}
	/* Its keys are in the order, too. */
	drop_mapping(map);
	for (size_t i = 0; i < map->n_cores; i++)
		to[i] = NO_CORE;
	for (size_t i = 0; i < order->n; i++) {
		unsigned from = place_of(map, order->cpus[i]);

		if (from == NO_CORE || to[from] != NO_CORE)
			continue;
		to[from] = (unsigned)n;
		cores[n++] = map->cores[from];
	}
	for (size_t i = 0; i < map->n_cores; i++) {
		if (to[i] != NO_CORE)
			continue;
		to[i] = (unsigned)n;
		cores[n++] = map->cores[i];
	}
	for (size_t b = 0; b < map->n_buckets; b++)
		for (struct owner *o = map->buckets[b]; o; o = o->next)
			for (size_t i = 0; i < o->n; i++)
				o->row[i].core = to[o->row[i].core];
	free(map->cores);
	map->cores = cores;
	for (size_t i = 0; i < map->n_cores; i++)
		map->places[map->cores[i].cpu] = (unsigned)i;
	return 0;
}

int cpumap_inherit(struct cpumap *map, const struct cpumap *before)
{
	for (size_t b = 0; b < before->n_buckets; b++)
		for (const struct owner *from = before->buckets[b]; from; from = from->next) {
			struct owner *to = owner_get(map, from->name);

			if (!to || owner_reserve(to, from->n) < 0) {
				if (to)
					owner_drop_if_empty(map, to);
				return -ENOMEM;
			}
			for (size_t i = 0; i < from->n; i++) {
				unsigned place =
					place_of(map, before->cores[from->row[i].core].cpu);

				if (place != NO_CORE)
					append(map, to, place, from->row[i].shares);
			}
			owner_drop_if_empty(map, to);
		}
	return 0;
}

int64_t cpumap_total(const struct cpumap *map)
{
	return (int64_t)map->n_cores * CORE_SHARES;
}

int64_t cpumap_free_shares(const struct cpumap *map)
{
	return map->free;
}

int64_t cpumap_owned(const struct cpumap *map, const char *owner)
{
	const struct owner *o = owner_find(map, owner);

	return o ? o->total : 0;
}

int cpumap_cpus(const struct cpumap *map, const char *owner, struct cpu_list *ret_cpus)
{
	const struct owner *o = owner_find(map, owner);
	struct cpu_list cpus = {0};

	if (o) {
		cpus.cpus = calloc(o->n, sizeof(*cpus.cpus));
		if (!cpus.cpus)
			return -ENOMEM;
		for (size_t i = 0; i < o->n; i++)
			cpus.cpus[cpus.n++] = map->cores[o->row[i].core].cpu;
	}
	*ret_cpus = cpus;
	return 0;
}

int64_t cpumap_grow(struct cpumap *map, const char *owner, int64_t shares)
{
	int64_t wanted = shares = MIN(shares, map->free);
	struct owner *o;

	if (wanted <= 0 || strcmp(owner, FREE_KEY) == 0)
		return 0;
	o = owner_get(map, owner);
	if (!o)
		return 0;
	for (size_t i = 0; i < o->n && wanted > 0; i++) {
		int take = (int)MIN(wanted, map->cores[o->row[i].core].free);

		move(map, o, &o->row[i], take);
		wanted -= take;
	}
	/* Its own cores are full by now, so neither pass meets one of them again. */
	for (int least = CORE_SHARES; least > 0; least -= CORE_SHARES - 1) {
		for (size_t i = 0; i < map->n_cores && wanted > 0; i++) {
			int take = (int)MIN(wanted, map->cores[i].free);

			if (map->cores[i].free < least)
				continue;
			if (owner_reserve(o, o->n + 1) < 0)
				goto out;
			append(map, o, i, take);
			wanted -= take;
		}
	}
out:
	owner_drop_if_empty(map, o);
	return shares - wanted;
}

int cpumap_free_cpus(const struct cpumap *map, struct cpu_list *ret_cpus)
{
	unsigned *cpus = calloc(map->n_cores + 1, sizeof(*cpus));
	size_t n = 0;

	if (!cpus)
		return -ENOMEM;
	for (int whole = 1; whole >= 0; whole--)
		for (size_t i = 0; i < map->n_cores; i++)
			if (map->cores[i].free > 0 && (map->cores[i].free == CORE_SHARES) == whole)
				cpus[n++] = map->cores[i].cpu;
	*ret_cpus = (struct cpu_list){.cpus = cpus, .n = n};
	return 0;
}

int64_t cpumap_shrink(struct cpumap *map, const char *owner, int64_t shares)
{
	struct owner *o = owner_find(map, owner);
	int64_t left = shares;

	if (!o || shares <= 0)
		return 0;
	while (left > 0 && o->n) {
		size_t least = 0;
		int give;

		for (size_t i = 1; i < o->n; i++) {
			const struct share *a = &o->row[i], *b = &o->row[least];

			if (a->shares < b->shares || (a->shares == b->shares && a->core > b->core))
				least = i;
		}
		give = (int)MIN(left, o->row[least].shares);
		move(map, o, &o->row[least], -give);
		left -= give;
		if (!o->row[least].shares)
			drop_entry(o, least);
	}
	owner_drop_if_empty(map, o);
	return shares - left;
}

void cpumap_release(struct cpumap *map, const char *owner)
{
	cpumap_shrink(map, owner, cpumap_owned(map, owner));
}

/* --- rows --- */

int cpumap_save(const struct cpumap *map, const char *owner, struct cpumap_row **ret_row)
{
	const struct owner *o = owner_find(map, owner);
	size_t n = o ? o->n : 0;
	struct cpumap_row *row = malloc(sizeof(*row) + n * sizeof(row->row[0]));

	if (!row)
		return -ENOMEM;
	row->total = o ? o->total : 0;
	row->n = n;
	for (size_t i = 0; i < n; i++)
		row->row[i] = (struct share){map->cores[o->row[i].core].cpu, o->row[i].shares};
	*ret_row = row;
	return 0;
}

static int shares_on(const struct owner *owner, unsigned core)
{
	for (size_t i = 0; i < owner->n; i++)
		if (owner->row[i].core == core)
			return owner->row[i].shares;
	return 0;
}

int cpumap_restore(struct cpumap *map, const char *owner, const struct cpumap_row *row)
{
	struct owner *o;

	if (!row->n) {
		cpumap_release(map, owner);
		return 0;
	}
	o = owner_get(map, owner);
	if (!o)
		return -ENOMEM;
	for (size_t i = 0; i < row->n; i++) {
		unsigned core = place_of(map, row->row[i].core);

		if (core == NO_CORE ||
		    map->cores[core].free + shares_on(o, core) < row->row[i].shares) {
			owner_drop_if_empty(map, o);
			return -ENOSPC;
		}
	}
	if (owner_reserve(o, row->n) < 0) {
		owner_drop_if_empty(map, o);
		return -ENOMEM;
	}
	for (size_t i = 0; i < o->n; i++)
		move(map, o, &o->row[i], -o->row[i].shares);
	o->n = 0;
	for (size_t i = 0; i < row->n; i++)
		append(map, o, place_of(map, row->row[i].core), row->row[i].shares);
	return 0;
}

void cpumap_row_free(struct cpumap_row *row)
{
	free(row);
}

/* --- documents --- */

json_t *cpumap_mapping(struct cpumap *map)
{
	json_t *mapping = map->mapping;

	if (mapping)
		return mapping;
	mapping = json_object();
	if (!mapping)
		return NULL;
	for (size_t i = 0; i < map->n_cores; i++) {
		char cpu[16];

		snprintf(cpu, sizeof(cpu), "%u", map->cores[i].cpu);
		map->cores[i].json = json_object();
		if (json_object_set_new(mapping, cpu, map->cores[i].json) < 0)
			goto fail;
	}
	for (size_t b = 0; b < map->n_buckets; b++)
		for (const struct owner *o = map->buckets[b]; o; o = o->next)
			for (size_t i = 0; i < o->n; i++)
				if (json_object_set_new(map->cores[o->row[i].core].json, o->name,
							json_integer(o->row[i].shares)) < 0)
					goto fail;
	for (size_t i = 0; i < map->n_cores; i++)
		if (json_object_set_new(map->cores[i].json, FREE_KEY,
					json_integer(map->cores[i].free)) < 0)
			goto fail;
	map->mapping = mapping;
	return mapping;
fail:
	json_decref(mapping);
	return NULL;
}

json_t *cpumap_to_json(struct cpumap *map)
{
	return json_deep_copy(cpumap_mapping(map));
}

bool cpumap_load_json(struct cpumap *map, const json_t *mapping)
{
	bool whole = json_is_object(mapping);
	size_t known = 0;

	/* In the map's order: which core an owner got first is not in the document. */
	for (size_t i = 0; i < map->n_cores; i++) {
		const char *name;
		json_t *core, *value;
		char cpu[16];

		snprintf(cpu, sizeof(cpu), "%u", map->cores[i].cpu);
		core = json_object_get(mapping, cpu);
		if (!core)
			continue;
		known++;
		if (!json_is_object(core))
			whole = false;
		json_object_foreach(core, name, value) {
			double shares = json_is_number(value) ? json_number_value(value) : -1;
			int take = (int)CLAMP(shares, 0, (double)map->cores[i].free);
			struct owner *owner;

			if (strcmp(name, FREE_KEY) == 0)
				continue;
			if (take != shares)
				whole = false;
			if (!take)
				continue;
			owner = owner_get(map, name);
			if (!owner || owner_reserve(owner, owner->n + 1) < 0) {
				whole = false;
				if (owner)
					owner_drop_if_empty(map, owner);
				continue;
			}
			if (shares_on(owner, (unsigned)i)) {
				whole = false; /* the map was not new */
				continue;
			}
			append(map, owner, i, take);
		}
	}
	return whole && known == json_object_size(mapping);
}

/* --- invariant --- */

static char *complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *complain(const char *format, ...)
{
	va_list ap;
	char *text;
	int r;

	va_start(ap, format);
	r = vasprintf(&text, format, ap);
	va_end(ap);
	return r < 0 ? strdup("the core map does not add up") : text;
}

char *cpumap_check(const struct cpumap *map)
{
	_cleanup_free_ int *sums = calloc(map->n_cores + 1, sizeof(*sums));
	int64_t free_shares = 0;

	if (!sums)
		return complain("no memory to check the core map");
	for (size_t b = 0; b < map->n_buckets; b++)
		for (const struct owner *o = map->buckets[b]; o; o = o->next) {
			int64_t total = 0;

			for (size_t i = 0; i < o->n; i++) {
				if (o->row[i].shares < 1)
					return complain("%s owns %d shares of cpu %u", o->name,
							o->row[i].shares,
							map->cores[o->row[i].core].cpu);
				sums[o->row[i].core] += o->row[i].shares;
				total += o->row[i].shares;
			}
			if (!total || total != o->total)
				return complain("%s is said to own %lld shares, its cores say %lld",
						o->name, (long long)o->total, (long long)total);
		}
	for (size_t i = 0; i < map->n_cores; i++) {
		free_shares += map->cores[i].free;
		if (map->cores[i].free < 0 || sums[i] + map->cores[i].free != CORE_SHARES)
			return complain("cpu %u: owners have %d shares and %d are free, want %d",
					map->cores[i].cpu, sums[i], map->cores[i].free,
					CORE_SHARES);
	}
	if (free_shares != map->free)
		return complain("%lld shares are said to be free, the cores say %lld",
				(long long)map->free, (long long)free_shares);
	return NULL;
}
