/* SPDX-License-Identifier: Apache-2.0 */
#include "core_order.h"

#include <errno.h>

#include "ebb/cleanup.h"
#include "../../test.h"

static const char *order_with(enum core_distribution distribution, const char *topology,
			      const char *nodes)
{
	static char text[2048];
	_cleanup_json_ json_t *parsed = json_loads(topology, 0, NULL);
	_cleanup_json_ json_t *parsed_nodes = nodes ? json_loads(nodes, 0, NULL) : NULL;
	struct cpu_list order = {0};
	char *formatted;
	int r;

	r = core_order(distribution, parsed, parsed_nodes, &order);
	if (r < 0) {
		snprintf(text, sizeof(text), "%s", r == -EINVAL ? "refused" : "another error");
		return text;
	}
	formatted = cpu_list_format(&order);
	snprintf(text, sizeof(text), "%s", formatted ? formatted : "");
	free(formatted);
	cpu_list_clear(&order);
	return text;
}

static const char *order_of(const char *topology)
{
	return order_with(CORES_GROUP_PP_LL, topology, NULL);
}

/* Two sockets of two cores of two threads: the example of spec 6.6. */
#define TWO_SOCKETS "{\"0\":{\"0\":[0,4],\"1\":[1,5]},\"1\":{\"0\":[2,6],\"1\":[3,7]}}"

TEST(the_five_distributions_of_the_original)
{
	CHECK_STR(order_with(CORES_GROUP_PL, TWO_SOCKETS, NULL), "0,4,1,5,2,6,3,7");
	CHECK_STR(order_with(CORES_GROUP_1P_2L, TWO_SOCKETS, NULL), "0,1,4,5,2,3,6,7");
	CHECK_STR(order_with(CORES_GROUP_PP_LL, TWO_SOCKETS, NULL), "0,1,2,3,4,5,6,7");
	CHECK_STR(order_with(CORES_SPREAD_PL, TWO_SOCKETS, NULL), "2,6,0,4,3,7,1,5");
	CHECK_STR(order_with(CORES_SPREAD_PP_LL, TWO_SOCKETS, NULL), "2,0,3,1,6,4,7,5");
	CHECK_STR(order_with(CORES_NONE, TWO_SOCKETS, NULL), "0,1,2,3,4,5,6,7");
	CHECK_STR(order_with(CORES_MAX, TWO_SOCKETS, NULL), "refused");
}

TEST(a_numa_node_is_filled_before_the_next)
{
	/* One socket of four cores in two nodes, as with sub-NUMA clustering. */
	const char *topology = "{\"0\":{\"0\":[0,4],\"1\":[1,5],\"2\":[2,6],\"3\":[3,7]}}";

	CHECK_STR(order_with(CORES_GROUP_NUMA, topology, "{\"1\":[0,4,2,6],\"0\":[1,5,3,7]}"),
		  "1,3,5,7,0,2,4,6");
	/* By number, not by letter; a CPU that no node names comes last. */
	CHECK_STR(order_with(CORES_GROUP_NUMA, topology, "{\"10\":[0,4],\"9\":[1,5,3,7]}"),
		  "1,3,5,7,0,4,2,6");
	/* One node over two sockets. */
	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, "{\"0\":[0,1,2,3,4,5,6,7]}"),
		  "0,1,2,3,4,5,6,7");
}

TEST(sockets_stand_for_nodes_that_nobody_tells)
{
	const char *want = "0,1,4,5,2,3,6,7";

	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, NULL), want);
	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, "[]"), want);
	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, "{\"x\":[0]}"), want);
	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, "{\"0\":[-1]}"), want);
	CHECK_STR(order_with(CORES_GROUP_NUMA, TWO_SOCKETS, "{\"0\":0}"), want);
}

TEST(spreading_over_uneven_sockets)
{
	/* Core numbers count within their socket. */
	const char *topology = "{\"0\":{\"0\":[0],\"4\":[1],\"9\":[2]},\"1\":{\"7\":[3,13]},"
			       "\"2\":{\"1\":[4],\"2\":[5]}}";

	CHECK_STR(order_with(CORES_SPREAD_PL, topology, NULL), "4,3,13,0,5,1,2");
	CHECK_STR(order_with(CORES_SPREAD_PP_LL, topology, NULL), "4,3,0,5,1,2,13");
	CHECK_STR(order_with(CORES_GROUP_PL, topology, NULL), "0,1,2,3,13,4,5");
}

TEST(sockets_and_cores_count_by_number)
{
	CHECK_STR(order_of("{\"10\":{\"0\":[9]},\"2\":{\"11\":[5],\"3\":[7]}}"), "7,5,9");
}

TEST(holes_and_uneven_threads)
{
	CHECK_STR(order_of("{\"0\":{\"0\":[2,130],\"4\":[6],\"8\":[300,428]}}"), "2,6,300,130,428");
	CHECK_STR(order_of("{\"0\":{\"0\":[0,1,2,3],\"1\":[4,5,6,7]}}"), "0,4,1,5,2,6,3,7");
	CHECK_STR(order_of("{\"0\":{\"0\":[0,1],\"1\":[2,3]}}"), "0,2,1,3");
}

TEST(what_is_no_topology_is_refused)
{
	CHECK_STR(order_of("{}"), "refused");
	CHECK_STR(order_of("[]"), "refused");
	CHECK_STR(order_of("{\"0\":[0,1]}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":0}}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":[]}}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":[0,\"1\"]}}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":[-1]}}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":[70000]}}"), "refused");
	CHECK_STR(order_of("{\"0\":{\"0\":[0,0]}}"), "refused");
	CHECK_STR(order_of("{\"zero\":{\"0\":[0]}}"), "refused");
}

TEST(names)
{
	for (int i = 0; i < CORES_MAX; i++) {
		_cleanup_json_ json_t *name = json_string(core_distribution_name(i));

		CHECK_INT(core_distribution_from_json(name), i);
		CHECK(strstr(core_distribution_names(), core_distribution_name(i)));
	}
	_cleanup_json_ json_t *wrong = json_string("group_pp_ll");

	CHECK_INT(core_distribution_from_json(wrong), CORES_MAX);
	CHECK_INT(core_distribution_from_json(NULL), CORES_MAX);
	CHECK_INT(core_distribution_from_json(json_true()), CORES_MAX);
}

TEST_MAIN()
