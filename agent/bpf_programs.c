/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define BPFFS "/sys/fs/bpf"

/* --- What the kernel has ------------------------------------------------------------------------
 */

static bool btf_has(const struct btf *btf, const char *name, unsigned kind)
{
	return btf__find_by_name_kind(btf, name, kind) > 0;
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

void bpf_support_probe(struct bpf_support *ret_support)
{
	struct bpf_support support = {0};
	struct btf *btf = btf__load_vmlinux_btf();

	if (libbpf_get_error(btf)) {
		snprintf(support.why_not_held, sizeof(support.why_not_held),
			 "no BTF in /sys/kernel/btf/vmlinux");
		memcpy(support.why_not_walk, support.why_not_held, sizeof(support.why_not_walk));
	} else {
		support.btf = true;
		probe_btf(btf, &support);
		btf__free(btf);
	}
	*ret_support = support;
}

/* The first argument of a tracepoint: a pointer, or a number? */
static bool tracepoint_passes_pointer(const struct btf *btf, const char *typedef_name)
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

/* --- What the host is like -----------------------------------------------------------------------
 */

enum cgroup_controller held_controller(enum ebb_held what)
{
	static const enum cgroup_controller controllers[] = {
		[EBB_HELD_CPU] = CGROUP_CPU,
		[EBB_HELD_CPUACCT] = CGROUP_CPUACCT,
		[EBB_HELD_MEMORY] = CGROUP_MEMORY,
		[EBB_HELD_IO] = CGROUP_IO,
	};

	return controllers[what];
}

unsigned zones_with_pages(const char *zoneinfo)
{
	unsigned zones = 0, zone = 0, node = 0, n;
	bool first = true;

	/* "Node 0, zone    DMA32" opens a zone; zones come in order, empty ones too. */
	for (const char *line = zoneinfo; line && *line;) {
		const char *text = line + strspn(line, " ");

		if (sscanf(text, "Node %u, zone", &n) == 1) {
			zone = first || n != node ? 0 : zone + 1;
			first = false;
			node = n;
		} else if (sscanf(text, "present %u", &n) == 1 && n > 0 && zone < 32) {
			zones |= 1U << zone;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return zones;
}

static int read_whole(const char *path, char **ret_text)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t size = 0, used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (;;) {
		if (used + 4096 > size) {
			char *bigger = realloc(text, size += 16384);

			if (!bigger)
				return -ENOMEM;
			text = bigger;
		}
		n = read(fd, text + used, size - used - 1);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += n;
	}
	text[used] = '\0';
	*ret_text = TAKE_PTR(text);
	return 0;
}

static int read_list(const char *path, struct cpu_list *ret_list)
{
	_cleanup_free_ char *text = NULL;
	int r = read_whole(path, &text);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return cpu_list_parse(text, ret_list);
}

static void place_references(const struct hierarchies *hierarchies, struct ebb_host *host)
{
	for (int what = 0; what < EBB_HELD_MAX; what++) {
		const struct hierarchy *mine = &hierarchies->by_controller[held_controller(what)];

		host->at[what] = what;
		if (!mine->mount) {
			host->missing |= 1U << what;
			continue;
		}
		if (mine->version == 2)
			host->v2 |= 1U << what;
		for (int other = 0; other < what; other++) {
			const struct hierarchy *theirs =
				&hierarchies->by_controller[held_controller(other)];

			if (theirs->mount && theirs->shared == mine->shared) {
				host->at[what] = other;
				break;
			}
		}
	}
}

int host_facts(const struct hierarchies *hierarchies, struct ebb_host *ret_host,
	       struct ebb_cpu *cpus)
{
	struct ebb_host host = {.page_shift = __builtin_ctzl(sysconf(_SC_PAGESIZE))};
	struct cpu_list list = {0};
	_cleanup_free_ char *zoneinfo = NULL;
	int r;

	r = read_list("/sys/devices/system/cpu/possible", &list);
	if (r < 0)
		return log_error_errno(r, "cannot tell the number of CPUs");
	/* The last place is find_percpu_offsets()'s scratch. */
	for (size_t i = 0; i < list.n && i < EBB_MAX_CPUS - 1; i++)
		cpus[host.n_cpus++].id = list.cpus[i];
	if (list.n != host.n_cpus)
		log_warning("%zu CPUs: only %u are sampled", list.n, host.n_cpus);
	cpu_list_clear(&list);

	host.n_nodes = 1;
	if (read_list("/sys/devices/system/node/has_memory", &list) == 0 && list.n > 0) {
		host.n_nodes = MIN(list.n, EBB_MAX_NODES);
		for (size_t i = 0; i < host.n_nodes; i++)
			host.nodes[i] = list.cpus[i];
		cpu_list_clear(&list);
	}
	if (read_whole("/proc/zoneinfo", &zoneinfo) == 0)
		host.zones = zones_with_pages(zoneinfo);
	if (!host.zones)
		host.zones = 0xf;

	place_references(hierarchies, &host);
	*ret_host = host;
	return 0;
}

/* --- Pins
 * ----------------------------------------------------------------------------------------- */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static int ensure_bpffs(const char *pin_dir)
{
	_cleanup_free_ char *parent = strdup(pin_dir);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash || slash == parent)
		return log_error_errno(EINVAL, "%s is no place for pins: give a path below " BPFFS,
				       pin_dir);
	*slash = '\0';
	if (is_bpffs(parent))
		return 0;
	if (strcmp(parent, BPFFS) != 0)
		return log_error_errno(
			EINVAL,
			"%s is not on a bpf file system: mount one there, or pin below " BPFFS,
			pin_dir);
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") < 0)
		return log_error_errno(errno, "cannot mount a bpf file system on " BPFFS);
	log_info("mounted a bpf file system on " BPFFS);
	return 0;
}

/* Whatever a crash left: files only, in a directory that is ours and locked. */
static void remove_pins(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		struct stat st;

		if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			unlinkat(dir_fd, entry->d_name, 0);
	}
}

/* Opens, checks and locks; a descriptor, -EAGAIN when the directory was removed meanwhile. */
static int lock_pin_dir(const char *pin_dir)
{
	_cleanup_close_ int fd = -1;
	struct stat st, now;

	if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST)
		return log_error_errno(errno, "cannot make the pin directory %s", pin_dir);
	fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? -EAGAIN
				       : log_error_errno(errno, "cannot open %s", pin_dir);
	if (st.st_uid != geteuid())
		return log_error_errno(EPERM, "the pin directory %s belongs to user %u, not to us",
				       pin_dir, st.st_uid);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return log_error_errno(
			errno == EWOULDBLOCK ? EBUSY : errno,
			"another agent uses the pin directory %s: stop it, or give this one its own",
			pin_dir);
	if (stat(pin_dir, &now) < 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
		return -EAGAIN;
	return TAKE_FD(fd);
}

static int open_pin_dir(struct bpf_programs *programs, const char *pin_dir)
{
	int r = ensure_bpffs(pin_dir);

	if (r < 0)
		return r;
	for (int i = 0; i < 5; i++) {
		r = lock_pin_dir(pin_dir);
		if (r != -EAGAIN)
			break;
	}
	if (r < 0)
		return r;
	programs->pin_fd = r;
	programs->pin_dir = strdup(pin_dir);
	if (!programs->pin_dir)
		return -ENOMEM;
	remove_pins(programs->pin_fd);
	return 0;
}

static int pin_map(const struct bpf_programs *programs, struct bpf_map *map)
{
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/%s", programs->pin_dir, bpf_map__name(map));
	r = bpf_obj_pin(bpf_map__fd(map), path);
	return r < 0 ? log_error_errno(r, "cannot pin %s", path) : 0;
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
		int r = maps[i] ? pin_map(programs, maps[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- Loading
 * --------------------------------------------------------------------------------------- */

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

#define SHARE_MAPS(programs, object)                                                   \
	do {                                                                           \
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
	SHARE_MAPS(programs, held);
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
	SHARE_MAPS(programs, walk);
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
	SHARE_MAPS(programs, block_io);
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
	bool task = oom && tracepoint_passes_pointer(btf, "btf_trace_mark_victim");
	bool pid = oom && !task && btf_has(btf, "bpf_task_from_pid", BTF_KIND_FUNC);
	unsigned n = 0;
	int r;

	if (!lifecycle)
		return -errno;
	SHARE_MAPS(programs, lifecycle);
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

/* Held, else walk, else none; a forced kind or nothing. */
static int load_sampler(struct bpf_programs *programs, enum sampler_kind kind,
			const struct bpf_support *support, const struct ebb_cpu *cpus)
{
	char why_held[200] = "", why_walk[200] = "";
	int r;

	if (kind == SAMPLER_AUTO || kind == SAMPLER_HELD) {
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
	if (kind == SAMPLER_AUTO || kind == SAMPLER_WALK) {
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
	r = open_pin_dir(programs, options->pin_dir);
	if (r < 0)
		return r;
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
	r = load_sampler(programs, options->kind, support, cpus);
	if (r < 0)
		return r;
	if (programs->host.v2 && programs->kind != SAMPLER_FILES) {
		r = load_flush(programs, options->hierarchies, btf, programs->host.v2 & io);
		if (r < 0 && !programs->flush && (programs->host.v2 & io))
			r = load_flush(programs, options->hierarchies, btf, false);
		if (r < 0)
			log_warning_errno(r, "cannot have the kernel sum up cgroup counters");
		/* Counters that nobody sums up would stand still. */
		if ((programs->host.v2 & io) && programs->flush_io_link < 0)
			log_warning("block I/O is as old as the last read of a file io.stat");
	}
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
	bpf_support_probe(&support);
	if (!support.btf)
		return log_error_errno(
			EOPNOTSUPP, "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF): no eBPF here");
	btf = btf__load_vmlinux_btf();
	r = libbpf_get_error(btf);
	if (r < 0)
		return log_error_errno(r, "cannot read the kernel's BTF");

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

void bpf_programs_free(struct bpf_programs *programs)
{
	if (!programs)
		return;
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
		remove_pins(programs->pin_fd);
		if (programs->pin_dir)
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
