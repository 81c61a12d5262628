/* SPDX-License-Identifier: Apache-2.0 */
/* One rtnetlink socket in the agent's own network namespace; requests one after another. */
#ifndef EBB_NETLINK_H
#define EBB_NETLINK_H

#include "net_message.h"

struct netlink {
	int fd; /* -1: closed */
	uint32_t seq;
};

int netlink_open(struct netlink *ret_netlink);
void netlink_close(struct netlink *netlink);

/* One message of the answer. A negative errno is kept, and the rest is passed over. */
typedef int (*netlink_fn)(void *userdata, const struct net_message *message);

/*
 * Sends, and calls `fn` (NULL: none) with every message of the answer until the kernel
 * acknowledges. 0; what the kernel or `fn` says is wrong; -EBADMSG for an answer that is none;
 * -EAGAIN for one that changed while it was given, or that took seconds; -E2BIG above
 * NETLINK_MESSAGES_MAX of them. After one of these three the socket has been opened anew.
 */
#define NETLINK_MESSAGES_MAX 256
int netlink_ask(struct netlink *netlink, struct net_request *request, netlink_fn fn,
		void *userdata);

#endif
