/* SPDX-License-Identifier: Apache-2.0 */
#include "cpumap.h"

#include <errno.h>

#include "seed.h"
#include "ebb/cleanup.h"
#include "../../test.h"

static struct cpumap *map;
static struct cpumap_row *row;
static json_t *json;

static void release_all(void *arg)
{
	cpumap_free(TAKE_PTR(map));
	cpumap_row_free(TAKE_PTR(row));
	json_decref(TAKE_PTR(json));
}

static void map_of(const char *cpus)
{
	struct cpu_list order = {0};

	test_at_end(release_all, NULL);
	CHECK_INT(cpu_list_parse(cpus, &order), 0);
	CHECK_INT(cpumap_new(&order, &map), 0);
	cpu_list_clear(&order);
}

static char *cpus_of(const char *owner)
{
	static char text[1024];
	struct cpu_list cpus = {0};
	char *formatted;

	if (cpumap_cpus(map, owner, &cpus) < 0)
		return NULL;
	formatted = cpu_list_format(&cpus);
	snprintf(text, sizeof(text), "%s", formatted ? formatted : "");
	free(formatted);
	cpu_list_clear(&cpus);
	return text;
}

static int shares_on(const char *cpu, const char *owner)
{
	_cleanup_json_ json_t *mapping = cpumap_to_json(map);
	json_t *value = json_object_get(json_object_get(mapping, cpu), owner);

	return value ? (int)json_integer_value(value) : -1;
}

static void check_adds_up(void)
{
	_cleanup_free_ char *wrong = cpumap_check(map);

	if (wrong)
		TEST_FAIL("%s", wrong);
}

/* The state that the examples of spec 6.7 start from. */
static void map_of_two(void)
{
	map_of("0-7");
	CHECK_INT(cpumap_grow(map, "c0", 200), 200);
	CHECK_INT(cpumap_grow(map, "c1", 200), 200);
	CHECK_STR(cpus_of("c0"), "0,1");
	CHECK_STR(cpus_of("c1"), "2,3");
	CHECK_INT(cpumap_free_shares(map), 400);
}

TEST(grow_takes_a_free_core)
{
	map_of_two();
	CHECK_INT(cpumap_grow(map, "c0", 50), 50);
	CHECK_STR(cpus_of("c0"), "0,1,4");
	CHECK_INT(cpumap_owned(map, "c0"), 250);
	CHECK_INT(cpumap_free_shares(map), 350);
	CHECK_INT(shares_on("4", "c0"), 50);
	CHECK_INT(shares_on("4", "free"), 50);
	check_adds_up();
}

TEST(shrink_empties_the_last_core_first)
{
	map_of_two();
	CHECK_INT(cpumap_shrink(map, "c0", 150), 150);
	CHECK_STR(cpus_of("c0"), "0");
	CHECK_INT(cpumap_free_shares(map), 550);
	CHECK_INT(shares_on("0", "c0"), 50);
	CHECK_INT(shares_on("1", "c0"), -1);
	CHECK_INT(shares_on("1", "free"), 100);
	check_adds_up();
}

TEST(shrink_makes_room_on_a_full_host)
{
	map_of_two();
	CHECK_INT(cpumap_grow(map, "other", 400), 400);
	CHECK_INT(cpumap_grow(map, "c1", 60), 0);
	CHECK_INT(cpumap_shrink(map, "c0", 80), 80);
	CHECK_INT(cpumap_grow(map, "c1", 60), 60);
	CHECK_STR(cpus_of("c0"), "0,1");
	CHECK_STR(cpus_of("c1"), "2,3,1");
	CHECK_INT(cpumap_free_shares(map), 20);
	CHECK_INT(shares_on("1", "c0"), 20);
	CHECK_INT(shares_on("1", "c1"), 60);
	CHECK_INT(shares_on("1", "free"), 20);
	check_adds_up();
}

TEST(grow_fills_own_cores_before_others)
{
	map_of("0-3");
	CHECK_INT(cpumap_grow(map, "a", 30), 30);
	CHECK_INT(cpumap_grow(map, "b", 30), 30);
	CHECK_INT(cpumap_grow(map, "a", 90), 90);
	CHECK_STR(cpus_of("a"), "0,2");
	CHECK_INT(shares_on("0", "a"), 100);
	CHECK_INT(shares_on("2", "a"), 20);
	/* No core is wholly free any more but 3; then the partly free ones in order. */
	CHECK_INT(cpumap_grow(map, "c", 250), 250);
	CHECK_STR(cpus_of("c"), "3,1,2");
	CHECK_INT(cpumap_grow(map, "c", 250), 0);
	check_adds_up();
}

TEST(grow_grants_what_is_there)
{
	map_of("5,9");
	CHECK_INT(cpumap_grow(map, "a", 1000), 200);
	CHECK_INT(cpumap_grow(map, "b", 1), 0);
	CHECK_INT(cpumap_owned(map, "b"), 0);
	CHECK_INT(cpumap_grow(map, "a", 0), 0);
	CHECK_INT(cpumap_grow(map, "a", -5), 0);
	CHECK_INT(cpumap_shrink(map, "a", -5), 0);
	CHECK_INT(cpumap_shrink(map, "nobody", 5), 0);
	CHECK_INT(cpumap_shrink(map, "a", 1000), 200);
	CHECK_INT(cpumap_free_shares(map), cpumap_total(map));
	check_adds_up();
}

TEST(nobody_can_be_called_free)
{
	map_of("0");
	CHECK_INT(cpumap_grow(map, "free", 10), 0);
	CHECK_INT(cpumap_free_shares(map), 100);
}

TEST(wide_hosts_have_no_edge_at_64_or_256)
{
	map_of("0-299,1000");
	CHECK_INT(cpumap_grow(map, "a", 6450), 6450);
	CHECK_INT(shares_on("64", "a"), 50);
	CHECK_INT(cpumap_grow(map, "b", 23700), 23650);
	CHECK_INT(shares_on("1000", "b"), 100);
	CHECK_INT(cpumap_free_shares(map), 0);
	check_adds_up();
}

TEST(restore_brings_back_the_very_row)
{
	map_of("0-3");
	cpumap_grow(map, "a", 150);
	cpumap_grow(map, "b", 120);
	CHECK_INT(cpumap_save(map, "a", &row), 0);
	cpumap_grow(map, "a", 60);
	CHECK_STR(cpus_of("a"), "0,1,3");
	CHECK_INT(cpumap_restore(map, "a", row), 0);
	CHECK_STR(cpus_of("a"), "0,1");
	CHECK_INT(shares_on("1", "a"), 50);
	CHECK_INT(cpumap_owned(map, "a"), 150);
	check_adds_up();
}

TEST(restore_of_nothing_releases)
{
	map_of("0-3");
	CHECK_INT(cpumap_save(map, "a", &row), 0);
	cpumap_grow(map, "a", 60);
	CHECK_INT(cpumap_restore(map, "a", row), 0);
	CHECK_INT(cpumap_owned(map, "a"), 0);
	check_adds_up();
}

TEST(restore_takes_nothing_from_others)
{
	map_of("0-1");
	cpumap_grow(map, "a", 150);
	CHECK_INT(cpumap_save(map, "a", &row), 0);
	cpumap_shrink(map, "a", 150);
	cpumap_grow(map, "b", 101);
	CHECK_INT(cpumap_restore(map, "a", row), -ENOSPC);
	CHECK_INT(cpumap_owned(map, "a"), 0);
	CHECK_INT(cpumap_owned(map, "b"), 101);
	check_adds_up();
}

TEST(json_round_trip)
{
	map_of("0,2,1,3");
	cpumap_grow(map, "a", 150);
	cpumap_grow(map, "b", 75);
	json = cpumap_to_json(map);
	CHECK_INT(json_object_size(json), 4);
	cpumap_free(TAKE_PTR(map));
	map_of("0,2,1,3");
	CHECK(cpumap_load_json(map, json));
	CHECK_INT(cpumap_owned(map, "a"), 150);
	CHECK_INT(cpumap_owned(map, "b"), 75);
	CHECK_STR(cpus_of("a"), "0,2");
	check_adds_up();
}

TEST(json_reads_the_documents_of_the_original)
{
	map_of("0-2");
	json = json_loads(
		"{\"0\":{\"c0\":100,\"gone\":0,\"free\":0},\"1\":{\"c0\":40.0,\"free\":60},"
		"\"2\":{\"free\":100}}",
		0, NULL);
	CHECK(cpumap_load_json(map, json));
	CHECK_INT(cpumap_owned(map, "c0"), 140);
	CHECK_INT(cpumap_owned(map, "gone"), 0);
	CHECK_INT(cpumap_free_shares(map), 160);
	check_adds_up();
}

TEST(json_drops_what_cannot_be)
{
	map_of("0-1");
	json = json_loads("{\"0\":{\"a\":70,\"b\":70},\"1\":{\"a\":-5,\"b\":\"x\",\"c\":1e300},"
			  "\"7\":{\"a\":10},\"8\":3}",
			  0, NULL);
	CHECK(!cpumap_load_json(map, json));
	CHECK_INT(cpumap_owned(map, "a"), 70);
	CHECK_INT(cpumap_owned(map, "b"), 30);
	CHECK_INT(cpumap_owned(map, "c"), 100);
	check_adds_up();
	json_decref(json);
	json = json_string("nothing");
	CHECK(!cpumap_load_json(map, json));
	CHECK(!cpumap_load_json(map, NULL));
	check_adds_up();
}

/* The same map, written as plainly as it can be. */
enum { CORES = 24, OWNERS = 30 };
static struct {
	int shares[OWNERS][CORES];
	int order[OWNERS][CORES], n[OWNERS]; /* cores by acquisition */
	int free[CORES];
} naive;

static void naive_take(int owner, int core, int shares)
{
	if (!naive.shares[owner][core])
		naive.order[owner][naive.n[owner]++] = core;
	naive.shares[owner][core] += shares;
	naive.free[core] -= shares;
}

static int naive_grow(int owner, int shares)
{
	int left = shares;

	for (int pass = 0; pass < 3; pass++) {
		int n = pass == 0 ? naive.n[owner] : CORES;

		for (int i = 0; i < n; i++) {
			int core = pass == 0 ? naive.order[owner][i] : i;
			int take = MIN(left, naive.free[core]);

			if (take > 0 && (pass != 1 || naive.free[core] == 100)) {
				naive_take(owner, core, take);
				left -= take;
			}
		}
	}
	return shares - left;
}

static int naive_shrink(int owner, int shares)
{
	int left = shares;

	while (left > 0 && naive.n[owner]) {
		int best = -1, give;

		for (int core = CORES - 1; core >= 0; core--)
			if (naive.shares[owner][core] &&
			    (best < 0 || naive.shares[owner][core] < naive.shares[owner][best]))
				best = core;
		give = MIN(left, naive.shares[owner][best]);
		naive.shares[owner][best] -= give;
		naive.free[best] += give;
		left -= give;
		if (!naive.shares[owner][best]) {
			int at = 0;

			while (naive.order[owner][at] != best)
				at++;
			for (naive.n[owner]--; at < naive.n[owner]; at++)
				naive.order[owner][at] = naive.order[owner][at + 1];
		}
	}
	return shares - left;
}

TEST(random_steps_match_the_plain_map)
{
	unsigned seed = (unsigned)test_seed(1);
	unsigned state = seed;
	char names[OWNERS][16];

	map_of("0-23");
	memset(&naive, 0, sizeof(naive));
	for (int c = 0; c < CORES; c++)
		naive.free[c] = 100;
	for (int o = 0; o < OWNERS; o++)
		snprintf(names[o], sizeof(names[o]), "c%d", o);

	for (int step = 0; step < 100000; step++) {
		int owner = rand_r(&state) % OWNERS, shares = rand_r(&state) % 260;

		switch (rand_r(&state) % 10) {
		case 0:
			shares = (int)cpumap_owned(map, names[owner]);
			CHECK_INT(naive_shrink(owner, shares), shares);
			cpumap_release(map, names[owner]);
			break;
		case 1:
		case 2:
		case 3:
		case 4:
			CHECK_INT(cpumap_shrink(map, names[owner], shares),
				  naive_shrink(owner, shares));
			break;
		case 5:
			CHECK_INT(cpumap_save(map, names[owner], &row), 0);
			cpumap_grow(map, names[owner], shares);
			CHECK_INT(cpumap_restore(map, names[owner], row), 0);
			cpumap_row_free(TAKE_PTR(row));
			break;
		default:
			CHECK_INT(cpumap_grow(map, names[owner], shares),
				  naive_grow(owner, shares));
		}
		check_adds_up();
		{
			int o = owner;
			struct cpu_list cpus = {0};
			bool same;

			CHECK_INT(cpumap_cpus(map, names[o], &cpus), 0);
			same = cpus.n == (size_t)naive.n[o];
			for (size_t i = 0; same && i < cpus.n; i++)
				same = cpus.cpus[i] == (unsigned)naive.order[o][i];
			cpu_list_clear(&cpus);
			if (!same)
				TEST_FAIL("step %d: the cores of %s differ", step, names[o]);
		}
		if (step % 1000 == 0) {
			json = cpumap_to_json(map);
			for (int c = 0; c < CORES; c++) {
				char cpu[16];
				size_t owners = 0;
				json_t *core;

				snprintf(cpu, sizeof(cpu), "%d", c);
				core = json_object_get(json, cpu);
				CHECK_INT(json_integer_value(json_object_get(core, "free")),
					  naive.free[c]);
				for (int o = 0; o < OWNERS; o++)
					CHECK_INT(
						json_integer_value(json_object_get(core, names[o])),
						naive.shares[o][c]);
				for (int o = 0; o < OWNERS; o++)
					owners += naive.shares[o][c] > 0;
				CHECK_INT(json_object_size(core), owners + 1);
			}
			json_decref(TAKE_PTR(json));
		}
	}
}

TEST(another_order_is_for_what_comes)
{
	struct cpu_list order = {0};

	map_of("0-3");
	CHECK_INT(cpumap_grow(map, "c0", 250), 250);
	CHECK_INT(cpumap_save(map, "c0", &row), 0);
	/* CPU 9 is not there, and 2 is not named. */
	order = (struct cpu_list){.cpus = (unsigned[]){3, 9, 1, 3, 0}, .n = 5};
	CHECK_INT(cpumap_reorder(map, &order), 0);
	check_adds_up();
	CHECK_STR(cpus_of("c0"), "0,1,2");
	CHECK_INT(shares_on("2", "c0"), 50);
	CHECK_INT(cpumap_grow(map, "c1", 120), 120);
	CHECK_STR(cpus_of("c1"), "3,2");
	/* A row that was saved before is of the same CPUs. */
	CHECK_INT(cpumap_shrink(map, "c0", 100), 100);
	CHECK_INT(shares_on("0", "c0"), 50);
	CHECK_INT(cpumap_restore(map, "c0", row), 0);
	CHECK_INT(shares_on("0", "c0"), 100);
	CHECK_INT(shares_on("2", "c0"), 50);
	check_adds_up();
}

TEST(a_map_inherits_the_cores_that_are_left)
{
	struct cpu_list order = {.cpus = (unsigned[]){7, 5, 0, 2}, .n = 4};
	struct cpumap *next;

	map_of("2,0-1,5");
	CHECK_INT(cpumap_grow(map, "c0", 220), 220);
	CHECK_INT(cpumap_grow(map, "c1", 80), 80);
	CHECK_STR(cpus_of("c0"), "2,0,1");
	CHECK_STR(cpus_of("c1"), "5");
	CHECK_INT(cpumap_save(map, "c0", &row), 0);
	CHECK_INT(cpumap_grow(map, "c2", 80), 80);
	CHECK_INT(cpumap_new(&order, &next), 0);
	CHECK_INT(cpumap_inherit(next, map), 0);
	cpumap_free(map);
	map = next;
	check_adds_up();
	CHECK_STR(cpus_of("c0"), "2,0");
	CHECK_INT(cpumap_owned(map, "c0"), 200);
	CHECK_STR(cpus_of("c1"), "5");
	/* All that it had was on CPU 1. */
	CHECK_STR(cpus_of("c2"), "");
	CHECK_INT(cpumap_restore(map, "c0", row), -ENOSPC);
	CHECK_INT(cpumap_owned(map, "c0"), 200);
	CHECK(cpumap_has_cpus(map, &order));
	order.n = 3;
	CHECK(!cpumap_has_cpus(map, &order));
	order = (struct cpu_list){.cpus = (unsigned[]){7, 5, 0, 1}, .n = 4};
	CHECK(!cpumap_has_cpus(map, &order));
}

TEST(a_host_with_512_cores_some_of_them_off)
{
	struct cpu_list cpus = {0};

	map_of("0-63,128-575");
	CHECK_INT(cpumap_total(map), 51200);
	CHECK_INT(cpumap_grow(map, "half", 25650), 25650);
	CHECK_INT(cpumap_grow(map, "rest", 51200), 25550);
	CHECK_INT(cpumap_free_shares(map), 0);
	check_adds_up();
	CHECK_INT(cpumap_cpus(map, "half", &cpus), 0);
	CHECK_INT(cpus.n, 257);
	_cleanup_free_ char *half = cpu_list_format_ranges(&cpus);
	CHECK_STR(half, "0-63,128-320");
	cpu_list_clear(&cpus);
	CHECK_INT(shares_on("320", "half"), 50);
	CHECK_INT(shares_on("320", "rest"), 50);
	CHECK_INT(cpumap_shrink(map, "half", 25600), 25600);
	CHECK_INT(cpumap_free_shares(map), 25600);
	check_adds_up();
	json = cpumap_to_json(map);
	CHECK_INT(json_object_size(json), 512);
	CHECK(!json_object_get(json, "64"));
}

TEST_MAIN()
