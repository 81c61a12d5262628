/* SPDX-License-Identifier: Apache-2.0 */
/* Orders on a real cgroup: carried out in order, put back on failure, and never in each other's
 * way. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "apply.h"
#include "restore.h"
#include "ebb/units.h"
#include "tree_container.h"

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container_table *table;
static struct container *container;
static struct loop *loop;
static struct shrinker *shrinker;
static struct applier *applier;
static unsigned changed;

static struct outcome {
	int calls;
	struct apply_result got;
} outcomes[20];

static void on_done(void *userdata, const struct apply_result *result)
{
	struct outcome *outcome = userdata;

	outcome->calls++;
	outcome->got = *result;
}

static void on_changed(void *userdata, struct container *which, unsigned kinds)
{
	changed += which == container;
}

static void tear_down(void *unused)
{
	if (applier)
		applier_close(applier);
	shrinker_free(shrinker);
	applier_free(applier);
	applier = NULL;
	shrinker = NULL;
	if (container && container_table_remove(table, container->id))
		container_free(container);
	container = NULL;
	container_table_free(table);
	table = NULL;
	loop_free(loop);
	loop = NULL;
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
}

/* A container with a quota of one core and 512 MiB. */
static void set_up(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	memset(outcomes, 0, sizeof(outcomes));
	changed = 0;
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "apply");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	CHECK_INT(container_table_new(&table), 0);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(shrinker_new(loop, &hierarchies, &shrinker), 0);
	struct container *made = tree_container(&hierarchies, &tree, NULL);
	CHECK(made);
	CHECK_INT(container_table_add(table, made), 0);
	container = made;
	if (limits_write_quota(&hierarchies, container, 100000) < 0 ||
	    limits_write_mem(&hierarchies, container, 512 * EBB_MIB) < 0)
		SKIP("no cpu or memory controller here");
	struct applier_options options = {
		.hierarchies = &hierarchies,
		.table = table,
		.shrinker = shrinker,
		.changed = on_changed,
	};
	CHECK_INT(applier_new(&options, &applier), 0);
}

static struct limit_order order_of(uint64_t quota_us, uint64_t mem_mib)
{
	struct limit_order order = {0};

	if (quota_us) {
		order.asked |= 1U << LIMIT_QUOTA;
		order.value[LIMIT_QUOTA] = quota_us;
	}
	if (mem_mib) {
		order.asked |= 1U << LIMIT_MEM;
		order.value[LIMIT_MEM] = mem_mib * EBB_MIB;
	}
	return order;
}

static void submit(uint64_t quota_us, uint64_t mem_mib, struct outcome *outcome)
{
	struct limit_order order = order_of(quota_us, mem_mib);

	CHECK_INT(applier_submit(applier, container, &order, on_done, outcome), 0);
}

static void check_limits(uint64_t quota_us, uint64_t mem_mib)
{
	struct limits limits;

	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), 0);
	CHECK_INT(limits.cpu.quota_us, quota_us);
	CHECK_INT(limits.mem_bytes / EBB_MIB, mem_mib);
}

static void wait_for(struct outcome *outcome)
{
	uint64_t end = now_ns() + 20 * EBB_NS_PER_SEC;

	while (!outcome->calls && now_ns() < end)
		loop_turn(loop, 20);
	CHECK_INT(outcome->calls, 1);
}

TEST(apply_grows_at_once_and_shrinks_later)
{
	set_up();
	uint64_t before = now_ns();
	submit(150000, 600, &outcomes[0]);
	CHECK_INT(outcomes[0].calls, 1);
	CHECK_INT(outcomes[0].got.error, 0);
	CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_WRITTEN);
	CHECK_INT(outcomes[0].got.states[LIMIT_MEM], APPLY_WRITTEN);
	CHECK_INT(outcomes[0].got.states[LIMIT_CPUS], APPLY_NOT_ASKED);
	CHECK(outcomes[0].got.applied_ns >= before && outcomes[0].got.applied_ns <= now_ns());
	check_limits(150000, 600);
	CHECK_INT(changed, 1);

	submit(0, 300, &outcomes[1]);
	CHECK_INT(outcomes[1].calls, 0);
	wait_for(&outcomes[1]);
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK(!outcomes[1].got.mem_floored);
	check_limits(150000, 300);

	/* What is so already is not written, and nobody is told of a change. */
	changed = 0;
	submit(150000, 300, &outcomes[2]);
	CHECK_INT(outcomes[2].got.error, 0);
	CHECK_INT(outcomes[2].got.states[LIMIT_QUOTA], APPLY_EQUAL);
	CHECK_INT(outcomes[2].got.states[LIMIT_MEM], APPLY_EQUAL);
	CHECK_INT(changed, 0);
}

TEST(apply_puts_back_what_was_written)
{
	struct limit_order order = order_of(150000, 600);

	set_up();
	/* A CPU that the kernel does not know, which parsing would have refused. */
	order.asked |= 1U << LIMIT_CPUS;
	snprintf(order.cpus, sizeof(order.cpus), "9999");
	struct limits present;
	CHECK_INT(limits_read(&hierarchies, container, 0, &present), 0);
	if (!present.has_cpuset)
		SKIP("no cpuset controller here");

	/* One CPU is less than there are, so it comes after what grows. */
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[0]), 0);
	wait_for(&outcomes[0]);
	if (present.cpu.n_effective > 1) {
		CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_PUT_BACK);
		CHECK_INT(outcomes[0].got.states[LIMIT_MEM], APPLY_PUT_BACK);
	}
	CHECK(outcomes[0].got.error < 0);
	CHECK_INT(outcomes[0].got.failed, LIMIT_CPUS);
	CHECK_INT(outcomes[0].got.states[LIMIT_CPUS], APPLY_FAILED);
	CHECK_INT(outcomes[0].got.error, outcomes[0].got.errors[LIMIT_CPUS]);
	check_limits(100000, 512);
}

/* On v1 a cpuset may not become narrower than one nested in it. */
TEST(apply_changes_nothing_when_a_nested_cpuset_is_in_the_way)
{
	struct limit_order order = order_of(150000, 600);
	struct limits before, after;

	set_up();
	CHECK_INT(limits_read(&hierarchies, container, 0, &before), 0);
	if (!before.has_cpuset || hierarchies.by_controller[CGROUP_CPUSET].version != 1)
		SKIP("no cpuset of cgroup v1 here");
	struct cpu_list all;
	CHECK_INT(cpu_list_parse(before.cpu.effective_cpus, &all), 0);
	bool enough = cpu_list_contains(&all, 0) && cpu_list_contains(&all, 1);
	cpu_list_clear(&all);
	if (!enough)
		SKIP("needs the CPUs 0 and 1");
	CHECK_INT(limits_write_cpus(&hierarchies, container, "0-1"), 0);
	int fd = container->dir_fds[CGROUP_CPUSET];
	CHECK_INT(mkdirat(fd, "nested", 0755), 0);
	int nested = openat(fd, "nested/cpuset.cpus", O_WRONLY | O_CLOEXEC);
	CHECK(nested >= 0);
	CHECK_INT(write(nested, "1", 1), 1);
	close(nested);

	order.asked |= 1U << LIMIT_CPUS;
	snprintf(order.cpus, sizeof(order.cpus), "0");
	for (int i = 0; i < 2; i++) {
		CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[i]), 0);
		wait_for(&outcomes[i]);
		CHECK_INT(outcomes[i].got.error, -EBUSY);
		CHECK_INT(outcomes[i].got.failed, LIMIT_CPUS);
		CHECK_INT(outcomes[i].got.states[LIMIT_QUOTA], APPLY_PUT_BACK);
		CHECK_INT(outcomes[i].got.states[LIMIT_MEM], APPLY_PUT_BACK);
		check_limits(100000, 512);
		CHECK_INT(limits_read(&hierarchies, container, 0, &after), 0);
		CHECK_STR(after.cpu.cpus, "0-1");
	}
	/* It is tried again, and is no longer in the way. */
	CHECK_INT(unlinkat(fd, "nested", AT_REMOVEDIR), 0);
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[2]), 0);
	wait_for(&outcomes[2]);
	CHECK_INT(outcomes[2].got.error, 0);
	check_limits(150000, 600);
	CHECK_INT(limits_read(&hierarchies, container, 0, &after), 0);
	CHECK_STR(after.cpu.cpus, "0");
}

TEST(apply_lets_the_cpu_rise_while_memory_comes_down)
{
	set_up();
	submit(50000, 300, &outcomes[0]);
	CHECK_INT(outcomes[0].calls, 0);
	submit(200000, 0, &outcomes[1]);
	CHECK_INT(outcomes[1].calls, 1);
	CHECK_INT(outcomes[1].got.error, 0);
	wait_for(&outcomes[0]);
	CHECK_INT(outcomes[0].got.error, 0);
	check_limits(200000, 300);
}

TEST(apply_does_not_undo_what_a_newer_order_wrote)
{
	struct limit_order order = order_of(150000, 300);

	set_up();
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[0]), 0);
	CHECK_INT(outcomes[0].calls, 0);
	submit(250000, 0, &outcomes[1]);
	CHECK_INT(outcomes[1].got.error, 0);
	/* Fails the first, if the shrinker has not been faster. */
	shrinker_cancel(shrinker, container->id);
	wait_for(&outcomes[0]);
	if (outcomes[0].got.error) {
		CHECK_INT(outcomes[0].got.error, -ECANCELED);
		CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_REPLACED);
		check_limits(250000, 512);
	} else {
		check_limits(250000, 300);
	}
}

TEST(apply_ends_a_lowering_for_a_raise)
{
	set_up();
	submit(0, 300, &outcomes[0]);
	submit(0, 700, &outcomes[1]);
	wait_for(&outcomes[1]);
	CHECK_INT(outcomes[0].calls, 1);
	CHECK(outcomes[0].got.error == 0 || outcomes[0].got.error == -ECANCELED);
	CHECK_INT(outcomes[1].got.error, 0);
	check_limits(100000, 700);
}

TEST(apply_keeps_the_order_of_orders)
{
	set_up();
	for (int i = 0; i < 10; i++)
		submit(0, 400 - i * 10, &outcomes[i]);
	wait_for(&outcomes[9]);
	for (int i = 0; i < 10; i++) {
		CHECK_INT(outcomes[i].calls, 1);
		CHECK_INT(outcomes[i].got.error, 0);
		if (i)
			CHECK(outcomes[i].got.applied_ns >= outcomes[i - 1].got.applied_ns);
	}
	check_limits(100000, 310);
}

TEST(apply_bounds_its_queue)
{
	struct limit_order order = order_of(0, 300);
	int r = 0, taken = 0;

	set_up();
	for (int i = 0; i < 20 && r == 0; i++) {
		order.value[LIMIT_MEM] = (400 - i) * EBB_MIB;
		r = applier_submit(applier, container, &order, on_done, &outcomes[i]);
		taken += r == 0;
	}
	CHECK_INT(r, -EBUSY);
	CHECK_INT(taken, 16);
	for (int i = 0; i < taken; i++)
		wait_for(&outcomes[i]);
}

TEST(apply_survives_a_container_that_goes)
{
	struct container *gone;

	set_up();
	submit(0, 300, &outcomes[0]);
	submit(0, 200, &outcomes[1]);
	gone = container_table_remove(table, container->id);
	CHECK(gone == container);
	container_free(gone);
	container = NULL;
	wait_for(&outcomes[1]);
	CHECK_INT(outcomes[0].calls, 1);
	CHECK(outcomes[1].got.gone);
	CHECK(outcomes[1].got.error < 0);
}

static struct restore *restore;
static struct applier_options reading;
static int ended, left;

static void on_writing(void *userdata, const struct container *which, enum limit_kind kind,
		       const struct limits *before)
{
	restore_writing(restore, which->id, kind, before);
}

static void on_wrote(void *userdata, struct container *which, unsigned kinds)
{
	struct limits present;

	if (restore_read(restore, &reading, which, &present))
		restore_wrote(restore, which->id, kinds, &present);
}

static void on_left(void *userdata, uint64_t id)
{
	left++;
}

static void on_ended(void *userdata, uint64_t id)
{
	ended++;
	CHECK_INT(id, container->id);
	CHECK(!applier_is_busy(applier, id, ~0U));
	if (restore)
		restore_container(restore, &reading, applier, container, on_left, NULL);
}

static void free_restore(void *unused)
{
	restore_free(restore);
	restore = NULL;
}

/* Orders memory to come down, and another one behind, and leaves the container meanwhile. */
static void leave_while_lowering(void)
{
	submit(150000, 300, &outcomes[0]);
	submit(0, 200, &outcomes[1]);
	CHECK_INT(outcomes[0].calls, 0);
	ended = 0;
	applier_leave(applier, container->id, -ECANCELED, on_ended, NULL);
	CHECK_INT(outcomes[1].calls, 1);
	CHECK_INT(outcomes[1].got.error, -ECANCELED);
	CHECK(outcomes[1].got.gone);
	/* Not while the memory may still be written. */
	CHECK_INT(ended, 0);
	wait_for(&outcomes[0]);
	CHECK_INT(ended, 1);
	CHECK(outcomes[0].got.gone);
	CHECK(outcomes[0].got.error == 0 || outcomes[0].got.error == -ECANCELED);
}

TEST(apply_stops_for_a_container_that_is_left_alone)
{
	set_up();
	leave_while_lowering();
	/* Or the shrinker has been faster. */
	if (outcomes[0].got.error)
		check_limits(100000, 512);
	else
		check_limits(150000, 300);
	/* Nothing is under way: at once. */
	applier_leave(applier, container->id, -ECANCELED, on_ended, NULL);
	CHECK_INT(ended, 2);
}

/* With an applier that keeps what limits were before. */
static void restoring(void)
{
	test_at_end(free_restore, NULL);
	CHECK_INT(restore_new(&restore), 0);
	applier_free(applier);
	applier = NULL;
	reading = (struct applier_options){
		.hierarchies = &hierarchies,
		.table = table,
		.shrinker = shrinker,
		.writing = on_writing,
		.changed = on_wrote,
	};
	CHECK_INT(applier_new(&reading, &applier), 0);
}

TEST(apply_puts_back_what_a_container_had_before_it_is_left_alone)
{
	set_up();
	restoring();
	/* By what was written before, and whichever way the one ends that is under way. */
	submit(120000, 600, &outcomes[2]);
	CHECK_INT(outcomes[2].got.error, 0);
	left = 0;
	leave_while_lowering();
	for (int i = 0; !left && i < 1000; i++)
		loop_turn(loop, 20);
	CHECK_INT(left, 1);
	check_limits(100000, 512);
}

/* What another hand has set since is not taken for ours because something else was ordered. */
TEST(apply_puts_nothing_back_over_another_hand)
{
	set_up();
	restoring();
	submit(120000, 600, &outcomes[0]);
	CHECK_INT(outcomes[0].got.error, 0);
	CHECK_INT(limits_write_quota(&hierarchies, container, 90000), 0);
	submit(0, 700, &outcomes[1]);
	CHECK_INT(outcomes[1].got.error, 0);
	/* Nor because an order for it failed, and was undone. */
	struct limit_order order = order_of(130000, 0);
	order.asked |= 1U << LIMIT_CPUS;
	snprintf(order.cpus, sizeof(order.cpus), "9999");
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[2]), 0);
	CHECK(outcomes[2].got.error < 0);
	check_limits(90000, 700);
	left = 0;
	restore_container(restore, &reading, applier, container, on_left, NULL);
	for (int i = 0; !left && i < 1000; i++)
		loop_turn(loop, 20);
	CHECK_INT(left, 1);
	check_limits(90000, 512);
}

static void on_all_back(void *userdata, unsigned restored, unsigned failed)
{
	left++;
	CHECK_INT(failed, 0);
}

/* The end comes while an order lowers memory: what that would be put back to is ours, too. */
TEST(apply_puts_all_back_at_the_end_of_orders)
{
	set_up();
	restoring();
	submit(120000, 450, &outcomes[0]);
	wait_for(&outcomes[0]);
	CHECK_INT(outcomes[0].got.error, 0);
	submit(150000, 300, &outcomes[1]);
	submit(0, 200, &outcomes[2]);
	CHECK_INT(outcomes[1].calls + outcomes[2].calls, 0);
	left = 0;
	restore_all(restore, &(struct restore_run){
				     .reader = &reading,
				     .applier = applier,
				     .done = on_all_back,
			     });
	for (int i = 0; !left && i < 1000; i++)
		loop_turn(loop, 20);
	CHECK_INT(left, 1);
	CHECK_INT(outcomes[1].calls, 1);
	CHECK_INT(outcomes[2].calls, 1);
	CHECK_INT(outcomes[2].got.error, -ESHUTDOWN);
	CHECK(!outcomes[1].got.gone && !outcomes[2].got.gone);
	CHECK(!applier_is_busy(applier, container->id, ~0U));
	check_limits(100000, 512);
}

TEST(apply_answers_everything_when_it_stops)
{
	set_up();
	submit(0, 300, &outcomes[0]);
	submit(0, 200, &outcomes[1]);
	applier_close(applier);
	shrinker_free(shrinker);
	shrinker = NULL;
	applier_free(applier);
	applier = NULL;
	CHECK_INT(outcomes[0].calls, 1);
	CHECK_INT(outcomes[1].calls, 1);
	CHECK(outcomes[0].got.error == 0 || outcomes[0].got.error == -ESHUTDOWN);
	CHECK_INT(outcomes[1].got.error, -ESHUTDOWN);
}

static struct limits more(void)
{
	struct limits limits;

	CHECK_INT(limits_read(&hierarchies, container, 0, &limits), 0);
	CHECK_INT(limits_read_more(&hierarchies, container, &limits), 0);
	return limits;
}

static void submit_one(enum limit_kind kind, uint64_t value, struct outcome *outcome)
{
	struct limit_order order = {.asked = 1U << kind};

	order.value[kind] = value;
	CHECK_INT(applier_submit(applier, container, &order, on_done, outcome), 0);
}

TEST(apply_tells_how_memory_came_down)
{
	set_up();
	submit(0, 300, &outcomes[0]);
	wait_for(&outcomes[0]);
	const struct shrink_steps *steps = &outcomes[0].got.mem_steps;
	CHECK(steps->n > 0);
	CHECK_INT(steps->steps[steps->n - 1].rung, SHRINK_LIMIT);
	CHECK_INT(steps->steps[steps->n - 1].bytes, 300 * EBB_MIB);
	/* What grows has no ladder. */
	submit(0, 400, &outcomes[1]);
	CHECK_INT(outcomes[1].calls, 1);
	CHECK_INT(outcomes[1].got.mem_steps.n, 0);
}

TEST(apply_takes_the_burst_down_with_the_quota)
{
	set_up();
	if (!(more().has_more & 1U << LIMIT_BURST))
		SKIP("this kernel has no CPU burst");
	submit_one(LIMIT_BURST, 60000, &outcomes[0]);
	CHECK_INT(outcomes[0].got.error, 0);
	CHECK_INT(more().cpu.burst_us, 60000);
	submit(20000, 0, &outcomes[1]);
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(outcomes[1].got.states[LIMIT_BURST], APPLY_WRITTEN);
	CHECK_INT(more().cpu.burst_us, 20000);
	check_limits(20000, 512);
	submit_one(LIMIT_BURST, 20001, &outcomes[2]);
	CHECK_INT(outcomes[2].got.error, -EOPNOTSUPP);
	CHECK(strstr(outcomes[2].got.message, "20 shares"));
}

/* Orders `lowering` with memory to come down, then `next` while it does, and fails the first.
 * False: the shrinker has been faster. */
static bool fail_after(struct limit_order lowering, const struct limit_order *next)
{
	memset(outcomes, 0, sizeof(outcomes));
	lowering.asked |= 1U << LIMIT_MEM;
	lowering.value[LIMIT_MEM] = 300 * EBB_MIB;
	CHECK_INT(applier_submit(applier, container, &lowering, on_done, &outcomes[0]), 0);
	CHECK_INT(outcomes[0].calls, 0);
	CHECK_INT(applier_submit(applier, container, next, on_done, &outcomes[1]), 0);
	CHECK_INT(outcomes[1].calls, 1);
	shrinker_cancel(shrinker, container->id);
	wait_for(&outcomes[0]);
	CHECK(outcomes[0].got.error == 0 || outcomes[0].got.error == -ECANCELED);
	if (outcomes[0].got.error)
		return true;
	submit(100000, 512, &outcomes[2]);
	CHECK_INT(outcomes[2].got.error, 0);
	return false;
}

TEST(apply_does_not_undo_a_burst_that_a_newer_quota_took_down)
{
	struct limit_order first = order_of(90000, 0), newer = order_of(20000, 0);
	bool failed = false;

	set_up();
	if (!(more().has_more & 1U << LIMIT_BURST))
		SKIP("this kernel has no CPU burst");
	first.asked |= 1U << LIMIT_BURST;
	first.value[LIMIT_BURST] = 80000;
	for (int i = 0; i < 200 && !failed; i++) {
		submit_one(LIMIT_BURST, 60000, &outcomes[3]);
		failed = fail_after(first, &newer);
	}
	if (!failed)
		SKIP("the shrinker was faster each time");
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_REPLACED);
	CHECK_INT(outcomes[0].got.states[LIMIT_BURST], APPLY_REPLACED);
	CHECK_INT(more().cpu.burst_us, 20000);
	check_limits(20000, 512);
}

/* The quota that waits will take the burst down: a newer burst comes after it. */
TEST(apply_keeps_a_burst_behind_a_quota_that_waits)
{
	set_up();
	if (!(more().has_more & 1U << LIMIT_BURST))
		SKIP("this kernel has no CPU burst");
	submit(0, 300, &outcomes[0]);
	submit(20000, 280, &outcomes[1]);
	CHECK_INT(outcomes[1].calls, 0);
	submit_one(LIMIT_BURST, 60000, &outcomes[2]);
	wait_for(&outcomes[1]);
	wait_for(&outcomes[2]);
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(outcomes[2].got.error, -EOPNOTSUPP);
	CHECK_INT(more().cpu.burst_us, 0);
	check_limits(20000, 280);
}

/* And the other way round: a newer quota would take down what the burst that waits has not set. */
TEST(apply_keeps_a_quota_behind_a_burst_that_waits)
{
	set_up();
	if (!(more().has_more & 1U << LIMIT_BURST))
		SKIP("this kernel has no CPU burst");
	submit_one(LIMIT_BURST, 50000, &outcomes[0]);
	struct limit_order order = order_of(0, 280);
	order.asked |= 1U << LIMIT_BURST;
	order.value[LIMIT_BURST] = 60000;
	submit(0, 300, &outcomes[1]);
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[2]), 0);
	CHECK_INT(outcomes[2].calls, 0);
	CHECK(applier_is_busy(applier, container->id, 1U << LIMIT_QUOTA));
	submit(20000, 0, &outcomes[3]);
	CHECK_INT(outcomes[3].calls, 0);
	wait_for(&outcomes[2]);
	wait_for(&outcomes[3]);
	CHECK_INT(outcomes[2].got.error, 0);
	CHECK_INT(outcomes[2].got.states[LIMIT_BURST], APPLY_WRITTEN);
	CHECK_INT(outcomes[3].got.error, 0);
	CHECK_INT(outcomes[3].got.states[LIMIT_BURST], APPLY_WRITTEN);
	CHECK_INT(more().cpu.burst_us, 20000);
	check_limits(20000, 280);
}

/* A newer order that changes nothing in the end is no reason to leave what a failed one has set. */
TEST(apply_undoes_in_spite_of_orders_that_failed)
{
	struct limit_order first = order_of(150000, 0), newer = order_of(200000, 0);
	bool failed = false;

	set_up();
	if (!more().has_cpuset)
		SKIP("no cpuset controller here");
	newer.asked |= 1U << LIMIT_CPUS;
	snprintf(newer.cpus, sizeof(newer.cpus), "9999");
	for (int i = 0; i < 200 && !failed; i++)
		failed = fail_after(first, &newer);
	if (!failed)
		SKIP("the shrinker was faster each time");
	CHECK(outcomes[1].got.error < 0);
	CHECK_INT(outcomes[1].got.failed, LIMIT_CPUS);
	CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_PUT_BACK);
	check_limits(100000, 512);

	if (!(more().has_more & 1U << LIMIT_BURST))
		return;
	/* Refused before any write. */
	newer = order_of(200000, 0);
	newer.asked |= 1U << LIMIT_BURST;
	newer.value[LIMIT_BURST] = 300000;
	failed = false;
	for (int i = 0; i < 200 && !failed; i++)
		failed = fail_after(first, &newer);
	if (!failed)
		SKIP("the shrinker was faster each time");
	CHECK_INT(outcomes[1].got.error, -EOPNOTSUPP);
	CHECK_INT(outcomes[0].got.states[LIMIT_QUOTA], APPLY_PUT_BACK);
	check_limits(100000, 512);
}

TEST(apply_by_weight)
{
	set_up();
	hierarchies.cpu_by_weight = true;
	submit(150000, 0, &outcomes[0]);
	CHECK_INT(outcomes[0].got.error, 0);
	CHECK(more().cpu.quota_us == LIMIT_NONE);
	CHECK_INT(more().cpu.weight, 150);
	submit(150000, 0, &outcomes[1]);
	CHECK_INT(outcomes[1].got.states[LIMIT_QUOTA], APPLY_EQUAL);
	submit(LIMIT_NONE, 0, &outcomes[2]);
	CHECK_INT(outcomes[2].got.error, -EOPNOTSUPP);

	/* And back, with the quota that was there, when something else fails. */
	CHECK_INT(limits_restore_cpu(&hierarchies, container,
				     &(struct cpu_limits){.quota_us = 80000,
							  .period_us = 100000,
							  .weight = 100,
							  .by_weight = true}),
		  0);
	struct limit_order order = order_of(250000, 0);
	order.asked |= 1U << LIMIT_CPUS;
	snprintf(order.cpus, sizeof(order.cpus), "9999");
	if (!more().has_cpuset)
		SKIP("no cpuset controller here");
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[3]), 0);
	CHECK(outcomes[3].got.error < 0);
	CHECK_INT(more().cpu.quota_us, 80000);
	CHECK_INT(more().cpu.weight, 100);
}

/* There the quota and the weight are one, also for orders that wait and those put back. */
TEST(apply_by_weight_keeps_the_order_of_orders)
{
	struct limit_order order = order_of(0, 280);

	set_up();
	hierarchies.cpu_by_weight = true;
	order.asked |= 1U << LIMIT_WEIGHT;
	order.value[LIMIT_WEIGHT] = 150;
	submit(0, 300, &outcomes[0]);
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[1]), 0);
	CHECK_INT(outcomes[1].calls, 0);
	CHECK(applier_is_busy(applier, container->id, 1U << LIMIT_QUOTA));
	submit(200000, 0, &outcomes[2]);
	CHECK_INT(outcomes[2].calls, 0);
	wait_for(&outcomes[1]);
	wait_for(&outcomes[2]);
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(outcomes[2].got.error, 0);
	CHECK_INT(more().cpu.weight, 200);
}

TEST(apply_by_weight_does_not_undo_what_a_newer_order_wrote)
{
	struct limit_order first = {.asked = 1U << LIMIT_WEIGHT}, newer = order_of(300000, 0);
	bool failed = false;

	set_up();
	hierarchies.cpu_by_weight = true;
	first.value[LIMIT_WEIGHT] = 150;
	for (int i = 0; i < 200 && !failed; i++)
		failed = fail_after(first, &newer);
	if (!failed)
		SKIP("the shrinker was faster each time");
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(outcomes[0].got.states[LIMIT_WEIGHT], APPLY_REPLACED);
	CHECK_INT(more().cpu.weight, 300);
}

TEST(apply_memory_high_and_reclaim)
{
	set_up();
	struct limits before = more();
	if (before.mem_version == 1) {
		static const enum limit_kind kinds[] = {LIMIT_MEM_HIGH, LIMIT_MEM_MIN,
							LIMIT_MEM_RECLAIM};
		for (size_t i = 0; i < 3; i++) {
			submit_one(kinds[i], 64 * EBB_MIB, &outcomes[i]);
			CHECK_INT(outcomes[i].got.error, -EOPNOTSUPP);
			CHECK(strstr(outcomes[i].got.message, "cgroup v1 has no memory."));
		}
		return;
	}
	submit_one(LIMIT_MEM_HIGH, 200 * EBB_MIB, &outcomes[0]);
	CHECK_INT(outcomes[0].calls, 0);
	/* A raise of the limit would have to wait for it. */
	CHECK(applier_is_busy(applier, container->id, 1U << LIMIT_MEM));
	CHECK(!applier_is_busy(applier, container->id, 1U << LIMIT_QUOTA));
	submit_one(LIMIT_MEM_MIN, 10 * EBB_MIB, &outcomes[1]);
	wait_for(&outcomes[0]);
	wait_for(&outcomes[1]);
	CHECK_INT(outcomes[0].got.error, 0);
	CHECK_INT(outcomes[0].got.states[LIMIT_MEM_HIGH], APPLY_WRITTEN);
	CHECK_INT(outcomes[1].got.error, 0);
	CHECK_INT(more().mem_high, 200 * EBB_MIB);
	CHECK_INT(more().mem_min, 10 * EBB_MIB);

	/* Both at once: the limit comes down behind memory.high, and rises before it. */
	struct limit_order order = order_of(0, 100);
	order.asked |= 1U << LIMIT_MEM_HIGH;
	order.value[LIMIT_MEM_HIGH] = 90 * EBB_MIB;
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[2]), 0);
	wait_for(&outcomes[2]);
	CHECK_INT(outcomes[2].got.error, 0);
	CHECK_INT(more().mem_high, 90 * EBB_MIB);
	check_limits(100000, 100);
	order = order_of(0, 400);
	order.asked |= 1U << LIMIT_MEM_HIGH;
	order.value[LIMIT_MEM_HIGH] = LIMIT_NONE;
	CHECK_INT(applier_submit(applier, container, &order, on_done, &outcomes[3]), 0);
	CHECK_INT(outcomes[3].calls, 1);
	CHECK_INT(outcomes[3].got.error, 0);
	CHECK(more().mem_high == LIMIT_NONE);
	check_limits(100000, 400);

	if (!(before.has_more & 1U << LIMIT_MEM_RECLAIM))
		return;
	/* Nothing runs in it: there is nothing to be had. */
	submit_one(LIMIT_MEM_RECLAIM, 8 * EBB_MIB, &outcomes[4]);
	wait_for(&outcomes[4]);
	CHECK(outcomes[4].got.error == -EBUSY || outcomes[4].got.error == 0);
}

TEST_MAIN()
