/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "net_message.h"

static struct net_request request;
static struct net_message message;

/* The request that was put together, read as an answer, in a buffer of just its size. */
static void reread(void)
{
	static char *copy;
	const char *at;
	size_t left = request.header.nlmsg_len;

	CHECK(!request.full);
	free(copy);
	copy = malloc(left);
	memcpy(copy, &request, left);
	at = copy;
	CHECK_INT(net_message_next(&at, &left, &message), 1);
	CHECK_INT(left, 0);
	CHECK_INT(net_message_next(&at, &left, &message), 0);
}

static void begin_interface(int index)
{
	struct ifinfomsg body = {.ifi_index = index};

	net_request_init(&request, RTM_NEWLINK, 0, &body, sizeof(body));
}

static void add_kind(const char *kind)
{
	size_t info = net_request_begin(&request, IFLA_LINKINFO);

	net_request_add_string(&request, IFLA_INFO_KIND, kind);
	net_request_end(&request, info);
}

TEST(interface_of_a_veth)
{
	struct net_interface interface;

	begin_interface(7);
	net_request_add_string(&request, IFLA_IFNAME, "veth6FJXD8");
	net_request_add_u32(&request, IFLA_LINK, 2);
	net_request_add_u32(&request, IFLA_LINK_NETNSID, 0);
	net_request_add_string(&request, IFLA_QDISC, "noqueue");
	add_kind("veth");
	net_request_add(&request, 999, "what nobody knows", 17);
	reread();
	CHECK_INT(net_message_parse_interface(&message, &interface), 0);
	CHECK_INT(interface.index, 7);
	CHECK_INT(interface.peer, 2);
	CHECK_INT(interface.peer_netns, 0);
	CHECK(interface.veth);
	CHECK_STR(interface.name, "veth6FJXD8");
	CHECK_STR(interface.qdisc, "noqueue");
}

TEST(interface_of_another_kind)
{
	struct net_interface interface;
	static const char *const kinds[] = {"vethx", "vet", "macvlan", ""};

	for (int i = 0; i < 4; i++) {
		begin_interface(7);
		net_request_add_string(&request, IFLA_IFNAME, "eth0");
		add_kind(kinds[i]);
		reread();
		CHECK_INT(net_message_parse_interface(&message, &interface), 0);
		CHECK(!interface.veth);
		/* An end in the same namespace has no number. */
		CHECK_INT(interface.peer_netns, -1);
		CHECK_INT(interface.peer, 0);
	}
}

static void refused_interface(void)
{
	struct net_interface interface = {.index = 77};

	reread();
	CHECK_INT(net_message_parse_interface(&message, &interface), -EBADMSG);
	CHECK_INT(interface.index, 77);
}

TEST(interface_malformed)
{
	/* Neither index nor name. */
	begin_interface(0);
	net_request_add_string(&request, IFLA_IFNAME, "eth0");
	refused_interface();
	begin_interface(7);
	refused_interface();
	/* A name without its end, too long, with two ends. */
	begin_interface(7);
	net_request_add(&request, IFLA_IFNAME, "eth0", 4);
	refused_interface();
	begin_interface(7);
	net_request_add(&request, IFLA_IFNAME, "sixteen-letters-", 17);
	refused_interface();
	begin_interface(7);
	net_request_add(&request, IFLA_IFNAME, "et\0x", 5);
	refused_interface();
	begin_interface(7);
	net_request_add(&request, IFLA_IFNAME, NULL, 0);
	refused_interface();
	/* A number of another size. */
	begin_interface(7);
	net_request_add_string(&request, IFLA_IFNAME, "eth0");
	net_request_add(&request, IFLA_LINK, "\1\0", 2);
	refused_interface();
	/* An attribute within that reaches beyond. */
	begin_interface(7);
	net_request_add_string(&request, IFLA_IFNAME, "eth0");
	net_request_add(&request, IFLA_LINKINFO, "\x40\0\1\0veth", 8);
	refused_interface();
	/* Shorter than its own head. */
	begin_interface(7);
	net_request_add_string(&request, IFLA_IFNAME, "eth0");
	net_request_add(&request, IFLA_LINKINFO, "\3\0\1\0", 4);
	refused_interface();
}

/* Whatever a message is cut to: never beyond its end, which the sanitizer watches. */
TEST(interface_cut_anywhere)
{
	begin_interface(7);
	net_request_add_string(&request, IFLA_IFNAME, "veth6FJXD8");
	net_request_add_u32(&request, IFLA_LINK, 2);
	add_kind("veth");
	struct net_request whole = request;
	unsigned understood = 0;

	for (uint32_t len = NLMSG_HDRLEN; len < whole.header.nlmsg_len; len++) {
		struct net_interface interface;

		request = whole;
		request.header.nlmsg_len = len;
		reread();
		int r = net_message_parse_interface(&message, &interface);
		CHECK(r == 0 || r == -EBADMSG);
		understood += r == 0;
	}
	/* Between two attributes it is a shorter message. */
	CHECK(understood >= 2 && understood < 12);
}

static void begin_qdisc(const char *kind)
{
	struct tcmsg body = {.tcm_ifindex = 7, .tcm_handle = 0x0ebb0000, .tcm_parent = TC_H_ROOT};

	net_request_init(&request, RTM_NEWQDISC, 0, &body, sizeof(body));
	if (kind)
		net_request_add_string(&request, TCA_KIND, kind);
}

static void add_tbf(uint32_t rate, uint64_t rate64)
{
	struct tc_tbf_qopt parameters = {.rate = {.rate = rate}};
	size_t options = net_request_begin(&request, TCA_OPTIONS);

	net_request_add(&request, TCA_TBF_PARMS, &parameters, sizeof(parameters));
	if (rate64)
		net_request_add(&request, TCA_TBF_RATE64, &rate64, sizeof(rate64));
	net_request_end(&request, options);
}

TEST(qdisc_of_a_bucket)
{
	struct net_qdisc qdisc;

	begin_qdisc("tbf");
	add_tbf(12500000, 0);
	reread();
	CHECK_INT(net_message_parse_qdisc(&message, &qdisc), 0);
	CHECK_INT(qdisc.index, 7);
	CHECK_INT(qdisc.handle, 0x0ebb0000);
	CHECK_INT(qdisc.parent, TC_H_ROOT);
	CHECK_STR(qdisc.kind, "tbf");
	CHECK_INT(qdisc.rate, 12500000);

	/* Beyond 32 bits it is told apart. */
	begin_qdisc("tbf");
	add_tbf(UINT32_MAX, 125000000000);
	reread();
	CHECK_INT(net_message_parse_qdisc(&message, &qdisc), 0);
	CHECK_INT(qdisc.rate, 125000000000);
}

TEST(qdisc_of_another_kind)
{
	struct net_qdisc qdisc;

	begin_qdisc("fq_codel");
	/* What would be a bucket's parameters means something else there. */
	add_tbf(12500000, 0);
	reread();
	CHECK_INT(net_message_parse_qdisc(&message, &qdisc), 0);
	CHECK_STR(qdisc.kind, "fq_codel");
	CHECK_INT(qdisc.rate, 0);
}

static void refused_qdisc(void)
{
	struct net_qdisc qdisc = {.index = 77};

	reread();
	CHECK_INT(net_message_parse_qdisc(&message, &qdisc), -EBADMSG);
	CHECK_INT(qdisc.index, 77);
}

TEST(qdisc_malformed)
{
	begin_qdisc(NULL);
	refused_qdisc();
	begin_qdisc("a-kind-of-qdisc-without-end");
	refused_qdisc();
	begin_qdisc("tbf");
	refused_qdisc();
	begin_qdisc("tbf");
	add_tbf(0, 0);
	refused_qdisc();
	begin_qdisc("tbf");
	size_t options = net_request_begin(&request, TCA_OPTIONS);
	net_request_add(&request, TCA_TBF_PARMS, "short", 5);
	net_request_end(&request, options);
	refused_qdisc();
}

TEST(netns_numbers)
{
	struct rtgenmsg body = {0};
	int id = 77;

	net_request_init(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	reread();
	CHECK_INT(net_message_parse_netns(&message, &id), -EBADMSG);
	CHECK_INT(id, 77);
	net_request_add_u32(&request, NETNSA_NSID, 3);
	reread();
	CHECK_INT(net_message_parse_netns(&message, &id), 0);
	CHECK_INT(id, 3);
	net_request_init(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	net_request_add_u32(&request, NETNSA_NSID, (uint32_t)-1);
	reread();
	CHECK_INT(net_message_parse_netns(&message, &id), 0);
	CHECK_INT(id, -1);
}

TEST(messages_one_after_another)
{
	struct rtgenmsg body = {0};
	char both[256];
	const char *at = both;

	net_request_init(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	size_t first = NLMSG_ALIGN(request.header.nlmsg_len), left;
	memcpy(both, &request, first);
	request.header.nlmsg_type = RTM_NEWLINK;
	memcpy(both + first, &request, request.header.nlmsg_len);
	left = first + request.header.nlmsg_len;
	CHECK_INT(net_message_next(&at, &left, &message), 1);
	CHECK_INT(message.header.nlmsg_type, RTM_NEWNSID);
	CHECK_INT(net_message_next(&at, &left, &message), 1);
	CHECK_INT(message.header.nlmsg_type, RTM_NEWLINK);
	CHECK_INT(net_message_next(&at, &left, &message), 0);
}

TEST(messages_malformed)
{
	static const uint32_t lengths[] = {0, 1, NLMSG_HDRLEN - 1, 33, UINT32_MAX};
	struct nlmsghdr bytes[2] = {{0}};

	for (int i = 0; i < 5; i++) {
		const char *at = (const char *)bytes;
		size_t left = sizeof(bytes);

		bytes[0].nlmsg_len = lengths[i];
		CHECK_INT(net_message_next(&at, &left, &message), -EBADMSG);
	}
	const char *at = (const char *)bytes;
	size_t left = NLMSG_HDRLEN - 1;
	bytes[0].nlmsg_len = NLMSG_HDRLEN;
	CHECK_INT(net_message_next(&at, &left, &message), -EBADMSG);
}

TEST(errors)
{
	int32_t error = -EPERM;

	message = (struct net_message){.payload = (const char *)&error, .len = sizeof(error)};
	CHECK_INT(net_message_error(&message), -EPERM);
	error = 0;
	CHECK_INT(net_message_error(&message), 0);
	/* Errors are negative there. */
	error = 5;
	CHECK_INT(net_message_error(&message), -EBADMSG);
	message.len = 3;
	CHECK_INT(net_message_error(&message), -EBADMSG);
}

TEST(request_that_is_full)
{
	struct rtgenmsg body = {0};

	net_request_init(&request, RTM_NEWNSID, 0, &body, sizeof(body));
	for (int i = 0; i < 100; i++)
		net_request_add_u32(&request, 1, 1);
	CHECK(request.full);
	CHECK(request.header.nlmsg_len <= offsetof(struct net_request, full));
}

TEST_MAIN()
