/* SPDX-License-Identifier: Apache-2.0 */
/* The default rules in a closed loop with a simulated container: what DESIGN 4.14 asks for. */

#include "guard_sim.h"
#include "seed.h"

#define CPU(sim) ((sim).structure.resources[EBB_CPU].current)
#define MEM(sim) ((sim).structure.resources[EBB_MEM].current)

static double two_threads(struct sim *sim, long ms)
{
	return 2;
}

static double two_threads_after_1s(struct sim *sim, long ms)
{
	return ms < 1000 ? 0 : 2;
}

/* However the sample lies in the CFS period: the first saturated one asks. */
TEST(loop_step_is_answered_at_once)
{
	static struct sim sim;

	sim_init(&sim);
	for (long phase = 0; phase < 100; phase += 7) {
		sim_start(&sim);
		sim.phase_ms = phase;
		sim.threads = two_threads_after_1s;
		sim_run(&sim, 1000);
		CHECK_INT(sim.changes, 0);
		/* 20 core-ms of quota: used up in 10 ms, so any sample from 1,010 ms on is
		 * saturated. */
		sim_run(&sim, 101 + 10);
		CHECK(sim.first_request_ms >= 1000 && sim.first_request_ms <= 1110);
		/* In force 15 ms later; a straddling sample ignored; the next tells the demand. */
		sim_run(&sim, 239);
		CHECK(CPU(sim) >= 200);
		CHECK(sim.raises <= 3);
		sim_reset_counts(&sim);
		sim_run(&sim, 5000);
		CHECK_NEAR(sim.sum_lost, 0, 0);
		CHECK(sim.lowerings <= 1);
	}
}

static double phases(struct sim *sim, long ms)
{
	return ms < 2000 ? 0 : ms < 12000 ? 2 : ms < 22000 ? 1 : 0;
}

/* Idle, two cores, one core, idle: follows each within bounded time, and never leaves its range. */
static void run_phases(long order_ms, double most_lost)
{
	static struct sim sim;

	sim_init(&sim);
	sim.order_ms = order_ms;
	sim.threads = phases;
	sim_run(&sim, 2000);
	CHECK_INT(CPU(sim), 20);

	sim_run(&sim, 10000);
	CHECK(CPU(sim) >= 200 && CPU(sim) <= 240);
	CHECK(sim.sum_lost < most_lost);
	CHECK_INT(sim.lowerings, 0);

	/* One core: down once, after a second of evidence. */
	sim_run(&sim, 1400 + order_ms);
	CHECK(CPU(sim) >= 100 && CPU(sim) <= 120);
	CHECK_INT(sim.lowerings, 1);
	sim_run(&sim, 8600 - order_ms);
	CHECK_INT(sim.changes, 3);
	CHECK(sim_slack(&sim) < 0.20);
	printf("# phases, order %ld ms: slack %.1f%% while busy, %.0f core-ms held back of 30,000\n",
	       order_ms, 100 * sim_slack(&sim), sim.sum_lost);

	/* Idle: to min itself, not min + 2 margins. */
	sim_run(&sim, 3000 + 2 * order_ms);
	CHECK_INT(CPU(sim), 20);
	CHECK(sim.lowerings <= 3);
	CHECK_INT(sim.lowest, 20);
}

TEST(loop_follows_phases)
{
	run_phases(15, 400);
}

TEST(loop_follows_phases_with_slow_orders)
{
	run_phases(150, 1000);
}

static double batch(struct sim *sim, long ms)
{
	return ms / 20000 % 2 ? 1 : 2;
}

/* Phases of 20 s for 200 s: run time within 1%, slack under 15%. */
TEST(loop_batch)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = batch;
	sim_run(&sim, 200000);
	printf("# batch: slack %.1f%%, held back %.2f%%, %u changes\n", 100 * sim_slack(&sim),
	       100 * sim.sum_lost / sim.sum_used, sim.changes);
	CHECK(sim_slack(&sim) < 0.15);
	CHECK(sim.sum_lost < sim.sum_used / 100);
	CHECK(sim.changes <= 25);
}

TEST(loop_steady_load_is_left_alone)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = two_threads;
	sim_run(&sim, 2000);
	sim_reset_counts(&sim);
	sim_run(&sim, 60000);
	printf("# steady: slack %.1f%%, %u changes in 60 s\n", 100 * sim_slack(&sim), sim.changes);
	CHECK_INT(sim.changes, 0);
	CHECK(sim_slack(&sim) < 0.15);
	CHECK_NEAR(sim.sum_lost, 0, 0);
}

static uint64_t random_state;

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (double)(random_state >> 11) / 0x1p53;
}

static void seed(void)
{
	random_state = test_seed(2654435769) * 2 + 1;
}

/* Half a core, a little more or less every 20 ms. */
static double noisy_stream(struct sim *sim, long ms)
{
	static double level;

	if (ms % 20 == 0)
		level = 0.5 * (0.9 + 0.2 * uniform());
	return level;
}

TEST(loop_noisy_stream)
{
	static struct sim sim;

	seed();
	sim_init(&sim);
	sim.threads = noisy_stream;
	sim_run(&sim, 5000);
	sim_reset_counts(&sim);
	sim_run(&sim, 60000);
	printf("# noisy stream: slack %.1f%%, %u changes in 60 s, held back %.2f%%\n",
	       100 * sim_slack(&sim), sim.changes, 100 * sim.sum_lost / sim.sum_used);
	CHECK(sim_slack(&sim) < 0.20);
	CHECK(sim.changes <= 12);
	CHECK(sim.sum_lost < sim.sum_used / 200);
}

static double burst_every_second(struct sim *sim, long ms)
{
	return ms % 1000 < 50 ? 2 : 0;
}

/* 50 ms on two threads every second: learns to keep the room, so that few are throttled. */
TEST(loop_short_bursts_keep_their_room)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = burst_every_second;
	sim_run(&sim, 30000);
	sim_reset_counts(&sim);
	sim_run(&sim, 60000);
	printf("# bursts: %.2f%% held back, %u changes in 60 s, limit %lld..%lld\n",
	       100 * sim.sum_lost / sim.sum_used, sim.changes, (long long)sim.lowest,
	       (long long)sim.highest);
	/* 60 bursts of 100 core-ms. */
	CHECK(sim.sum_lost < 300);
	CHECK(sim.changes <= 8);
}

static double four_threads(struct sim *sim, long ms)
{
	return 4;
}

/* Requests of 20 ms, 80 a second, for 1.5 s in every 10 s. */
static double service(struct sim *sim, long ms)
{
	static double carry;
	double work = 0;

	if (ms % 10000 >= 1500)
		return 0;
	carry += 0.08 * 2 * uniform();
	for (; carry >= 1; carry--)
		work += 20;
	return work;
}

/* A service with bursts: after a few of them the limit waits for the next. */
TEST(loop_bursty_service)
{
	static struct sim sim;
	double first;

	seed();
	sim_init(&sim);
	sim.threads = four_threads;
	sim.arrives = service;
	sim_run(&sim, 60000);
	first = sim.sum_lost;
	sim_reset_counts(&sim);
	sim_run(&sim, 240000);
	printf("# bursty service: %.0f core-ms held back in the first minute, %.0f in each of the next "
	       "four, of %.0f\n",
	       first, sim.sum_lost / 4, sim.sum_used / 4);
	CHECK(sim.sum_lost < sim.sum_used * 0.03);
}

static double bursts_that_end(struct sim *sim, long ms)
{
	return ms < 60000 ? burst_every_second(sim, ms) : 0;
}

/* Patience ends, too. */
TEST(loop_falls_to_min_after_bursts_end)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = bursts_that_end;
	sim_run(&sim, 60000 + 70000);
	CHECK_INT(CPU(sim), 20);
}

static double sawtooth(struct sim *sim, long ms)
{
	return (double)(ms % 10000) / 10000 * 3;
}

TEST(loop_sawtooth)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = sawtooth;
	sim_run(&sim, 60000);
	printf("# sawtooth 0..3 cores in 10 s: slack %.1f%%, held back %.2f%%, %u changes\n",
	       100 * sim_slack(&sim), 100 * sim.sum_lost / sim.sum_used, sim.changes);
	CHECK(sim.sum_lost < sim.sum_used / 500);
	CHECK(sim_slack(&sim) < 0.45);
	CHECK(sim.changes < 180);
}

static double slow_ramp(struct sim *sim, long ms)
{
	return (double)ms / 60000 * 4.4;
}

TEST(loop_slow_ramp)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = slow_ramp;
	sim_run(&sim, 50000);
	printf("# ramp to 3.7 cores in 50 s: slack %.1f%%, held back %.2f%%, %u changes\n",
	       100 * sim_slack(&sim), 100 * sim.sum_lost / sim.sum_used, sim.changes);
	CHECK_INT(sim.lowerings, 0);
	CHECK(sim.sum_lost < sim.sum_used / 500);
	CHECK(sim_slack(&sim) < 0.15);
	/* At max it stops asking. */
	sim_run(&sim, 10000);
	CHECK_INT(CPU(sim), 400);
	sim_reset_counts(&sim);
	sim_run(&sim, 5000);
	CHECK_INT(sim.changes, 0);
}

/* Load that ends and comes back within a second of the lowering: undone at once, to the limit
 * that was. */
static double pause_once(struct sim *sim, long ms)
{
	return ms < 5000 || ms >= 6800 ? 2 : 0.9;
}

TEST(loop_undoes_a_lowering)
{
	static struct sim sim;
	int64_t before;

	sim_init(&sim);
	sim.no_bandwidth = true;
	sim.threads = pause_once;
	sim_run(&sim, 5000);
	before = CPU(sim);
	sim_run(&sim, 1800);
	CHECK(CPU(sim) < before);
	sim_run(&sim, 300);
	CHECK(CPU(sim) >= before);
}

/* Two cores, then so little that the limit is halved and halved again, then two cores. */
static double dip(struct sim *sim, long ms)
{
	return ms < 5000 || ms >= 8000 ? 2 : 0.3;
}

/* A descent of several steps is undone as one. */
TEST(loop_undoes_a_descent)
{
	static struct sim sim;
	int64_t before;

	sim_init(&sim);
	sim.no_bandwidth = true;
	sim.threads = dip;
	sim_run(&sim, 5000);
	before = CPU(sim);
	sim_run(&sim, 3000);
	CHECK(sim.lowerings >= 2 && CPU(sim) < before / 2);
	sim_run(&sim, 250);
	CHECK_INT(CPU(sim), before);
}

/* Bursts for two minutes, then phases that last. */
static double bursts_then_phases(struct sim *sim, long ms)
{
	if (ms < 120000)
		return burst_every_second(sim, ms);
	return ms / 30000 % 2 ? 1 : 2;
}

/* What bursts taught is unlearnt: after some phases a lowering comes after a second again. */
TEST(loop_unlearns_patience)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = bursts_then_phases;
	sim_run(&sim, 120000 + 10 * 60000 + 25000);
	CHECK(CPU(sim) > 200);
	sim_run(&sim, 5000 + 1500);
	CHECK(CPU(sim) < 130);
}

/* A host that tells no throttling: steps widen until usage is below the limit. */
TEST(loop_without_throttling_widens)
{
	static struct sim sim;

	sim_init(&sim);
	sim.no_bandwidth = true;
	sim.threads = four_threads;
	sim_run(&sim, 1000);
	CHECK_INT(CPU(sim), 400);
	CHECK(sim.raises <= 3);
}

static double nothing(struct sim *sim, long ms)
{
	return 0;
}

static double memory_ramp(struct sim *sim, long ms)
{
	return ms < 2000 ? 100 : MIN(100 + (double)(ms - 2000) * 1.024, 6000);
}

/* 1 GiB/s from 100 MiB: never reaches a limit that began at 256 MiB. */
TEST(loop_memory_ramp)
{
	static struct sim sim;

	sim_init(&sim);
	sim.threads = nothing;
	sim.memory = memory_ramp;
	sim_run(&sim, 20000);
	printf("# memory 1 GiB/s: %u ms at the limit, %u raises, slack %.1f%%\n", sim.out_of_memory,
	       sim.raises, 100 * (1 - sim.sum_mem_used / sim.sum_mem_limit));
	CHECK_INT(sim.out_of_memory, 0);
	CHECK(sim.raises <= 12);
	CHECK(MEM(sim) >= 6000 && MEM(sim) < 7600);
}

static double memory_falls(struct sim *sim, long ms)
{
	return ms < 5000 ? 2000 : 300;
}

/* Three seconds for each halving: there is time to come back. */
TEST(loop_memory_falls_by_halves)
{
	static struct sim sim;

	sim_init(&sim);
	sim.structure.resources[EBB_MEM].current = 2286;
	sim.threads = nothing;
	sim.memory = memory_falls;
	sim_run(&sim, 7900);
	CHECK_INT(sim.changes, 0);
	sim_run(&sim, 1500);
	CHECK_INT(sim.lowerings, 1);
	CHECK_INT(MEM(sim), 1143);
	sim_run(&sim, 1400);
	CHECK_INT(sim.lowerings, 1);
	sim_run(&sim, 1500);
	CHECK_INT(MEM(sim), 572);
	sim_run(&sim, 30000);
	CHECK_INT(sim.changes, 3);
	CHECK(MEM(sim) >= 364 && MEM(sim) <= 400);
}

static double memory_jitters(struct sim *sim, long ms)
{
	return 500 + (double)(ms / 700 % 2) * 40;
}

TEST(loop_memory_noise)
{
	static struct sim sim;

	sim_init(&sim);
	sim.structure.resources[EBB_MEM].current = 600;
	sim.threads = nothing;
	sim.memory = memory_jitters;
	sim_run(&sim, 10000);
	sim_reset_counts(&sim);
	sim_run(&sim, 60000);
	CHECK(sim.changes <= 2);
	CHECK_INT(sim.out_of_memory, 0);
}

/* The original's windows: slower, but still there and back. */
TEST(loop_ten_second_window)
{
	static struct sim sim;

	sim_init(&sim);
	sim.config.window_timelapse = 10;
	sim.config.event_timeout = 100;
	sim.threads = phases;
	sim_run(&sim, 12000);
	CHECK(CPU(sim) >= 200);
	sim_run(&sim, 10000);
	CHECK(CPU(sim) >= 100);
	sim_run(&sim, 40000);
	CHECK_INT(CPU(sim), 20);
}

/* Other sampling periods: ten events are a second at 100 ms only. */
TEST(loop_other_periods)
{
	static const struct {
		long ms, settle;
	} periods[] = {{10, 400}, {50, 500}, {200, 1200}, {1000, 5000}};

	static struct sim sim;

	sim_init(&sim);
	for (size_t i = 0; i < ARRAY_SIZE(periods); i++) {
		sim_start(&sim);
		sim.sample_ms = periods[i].ms;
		sim.phase_ms = 3;
		sim.threads = phases;
		sim_run(&sim, 2000 + periods[i].settle);
		CHECK(CPU(sim) >= 200);
		sim_run(&sim, 10000 - periods[i].settle);
		CHECK(CPU(sim) >= 200 && CPU(sim) <= 250);
		sim_reset_counts(&sim);
		sim_run(&sim, 950);
		CHECK_INT(sim.lowerings, 0);
		sim_run(&sim, 60000);
		CHECK_INT(CPU(sim), 20);
	}
}

TEST_MAIN()
