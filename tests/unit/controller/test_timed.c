/* SPDX-License-Identifier: Apache-2.0 */
#include "timed.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "../../test.h"

static struct timed *timed;
static sem_t called;
static atomic_uint first, second;
static atomic_bool at_work, together;

static void stop(void *unused)
{
	timed_free(TAKE_PTR(timed));
	sem_destroy(&called);
}

static void start(void)
{
	sem_init(&called, 0, 0);
	CHECK_INT(timed_new(&timed), 0);
	test_at_end(stop, NULL);
}

static void wait_for_call(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	if (sem_timedwait(&called, &until) < 0)
		TEST_FAIL("the job was not called for 20 s");
}

static double run_first(void *userdata, double now)
{
	CHECK(userdata == &first && now > 1e9);
	if (atomic_exchange(&at_work, true))
		together = true;
	first++;
	atomic_store(&at_work, false);
	sem_post(&called);
	return now + 1000;
}

static double run_second(void *userdata, double now)
{
	if (atomic_exchange(&at_work, true))
		together = true;
	second++;
	atomic_store(&at_work, false);
	return now;
}

TEST(a_job_is_called_when_it_comes_and_when_woken)
{
	unsigned before;

	start();
	first = 0;
	CHECK_INT(timed_add(timed, run_first, &first), 0);
	wait_for_call();
	before = first;
	timed_wake(timed);
	while (first == before)
		wait_for_call();
	/* By itself too, however late it said it was due. */
	wait_for_call();
}

TEST(jobs_run_one_after_the_other)
{
	start();
	first = second = 0;
	together = false;
	CHECK_INT(timed_add(timed, run_second, NULL), 0);
	CHECK_INT(timed_add(timed, run_first, &first), 0);
	for (int i = 0; i < 20; i++)
		wait_for_call();
	CHECK(!together);
	CHECK(second >= first - 1);
}

TEST(it_ends_without_jobs)
{
	start();
	timed_free(TAKE_PTR(timed));
}

TEST_MAIN()
