/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel tells of cgroups that come, go and are renamed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "discovery_private.h"
#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "ebb/util.h"

/* lifecycle.h cuts paths at this length. */
#define EVENT_PATH_MAX 255

/* Second looks at an announced cgroup: after 1 ms, then ever less often, until it is taken for
 * gone. */
#define LATER_FIRST_NS   EBB_NS_PER_MS
#define LATER_GIVE_UP_NS (128 * EBB_NS_PER_MS)

/* The announced directory `path` of another hierarchy: joins the container that it belongs to. */
static int join(struct discovery *d, enum cgroup_controller controller, const char *path,
		uint64_t id)
{
	struct container *container = discovery_by_path(d, path);
	if (!container)
		return 0;
	int r = discovery_open_dir(d, container, controller, id);
	if (r == 1)
		discovery_tell_joined(d, container);
	return r == -ESTALE ? 0 : MIN(r, 0);
}

/* True: the announced directory is not to be seen yet. */
static bool appear(struct discovery *d, enum cgroup_controller controller, const char *path,
		   uint64_t id)
{
	int r = controller == d->hierarchies[0] ? discovery_consider(d, path, id)
						: join(d, controller, path, id);
	if (r < 0 && r != -ENOENT)
		discovery_complain(d, path, r);
	return r == -ENOENT;
}

void discovery_drop_later(struct discovery *d, size_t i)
{
	free(d->later[i].path);
	d->later[i] = d->later[--d->n_later];
}

void discovery_on_later(void *userdata)
{
	struct discovery *d = userdata;
	uint64_t now = now_ns();

	for (size_t i = d->n_later; i-- > 0;) {
		const struct later *l = &d->later[i];
		if (!appear(d, l->controller, l->path, l->id) || now >= l->until_ns)
			discovery_drop_later(d, i);
	}
	if (d->n_later > 0) {
		d->later_wait_ns *= 2;
		loop_set_timer(d->later_timer, d->later_wait_ns, 0);
	}
}

/*
 * The kernel announces a cgroup (TRACE_CGROUP_PATH in cgroup_mkdir()) just before it makes the
 * directory visible (kernfs_activate()).
 */
static void look_later(struct discovery *d, enum cgroup_controller controller, const char *path,
		       uint64_t id)
{
	if (!d->later_timer)
		return;
	if (d->n_later == LATER_MAX) {
		discovery_scan_soon(d);
		return;
	}
	char *copy = strdup(path);
	if (!copy)
		return;
	d->later[d->n_later++] = (struct later){
		.controller = controller,
		.id = id,
		.until_ns = now_ns() + LATER_GIVE_UP_NS,
		.path = copy,
	};
	d->later_wait_ns = LATER_FIRST_NS;
	loop_set_timer(d->later_timer, d->later_wait_ns, 0);
}

static void disappear(struct discovery *d, enum cgroup_controller controller, uint64_t id)
{
	struct container *container;

	for (size_t i = d->n_later; i-- > 0;) {
		if (d->later[i].controller == controller && d->later[i].id == id)
			discovery_drop_later(d, i);
	}
	if (controller == d->hierarchies[0]) {
		exclusion_set_remove(&d->excluded, id);
		container = container_table_by_id(d->table, id);
		if (container)
			discovery_remove(d, container);
		return;
	}
	container = discovery_by_dir(d, controller, id);
	if (container) {
		discovery_drop_dir(d, container, controller);
		discovery_tell_joined(d, container);
	}
}

void discovery_event(struct discovery *discovery, const struct lifecycle_event *event)
{
	struct discovery *d = discovery;
	enum cgroup_controller controller = CGROUP_CONTROLLER_MAX;

	if (event->kind == LIFECYCLE_LOST) {
		discovery_scan_soon(d);
		return;
	}
	if (event->kind != LIFECYCLE_MKDIR && event->kind != LIFECYCLE_RMDIR &&
	    event->kind != LIFECYCLE_RENAME)
		return;

	for (size_t i = 0; i < d->n_hierarchies; i++) {
		if (hierarchy_of(d, d->hierarchies[i])->id == event->hierarchy_id)
			controller = d->hierarchies[i];
	}
	if (controller == CGROUP_CONTROLLER_MAX)
		return;

	if (event->kind == LIFECYCLE_RMDIR) {
		disappear(d, controller, event->cgroup_id);
		return;
	}

	/* Event paths start at the hierarchy's root; only id 1 is that. */
	size_t len = event->path ? strlen(event->path) : 0;
	if (len == 0 || len >= EVENT_PATH_MAX || hierarchy_of(d, controller)->root_id != 1) {
		discovery_scan_soon(d);
		return;
	}
	const char *path = event->path + strspn(event->path, "/");

	if (event->kind == LIFECYCLE_RENAME) {
		/* Takes all below it along. */
		disappear(d, controller, event->cgroup_id);
		discovery_scan_soon(d);
	}
	if (appear(d, controller, path, event->cgroup_id))
		look_later(d, controller, path, event->cgroup_id);
}
