/* SPDX-License-Identifier: Apache-2.0 */
#include "pressure_lane.h"

#include <errno.h>
#include <stdlib.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"

/* A round takes five seconds; one turn at most as long as a slice of a listing. */
#define TURN_NS  (200 * EBB_NS_PER_MS)
#define TURNS    25
#define SLICE_NS (4 * EBB_NS_PER_MS)

struct pressure_lane {
	const struct hierarchies *hierarchies;
	struct container_table *table;
	struct loop_source *timer;
	size_t at;
};

/* On a hybrid host any controller that is on v2 leads there. */
static int unified_dir(const struct hierarchies *hierarchies, const struct container *container)
{
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		if (hierarchies->by_controller[c].version == 2 && container->dir_fds[c] >= 0)
			return container->dir_fds[c];
	return -1;
}

void pressure_lane_read(const struct hierarchies *hierarchies, struct container *container)
{
	static const char *const files[PRESSURE_MAX] = {
		[PRESSURE_CPU] = "cpu.pressure",
		[PRESSURE_MEM] = "memory.pressure",
		[PRESSURE_IO] = "io.pressure",
	};
	int fd = unified_dir(hierarchies, container);

	container->has_pressure = 0;
	for (int i = 0; i < PRESSURE_MAX; i++)
		if (pressure_read(fd, files[i], &container->pressure[i]) == 0)
			container->has_pressure |= 1U << i;
}

static void on_timer(void *userdata)
{
	struct pressure_lane *lane = userdata;
	size_t n = container_table_count(lane->table), due = (n + TURNS - 1) / TURNS;
	uint64_t end = now_ns() + SLICE_NS;

	for (; due; due--) {
		struct container *container = container_table_at(lane->table, lane->at++ % n);

		if (container->guarded)
			pressure_lane_read(lane->hierarchies, container);
		else
			container->has_pressure = 0;
		if (due % 8 == 0 && now_ns() > end)
			return;
	}
}

int pressure_lane_new(struct loop *loop, const struct hierarchies *hierarchies,
		      struct container_table *table, struct pressure_lane **ret_lane)
{
	bool any = false;

	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		any = any || hierarchies->by_controller[c].version == 2;
	*ret_lane = NULL;
	if (!any)
		return 0;
	struct pressure_lane *lane = calloc(1, sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	*lane = (struct pressure_lane){.hierarchies = hierarchies, .table = table};
	int r = loop_add_timer(loop, TURN_NS, TURN_NS, on_timer, lane, &lane->timer);
	if (r < 0) {
		free(lane);
		return r;
	}
	*ret_lane = lane;
	return 0;
}

void pressure_lane_free(struct pressure_lane *lane)
{
	if (!lane)
		return;
	loop_remove(lane->timer);
	free(lane);
}
