/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define EVENTS_PER_TURN 64

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNALS };

struct loop_source {
	struct loop *loop;
	enum source_kind kind;
	bool removed;
	int fd; /* the caller's for SOURCE_FD, else owned */
	union {
		loop_fd_fn on_fd;
		loop_timer_fn on_timer;
		loop_signal_fn on_signal;
	};
	void *userdata;
	struct loop_source *prev, *next;
};

struct loop {
	int epoll_fd, wake_fd;
	atomic_bool stopping;
	/* A callback may remove the source of an event that this turn has yet to look at, and may
	 * run a turn itself: removed sources wait here until the outermost turn ends. */
	unsigned depth;
	struct loop_source *sources, *removed;
};

int loop_new(struct loop **ret_loop)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		int r = -errno;
		loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

static void source_free(struct loop_source *source)
{
	if (source->kind != SOURCE_FD)
		close(source->fd);
	free(source);
}

static void free_removed(struct loop *loop)
{
	while (loop->removed) {
		struct loop_source *source = loop->removed;
		loop->removed = source->next;
		source_free(source);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->sources)
		loop_remove(loop->sources);
	free_removed(loop);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop);
}

/* On failure an owned `fd` is the caller's to close. */
static int add_source(struct loop *loop, enum source_kind kind, int fd, uint32_t events,
		      void *userdata, struct loop_source **ret_source)
{
	struct loop_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (!source)
		return -ENOMEM;
	source->loop = loop;
	source->kind = kind;
	source->fd = fd;
	source->userdata = userdata;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(source);
		return -errno;
	}
	source->next = loop->sources;
	if (loop->sources)
		loop->sources->prev = source;
	loop->sources = source;
	*ret_source = source;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *userdata,
		struct loop_source **ret_source)
{
	struct loop_source *source;
	int r = add_source(loop, SOURCE_FD, fd, events, userdata, &source);

	if (r < 0)
		return r;
	source->on_fd = fn;
	if (ret_source)
		*ret_source = source;
	return 0;
}

int loop_modify_fd(struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (source->kind != SOURCE_FD || source->removed)
		return -EINVAL;
	return epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno
											: 0;
}

static int arm_timer(int fd, uint64_t first_ns, uint64_t interval_ns)
{
	struct itimerspec spec = {0};

	if (first_ns != LOOP_TIMER_OFF) {
		/* An all-zero first time would disarm. */
		first_ns = first_ns ? first_ns : 1;
		spec.it_value.tv_sec = (time_t)(first_ns / EBB_NS_PER_SEC);
		spec.it_value.tv_nsec = (long)(first_ns % EBB_NS_PER_SEC);
		spec.it_interval.tv_sec = (time_t)(interval_ns / EBB_NS_PER_SEC);
		spec.it_interval.tv_nsec = (long)(interval_ns % EBB_NS_PER_SEC);
	}
	return timerfd_settime(fd, 0, &spec, NULL) < 0 ? -errno : 0;
}

int loop_add_timer(struct loop *loop, uint64_t first_ns, uint64_t interval_ns, loop_timer_fn fn,
		   void *userdata, struct loop_source **ret_source)
{
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct loop_source *source;
	int r;

	if (fd < 0)
		return -errno;
	r = arm_timer(fd, first_ns, interval_ns);
	if (r < 0)
		return r;
	r = add_source(loop, SOURCE_TIMER, fd, EPOLLIN, userdata, &source);
	if (r < 0)
		return r;
	fd = -1;
	source->on_timer = fn;
	if (ret_source)
		*ret_source = source;
	return 0;
}

int loop_set_timer(struct loop_source *source, uint64_t first_ns, uint64_t interval_ns)
{
	if (source->kind != SOURCE_TIMER || source->removed)
		return -EINVAL;
	return arm_timer(source->fd, first_ns, interval_ns);
}

int loop_add_signals(struct loop *loop, const sigset_t *signals, loop_signal_fn fn, void *userdata)
{
	_cleanup_close_ int fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	struct loop_source *source;
	int r;

	if (fd < 0)
		return -errno;
	r = pthread_sigmask(SIG_BLOCK, signals, NULL);
	if (r > 0)
		return -r;
	r = add_source(loop, SOURCE_SIGNALS, fd, EPOLLIN, userdata, &source);
	if (r < 0)
		return r;
	fd = -1;
	source->on_signal = fn;
	return 0;
}

void loop_remove(struct loop_source *source)
{
	if (!source || source->removed)
		return;

	struct loop *loop = source->loop;

	/* Fails when the caller closed the descriptor already, which took it out of epoll too. */
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	source->removed = true;
	if (source->prev)
		source->prev->next = source->next;
	else
		loop->sources = source->next;
	if (source->next)
		source->next->prev = source->prev;
	source->next = loop->removed;
	loop->removed = source;
	if (!loop->depth)
		free_removed(loop);
}

static void dispatch(struct loop_source *source, uint32_t events)
{
	struct signalfd_siginfo info;
	uint64_t expired;

	switch (source->kind) {
	case SOURCE_FD: source->on_fd(source->userdata, source->fd, events); break;
	case SOURCE_TIMER:
		/* EAGAIN: set again by a callback earlier in this turn. */
		if (read(source->fd, &expired, sizeof(expired)) == sizeof(expired))
			source->on_timer(source->userdata);
		break;
	case SOURCE_SIGNALS:
		while (!source->removed && read(source->fd, &info, sizeof(info)) == sizeof(info))
			source->on_signal(source->userdata, (int)info.ssi_signo);
		break;
	}
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;

	loop->depth++;
	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;
		uint64_t count;

		if (!source) {
			ssize_t ignored = read(loop->wake_fd, &count, sizeof(count));
			(void)ignored;
		} else if (!source->removed) {
			dispatch(source, events[i].events);
		}
	}
	if (!--loop->depth)
		free_removed(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	while (r == 0 && !atomic_exchange(&loop->stopping, false))
		r = loop_turn(loop, -1);
	return r;
}

void loop_stop(struct loop *loop)
{
	uint64_t one = 1;
	int saved_errno = errno;

	atomic_store(&loop->stopping, true);
	/* Fails only when the counter is full: then it is readable already. */
	ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));
	(void)ignored;
	errno = saved_errno;
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * EBB_NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

double wall_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}
