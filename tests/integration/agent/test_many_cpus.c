/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts with more CPUs than this one: to the verifier their number is a constant, and it looks at
 * some loops over them once per CPU. So the programs are loaded as they would be there, up to the
 * most that there is room for. They are not run.
 */
#include <bpf/btf.h>
#include <unistd.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"
#include "test.h"

static const unsigned numbers[] = {33, 65, 257, EBB_MAX_CPUS - 1};

static struct ebb_host host_with(unsigned n_cpus, bool v2)
{
	struct ebb_host host = {
		.n_cpus = n_cpus,
		.n_nodes = EBB_MAX_NODES,
		.zones = 0x3f,
		.page_shift = 12,
		.at = {EBB_HELD_CPU, EBB_HELD_CPUACCT, EBB_HELD_MEMORY, EBB_HELD_IO},
	};

	if (v2) {
		host.v2 = (1U << EBB_HELD_MAX) - 1;
		memset(host.at, 0, sizeof(host.at));
	}
	for (unsigned i = 0; i < EBB_MAX_NODES; i++)
		host.nodes[i] = i;
	return host;
}

/* Of all, each with v1 and with v2. Emulated, where the largest takes 20 s: 257 CPUs with v2. */
static bool is_asked_for(int i)
{
	return !getenv("EBB_TEST_EMULATED") || i == 5;
}

#define LOADS(kind, object, set_up)                                                               \
	do {                                                                                      \
		for (int i = 0; i < 2 * (int)ARRAY_SIZE(numbers); i++) {                          \
			unsigned n = numbers[i / 2];                                              \
			struct kind##_bpf *object;                                                \
			int r;                                                                    \
                                                                                                  \
			if (!is_asked_for(i))                                                     \
				continue;                                                         \
			object = kind##_bpf__open();                                              \
			CHECK(object);                                                            \
			object->rodata->host = host_with(n, i % 2);                               \
			set_up;                                                                   \
			r = kind##_bpf__load(object);                                             \
			kind##_bpf__destroy(object);                                              \
			if (r < 0)                                                                \
				TEST_FAIL("%u CPUs, cgroup v%d: %s", n, 1 + i % 2, strerror(-r)); \
		}                                                                                 \
	} while (0)

static struct bpf_support support;
static bool plain_loads; /* for the programs that choose at load time */

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static void probe(void)
{
	struct btf *btf;

	if (geteuid() != 0)
		SKIP("loading BPF programs needs root");
	libbpf_set_print(silent);
	bpf_support_probe(&support);
	btf = btf__load_vmlinux_btf();
	CHECK(libbpf_get_error(btf) == 0);
	plain_loads = btf_has(btf, "bpf_rdonly_cast", BTF_KIND_FUNC);
	btf__free(btf);
}

TEST(held_sampler_loads_for_thousands_of_cpus)
{
	probe();
	if (!support.held)
		SKIP("no held sampler on this kernel: %s", support.why_not_held);
	LOADS(held, held, (void)0);
}

TEST(walking_sampler_loads_for_thousands_of_cpus)
{
	probe();
	if (!support.walk)
		SKIP("no walking sampler on this kernel: %s", support.why_not_walk);
	LOADS(walk, walk, (void)0);
}

TEST(tasks_load_for_thousands_of_cpus)
{
	probe();
	if (!support.tasks)
		SKIP("no iterator over tasks on this kernel");
	LOADS(tasks, tasks, tasks->rodata->plain_loads = plain_loads);
}

TEST_MAIN()
