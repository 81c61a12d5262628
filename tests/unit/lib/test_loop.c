/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "test.h"

static void free_loop(void *arg)
{
	loop_free(arg);
}

static struct loop *make_loop(void)
{
	struct loop *loop;

	CHECK_INT(loop_new(&loop), 0);
	test_at_end(free_loop, loop);
	return loop;
}

static void count_timer(void *userdata)
{
	++*(int *)userdata;
}

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

static void stop_timer(void *userdata)
{
	loop_stop(userdata);
}

TEST(timers_fire_in_order)
{
	struct loop *loop = make_loop();
	int ticks = 0, late = 0;

	CHECK_INT(loop_add_timer(loop, 0, 2 * EBB_NS_PER_MS, count_timer, &ticks, NULL), 0);
	CHECK_INT(loop_add_timer(loop, 10 * EBB_NS_PER_SEC, 0, count_timer, &late, NULL), 0);
	uint64_t start = now_ns();
	CHECK_INT(loop_add_timer(loop, 50 * EBB_NS_PER_MS, 0, stop_timer, loop, NULL), 0);
	CHECK_INT(loop_run(loop), 0);
	CHECK(now_ns() - start >= 50 * EBB_NS_PER_MS);
	CHECK(ticks >= 2 && ticks <= 1000);
	CHECK_INT(late, 0);
}

TEST(missed_periods_are_skipped)
{
	struct loop *loop = make_loop();
	int ticks = 0;

	CHECK_INT(loop_add_timer(loop, EBB_NS_PER_MS, EBB_NS_PER_MS, count_timer, &ticks, NULL), 0);
	sleep_ms(30);
	CHECK_INT(loop_turn(loop, 0), 0);
	CHECK_INT(ticks, 1);
}

TEST(one_shot_timer_can_be_set_again_and_off)
{
	struct loop *loop = make_loop();
	struct loop_source *timer;
	int ticks = 0;

	CHECK_INT(loop_add_timer(loop, LOOP_TIMER_OFF, 0, count_timer, &ticks, &timer), 0);
	CHECK_INT(loop_turn(loop, 20), 0);
	CHECK_INT(ticks, 0);
	CHECK_INT(loop_set_timer(timer, 0, 0), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(ticks, 1);
	CHECK_INT(loop_turn(loop, 20), 0);
	CHECK_INT(ticks, 1);
	CHECK_INT(loop_set_timer(timer, EBB_NS_PER_MS, 0), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(ticks, 2);
	CHECK_INT(loop_set_timer(timer, EBB_NS_PER_MS, 0), 0);
	CHECK_INT(loop_set_timer(timer, LOOP_TIMER_OFF, 0), 0);
	CHECK_INT(loop_turn(loop, 20), 0);
	CHECK_INT(ticks, 2);
	CHECK_INT(loop_modify_fd(timer, EPOLLIN), -EINVAL);
}

struct fd_case {
	struct loop *loop;
	struct loop_source *self, *other;
	int calls;
	uint32_t events;
};

static void on_fd(void *userdata, int fd, uint32_t events)
{
	struct fd_case *c = userdata;
	uint64_t value;

	c->calls++;
	c->events = events;
	if (events & EPOLLIN)
		CHECK_INT(read(fd, &value, sizeof(value)), sizeof(value));
}

TEST(descriptor_events)
{
	struct loop *loop = make_loop();
	_cleanup_close_ int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct fd_case c = {.loop = loop};

	CHECK_INT(loop_add_fd(loop, fd, EPOLLIN, on_fd, &c, &c.self), 0);
	CHECK_INT(loop_turn(loop, 0), 0);
	CHECK_INT(c.calls, 0);
	CHECK_INT(eventfd_write(fd, 1), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(c.calls, 1);
	CHECK_INT(loop_modify_fd(c.self, EPOLLOUT), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(c.events, EPOLLOUT);
	loop_remove(c.self);
	CHECK_INT(loop_turn(loop, 0), 0);
	CHECK_INT(c.calls, 2);
	CHECK_INT(loop_add_fd(loop, -1, EPOLLIN, on_fd, &c, &c.self), -EBADF);
	/* The descriptor was left open. */
	CHECK_INT(eventfd_write(fd, 1), 0);
}

static void remove_both(void *userdata, int fd, uint32_t events)
{
	struct fd_case *c = userdata;

	c->calls++;
	loop_remove(c->other);
	loop_remove(c->self);
	loop_remove(c->self);
}

TEST(callbacks_remove_each_other)
{
	struct loop *loop = make_loop();
	_cleanup_close_ int a = eventfd(1, EFD_CLOEXEC), b = eventfd(1, EFD_CLOEXEC);
	struct fd_case one = {.loop = loop}, two = {.loop = loop};

	/* Both are ready in the same turn: whichever comes first removes the other. */
	CHECK_INT(loop_add_fd(loop, a, EPOLLIN, remove_both, &one, &one.self), 0);
	CHECK_INT(loop_add_fd(loop, b, EPOLLIN, remove_both, &two, &two.self), 0);
	one.other = two.self;
	two.other = one.self;
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(loop_turn(loop, 0), 0);
	CHECK_INT(one.calls + two.calls, 1);
}

static void replace_self(void *userdata, int fd, uint32_t events)
{
	struct fd_case *c = userdata;

	c->calls++;
	loop_remove(c->self);
	CHECK_INT(loop_add_fd(c->loop, fd, EPOLLIN, on_fd, c, &c->self), 0);
}

TEST(callback_replaces_its_source)
{
	struct loop *loop = make_loop();
	_cleanup_close_ int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	struct fd_case c = {.loop = loop};

	CHECK_INT(loop_add_fd(loop, fd, EPOLLIN, replace_self, &c, &c.self), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(c.calls, 1);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(c.calls, 2);
	CHECK_INT(loop_turn(loop, 0), 0);
	CHECK_INT(c.calls, 2);
}

static void nested_turn(void *userdata, int fd, uint32_t events)
{
	struct fd_case *c = userdata;

	c->calls++;
	loop_remove(c->self);
	CHECK_INT(loop_turn(c->loop, 0), 0);
	/* Under ASan: still there after the inner turn. */
	CHECK_INT(loop_modify_fd(c->self, EPOLLIN), -EINVAL);
}

TEST(removed_source_outlives_a_nested_turn)
{
	struct loop *loop = make_loop();
	_cleanup_close_ int fd = eventfd(1, EFD_CLOEXEC);
	struct fd_case c = {.loop = loop};

	CHECK_INT(loop_add_fd(loop, fd, EPOLLIN, nested_turn, &c, &c.self), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(c.calls, 1);
}

static void on_signal(void *userdata, int signo)
{
	int *seen = userdata;

	seen[signo == SIGUSR2]++;
}

TEST(signals_are_delivered_in_the_loop)
{
	struct loop *loop = make_loop();
	int seen[2] = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	CHECK_INT(loop_add_signals(loop, &set, on_signal, seen), 0);
	CHECK_INT(kill(getpid(), SIGUSR2), 0);
	CHECK_INT(kill(getpid(), SIGUSR1), 0);
	CHECK_INT(loop_turn(loop, -1), 0);
	CHECK_INT(seen[0], 1);
	CHECK_INT(seen[1], 1);
}

static void *stop_later(void *arg)
{
	sleep_ms(20);
	loop_stop(arg);
	return NULL;
}

TEST(stop_from_another_thread)
{
	struct loop *loop = make_loop();
	pthread_t thread;

	CHECK_INT(pthread_create(&thread, NULL, stop_later, loop), 0);
	CHECK_INT(loop_run(loop), 0);
	pthread_join(thread, NULL);
	/* A stop before the run counts, once. */
	loop_stop(loop);
	CHECK_INT(loop_run(loop), 0);
	uint64_t start = now_ns();
	CHECK_INT(loop_add_timer(loop, EBB_NS_PER_MS, 0, stop_timer, loop, NULL), 0);
	CHECK_INT(loop_run(loop), 0);
	CHECK(now_ns() - start >= EBB_NS_PER_MS);
}

TEST(clocks)
{
	uint64_t a = now_ns(), b = now_ns();
	time_t now = time(NULL);

	CHECK(b >= a && a > 0);
	CHECK_NEAR(wall_seconds(), (double)now, 2);
}

TEST(free_is_null_safe)
{
	loop_free(NULL);
	loop_remove(NULL);
}

TEST_MAIN()
