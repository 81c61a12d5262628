/* SPDX-License-Identifier: Apache-2.0 */
/* What anybody may read about this host and its kernel. `sysroot` "" is the running system; tests
 * give a directory with /sys and /proc fixtures. */
#ifndef EBB_CLI_FACTS_H
#define EBB_CLI_FACTS_H

#include <stdbool.h>
#include <stdint.h>

enum lockdown { LOCKDOWN_NONE, LOCKDOWN_INTEGRITY, LOCKDOWN_CONFIDENTIALITY, LOCKDOWN_UNKNOWN };

struct facts {
	char release[128];
	bool btf; /* /sys/kernel/btf/vmlinux is there and readable */
	enum lockdown lockdown;
	/* Controllers by where they are mounted; "cpu,memory" */
	char v1_controllers[128];
	char v2_controllers[256]; /* cgroup.controllers of the root */
	bool v1, v2;              /* mounted with at least one controller that Ebb uses */
	uint64_t capabilities;    /* effective, of this process */
};

void facts_read(const char *sysroot, struct facts *ret_facts);

/* Pure: is `word` in a list separated by commas or spaces? */
bool list_has(const char *list, const char *word);
/* Pure: "[none] integrity confidentiality". */
enum lockdown lockdown_parse(const char *text);
/* Pure: the "CapEff:" line of /proc/PID/status; 0 without one. */
uint64_t capabilities_parse(const char *status);

#endif
