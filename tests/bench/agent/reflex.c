/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loads and clocks of bench_reflex.sh, which runs agent and controller and makes the cgroups.
 *   reflex cpu TREE CONTROLLER ROUNDS IDLE MAX PINS   two threads begin to spin in TREE/web0 to
 * web3, one after another, whose quota was IDLE shares: from when the scheduler makes one wait for
 * its next period until the quota file has more reflex mem TREE CONTROLLER ROUNDS IDLE MAX        a
 * process in TREE/big touches 1 GiB/s up to MIB_TO, at a limit that begins with IDLE MiB One line
 * of what was measured for each round. Polls every 0.25 ms, of a higher priority than all else
 * where that is allowed, so that the clock is not what waits.
 */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <jansson.h>

#include "bpf_programs.h"
#include "cgroup_tree.h"
#include "container.h"
#include "gated_load.h"
#include "hierarchy.h"
#include "sampler.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define POLL_NS     (EBB_NS_PER_MS / 4)
#define WAIT_MAX_NS (10 * EBB_NS_PER_SEC)
#define MIB_FROM    64
#define MIB_TO      2048
#define MIB_PER_S   1024
/* A step of 1 MiB that took this long had to wait for more than a CPU's zeroing of pages. */
#define STALL_NS (5 * EBB_NS_PER_MS)

/* Shared with the load. */
struct gate {
	struct load_gate load;
	_Atomic uint64_t mib, stall_ns, longest_ns, start_ns, end_ns;
};

struct bench {
	struct cgroup_tree tree;
	const char *address, *name;
	int limit_fd, events_fd, met_fd;
	struct gate *gate;
	pid_t load;
	uint64_t ready_ns;
	/* The scheduler's word of who waits. */
	struct hierarchies hierarchies;
	struct bpf_programs *bpf;
	struct sampler *sampler;
	struct container *container;
};

/* Those mounts in which it was made. */
static void find_tree(struct cgroup_tree *tree, const char *name)
{
	int n = 0;

	cgroup_tree_find_mounts(tree);
	snprintf(tree->name, sizeof(tree->name), "%s", name);
	for (int i = 0; i < tree->n_mounts; i++) {
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", tree->mounts[i].path, name);
		if (access(path, F_OK) == 0)
			tree->mounts[n++] = tree->mounts[i];
	}
	tree->n_mounts = n;
}

static void nap_ns(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_sec = (time_t)(ns / EBB_NS_PER_SEC),
				     .tv_nsec = (long)(ns % EBB_NS_PER_SEC)},
		  NULL);
}

/* --- the API --- */

static bool put(const struct bench *bench, const char *rest, int64_t value)
{
	char path[160], body[64];
	struct http_request_options options = {
		.method = "PUT",
		.address = bench->address,
		.path = path,
		.body = body,
	};
	struct http_result result;
	bool done;

	snprintf(path, sizeof(path), "/structure/%s/%s", bench->name, rest);
	options.body_len =
		(size_t)snprintf(body, sizeof(body), "{\"value\":%lld}", (long long)value);
	if (http_call_blocking(&options, &result) < 0)
		return false;
	done = result.status == 200;
	if (!done)
		fprintf(stderr, "PUT %s: %ld %s\n", path, result.status,
			result.body ? result.body : result.error);
	http_result_clear(&result);
	return done;
}

/* --- what the kernel says --- */

static int open_file(const struct bench *bench, const char *controller, const char *v1,
		     const char *v2)
{
	char dir[512], path[640];
	int fd;

	if (!cgroup_tree_dir(&bench->tree, controller, bench->name, dir, sizeof(dir)))
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", dir, v1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", dir, v2);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static long long read_number(int fd, const char *key)
{
	char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *at;

	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = key ? strstr(text, key) : text;
	return at ? strtoll(at + (key ? strlen(key) : 0), NULL, 10) : -1;
}

/* Edge units; "max" and -1 read as 0. Both versions give a quota in microseconds per 100 ms. */
static long long limit_of(const struct bench *bench, bool cpu)
{
	long long value = read_number(bench->limit_fd, NULL);

	return value <= 0 ? 0 : cpu ? value / 1000 : value >> 20;
}

static int watch(struct bench *bench, const char *pins)
{
	struct bpf_programs_options options = {
		.pin_dir = pins,
		.max_containers = 8,
		.kind = SAMPLER_HELD,
		.hierarchies = &bench->hierarchies,
	};
	char path[160];
	int slot, r;

	r = hierarchies_open(NULL, &bench->hierarchies);
	if (r >= 0)
		r = bpf_programs_load(&options, &bench->bpf);
	if (r >= 0)
		r = sampler_new(SAMPLER_HELD, bench->bpf, &bench->hierarchies, 8, &bench->sampler);
	snprintf(path, sizeof(path), "%.63s/%.31s", bench->tree.name, bench->name);
	if (r >= 0)
		r = container_new(1, bench->name, path, "cgroup", &bench->container);
	for (int c = 0; r >= 0 && c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = &bench->hierarchies.by_controller[c];

		if (!hierarchy->mount)
			continue;
		if (hierarchy->shared != (enum cgroup_controller)c) {
			bench->container->dir_fds[c] = bench->container->dir_fds[hierarchy->shared];
			bench->container->ids[c] = bench->container->ids[hierarchy->shared];
			continue;
		}
		bench->container->dir_fds[c] = cgroup_open_beneath(hierarchy->root_fd, path);
		if (bench->container->dir_fds[c] >= 0)
			bench->container->ids[c] = cgroup_id_of_fd(bench->container->dir_fds[c]);
	}
	if (r < 0)
		return r;
	bench->container->id = bench->container->ids[bench->hierarchies.primary];
	slot = sampler_add(bench->sampler, bench->container);
	if (slot < 0)
		return slot;
	r = sampler_watch(bench->sampler, &slot, 1);
	return r < 0 ? r : 0;
}

static bool waits(const struct bench *bench)
{
	struct ebb_sample sample;
	bool throttled = false;

	return sampler_look(bench->sampler) >= 0 &&
	       sampler_watched(bench->sampler, 0, &sample, &throttled) && throttled;
}

/* How often memory was charged that the limit had no room for. */
static long long met(const struct bench *bench)
{
	long long events = read_number(bench->met_fd, "\nmax ");

	return events >= 0 ? events : read_number(bench->met_fd, NULL);
}

/* The limit at `idle`, and allowed to rise to `max`. */
static int cut(struct bench *bench, const char *param, bool cpu, int64_t idle, int64_t max)
{
	uint64_t until = now_ns() + 3 * WAIT_MAX_NS;

	if (!put(bench, param, idle))
		return -EIO;
	while (limit_of(bench, cpu) != idle) {
		if (now_ns() > until)
			return -ETIMEDOUT;
		nap_ns(5 * EBB_NS_PER_MS);
	}
	/* What is in force is settled. */
	nap_ns(100 * EBB_NS_PER_MS);
	if (!put(bench, param, max))
		return -EIO;
	/* That it may rise is told with an answer, once a second; and in no step with anything. */
	bench->ready_ns = now_ns() + 1050 * EBB_NS_PER_MS + random_u64() % (100 * EBB_NS_PER_MS);
	return 0;
}

static void rest(const struct bench *bench)
{
	while (now_ns() < bench->ready_ns)
		nap_ns(EBB_NS_PER_MS);
}

/* --- CPU --- */

static void print_ms(const char *name, uint64_t from, uint64_t to)
{
	if (from && to)
		printf(" %s %.2f", name, to > from ? (double)(to - from) / 1e6 : 0);
}

static int cpu_round(struct bench *bench, int64_t idle, int64_t max)
{
	uint64_t start, now, waits_at = 0, counted_at = 0, raised_at = 0;
	long long counted;

	rest(bench);
	/* What came late of the round before. */
	for (int i = 0; limit_of(bench, true) != idle; i++) {
		int r = i < 5 ? cut(bench, "resources/cpu/max", true, idle, max) : -EBUSY;

		if (r < 0)
			return r;
		rest(bench);
	}
	counted = read_number(bench->events_fd, "nr_throttled ");
	start = now_ns();
	atomic_store(&bench->gate->load.open, 1);
	do {
		nap_ns(POLL_NS);
		now = now_ns();
		if (!waits_at && waits(bench))
			waits_at = now;
		if (!counted_at && read_number(bench->events_fd, "nr_throttled ") > counted)
			counted_at = now;
		if (limit_of(bench, true) > idle)
			raised_at = now;
	} while (!raised_at && now - start < WAIT_MAX_NS / 4);
	atomic_store(&bench->gate->load.open, 0);
	/* Seen by the agent between two polls. */
	if (raised_at && !waits_at)
		waits_at = raised_at;
	printf("cpu");
	print_ms("waits-raised", waits_at, raised_at);
	/* Before the kernel had counted it: 0. */
	print_ms("counted-raised", counted_at ?: raised_at, raised_at);
	print_ms("load-raised", start, raised_at);
	printf(" uncounted %d missed %d\n", raised_at && (!counted_at || counted_at > raised_at),
	       !raised_at);
	return 0;
}

/* --- memory --- */

static void grow(void *arg)
{
	struct gate *gate = arg;
	size_t mib = 1 << 20;
	char *memory = mmap(NULL, MIB_TO * mib, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t next;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (memory == MAP_FAILED)
		_exit(1);
	/* Page by page: not what the kernel hands out in twos of MiB. */
	(void)madvise(memory, MIB_TO * mib, MADV_NOHUGEPAGE);
	memset(memory, 1, MIB_FROM * mib);
	atomic_store(&gate->mib, MIB_FROM);
	while (!atomic_load(&gate->load.open))
		usleep(500);
	next = now_ns();
	atomic_store(&gate->start_ns, next);
	for (size_t i = MIB_FROM; i < MIB_TO; i++) {
		uint64_t begin = now_ns(), took;

		for (size_t at = 0; at < mib; at += 4096)
			memory[i * mib + at] = 1;
		atomic_store(&gate->mib, i + 1);
		took = now_ns() - begin;
		if (took > STALL_NS)
			atomic_fetch_add(&gate->stall_ns, took - STALL_NS);
		if (took > atomic_load(&gate->longest_ns))
			atomic_store(&gate->longest_ns, took);
		next += EBB_NS_PER_SEC / MIB_PER_S;
		/* What was lost to waiting is not made up for by a burst; a late wake-up is. */
		if (begin + took > next + 20 * EBB_NS_PER_MS)
			next = begin + took;
		while (now_ns() < next)
			nap_ns(next - MIN(now_ns(), next - 1));
	}
	atomic_store(&gate->end_ns, now_ns());
	_exit(0);
}

static int mem_round(struct bench *bench, int64_t idle, int64_t max)
{
	struct gate *gate = bench->gate;
	long long kills, met_before, before, limit, raises = 0, first = 0;
	bool given_up = false;
	uint64_t until, end;
	int status = 0, r;
	pid_t pid = 0;

	memset(gate, 0, sizeof(*gate));
	r = cut(bench, "resources/mem/max", false, idle, max);
	if (r < 0)
		return r;
	rest(bench);
	kills = read_number(bench->events_fd, "oom_kill ");
	pid = cgroup_tree_spawn(&bench->tree, bench->name, grow, gate);
	if (pid < 0)
		return -errno;
	until = now_ns() + WAIT_MAX_NS;
	while (atomic_load(&gate->mib) < MIB_FROM && now_ns() < until)
		nap_ns(EBB_NS_PER_MS);
	/* So much was there before the growth began. */
	nap_ns(500 * EBB_NS_PER_MS);
	before = first = limit_of(bench, false);
	met_before = met(bench);
	atomic_store(&gate->load.open, 1);
	until = now_ns() + 6 * WAIT_MAX_NS;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		limit = limit_of(bench, false);
		raises += limit > before;
		before = limit;
		/* By us: no kill that counts. */
		if (now_ns() > until && !given_up) {
			given_up = true;
			kill(pid, SIGKILL);
		}
		nap_ns(POLL_NS);
	}
	end = atomic_load(&gate->end_ns);
	end = end ?: now_ns();
	printf("mem killed %d oom_kills %lld raises %lld from %lld to %lld met %lld reached %llu stall %.1f "
	       "longest %.1f rate %.0f\n",
	       WIFSIGNALED(status) && !given_up, read_number(bench->events_fd, "oom_kill ") - kills,
	       raises, first, before, met(bench) - met_before,
	       (unsigned long long)atomic_load(&gate->mib),
	       (double)atomic_load(&gate->stall_ns) / 1e6,
	       (double)atomic_load(&gate->longest_ns) / 1e6,
	       (double)(atomic_load(&gate->mib) - MIB_FROM) * 1e9 /
		       (double)(end - atomic_load(&gate->start_ns)));
	return 0;
}

/* --- both --- */

static int set_up(struct bench *bench, bool cpu, int64_t idle, int64_t max, const char *pins)
{
	bench->gate = mmap(NULL, sizeof(*bench->gate), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bench->limit_fd = cpu ? open_file(bench, "cpu", "cpu.cfs_quota_us", "cpu.max")
			      : open_file(bench, "memory", "memory.limit_in_bytes", "memory.max");
	bench->events_fd = cpu ? open_file(bench, "cpu", "cpu.stat", "cpu.stat")
			       : open_file(bench, "memory", "memory.oom_control", "memory.events");
	bench->met_fd = cpu ? -1 : open_file(bench, "memory", "memory.failcnt", "memory.events");
	if (bench->gate == MAP_FAILED || bench->limit_fd < 0 || bench->events_fd < 0)
		return -ENOENT;
	if (!cpu)
		return 0;
	bench->load =
		cgroup_tree_spawn(&bench->tree, bench->name, gated_spin_on_two, &bench->gate->load);
	if (bench->load < 0)
		return -errno;
	return watch(bench, pins) < 0 ? -EIO : cut(bench, "resources/cpu/max", true, idle, max);
}

static void clean_up(struct bench *bench)
{
	if (bench->load > 0) {
		kill(bench->load, SIGKILL);
		waitpid(bench->load, NULL, 0);
	}
	if (bench->container && bench->sampler)
		sampler_remove(bench->sampler, bench->container);
	container_free(bench->container);
	sampler_free(bench->sampler);
	bpf_programs_free(bench->bpf);
	hierarchies_close(&bench->hierarchies);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	bool cpu = argc > 1 && !strcmp(argv[1], "cpu");
	uint64_t rounds, idle, max;
	int r = 0;

	if (argc != (cpu ? 8 : 7) || parse_u64(argv[4], &rounds) < 0 ||
	    parse_u64(argv[5], &idle) < 0 || parse_u64(argv[6], &max) < 0) {
		fprintf(stderr, "usage: see bench_reflex.sh\n");
		return 2;
	}
	log_set_level(LOG_LEVEL_WARNING);
	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	find_tree(&bench.tree, argv[2]);
	bench.address = argv[3];
	bench.name = cpu ? "web" : "big";
	r = set_up(&bench, cpu, (int64_t)idle, (int64_t)max, argv[7]);
	if (cpu)
		(void)sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
					 &(struct sched_param){.sched_priority = 1});
	for (uint64_t i = 0; i < rounds && r >= 0; i++)
		r = cpu ? cpu_round(&bench, (int64_t)idle, (int64_t)max)
			: mem_round(&bench, (int64_t)idle, (int64_t)max);
	if (r < 0)
		fprintf(stderr, "reflex %s: %s\n", argv[1], strerror(-r));
	clean_up(&bench);
	return r < 0;
}
