/* SPDX-License-Identifier: Apache-2.0 */
#include "subtree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

static const struct {
	enum cgroup_controller controller;
	const char *name, *file; /* one that it brings along */
} ours[] = {
	{CGROUP_CPU, "cpu", "cpu.weight"},
	{CGROUP_CPUSET, "cpuset", "cpuset.cpus"},
	{CGROUP_MEMORY, "memory", "memory.max"},
	{CGROUP_IO, "io", "io.max"},
};

int subtree_parse(const char *name, unsigned *ret_controller)
{
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (!strcmp(name, ours[i].name)) {
			*ret_controller = 1U << ours[i].controller;
			return 0;
		}
	}
	return -EINVAL;
}

void subtree_names(unsigned controllers, char *buffer, size_t size)
{
	size_t len = 0;

	buffer[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(ours) && len < size; i++) {
		unsigned bit = 1U << ours[i].controller;

		if (!(controllers & bit))
			continue;
		controllers &= ~bit;
		len += (size_t)snprintf(buffer + len, size - len, "%s%s",
					!len                        ? ""
					: controllers & SUBTREE_ALL ? ", "
								    : " and ",
					ours[i].name);
	}
}

unsigned subtree_missing(const struct hierarchies *hierarchies, const struct container *container,
			 unsigned wanted)
{
	unsigned missing = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		int fd = container->dir_fds[ours[i].controller];

		if (!(wanted & 1U << ours[i].controller) || fd < 0 ||
		    hierarchies->by_controller[ours[i].controller].version != 2)
			continue;
		/* One that has gone lacks nothing. */
		if (faccessat(fd, ours[i].file, F_OK, 0) < 0 && errno == ENOENT &&
		    faccessat(fd, "cgroup.procs", F_OK, 0) == 0)
			missing |= 1U << ours[i].controller;
	}
	return missing;
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; (p = strstr(p, word)); p += len)
		if ((p == words || p[-1] == ' ') && (!p[len] || p[len] == ' ' || p[len] == '\n'))
			return true;
	return false;
}

/* Each by itself: one that the kernel refuses keeps no other from coming. */
static int hand_down(int fd, const char *where, const char *controller)
{
	char enabled[256], text[32];

	ssize_t n = read_file_at(fd, "cgroup.subtree_control", enabled, sizeof(enabled));
	if (n < 0)
		return (int)n;
	if (has_word(enabled, controller))
		return 0;
	snprintf(text, sizeof(text), "+%s", controller);
	int r = write_file_at(fd, "cgroup.subtree_control", text, 0);
	if (r == 0)
		log_info("the %s controller is handed down by the cgroup %s now", controller,
			 where);
	else if (r == -EBUSY)
		log_warning("the %s controller cannot be handed down by the cgroup %s: it holds "
			    "processes itself; move them into a cgroup of their own below it",
			    controller, where);
	else if (r == -ENOENT)
		log_warning("the %s controller cannot be handed down by the cgroup %s: it has not "
			    "got it, or it is threaded",
			    controller, where);
	else
		log_warning_errno(r, "the %s controller cannot be handed down by the cgroup %s",
				  controller, where);
	return r;
}

unsigned subtree_enable(const struct hierarchies *hierarchies, const struct container *container,
			unsigned wanted)
{
	wanted = subtree_missing(hierarchies, container, wanted);
	if (!wanted)
		return 0;

	_cleanup_free_ char *path = strdup(container->path);
	if (!path)
		return wanted;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		enum cgroup_controller controller = ours[i].controller;
		int root = hierarchies->by_controller[controller].root_fd, r = 0;

		if (!(wanted & 1U << controller))
			continue;
		r = hand_down(root, "/", ours[i].name);
		/* Every ancestor, and not the container itself. */
		for (char *slash = path + (*path == '/'); r == 0 && (slash = strchr(slash, '/'));
		     slash++) {
			*slash = '\0';
			_cleanup_close_ int fd = cgroup_open_beneath(root, path);
			r = fd < 0 ? fd : hand_down(fd, path, ours[i].name);
			*slash = '/';
		}
	}
	return subtree_missing(hierarchies, container, wanted);
}
