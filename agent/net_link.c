/* SPDX-License-Identifier: Apache-2.0 */
#include "net_link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/*
 * Of a container: its first processes are those that it was started with, and one that hides in
 * another namespace behind many others only loses its own limit.
 */
#define PROCESSES_MAX   32
#define DIRECTORIES_MAX 64
#define DEPTH_MAX       8
/* A namespace with more pairs than this is a router. */
#define PAIRS_MAX 16

struct netns {
	dev_t device;
	ino_t inode;
};

/* What was found of a container. */
struct found {
	uint64_t container;
	pid_t pid;
	struct netns netns; /* of `pid` */
	const char *reason; /* NULL: there is a link */
	int index, peer, id;
	char inside[IFNAMSIZ];
};

struct net_links {
	const struct hierarchies *hierarchies;
	struct netlink netlink;
	struct netns own;
	struct hash found;
};

int net_links_new(const struct hierarchies *hierarchies, struct net_links **ret_links)
{
	struct net_links *links;
	struct stat st;

	if (stat("/proc/thread-self/ns/net", &st) < 0)
		return -errno;
	links = calloc(1, sizeof(*links));
	if (!links)
		return -ENOMEM;
	links->hierarchies = hierarchies;
	links->netlink.fd = -1;
	links->own = (struct netns){st.st_dev, st.st_ino};
	*ret_links = links;
	return 0;
}

void net_links_free(struct net_links *links)
{
	if (!links)
		return;
	for (size_t i = 0; i < links->found.size; i++)
		free(links->found.slots[i].value);
	hash_clear(&links->found);
	netlink_close(&links->netlink);
	free(links);
}

struct netlink *net_links_socket(struct net_links *links)
{
	return &links->netlink;
}

static bool is_of(const void *value, const void *key)
{
	return ((const struct found *)value)->container == *(const uint64_t *)key;
}

static struct found *find(struct net_links *links, uint64_t id)
{
	return hash_find(&links->found, hash_u64(id), is_of, &id);
}

void net_links_forget(struct net_links *links, uint64_t id)
{
	struct found *found = find(links, id);

	if (!found)
		return;
	hash_remove(&links->found, hash_u64(id), found);
	free(found);
}

/* --- Processes -------------------------------------------------------------------------------- */

struct processes {
	pid_t pids[PROCESSES_MAX];
	unsigned n, directories;
};

/* Those of another pid namespace are 0 here. */
static int list_processes(int dir_fd, struct processes *processes)
{
	_cleanup_close_ int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	_cleanup_file_ FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	char line[32];

	if (fd < 0)
		return -errno;
	if (!file)
		return -ENOMEM;
	fd = -1;
	while (processes->n < PROCESSES_MAX && fgets(line, sizeof(line), file)) {
		uint64_t pid;

		line[strcspn(line, "\n")] = '\0';
		if (parse_u64(line, &pid) == 0 && pid > 0 && pid <= INT32_MAX)
			processes->pids[processes->n++] = (pid_t)pid;
	}
	return 0;
}

/* Of the cgroup and those in it: an engine or an init may have put them all one deeper. */
static int list_tree(int dir_fd, unsigned depth, struct processes *processes)
{
	int r = list_processes(dir_fd, processes);

	/* EOPNOTSUPP: of a threaded cgroup, whose processes are listed above it. */
	if ((r < 0 && r != -EOPNOTSUPP) || depth == DEPTH_MAX || processes->n == PROCESSES_MAX)
		return r;
	_cleanup_close_ int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (fd < 0)
		return -errno;
	if (!dir)
		return -ENOMEM;
	fd = -1;
	while (processes->n < PROCESSES_MAX && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    processes->directories == DIRECTORIES_MAX)
			continue;
		_cleanup_close_ int below = openat(dirfd(dir), entry->d_name,
						   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		processes->directories++;
		/* It may have gone meanwhile. */
		if (below >= 0)
			(void)list_tree(below, depth + 1, processes);
	}
	return 0;
}

static int processes_of(const struct net_links *links, const struct container *container,
			struct processes *ret_processes)
{
	int fd = container->dir_fds[links->hierarchies->primary];

	*ret_processes = (struct processes){0};
	return fd < 0 ? -ENODEV : list_tree(fd, 0, ret_processes);
}

static bool has_process(const struct processes *processes, pid_t pid)
{
	for (unsigned i = 0; i < processes->n; i++)
		if (processes->pids[i] == pid)
			return true;
	return false;
}

static int open_netns(pid_t pid, struct netns *ret_netns)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_netns = (struct netns){st.st_dev, st.st_ino};
	return TAKE_FD(fd);
}

static bool same_netns(const struct netns *a, const struct netns *b)
{
	return a->device == b->device && a->inode == b->inode;
}

/* --- What the kernel says --------------------------------------------------------------------- */

static int on_netns(void *userdata, const struct net_message *message)
{
	return message->header.nlmsg_type == RTM_NEWNSID
		       ? net_message_parse_netns(message, userdata)
		       : 0;
}

/*
 * The number by which this namespace's interfaces call the namespace `fd`. It has one as soon as
 * somebody has listed a pair with an end in it; else it is given one now.
 */
static int netns_id(struct netlink *netlink, int fd, int *ret_id)
{
	struct rtgenmsg body = {.rtgen_family = AF_UNSPEC};
	struct net_request request;
	int id = -1, r = 0;

	for (int attempt = 0; r == 0 && id < 0 && attempt < 2; attempt++) {
		if (attempt) {
			net_request_init(&request, RTM_NEWNSID, 0, &body, sizeof(body));
			net_request_add_u32(&request, NETNSA_FD, (uint32_t)fd);
			net_request_add_u32(&request, NETNSA_NSID, (uint32_t)-1);
			r = netlink_ask(netlink, &request, NULL, NULL);
			if (r < 0 && r != -EEXIST)
				return r;
		}
		net_request_init(&request, RTM_GETNSID, 0, &body, sizeof(body));
		net_request_add_u32(&request, NETNSA_FD, (uint32_t)fd);
		r = netlink_ask(netlink, &request, on_netns, &id);
	}
	if (r < 0)
		return r;
	if (id < 0)
		return -EBADMSG;
	*ret_id = id;
	return 0;
}

struct pairs {
	struct net_interface ends[PAIRS_MAX];
	unsigned n;
};

static int on_end(void *userdata, const struct net_message *message)
{
	struct pairs *pairs = userdata;
	struct net_interface end;

	if (message->header.nlmsg_type != RTM_NEWLINK)
		return 0;
	int r = net_message_parse_interface(message, &end);
	if (r < 0 || !end.veth || end.peer <= 0)
		return r;
	if (pairs->n == PAIRS_MAX)
		return -E2BIG;
	pairs->ends[pairs->n++] = end;
	return 0;
}

/* The veths in the namespace numbered `id`. */
static int veths_in(struct netlink *netlink, int id, struct pairs *ret_pairs)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC};
	struct net_request request;

	net_request_init(&request, RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));
	net_request_add_u32(&request, IFLA_TARGET_NETNSID, (uint32_t)id);
	/* With IFLA_EXT_MASK the kernel would walk all interfaces here first, for the largest
	 * answer. */
	size_t info = net_request_begin(&request, IFLA_LINKINFO);
	net_request_add_string(&request, IFLA_INFO_KIND, "veth");
	net_request_end(&request, info);
	*ret_pairs = (struct pairs){0};
	return netlink_ask(netlink, &request, on_end, ret_pairs);
}

static int on_interface(void *userdata, const struct net_message *message)
{
	return message->header.nlmsg_type == RTM_NEWLINK
		       ? net_message_parse_interface(message, userdata)
		       : 0;
}

/* Here, by its index. -ENODEV: there is none. */
static int interface_here(struct netlink *netlink, int index, struct net_interface *ret_interface)
{
	struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct net_interface interface = {0};
	struct net_request request;

	net_request_init(&request, RTM_GETLINK, 0, &body, sizeof(body));
	net_request_add_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	int r = netlink_ask(netlink, &request, on_interface, &interface);
	if (r < 0)
		return r;
	if (interface.index != index)
		return -ENODEV;
	*ret_interface = interface;
	return 0;
}

static bool leads_to(const struct net_interface *here, int peer, int id)
{
	return here->veth && here->peer == peer && here->peer_netns == id;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static const char in_host[] = "it is in the host's network namespace, so there is no interface "
			      "that is its alone";
static const char no_pair[] = "it has no veth pair with an end in the agent's network namespace";
static const char many[] = "it has several interfaces that lead to the agent's network namespace, "
			   "and one limit cannot be shared out over them";
static const char forbidden[] = "the agent may not look at its network: it needs CAP_SYS_PTRACE "
				"and CAP_NET_ADMIN";
static const char old_kernel[] = "this kernel does not tell of other network namespaces (since "
				 "4.20)";
static const char no_process[] = "it has no process by which to find its network";

/*
 * Adds to `found` the pair from the namespace `fd` to here. 0, also when there is none; and with
 * `found->reason` when there are several.
 */
static int add_pair(struct net_links *links, int fd, struct found *found)
{
	struct netlink *netlink = &links->netlink;
	_cleanup_close_ int own_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct net_interface here;
	struct pairs pairs;
	int id, own_id, r;

	if (own_fd < 0)
		return -errno;
	r = netns_id(netlink, fd, &id);
	if (r == 0)
		r = netns_id(netlink, own_fd, &own_id);
	if (r == 0)
		r = veths_in(netlink, id, &pairs);
	if (r == -E2BIG) {
		found->reason = many;
		return 0;
	}
	for (unsigned i = 0; r == 0 && i < pairs.n; i++) {
		const struct net_interface *end = &pairs.ends[i];

		if (end->peer_netns != own_id)
			continue;
		r = interface_here(netlink, end->peer, &here);
		/* It goes with the other end, perhaps in this moment. */
		if (r == -ENODEV) {
			r = 0;
			continue;
		}
		if (r < 0 || !leads_to(&here, end->index, id))
			continue;
		if (found->index) {
			found->reason = many;
			return 0;
		}
		found->index = here.index;
		found->peer = end->index;
		found->id = id;
		memcpy(found->inside, end->name, sizeof(found->inside));
	}
	return r;
}

/* All namespaces of its processes: one that has its own beside the container's has no pair to here,
 * or the container has several. */
static int look(struct net_links *links, const struct container *container, struct found *ret_found)
{
	struct netns seen[PROCESSES_MAX];
	struct processes processes, again;
	struct found found = {.container = container->id};
	unsigned n = 0;
	int r = processes_of(links, container, &processes);

	for (unsigned i = 0; r == 0 && !found.reason && i < processes.n; i++) {
		struct netns netns;
		_cleanup_close_ int fd = open_netns(processes.pids[i], &netns);
		bool known = false;

		/* It has ended. */
		if (fd == -ENOENT || fd == -ESRCH)
			continue;
		if (fd < 0)
			return fd;
		for (unsigned s = 0; s < n; s++)
			known = known || same_netns(&seen[s], &netns);
		if (known)
			continue;
		/* Still of the container, so the number is not another process's by now. */
		r = processes_of(links, container, &again);
		if (r < 0 || !has_process(&again, processes.pids[i]))
			continue;
		seen[n++] = netns;
		if (!found.pid) {
			found.pid = processes.pids[i];
			found.netns = netns;
		}
		if (same_netns(&netns, &links->own))
			found.reason = in_host;
		else
			r = add_pair(links, fd, &found);
	}
	if (r < 0)
		return r;
	if (!found.reason && !found.index)
		found.reason = n ? no_pair : no_process;
	*ret_found = found;
	return 0;
}

/* Does what was found still hold? 1: yes. */
static int holds(struct net_links *links, const struct found *found, struct net_interface *ret_here)
{
	char path[64];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", found->pid);
	if (!found->pid || stat(path, &st) < 0 ||
	    !same_netns(&(struct netns){st.st_dev, st.st_ino}, &found->netns))
		return 0;
	/* A pair may have come since, or gone. */
	if (found->reason)
		return found->reason == in_host;
	r = interface_here(&links->netlink, found->index, ret_here);
	if (r == -ENODEV)
		return 0;
	return r < 0 ? r : leads_to(ret_here, found->peer, found->id);
}

static int remember(struct net_links *links, const struct found *found)
{
	struct found *kept = find(links, found->container);
	int r;

	if (kept) {
		*kept = *found;
		return 0;
	}
	kept = malloc(sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	*kept = *found;
	r = hash_add(&links->found, hash_u64(found->container), kept);
	if (r < 0)
		free(kept);
	return r;
}

/* What is for the reader to know, rather than for the log. */
static int explain(int r, const char **ret_reason)
{
	if (r == -EPERM || r == -EACCES)
		*ret_reason = forbidden;
	else if (r == -EOPNOTSUPP || r == -EINVAL)
		*ret_reason = old_kernel;
	else
		return r;
	return -EOPNOTSUPP;
}

int net_links_find(struct net_links *links, const struct container *container, bool anew,
		   struct net_link *ret_link, const char **ret_reason)
{
	struct found *kept = anew ? NULL : find(links, container->id);
	struct net_interface here = {0};
	struct found found;
	int r = kept ? holds(links, kept, &here) : 0;

	if (r > 0) {
		found = *kept;
	} else {
		if (r == 0)
			r = look(links, container, &found);
		if (r == 0)
			r = remember(links, &found);
		if (r == 0 && !found.reason) {
			r = interface_here(&links->netlink, found.index, &here);
			if (r == 0 && !leads_to(&here, found.peer, found.id))
				r = -ENODEV;
		}
		if (r < 0)
			return explain(r, ret_reason);
	}
	if (found.reason) {
		*ret_reason = found.reason;
		return -EOPNOTSUPP;
	}
	*ret_link = (struct net_link){.index = here.index};
	memcpy(ret_link->name, here.name, sizeof(here.name));
	memcpy(ret_link->inside, found.inside, sizeof(found.inside));
	memcpy(ret_link->qdisc, here.qdisc, sizeof(here.qdisc));
	return 0;
}
