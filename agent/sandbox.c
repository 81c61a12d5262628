/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/sanitized.h"
#include "ebb/util.h"

/* --- Capabilities ----------------------------------------------------------------------------- */

uint64_t sandbox_capabilities(const struct sandbox_options *options)
{
	/* Rootless engines own the cgroups, and the state, of their containers. */
	uint64_t kept = 1ULL << CAP_DAC_OVERRIDE;

	/* Whose network a device belongs to is told by /proc/PID/ns of a process in it. */
	if (options->net)
		kept |= 1ULL << CAP_NET_ADMIN | 1ULL << CAP_SYS_PTRACE;
	if (options->bpf)
		kept |= 1ULL << CAP_BPF;
	if (options->low_ports)
		kept |= 1ULL << CAP_NET_BIND_SERVICE;
	return kept;
}

/* The bounding set first: dropping from it needs CAP_SETPCAP. */
static int drop_bounding(uint64_t kept)
{
	for (cap_value_t cap = 0; cap < 64; cap++) {
		int has = cap_get_bound(cap);

		if (has < 0)
			return 0;
		if (has && !(kept & 1ULL << cap) && cap_drop_bound(cap) < 0)
			return -errno;
	}
	return 0;
}

static int keep_only(uint64_t kept)
{
	cap_t now = cap_get_proc(), then = cap_init();
	int r = now && then ? 0 : -errno;

	for (cap_value_t cap = 0; r == 0 && cap < 64 && kept >> cap; cap++) {
		cap_flag_value_t has = CAP_CLEAR;

		if (!(kept & 1ULL << cap) || cap_get_flag(now, cap, CAP_PERMITTED, &has) < 0 ||
		    has != CAP_SET)
			continue;
		if (cap_set_flag(then, CAP_PERMITTED, 1, &cap, CAP_SET) < 0 ||
		    cap_set_flag(then, CAP_EFFECTIVE, 1, &cap, CAP_SET) < 0)
			r = -errno;
	}
	if (r == 0 && cap_set_proc(then) < 0)
		r = -errno;
	cap_free(now);
	cap_free(then);
	return r;
}

static int drop_capabilities(uint64_t kept)
{
	int r = drop_bounding(kept);

	/* Started without CAP_SETPCAP: what it has goes all the same, and does not come back. */
	if (r < 0 && r != -EPERM)
		return r;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return keep_only(kept);
}

/* Asks the kernel for what cannot be there: is it refused before it is looked for? */
static bool bpf_is_denied(void)
{
	union bpf_attr attr = {0};

	attr.map_fd = UINT32_MAX;
	return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) < 0 && errno == EPERM;
}

bool sandbox_bpf_needs_capability(void)
{
	static const cap_value_t either[] = {CAP_BPF, CAP_SYS_ADMIN};
	cap_t now = cap_get_proc(), without = now ? cap_dup(now) : NULL;
	bool denied = false;

	if (without &&
	    cap_set_flag(without, CAP_EFFECTIVE, ARRAY_SIZE(either), either, CAP_CLEAR) == 0 &&
	    cap_set_proc(without) == 0) {
		denied = bpf_is_denied();
		if (cap_set_proc(now) < 0)
			log_warning_errno(errno, "capabilities do not come back");
	}
	cap_free(now);
	cap_free(without);
	return denied;
}

/* --- System calls ----------------------------------------------------------------------------- */

static const char *const allowed_calls[] = {
	/* Files: cgroups, /proc, the spool and the state in /run. */
	"access",
	"chmod",
	"close",
	"close_range",
	"copy_file_range",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fchmod",
	"fchmodat",
	"fdatasync",
	"flock",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"getcwd",
	"getdents64",
	"getxattr",
	"link",
	"linkat",
	"lseek",
	"lstat",
	"mkdir",
	"mkdirat",
	"name_to_handle_at",
	"newfstatat",
	"open",
	"openat",
	"openat2",
	"pipe",
	"pipe2",
	"pread64",
	"preadv",
	"preadv2",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"removexattr",
	"rename",
	"renameat",
	"renameat2",
	"rmdir",
	"setxattr",
	"stat",
	"statfs",
	"statx",
	"sync_file_range",
	"truncate",
	"umask",
	"unlink",
	"unlinkat",
	"utimensat",
	"write",
	"writev",
	/* Waiting. */
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"epoll_create1",
	"epoll_create",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd2",
	"gettimeofday",
	"inotify_add_watch",
	"inotify_init1",
	"inotify_rm_watch",
	"nanosleep",
	"poll",
	"ppoll",
	"pselect6",
	"restart_syscall",
	"select",
	"signalfd4",
	"time",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	/* Networks. */
	"accept",
	"accept4",
	"bind",
	"connect",
	"getpeername",
	"getsockname",
	"getsockopt",
	"listen",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"sendfile",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shutdown",
	/* Memory, threads, signals. A child could be made, but no other program run. */
	"brk",
	"clone",
	"clone3",
	"exit",
	"exit_group",
	"futex",
	"futex_waitv",
	"get_robust_list",
	"getrandom",
	"madvise",
	"membarrier",
	"mlock",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_yield",
	"set_robust_list",
	"set_tid_address",
	"sigaltstack",
	/* About itself and the machine. */
	"capget",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgrp",
	"getpid",
	"getppid",
	"getpriority",
	"getrlimit",
	"getrusage",
	"gettid",
	"getuid",
	"sysinfo",
	"times",
	"uname",
};

/* Of maps, programs and iterators that are there; none can be made. */
static const uint32_t allowed_bpf[] = {
	BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,    BPF_MAP_DELETE_ELEM,  BPF_MAP_GET_NEXT_KEY,
	BPF_PROG_TEST_RUN,    BPF_OBJ_GET_INFO_BY_FD, BPF_MAP_LOOKUP_BATCH, BPF_MAP_UPDATE_BATCH,
	BPF_MAP_DELETE_BATCH, BPF_LINK_CREATE,        BPF_ITER_CREATE,      BPF_LINK_DETACH,
};

static const int allowed_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
static const unsigned long allowed_ioctls[] = {TCGETS,      FIONBIO,      FIONREAD,  SIOCGIFINDEX,
					       SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFMTU};
/* Not F_SETOWN and F_SETSIG: with these a descriptor sends any signal to any process. */
static const int allowed_fcntls[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL};
static const int allowed_prctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE};

/* One that this machine's architecture does not have is none that could be called. */
static int allow(scmp_filter_ctx filter, const char *name, unsigned n,
		 const struct scmp_arg_cmp *args)
{
	int call = seccomp_syscall_resolve_name(name), r;

	if (call == __NR_SCMP_ERROR)
		return 0;
	r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, n, args);
	return r == -EDOM ? 0 : r;
}

static int allow_with(scmp_filter_ctx filter, const char *name, unsigned argument, uint64_t value)
{
	const struct scmp_arg_cmp equal = {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value};

	return allow(filter, name, 1, &equal);
}

static int fill_filter(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_calls); i++)
		r = allow(filter, allowed_calls[i], 0, NULL);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_bpf); i++)
		r = allow_with(filter, "bpf", 0, allowed_bpf[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_families); i++) {
		r = allow_with(filter, "socket", 0, (uint64_t)allowed_families[i]);
		if (r == 0)
			r = allow_with(filter, "socketpair", 0, (uint64_t)allowed_families[i]);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_ioctls); i++)
		r = allow_with(filter, "ioctl", 1, allowed_ioctls[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_fcntls); i++)
		r = allow_with(filter, "fcntl", 1, (uint64_t)allowed_fcntls[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_prctls); i++)
		r = allow_with(filter, "prctl", 0, (uint64_t)allowed_prctls[i]);
	/* Its own limits: one of CPU time ends another process. */
	if (r == 0)
		r = allow_with(filter, "prlimit64", 0, 0);
	/* To itself, as abort() does. */
	if (r == 0)
		r = allow_with(filter, "tgkill", 0, (uint64_t)getpid());
	return r;
}

/* What is not allowed fails with EPERM, and where the kernel audits it is on record. */
static int filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = filter ? fill_filter(filter) : -ENOMEM;

	if (r == 0) {
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
		/* Several hundred comparisons one after another are none of the agent's business.
		 */
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
		r = seccomp_load(filter);
	}
	if (filter)
		seccomp_release(filter);
	return r;
}

int sandbox_enter(const struct sandbox_options *options)
{
	int r = drop_capabilities(sandbox_capabilities(options));

	if (r < 0)
		return log_error_errno(r,
				       "cannot give up capabilities; --keep-privileges keeps them");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return log_error_errno(errno, "cannot give up new privileges");
	/* LeakSanitizer stops the threads by ptrace at the end, and says so when it cannot. */
	if (SANITIZED) {
		log_info("built with a sanitizer: system calls are not filtered");
		return 0;
	}
	r = filter_calls();
	if (r < 0)
		log_warning_errno(r, "this kernel filters no system calls (seccomp): all of them "
				     "stay possible");
	return 0;
}

/* --- What is left ----------------------------------------------------------------------------- */

/* The text after "key:\t" up to the end of its line. */
static const char *status_value(const char *status, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, "\t ");
	}
	return "";
}

static json_t *capability_names(uint64_t set)
{
	json_t *names = json_array();

	for (cap_value_t cap = 0; cap < 64; cap++) {
		char *name = set & 1ULL << cap ? cap_to_name(cap) : NULL;

		for (char *c = name; c && *c; c++)
			*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
		if (name)
			json_array_append_new(names, json_string(name));
		cap_free(name);
	}
	return names;
}

json_t *sandbox_describe_status(const char *status)
{
	uint64_t effective = strtoull(status_value(status, "CapEff"), NULL, 16);

	return json_pack("{s:o, s:b, s:s}", "capabilities", capability_names(effective),
			 "new_privileges", *status_value(status, "NoNewPrivs") != '1', "seccomp",
			 *status_value(status, "Seccomp") == '2' ? "filter" : "off");
}

json_t *sandbox_describe(void)
{
	char status[8192];

	return read_file_at(AT_FDCWD, "/proc/thread-self/status", status, sizeof(status)) < 0
		       ? NULL
		       : sandbox_describe_status(status);
}
