/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The points of whole intervals on a live tree, without a server: what is written for which
 * container and process, interval by interval, with eBPF and from the cgroup files alone.
 */
#include <ctype.h>
#include <fcntl.h>
#include <sys/prctl.h>

#include "../../../lib/tsdb_batch.h"
#include "sampled_tree.h"
#include "sampler_text.h"
#include "series_points.h"
#include "ebb/loop.h"
#include "ebb/tsdb_metrics.h"

static struct rig rig;
static struct tasks *tasks;
static struct series_points *points;
static struct tsdb_batch *batch;
static int64_t timestamp;
static const char *as[RIG_CONTAINERS]; /* NULL: under its own name */

static void end(void *arg)
{
	series_points_free(points);
	tasks_free(tasks);
	tsdb_batch_free(batch);
	points = NULL;
	tasks = NULL;
	batch = NULL;
}

static void begin(const char *name, unsigned sets, bool with_tasks)
{
	rig_begin(&rig, name, SAMPLER_AUTO, 16);
	test_at_end(end, NULL);
	timestamp = 1795367500;
	memset(as, 0, sizeof(as));
	if (with_tasks)
		CHECK_INT(tasks_new(rig.bpf, &rig.hierarchies, sets & TSDB_SET_PROCESS, &tasks), 0);
	CHECK_INT(series_points_new(&(struct series_points_options){.sets = sets,
								    .host_name = "the-host",
								    .tasks = tasks},
				    &points),
		  0);
	series_points_start(points);
}

static struct series_handed handed[RIG_CONTAINERS];
static char names[1024];

/* What the loop would hand over: all of the rig's containers, `gone` of them for the last time. */
static void interval(const struct container *gone, bool dirs)
{
	size_t n = 0, at = 0;

	CHECK(sampler_sweep(rig.sampler) >= 0);
	for (int i = 0; i < rig.n_containers; i++) {
		struct container *container = rig.containers[i];
		struct series_handed *one = &handed[n];

		*one = (struct series_handed){
			.id = container->id, .name = at, .gone = container == gone};
		if (!sampler_read(rig.sampler, container->slot, &one->sample))
			continue;
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s",
				       as[i] ? as[i] : container->name) +
		      1;
		if (dirs) {
			CHECK_INT(series_dirs_dup(&rig.hierarchies, container->dir_fds, false,
						  &one->dirs),
				  0);
			one->has_dirs = true;
		}
		n++;
	}
	tsdb_batch_free(batch);
	batch = tsdb_batch_new();
	CHECK(batch);
	timestamp += 5;
	CHECK_INT(series_points_interval(points, timestamp, handed, n, names, batch), 0);
}

/* The value of the one point of a metric whose text has all of these; NAN: there is none. */
static double value_of(const char *metric, const char *with, const char *with2)
{
	double found = NAN;
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "\"metric\":\"%s\"", metric);
	for (size_t i = 0; i < batch->n; i++) {
		char point[1024], *value;
		size_t start = tsdb_batch_start(batch, i), len = batch->ends[i] - start;

		CHECK(len < sizeof(point));
		memcpy(point, batch->text + start, len);
		point[len] = '\0';
		if (!strstr(point, wanted) || !strstr(point, with) ||
		    (with2 ? !strstr(point, with2) : strstr(point, "\"pid\"") != NULL))
			continue;
		value = strstr(point, "\"value\":");
		CHECK(value);
		CHECK(strtoll(strstr(point, "\"timestamp\":") + 12, NULL, 10) == timestamp);
		CHECK(isnan(found));
		found = strtod(value + 8, NULL);
	}
	return found;
}

/* Of few ticks all may be the kernel's. */
static double cpu_of(const char *with, const char *with2)
{
	return value_of("proc.cpu.user", with, with2) + value_of("proc.cpu.kernel", with, with2);
}

static const char *const base[] = {"proc.cpu.user",    "proc.cpu.kernel",    "proc.mem.resident",
				   "proc.mem.virtual", "proc.disk.reads.mb", "proc.disk.writes.mb"};

static void spin(void *arg)
{
	prctl(PR_SET_NAME, arg ? arg : "spinner");
	for (volatile unsigned i = 0;; i++)
		;
}

static void wait_in(const struct container *container, const char *controller)
{
	char text[256];

	for (int i = 0; i < 500; i++) {
		if (cgroup_tree_read(&rig.tree, controller, container->name, "cgroup.procs", text,
				     sizeof(text)) == 0 &&
		    isdigit((unsigned char)text[0]))
			return;
		sleep_ms(10);
	}
	TEST_FAIL("nothing enters %s", container->name);
}

/* A name that comes later would be a series of its own. */
static void wait_named(pid_t pid, const char *comm)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	for (int i = 0; i < 500 && strcmp(text, comm); i++) {
		FILE *f = fopen(path, "re");

		CHECK(f);
		CHECK_INT(fscanf(f, "%63[^\n]", text), 1);
		fclose(f);
		sleep_ms(10);
	}
	CHECK_STR(text, comm);
}

static double resident_mib(pid_t pid)
{
	unsigned long pages = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	f = fopen(path, "re");
	CHECK(f);
	CHECK_INT(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

TEST(every_container_has_all_its_points_in_every_interval)
{
	static const struct {
		const char *metric;
		unsigned valid;
	} extra[] = {{"proc.cpu.throttled", EBB_VALID_BANDWIDTH},
		     {"proc.mem.working_set", EBB_VALID_WORKING_SET}};

	begin("all", TSDB_SET_CONTAINER, true);
	rig_add(&rig, "idle");
	rig_add(&rig, "busy");
	cgroup_tree_spawn(&rig.tree, "busy", spin, NULL);
	wait_in(rig.containers[1], "cpu");
	for (int round = 0; round < 3; round++) {
		interval(NULL, false);
		for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
			/* In the first interval, so soon after the start, no rate is invented. */
			if (round == 0 && !strstr(base[i], ".mem.")) {
				CHECK(isnan(value_of(base[i], "{\"host\":\"idle\"}", NULL)));
				CHECK(isnan(value_of(base[i], "{\"host\":\"busy\"}", NULL)));
				continue;
			}
			CHECK_NEAR(value_of(base[i], "{\"host\":\"idle\"}", NULL), 0, 0);
			CHECK(value_of(base[i], "{\"host\":\"busy\"}", NULL) >= 0);
		}
		for (size_t i = 0; i < ARRAY_SIZE(extra); i++) {
			if (round == 0 && extra[i].valid == EBB_VALID_BANDWIDTH)
				continue;
			bool has = handed[0].sample.valid & extra[i].valid;

			CHECK(has == (value_of(extra[i].metric, "{\"host\":\"idle\"}", NULL) >= 0));
		}
		if (round > 0)
			CHECK(value_of("proc.cpu.user", "\"busy\"", NULL) > 0);
		CHECK(value_of("proc.mem.resident", "\"busy\"", NULL) > 0.1);
		CHECK(value_of("proc.mem.virtual", "\"busy\"", NULL) >
		      value_of("proc.mem.resident", "\"busy\"", NULL));
		sleep_ms(200);
	}
}

TEST(a_container_that_goes_gets_a_last_point_and_then_none)
{
	begin("goes", TSDB_SET_CONTAINER, true);
	rig_add(&rig, "stays");
	rig_add(&rig, "goes");
	interval(NULL, false);
	sleep_ms(50);
	interval(rig.containers[1], false);
	CHECK_NEAR(value_of("proc.cpu.user", "{\"host\":\"goes\"}", NULL), 0, 0);
	sampler_remove(rig.sampler, rig.containers[1]);
	interval(NULL, false);
	CHECK(isnan(value_of("proc.cpu.user", "{\"host\":\"goes\"}", NULL)));
	CHECK_NEAR(value_of("proc.cpu.user", "{\"host\":\"stays\"}", NULL), 0, 0);
}

TEST(the_first_interval_counts_from_the_start)
{
	begin("first", TSDB_SET_CONTAINER, true);
	rig_add(&rig, "old");
	cgroup_tree_spawn(&rig.tree, "old", spin, NULL);
	wait_in(rig.containers[0], "cpu");
	series_points_start(points); /* as of an agent that starts now */
	rig_add(&rig, "new");
	cgroup_tree_spawn(&rig.tree, "new", spin, NULL);
	wait_in(rig.containers[1], "cpu");
	sleep_ms(700);
	interval(NULL, false);
	CHECK(cpu_of("{\"host\":\"old\"}", NULL) > 1);
	CHECK(cpu_of("{\"host\":\"old\"}", NULL) < 150);
	CHECK(cpu_of("{\"host\":\"new\"}", NULL) > 1);
}

/* Also where two names become the same tag: value_of() finds no second point. */
static void one_point_for_both(unsigned sets)
{
	double cpu = 0, memory = 0;

	begin("twice", sets, true);
	rig_add(&rig, "before");
	rig_add(&rig, "after");
	for (int i = 0; i < 2; i++) {
		cgroup_tree_spawn(&rig.tree, rig.containers[i]->name, spin, NULL);
		wait_in(rig.containers[i], "cpu");
	}
	for (int i = 0; i < 2; i++)
		as[i] = "c";
	interval(NULL, false);
	sleep_ms(600);
	interval(rig.containers[0], false);
	cpu = cpu_of("{\"host\":\"c\"}", NULL);
	memory = value_of("proc.mem.working_set", "{\"host\":\"c\"}", NULL);
	if (sets & TSDB_SET_CONTAINER) {
		CHECK(cpu > 1);
		CHECK_NEAR(memory, (double)handed[1].sample.mem_working_set / (1 << 20), 0.01);
	} else {
		CHECK(!isnan(cpu));
	}
	for (size_t i = 0; i < ARRAY_SIZE(base); i++)
		CHECK(!isnan(value_of(base[i], "{\"host\":\"c\"}", NULL)));
}

TEST(a_restart_under_the_same_name_gives_one_point)
{
	one_point_for_both(TSDB_SET_CONTAINER);
}

TEST(a_restart_under_the_same_name_gives_one_point_with_processes_too)
{
	one_point_for_both(TSDB_SET_PROCESS);
}

static void short_lives(void *arg)
{
	static const char *const called[] = {"x(y", "xy"};

	for (unsigned i = 0;; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			prctl(PR_SET_NAME, called[i % 2]);
			for (volatile unsigned j = 0; j < 3000000; j++)
				;
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

TEST(commands_that_become_the_same_tag_are_one_series)
{
	begin("commands", TSDB_SET_PROCESS, true);
	rig_add(&rig, "c");
	cgroup_tree_spawn(&rig.tree, "c", short_lives, NULL);
	wait_in(rig.containers[0], "cpu");
	interval(NULL, false);
	for (int i = 0; i < 3; i++) {
		sleep_ms(600);
		interval(NULL, false);
		/* It fails on a second point. */
		CHECK(cpu_of("\"command\":\"xy\"", "\"pid\":\"0\"") > 1);
	}
}

TEST(processes_and_what_is_left_of_them_add_up_to_the_container)
{
	double sum = 0;
	pid_t pid;
	char tag[64];

	begin("processes", TSDB_SET_PROCESS, true);
	rig_add(&rig, "c");
	pid = cgroup_tree_spawn(&rig.tree, "c", spin, (void *)"two \"words\"");
	cgroup_tree_spawn(&rig.tree, "c", NULL, NULL);
	wait_in(rig.containers[0], "cpu");
	sleep_ms(200);
	interval(NULL, false);
	sleep_ms(300);
	interval(NULL, false);
	snprintf(tag, sizeof(tag), "\"pid\":\"%d\"", (int)pid);
	CHECK(value_of("proc.cpu.user", "\"host\":\"c\"", tag) > 1);
	/* 10 MiB of neither (but under some sanitizers): in the container's own point, as is the
	 * whole of the idle one. */
	if (resident_mib(pid) < 9.5)
		CHECK(isnan(value_of("proc.mem.resident", "\"host\":\"c\"", tag)));
	else if (resident_mib(pid) > 10.5)
		CHECK(value_of("proc.mem.resident", "\"host\":\"c\"", tag) >= 10);
	CHECK(resident_mib(pid) > 9.5 ||
	      value_of("proc.mem.resident", "{\"host\":\"c\"}", NULL) > 0.2);
	CHECK(value_of("proc.cpu.user", "{\"host\":\"c\"}", NULL) >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		CHECK(!isnan(value_of(base[i], "{\"host\":\"c\"}", NULL)));
		CHECK(!isnan(value_of(base[i], "{\"host\":\"the-host\"}", NULL)));
		sum += value_of(base[i], "{\"host\":\"the-host\"}", NULL);
	}
	CHECK(sum > 0);
	/* The name became a tag. */
	CHECK(strstr(batch->text, "two"));
	CHECK(!strstr(batch->text, "two \\\"words"));

	/* It ends: by what it used last, then by a zero, then no more. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	sleep_ms(300);
	interval(NULL, false);
	CHECK(!isnan(value_of("proc.cpu.user", "\"host\":\"c\"", tag)));
	interval(NULL, false);
	CHECK(isnan(value_of("proc.cpu.user", "\"host\":\"c\"", tag)) ||
	      value_of("proc.cpu.user", "\"host\":\"c\"", tag) == 0);
	interval(NULL, false);
	interval(NULL, false);
	interval(NULL, false);
	CHECK(isnan(value_of("proc.cpu.user", "\"host\":\"c\"", tag)));
}

TEST(a_process_that_moves_goes_on_in_its_new_container)
{
	char tag[64];
	pid_t pid;

	begin("moves", TSDB_SET_PROCESS, true);
	rig_add(&rig, "from");
	rig_add(&rig, "to");
	pid = cgroup_tree_spawn(&rig.tree, "from", spin, NULL);
	wait_in(rig.containers[0], "cpu");
	wait_named(pid, "spinner");
	snprintf(tag, sizeof(tag), "\"pid\":\"%d\"", (int)pid);
	interval(NULL, false);
	sleep_ms(200);
	interval(NULL, false);
	CHECK(value_of("proc.cpu.user", "\"host\":\"from\"", tag) > 1);
	CHECK_INT(cgroup_tree_attach(&rig.tree, "to", pid), 0);
	sleep_ms(200);
	interval(NULL, false);
	CHECK_NEAR(value_of("proc.cpu.user", "\"host\":\"from\"", tag), 0, 0);
	CHECK(value_of("proc.cpu.user", "\"host\":\"to\"", tag) > 1);
	sleep_ms(100);
	interval(NULL, false);
	CHECK(isnan(value_of("proc.cpu.user", "\"host\":\"from\"", tag)));
	CHECK(value_of("proc.cpu.user", "\"host\":\"to\"", tag) > 1);
}

static void half_in_the_kernel(void *arg)
{
	char byte;
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	for (;;) {
		for (int i = 0; i < 2000; i++)
			if (read(fd, &byte, 1) < 0)
				return;
		for (volatile int i = 0; i < 100000; i++)
			;
	}
}

TEST(without_processes_the_cgroup_files_tell)
{
	char text[8192];
	uint64_t rss = 0, mapped = 0;
	double resident, user, kernel;

	begin("files", TSDB_SET_CONTAINER, false);
	rig_add(&rig, "c");
	if (cgroup_tree_read(&rig.tree, "memory", "c", "memory.stat", text, sizeof(text)) < 0)
		SKIP("no memory controller in the tests' cgroups");
	cgroup_tree_spawn(&rig.tree, "c", half_in_the_kernel, NULL);
	wait_in(rig.containers[0], "cpuacct");
	interval(NULL, true);
	CHECK(isnan(value_of("proc.cpu.user", "{\"host\":\"c\"}", NULL)));
	sleep_ms(700);
	interval(NULL, false);
	user = value_of("proc.cpu.user", "{\"host\":\"c\"}", NULL);
	kernel = value_of("proc.cpu.kernel", "{\"host\":\"c\"}", NULL);
	CHECK(user > 1);
	CHECK(kernel > 0);
	CHECK(isnan(value_of("proc.mem.virtual", "{\"host\":\"c\"}", NULL)));
	resident = value_of("proc.mem.resident", "{\"host\":\"c\"}", NULL);
	CHECK_INT(cgroup_tree_read(&rig.tree, "memory", "c", "memory.stat", text, sizeof(text)), 0);
	if (!flat_value(text, "total_rss", &rss) || !flat_value(text, "total_mapped_file", &mapped))
		CHECK(flat_value(text, "anon", &rss) && flat_value(text, "file_mapped", &mapped));
	CHECK_NEAR(resident, (double)(rss + mapped) / (1 << 20), 0.3);
}

/* The files of cgroup v2, where there is none: the same code reads them from any directory. */
TEST(pressure_is_read_from_the_containers_directory)
{
	char dir[] = "/tmp/ebb-test-XXXXXX", path[128];
	static const char *const files[] = {"cpu.pressure", "memory.pressure"};
	struct series_files open_files = SERIES_FILES_NONE;
	struct series_files_read read;
	struct series_cpu_times cpu;
	uint64_t resident;
	struct series_dirs dirs = SERIES_DIRS_NONE;

	CHECK(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		FILE *f = fopen(path, "we");
		CHECK(f);
		fprintf(f, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\n", 1000 * (i + 1));
		fclose(f);
	}
	dirs.primary = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	series_files_open(&open_files, &dirs);
	CHECK_INT(dirs.primary, -1);
	CHECK(series_files_any(&open_files));
	series_files_read(&open_files, &read, &cpu, &resident);
	series_files_close(&open_files);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	CHECK(read.has_pressure[0] && read.has_pressure[1] && !read.has_pressure[2]);
	CHECK_INT(read.pressure_us[0], 1000);
	CHECK_INT(read.pressure_us[1], 2000);
	CHECK(!cpu.valid);
	CHECK(!series_files_any(&open_files));
}

TEST(texts_of_either_version_give_times_and_memory)
{
	struct series_cpu_times cpu = {0};
	uint64_t bytes = 0;

	CHECK(cpu_times_parse("usage_usec 30\nuser_usec 10\nsystem_usec 20\n", 100, &cpu));
	CHECK_INT(cpu.user_ns, 10000);
	CHECK_INT(cpu.kernel_ns, 20000);
	CHECK(cpu_times_parse("user 3\nsystem 4\n", 100, &cpu));
	CHECK_INT(cpu.user_ns, 30000000);
	CHECK_INT(cpu.kernel_ns, 40000000);
	CHECK(!cpu_times_parse("nr_periods 3\n", 100, &cpu));
	CHECK(resident_parse("cache 1\nrss 2\nmapped_file 3\ntotal_cache 4\ntotal_rss 50\n"
			     "total_mapped_file 6\n",
			     &bytes));
	CHECK_INT(bytes, 56);
	CHECK(resident_parse("anon 7\nfile 100\nfile_mapped 8\n", &bytes));
	CHECK_INT(bytes, 15);
	CHECK(!resident_parse("anon 7\n", &bytes));
}

TEST_MAIN()
