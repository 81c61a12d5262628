/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "subtree.h"

TEST(names_of_controllers)
{
	char text[64];

	subtree_names(0, text, sizeof(text));
	CHECK_STR(text, "");
	subtree_names(1U << CGROUP_IO, text, sizeof(text));
	CHECK_STR(text, "io");
	subtree_names(1U << CGROUP_IO | 1U << CGROUP_CPU, text, sizeof(text));
	CHECK_STR(text, "cpu and io");
	subtree_names(SUBTREE_ALL, text, sizeof(text));
	CHECK_STR(text, "cpu, cpuset, memory and io");
}

TEST(controllers_by_name)
{
	unsigned one = 0;

	CHECK_INT(subtree_parse("cpuset", &one), 0);
	CHECK_INT(one, 1U << CGROUP_CPUSET);
	CHECK_INT(subtree_parse("io", &one), 0);
	CHECK_INT(one, 1U << CGROUP_IO);
	CHECK_INT(subtree_parse("blkio", &one), -EINVAL);
	CHECK_INT(subtree_parse("", &one), -EINVAL);
	CHECK_INT(subtree_parse("cpu ", &one), -EINVAL);
	CHECK_INT(one, 1U << CGROUP_IO);
}

TEST_MAIN()
