/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ebb/cleanup.h"

/* The kernel gives a dump in pieces of at most 32 KiB; one interface with all its statistics and
 * hundreds of virtual functions fits, too. */
#define ANSWER_MAX (64U << 10)
/* An answer is there when the request was taken; this is for a kernel that does not answer. */
#define TIMEOUT_S 2

int netlink_open(struct netlink *ret_netlink)
{
	static const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	static const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	static const int on = 1;
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	/* Since 4.20: what it does not know of a request it refuses, rather than to overlook it. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	*ret_netlink = (struct netlink){.fd = TAKE_FD(fd)};
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->fd >= 0)
		close(netlink->fd);
	netlink->fd = -1;
}

struct answer {
	uint32_t seq;
	netlink_fn fn;
	void *userdata;
	unsigned n;
	int error; /* the first */
};

/* 1: that was all; 0: there is more to come. */
static int take(struct answer *answer, const char *bytes, size_t len)
{
	struct net_message message;
	int r;

	while ((r = net_message_next(&bytes, &len, &message)) > 0) {
		if (message.header.nlmsg_seq != answer->seq)
			continue;
		if (message.header.nlmsg_flags & NLM_F_DUMP_INTR)
			return -EAGAIN;
		if (message.header.nlmsg_type == NLMSG_ERROR ||
		    message.header.nlmsg_type == NLMSG_DONE) {
			/* A dump of an old kernel may end without a number. */
			r = message.header.nlmsg_type == NLMSG_DONE && !message.len
				    ? 0
				    : net_message_error(&message);
			if (answer->error == 0)
				answer->error = r;
			return 1;
		}
		if (++answer->n > NETLINK_MESSAGES_MAX)
			return -E2BIG;
		r = answer->fn ? answer->fn(answer->userdata, &message) : 0;
		if (r < 0 && answer->error == 0)
			answer->error = r;
	}
	return r;
}

static int receive(struct netlink *netlink, struct answer *answer)
{
	_cleanup_free_ char *bytes = malloc(ANSWER_MAX);
	int r;

	if (!bytes)
		return -ENOMEM;
	do {
		struct sockaddr_nl from = {0};
		struct iovec part = {bytes, ANSWER_MAX};
		struct msghdr header = {.msg_name = &from,
					.msg_namelen = sizeof(from),
					.msg_iov = &part,
					.msg_iovlen = 1};
		ssize_t n = recvmsg(netlink->fd, &header, 0);

		if (n < 0 && errno == EINTR) {
			r = 0;
			continue;
		}
		if (n < 0)
			return -errno;
		if (header.msg_flags & MSG_TRUNC)
			return -EBADMSG;
		/* Any process may send to the socket; only the kernel is number 0. */
		r = from.nl_pid ? 0 : take(answer, bytes, (size_t)n);
	} while (r == 0);
	return r < 0 ? r : 0;
}

int netlink_ask(struct netlink *netlink, struct net_request *request, netlink_fn fn, void *userdata)
{
	struct answer answer = {.fn = fn, .userdata = userdata};
	int r;

	if (request->full)
		return -EMSGSIZE;
	if (netlink->fd < 0) {
		r = netlink_open(netlink);
		if (r < 0)
			return r;
	}
	answer.seq = ++netlink->seq;
	request->header.nlmsg_seq = answer.seq;
	request->header.nlmsg_flags |= NLM_F_ACK;

	ssize_t sent = send(netlink->fd, request, request->header.nlmsg_len, 0);
	r = sent < 0 ? -errno : receive(netlink, &answer);
	if (r < 0) {
		/* What is left of the answer must not be taken for the next one's. */
		netlink_close(netlink);
		return r;
	}
	return answer.error;
}
