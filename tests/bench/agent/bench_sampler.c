/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sample of a container costs, as CPU time of this process: the three samplers, the same
 * files opened, read and closed each time, and atop at one sample a second. Each cgroup has one
 * process that works 20 us every 50 to 100 ms (of 5,000: 250 to 500 ms), and sweeps are 100 ms
 * apart: with an idle tree, or sweeps back to back, everything would be in the caches and the
 * numbers many times lower.
 */
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "bpf_objects.h"
#include "ebb/units.h"
#include "sampled_tree.h"

#define MAX_CONTAINERS 10000
#define SWEEPS         20

static struct rig rig; /* its tree and hierarchies; samplers come and go */
static struct container *containers[MAX_CONTAINERS];
static pid_t workers[MAX_CONTAINERS];
static int n_containers;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * EBB_NS_PER_SEC + t.tv_nsec;
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * EBB_NS_PER_SEC + t.tv_nsec;
}

/* Of all workers together: 1,000 that work every 50 to 100 ms; more work less often each. */
static void worker(unsigned seed, int of)
{
	unsigned pause_us = of > 1000 ? 50 * of : 50000;

	if (nice(19) < 0)
		_exit(1);
	for (;;) {
		uint64_t until = wall_ns() + 20000;

		while (wall_ns() < until)
			;
		seed = seed * 1103515245 + 12345;
		usleep(pause_us + (seed >> 8) % pause_us);
	}
}

/* Forks into a new cgroup of v2, without the grace period that entering one costs the kernel. */
static pid_t fork_in_cgroup(const char *name)
{
	char dir[512];
	struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	int fd;
	pid_t pid;

	if (!cgroup_tree_dir(&rig.tree, "cpu", name, dir, sizeof(dir)) ||
	    (mkdir(dir, 0755) < 0 && errno != EEXIST))
		return -1;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	args.cgroup = fd;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	close(fd);
	return pid;
}

/* Only where something is sampled: each entry into a cgroup costs the kernel a grace period. */
static bool enter_cgroups(const char *name, pid_t pid)
{
	static const char *const controllers[] = {"cpu", "cpuacct", "memory"};
	char dir[512], last[512] = "", path[640], text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		int fd;
		bool entered;

		if (!cgroup_tree_dir(&rig.tree, controllers[i], name, dir, sizeof(dir)) ||
		    strcmp(dir, last) == 0)
			continue;
		memcpy(last, dir, sizeof(last));
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return false;
		snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		entered = fd >= 0 && write(fd, text, strlen(text)) > 0;
		if (fd >= 0)
			close(fd);
		if (!entered)
			return false;
	}
	return true;
}

/* Adds cgroups and workers up to `n`, for 20 s and 20 ms each at most; how many there are then. */
static int grow(int n)
{
	bool v2 = rig.hierarchies.by_controller[CGROUP_CPU].version == 2;
	uint64_t give_up = wall_ns() + (20 + n / 50) * EBB_NS_PER_SEC;
	char name[32];

	while (n_containers < n && wall_ns() < give_up) {
		pid_t parent = getpid(), pid;

		snprintf(name, sizeof(name), "c%d", n_containers);
		fflush(NULL);
		pid = v2 ? fork_in_cgroup(name) : fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() == parent)
				worker(getpid(), n);
			_exit(0);
		}
		if (pid < 0 || (!v2 && !enter_cgroups(name, pid))) {
			if (pid > 0)
				kill(pid, SIGKILL);
			break;
		}
		workers[n_containers] = pid;
		containers[n_containers] = rig_describe(&rig, name);
		/* On v1 each has three directories open: 10,000 may be more than are allowed. */
		if (containers[n_containers++]->dir_fds[CGROUP_MEMORY] < 0)
			break;
	}
	return n_containers;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct cost {
	double mean, median; /* us per container and sweep */
};

static struct cost summarize(uint64_t *spent)
{
	struct cost cost = {0};

	for (int i = 0; i < SWEEPS; i++)
		cost.mean += spent[i] / 1e3 / SWEEPS / n_containers;
	qsort(spent, SWEEPS, sizeof(*spent), by_size);
	cost.median = spent[SWEEPS / 2] / 1e3 / n_containers;
	return cost;
}

static bool measure_sampler(enum sampler_kind kind, struct cost *ret_cost)
{
	uint64_t spent[SWEEPS];
	bool complete = true;

	rig.bpf = NULL;
	if (bpf_programs_load(&(struct bpf_programs_options){.pin_dir = rig.pin_dir,
							     .max_containers = MAX_CONTAINERS,
							     .kind = kind,
							     .hierarchies = &rig.hierarchies},
			      &rig.bpf) < 0)
		return false;
	if (sampler_new(kind, rig.bpf, &rig.hierarchies, MAX_CONTAINERS, &rig.sampler) < 0)
		complete = false;
	for (int i = 0; complete && i < n_containers; i++)
		complete = sampler_add(rig.sampler, containers[i]) >= 0;
	for (int i = -2; complete && i < SWEEPS; i++) {
		uint64_t start;

		sleep_ms(100);
		start = cpu_ns();
		complete = sampler_sweep(rig.sampler) == 0;
		if (i >= 0)
			spent[i] = cpu_ns() - start;
	}
	for (int i = 0; i < n_containers; i++)
		if (rig.sampler)
			sampler_remove(rig.sampler, containers[i]);
	sampler_free(rig.sampler);
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;
	if (complete)
		*ret_cost = summarize(spent);
	return complete;
}

static void read_once(int dir, const char *name)
{
	char text[8192];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text)) < 0)
		perror(name);
	close(fd);
}

/* The files that sampler_files keeps open, v1 or v2, whichever are there. */
static struct cost measure_plain_files(void)
{
	static const struct {
		enum cgroup_controller controller;
		const char *name;
	} v1[] =
		{
			{CGROUP_CPUACCT, "cpuacct.usage"},
			{CGROUP_CPU, "cpu.stat"},
			{CGROUP_CPU, "cpu.cfs_quota_us"},
			{CGROUP_CPU, "cpu.cfs_period_us"},
			{CGROUP_MEMORY, "memory.usage_in_bytes"},
			{CGROUP_MEMORY, "memory.stat"},
			{CGROUP_MEMORY, "memory.limit_in_bytes"},
			{CGROUP_MEMORY, "memory.oom_control"},
		},
	  v2[] = {
		  {CGROUP_CPU, "cpu.stat"},
		  {CGROUP_CPU, "cpu.max"},
		  {CGROUP_MEMORY, "memory.current"},
		  {CGROUP_MEMORY, "memory.stat"},
		  {CGROUP_MEMORY, "memory.max"},
		  {CGROUP_MEMORY, "memory.events"},
		  {CGROUP_IO, "io.stat"},
	  };
	bool first = rig.hierarchies.by_controller[CGROUP_CPU].version == 1;
	uint64_t spent[SWEEPS];

	for (int sweep = 0; sweep < SWEEPS; sweep++) {
		uint64_t start;

		sleep_ms(100);
		start = cpu_ns();
		for (int i = 0; i < n_containers; i++)
			for (size_t f = 0; f < (first ? ARRAY_SIZE(v1) : ARRAY_SIZE(v2)); f++)
				read_once(containers[i]->dir_fds[first ? v1[f].controller
								       : v2[f].controller],
					  first ? v1[f].name : v2[f].name);
		spent[sweep] = cpu_ns() - start;
	}
	return summarize(spent);
}

/* Milliseconds of CPU that atop takes for one sample of everything, its start left out. 0: none. */
static double measure_atop(void)
{
	double cost[2];

	/* Emulated, each of its samples of 1,000 takes seconds. */
	if (getenv("EBB_TEST_EMULATED") || access("/usr/bin/atop", X_OK) < 0)
		return 0;
	for (int samples = 1; samples <= 4; samples += 3) {
		struct rusage before, after;
		char count[8];
		pid_t pid;

		snprintf(count, sizeof(count), "%d", samples);
		fflush(NULL);
		getrusage(RUSAGE_CHILDREN, &before);
		pid = fork();
		if (pid == 0) {
			if (!freopen("/dev/null", "w", stdout))
				_exit(1);
			execl("/usr/bin/atop", "atop", "-P", "PRC,PRM,PRD", "1", count, NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
		getrusage(RUSAGE_CHILDREN, &after);
		cost[samples > 1] = (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
				     (after.ru_stime.tv_sec - before.ru_stime.tv_sec)) *
					    1e3 +
				    (after.ru_utime.tv_usec - before.ru_utime.tv_usec +
				     (after.ru_stime.tv_usec - before.ru_stime.tv_usec)) /
					    1e3;
	}
	return (cost[1] - cost[0]) / 3;
}

static void end(void *arg)
{
	/* All at once: one by one with their cgroups would take minutes. */
	for (int i = 0; i < n_containers; i++)
		kill(workers[i], SIGKILL);
	for (int i = 0; i < n_containers; i++) {
		waitpid(workers[i], NULL, 0);
		container_free(containers[i]);
	}
	n_containers = 0;
	rig_end(&rig);
}

TEST(cost_of_a_sample)
{
	static const int sizes[] = {10, 100, 1000, 5000, 10000};
	static const char *const names[] = {"held", "walk", "files"};
	const char *max = getenv("EBB_BENCH_MAX"); /* containers; for machines that are shared */
	struct rlimit limit;

	rig_begin(&rig, "bench", SAMPLER_FILES, 1);
	test_at_end(end, NULL);
	sampler_free(rig.sampler); /* the sampler is what varies */
	bpf_programs_free(rig.bpf);
	rig.sampler = NULL;
	rig.bpf = NULL;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}

	printf("CPU time per container and sweep, us: mean (median); %d sweeps, 100 ms apart\n",
	       SWEEPS);
	printf("%10s  %-16s %-16s %-16s %-16s %s\n", "containers", "held", "walk", "files",
	       "open/read/close", "atop, 1 Hz");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct cost cost[3], plain;
		char cell[32];
		double atop;
		int before = n_containers;

		if (max && sizes[i] > atoi(max))
			break;
		if (grow(sizes[i]) < 2 * before || n_containers == 0) {
			printf("%10d  not possible here: stopped at %d cgroups\n", sizes[i],
			       n_containers);
			break;
		}
		sleep_ms(500);
		printf("%10d  ", n_containers);
		for (int k = 0; k < 3; k++) {
			if (measure_sampler(SAMPLER_HELD + k, &cost[k]))
				snprintf(cell, sizeof(cell), "%.2f (%.2f)", cost[k].mean,
					 cost[k].median);
			else
				snprintf(cell, sizeof(cell), "no %s", names[k]);
			printf("%-16s ", cell);
		}
		plain = measure_plain_files();
		snprintf(cell, sizeof(cell), "%.2f (%.2f)", plain.mean, plain.median);
		printf("%-16s ", cell);
		atop = measure_atop();
		printf("%.2f (%.1f ms a sample)\n", atop * 1e3 / n_containers, atop);
		if (n_containers == 1000)
			printf("%10s  at 10 Hz held takes %.2f%% of a core\n", "",
			       cost[0].mean * 1000 * 10 / 1e6 * 100);
	}
}

TEST_MAIN()
