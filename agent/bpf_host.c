/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

enum cgroup_controller held_controller(enum ebb_held what)
{
	static const enum cgroup_controller controllers[] = {
		[EBB_HELD_CPU] = CGROUP_CPU,
		[EBB_HELD_CPUACCT] = CGROUP_CPUACCT,
		[EBB_HELD_MEMORY] = CGROUP_MEMORY,
		[EBB_HELD_IO] = CGROUP_IO,
	};

	return controllers[what];
}

unsigned zones_with_pages(const char *zoneinfo)
{
	unsigned zones = 0, zone = 0, node = 0, n;
	bool first = true;

	/* "Node 0, zone    DMA32" opens a zone; zones come in order, empty ones too. */
	for (const char *line = zoneinfo; line && *line;) {
		const char *text = line + strspn(line, " ");

		if (sscanf(text, "Node %u, zone", &n) == 1) {
			zone = first || n != node ? 0 : zone + 1;
			first = false;
			node = n;
		} else if (sscanf(text, "present %u", &n) == 1 && n > 0 && zone < 32) {
			zones |= 1U << zone;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return zones;
}

static int read_whole(const char *path, char **ret_text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t size = 0, used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (;;) {
		if (used + 4096 > size) {
			char *bigger = realloc(text, size += 16384);

			if (!bigger)
				return -ENOMEM;
			text = bigger;
		}
		n = read(fd, text + used, size - used - 1);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += n;
	}
	text[used] = '\0';
	*ret_text = TAKE_PTR(text);
	return 0;
}

static int read_list(const char *path, struct cpu_list *ret_list)
{
	_cleanup_free_ char *text = NULL;
	int r = read_whole(path, &text);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return cpu_list_parse(text, ret_list);
}

static void place_references(const struct hierarchies *hierarchies, struct ebb_host *host)
{
	for (int what = 0; what < EBB_HELD_MAX; what++) {
		const struct hierarchy *mine = &hierarchies->by_controller[held_controller(what)];

		host->at[what] = what;
		if (!mine->mount) {
			host->missing |= 1U << what;
			continue;
		}
		if (mine->version == 2)
			host->v2 |= 1U << what;
		for (int other = 0; other < what; other++) {
			const struct hierarchy *theirs =
				&hierarchies->by_controller[held_controller(other)];

			if (theirs->mount && theirs->shared == mine->shared) {
				host->at[what] = other;
				break;
			}
		}
	}
}

/* The last place is find_percpu_offsets()'s scratch. */
#define ROOM_FOR_CPUS (EBB_MAX_CPUS - 1)

void host_set_cpus(const struct cpu_list *possible, struct ebb_host *host, struct ebb_cpu *cpus)
{
	host->n_cpus = possible->n;
	for (size_t i = 0; i < possible->n && i < ROOM_FOR_CPUS; i++)
		cpus[i].id = possible->cpus[i];
}

void host_set_nodes(const struct cpu_list *with_memory, struct ebb_host *host)
{
	host->n_nodes = with_memory->n;
	for (size_t i = 0; i < with_memory->n && i < EBB_MAX_NODES; i++)
		host->nodes[i] = with_memory->cpus[i];
}

bool host_fits(const struct ebb_host *host, char *why_not, size_t size)
{
	if (host->n_cpus > ROOM_FOR_CPUS)
		snprintf(why_not, size, "%u CPUs are possible here, its programs sum over %u",
			 host->n_cpus, ROOM_FOR_CPUS);
	else if (host->n_nodes > EBB_MAX_NODES)
		snprintf(why_not, size, "%u NUMA nodes have memory, its programs sum over %u",
			 host->n_nodes, EBB_MAX_NODES);
	else
		return true;
	return false;
}

int host_facts(const struct hierarchies *hierarchies, struct ebb_host *ret_host,
	       struct ebb_cpu *cpus)
{
	struct ebb_host host = {.page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE))};
	struct cpu_list list = {0};
	_cleanup_free_ char *zoneinfo = NULL;
	int r;

	r = read_list("/sys/devices/system/cpu/possible", &list);
	if (r < 0)
		return log_error_errno(r, "cannot tell the number of CPUs");
	host_set_cpus(&list, &host, cpus);
	cpu_list_clear(&list);

	host.n_nodes = 1;
	if (read_list("/sys/devices/system/node/has_memory", &list) == 0 && list.n > 0) {
		host_set_nodes(&list, &host);
		cpu_list_clear(&list);
	}
	if (read_whole("/proc/zoneinfo", &zoneinfo) == 0)
		host.zones = zones_with_pages(zoneinfo);
	if (!host.zones)
		host.zones = 0xf;

	place_references(hierarchies, &host);
	*ret_host = host;
	return 0;
}
