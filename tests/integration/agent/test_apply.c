/* SPDX-License-Identifier: Apache-2.0 */
/* Orders on a real cgroup: carried out in order, put back on failure, and never in each other's
 * way. */
#include "test.h"

#include "apply.h"
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

static void on_changed(void *userdata, struct container *which)
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

TEST_MAIN()
