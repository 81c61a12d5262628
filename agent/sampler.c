/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/util.h"
#include "io_carry.h"
#include "sampler_ops.h"

void sample_step(struct ebb_sample *sample)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	__atomic_store_n(&sample->seq, sample->seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static const struct sampler_ops *ops_of(enum sampler_kind kind)
{
	return kind == SAMPLER_HELD   ? &sampler_held_ops
	       : kind == SAMPLER_WALK ? &sampler_walk_ops
				      : &sampler_files_ops;
}

static void *map_memory(const struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int map_records(struct sampler *sampler)
{
	size_t n = sampler->slots_max;

	if (!sampler->bpf) {
		sampler->samples =
			aligned_alloc(sizeof(struct ebb_sample), n * sizeof(struct ebb_sample));
		if (!sampler->samples)
			return -ENOMEM;
		memset(sampler->samples, 0, n * sizeof(struct ebb_sample));
		return 0;
	}
	sampler->samples =
		map_memory(sampler->bpf->maps->maps.samples, n * sizeof(struct ebb_sample));
	sampler->io_counts =
		map_memory(sampler->bpf->maps->maps.io_counts, n * sizeof(struct ebb_io_count));
	if (!sampler->samples || !sampler->io_counts)
		return log_error_errno(errno, "cannot map the sample records");
	return 0;
}

static void sampler_clear(struct sampler *sampler, unsigned slot);

int sampler_new(enum sampler_kind kind, struct bpf_programs *bpf,
		const struct hierarchies *hierarchies, unsigned max_containers,
		struct sampler **ret_sampler)
{
	enum sampler_kind loaded = bpf ? bpf->kind : SAMPLER_FILES;
	struct sampler *sampler;
	int r;

	if (kind == SAMPLER_AUTO)
		kind = loaded;
	if (kind != SAMPLER_FILES && kind != loaded)
		return log_error_errno(EOPNOTSUPP, "the %s sampler's programs are not loaded",
				       ops_of(kind)->name);
	sampler = calloc(1, sizeof(*sampler));
	if (!sampler)
		return -ENOMEM;
	sampler->ops = ops_of(kind);
	sampler->bpf = bpf;
	sampler->hierarchies = hierarchies;
	sampler->slots_max = bpf ? bpf->max_containers : MAX(max_containers, 1);
	snprintf(sampler->reason, sizeof(sampler->reason), "%s",
		 !bpf             ? "no eBPF here"
		 : kind == loaded ? bpf->reason
				  : "asked for");
	sampler->keys = calloc(sampler->slots_max, sizeof(*sampler->keys));
	r = sampler->keys ? map_records(sampler) : -ENOMEM;
	if (r == 0)
		r = sampler->ops->start(sampler);
	if (r < 0) {
		sampler_free(sampler);
		return r;
	}
	log_debug("sampling by the %s sampler: %s", sampler->ops->name, sampler->reason);
	*ret_sampler = sampler;
	return 0;
}

void sampler_free(struct sampler *sampler)
{
	size_t n;

	if (!sampler)
		return;
	n = sampler->slots_max;
	for (unsigned slot = 0; slot < sampler->high; slot++)
		if (sampler->samples[slot].id)
			sampler_clear(sampler, slot);
	sampler->ops->stop(sampler);
	if (!sampler->bpf)
		free(sampler->samples);
	else if (sampler->samples)
		munmap(sampler->samples, n * sizeof(struct ebb_sample));
	if (sampler->io_counts)
		munmap(sampler->io_counts, n * sizeof(struct ebb_io_count));
	free(sampler->keys);
	io_carry_free(sampler->carry);
	free(sampler);
}

const char *sampler_name(const struct sampler *sampler)
{
	return sampler->ops->name;
}

const char *sampler_reason(const struct sampler *sampler)
{
	return sampler->reason;
}

static void delete_keys(struct sampler *sampler, unsigned slot)
{
	for (unsigned what = 0; sampler->bpf && what < EBB_HELD_MAX; what++) {
		struct ebb_cgroup_key *key = &sampler->keys[slot][what];

		if (key->id)
			bpf_map_delete_elem(bpf_map__fd(sampler->bpf->maps->maps.cgroups), key);
		key->id = 0;
	}
}

/*
 * Keys are there before any reference is taken: a cgroup removed in between is refused as dead, one
 * removed later finds its key.
 */
static int set_keys(struct sampler *sampler, const struct container *container, unsigned slot)
{
	const struct ebb_host *host;

	delete_keys(sampler, slot);
	if (!sampler->bpf)
		return 0;
	host = &sampler->bpf->host;
	for (unsigned what = 0; what < EBB_HELD_MAX; what++) {
		enum cgroup_controller controller = held_controller(what);
		struct ebb_cgroup_key *key = &sampler->keys[slot][what];
		struct ebb_cgroup_place place = {
			.container_id = container->id,
			.slot = slot,
			.index = what,
			.has_io = container->ids[CGROUP_IO] != 0,
		};
		int r;

		if (host->at[what] != what || (host->missing & (1U << what)))
			continue;
		key->id = container->ids[controller];
		key->hierarchy_id = sampler->hierarchies->by_controller[controller].id;
		if (!key->id)
			continue;
		r = bpf_map_update_elem(bpf_map__fd(sampler->bpf->maps->maps.cgroups), key, &place,
					BPF_ANY);
		if (r < 0)
			return log_full(LOG_LEVEL_DEBUG, r, "cannot note the cgroups of %s",
					container->name);
	}
	return 0;
}

/* Empties a record and gives it to container `id` (0: to none), never showing half of each. */
static void reset_record(struct sampler *sampler, unsigned slot, uint64_t id)
{
	struct ebb_sample *sample = &sampler->samples[slot];
	uint32_t seq;

	sample_step(sample);
	seq = sample->seq;
	*sample = (struct ebb_sample){.id = id, .seq = seq};
	if (sampler->io_counts &&
	    (!id || !io_carry_take(sampler->carry, id, &sampler->io_counts[slot])))
		memset(&sampler->io_counts[slot], 0, sizeof(sampler->io_counts[slot]));
	sample_step(sample);
}

static void sampler_clear(struct sampler *sampler, unsigned slot)
{
	sampler->ops->drop(sampler, slot);
	delete_keys(sampler, slot);
	reset_record(sampler, slot, 0);
}

int sampler_add(struct sampler *sampler, struct container *container)
{
	unsigned slot = 0;
	int r;

	/* Low slots first: a sweep runs up to the highest one. */
	while (slot < sampler->slots_max && sampler->samples[slot].id)
		slot++;
	if (slot == sampler->slots_max)
		return -ENOSPC;

	reset_record(sampler, slot, container->id);
	container->slot = slot;
	sampler->slots_used++;
	sampler->high = MAX(sampler->high, slot + 1);
	r = sampler_update(sampler, container);
	if (r < 0) {
		sampler_remove(sampler, container);
		return r;
	}
	return slot;
}

int sampler_update(struct sampler *sampler, struct container *container)
{
	int r = set_keys(sampler, container, container->slot);

	if (r < 0)
		return r;
	return sampler->ops->take(sampler, container, container->slot);
}

void sampler_refresh(struct sampler *sampler, const struct container *container)
{
	if (container->slot >= 0 && sampler->ops->refresh)
		sampler->ops->refresh(sampler, container, (unsigned)container->slot);
}

void sampler_remove(struct sampler *sampler, struct container *container)
{
	unsigned slot = container->slot;

	if (container->slot < 0)
		return;
	sampler_clear(sampler, slot);
	container->slot = -1;
	sampler->slots_used--;
	while (sampler->high > 0 && !sampler->samples[sampler->high - 1].id)
		sampler->high--;
}

int sampler_sweep(struct sampler *sampler)
{
	uint64_t start = now_ns();
	int r = sampler->ops->sweep(sampler);

	sampler->sweeps++;
	sampler->sweep_ns += now_ns() - start;
	return r;
}

bool sampler_read(const struct sampler *sampler, int slot, struct ebb_sample *ret_sample)
{
	const uint64_t *from;
	uint64_t copy[sizeof(struct ebb_sample) / sizeof(uint64_t)];

	if (slot < 0 || (unsigned)slot >= sampler->slots_max)
		return false;
	from = (const uint64_t *)&sampler->samples[slot];
	for (int try = 0; try < 3; try++) {
		const struct ebb_sample *shared = &sampler->samples[slot];
		uint32_t seq = __atomic_load_n(&shared->seq, __ATOMIC_ACQUIRE);

		for (size_t i = 0; i < ARRAY_SIZE(copy); i++)
			copy[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (seq % 2 || __atomic_load_n(&shared->seq, __ATOMIC_RELAXED) != seq)
			continue;
		memcpy(ret_sample, copy, sizeof(*ret_sample));
		return ret_sample->id && ret_sample->at_ns;
	}
	return false;
}

int sampler_watch(struct sampler *sampler, const int *slots, size_t n)
{
	return sampler->ops->watch ? sampler->ops->watch(sampler, slots, n) : -EOPNOTSUPP;
}

int sampler_look(struct sampler *sampler)
{
	return sampler->ops->look ? sampler->ops->look(sampler) : -EOPNOTSUPP;
}

bool sampler_watched(const struct sampler *sampler, size_t i, struct ebb_sample *ret_sample,
		     bool *ret_throttled)
{
	return sampler->ops->watched &&
	       sampler->ops->watched(sampler, i, ret_sample, ret_throttled);
}

void sampler_get_stats(const struct sampler *sampler, struct sampler_stats *ret_stats)
{
	*ret_stats = (struct sampler_stats){
		.sweeps = sampler->sweeps,
		.sweep_ns = sampler->sweep_ns,
		.slots_used = sampler->slots_used,
		.slots_max = sampler->slots_max,
	};
}

static bool read_boot_id(char *buffer, size_t size)
{
	return read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", buffer, size) > 0;
}

void sampler_load_io(struct sampler *sampler, const char *path)
{
	char boot_id[64];
	int r;

	if (!sampler->bpf || !sampler->bpf->block_io || !read_boot_id(boot_id, sizeof(boot_id)))
		return;
	r = io_carry_load(path, boot_id, &sampler->carry);
	if (r < 0)
		log_warning_errno(r, "counts of block I/O begin anew");
}

void sampler_save_io(const struct sampler *sampler, const char *path)
{
	uint64_t *ids = calloc(sampler->high + 1, sizeof(*ids));
	struct ebb_io_count *counts = calloc(sampler->high + 1, sizeof(*counts));
	char boot_id[64];
	size_t n = 0;
	int r = 0;

	if (sampler->bpf && sampler->bpf->block_io && ids && counts &&
	    read_boot_id(boot_id, sizeof(boot_id))) {
		for (unsigned slot = 0; slot < sampler->high; slot++) {
			if (!sampler->samples[slot].id)
				continue;
			ids[n] = sampler->samples[slot].id;
			counts[n++] = sampler->io_counts[slot];
		}
		r = io_carry_save(path, boot_id, ids, counts, n);
	}
	if (r < 0)
		log_warning_errno(r, "%s: counts of block I/O will begin anew", path);
	free(ids);
	free(counts);
}
