/* SPDX-License-Identifier: Apache-2.0 */
#include "io_carry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "../bpf/sampler.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

/* More containers than any host has: what is larger is not ours. */
#define ENTRIES_MAX 65536

struct entry {
	uint64_t id;
	struct ebb_io_count count;
};

struct io_carry {
	struct hash by_id;
};

static bool has_id(const void *value, const void *key)
{
	return ((const struct entry *)value)->id == *(const uint64_t *)key;
}

static int read_entries(FILE *f, const char *path, struct io_carry *carry)
{
	unsigned long long v[5];
	char line[160];

	for (size_t n = 0; fgets(line, sizeof(line), f); n++) {
		struct entry *entry;

		if (n == ENTRIES_MAX || !strchr(line, '\n') ||
		    sscanf(line, "%llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4]) !=
			    5) {
			log_warning("%s is damaged: counts of block I/O begin anew", path);
			return 0;
		}
		entry = malloc(sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		*entry = (struct entry){v[0], {v[1], v[2], v[3], v[4]}};
		if (hash_find(&carry->by_id, hash_u64(entry->id), has_id, &entry->id)) {
			free(entry);
			continue;
		}
		if (hash_add(&carry->by_id, hash_u64(entry->id), entry) < 0) {
			free(entry);
			return -ENOMEM;
		}
	}
	return 0;
}

int io_carry_load(const char *path, const char *boot_id, struct io_carry **ret_carry)
{
	struct io_carry *carry = calloc(1, sizeof(*carry));
	_cleanup_file_ FILE *f = fopen(path, "re");
	char line[160];
	int r = carry ? 0 : -ENOMEM;

	if (r == 0 && f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, boot_id) == 0)
			r = read_entries(f, path, carry);
	}
	if (f)
		unlink(path);
	if (r < 0)
		io_carry_free(carry);
	else
		*ret_carry = carry;
	return r;
}

void io_carry_free(struct io_carry *carry)
{
	if (!carry)
		return;
	for (size_t i = 0; i < carry->by_id.size; i++)
		free(carry->by_id.slots[i].value);
	hash_clear(&carry->by_id);
	free(carry);
}

bool io_carry_take(struct io_carry *carry, uint64_t id, struct ebb_io_count *ret_count)
{
	struct entry *entry = carry ? hash_find(&carry->by_id, hash_u64(id), has_id, &id) : NULL;

	if (!entry)
		return false;
	*ret_count = entry->count;
	hash_remove(&carry->by_id, hash_u64(id), entry);
	free(entry);
	return true;
}

int io_carry_save(const char *path, const char *boot_id, const uint64_t *ids,
		  const struct ebb_io_count *counts, size_t n)
{
	_cleanup_free_ char *fresh = NULL;
	FILE *f;
	int r;

	if (asprintf(&fresh, "%s.new", path) < 0) {
		fresh = NULL;
		return -ENOMEM;
	}
	f = fopen(fresh, "we");
	if (!f)
		return -errno;
	fprintf(f, "%s\n", boot_id);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%" PRIu64 " %llu %llu %llu %llu\n", ids[i],
			(unsigned long long)counts[i].read_bytes,
			(unsigned long long)counts[i].write_bytes,
			(unsigned long long)counts[i].read_ops,
			(unsigned long long)counts[i].write_ops);
	r = ferror(f) ? -EIO : 0;
	if (fclose(f) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(fresh);
	return r;
}
