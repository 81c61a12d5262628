/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

enum lockdown lockdown_parse(const char *text)
{
	if (strstr(text, "[none]"))
		return LOCKDOWN_NONE;
	if (strstr(text, "[integrity]"))
		return LOCKDOWN_INTEGRITY;
	if (strstr(text, "[confidentiality]"))
		return LOCKDOWN_CONFIDENTIALITY;
	return LOCKDOWN_UNKNOWN;
}

uint64_t capabilities_parse(const char *status)
{
	const char *line = strstr(status, "CapEff:");
	unsigned long long set = 0;

	if (line)
		(void)sscanf(line, "CapEff: %llx", &set);
	return set;
}

static bool read_text(const char *sysroot, const char *path, char *buffer, size_t size)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", sysroot, path);
	return read_file_at(AT_FDCWD, full, buffer, size) >= 0;
}

bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n)
		if ((at == list || strchr(", ", at[-1])) && (!at[n] || strchr(", ", at[n])))
			return true;
	return false;
}

/* Adds the word to a list separated by commas, once. */
static void add_word(char *list, size_t size, const char *word)
{
	size_t used = strlen(list);

	if (!list_has(list, word))
		snprintf(list + used, size - used, "%s%s", used ? "," : "", word);
}

/* One line of mountinfo: the file system type and its options follow " - ". */
static void read_mount(const char *sysroot, const char *line, struct facts *facts)
{
	static const char *const wanted[] = {"cpuset", "cpuacct", "cpu", "memory", "blkio"};
	const char *tail = strstr(line, " - ");
	char mount[PATH_MAX], type[32], options[512], path[PATH_MAX], *saved, *option;

	if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", mount) != 1 ||
	    sscanf(tail, " - %31s %*s %511s", type, options) != 2)
		return;
	if (!strcmp(type, "cgroup2")) {
		snprintf(path, sizeof(path), "%.4000s/cgroup.controllers", mount);
		(void)read_text(sysroot, path, facts->v2_controllers,
				sizeof(facts->v2_controllers));
		if (list_has(facts->v2_controllers, "cpu") ||
		    list_has(facts->v2_controllers, "memory"))
			facts->v2 = true;
	} else if (!strcmp(type, "cgroup")) {
		for (option = strtok_r(options, ",", &saved); option;
		     option = strtok_r(NULL, ",", &saved))
			for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
				if (!strcmp(option, wanted[i])) {
					add_word(facts->v1_controllers,
						 sizeof(facts->v1_controllers), option);
					facts->v1 = true;
				}
	}
}

static void read_mounts(const char *sysroot, struct facts *facts)
{
	_cleanup_file_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX];
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", sysroot);
	file = fopen(path, "re");
	while (file && getline(&line, &size, file) > 0)
		read_mount(sysroot, line, facts);
}

void facts_read(const char *sysroot, struct facts *ret_facts)
{
	struct facts facts = {.lockdown = LOCKDOWN_NONE};
	char text[8192], path[PATH_MAX];

	if (!read_text(sysroot, "/proc/sys/kernel/osrelease", facts.release, sizeof(facts.release)))
		snprintf(facts.release, sizeof(facts.release), "unknown");
	snprintf(path, sizeof(path), "%s/sys/kernel/btf/vmlinux", sysroot);
	facts.btf = !access(path, R_OK);
	/* Absent without the lockdown LSM; securityfs may also not be mounted. */
	if (read_text(sysroot, "/sys/kernel/security/lockdown", text, sizeof(text)))
		facts.lockdown = lockdown_parse(text);
	else if (access("/sys/kernel/security/lsm", F_OK))
		facts.lockdown = LOCKDOWN_UNKNOWN;
	if (read_text(sysroot, "/proc/self/status", text, sizeof(text)))
		facts.capabilities = capabilities_parse(text);
	read_mounts(sysroot, &facts);
	*ret_facts = facts;
}
