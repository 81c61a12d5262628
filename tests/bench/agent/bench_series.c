/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What writing series costs the agent, per interval of 5 s, as CPU time of the real program, by its
 * threads: `loop` hands the samples over, `series` looks at the processes and makes the points,
 * `tsdb-spool` packs them, `tsdb-post` sends them to a server here that takes everything. Samples
 * are taken once in 10 s, so that they are not what is measured. Processes are idle, or each works
 * 4 ms an interval and has 12 MiB, so that CPU and memory are worth a series.
 *   EBB_BENCH_INTERVALS=2 build/tests/bench/agent/bench_series
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "cgroup_tree.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "test.h"

#define PERIOD_S 5

static struct cgroup_tree tree;
static pid_t agent;
static char spool[128], log_path[128];

/* --- A server that takes everything ----------------------------------------------------------- */

static void *serve(void *arg)
{
	int fd = *(int *)arg;
	static char buffer[65536];

	free(arg);
	for (;;) {
		size_t have = 0;
		char *body = NULL, *length;
		ssize_t n = 1;

		while (!body && (n = read(fd, buffer + have, sizeof(buffer) - 1 - have)) > 0) {
			have += n;
			buffer[have] = '\0';
			body = strstr(buffer, "\r\n\r\n");
		}
		length = body ? strcasestr(buffer, "content-length:") : NULL;
		if (!length)
			break;
		size_t whole = body + 4 - buffer + strtoul(length + 15, NULL, 10);
		while (have < whole &&
		       (n = read(fd, buffer, MIN(sizeof(buffer), whole - have))) > 0)
			have += n;
		static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
		if (n <= 0 || write(fd, answer, sizeof(answer) - 1) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static void *listen_forever(void *arg)
{
	for (;;) {
		int *fd = malloc(sizeof(*fd));
		pthread_t thread;

		*fd = accept(*(int *)arg, NULL, NULL);
		if (*fd < 0 || pthread_create(&thread, NULL, serve, fd))
			break;
		pthread_detach(thread);
	}
	return NULL;
}

static unsigned start_server(void)
{
	static int fd;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	pthread_t thread;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 16) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	CHECK(pthread_create(&thread, NULL, listen_forever, &fd) == 0);
	return ntohs(address.sin_port);
}

/* --- Loads ------------------------------------------------------------------------------------ */

static void work(void *arg)
{
	struct timespec t, start;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!arg)
		for (;;)
			pause();
	srand(getpid());
	nanosleep(&(struct timespec){rand() % PERIOD_S, rand() % 1000000000}, NULL);
	for (;;) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
		do
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
		while ((t.tv_sec - start.tv_sec) * 1000000000L + t.tv_nsec - start.tv_nsec <
		       4000000);
		nanosleep(&(struct timespec){PERIOD_S, 0}, NULL);
	}
}

/* --- The agent -------------------------------------------------------------------------------- */

static void start_agent(unsigned port, const char *sets, const char *pin)
{
	char url[64], globs[96];
	const char *build = getenv("BUILD");
	char program[256];

	snprintf(program, sizeof(program), "%s/ebb-agent", build ? build : "build");
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	snprintf(globs, sizeof(globs), "%s/*", tree.name);
	agent = fork();
	if (agent)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	execl(program, "ebb-agent", "--listen", "127.0.0.1:0", "--pin-dir", pin, "--containers",
	      globs, "--period", "10000", "--opentsdb", url, "--opentsdb-sets", sets, "--spool",
	      spool, NULL);
	_exit(1);
}

static void stop_agent(void)
{
	if (agent > 0) {
		kill(agent, SIGTERM);
		waitpid(agent, NULL, 0);
	}
	agent = 0;
}

static const char *const threads[] = {"ebb-agent", "series", "tsdb-spool", "tsdb-post"};
#define THREADS ARRAY_SIZE(threads)

/* CPU time of each thread, ns. */
static void read_threads(uint64_t ns[THREADS])
{
	char path[320], text[64];
	DIR *dir;

	memset(ns, 0, THREADS * sizeof(*ns));
	snprintf(path, sizeof(path), "/proc/%d/task", (int)agent);
	dir = opendir(path);
	CHECK(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		for (size_t i = 0; e->d_name[0] != '.' && i < THREADS; i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)agent,
				 e->d_name);
			FILE *f = fopen(path, "re");
			if (!f || !fgets(text, sizeof(text), f))
				text[0] = '\0';
			if (f)
				fclose(f);
			text[strcspn(text, "\n")] = '\0';
			if (strcmp(text, threads[i]))
				continue;
			snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)agent,
				 e->d_name);
			f = fopen(path, "re");
			if (f && fgets(text, sizeof(text), f))
				ns[i] += strtoull(text, NULL, 10);
			if (f)
				fclose(f);
		}
	}
	closedir(dir);
}

/* From the agent's own metrics. */
struct own {
	double collect_s, encode_s, points, intervals;
};

static double metric(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	CHECK(at);
	return strtod(at + strlen(name), NULL);
}

static struct own read_own(void)
{
	char line[256], address[300] = "";
	struct http_result result = {0};
	FILE *f = fopen(log_path, "re");
	struct own own;

	while (f && fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "listening on ");

		line[strcspn(line, "\n")] = '\0';
		if (at)
			snprintf(address, sizeof(address), "http://%s", at + 13);
	}
	if (f)
		fclose(f);
	CHECK_INT(http_call_blocking(&(struct http_request_options){.method = "GET",
								    .address = address,
								    .path = "/metrics"},
				     &result),
		  0);
	CHECK_INT(result.status, 200);
	own.collect_s = metric(result.body, "\nebb_agent_series_collect_seconds_total ");
	own.encode_s = metric(result.body, "\nebb_agent_series_encode_seconds_total ");
	own.points = metric(result.body, "\nebb_agent_series_points_total ");
	own.intervals = metric(result.body, "\nebb_agent_series_intervals_total ");
	http_result_clear(&result);
	return own;
}

/* Just before the next multiple of the period. */
static void sleep_to_the_end_of_an_interval(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	double now = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	double until = ((long)(now / PERIOD_S) + 1) * (double)PERIOD_S - 0.3 - now;
	if (until < 0)
		until += PERIOD_S;
	nanosleep(&(struct timespec){(time_t)until, (long)((until - (long)until) * 1e9)}, NULL);
}

static void cleanup(void *arg)
{
	char command[300];

	stop_agent();
	cgroup_tree_remove(&tree);
	snprintf(command, sizeof(command), "rm -rf '%s' '%s'", spool, log_path);
	if (system(command))
		fprintf(stderr, "%s is left\n", spool);
}

static void measure(unsigned n_processes, unsigned n_containers, bool busy, const char *sets)
{
	const char *wish = getenv("EBB_BENCH_INTERVALS");
	unsigned intervals = wish ? (unsigned)atoi(wish) : 2;
	struct own own_before, own;
	double done;
	uint64_t before[THREADS], after[THREADS], all = 0;
	char name[64], pin[128];
	static char *memory;
	size_t size = 12 << 20;

	CHECK_INT(cgroup_tree_new(&tree, "series"), 0);
	snprintf(pin, sizeof(pin), "/sys/fs/bpf/%s", tree.name);
	snprintf(spool, sizeof(spool), "/var/tmp/%s", tree.name);
	snprintf(log_path, sizeof(log_path), "/var/tmp/%s.log", tree.name);
	test_at_end(cleanup, NULL);
	for (unsigned i = 0; i < n_containers; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		CHECK_INT(cgroup_tree_mkdir(&tree, name), 0);
	}
	/* Shared by all, and counted as resident in each. */
	if (busy && !memory) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		CHECK(memory != MAP_FAILED);
		memset(memory, 1, size);
	}
	for (unsigned i = 0; i < n_processes; i++) {
		snprintf(name, sizeof(name), "c%u", i % n_containers);
		CHECK(cgroup_tree_spawn(&tree, name, work, busy ? memory : NULL) > 0);
	}
	start_agent(start_server(), sets, pin);
	sleep_to_the_end_of_an_interval();
	sleep(PERIOD_S + 1); /* the first interval makes all tags */
	sleep_to_the_end_of_an_interval();
	own_before = read_own();
	read_threads(before);
	for (unsigned i = 0; i < intervals; i++) {
		sleep(1);
		sleep_to_the_end_of_an_interval();
	}
	read_threads(after);
	own = read_own();
	/* On a busy machine one may have been left out. */
	done = own.intervals - own_before.intervals;
	CHECK(done > 0);
	printf("%5u %5u  %-5s %-10s %7.0f", n_processes, n_containers, busy ? "busy" : "idle", sets,
	       (own.points - own_before.points) / done);
	for (size_t i = 0; i < THREADS; i++) {
		all += after[i] - before[i];
		printf(" %10.2f", (double)(after[i] - before[i]) / 1e6 / done);
	}
	printf(" %7.2f %8.3f%%   %.2f, %.2f\n", (double)all / 1e6 / done,
	       (double)all / 1e9 / done / PERIOD_S * 100,
	       (own.collect_s - own_before.collect_s) * 1000 / done,
	       (own.encode_s - own_before.encode_s) * 1000 / done);
	CHECK(all > 0);
}

static void head(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	printf("per interval of %d s, ms of CPU\n", PERIOD_S);
	printf("%5s %5s  %-5s %-10s %7s %10s %10s %10s %10s %7s %9s   %s\n", "proc.", "cont.", "",
	       "sets", "points", "loop", "series", "tsdb-spool", "tsdb-post", "sum", "of a core",
	       "series: looking, making points");
}

TEST(idle_processes)
{
	head();
	measure(1000, 10, false, "process");
}

TEST(busy_processes)
{
	head();
	measure(1000, 10, true, "process");
}

TEST(many_containers)
{
	head();
	measure(1000, 1000, false, "container");
}

TEST_MAIN()
