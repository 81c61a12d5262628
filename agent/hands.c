/* SPDX-License-Identifier: Apache-2.0 */
#include "hands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

/* What one round of the loop reads; the rest comes with the next. The kernel keeps 16,384 events
 * and says when there were more, which is no harm: the sample shows what they did. */
#define READ_BYTES 16384
/* Of a process, in a round: two files of /proc each. */
#define LOOK_UPS_MAX 16
/* A file handle of kernfs: the cgroup's id. */
#ifndef FILEID_KERNFS
#define FILEID_KERNFS 0xfe
#endif

struct hands {
	int fd;
	pid_t self;
	struct loop_source *source;
	fsid_t fsids[CGROUP_CONTROLLER_MAX]; /* of the hierarchies */
	bool watched[CGROUP_CONTROLLER_MAX];
	hands_fn fn;
	void *userdata;
};

bool hands_is_limit(const char *file)
{
	static const char *const files[] = {
		"cpu.max",
		"cpu.cfs_quota_us",
		"cpu.cfs_period_us",
		"cpu.weight",
		"cpu.weight.nice",
		"cpu.shares",
		"cpuset.cpus",
		"memory.max",
		"memory.limit_in_bytes",
		"io.max",
		"blkio.throttle.read_bps_device",
		"blkio.throttle.write_bps_device",
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (!strcmp(file, files[i]))
			return true;
	return false;
}

/* For people: what is no valid text is left out. */
static void copy_sane(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = 0;
	memcpy(to, from, len);
	to[len] = '\0';
	if (!name_is_sane(to, size - 1))
		to[0] = '\0';
}

void hands_unit(const char *membership, char *unit, size_t size)
{
	static const char *const wanted[] = {"name=systemd", NULL, "cpu"};

	unit[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(wanted) && !unit[0]; i++) {
		const char *path;
		size_t len, begin;
		int id;

		if (cgroup_membership_parse(membership, wanted[i], &id, &path, &len) < 0)
			continue;
		for (begin = len; begin > 0 && path[begin - 1] != '/';)
			begin--;
		copy_sane(unit, size, path + begin, len - begin);
	}
}

static void look_up(pid_t pid, struct hand *ret_hand)
{
	char path[64], text[4096];
	ssize_t n;

	*ret_hand = (struct hand){.pid = pid};
	if (pid <= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	n = read_file_at(AT_FDCWD, path, text, sizeof(text));
	if (n < 0)
		return;
	copy_sane(ret_hand->name, sizeof(ret_hand->name), text, (size_t)n);
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (read_file_at(AT_FDCWD, path, text, sizeof(text)) >= 0)
		hands_unit(text, ret_hand->unit, sizeof(ret_hand->unit));
}

/* The cgroup and the file of an event. False: it has none. */
static bool event_file(const struct fanotify_event_metadata *event, fsid_t *ret_fsid,
		       uint64_t *ret_id, const char **ret_file)
{
	const struct fanotify_event_info_fid *info = (const void *)(event + 1);
	const struct file_handle *handle;

	if (event->event_len < sizeof(*event) + sizeof(*info) + sizeof(*handle) + sizeof(*ret_id) ||
	    info->hdr.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME)
		return false;
	handle = (const void *)info->handle;
	if (handle->handle_type != FILEID_KERNFS || handle->handle_bytes < sizeof(*ret_id))
		return false;
	memcpy(ret_fsid, &info->fsid, sizeof(*ret_fsid));
	memcpy(ret_id, handle->f_handle, sizeof(*ret_id));
	*ret_file = (const char *)handle->f_handle + handle->handle_bytes;
	return true;
}

static void on_event(struct hands *hands, const struct fanotify_event_metadata *event,
		     struct hand *hand, unsigned *look_ups)
{
	const char *file;
	fsid_t fsid;
	uint64_t id;

	if (event->pid == hands->self || !event_file(event, &fsid, &id, &file) ||
	    !hands_is_limit(file))
		return;
	if (!event->pid || event->pid != hand->pid) {
		*hand = (struct hand){.pid = event->pid};
		if ((*look_ups)++ < LOOK_UPS_MAX)
			look_up(event->pid, hand);
	}
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (hands->watched[c] && !memcmp(&hands->fsids[c], &fsid, sizeof(fsid))) {
			hands->fn(hands->userdata, c, id, hand);
			return;
		}
	}
}

static void on_readable(void *userdata, int fd, uint32_t events)
{
	char buffer[READ_BYTES] __attribute__((aligned(8)));
	struct hands *hands = userdata;
	struct hand hand = {0};
	unsigned look_ups = 0;
	ssize_t n = read(fd, buffer, sizeof(buffer));

	for (const struct fanotify_event_metadata *event = (const void *)buffer;
	     n > 0 && FAN_EVENT_OK(event, n); event = FAN_EVENT_NEXT(event, n)) {
		if (event->vers != FANOTIFY_METADATA_VERSION)
			return;
		on_event(hands, event, &hand, &look_ups);
	}
}

static int watch(struct hands *hands, const struct hierarchies *hierarchies)
{
	int r = -EOPNOTSUPP;

	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = &hierarchies->by_controller[c];
		struct statfs fs;

		if (!hierarchy->mount || hierarchy->shared != (enum cgroup_controller)c)
			continue;
		if (fstatfs(hierarchy->root_fd, &fs) < 0)
			return -errno;
		/* By its root: the whole tree, through whichever mount it is written. */
		if (fanotify_mark(hands->fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_MODIFY,
				  hierarchy->root_fd, ".") < 0)
			return errno == ENODEV || errno == EXDEV || errno == EINVAL ? -EOPNOTSUPP
										    : -errno;
		hands->fsids[c] = fs.f_fsid;
		hands->watched[c] = true;
		r = 0;
	}
	return r;
}

int hands_new(struct loop *loop, const struct hierarchies *hierarchies, hands_fn fn, void *userdata,
	      struct hands **ret_hands)
{
	struct hands *hands = calloc(1, sizeof(*hands));
	int r;

	if (!hands)
		return -ENOMEM;
	hands->fn = fn;
	hands->userdata = userdata;
	hands->self = getpid();
	hands->fd = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK |
					  FAN_REPORT_DIR_FID | FAN_REPORT_NAME,
				  O_RDONLY | O_CLOEXEC);
	if (hands->fd < 0)
		r = errno == EINVAL || errno == ENOSYS ? -EOPNOTSUPP : -errno;
	else
		r = watch(hands, hierarchies);
	if (r >= 0)
		r = loop_add_fd(loop, hands->fd, EPOLLIN, on_readable, hands, &hands->source);
	if (r < 0) {
		hands_free(hands);
		return r;
	}
	*ret_hands = hands;
	return 0;
}

void hands_free(struct hands *hands)
{
	if (!hands)
		return;
	loop_remove(hands->source);
	if (hands->fd >= 0)
		close(hands->fd);
	free(hands);
}
