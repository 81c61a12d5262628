/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's load: `demo_load cpu SECONDS` is idle, then busy on two cores, on one, and idle again;
 * `demo_load mem SECONDS` takes memory at a steady pace, holds it, and gives it back.
 *   demo_load cpu 60        demo_load mem 60 300      (the most, in MiB)
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MIB      (1024UL * 1024UL)
#define BASE_MIB 24

struct load {
	double start, seconds;
};

struct worker {
	const struct load *load;
	unsigned index;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

/* 0 to 1 while the load runs. */
static double progress(const struct load *load)
{
	return (now() - load->start) / load->seconds;
}

static unsigned busy_cores(double at)
{
	if (at < 0.10 || at >= 0.72)
		return 0;
	return at < 0.42 ? 2 : 1;
}

static void *spin(void *arg)
{
	const struct worker *worker = arg;
	volatile double sink = 1;

	for (double at; (at = progress(worker->load)) < 1;) {
		if (busy_cores(at) <= worker->index) {
			nap();
			continue;
		}
		for (int i = 0; i < 20000; i++)
			sink = sqrt(sink + i);
	}
	return NULL;
}

static int load_cpu(const struct load *load)
{
	struct worker workers[2] = {{load, 0}, {load, 1}};
	pthread_t second;

	if (pthread_create(&second, NULL, spin, &workers[1]))
		return 1;
	spin(&workers[0]);
	pthread_join(second, NULL);
	return 0;
}

static size_t wanted_mib(double at, size_t most)
{
	if (at < 0.08 || at >= 0.80)
		return BASE_MIB;
	if (at < 0.50)
		return BASE_MIB + (size_t)((double)(most - BASE_MIB) * (at - 0.08) / 0.42);
	return most;
}

static int load_mem(const struct load *load, size_t most)
{
	char *area =
		mmap(NULL, most * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t have = 0;

	if (area == MAP_FAILED)
		return 1;
	for (double at; (at = progress(load)) < 1; nap()) {
		size_t want = wanted_mib(at, most);

		if (want > have)
			memset(area + have * MIB, 1, (want - have) * MIB);
		else if (want < have)
			madvise(area + want * MIB, (have - want) * MIB, MADV_DONTNEED);
		have = want;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct load load = {.start = now(), .seconds = argc > 2 ? atof(argv[2]) : 0};
	long most = argc > 3 ? atol(argv[3]) : 256;
	bool cpu = argc > 1 && !strcmp(argv[1], "cpu"), mem = argc > 1 && !strcmp(argv[1], "mem");

	if ((!cpu && !mem) || !(load.seconds > 0) || most <= BASE_MIB) {
		fprintf(stderr, "Usage: demo_load cpu|mem SECONDS [MIB]\n");
		return 2;
	}
	return cpu ? load_cpu(&load) : load_mem(&load, (size_t)most);
}
