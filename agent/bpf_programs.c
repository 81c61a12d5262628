/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];
	int n = vsnprintf(line, sizeof(line), format, args);

	if (n > 0 && (size_t)n < sizeof(line) && line[n - 1] == '\n')
		line[n - 1] = '\0';
	if (level != LIBBPF_DEBUG)
		log_debug("libbpf: %s", line);
	return n;
}

int bpf_run(const struct bpf_program *program)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int r = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);

	return r < 0 ? r : (int)opts.retval;
}

int bpf_attach_cgroup_iter(const struct bpf_program *program, int cgroup_fd, int order)
{
	union bpf_iter_link_info info = {.cgroup = {.order = order, .cgroup_fd = cgroup_fd}};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));

	return bpf_link_create(bpf_program__fd(program), 0, BPF_TRACE_ITER, &opts);
}

int bpf_run_iter(int link_fd)
{
	_cleanup_close_ int fd = bpf_iter_create(link_fd);
	char byte;

	if (fd < 0)
		return fd;
	/* The programs print nothing: one read runs them over all cgroups and returns 0. */
	return read(fd, &byte, 1) < 0 ? -errno : 0;
}

static void share_map(struct bpf_map *map, const struct bpf_map *with)
{
	bpf_map__reuse_fd(map, bpf_map__fd(with));
}

#define PREPARE(programs, object)                                                      \
	do {                                                                           \
		bpf_leave_modules_out((object)->obj);                                  \
		share_map((object)->maps.samples, (programs)->maps->maps.samples);     \
		share_map((object)->maps.io_counts, (programs)->maps->maps.io_counts); \
		share_map((object)->maps.cgroups, (programs)->maps->maps.cgroups);     \
	} while (0)

static int load_maps(struct bpf_programs *programs)
{
	unsigned n = programs->max_containers;
	int r;

	programs->maps = maps_bpf__open();
	if (!programs->maps)
		return -errno;
	bpf_map__set_max_entries(programs->maps->maps.samples, n);
	bpf_map__set_max_entries(programs->maps->maps.io_counts, n);
	bpf_map__set_max_entries(programs->maps->maps.cgroups, n * EBB_HELD_MAX);
	r = maps_bpf__load(programs->maps);
	if (r == -EPERM || r == -EACCES)
		return log_error_errno(r, "not allowed to load BPF: run as root, or with CAP_BPF "
					  "and CAP_PERFMON");
	return r < 0 ? log_error_errno(r, "cannot create BPF maps") : 0;
}

static int load_held(struct bpf_programs *programs, const struct ebb_cpu *cpus)
{
	struct held_bpf *held = held_bpf__open();
	int r;

	if (!held)
		return -errno;
	PREPARE(programs, held);
	bpf_map__set_max_entries(held->maps.held_slots, programs->max_containers);
	held->rodata->host = programs->host;
	memcpy(held->bss->cpus, cpus, sizeof(held->bss->cpus));
	bpf_program__set_autoattach(held->progs.hold_cgroup, false); /* cgroup by cgroup */
	r = held_bpf__load(held);
	if (r == 0)
		r = held_bpf__attach(held);
	if (r == 0)
		r = bpf_run(held->progs.setup_percpu);
	if (r < 0) {
		held_bpf__destroy(held);
		return r;
	}
	programs->held = held;
	return 0;
}

static int load_walk(struct bpf_programs *programs, const struct ebb_cpu *cpus)
{
	struct walk_bpf *walk = walk_bpf__open();
	int r;

	if (!walk)
		return -errno;
	PREPARE(programs, walk);
	walk->rodata->host = programs->host;
	memcpy(walk->bss->cpus, cpus, sizeof(walk->bss->cpus));
	r = walk_bpf__load(walk);
	if (r == 0)
		r = bpf_run(walk->progs.setup_percpu);
	if (r < 0) {
		walk_bpf__destroy(walk);
		return r;
	}
	programs->walk = walk;
	return 0;
}

static int load_block_io(struct bpf_programs *programs)
{
	struct block_io_bpf *block_io = block_io_bpf__open();
	int r;

	if (!block_io)
		return -errno;
	PREPARE(programs, block_io);
	r = block_io_bpf__load(block_io);
	if (r == 0)
		r = block_io_bpf__attach(block_io);
	if (r < 0) {
		block_io_bpf__destroy(block_io);
		return r;
	}
	programs->block_io = block_io;
	return 0;
}

static int load_lifecycle(struct bpf_programs *programs, const struct hierarchies *hierarchies,
			  const struct btf *btf)
{
	struct lifecycle_bpf *lifecycle = lifecycle_bpf__open();
	bool oom = hierarchies->by_controller[CGROUP_MEMORY].mount &&
		   btf_has(btf, "btf_trace_mark_victim", BTF_KIND_TYPEDEF);
	bool task = oom && btf_tracepoint_passes_pointer(btf, "btf_trace_mark_victim");
	bool pid = oom && !task && btf_has(btf, "bpf_task_from_pid", BTF_KIND_FUNC);
	unsigned n = 0;
	int r;

	if (!lifecycle)
		return -errno;
	PREPARE(programs, lifecycle);
	bpf_program__set_autoload(lifecycle->progs.oom_victim_task, task);
	bpf_program__set_autoload(lifecycle->progs.oom_victim_pid, pid);
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = &hierarchies->by_controller[c];

		if (hierarchy->mount && hierarchy->shared == (enum cgroup_controller)c &&
		    n < EBB_MAX_HIERARCHIES)
			lifecycle->rodata->hierarchy_ids[n++] = hierarchy->id;
	}
	lifecycle->rodata->n_hierarchies = n;
	lifecycle->rodata->primary_id = hierarchies->by_controller[hierarchies->primary].id;
	r = lifecycle_bpf__load(lifecycle);
	if (r == 0)
		r = lifecycle_bpf__attach(lifecycle);
	if (r < 0) {
		lifecycle_bpf__destroy(lifecycle);
		return r;
	}
	programs->lifecycle = lifecycle;
	return 0;
}

static int v2_root_fd(const struct ebb_host *host, const struct hierarchies *hierarchies)
{
	for (int what = 0; what < EBB_HELD_MAX; what++)
		if (host->v2 & (1U << what))
			return hierarchies->by_controller[held_controller(what)].root_fd;
	return -1;
}

/* With `io`, or without: kernels may come to refuse the way flush_io() gets at its argument. */
static int load_flush(struct bpf_programs *programs, const struct hierarchies *hierarchies,
		      const struct btf *btf, bool io)
{
	bool apart = btf_has(btf, "css_rstat_flush", BTF_KIND_FUNC);
	int root_fd = v2_root_fd(&programs->host, hierarchies);
	struct flush_bpf *flush = flush_bpf__open();
	int r;

	if (!flush)
		return -errno;
	bpf_leave_modules_out(flush->obj);
	bpf_program__set_autoload(flush->progs.flush_all, !apart);
	bpf_program__set_autoload(flush->progs.flush_cpu, apart);
	bpf_program__set_autoload(flush->progs.flush_io, apart && io);
	r = flush_bpf__load(flush);
	if (r < 0) {
		flush_bpf__destroy(flush);
		return r;
	}
	programs->flush = flush;
	r = bpf_attach_cgroup_iter(apart ? flush->progs.flush_cpu : flush->progs.flush_all, root_fd,
				   BPF_CGROUP_ITER_SELF_ONLY);
	if (r < 0)
		return r;
	programs->flush_cpu_link = r;
	if (!io)
		return 0;
	programs->flush_io_apart = apart;
	r = apart ? bpf_attach_cgroup_iter(flush->progs.flush_io, root_fd,
					   BPF_CGROUP_ITER_SELF_ONLY)
		  : fcntl(programs->flush_cpu_link, F_DUPFD_CLOEXEC, 0);
	if (r < 0)
		return r;
	programs->flush_io_link = r;
	return 0;
}

/*
 * On v2, and only there, CPU time can also be had by one flush and the cgroup's own sum, in place
 * of a sum over CPUs: 0.9 us against 0.3 us a container with 2 CPUs. But the sum grows with the
 * CPUs (two cache misses each) and the flush with those that the container ran on, so with many the
 * flush should win; and it has all scheduling classes. Kernels that can only flush all controllers
 * at once are left alone: with memory's counters it costs far more.
 */
#define CPUS_TO_SUM_OVER 32

static void load_flushes(struct bpf_programs *programs, const struct bpf_programs_options *options,
			 const struct btf *btf)
{
	bool io = programs->host.v2 & (1U << EBB_HELD_IO);
	int r = load_flush(programs, options->hierarchies, btf, io);

	if (r < 0 && !programs->flush && io)
		r = load_flush(programs, options->hierarchies, btf, false);
	if (r < 0)
		log_warning_errno(r, "cannot have the kernel sum up cgroup counters");
	/* Counters that nobody sums up stand still. */
	if (io && programs->flush_io_link < 0)
		log_warning("block I/O is as old as the last read of a file io.stat");

	programs->host.cpu_by_flush = programs->flush_cpu_link >= 0 &&
				      (programs->host.v2 & (1U << EBB_HELD_CPU)) &&
				      programs->host.n_cpus > CPUS_TO_SUM_OVER &&
				      btf_has(btf, "css_rstat_flush", BTF_KIND_FUNC);
}

void bpf_flush(struct bpf_programs *programs, bool cpu)
{
	unsigned long second = now_ns() / EBB_NS_PER_SEC;

	if (cpu && programs->flush_cpu_link >= 0)
		bpf_run_iter(programs->flush_cpu_link);
	/*
	 * By itself, I/O costs no more than the cgroups that had any. Where it goes with all other
	 * counters of all cgroups, it goes once a second.
	 */
	if (programs->flush_io_link < 0 ||
	    (!programs->flush_io_apart && second == programs->last_io_flush))
		return;
	programs->last_io_flush = second;
	bpf_run_iter(programs->flush_io_link);
}

/*
 * Not pinned: held_slots. Its references would outlive a crash of ours with nobody left to release
 * them, and every cgroup removed after it would stay in memory.
 */
static int pin_maps(const struct bpf_programs *programs)
{
	struct bpf_map *const maps[] = {
		programs->maps->maps.samples,
		programs->maps->maps.cgroups,
		programs->block_io ? programs->maps->maps.io_counts : NULL,
		programs->lifecycle ? programs->lifecycle->maps.events : NULL,
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		int r = maps[i] ? bpf_pins_add(programs->pin_dir, maps[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* Held, else walk, else none; a forced kind or nothing. */
static int load_sampler(struct bpf_programs *programs, enum sampler_kind kind,
			const struct bpf_support *support, const struct ebb_cpu *cpus)
{
	char why_held[200] = "", why_walk[200] = "";
	bool fits = host_fits(&programs->host, why_walk, sizeof(why_walk));
	int r;

	if (!fits && kind != SAMPLER_AUTO && kind != SAMPLER_FILES)
		return log_error_errno(EOPNOTSUPP, "no %s sampler here, %s",
				       kind == SAMPLER_HELD ? "held" : "walking", why_walk);
	if (fits && (kind == SAMPLER_AUTO || kind == SAMPLER_HELD)) {
		snprintf(why_held, sizeof(why_held), "%s", support->why_not_held);
		r = support->held ? load_held(programs, cpus) : -EOPNOTSUPP;
		if (r == 0) {
			programs->kind = SAMPLER_HELD;
			snprintf(programs->reason, sizeof(programs->reason),
				 "the kernel lets programs hold cgroup references");
			return 0;
		}
		if (support->held)
			snprintf(why_held, sizeof(why_held), "the kernel refused its programs: %s",
				 strerror(-r));
		if (kind == SAMPLER_HELD)
			return log_error_errno(EOPNOTSUPP, "no held sampler here, %s", why_held);
	}
	if (fits && (kind == SAMPLER_AUTO || kind == SAMPLER_WALK)) {
		snprintf(why_walk, sizeof(why_walk), "%s", support->why_not_walk);
		r = support->walk ? load_walk(programs, cpus) : -EOPNOTSUPP;
		if (r == 0) {
			programs->kind = SAMPLER_WALK;
			snprintf(programs->reason, sizeof(programs->reason), "%s",
				 kind == SAMPLER_WALK ? "asked for" : why_held);
			return 0;
		}
		if (support->walk)
			snprintf(why_walk, sizeof(why_walk), "the kernel refused its programs: %s",
				 strerror(-r));
		if (kind == SAMPLER_WALK)
			return log_error_errno(EOPNOTSUPP, "no walking sampler here, %s", why_walk);
	}
	programs->kind = SAMPLER_FILES;
	snprintf(programs->reason, sizeof(programs->reason), "%s",
		 kind == SAMPLER_FILES ? "asked for" : why_walk);
	return 0;
}

static int load_all(struct bpf_programs *programs, const struct bpf_programs_options *options,
		    const struct bpf_support *support, const struct btf *btf)
{
	_cleanup_free_ struct ebb_cpu *cpus = calloc(EBB_MAX_CPUS, sizeof(*cpus));
	unsigned io = 1U << EBB_HELD_IO;
	int r;

	if (!cpus)
		return -ENOMEM;
	r = host_facts(options->hierarchies, &programs->host, cpus);
	if (r < 0)
		return r;
	r = bpf_pins_open(options->pin_dir, &programs->pin_dir);
	if (r < 0)
		return r;
	programs->pin_fd = r;
	r = load_maps(programs);
	if (r < 0)
		return r;

	if (!(programs->host.missing & io) && !(programs->host.v2 & io)) {
		r = support->block_io ? load_block_io(programs) : -EOPNOTSUPP;
		if (r < 0)
			log_warning_errno(r,
					  "block I/O is not traced, so there is none on cgroup v1");
		programs->host.io_traced = r == 0;
	}
	if (programs->host.v2 && options->kind != SAMPLER_FILES)
		load_flushes(programs, options, btf);
	r = load_sampler(programs, options->kind, support, cpus);
	if (r < 0)
		return r;
	r = support->lifecycle ? load_lifecycle(programs, options->hierarchies, btf) : -EOPNOTSUPP;
	if (r < 0)
		log_warning_errno(r, "no cgroup events from this kernel: looking around instead");
	return pin_maps(programs);
}

int bpf_programs_load(const struct bpf_programs_options *options,
		      struct bpf_programs **ret_programs)
{
	struct bpf_programs *programs;
	struct bpf_support support;
	struct btf *btf;
	int r;

	libbpf_set_print(log_libbpf);
	btf = bpf_support_probe_btf(&support);
	if (!btf)
		return log_error_errno(
			EOPNOTSUPP, "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF): no eBPF here");

	programs = calloc(1, sizeof(*programs));
	if (programs) {
		programs->max_containers = MAX(options->max_containers, 1);
		programs->pin_fd = programs->flush_cpu_link = programs->flush_io_link = -1;
		r = load_all(programs, options, &support, btf);
	} else {
		r = -ENOMEM;
	}
	btf__free(btf);
	if (r < 0) {
		bpf_programs_free(programs);
		return r;
	}
	*ret_programs = programs;
	return 0;
}

/* BTF is asked again: this is not part of every start. */
static int configure_tasks(struct tasks_bpf *tasks, const struct bpf_programs *programs,
			   const struct hierarchies *hierarchies, bool outside)
{
	enum cgroup_controller primary = hierarchies->primary;
	_cleanup_free_ struct ebb_cpu *cpus = calloc(EBB_MAX_CPUS, sizeof(*cpus));
	struct ebb_host unused;
	char why_not[200];
	struct btf *btf;
	int r = cpus ? host_facts(hierarchies, &unused, cpus) : -ENOMEM;

	if (r < 0)
		return r;
	if (!host_fits(&programs->host, why_not, sizeof(why_not)))
		return log_error_errno(EOPNOTSUPP, "no series of processes from BPF, %s", why_not);
	btf = btf__load_vmlinux_btf();
	r = libbpf_get_error(btf);
	if (r < 0)
		return r;
	tasks->rodata->plain_loads = btf_has(btf, "bpf_rdonly_cast", BTF_KIND_FUNC);
	r = btf_has(btf, "bpf_iter_task", BTF_KIND_FUNC) &&
			    btf_has(btf, "btf_trace_sched_process_free", BTF_KIND_TYPEDEF)
		    ? 0
		    : -EOPNOTSUPP;
	btf__free(btf);
	tasks->rodata->host = programs->host;
	tasks->rodata->outside = outside;
	tasks->rodata->primary_v2 = hierarchies->by_controller[primary].version == 2;
	tasks->rodata->primary_index = primary == CGROUP_MEMORY ? EBB_HELD_MEMORY : EBB_HELD_CPU;
	memcpy(tasks->bss->cpus, cpus, sizeof(tasks->bss->cpus));
	return r;
}

int bpf_programs_load_tasks(struct bpf_programs *programs, const struct hierarchies *hierarchies,
			    bool outside)
{
	/* A type that this kernel does not have, libbpf would look for in the BTF of modules as
	 * well, for which it takes CAP_SYS_ADMIN; told where types are, it does not. */
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = "/sys/kernel/btf/vmlinux");
	struct tasks_bpf *tasks = tasks_bpf__open_opts(&opts);
	int r;

	if (!tasks)
		return -errno;
	PREPARE(programs, tasks);
	bpf_program__set_autoattach(tasks->progs.read_tasks, false); /* tasks.c does */
	r = configure_tasks(tasks, programs, hierarchies, outside);
	if (r == 0)
		r = tasks_bpf__load(tasks);
	if (r == 0)
		r = bpf_run(tasks->progs.setup_percpu);
	if (r == 0)
		r = tasks_bpf__attach(tasks);
	if (r < 0) {
		tasks_bpf__destroy(tasks);
		return r;
	}
	programs->tasks = tasks;
	return 0;
}

void bpf_programs_free(struct bpf_programs *programs)
{
	if (!programs)
		return;
	tasks_bpf__destroy(programs->tasks);
	lifecycle_bpf__destroy(programs->lifecycle);
	block_io_bpf__destroy(programs->block_io);
	if (programs->flush_cpu_link >= 0)
		close(programs->flush_cpu_link);
	if (programs->flush_io_link >= 0)
		close(programs->flush_io_link);
	flush_bpf__destroy(programs->flush);
	walk_bpf__destroy(programs->walk);
	held_bpf__destroy(programs->held);
	maps_bpf__destroy(programs->maps);
	if (programs->pin_fd >= 0) {
		bpf_pins_remove(programs->pin_fd);
		rmdir(programs->pin_dir);
		close(programs->pin_fd);
	}
	free(programs->pin_dir);
	free(programs);
}

size_t bpf_programs_info(struct bpf_programs *programs, struct bpf_program_info *ret_infos,
			 size_t max)
{
	struct bpf_object *const objects[] = {
		programs->held ? programs->held->obj : NULL,
		programs->walk ? programs->walk->obj : NULL,
		programs->flush ? programs->flush->obj : NULL,
		programs->block_io ? programs->block_io->obj : NULL,
		programs->lifecycle ? programs->lifecycle->obj : NULL,
		programs->tasks ? programs->tasks->obj : NULL,
	};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		struct bpf_program *program;

		if (!objects[i])
			continue;
		bpf_object__for_each_program(program, objects[i])
		{
			struct bpf_prog_info info = {0};
			unsigned len = sizeof(info);
			int fd = bpf_program__fd(program);

			if (n == max || fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
				continue;
			ret_infos[n++] = (struct bpf_program_info){
				.name = bpf_program__name(program),
				.run_ns = info.run_time_ns,
				.run_count = info.run_cnt,
			};
		}
	}
	return n;
}
