/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent and the feed have agreed on: the containers by the numbers that messages use. */
#ifndef EBB_FEED_SESSION_H
#define EBB_FEED_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "feed_message.h"
#include "model.h"

/* A container as a session numbers it. */
struct member {
	int64_t c;
	char *name;
	bool refused; /* the model would not take it: its samples are ignored */
	bool name_taken;
	bool goes;    /* the message says that it has been removed */
	bool sampled; /* `last` is set */
	/* The message that told of a growth of it; of one that could not be settled. 0: none */
	unsigned long grew, open;
	struct feed_sample last;

	/* Looked up once per message: a structure may go between two. */
	struct structure *structure;
	unsigned long looked_up;
};

struct session {
	struct session *next;
	char *id, *host_name;
	struct host *host; /* looked up for every message */
	int64_t seq;
	struct member **members; /* ascending by c */
	size_t n, room;
	unsigned long messages;
	uint64_t told_rival_ns; /* when it was last logged that another agent uses its name; 0:
				   never */
};

/* NULL on no memory. */
struct session *feed_session_new(const char *id, const char *host_name);
void feed_session_free(struct session *session);

/* NULL: there is none of that number. */
struct member *member_find(const struct session *session, int64_t c);
/* The one that has the number, or a new one; NULL on no memory. */
struct member *member_add(struct session *session, int64_t c, const char *name);
/* There must be one. */
void member_remove(struct session *session, int64_t c);

#endif
