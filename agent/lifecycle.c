/* SPDX-License-Identifier: Apache-2.0 */
#include "lifecycle.h"

#include <string.h>
#include <sys/epoll.h>

#include "bpf_objects.h"
#include "ebb/log.h"

struct lifecycle {
	struct lifecycle_bpf *program;
	struct ring_buffer *ring;
	struct loop_source *source;
	lifecycle_fn fn;
	void *userdata;
	uint64_t dropped; /* as told so far */
};

static int on_event(void *userdata, void *data, size_t size)
{
	struct lifecycle *lifecycle = userdata;
	const struct ebb_event *raw = data;
	struct lifecycle_event event;

	if (size < sizeof(*raw))
		return 0;
	event = (struct lifecycle_event){
		.kind = raw->kind,
		.hierarchy_id = raw->hierarchy_id,
		.cgroup_id = raw->cgroup_id,
		.at_ns = raw->at_ns,
		.pid = raw->pid,
		.path = raw->path,
	};
	lifecycle->fn(lifecycle->userdata, &event);
	return 0;
}

static void on_readable(void *userdata, int fd, uint32_t events)
{
	struct lifecycle *lifecycle = userdata;
	uint64_t dropped;

	ring_buffer__consume(lifecycle->ring);

	/* Events are lost only when the buffer is full, so there is always a wake-up after a loss.
	 */
	dropped = __atomic_load_n(&lifecycle->program->bss->dropped, __ATOMIC_RELAXED);
	if (dropped != lifecycle->dropped) {
		struct lifecycle_event lost = {
			.kind = LIFECYCLE_LOST, .at_ns = now_ns(), .path = ""};

		log_warning("%llu cgroup events came faster than they were handled: looking around",
			    (unsigned long long)(dropped - lifecycle->dropped));
		lifecycle->dropped = dropped;
		lifecycle->fn(lifecycle->userdata, &lost);
	}
}

int lifecycle_new(struct bpf_programs *programs, struct loop *loop, lifecycle_fn fn, void *userdata,
		  struct lifecycle **ret_lifecycle)
{
	struct lifecycle *lifecycle;
	int r;

	if (!programs || !programs->lifecycle)
		return -EOPNOTSUPP;
	lifecycle = calloc(1, sizeof(*lifecycle));
	if (!lifecycle)
		return -ENOMEM;
	lifecycle->program = programs->lifecycle;
	lifecycle->fn = fn;
	lifecycle->userdata = userdata;
	lifecycle->dropped = lifecycle->program->bss->dropped;
	lifecycle->ring = ring_buffer__new(bpf_map__fd(programs->lifecycle->maps.events), on_event,
					   lifecycle, NULL);
	if (!lifecycle->ring) {
		r = -errno;
		lifecycle_free(lifecycle);
		return log_error_errno(r, "cannot map the ring of cgroup events");
	}
	r = loop_add_fd(loop, ring_buffer__epoll_fd(lifecycle->ring), EPOLLIN, on_readable,
			lifecycle, &lifecycle->source);
	if (r < 0) {
		lifecycle_free(lifecycle);
		return r;
	}
	*ret_lifecycle = lifecycle;
	return 0;
}

void lifecycle_free(struct lifecycle *lifecycle)
{
	if (!lifecycle)
		return;
	loop_remove(lifecycle->source);
	ring_buffer__free(lifecycle->ring);
	free(lifecycle);
}
