/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a host's CPUs are handed out (spec 6.6). Pure. */
#ifndef EBB_CORE_ORDER_H
#define EBB_CORE_ORDER_H

#include <jansson.h>

#include "ebb/util.h"

/* P: the first thread of a physical core, L: its siblings. */
enum core_distribution {
	CORES_GROUP_PL,     /* Group_P&L: core by core, each with its siblings */
	CORES_GROUP_1P_2L,  /* Group_1P_2L: socket by socket, first its cores, then the siblings */
	CORES_GROUP_PP_LL,  /* Group_PP_LL: the cores of all sockets, then all siblings */
	CORES_SPREAD_PL,    /* Spread_P&L: core by core, taking turns between the sockets */
	CORES_SPREAD_PP_LL, /* Spread_PP_LL: likewise, but all cores before any sibling */
	CORES_GROUP_NUMA,   /* Group_NUMA: as Group_1P_2L, by NUMA node */
	CORES_NONE,         /* none: shares are accounted, but no cpuset is written */
	CORES_MAX,
};
const char *core_distribution_name(enum core_distribution distribution);
/* By its exact name; CORES_MAX: anything else. */
enum core_distribution core_distribution_from_json(const json_t *value);
/* "Group_P&L, ... or none": for messages. */
const char *core_distribution_names(void);

/*
 * CPU ids in the order they are handed out. `topology` is {socket: {core: [cpu, ...]}}; sockets and
 * cores count by number, whatever the order of the members; holes in the ids and offline CPUs are
 * what it says. `nodes` is {node: [cpu, ...]}; NULL, or not of that form: sockets stand for nodes;
 * a CPU that no node names comes last. Spreading begins at the last socket. `none` orders like
 * Group_PP_LL. Caller clears. -EINVAL: no topology, or a CPU twice.
 */
int core_order(enum core_distribution distribution, const json_t *topology, const json_t *nodes,
	       struct cpu_list *ret_order);

#endif
