/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf_objects.h"
#include <unistd.h>

#include "test.h"

static struct ebb_cpu cpus[EBB_MAX_CPUS];

/* A host whose controllers are mounted so: `shared` names the first one in the same mount. */
static struct ebb_host host_of(const int versions[CGROUP_CONTROLLER_MAX],
			       const enum cgroup_controller shared[CGROUP_CONTROLLER_MAX])
{
	static char mount[] = "/sys/fs/cgroup";
	struct hierarchies hierarchies = {0};
	struct ebb_host host;

	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		hierarchies.by_controller[c] = (struct hierarchy){
			.mount = versions[c] ? mount : NULL,
			.version = versions[c],
			.shared = shared[c],
		};
	CHECK_INT(host_facts(&hierarchies, &host, cpus), 0);
	return host;
}

TEST(on_v2_one_reference_serves_all)
{
	struct ebb_host host =
		host_of((int[]){2, 2, 2, 2, 2}, (enum cgroup_controller[]){0, 0, 0, 0, 0});

	for (int what = 0; what < EBB_HELD_MAX; what++)
		CHECK_INT(host.at[what], EBB_HELD_CPU);
	CHECK_INT(host.v2, 0xf);
	CHECK_INT(host.missing, 0);
}

TEST(on_v1_each_mount_has_its_reference)
{
	struct ebb_host host =
		host_of((int[]){1, 1, 1, 1, 1},
			(enum cgroup_controller[]){CGROUP_CPU, CGROUP_CPUACCT, CGROUP_CPUSET,
						   CGROUP_MEMORY, CGROUP_IO});

	for (int what = 0; what < EBB_HELD_MAX; what++)
		CHECK_INT(host.at[what], what);
	CHECK_INT(host.v2, 0);
}

TEST(controllers_mounted_together_share_a_reference)
{
	/* cpu,cpuacct as distributions mount them; cpuset,memory as nobody does */
	struct ebb_host host =
		host_of((int[]){1, 1, 1, 1, 1},
			(enum cgroup_controller[]){CGROUP_CPU, CGROUP_CPU, CGROUP_CPUSET,
						   CGROUP_CPUSET, CGROUP_IO});

	CHECK_INT(host.at[EBB_HELD_CPU], EBB_HELD_CPU);
	CHECK_INT(host.at[EBB_HELD_CPUACCT], EBB_HELD_CPU);
	CHECK_INT(host.at[EBB_HELD_MEMORY], EBB_HELD_MEMORY);
	CHECK_INT(host.at[EBB_HELD_IO], EBB_HELD_IO);
}

TEST(a_controller_the_host_lacks_is_missing_and_hybrids_are_told_apart)
{
	struct ebb_host host =
		host_of((int[]){1, 0, 1, 2, 2},
			(enum cgroup_controller[]){CGROUP_CPU, CGROUP_CPUACCT, CGROUP_CPUSET,
						   CGROUP_MEMORY, CGROUP_MEMORY});

	CHECK_INT(host.missing, 1 << EBB_HELD_CPUACCT);
	CHECK_INT(host.v2, 1 << EBB_HELD_MEMORY | 1 << EBB_HELD_IO);
	CHECK_INT(host.at[EBB_HELD_IO], EBB_HELD_MEMORY);
}

TEST(the_host_has_cpus_a_node_and_pages)
{
	struct ebb_host host =
		host_of((int[]){2, 2, 2, 2, 2}, (enum cgroup_controller[]){0, 0, 0, 0, 0});

	CHECK(host.n_cpus >= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
	CHECK(host.n_nodes >= 1);
	CHECK(host.zones != 0);
	CHECK_INT(1L << host.page_shift, sysconf(_SC_PAGESIZE));
}

TEST(zones_are_numbered_by_their_place_in_each_node)
{
	static const char text[] = "Node 0, zone      DMA\n"
				   "  per-node stats\n"
				   "      nr_inactive_anon 36\n"
				   "  pages free     2816\n"
				   "        spanned  4095\n"
				   "        present  3998\n"
				   "Node 0, zone    DMA32\n"
				   "        present  782298\n"
				   "Node 0, zone   Normal\n"
				   "        present  0\n"
				   "Node 0, zone  Movable\n"
				   "        present  0\n"
				   "Node 1, zone      DMA\n"
				   "        present  0\n"
				   "Node 1, zone    DMA32\n"
				   "        present  0\n"
				   "Node 1, zone   Normal\n"
				   "        present  5505024\n";

	CHECK_INT(zones_with_pages(text), 1 | 2 | 4);
	CHECK_INT(zones_with_pages(""), 0);
}

static struct ebb_host host_of_size(const char *possible, const char *nodes)
{
	struct ebb_host host = {0};
	struct cpu_list list;

	CHECK_INT(cpu_list_parse(possible, &list), 0);
	host_set_cpus(&list, &host, cpus);
	cpu_list_clear(&list);
	CHECK_INT(cpu_list_parse(nodes, &list), 0);
	host_set_nodes(&list, &host);
	cpu_list_clear(&list);
	return host;
}

TEST(ids_of_many_cpus_with_holes)
{
	struct ebb_host host = host_of_size("0-63,128-511,4000", "0,7");
	char why_not[200];

	CHECK_INT(host.n_cpus, 449);
	CHECK_INT(cpus[63].id, 63);
	CHECK_INT(cpus[64].id, 128);
	CHECK_INT(cpus[448].id, 4000);
	CHECK_INT(host.nodes[1], 7);
	CHECK(host_fits(&host, why_not, sizeof(why_not)));
}

TEST(a_host_beyond_the_programs_is_said_not_cut)
{
	char why_not[200] = "";
	struct ebb_host host = host_of_size("0-4094", "0-63");

	CHECK(host_fits(&host, why_not, sizeof(why_not)));
	host = host_of_size("0-4095", "0");
	CHECK(!host_fits(&host, why_not, sizeof(why_not)));
	CHECK_STR(why_not, "4096 CPUs are possible here, its programs sum over 4095");
	host = host_of_size("0-8191", "0");
	CHECK(!host_fits(&host, why_not, sizeof(why_not)));
	host = host_of_size("0-511", "0-64");
	CHECK(!host_fits(&host, why_not, sizeof(why_not)));
	CHECK_STR(why_not, "65 NUMA nodes have memory, its programs sum over 64");
}

TEST_MAIN()
