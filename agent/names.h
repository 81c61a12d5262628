/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the engines what their containers are called, in threads of their own (name_lanes.h): what
 * an engine's files and directories do, hung ones too, costs names of that engine and nothing else.
 * What was found is kept by the cgroup's id and looked at again once a minute, what was not every
 * five seconds.
 */
#ifndef EBB_NAMES_H
#define EBB_NAMES_H

#include "container.h"
#include "engines.h"
#include "ebb/loop.h"

struct names_options {
	struct loop *loop;
	struct engine_roots roots; /* copied */
	/*
	 * What became known of a container, then whenever it changes; the labels may be taken out
	 * of the answer. NULL: nothing within NAMES_WAIT_NS; it may still come later. Called by
	 * the loop, and by names_settle(); for containers that come together in the order in which
	 * their cgroups were made.
	 */
	void (*named)(void *userdata, uint64_t id, struct engine_answer *answer);
	void *userdata;
};

#define NAMES_WAIT_NS 1000000000ULL

struct names;
int names_new(const struct names_options *options, struct names **ret_names);
/* Waits for files that are being read, a second at most. */
void names_free(struct names *names);

/* -ENOMEM: it stays without a name. */
int names_add(struct names *names, const struct container *container);
void names_remove(struct names *names, uint64_t id);
/* At start, before anybody is told of the containers that are there: until all have been asked for,
 * or that long. */
void names_settle(struct names *names, unsigned timeout_ms);

#endif
