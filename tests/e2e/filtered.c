/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program with the system calls that a file names, one a line, and no others:
 *   filtered FILE PROGRAM [ARGUMENT...]
 * as SystemCallFilter= and SystemCallErrorNumber=EPERM of systemd's do.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fill(scmp_filter_ctx filter, FILE *names)
{
	char name[64];

	while (fscanf(names, "%63s", name) == 1) {
		int call = seccomp_syscall_resolve_name(name), r;

		/* One that this architecture, or this libseccomp, does not have. */
		if (call == __NR_SCMP_ERROR)
			continue;
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
		if (r < 0 && r != -EDOM)
			return r;
	}
	return 0;
}

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	FILE *names = argc > 2 ? fopen(argv[1], "re") : NULL;
	int r;

	if (!names || !filter) {
		fprintf(stderr, "usage: filtered FILE PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	r = fill(filter, names);
	fclose(names);
	if (r >= 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0) {
		fprintf(stderr, "cannot filter system calls: %s\n", strerror(-r));
		return 2;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
