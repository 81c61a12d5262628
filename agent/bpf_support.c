/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bpf_objects.h"

bool btf_has(const struct btf *btf, const char *name, unsigned kind)
{
	return btf__find_by_name_kind(btf, name, kind) > 0;
}

/*
 * libbpf looks there for each function that the kernel itself has not. Before 1.3 it refuses the
 * whole object when it may not (CAP_SYS_ADMIN), also where no program with that function is to be
 * loaded; but it tries only once. So that is done here, where failing has no effect.
 */
void bpf_leave_modules_out(struct bpf_object *object)
{
	struct bpf_program *program = bpf_object__next_program(object, NULL);
	__u32 id = 0;

	if (program && bpf_btf_get_next_id(0, &id) < 0 && errno == EPERM)
		bpf_program__set_attach_target(program, 0, "no function of this name");
}

static const char *first_missing(const struct btf *btf, const char *const *functions)
{
	for (; *functions; functions++)
		if (!btf_has(btf, *functions, BTF_KIND_FUNC))
			return *functions;
	return NULL;
}

/* A compiler that knows no type tags leaves an object whose map holds plain pointers. */
static bool object_has_kptr(void)
{
	struct held_bpf *held = held_bpf__open();
	const struct btf *btf = held ? bpf_object__btf(held->obj) : NULL;
	bool found = false;

	for (unsigned id = 1; btf && !found && id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		found = btf_is_type_tag(type) &&
			strcmp(btf__name_by_offset(btf, type->name_off), "kptr") == 0;
	}
	held_bpf__destroy(held);
	return found;
}

static void probe_btf(const struct btf *btf, struct bpf_support *support)
{
	static const char *const for_held[] = {
		"bpf_iter_cgroup", "bpf_cgroup_acquire", "bpf_cgroup_release",  "bpf_rcu_read_lock",
		"bpf_rdonly_cast", "bpf_iter_num_new",   "bpf_rcu_read_unlock", NULL};
	static const char *const for_walk[] = {"bpf_iter_cgroup", NULL};
	static const char *const tracepoints[] = {
		"btf_trace_cgroup_mkdir", "btf_trace_cgroup_rmdir", "btf_trace_cgroup_rename",
		"btf_trace_cgroup_attach_task", NULL};
	const char *missing;

	support->lifecycle = true;
	for (const char *const *name = tracepoints; *name; name++)
		support->lifecycle &= btf_has(btf, *name, BTF_KIND_TYPEDEF);
	support->block_io = btf_has(btf, "btf_trace_block_bio_queue", BTF_KIND_TYPEDEF);

	support->tasks = btf_has(btf, "bpf_iter_task", BTF_KIND_FUNC) &&
			 btf_has(btf, "btf_trace_sched_process_free", BTF_KIND_TYPEDEF);

	missing = first_missing(btf, for_walk);
	support->walk = !missing;
	if (missing)
		snprintf(support->why_not_walk, sizeof(support->why_not_walk),
			 "the kernel has no %s (it came with Linux 6.1)", missing);

	missing = first_missing(btf, for_held);
	if (missing)
		snprintf(support->why_not_held, sizeof(support->why_not_held),
			 "the kernel has no %s (all came by Linux 6.4)", missing);
	else if (!btf_has(btf, "btf_trace_cgroup_rmdir", BTF_KIND_TYPEDEF))
		snprintf(support->why_not_held, sizeof(support->why_not_held),
			 "the kernel does not trace cgroup_rmdir");
	else if (!object_has_kptr())
		snprintf(support->why_not_held, sizeof(support->why_not_held),
			 "Ebb was built with a clang that does not mark references (16 does)");
	else
		support->held = true;
}

struct btf *bpf_support_probe_btf(struct bpf_support *ret_support)
{
	struct bpf_support support = {0};
	struct btf *btf = btf__load_vmlinux_btf();

	if (libbpf_get_error(btf)) {
		btf = NULL;
		snprintf(support.why_not_held, sizeof(support.why_not_held),
			 "no BTF in /sys/kernel/btf/vmlinux");
		memcpy(support.why_not_walk, support.why_not_held, sizeof(support.why_not_walk));
	} else {
		support.btf = true;
		probe_btf(btf, &support);
	}
	*ret_support = support;
	return btf;
}

void bpf_support_probe(struct bpf_support *ret_support)
{
	btf__free(bpf_support_probe_btf(ret_support));
}

bool btf_tracepoint_passes_pointer(const struct btf *btf, const char *typedef_name)
{
	int id = btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF);
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;

	type = type ? btf__type_by_id(btf, type->type) : NULL; /* pointer */
	type = type ? btf__type_by_id(btf, type->type) : NULL; /* to the function */
	if (!type || !btf_is_func_proto(type) || btf_vlen(type) < 2)
		return false;
	id = btf__resolve_type(btf, btf_params(type)[1].type);
	type = id > 0 ? btf__type_by_id(btf, id) : NULL;
	return type && btf_is_ptr(type);
}
