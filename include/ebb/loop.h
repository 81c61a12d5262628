/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: epoll over descriptors, timers and signals, run by one thread. Callbacks may add
 * and remove sources, their own included: a removed source is never called again. All functions
 * return 0 or a negative errno; `ret_source` may be NULL where the source lives as long as the
 * loop.
 */
#ifndef EBB_LOOP_H
#define EBB_LOOP_H

#include <signal.h>
#include <stdint.h>

struct loop;
struct loop_source;

/* `events`: EPOLLIN, EPOLLOUT, ... */
typedef void (*loop_fd_fn)(void *userdata, int fd, uint32_t events);
typedef void (*loop_timer_fn)(void *userdata);
typedef void (*loop_signal_fn)(void *userdata, int signo);

int loop_new(struct loop **ret_loop);
/* Releases the loop and every source; descriptors that were added stay open. Not from a callback.
 */
void loop_free(struct loop *loop);

/* The descriptor stays the caller's: loop_remove() first, then close it. */
int loop_add_fd(struct loop *loop, int fd, uint32_t events, loop_fd_fn fn, void *userdata,
		struct loop_source **ret_source);
int loop_modify_fd(struct loop_source *source, uint32_t events);
/*
 * A timer on CLOCK_MONOTONIC: first after `first_ns` from now (0: at the next turn), then every
 * `interval_ns` (0: once; the source stays and can be set again). Periodic timers keep their phase;
 * periods missed while the loop was busy are skipped, not replayed.
 */
#define LOOP_TIMER_OFF UINT64_MAX /* as `first_ns`: not armed */
int loop_add_timer(struct loop *loop, uint64_t first_ns, uint64_t interval_ns, loop_timer_fn fn,
		   void *userdata, struct loop_source **ret_source);
int loop_set_timer(struct loop_source *source, uint64_t first_ns, uint64_t interval_ns);
/*
 * Blocks the signals in the calling thread (call before other threads start) and delivers them
 * here.
 */
int loop_add_signals(struct loop *loop, const sigset_t *signals, loop_signal_fn fn, void *userdata);
/* NULL is ignored. */
void loop_remove(struct loop_source *source);

/* Until loop_stop(), also one that came before the run. 0, or a negative errno when epoll itself
 * failed. */
int loop_run(struct loop *loop);
/* One turn, waiting at most `timeout_ms` (-1: until something happens). */
int loop_turn(struct loop *loop, int timeout_ms);
/* Also from other threads, from callbacks and from signal handlers. */
void loop_stop(struct loop *loop);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);
/* CLOCK_REALTIME in seconds with fraction. */
double wall_seconds(void);

#endif
