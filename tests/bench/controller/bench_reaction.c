/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long from a load to a raised quota, through the real agent and the real controller: a process
 * in an idle, guarded cgroup with a small quota starts to spin on two threads; the clock stops when
 * the quota in the cgroup's file is higher. Between trials the API lowers the limit again.
 *   bench_reaction [TRIALS]        default 60
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "cgroup_tree.h"
#include "gated_load.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define TRIALS_MAX  1000
#define QUOTA_IDLE  30 /* shares the container idles at */
#define QUOTA_MAX   200
#define WAIT_MAX_NS (5 * EBB_NS_PER_SEC)

enum { FIRST_RAISE, FROM_THROTTLE, TO_FULL, RECEIVED, EVALUATED, SENT, APPLIED, TIMES };
static const char *const titles[TIMES] = {
	[FIRST_RAISE] = "load step -> first raised quota",
	[FROM_THROTTLE] = "first throttled period -> raised",
	[TO_FULL] = "load step -> quota of two cores",
	[RECEIVED] = "  sample taken -> at the controller",
	[EVALUATED] = "  sample taken -> evaluated",
	[SENT] = "  sample taken -> order sent",
	[APPLIED] = "  sample taken -> limit in force",
};

struct bench {
	char dir[64], pins[64], address[128], build[256];
	struct cgroup_tree tree;
	bool has_tree;
	pid_t controller, agent, load;
	struct load_gate *gate; /* shared with the load */
	int quota_fd, stat_fd;
	double times[TIMES][TRIALS_MAX];
	size_t n[TIMES];
	unsigned missed;    /* trials without a raise */
	unsigned uncounted; /* raises that came before the kernel had counted a throttled period */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

static void nap_ms(unsigned ms)
{
	usleep(ms * 1000);
}

/* --- starting and stopping --- */

static int start_program(struct bench *bench, const char *log, char *const argv[], pid_t *ret_pid)
{
	char path[128];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", bench->dir, log);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		execv(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	close(fd);
	if (pid < 0)
		return -errno;
	*ret_pid = pid;
	return 0;
}

static void stop_program(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	for (int i = 0; i < 500; i++) {
		if (waitpid(*pid, NULL, WNOHANG) != 0) {
			*pid = 0;
			return;
		}
		nap_ms(10);
	}
	kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* Waits for the address that the program says it listens on. */
static int find_address(struct bench *bench, const char *log, char *ret_address, size_t size)
{
	char path[128], text[8192];

	snprintf(path, sizeof(path), "%s/%s", bench->dir, log);
	for (int i = 0; i < 500 && !interrupted; i++) {
		const char *at = NULL;

		/* "listens on 127.0.0.1:80, ..." and "listening on 127.0.0.1:80" */
		if (read_file_at(AT_FDCWD, path, text, sizeof(text)) > 0)
			at = strstr(text, " 127.0.0.1:");
		if (at) {
			snprintf(ret_address, size, "http://%.*s", (int)strcspn(at + 1, " ,\n"),
				 at + 1);
			return 0;
		}
		nap_ms(10);
	}
	fprintf(stderr, "%s says no address: %s\n", path, text);
	return -ETIMEDOUT;
}

static void show_log(const struct bench *bench, const char *log)
{
	char path[128], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", bench->dir, log);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "| %s", line);
	if (f)
		fclose(f);
}

static void remove_files(const struct bench *bench)
{
	DIR *d = opendir(bench->dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(bench->dir);
}

static void clean_up(struct bench *bench)
{
	stop_program(&bench->agent);
	stop_program(&bench->controller);
	if (bench->load > 0) {
		kill(bench->load, SIGKILL);
		waitpid(bench->load, NULL, 0);
	}
	if (bench->has_tree)
		cgroup_tree_remove(&bench->tree);
	remove_files(bench);
}

/* --- the API --- */

static json_t *call(struct bench *bench, const char *method, const char *path, const char *body)
{
	struct http_request_options options = {
		.method = method,
		.address = bench->address,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
	};
	struct http_result result;
	json_t *json = NULL;

	if (http_call_blocking(&options, &result) < 0)
		return NULL;
	if (result.status == 200)
		json = json_loadb(result.body, result.body_len, 0, NULL);
	else if (strcmp(method, "GET") != 0)
		fprintf(stderr, "%s %s: %ld %s%s\n", method, path, result.status, result.error,
			result.body ? result.body : "");
	http_result_clear(&result);
	return json;
}

static bool put(struct bench *bench, const char *path, int value)
{
	_cleanup_json_ json_t *answer = NULL;
	char body[64];

	snprintf(body, sizeof(body), "{\"value\":%d}", value);
	answer = call(bench, "PUT", path, value < 0 ? NULL : body);
	return answer != NULL;
}

/* --- what the kernel says --- */

static long read_number(int fd, const char *key)
{
	char text[512];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *at;

	if (n <= 0)
		return -1;
	text[n] = '\0';
	at = key ? strstr(text, key) : text;
	return at ? strtol(at + (key ? strlen(key) : 0), NULL, 10) : -1;
}

/* Shares; v1 and v2 give microseconds per 100 ms, "max" and -1 read as none. */
static long quota(const struct bench *bench)
{
	long us = read_number(bench->quota_fd, NULL);

	return us <= 0 ? 0 : us / 1000;
}

static long throttled(const struct bench *bench)
{
	return read_number(bench->stat_fd, "nr_throttled ");
}

static int open_in_tree(struct bench *bench, const char *v1, const char *v2)
{
	char dir[512], path[640];
	int fd;

	if (!cgroup_tree_dir(&bench->tree, "cpu", "web", dir, sizeof(dir)))
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", dir, v1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(path, sizeof(path), "%s/%s", dir, v2);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* --- the bench --- */

static int set_up(struct bench *bench)
{
	char controller[300], agent[300], state[128], glob[128];
	char *controller_argv[] = {controller, "--listen", "127.0.0.1:0", "--state", state, NULL};
	char *agent_argv[] = {agent,          "--listen",  "127.0.0.1:0", "--controller",
			      bench->address, "--name",    "bench-host",  "--containers",
			      glob,           "--pin-dir", bench->pins,   NULL};
	char agent_address[128];
	int r;

	snprintf(controller, sizeof(controller), "%s/ebb-controller", bench->build);
	snprintf(agent, sizeof(agent), "%s/ebb-agent", bench->build);
	snprintf(state, sizeof(state), "sqlite:%s/state.db", bench->dir);
	r = cgroup_tree_new(&bench->tree, "reaction");
	bench->has_tree = true;
	if (r >= 0)
		r = cgroup_tree_mkdir(&bench->tree, "web");
	if (r < 0)
		return r;
	snprintf(glob, sizeof(glob), "%s/*", bench->tree.name);
	snprintf(bench->pins, sizeof(bench->pins), "/sys/fs/bpf/ebb-bench-%d", (int)getpid());
	bench->quota_fd = open_in_tree(bench, "cpu.cfs_quota_us", "cpu.max");
	bench->stat_fd = open_in_tree(bench, "cpu.stat", "cpu.stat");
	if (bench->quota_fd < 0 || bench->stat_fd < 0)
		return -ENOENT;

	bench->gate = mmap(NULL, sizeof(*bench->gate), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench->gate == MAP_FAILED)
		return -errno;
	bench->load = cgroup_tree_spawn(&bench->tree, "web", gated_spin_on_two, bench->gate);
	if (bench->load < 0)
		return -errno;

	r = start_program(bench, "controller.log", controller_argv, &bench->controller);
	if (r >= 0)
		r = find_address(bench, "controller.log", bench->address, sizeof(bench->address));
	if (r >= 0)
		r = start_program(bench, "agent.log", agent_argv, &bench->agent);
	if (r >= 0)
		r = find_address(bench, "agent.log", agent_address, sizeof(agent_address));
	return r;
}

/* The quota alone is to hold the load back, not what else runs on the machine: it says nothing
 * about the loop when the load gets no CPU to begin with. */
static void prefer_load(struct bench *bench)
{
	(void)cgroup_tree_write(&bench->tree, "cpu", NULL, "cpu.shares", "20480");
	(void)cgroup_tree_write(&bench->tree, "cpu", NULL, "cpu.weight", "2000");
}

static int guard(struct bench *bench)
{
	for (int i = 0; i < 500 && !interrupted; i++) {
		_cleanup_json_ json_t *web = call(bench, "GET", "/structure/web", NULL);

		if (web)
			break;
		nap_ms(10);
	}
	if (!put(bench, "/structure/web/resources/cpu/max", QUOTA_MAX) ||
	    !put(bench, "/structure/web/resources/cpu/min", QUOTA_IDLE) ||
	    !put(bench, "/structure/web/guard", -1))
		return -EIO;
	return 0;
}

/* Idle at QUOTA_IDLE, as if it had been for long. */
static int rest(struct bench *bench)
{
	uint64_t until = now_ns() + 2 * WAIT_MAX_NS;

	atomic_store(&bench->gate->open, 0);
	if (!put(bench, "/structure/web/resources/cpu/max", QUOTA_IDLE))
		return -EIO;
	while (quota(bench) != QUOTA_IDLE && !interrupted) {
		if (now_ns() > until)
			return -ETIMEDOUT;
		nap_ms(10);
	}
	if (!put(bench, "/structure/web/resources/cpu/max", QUOTA_MAX))
		return -EIO;
	/* Longer than any window, and in no step with the sampling. */
	nap_ms(1500 + (unsigned)(random_u64() % 300));
	return 0;
}

static void add(struct bench *bench, int what, double ms)
{
	if (isfinite(ms) && bench->n[what] < TRIALS_MAX)
		bench->times[what][bench->n[what]++] = ms;
}

/* The controller's own account of the first raise since `wall`. */
static void add_decision(struct bench *bench, double wall)
{
	_cleanup_json_ json_t *list = call(bench, "GET", "/decision/?structure=web&limit=50", NULL);
	static const char *const keys[TIMES] = {
		[RECEIVED] = "received_ms",
		[EVALUATED] = "evaluated_ms",
		[SENT] = "sent_ms",
		[APPLIED] = "applied_ms",
	};
	json_t *decision, *first = NULL;
	size_t i;

	json_array_foreach(list, i, decision) {
		if (json_string_value(json_object_get(decision, "resource")) &&
		    strcmp(json_string_value(json_object_get(decision, "resource")), "cpu") == 0 &&
		    json_number_value(json_object_get(decision, "at")) >= wall &&
		    json_integer_value(json_object_get(decision, "applied")) > QUOTA_IDLE)
			first = decision;
	}
	for (int what = RECEIVED; first && what < TIMES; what++) {
		const json_t *ms = json_object_get(first, keys[what]);

		add(bench, what, json_is_number(ms) ? json_number_value(ms) : NAN);
	}
}

static int trial(struct bench *bench)
{
	long idle, before;
	uint64_t start, throttled_at = 0, raised_at = 0, full_at = 0, now;
	double wall;
	int r;

	r = rest(bench);
	if (r < 0)
		return r;
	idle = quota(bench);
	before = throttled(bench);
	wall = wall_seconds();
	start = now_ns();
	atomic_store(&bench->gate->open, 1);
	do {
		nap_ms(1);
		now = now_ns();
		if (!raised_at && !throttled_at && throttled(bench) > before)
			throttled_at = now;
		if (!raised_at && quota(bench) > idle)
			raised_at = now;
		if (!full_at && quota(bench) >= QUOTA_MAX * 9 / 10)
			full_at = now;
	} while (!full_at && now - start < WAIT_MAX_NS && !interrupted);
	atomic_store(&bench->gate->open, 0);
	if (interrupted)
		return -EINTR;
	if (!raised_at) {
		bench->missed++;
		return 0;
	}
	add(bench, FIRST_RAISE, (double)(raised_at - start) / 1e6);
	bench->uncounted += !throttled_at;
	add(bench, FROM_THROTTLE, throttled_at ? (double)(raised_at - throttled_at) / 1e6 : 0);
	if (full_at)
		add(bench, TO_FULL, (double)(full_at - start) / 1e6);
	add_decision(bench, wall);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, double share)
{
	return sorted[MIN((size_t)(share * (double)n), n - 1)];
}

static void report(struct bench *bench)
{
	printf("%-36s %6s %8s %8s %8s %8s\n", "ms", "trials", "p50", "p95", "p99", "worst");
	for (int what = 0; what < TIMES; what++) {
		double *times = bench->times[what];
		size_t n = bench->n[what];

		if (!n)
			continue;
		qsort(times, n, sizeof(*times), by_value);
		printf("%-36s %6zu %8.1f %8.1f %8.1f %8.1f\n", titles[what], n,
		       percentile(times, n, 0.5), percentile(times, n, 0.95),
		       percentile(times, n, 0.99), times[n - 1]);
	}
	if (bench->missed)
		printf("%u trials without a raise in %.0f s: is the machine busy with something else?\n",
		       bench->missed, (double)WAIT_MAX_NS / 1e9);
	if (bench->uncounted)
		printf("%u raises came before the kernel had counted a throttled period (as 0 above)\n",
		       bench->uncounted);
}

int main(int argc, char **argv)
{
	static struct bench bench = {.dir = "/tmp/ebb-bench-XXXXXX", .quota_fd = -1, .stat_fd = -1};
	const char *build = getenv("BUILD");
	uint64_t trials = 60;
	int r;

	if (argc > 1 && (parse_u64(argv[1], &trials) < 0 || !trials || trials > TRIALS_MAX)) {
		fprintf(stderr, "usage: %s [TRIALS]\n", argv[0]);
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	snprintf(bench.build, sizeof(bench.build), "%s", build ? build : "build");
	if (!mkdtemp(bench.dir)) {
		perror(bench.dir);
		return 1;
	}
	r = set_up(&bench);
	prefer_load(&bench);
	if (r >= 0)
		r = guard(&bench);
	for (uint64_t i = 0; i < trials && r >= 0; i++)
		r = trial(&bench);
	if (r < 0) {
		fprintf(stderr, "bench_reaction: %s\n", strerror(-r));
		show_log(&bench, "controller.log");
		show_log(&bench, "agent.log");
	}
	clean_up(&bench);
	report(&bench);
	return r < 0;
}
