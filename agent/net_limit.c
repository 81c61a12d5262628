/* SPDX-License-Identifier: Apache-2.0 */
#include "net_limit.h"

#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"

/*
 * "burst 1000kb latency 100ms", as the Container Scaler has it. From 2 Gbit/s on a burst grows with
 * the rate, 4 ms of it: a bucket that fills faster than the kernel's timers come is never used up.
 */
#define BURST_MIN    (1000U << 10)
#define BURST_MAX    (64U << 20)
#define BURSTS_PER_S 250
#define QUEUES_PER_S 10

static int on_qdisc(void *userdata, const struct net_message *message)
{
	return message->header.nlmsg_type == RTM_NEWQDISC
		       ? net_message_parse_qdisc(message, userdata)
		       : 0;
}

/* The root qdisc. Without a handle: the kernel's own, which gives way to any other. */
static int read_root(struct netlink *netlink, int index, struct net_qdisc *ret_qdisc)
{
	struct tcmsg body = {.tcm_ifindex = index, .tcm_parent = TC_H_ROOT};
	struct net_qdisc qdisc = {0};
	struct net_request request;

	/* Without ECHO kernels before 6.6 tell everybody but who asks. */
	net_request_init(&request, RTM_GETQDISC, NLM_F_ECHO, &body, sizeof(body));
	int r = netlink_ask(netlink, &request, on_qdisc, &qdisc);
	/* Of a built-in one nothing is told. */
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		return r;
	if (qdisc.kind[0] && qdisc.index != index)
		return -EBADMSG;
	*ret_qdisc = qdisc;
	return 0;
}

static bool is_ours(const struct net_qdisc *qdisc)
{
	return qdisc->handle == NET_LIMIT_HANDLE && !strcmp(qdisc->kind, "tbf");
}

static bool is_foreign(const struct net_qdisc *qdisc)
{
	return qdisc->handle && !is_ours(qdisc);
}

void net_limit_read(struct net_links *links, const struct container *container,
		    struct limits *limits)
{
	struct net_qdisc root = {0};
	struct net_link link;
	int r;

	limits->has_net = false;
	limits->no_net = "this agent sets no network limits";
	if (!links)
		return;
	r = net_links_find(links, container, false, &link, &limits->no_net);
	/* The common root needs no further question. */
	if (r == 0 && strcmp(link.qdisc, "noqueue"))
		r = read_root(net_links_socket(links), link.index, &root);
	if (r == -ENODEV || r == -ENOENT)
		limits->no_net = "its interface has gone";
	else if (r < 0 && r != -EOPNOTSUPP)
		limits->no_net = "its network could not be read; ask again";
	if (r < 0) {
		log_debug("%s: %s: %s", container->name, limits->no_net, strerror(-r));
		return;
	}
	limits->has_net = true;
	limits->net = (struct net_limits){.bps = root.rate ? root.rate : LIMIT_NONE};
	memcpy(limits->net.device, link.name, sizeof(link.name));
	memcpy(limits->net.inside, link.inside, sizeof(link.inside));
	if (is_foreign(&root))
		memcpy(limits->net.foreign, root.kind, sizeof(root.kind));
}

/*
 * With the handle and without NLM_F_REPLACE: the kernel changes the root qdisc that has this
 * handle, puts it where there was none, and refuses when another is there, all under its own lock.
 */
static int set_bucket(struct netlink *netlink, int index, uint64_t bps)
{
	struct tcmsg body = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = index,
		.tcm_handle = NET_LIMIT_HANDLE,
		.tcm_parent = TC_H_ROOT,
	};
	uint32_t burst = (uint32_t)CLAMP(bps / BURSTS_PER_S, BURST_MIN, BURST_MAX);
	struct tc_tbf_qopt parameters = {
		.rate = {.rate = (uint32_t)MIN(bps, UINT32_MAX),
			 .linklayer = TC_LINKLAYER_ETHERNET},
		.limit = (uint32_t)MIN(bps / QUEUES_PER_S + burst, UINT32_MAX),
	};
	struct net_request request;

	net_request_init(&request, RTM_NEWQDISC, NLM_F_CREATE, &body, sizeof(body));
	net_request_add_string(&request, TCA_KIND, "tbf");
	size_t options = net_request_begin(&request, TCA_OPTIONS);
	net_request_add(&request, TCA_TBF_PARMS, &parameters, sizeof(parameters));
	net_request_add_u32(&request, TCA_TBF_BURST, burst);
	if (bps > UINT32_MAX)
		net_request_add(&request, TCA_TBF_RATE64, &bps, sizeof(bps));
	net_request_end(&request, options);
	return netlink_ask(netlink, &request, NULL, NULL);
}

/* The kernel removes it only if it has this handle and kind. */
static int remove_bucket(struct netlink *netlink, int index)
{
	struct tcmsg body = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = index,
		.tcm_handle = NET_LIMIT_HANDLE,
		.tcm_parent = TC_H_ROOT,
	};
	struct net_request request;

	net_request_init(&request, RTM_DELQDISC, 0, &body, sizeof(body));
	net_request_add_string(&request, TCA_KIND, "tbf");
	return netlink_ask(netlink, &request, NULL, NULL);
}

int net_limit_write(struct net_links *links, const struct container *container, uint64_t bps)
{
	struct netlink *netlink = net_links_socket(links);
	struct net_qdisc root;
	struct net_link link;
	const char *reason;
	int r;

	if (bps == 0)
		return -EINVAL;
	r = net_links_find(links, container, true, &link, &reason);
	if (r == -EOPNOTSUPP)
		log_warning("no network limit for %s: %s", container->name, reason);
	if (r == 0)
		r = read_root(netlink, link.index, &root);
	if (r < 0)
		return r;
	if (is_foreign(&root))
		return bps == LIMIT_NONE && !root.rate ? 0 : -EEXIST;
	if (bps == (root.rate ? root.rate : LIMIT_NONE))
		return 0;

	r = bps == LIMIT_NONE ? remove_bucket(netlink, link.index)
			      : set_bucket(netlink, link.index, bps);
	if (r == -ENOENT && bps != LIMIT_NONE)
		return log_error_errno(EOPNOTSUPP, "the kernel has no tbf qdisc (sch_tbf)");
	if (r == 0)
		r = read_root(netlink, link.index, &root);
	if (r < 0)
		return r;
	if (bps == LIMIT_NONE)
		return is_ours(&root) ? -EREMOTEIO : 0;
	return is_ours(&root) && root.rate == bps ? 0 : -EREMOTEIO;
}
