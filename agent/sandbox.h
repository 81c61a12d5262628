/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent gives up once it has started: all capabilities but a few, new privileges, and the
 * system calls that it has no use for. What is left is what a flaw in it could abuse.
 */
#ifndef EBB_SANDBOX_H
#define EBB_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct sandbox_options {
	bool net;       /* limits networks: may configure devices, and look for the containers' */
	bool low_ports; /* is going to listen on a port below 1024 */
	bool bpf;       /* uses maps, and sandbox_bpf_needs_capability() */
};

/*
 * Capabilities are a thread's own: to be called before the first thread is made, after the BPF
 * programs were loaded. What the kernel cannot do is said in the log, and gone without. Negative
 * errno: capabilities that should have gone are still there.
 */
int sandbox_enter(const struct sandbox_options *options);

/*
 * Whether this kernel denies CAP_BPF's absence even to who only uses the maps and programs that it
 * has open, as those before 5.19 do unless kernel.unprivileged_bpf_disabled is 0. To be asked
 * before sandbox_enter().
 */
bool sandbox_bpf_needs_capability(void);

/* 1 << CAP_...: those that are kept where they are there. Pure. */
uint64_t sandbox_capabilities(const struct sandbox_options *options);

/*
 * What the calling thread may do, as the kernel has it: {"capabilities": ["CAP_..."],
 * "new_privileges": bool, "seccomp": "filter" | "off"}. NULL: no memory, or no /proc.
 */
json_t *sandbox_describe(void);
/* The same from the text of /proc/PID/status. Pure. */
json_t *sandbox_describe_status(const char *status);

#endif
