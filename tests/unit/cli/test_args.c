/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "args.h"

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

TEST(options_stand_anywhere)
{
	const char *value = NULL, *error, *word;
	bool flag = false;
	const struct arg_option options[] = {{"--cpu", 0, NULL, &value},
					     {"--json", 'j', &flag, NULL}};
	char **argv = WORDS("web", "--cpu", "20..200", "-j", "db");

	CHECK_INT(args_parse(argv, options, 2, false, &error, &word), 2);
	CHECK_STR(argv[0], "web");
	CHECK_STR(argv[1], "db");
	CHECK(!argv[2]);
	CHECK_STR(value, "20..200");
	CHECK(flag);
}

TEST(a_value_may_follow_an_equals_sign)
{
	const char *value = NULL, *error, *word;
	const struct arg_option options[] = {{"--cpu", 0, NULL, &value}};
	char **argv = WORDS("--cpu=0.2c..2c");

	CHECK_INT(args_parse(argv, options, 1, false, &error, &word), 0);
	CHECK_STR(value, "0.2c..2c");
}

TEST(unknown_options_are_refused_or_passed_on)
{
	const char *error = NULL, *word = NULL;
	char **argv = WORDS("ps", "--nonsense");

	CHECK_INT(args_parse(argv, NULL, 0, false, &error, &word), -EINVAL);
	CHECK_STR(word, "--nonsense");
	argv = WORDS("ps", "--nonsense");
	CHECK_INT(args_parse(argv, NULL, 0, true, &error, &word), 2);
	CHECK_STR(argv[1], "--nonsense");
}

TEST(a_missing_value_is_refused)
{
	const char *value = NULL, *error, *word;
	const struct arg_option options[] = {{"--cpu", 0, NULL, &value}};
	char **argv = WORDS("web", "--cpu");

	CHECK_INT(args_parse(argv, options, 1, false, &error, &word), -EINVAL);
	CHECK_STR(word, "--cpu");
}

TEST(a_flag_takes_no_value)
{
	const char *error, *word;
	bool flag = false;
	const struct arg_option options[] = {{"--json", 0, &flag, NULL}};
	char **argv = WORDS("--json=yes");

	CHECK_INT(args_parse(argv, options, 1, false, &error, &word), -EINVAL);
	CHECK(!flag);
}

TEST(two_dashes_end_the_options)
{
	const char *error, *word;
	bool flag = false;
	const struct arg_option options[] = {{"--json", 0, &flag, NULL}};
	char **argv = WORDS("why", "--", "--json");

	/* The first parser leaves the dashes for the second. */
	CHECK_INT(args_parse(argv, options, 1, true, &error, &word), 3);
	CHECK_INT(args_parse(argv, options, 1, false, &error, &word), 2);
	CHECK_STR(argv[1], "--json");
	CHECK(!flag);
}

TEST_MAIN()
