/* SPDX-License-Identifier: Apache-2.0 */
/* In children: what is given up does not come back. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../test.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/sanitized.h"

/* In place of CHECK in a child: the line is its result. */
#define WANT(cond)                       \
	do {                             \
		if (!(cond))             \
			return __LINE__; \
	} while (0)

static bool needs_bpf;

/* 0, or the line of the WANT that did not hold. */
static int in_sandbox(int (*fn)(void))
{
	int line = -1, ends[2], status;
	pid_t child;

	CHECK_INT(pipe(ends), 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		log_set_level(LOG_LEVEL_ERROR);
		line = sandbox_enter(&(struct sandbox_options){.net = true, .bpf = needs_bpf});
		if (line == 0)
			line = fn();
		_exit(write(ends[1], &line, sizeof(line)) != sizeof(line));
	}
	close(ends[1]);
	CHECK_INT(waitpid(child, &status, 0), child);
	if (read(ends[0], &line, sizeof(line)) != sizeof(line))
		line = -1;
	close(ends[0]);
	return line;
}

/* NULL, or why system calls cannot be filtered here. Not asked of the sandbox, which is tested. */
static const char *unfiltered(void)
{
	if (SANITIZED)
		return "a build with a sanitizer filters no system calls";
	if (access("/proc/sys/kernel/seccomp/actions_avail", F_OK) < 0)
		return "this kernel filters no system calls";
	return NULL;
}

static char *text_of(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	return text;
}

TEST(few_capabilities_are_kept)
{
	CHECK_INT(sandbox_capabilities(&(struct sandbox_options){}), 1ULL << CAP_DAC_OVERRIDE);
	CHECK_INT(sandbox_capabilities(&(struct sandbox_options){.net = true}),
		  1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_SYS_PTRACE);
	CHECK_INT(sandbox_capabilities(&(struct sandbox_options){.low_ports = true}),
		  1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_NET_BIND_SERVICE);
	CHECK_INT(sandbox_capabilities(&(struct sandbox_options){.bpf = true}),
		  1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_BPF);
}

static int bpf_look_up(void)
{
	union bpf_attr attr = {0};

	attr.map_fd = UINT32_MAX;
	return syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

static int use_what_is_open(void)
{
	WANT(bpf_look_up() == -EBADF);
	return 0;
}

/* Whatever this kernel wants for it: what is open stays of use. */
TEST(open_maps_can_be_used_without_more_than_is_kept)
{
	if (geteuid() != 0 || bpf_look_up() != -EBADF)
		SKIP("needs root, and BPF");
	needs_bpf = sandbox_bpf_needs_capability();
	CHECK_INT(in_sandbox(use_what_is_open), 0);
	/* Asked without, and got back. */
	CHECK_INT(bpf_look_up(), -EBADF);
	CHECK_INT(sandbox_bpf_needs_capability(), needs_bpf);
	needs_bpf = false;
}

TEST(status_is_told_as_the_kernel_has_it)
{
	_cleanup_free_ char *some = text_of(sandbox_describe_status(
		"Name:\tebb-agent\nCapPrm:\tffff\nCapEff:\t0000000000081002\nNoNewPrivs:\t1\n"
		"Seccomp:\t2\nSeccomp_filters:\t1\n"));
	_cleanup_free_ char *none =
		text_of(sandbox_describe_status("CapEff:\t0\nNoNewPrivs:\t0\nSeccomp:\t0\n"));

	CHECK_STR(some, "{\"capabilities\":[\"CAP_DAC_OVERRIDE\",\"CAP_NET_ADMIN\","
			"\"CAP_SYS_PTRACE\"],\"new_privileges\":false,\"seccomp\":\"filter\"}");
	CHECK_STR(none, "{\"capabilities\":[],\"new_privileges\":true,\"seccomp\":\"off\"}");
}

static int look_at_what_is_left(void)
{
	_cleanup_json_ json_t *left = sandbox_describe();
	json_t *name;
	size_t i;

	WANT(left);
	json_array_foreach(json_object_get(left, "capabilities"), i, name)
		WANT(!strcmp(json_string_value(name), "CAP_DAC_OVERRIDE") ||
		     !strcmp(json_string_value(name), "CAP_NET_ADMIN") ||
		     !strcmp(json_string_value(name), "CAP_SYS_PTRACE"));
	WANT(json_is_false(json_object_get(left, "new_privileges")));
	WANT(strcmp(json_string_value(json_object_get(left, "seccomp")),
		    unfiltered() ? "off" : "filter") == 0);
	/* Nor does one come back. */
	WANT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0);
	WANT(mount("none", "/", "tmpfs", 0, NULL) < 0 && errno == EPERM);
	return 0;
}

TEST(nothing_else_is_left)
{
	CHECK_INT(in_sandbox(look_at_what_is_left), 0);
}

static int run_another_program(void)
{
	WANT(execl("/bin/true", "true", NULL) < 0 && errno == EPERM);
	return 0;
}

TEST(no_other_program_can_be_run)
{
	if (unfiltered())
		SKIP("%s", unfiltered());
	CHECK_INT(in_sandbox(run_another_program), 0);
}

static int touch_another_process(void)
{
	struct rlimit limit;

	WANT(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 && errno == EPERM);
	WANT(kill(getppid(), 0) < 0 && errno == EPERM);
	/* Nor by a detour: a signal that tells of input, or a limit that it is over already. */
	WANT(fcntl(STDERR_FILENO, F_SETOWN, getppid()) < 0 && errno == EPERM);
	WANT(fcntl(STDERR_FILENO, F_SETSIG, SIGTERM) < 0 && errno == EPERM);
	WANT(prlimit(getppid(), RLIMIT_CORE, NULL, &limit) < 0 && errno == EPERM);
	/* Its own are its own. */
	WANT(getrlimit(RLIMIT_CORE, &limit) == 0 && setrlimit(RLIMIT_CORE, &limit) == 0);
	WANT(fcntl(STDERR_FILENO, F_GETFD) >= 0);
	return 0;
}

TEST(other_processes_are_out_of_reach)
{
	if (unfiltered())
		SKIP("%s", unfiltered());
	CHECK_INT(in_sandbox(touch_another_process), 0);
}

static int load_a_program(void)
{
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};

	WANT(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load)) < 0 && errno == EPERM);
	WANT(syscall(SYS_bpf, BPF_MAP_CREATE, &load, sizeof(load)) < 0 && errno == EPERM);
	/* What is no map is the kernel's to refuse: that call is let through. */
	load = (union bpf_attr){.map_fd = (uint32_t)-1};
	WANT(syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &load, sizeof(load)) < 0 && errno == EBADF);
	return 0;
}

TEST(nothing_more_can_be_loaded_into_the_kernel)
{
	if (unfiltered())
		SKIP("%s", unfiltered());
	CHECK_INT(in_sandbox(load_a_program), 0);
}

static int open_sockets(void)
{
	WANT(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	WANT(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
	WANT(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
	WANT(socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
	return 0;
}

TEST(only_the_families_in_use_are_spoken)
{
	if (unfiltered())
		SKIP("%s", unfiltered());
	CHECK_INT(in_sandbox(open_sockets), 0);
}

static void *describe(void *unused)
{
	return sandbox_describe();
}

static int make_a_thread(void)
{
	_cleanup_json_ json_t *ours = sandbox_describe(), *theirs = NULL;
	pthread_t thread;
	void *result;

	WANT(pthread_create(&thread, NULL, describe, NULL) == 0);
	WANT(pthread_join(thread, &result) == 0);
	theirs = result;
	WANT(ours && json_equal(ours, theirs));
	return 0;
}

TEST(threads_made_later_may_do_no_more)
{
	CHECK_INT(in_sandbox(make_a_thread), 0);
}

static int write_a_file(void)
{
	char path[] = "/tmp/ebb-sandbox-XXXXXX";
	int fd = mkstemp(path);

	WANT(fd >= 0);
	WANT(write(fd, "x", 1) == 1 && close(fd) == 0);
	WANT(unlink(path) == 0);
	return 0;
}

TEST(files_are_written_as_before)
{
	CHECK_INT(in_sandbox(write_a_file), 0);
}

TEST_MAIN()
