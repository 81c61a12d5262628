/* SPDX-License-Identifier: Apache-2.0 */
/* Lowering memory limits under real page cache and real anonymous memory, on cgroups of either
 * version. */
#include "test.h"

#include <sys/mman.h>

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
	CHECK_INT(result->applied, result->floor);
	CHECK_INT(limit_now(), result->floor);
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

TEST_MAIN()
