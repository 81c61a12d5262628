/* SPDX-License-Identifier: Apache-2.0 */
#include "io_carry.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../test.h"
#include "../bpf/sampler.h"
#include "ebb/log.h"

static char dir[32], path[64];
static struct io_carry *carry;

static void clean_up(void *unused)
{
	io_carry_free(carry);
	carry = NULL;
	unlink(path);
	rmdir(dir);
}

static void set_up(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/ebb-carry-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/counts", dir);
	test_at_end(clean_up, NULL);
}

static void load(const char *boot_id)
{
	io_carry_free(carry);
	carry = NULL;
	CHECK_INT(io_carry_load(path, boot_id, &carry), 0);
}

static void save(void)
{
	const uint64_t ids[] = {7, UINT64_MAX};
	const struct ebb_io_count counts[] = {{1, 2, 3, 4}, {UINT64_MAX, 0, 5, 0}};

	CHECK_INT(io_carry_save(path, "boot-1", ids, counts, 2), 0);
}

TEST(counts_go_on_in_the_next_run)
{
	struct ebb_io_count count = {0};

	set_up();
	save();
	load("boot-1");
	CHECK(io_carry_take(carry, 7, &count));
	CHECK_INT(count.read_bytes, 1);
	CHECK_INT(count.write_bytes, 2);
	CHECK_INT(count.read_ops, 3);
	CHECK_INT(count.write_ops, 4);
	/* Once: an id that comes again is another cgroup. */
	CHECK(!io_carry_take(carry, 7, &count));
	CHECK(io_carry_take(carry, UINT64_MAX, &count));
	CHECK(count.read_bytes == UINT64_MAX);
	CHECK(!io_carry_take(carry, 8, &count));
	CHECK(!io_carry_take(NULL, 8, &count));
}

TEST(the_file_is_good_once)
{
	struct ebb_io_count count;

	set_up();
	save();
	load("boot-1");
	CHECK(access(path, F_OK) < 0);
	load("boot-1");
	CHECK(!io_carry_take(carry, 7, &count));
}

TEST(another_boot_has_other_cgroups)
{
	struct ebb_io_count count;

	set_up();
	save();
	load("boot-2");
	CHECK(!io_carry_take(carry, 7, &count));
	CHECK(access(path, F_OK) < 0);
}

TEST(what_is_damaged_ends_the_reading)
{
	struct ebb_io_count count;
	FILE *f;

	set_up();
	f = fopen(path, "w");
	CHECK(f);
	fputs("boot-1\n7 1 2 3 4\nrubbish\n8 1 2 3 4\n", f);
	CHECK_INT(fclose(f), 0);
	load("boot-1");
	CHECK(io_carry_take(carry, 7, &count));
	CHECK(!io_carry_take(carry, 8, &count));
}

TEST(what_cannot_be_written_is_an_error)
{
	CHECK_INT(io_carry_save("/nonexistent/x", "b", NULL, NULL, 0), -ENOENT);
}

TEST_MAIN()
