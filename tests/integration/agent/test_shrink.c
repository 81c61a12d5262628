/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering memory limits under real page cache and real anonymous memory, on cgroups of either
 * version. */
#include "test.h"

#include <sys/mman.h>
#include <sys/xattr.h>

#include "ebb/cleanup.h"
#include "ebb/units.h"
#include "limits.h"
#include "shrink.h"
#include "tree_container.h"

#define MIB ((uint64_t)EBB_MIB)

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container *container;
static struct loop *loop;
static struct shrinker *shrinker;
static char file[64];
static pid_t child;

static struct result {
	int calls;
	struct shrink_result got;
} results[8];

static void on_done(void *userdata, const struct shrink_result *result)
{
	struct result *r = userdata;
	r->calls++;
	r->got = *result;
}

static void tear_down(void *arg)
{
	shrinker_free(shrinker);
	shrinker = NULL;
	loop_free(loop);
	loop = NULL;
	if (child > 0)
		kill(child, SIGKILL);
	cgroup_tree_remove(&tree);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	child = 0;
	container_free(container);
	container = NULL;
	hierarchies_close(&hierarchies);
	if (*file)
		unlink(file);
	*file = '\0';
}

static void set_up(uint64_t limit)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	memset(results, 0, sizeof(results));
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "shrink");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	container = tree_container(&hierarchies, &tree, NULL);
	CHECK(container);
	if (container->dir_fds[CGROUP_MEMORY] < 0)
		SKIP("no memory controller");
	r = limits_write_mem(&hierarchies, container, limit);
	if (r == -EOPNOTSUPP)
		SKIP("no memory controller in the root's subtree_control");
	CHECK_INT(r, 0);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(shrinker_new(loop, &hierarchies, &shrinker), 0);
}

/* What the process in the cgroup shares with the test. */
struct load {
	size_t anonymous, cache;
	char file[64];
	int ready_fd;
};

static void run_load(void *arg)
{
	const struct load *load = arg;

	if (load->anonymous) {
		char *p = mmap(NULL, load->anonymous, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			_exit(1);
		memset(p, 1, load->anonymous);
	}
	if (load->cache) {
		int fd = open(load->file, O_WRONLY | O_CREAT | O_EXCL, 0600);
		_cleanup_free_ char *block = calloc(1, MIB);
		for (size_t done = 0; done < load->cache; done += MIB) {
			if (fd < 0 || !block || write(fd, block, MIB) != (ssize_t)MIB)
				_exit(1);
		}
		if (fsync(fd) < 0)
			_exit(1);
		close(fd);
	}
	if (write(load->ready_fd, "r", 1) != 1)
		_exit(1);
}

static void start_load(size_t anonymous_mib, size_t cache_mib)
{
	struct load load = {.anonymous = anonymous_mib * MIB, .cache = cache_mib * MIB};
	int fds[2];
	char c;

	if (cache_mib) {
		/* Where tests run, /tmp may be memory itself. */
		snprintf(file, sizeof(file), "/var/tmp/ebb-test-shrink-%d", (int)getpid());
		snprintf(load.file, sizeof(load.file), "%s", file);
	}
	CHECK_INT(pipe(fds), 0);
	load.ready_fd = fds[1];
	child = cgroup_tree_spawn(&tree, NULL, run_load, &load);
	close(fds[1]);
	ssize_t n = read(fds[0], &c, 1);
	close(fds[0]);
	CHECK_INT(n, 1);
}

static void read_usage(uint64_t *ret_usage, uint64_t *ret_inactive)
{
	CHECK_INT(limits_read_mem_usage(&hierarchies, container, ret_usage, ret_inactive), 0);
}

static uint64_t limit_now(void)
{
	struct limits limits;
	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), 0);
	CHECK(limits.has_mem);
	return limits.mem_bytes;
}

static struct shrink_result *submit(struct result *r, uint64_t target)
{
	CHECK_INT(shrinker_submit(shrinker, container, target, 0, on_done, r), 0);
	return &r->got;
}

static void wait_for(const struct result *r)
{
	for (int i = 0; i < 3000 && !r->calls; i++)
		loop_turn(loop, 10);
	CHECK_INT(r->calls, 1);
}

static void check_alive(void)
{
	CHECK_INT(waitpid(child, NULL, WNOHANG), 0);
}

TEST(page_cache_is_given_back)
{
	set_up(256 * MIB);
	start_load(0, 160);
	uint64_t usage, inactive;
	read_usage(&usage, &inactive);
	if (inactive < 128 * MIB)
		SKIP("the file system in /var/tmp keeps no page cache");

	struct shrink_result *result = submit(&results[0], 80 * MIB);
	wait_for(&results[0]);
	CHECK_INT(result->error, 0);
	CHECK_INT(result->applied, 80 * MIB);
	CHECK_INT(result->asked, 80 * MIB);
	CHECK(result->floor < 80 * MIB);
	CHECK_INT(limit_now(), 80 * MIB);
	read_usage(&usage, &inactive);
	CHECK(usage <= 80 * MIB);
	check_alive();
}

TEST(never_below_the_working_set)
{
	set_up(256 * MIB);
	start_load(100, 64);
	struct shrink_result *result = submit(&results[0], 64 * MIB);
	wait_for(&results[0]);
	CHECK_INT(result->error, 0);
	CHECK(result->floor >= 116 * MIB && result->floor < 140 * MIB);
	/* What the process takes while its limit comes down is above the limit's own floor. */
	CHECK(result->applied >= 116 * MIB && result->applied <= result->floor);
	CHECK_INT(limit_now(), result->applied);
	check_alive();

	/* What the sampler saw counts too, when it is more. */
	CHECK_INT(shrinker_submit(shrinker, container, 64 * MIB, 200 * MIB, on_done, &results[1]),
		  0);
	wait_for(&results[1]);
	CHECK_INT(results[1].got.error, 0);
	CHECK_INT(results[1].got.floor, 216 * MIB);
	CHECK_INT(results[1].got.applied, result->applied);
	CHECK_INT(limit_now(), result->applied);
}

TEST(a_floor_above_the_limit_changes_nothing)
{
	set_up(110 * MIB);
	start_load(100, 0);
	struct shrink_result *result = submit(&results[0], 64 * MIB);
	wait_for(&results[0]);
	CHECK_INT(result->error, 0);
	CHECK_INT(result->applied, 110 * MIB);
	CHECK(result->floor > 110 * MIB);
	CHECK_INT(limit_now(), 110 * MIB);
	check_alive();
}

TEST(from_unlimited_and_up_again)
{
	set_up(LIMIT_NONE);
	start_load(20, 0);
	wait_for((submit(&results[0], 100 * MIB + 77), &results[0]));
	CHECK_INT(results[0].got.error, 0);
	CHECK_INT(results[0].got.applied, 100 * MIB);
	CHECK_INT(limit_now(), 100 * MIB);
	wait_for((submit(&results[1], 120 * MIB), &results[1]));
	CHECK_INT(results[1].got.error, 0);
	CHECK_INT(results[1].got.applied, 120 * MIB);
	CHECK_INT(limit_now(), 120 * MIB);
}

TEST(the_newest_target_wins)
{
	set_up(256 * MIB);
	start_load(0, 160);
	for (int i = 0; i < 5; i++)
		submit(&results[i], (80 + 10 * i) * MIB);
	wait_for(&results[4]);
	CHECK_INT(results[4].got.error, 0);
	CHECK_INT(limit_now(), 120 * MIB);
	for (int i = 0; i < 4; i++) {
		CHECK_INT(results[i].calls, 1);
		if (results[i].got.error != -ECANCELED && results[i].got.error != 0)
			TEST_FAIL("shrink %d ended with %d", i, results[i].got.error);
	}
	/* At most the first had begun to run. */
	CHECK_INT(results[1].got.error, -ECANCELED);
	CHECK_INT(results[2].got.error, -ECANCELED);
}

TEST(growing_cancels_a_shrink)
{
	set_up(256 * MIB);
	start_load(0, 160);
	submit(&results[0], 80 * MIB);
	shrinker_cancel(shrinker, container->id);
	submit(&results[1], 300 * MIB);
	wait_for(&results[0]);
	wait_for(&results[1]);
	/* Whatever the shrink had got to (it may have ended before it was cancelled), the growth
	 * holds. */
	if (results[0].got.error != -ECANCELED && results[0].got.error != 0)
		TEST_FAIL("the shrink ended with %d", results[0].got.error);
	CHECK_INT(results[1].got.error, 0);
	CHECK_INT(limit_now(), 300 * MIB);
	CHECK(!shrinker_cancel(shrinker, container->id));
	CHECK(!shrinker_cancel(shrinker, container->id + 1));
}

TEST(a_container_that_has_gone)
{
	set_up(256 * MIB);
	cgroup_tree_remove(&tree);
	struct shrink_result *result = submit(&results[0], 80 * MIB);
	wait_for(&results[0]);
	CHECK(result->error == -ENOENT || result->error == -ENODEV);
}

TEST(a_container_without_memory_controller)
{
	set_up(256 * MIB);
	container_close_dir(container, container->dir_fds[CGROUP_MEMORY]);
	CHECK_INT(shrinker_submit(shrinker, container, MIB, 0, on_done, &results[0]), -EOPNOTSUPP);
}

static void on_done_submit_again(void *userdata, const struct shrink_result *result)
{
	on_done(userdata, result);
	CHECK_INT(shrinker_submit(shrinker, container, MIB, 0, on_done, userdata), -ESHUTDOWN);
}

TEST(freeing_ends_what_waits)
{
	set_up(256 * MIB);
	start_load(0, 160);
	struct container *other = tree_container(&hierarchies, &tree, NULL);
	CHECK(other);
	other->id = container->id + 1; /* another one to the shrinker: it waits its turn */
	CHECK_INT(shrinker_submit(shrinker, container, 64 * MIB, 0, on_done_submit_again,
				  &results[0]),
		  0);
	CHECK_INT(shrinker_submit(shrinker, other, 64 * MIB, 0, on_done_submit_again, &results[1]),
		  0);
	container_free(other);
	shrinker_free(shrinker);
	shrinker = NULL;
	CHECK_INT(results[0].calls, 1);
	CHECK_INT(results[1].calls, 1);
}

static bool has_step(const struct shrink_result *result, enum shrink_rung rung)
{
	for (size_t i = 0; i < result->steps.n; i++)
		if (result->steps.steps[i].rung == rung)
			return true;
	return false;
}

static bool is_v2(void)
{
	return hierarchies.by_controller[CGROUP_MEMORY].version == 2;
}

static const char *file_of(const char *name)
{
	static char text[64];

	CHECK_INT(cgroup_tree_read(&tree, "memory", NULL, name, text, sizeof(text)), 0);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void put_file(const char *name, const char *text)
{
	CHECK_INT(cgroup_tree_write(&tree, "memory", NULL, name, text), 0);
}

TEST(the_steps_are_told)
{
	set_up(256 * MIB);
	start_load(0, 128);
	uint64_t usage, inactive;
	read_usage(&usage, &inactive);
	if (inactive < 100 * MIB)
		SKIP("the file system in /var/tmp keeps no page cache");
	struct shrink_result *result = submit(&results[0], 64 * MIB);
	wait_for(&results[0]);
	CHECK_INT(result->error, 0);
	CHECK(result->steps.n > 0);
	const struct shrink_step *last = &result->steps.steps[result->steps.n - 1];
	CHECK_INT(last->rung, SHRINK_LIMIT);
	CHECK_INT(last->bytes, 64 * MIB);
	CHECK(!has_step(result, SHRINK_CLAMP));
	CHECK_INT(has_step(result, SHRINK_RECLAIM), is_v2());
	CHECK_INT(has_step(result, SHRINK_HIGH), is_v2());
	if (is_v2()) {
		/* It held only as long as that was tried. */
		CHECK_STR(file_of("memory.high"), "max");
		CHECK(!shrink_ladder_recover(&hierarchies, container));
	}

	result = submit(&results[1], 1 * MIB);
	wait_for(&results[1]);
	CHECK_INT(result->error, 0);
	CHECK_INT(result->steps.steps[0].rung, SHRINK_CLAMP);
	CHECK(result->steps.steps[0].why);
	check_alive();
}

TEST(anothers_memory_high_stays)
{
	set_up(256 * MIB);
	if (!is_v2())
		SKIP("v1 has no memory.high");
	put_file("memory.high", "209715200");
	start_load(40, 0);
	struct shrink_result *result = submit(&results[0], 100 * MIB);
	wait_for(&results[0]);
	CHECK_INT(result->error, 0);
	CHECK_INT(limit_now(), 100 * MIB);
	CHECK_STR(file_of("memory.high"), "209715200");
	/* One that is lower already is not touched. */
	put_file("memory.high", "83886080");
	result = submit(&results[1], 90 * MIB);
	wait_for(&results[1]);
	CHECK_INT(result->error, 0);
	CHECK(!has_step(result, SHRINK_HIGH));
	CHECK_STR(file_of("memory.high"), "83886080");
}

TEST(memory_high_of_a_killed_agent_is_put_back)
{
	char path[600];

	set_up(256 * MIB);
	if (!is_v2()) {
		CHECK(!shrink_ladder_recover(&hierarchies, container));
		SKIP("v1 has no memory.high");
	}
	CHECK(cgroup_tree_dir(&tree, "memory", NULL, path, sizeof(path)));
	put_file("memory.high", "104857600");
	CHECK(!shrink_ladder_recover(&hierarchies, container));
	CHECK_STR(file_of("memory.high"), "104857600");

	CHECK_INT(setxattr(path, "user.ebb.high", "max 104857600", 13, 0), 0);
	CHECK(shrink_ladder_recover(&hierarchies, container));
	CHECK_STR(file_of("memory.high"), "max");
	CHECK(!shrink_ladder_recover(&hierarchies, container));

	/* Somebody has set another one since. */
	put_file("memory.high", "125829120");
	CHECK_INT(setxattr(path, "user.ebb.high", "max 104857600", 13, 0), 0);
	CHECK(!shrink_ladder_recover(&hierarchies, container));
	CHECK_STR(file_of("memory.high"), "125829120");
	CHECK(getxattr(path, "user.ebb.high", NULL, 0) < 0);
}

TEST(memory_high_comes_down_as_asked)
{
	set_up(256 * MIB);
	start_load(0, 128);
	CHECK_INT(shrinker_submit_high(shrinker, container, 64 * MIB, on_done, &results[0]), 0);
	wait_for(&results[0]);
	if (!is_v2()) {
		CHECK_INT(results[0].got.error, -EOPNOTSUPP);
		SKIP("v1 has no memory.high");
	}
	CHECK_INT(results[0].got.error, 0);
	CHECK_INT(results[0].got.applied, 64 * MIB);
	CHECK_STR(file_of("memory.high"), "67108864");
	CHECK_INT(limit_now(), 256 * MIB);
	check_alive();
}

TEST(reclaim_as_asked)
{
	set_up(256 * MIB);
	start_load(0, 128);
	uint64_t usage, inactive, after;
	read_usage(&usage, &inactive);
	CHECK_INT(shrinker_submit_reclaim(shrinker, container, 48 * MIB, on_done, &results[0]), 0);
	wait_for(&results[0]);
	if (!is_v2()) {
		CHECK_INT(results[0].got.error, -EOPNOTSUPP);
		SKIP("v1 has no memory.reclaim");
	}
	if (inactive < 100 * MIB)
		SKIP("the file system in /var/tmp keeps no page cache");
	CHECK_INT(results[0].got.error, 0);
	CHECK(results[0].got.applied >= 40 * MIB);
	read_usage(&after, &inactive);
	CHECK(after <= usage - 40 * MIB);
	CHECK_INT(limit_now(), 256 * MIB);
	CHECK_STR(file_of("memory.high"), "max");
	check_alive();
}

static void run_reader(void *arg)
{
	const struct load *load = arg;
	_cleanup_free_ char *block = malloc(MIB);
	int fd;

	run_load(arg);
	fd = open(load->file, O_RDONLY);
	for (;;) {
		ssize_t n = fd < 0 || !block ? -1 : read(fd, block, MIB);
		if (n < 0)
			_exit(1);
		if (n == 0 && lseek(fd, 0, SEEK_SET) < 0)
			_exit(1);
	}
}

/* Its file cache looks inactive and is in use all the time. */
TEST(one_that_suffers_is_left_what_it_needs)
{
	struct load load = {.cache = 128 * MIB};
	int fds[2];
	char c;

	set_up(256 * MIB);
	snprintf(file, sizeof(file), "/var/tmp/ebb-test-shrink-%d", (int)getpid());
	snprintf(load.file, sizeof(load.file), "%s", file);
	CHECK_INT(pipe(fds), 0);
	load.ready_fd = fds[1];
	child = cgroup_tree_spawn(&tree, NULL, run_reader, &load);
	close(fds[1]);
	ssize_t n = read(fds[0], &c, 1);
	close(fds[0]);
	CHECK_INT(n, 1);

	uint64_t before = limit_now();
	struct shrink_result *result = submit(&results[0], 64 * MIB);
	wait_for(&results[0]);
	/* Whether it could be seen is up to the disk and the kernel; it is never squeezed unseen.
	 */
	if (has_step(result, SHRINK_BACK_OFF) && result->error == 0) {
		CHECK(result->floor > result->asked);
		CHECK_INT(limit_now(), result->applied);
	} else {
		CHECK(result->error == 0 || result->error == -EBUSY);
		CHECK_INT(limit_now(), result->error ? before : result->applied);
	}
	if (is_v2())
		CHECK_STR(file_of("memory.high"), "max");
	check_alive();
}

/* A directory whose limit is a pipe: who reads it waits until somebody writes. */
struct stuck {
	char dir[64];
	struct container *container;
};

static struct stuck stuck[3];

static void for_each_pipe(int i, int (*fn)(const char *path))
{
	static const char *const names[] = {"memory.max", "memory.limit_in_bytes"};
	char path[320];

	for (size_t n = 0; n < 2; n++) {
		snprintf(path, sizeof(path), "%s/%s", stuck[i].dir, names[n]);
		CHECK_INT(fn(path), 0);
	}
}

static int make_pipe(const char *path)
{
	return mkfifo(path, 0600);
}

static void remove_stuck(void *unused)
{
	for (int i = 0; i < 3; i++) {
		container_free(stuck[i].container);
		stuck[i].container = NULL;
		for_each_pipe(i, unlink);
		rmdir(stuck[i].dir);
	}
}

/* Waits until somebody reads the limit, who then finds nothing else there. */
static void release(int i)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", stuck[i].dir,
		 is_v2() ? "memory.max" : "memory.limit_in_bytes");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, "4096\n", 5), 5);
	close(fd);
}

/* One whose reclaim takes long keeps nobody else waiting. */
TEST(containers_do_not_wait_for_each_other)
{
	set_up(512 * MIB);
	for (int i = 0; i < 3; i++) {
		snprintf(stuck[i].dir, sizeof(stuck[i].dir), "/tmp/ebb-test-shrink-XXXXXX");
		CHECK(mkdtemp(stuck[i].dir));
		for_each_pipe(i, make_pipe);
		CHECK_INT(container_new(container->id + 1 + (uint64_t)i, "stuck", "stuck", "cgroup",
					&stuck[i].container),
			  0);
		stuck[i].container->dir_fds[CGROUP_MEMORY] =
			open(stuck[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		CHECK(stuck[i].container->dir_fds[CGROUP_MEMORY] >= 0);
	}
	test_at_end(remove_stuck, NULL);
	for (int i = 0; i < 3; i++)
		CHECK_INT(
			shrinker_submit(shrinker, stuck[i].container, MIB, 0, on_done, &results[i]),
			0);
	for (int i = 3; i < 6; i++) {
		submit(&results[i], (uint64_t)(500 - i) * MIB);
		wait_for(&results[i]);
		CHECK_INT(results[i].got.error, 0);
	}
	CHECK_INT(limit_now(), 495 * MIB);
	for (int i = 0; i < 3; i++)
		CHECK_INT(results[i].calls, 0);

	/* What came for one that is busy replaces it, and waits for its end. */
	CHECK_INT(shrinker_submit(shrinker, stuck[0].container, MIB, 0, on_done, &results[6]), 0);
	submit(&results[7], 494 * MIB);
	wait_for(&results[7]);
	CHECK_INT(results[0].calls, 0);
	CHECK_INT(results[6].calls, 0);
	for (int i = 0; i < 3; i++)
		release(i);
	for (int i = 0; i < 3; i++) {
		wait_for(&results[i]);
		CHECK(results[i].got.error < 0);
	}
	/* Not earlier: the first reader would take what is meant for the second. */
	release(0);
	wait_for(&results[6]);
	CHECK(results[6].got.error < 0);
}

TEST_MAIN()
