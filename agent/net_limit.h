/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network limit of a container: a token bucket (tbf) as the root qdisc of the host's end of its
 * veth pair, which holds what the container receives. Ebb's has the handle ebb:, and nobody else's
 * is ever changed or removed.
 */
#ifndef EBB_NET_LIMIT_H
#define EBB_NET_LIMIT_H

#include "limits.h"
#include "net_link.h"

/* Of Ebb's qdisc; `tc qdisc` shows it as "ebb:". */
#define NET_LIMIT_HANDLE 0x0ebb0000U

/*
 * Sets has_net and net, or no_net, of `limits`; `links` NULL: there are no network limits. What
 * cannot be read is none, too: it must not hide the other limits.
 */
void net_limit_read(struct net_links *links, const struct container *container,
		    struct limits *limits);

/*
 * `bps`: bytes per second, or LIMIT_NONE, which removes Ebb's qdisc and no other. Skips an equal
 * write, and reads back. -EEXIST: another's qdisc is there; -EOPNOTSUPP: it has no link, or the
 * kernel no tbf; -ENODEV: the link has gone; -EREMOTEIO: another value was read back.
 */
int net_limit_write(struct net_links *links, const struct container *container, uint64_t bps);

#endif
