/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "series_container.h"
#include "series_process.h"
#include "test.h"

#define S  1000000000ULL
#define MS 1000000ULL

static struct process_table *table;

static void end(void *arg)
{
	process_table_free(table);
	table = NULL;
}

static void begin(size_t max_gone)
{
	CHECK_INT(process_table_new(max_gone, &table), 0);
	test_at_end(end, NULL);
}

static struct ebb_process make(uint32_t pid, uint64_t start_ns, const char *comm,
			       uint64_t runtime_ns)
{
	struct ebb_process p = {.pid = pid,
				.start_ns = start_ns,
				.container_id = 7,
				.runtime_ns = runtime_ns,
				.rss_pages = 100,
				.vm_pages = 200};

	snprintf(p.comm, sizeof(p.comm), "%s", comm);
	return p;
}

/* A whole interval in which just these are seen; the caller looks at it before the next one. */
static void look(uint64_t at_ns, const struct ebb_process *processes, size_t n)
{
	process_table_look(table, at_ns);
	for (size_t i = 0; i < n; i++)
		CHECK_INT(process_table_add(table, &processes[i]), 0);
	process_table_seen(table);
}

static struct process *by_pid(uint32_t pid)
{
	struct process *found = NULL;

	for (size_t i = 0; i < process_table_count(table); i++) {
		if (process_table_at(table, i)->last.pid != pid)
			continue;
		CHECK(!found);
		found = process_table_at(table, i);
	}
	return found;
}

TEST(what_was_used_before_the_first_look_does_not_count)
{
	struct ebb_process p = make(10, 1 * S, "a", 500 * S);

	begin(4);
	look(100 * S, &p, 1);
	CHECK_NEAR(process_table_seconds(table), 0, 0);
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
	CHECK_INT(by_pid(10)->use.rss_pages, 100);
	process_table_next(table);
	p.runtime_ns += 2 * S;
	p.read_bytes = 4096;
	look(105 * S, &p, 1);
	CHECK_NEAR(process_table_seconds(table), 5, 1e-9);
	CHECK_INT(by_pid(10)->use.runtime_ns, 2 * S);
	CHECK_INT(by_pid(10)->use.read_bytes, 4096);
	process_table_next(table);
	look(111 * S, &p, 1);
	CHECK_NEAR(process_table_seconds(table), 6, 1e-9);
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
	CHECK_INT(by_pid(10)->use.read_bytes, 0);
	CHECK_INT(by_pid(10)->use.vm_pages, 200);
}

TEST(one_born_since_the_last_look_counts_from_its_birth_and_an_old_one_does_not)
{
	struct ebb_process p[] = {make(10, 100 * S, "new", 3 * S), make(11, 50 * S, "old", 40 * S),
				  make(12, 99 * S + 500 * MS, "overlooked", 1 * S)};

	begin(4);
	look(100 * S, NULL, 0);
	process_table_next(table);
	look(105 * S, p, 3);
	CHECK_INT(by_pid(10)->use.runtime_ns, 3 * S);
	CHECK_INT(by_pid(11)->use.runtime_ns, 0);
	CHECK_INT(by_pid(12)->use.runtime_ns, 1 * S);
}

TEST(a_pid_used_again_is_another_process)
{
	struct ebb_process old = make(10, 50 * S, "a", 40 * S), again = make(10, 102 * S, "a", S);

	begin(4);
	look(100 * S, &old, 1);
	process_table_next(table);
	old.runtime_ns += 2 * S;
	CHECK_INT(process_table_ended(table, &old), 0);
	look(105 * S, &again, 1);
	CHECK_INT(process_table_count(table), 2);
	for (size_t i = 0; i < 2; i++) {
		struct process *p = process_table_at(table, i);

		CHECK_INT(p->use.runtime_ns, p->last.start_ns == 50 * S ? 2 * S : S);
		CHECK(p->ended == (p->last.start_ns == 50 * S));
	}
	process_table_next(table);
	look(110 * S, &again, 1);
	CHECK_INT(process_table_count(table), 1);
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
}

TEST(the_last_numbers_may_come_before_during_or_after_the_look_that_misses_it)
{
	struct ebb_process p = make(10, 50 * S, "a", 40 * S), final = p;

	final.runtime_ns += 3 * S;
	final.rss_pages = final.vm_pages = 0;
	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	look(105 * S, NULL, 0); /* it has vanished, and nobody knows what it used yet */
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
	CHECK_INT(by_pid(10)->use.rss_pages, 0);
	process_table_next(table);
	CHECK(by_pid(10));
	CHECK_INT(process_table_ended(table, &final), 0);
	look(110 * S, NULL, 0);
	CHECK_INT(by_pid(10)->use.runtime_ns, 3 * S);
	process_table_next(table);
	CHECK(!by_pid(10));
}

TEST(seen_and_ended_in_one_interval_counts_both_parts)
{
	struct ebb_process p = make(10, 50 * S, "a", 40 * S);

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	p.runtime_ns += 2 * S;
	look(105 * S, &p, 1);
	p.runtime_ns += S / 2;
	CHECK_INT(process_table_ended(table, &p), 0);
	CHECK_INT(by_pid(10)->use.runtime_ns, 2 * S + S / 2);
}

TEST(one_whose_end_was_lost_is_forgotten_after_three_looks)
{
	struct ebb_process p = make(10, 50 * S, "a", 40 * S);

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	for (int i = 1; i <= 3; i++) {
		CHECK(by_pid(10));
		look((100 + 5 * i) * S, NULL, 0);
		process_table_next(table);
	}
	CHECK(!by_pid(10));
	/* Should its end come even later, it is old. */
	p.runtime_ns += S;
	CHECK_INT(process_table_ended(table, &p), 0);
	CHECK_INT(process_table_gone_count(table), 0);
}

TEST(one_with_an_open_series_stays_until_it_is_closed)
{
	struct ebb_process p = make(10, 50 * S, "a", 40 * S);

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	CHECK_INT(process_table_ended(table, &p), 0);
	by_pid(10)->open = SERIES_GROUP_CPU;
	look(105 * S, NULL, 0);
	process_table_next(table);
	CHECK(by_pid(10));
	by_pid(10)->open = 0;
	look(110 * S, NULL, 0);
	process_table_next(table);
	CHECK(!by_pid(10));
}

TEST(those_that_came_and_went_are_summed_per_container_and_command)
{
	struct ebb_process a = make(20, 101 * S, "cc1", 2 * MS),
			   b = make(21, 102 * S, "cc1", 3 * MS),
			   c = make(22, 103 * S, "ld", 5 * MS),
			   d = make(23, 103 * S, "cc1", 7 * MS);

	d.container_id = 8;
	a.write_bytes = 10;
	b.write_bytes = 20;
	b.stime_ns = 4 * MS; /* one tick, of the kernel's */
	begin(8);
	look(100 * S, NULL, 0);
	process_table_next(table);
	CHECK_INT(process_table_ended(table, &a), 0);
	CHECK_INT(process_table_ended(table, &b), 0);
	look(105 * S, NULL, 0);
	CHECK_INT(process_table_ended(table, &c), 0); /* found by the look's own drain */
	CHECK_INT(process_table_ended(table, &d), 0);
	CHECK_INT(process_table_count(table), 0);
	CHECK_INT(process_table_gone_count(table), 3);
	const struct process_gone *gone = process_table_gone_at(table, 0);
	CHECK_STR(gone->comm, "cc1");
	CHECK_INT(gone->container_id, 7);
	CHECK_INT(gone->count, 2);
	CHECK_INT(gone->use.runtime_ns, 5 * MS);
	CHECK_INT(gone->use.kernel_ns, 5 * MS);
	CHECK_INT(gone->use.write_bytes, 30);
	CHECK_STR(process_table_gone_at(table, 1)->comm, "ld");
	CHECK_INT(process_table_gone_at(table, 2)->container_id, 8);

	/* What was not opened is forgotten; what was comes back under its own name. */
	process_table_gone_at(table, 1)->open = SERIES_GROUP_CPU;
	process_table_gone_at(table, 1)->tags = strdup("tags");
	process_table_next(table);
	CHECK_INT(process_table_gone_count(table), 1);
	gone = process_table_gone_at(table, 0);
	CHECK_STR(gone->comm, "ld");
	CHECK_STR(gone->tags, "tags");
	CHECK_INT(gone->use.runtime_ns, 0);
	c.start_ns = 106 * S;
	CHECK_INT(process_table_ended(table, &c), 0);
	CHECK_INT(process_table_gone_count(table), 1);
	CHECK_INT(gone->use.runtime_ns, 5 * MS);
}

TEST(rests_of_a_longer_name_do_not_make_another_command)
{
	struct ebb_process a = make(20, 101 * S, "sh", MS), b = make(21, 101 * S, "sh", MS);

	memcpy(b.comm + 3, "ld-name", 8);
	begin(8);
	look(100 * S, NULL, 0);
	process_table_next(table);
	CHECK_INT(process_table_ended(table, &a), 0);
	CHECK_INT(process_table_ended(table, &b), 0);
	CHECK_INT(process_table_gone_count(table), 1);
}

TEST(more_commands_than_there_is_room_for_are_told)
{
	struct ebb_process a = make(20, 101 * S, "a", MS), b = make(21, 101 * S, "b", MS);

	begin(1);
	look(100 * S, NULL, 0);
	process_table_next(table);
	CHECK_INT(process_table_ended(table, &a), 0);
	CHECK_INT(process_table_ended(table, &b), -ENOBUFS);
	CHECK_INT(process_table_ended(table, &a), 0);
	CHECK_INT(process_table_gone_at(table, 0)->count, 2);
}

TEST(an_end_before_the_first_interval_says_nothing)
{
	struct ebb_process p = make(20, 99 * S, "a", MS);

	begin(4);
	CHECK_INT(process_table_ended(table, &p), 0);
	look(100 * S, NULL, 0);
	CHECK_INT(process_table_ended(table, &p), 0);
	CHECK_INT(process_table_gone_count(table), 0);
}

TEST(user_and_kernel_add_up_and_never_fall)
{
	struct ebb_process p = make(10, 50 * S, "a", 0);
	/* runtime, utime, stime in ms; the ratio jumps to and fro, as ticks make it. */
	static const unsigned steps[][3] = {{10, 0, 0},   {20, 0, 4},   {21, 4, 4},  {40, 40, 4},
					    {41, 40, 44}, {41, 44, 44}, {90, 44, 48}};
	uint64_t user = 0, kernel = 0;

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct process *process;

		p.runtime_ns = steps[i][0] * MS;
		p.utime_ns = steps[i][1] * MS;
		p.stime_ns = steps[i][2] * MS;
		look((105 + i) * S, &p, 1);
		process = by_pid(10);
		CHECK_INT(process->use.user_ns + process->use.kernel_ns, process->use.runtime_ns);
		CHECK(process->use.runtime_ns <= 50 * MS);
		user += process->use.user_ns;
		kernel += process->use.kernel_ns;
		CHECK_INT(user, process->user_ns);
		CHECK_INT(kernel, process->kernel_ns);
		process_table_next(table);
	}
	CHECK_INT(user + kernel, 90 * MS);
	CHECK(user > 0 && kernel > 0);
}

TEST(numbers_that_fall_count_as_standing_still_until_they_are_made_up_for)
{
	struct ebb_process p = make(10, 50 * S, "a", 40 * S);

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	p.runtime_ns = 39 * S; /* a thread ended while it was looked at */
	look(105 * S, &p, 1);
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
	process_table_next(table);
	p.runtime_ns = 43 * S;
	look(110 * S, &p, 1);
	CHECK_INT(by_pid(10)->use.runtime_ns, 3 * S);
}

TEST(exec_goes_on_under_the_new_name_and_closes_the_old_series)
{
	struct ebb_process p = make(10, 50 * S, "sh", 40 * S);

	begin(4);
	look(100 * S, &p, 1);
	process_table_next(table);
	by_pid(10)->open = SERIES_GROUP_MEM;
	by_pid(10)->tags = strdup("sh-tags");
	snprintf(p.comm, sizeof(p.comm), "java");
	p.runtime_ns += S;
	look(105 * S, &p, 1);
	CHECK_STR(by_pid(10)->last.comm, "java");
	CHECK_INT(by_pid(10)->use.runtime_ns, S);
	CHECK(!by_pid(10)->tags);
	CHECK_INT(by_pid(10)->open, 0);
	CHECK_STR(by_pid(10)->closing_tags, "sh-tags");
	CHECK_INT(by_pid(10)->closing, SERIES_GROUP_MEM);
}

TEST(what_is_next_to_nothing_is_not_worth_a_series)
{
	double values[SERIES_BASE_MAX] = {[SERIES_CPU_USER] = 0.02,
					  [SERIES_CPU_KERNEL] = 0.02,
					  [SERIES_RESIDENT] = 9.99,
					  [SERIES_VIRTUAL] = 1000,
					  [SERIES_READS] = 0.049};

	CHECK_INT(series_groups_worth(values), 0);
	values[SERIES_CPU_KERNEL] = 0.03;
	CHECK_INT(series_groups_worth(values), SERIES_GROUP_CPU);
	values[SERIES_RESIDENT] = 10;
	CHECK_INT(series_groups_worth(values), SERIES_GROUP_CPU | SERIES_GROUP_MEM);
	values[SERIES_WRITES] = 0.01;
	CHECK_INT(series_groups_worth(values),
		  SERIES_GROUP_CPU | SERIES_GROUP_MEM | SERIES_GROUP_DISK);
}

TEST(what_could_not_be_written_stays_for_the_next_intervals_but_not_for_ever)
{
	struct ebb_process p = make(10, 101 * S, "a", 2 * S), short_one = make(11, 101 * S, "b", S);

	begin(4);
	look(100 * S, NULL, 0);
	process_table_next(table);
	CHECK_INT(process_table_ended(table, &short_one), 0);
	look(105 * S, &p, 1);
	by_pid(10)->keep = process_table_gone_at(table, 0)->keep = true;
	process_table_next(table);
	p.runtime_ns += S;
	CHECK_INT(process_table_ended(table, &p), 0);
	look(110 * S, NULL, 0);
	CHECK_INT(by_pid(10)->use.runtime_ns, 3 * S);
	CHECK_INT(process_table_gone_at(table, 0)->use.runtime_ns, S);
	for (int i = 0; i < 2; i++) {
		by_pid(10)->keep = process_table_gone_at(table, 0)->keep = true;
		process_table_next(table);
		if (i == 0) {
			CHECK(by_pid(10));
			CHECK_INT(process_table_gone_count(table), 1);
		}
	}
	CHECK(!by_pid(10));
	CHECK_INT(process_table_gone_count(table), 0);
}

TEST(an_old_process_seen_for_the_first_time_is_unknown_for_that_interval)
{
	struct ebb_process p[] = {make(10, 50 * S, "old", 40 * S), make(11, 101 * S, "new", S)};

	begin(4);
	look(100 * S, NULL, 0);
	process_table_next(table);
	look(105 * S, p, 2);
	CHECK(by_pid(10)->unknown);
	CHECK(!by_pid(11)->unknown);
	process_table_next(table);
	look(110 * S, p, 2);
	CHECK(!by_pid(10)->unknown);
}

TEST(sums_of_an_unsteady_process_wait_for_the_next_look)
{
	struct ebb_process p[] = {make(10, 50 * S, "known", 40 * S),
				  make(11, 101 * S, "born", 2 * S),
				  make(12, 60 * S, "overlooked", 20 * S)};

	begin(4);
	look(100 * S, p, 1);
	process_table_next(table);
	for (int i = 0; i < 3; i++)
		p[i].flags = EBB_PROCESS_UNSTEADY;
	p[0].runtime_ns = 99 * S;
	p[0].rss_pages = 101;
	look(105 * S, p, 3);
	CHECK_INT(by_pid(10)->use.runtime_ns, 0);
	CHECK_INT(by_pid(10)->use.rss_pages, 101);
	CHECK_INT(by_pid(11)->use.runtime_ns, 0);
	CHECK(!by_pid(12));
	process_table_next(table);
	for (int i = 0; i < 3; i++)
		p[i].flags = 0;
	p[0].runtime_ns = 43 * S;
	look(110 * S, p, 3);
	CHECK_INT(by_pid(10)->use.runtime_ns, 3 * S);
	CHECK_INT(by_pid(11)->use.runtime_ns, 2 * S);
	CHECK_INT(by_pid(12)->use.runtime_ns, 0);
}

TEST(many_come_and_go_without_the_table_growing)
{
	begin(4);
	for (unsigned round = 1; round <= 50; round++) {
		process_table_look(table, (100 + 5ULL * round) * S);
		for (unsigned i = 0; i < 1000; i++) {
			struct ebb_process p =
				make(round * 1000 + i, (101 + 5ULL * round) * S, "x", 1);

			CHECK_INT(process_table_add(table, &p), 0);
		}
		process_table_seen(table);
		process_table_next(table);
		CHECK(process_table_count(table) <= 3000);
	}
}

TEST_MAIN()
