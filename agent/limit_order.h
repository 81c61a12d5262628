/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PUT /container/NAME asks for: the body checked as a whole before anything is written, and
 * the order in which its writes are safe. Pure.
 */
#ifndef EBB_LIMIT_ORDER_H
#define EBB_LIMIT_ORDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "ebb/util.h"

/* The resource and the key in it, as the API names them: "cpu", "cpu_num". */
const char *limit_kind_resource(enum limit_kind kind);
const char *limit_kind_key(enum limit_kind kind);

/* Agent units; LIMIT_NONE: unlimited. */
struct limit_order {
	unsigned asked; /* 1 << enum limit_kind */
	/* us per period, weight, bytes, bytes or requests per second; none for CPUS */
	uint64_t value[LIMIT_KIND_MAX];
	char cpus[LIMIT_CPUS_TEXT]; /* LIMIT_CPUS: "0,1,4"; "": all that the parent has */
	bool raises_only;           /* steps that would lower something are left out */
	char device[IFNAMSIZ]; /* LIMIT_NET: on this and no other; "": whatever the container has */
};

/* The least that may be set: less memory than this starts no program (spec 4.1). */
#define LIMIT_MEM_MIN_MIB 64

/*
 * Reads `body` ({"cpu":{"cpu_allowance_limit","cpu_num"},"mem":{"mem_limit"},...}, spec section 4).
 * Values are numbers or numeric strings in edge units, -1 unlimited. -EINVAL, with `message` saying
 * what is wrong and what would be right, for anything that it does not know.
 */
int limit_order_parse(const json_t *body, const struct cpu_list *online,
		      struct limit_order *ret_order, char *message, size_t size);

/* -EOPNOTSUPP and a message when the container or the host has no means for something asked. */
int limit_order_supported(const struct limit_order *order, const struct limits *present, dev_t disk,
			  char *message, size_t size);

/*
 * Adds to a supported order what it implies: a quota below the burst takes the burst down with it,
 * because the kernel refuses it otherwise.
 */
void limit_order_complete(struct limit_order *order, const struct limits *present);

struct limit_step {
	enum limit_kind kind;
	bool lowers; /* LIMIT_MEM and LIMIT_MEM_HIGH lowered, and reclaim, block: for shrink.h */
};

/*
 * The writes that take `present` to `order`, without the equal ones. What grows comes before what
 * shrinks, so that a container never has less of everything on the way; a cpuset is widened before
 * the quota grows and narrowed after it shrank; lowered memory, which is slow and may be refused,
 * comes last. memory.max rises before memory.high and falls after it. Returns their number.
 */
size_t limit_order_plan(const struct limit_order *order, const struct limits *present,
			struct limit_step ret_steps[LIMIT_KIND_MAX]);

/* The present value of one limit in agent units; of LIMIT_CPUS the number of CPUs. */
uint64_t limits_value(const struct limits *limits, enum limit_kind kind);

#endif
