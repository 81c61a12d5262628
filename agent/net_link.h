/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the veth pair that is a container's network: a process of its cgroup leads to
 * a network namespace, that to the pairs which begin there and end here. All of it is asked of the
 * kernel by rtnetlink: no namespace is entered, and no file of the container is read. An interface
 * is taken only when both ends name each other by index and by namespace.
 */
#ifndef EBB_NET_LINK_H
#define EBB_NET_LINK_H

#include "container.h"
#include "netlink.h"

struct net_link {
	int index;             /* in the agent's network namespace */
	char name[IFNAMSIZ];   /* there */
	char inside[IFNAMSIZ]; /* what the container calls its end */
	char qdisc[IFNAMSIZ];  /* kind of the root qdisc */
};

struct net_links;
/* For one thread. Opens sockets as they are needed. */
int net_links_new(const struct hierarchies *hierarchies, struct net_links **ret_links);
void net_links_free(struct net_links *links);
/* The container has gone. */
void net_links_forget(struct net_links *links, uint64_t id);

/*
 * What was found before is taken again while the same process is in the same namespace and the pair
 * is still what it was; `anew`: looks afresh, as before a change. -EOPNOTSUPP: it has no link of
 * its own, and `ret_reason` (static text, "it ...") says why; untouched otherwise.
 */
int net_links_find(struct net_links *links, const struct container *container, bool anew,
		   struct net_link *ret_link, const char **ret_reason);
struct netlink *net_links_socket(struct net_links *links);

#endif
