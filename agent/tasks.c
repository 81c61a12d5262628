/* SPDX-License-Identifier: Apache-2.0 */
#include "tasks.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"

/* What the kernel hands out at once: 32 KiB. */
#define READ_RECORDS 512

struct tasks {
	struct tasks_bpf *program;
	int link;
	struct ring_buffer *ring;
	tasks_fn ended_fn;
	void *ended_userdata;
	struct ebb_process records[READ_RECORDS];
};

static int on_ended(void *userdata, void *data, size_t size)
{
	struct tasks *tasks = userdata;

	if (size >= sizeof(struct ebb_process))
		tasks->ended_fn(tasks->ended_userdata, data);
	return 0;
}

int tasks_new(struct bpf_programs *bpf, const struct hierarchies *hierarchies, bool outside,
	      struct tasks **ret_tasks)
{
	struct tasks *tasks;
	int r = bpf_programs_load_tasks(bpf, hierarchies, outside);

	if (r < 0)
		return r;
	tasks = calloc(1, sizeof(*tasks));
	if (!tasks)
		return -ENOMEM;
	tasks->program = bpf->tasks;
	tasks->link = bpf_link_create(bpf_program__fd(bpf->tasks->progs.read_tasks), 0,
				      BPF_TRACE_ITER, NULL);
	r = tasks->link < 0 ? -errno : 0;
	if (r == 0) {
		tasks->ring = ring_buffer__new(bpf_map__fd(bpf->tasks->maps.ended), on_ended, tasks,
					       NULL);
		r = tasks->ring ? 0 : -errno;
	}
	if (r < 0) {
		tasks_free(tasks);
		return r;
	}
	*ret_tasks = tasks;
	return 0;
}

void tasks_free(struct tasks *tasks)
{
	if (!tasks)
		return;
	ring_buffer__free(tasks->ring);
	if (tasks->link >= 0)
		close(tasks->link);
	free(tasks);
}

int tasks_read(struct tasks *tasks, tasks_fn fn, void *userdata)
{
	_cleanup_close_ int fd = bpf_iter_create(tasks->link);
	size_t have = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		char *buffer = (char *)tasks->records;
		ssize_t n = read(fd, buffer + have, sizeof(tasks->records) - have);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		have += n;
		for (size_t i = 0; i < have / sizeof(struct ebb_process); i++)
			fn(userdata, &tasks->records[i]);
		/* A read may end within a record. */
		size_t whole = have / sizeof(struct ebb_process) * sizeof(struct ebb_process);
		memmove(buffer, buffer + whole, have - whole);
		have -= whole;
	}
}

int tasks_drain(struct tasks *tasks, tasks_fn fn, void *userdata)
{
	tasks->ended_fn = fn;
	tasks->ended_userdata = userdata;
	return ring_buffer__consume(tasks->ring);
}

uint64_t tasks_lost(const struct tasks *tasks)
{
	return __atomic_load_n(&tasks->program->bss->lost, __ATOMIC_RELAXED);
}
