/* SPDX-License-Identifier: Apache-2.0 */
#include "net_message.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

/* --- Requests --- */

void net_request_init(struct net_request *request, uint16_t type, uint16_t flags, const void *body,
		      size_t len)
{
	memset(request, 0, sizeof(*request));
	request->header = (struct nlmsghdr){
		.nlmsg_len = NLMSG_LENGTH(len),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
	};
	memcpy(request->rest, body, len);
}

/* Where the next attribute begins, in `rest`. */
static size_t end_of(const struct net_request *request)
{
	return NLMSG_ALIGN(request->header.nlmsg_len) - NLMSG_HDRLEN;
}

void net_request_add(struct net_request *request, uint16_t type, const void *data, size_t len)
{
	size_t at = end_of(request);
	struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type};

	if (at > sizeof(request->rest) - NLA_HDRLEN ||
	    len > sizeof(request->rest) - NLA_HDRLEN - at) {
		request->full = true;
		return;
	}
	memcpy(request->rest + at, &attribute, sizeof(attribute));
	if (len)
		memcpy(request->rest + at + NLA_HDRLEN, data, len);
	request->header.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + at + NLA_HDRLEN + len);
}

void net_request_add_u32(struct net_request *request, uint16_t type, uint32_t value)
{
	net_request_add(request, type, &value, sizeof(value));
}

void net_request_add_string(struct net_request *request, uint16_t type, const char *text)
{
	net_request_add(request, type, text, strlen(text) + 1);
}

size_t net_request_begin(struct net_request *request, uint16_t type)
{
	size_t begin = end_of(request);

	net_request_add(request, type, NULL, 0);
	return begin;
}

void net_request_end(struct net_request *request, size_t begin)
{
	uint16_t len = (uint16_t)(request->header.nlmsg_len - NLMSG_HDRLEN - begin);

	if (!request->full)
		memcpy(request->rest + begin, &len, sizeof(len));
}

/* --- Answers --- */

int net_message_next(const char **at, size_t *left, struct net_message *ret_message)
{
	struct nlmsghdr header;

	if (*left == 0)
		return 0;
	if (*left < sizeof(header))
		return -EBADMSG;
	memcpy(&header, *at, sizeof(header));
	if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > *left)
		return -EBADMSG;
	*ret_message = (struct net_message){
		.header = header,
		.payload = *at + NLMSG_HDRLEN,
		.len = header.nlmsg_len - NLMSG_HDRLEN,
	};

	size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
	/* The last one may lack its padding. */
	step = step < *left ? step : *left;
	*at += step;
	*left -= step;
	return 1;
}

int net_message_error(const struct net_message *message)
{
	int32_t error;

	if (message->len < sizeof(error))
		return -EBADMSG;
	memcpy(&error, message->payload, sizeof(error));
	return error > 0 ? -EBADMSG : error;
}

struct attributes {
	const char *at;
	size_t left;
};

struct attribute {
	uint16_t type;
	const char *data;
	size_t len;
};

static int next_attribute(struct attributes *attributes, struct attribute *ret)
{
	struct nlattr header;

	if (attributes->left == 0)
		return 0;
	if (attributes->left < sizeof(header))
		return -EBADMSG;
	memcpy(&header, attributes->at, sizeof(header));
	if (header.nla_len < NLA_HDRLEN || header.nla_len > attributes->left)
		return -EBADMSG;
	*ret = (struct attribute){
		.type = header.nla_type & NLA_TYPE_MASK,
		.data = attributes->at + NLA_HDRLEN,
		.len = header.nla_len - NLA_HDRLEN,
	};

	size_t step = NLA_ALIGN((size_t)header.nla_len);
	step = step < attributes->left ? step : attributes->left;
	attributes->at += step;
	attributes->left -= step;
	return 1;
}

static int get_i32(const struct attribute *attribute, int *ret_value)
{
	int32_t value;

	if (attribute->len != sizeof(value))
		return -EBADMSG;
	memcpy(&value, attribute->data, sizeof(value));
	*ret_value = value;
	return 0;
}

/* With its final NUL, which must be its only one. */
static int get_string(const struct attribute *attribute, char text[IFNAMSIZ])
{
	size_t len = strnlen(attribute->data, attribute->len);

	if (len + 1 != attribute->len || len >= IFNAMSIZ)
		return -EBADMSG;
	memcpy(text, attribute->data, len + 1);
	return 0;
}

/* The fixed part, and what follows it. */
static int open_message(const struct net_message *message, void *ret_body, size_t len,
			struct attributes *ret_attributes)
{
	size_t aligned = NLMSG_ALIGN(len);

	if (message->len < len)
		return -EBADMSG;
	memcpy(ret_body, message->payload, len);
	aligned = aligned < message->len ? aligned : message->len;
	*ret_attributes = (struct attributes){message->payload + aligned, message->len - aligned};
	return 0;
}

static int parse_link_kind(const struct attribute *info, bool *ret_veth)
{
	struct attributes attributes = {info->data, info->len};
	struct attribute attribute;
	int r;

	while ((r = next_attribute(&attributes, &attribute)) > 0) {
		if (attribute.type != IFLA_INFO_KIND)
			continue;
		/* Kinds of drivers are not bounded as names of interfaces are. */
		*ret_veth = attribute.len == sizeof("veth") &&
			    !memcmp(attribute.data, "veth", sizeof("veth"));
	}
	return r;
}

int net_message_parse_interface(const struct net_message *message,
				struct net_interface *ret_interface)
{
	struct net_interface interface = {.peer_netns = -1};
	struct attributes attributes;
	struct attribute attribute;
	struct ifinfomsg body;
	int r = open_message(message, &body, sizeof(body), &attributes);

	if (r < 0)
		return r;
	interface.index = body.ifi_index;
	while ((r = next_attribute(&attributes, &attribute)) > 0) {
		switch (attribute.type) {
		case IFLA_IFNAME: r = get_string(&attribute, interface.name); break;
		case IFLA_QDISC: r = get_string(&attribute, interface.qdisc); break;
		case IFLA_LINK: r = get_i32(&attribute, &interface.peer); break;
		case IFLA_LINK_NETNSID: r = get_i32(&attribute, &interface.peer_netns); break;
		case IFLA_LINKINFO: r = parse_link_kind(&attribute, &interface.veth); break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (interface.index <= 0 || !interface.name[0])
		return -EBADMSG;
	*ret_interface = interface;
	return 0;
}

static int parse_tbf(const struct attribute *options, uint64_t *ret_rate)
{
	struct attributes attributes = {options->data, options->len};
	struct tc_tbf_qopt parameters;
	struct attribute attribute;
	uint64_t rate = 0, rate64 = 0;
	int r;

	while ((r = next_attribute(&attributes, &attribute)) > 0) {
		if (attribute.type == TCA_TBF_PARMS) {
			if (attribute.len < sizeof(parameters))
				return -EBADMSG;
			memcpy(&parameters, attribute.data, sizeof(parameters));
			rate = parameters.rate.rate;
		} else if (attribute.type == TCA_TBF_RATE64) {
			if (attribute.len != sizeof(rate64))
				return -EBADMSG;
			memcpy(&rate64, attribute.data, sizeof(rate64));
		}
	}
	if (r < 0)
		return r;
	rate = rate64 > rate ? rate64 : rate;
	if (!rate)
		return -EBADMSG;
	*ret_rate = rate;
	return 0;
}

int net_message_parse_qdisc(const struct net_message *message, struct net_qdisc *ret_qdisc)
{
	struct attribute attribute, options = {0};
	struct net_qdisc qdisc = {0};
	struct attributes attributes;
	struct tcmsg body;
	int r = open_message(message, &body, sizeof(body), &attributes);

	if (r < 0)
		return r;
	qdisc.index = body.tcm_ifindex;
	qdisc.handle = body.tcm_handle;
	qdisc.parent = body.tcm_parent;
	while ((r = next_attribute(&attributes, &attribute)) > 0) {
		if (attribute.type == TCA_KIND)
			r = get_string(&attribute, qdisc.kind);
		else if (attribute.type == TCA_OPTIONS)
			options = attribute;
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (!qdisc.kind[0])
		return -EBADMSG;
	if (!strcmp(qdisc.kind, "tbf")) {
		r = parse_tbf(&options, &qdisc.rate);
		if (r < 0)
			return r;
	}
	*ret_qdisc = qdisc;
	return 0;
}

int net_message_parse_netns(const struct net_message *message, int *ret_id)
{
	struct attributes attributes;
	struct attribute attribute;
	struct rtgenmsg body;
	bool found = false;
	int id = -1, r = open_message(message, &body, sizeof(body), &attributes);

	if (r < 0)
		return r;
	while ((r = next_attribute(&attributes, &attribute)) > 0) {
		if (attribute.type != NETNSA_NSID)
			continue;
		r = get_i32(&attribute, &id);
		if (r < 0)
			return r;
		found = true;
	}
	if (r < 0)
		return r;
	if (!found)
		return -EBADMSG;
	*ret_id = id;
	return 0;
}
