/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink messages: requests put together, answers taken apart. Every length is checked, and what
 * does not fit is -EBADMSG. Pure.
 */
#ifndef EBB_NET_MESSAGE_H
#define EBB_NET_MESSAGE_H

#include <linux/netlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Its first header.nlmsg_len bytes are the message. */
struct net_request {
	struct nlmsghdr header;
	char rest[496];
	bool full; /* something did not fit */
};

/* `body` is the fixed part of the type: struct ifinfomsg, tcmsg, rtgenmsg. */
void net_request_init(struct net_request *request, uint16_t type, uint16_t flags, const void *body,
		      size_t len);
void net_request_add(struct net_request *request, uint16_t type, const void *data, size_t len);
void net_request_add_u32(struct net_request *request, uint16_t type, uint32_t value);
void net_request_add_string(struct net_request *request, uint16_t type, const char *text);
/* Attributes added in between are within it. */
size_t net_request_begin(struct net_request *request, uint16_t type);
void net_request_end(struct net_request *request, size_t begin);

struct net_message {
	struct nlmsghdr header;
	const char *payload;
	size_t len;
};

/*
 * Takes the first message off the `*left` bytes at `*at`. 1, 0 at the end, or -EBADMSG for a length
 * that is too short or reaches beyond.
 */
int net_message_next(const char **at, size_t *left, struct net_message *ret_message);

/* The error of an NLMSG_ERROR, 0 or negative; -EBADMSG. */
int net_message_error(const struct net_message *message);

/* One interface. */
struct net_interface {
	int index;
	int peer;       /* the index that the other end has, where it is; 0: there is none */
	int peer_netns; /* id of the network namespace of the other end; -1: not told */
	bool veth;
	char name[IFNAMSIZ];
	char qdisc[IFNAMSIZ]; /* kind of the root qdisc; "": not told */
};
int net_message_parse_interface(const struct net_message *message,
				struct net_interface *ret_interface);

/* One queueing discipline. */
struct net_qdisc {
	int index; /* of its interface */
	uint32_t handle, parent;
	char kind[IFNAMSIZ];
	uint64_t rate; /* tbf: bytes per second; 0: another kind */
};
int net_message_parse_qdisc(const struct net_message *message, struct net_qdisc *ret_qdisc);

/* An RTM_NEWNSID: the id of a network namespace, -1 where it has none yet. */
int net_message_parse_netns(const struct net_message *message, int *ret_id);

#endif
