/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's reply to a put means, and how large a body it takes. Pure. */
#ifndef EBB_TSDB_REPLY_H
#define EBB_TSDB_REPLY_H

#include <jansson.h>

#include "tsdb_batch.h"

struct tsdb_reply {
	long status;      /* 0: none */
	bool cut;         /* closed or reset after the connection stood, without a whole reply */
	bool asked;       /* the put had ?details */
	const char *body; /* NUL-terminated; NULL: none */
	size_t body_len;
	const char *retry_after; /* the header; NULL: none */
};

enum tsdb_verdict {
	TSDB_TAKEN,     /* all of it */
	TSDB_NAMED,     /* each point that failed is named, the others are stored */
	TSDB_ASK,       /* some points failed: ask for details */
	TSDB_TOO_LARGE, /* post it in halves, and smaller ones from now on */
	TSDB_UNCLEAR,   /* refused, and it does not tell which points: post it in halves */
	TSDB_CUT,       /* closed without a reply: a fault, or too large */
	TSDB_LATER,     /* keep it, with backoff */
	TSDB_SETUP,     /* a person has to change something: keep it, ask seldom */
};

/* *ret_details: TSDB_NAMED only, the reply as JSON, owned by the caller. */
enum tsdb_verdict tsdb_reply_judge(const struct tsdb_reply *reply, json_t **ret_details);

/* Whole seconds of Retry-After, at most 300; 0: none, or a date. */
unsigned tsdb_reply_wait_s(const struct tsdb_reply *reply);

/* What the server says is wrong, one line, for people; "" when it says nothing of use. */
void tsdb_reply_message(const struct tsdb_reply *reply, char *buffer, size_t size);

/* Of one failed point. */
enum tsdb_fault {
	TSDB_FAULT_POINT,   /* it will never be taken */
	TSDB_FAULT_METRIC,  /* nor this, before its name is assigned */
	TSDB_FAULT_STORAGE, /* the server's storage could not take it now */
};
enum tsdb_fault tsdb_reply_fault(const char *error);

/*
 * For each failed point of a TSDB_NAMED reply that is found in `batch`: its index there and its
 * error, once each. Failed points that are not in the batch are ignored. -ENOMEM.
 */
typedef void (*tsdb_failed_fn)(void *userdata, uint32_t index, const char *metric,
			       const char *error);
int tsdb_reply_match(const json_t *details, const struct tsdb_batch *batch, tsdb_failed_fn fn,
		     void *userdata);

/*
 * The largest body to try: halved when one is refused, doubled now and then while bodies are taken,
 * but never above the largest that was.
 */
struct tsdb_size {
	size_t max;     /* configured */
	size_t limit;   /* now */
	size_t worked;  /* the largest ever taken */
	unsigned taken; /* since the last change */
	unsigned patience;
};
#define TSDB_SIZE_MIN 256
void tsdb_size_init(struct tsdb_size *size, size_t max);
void tsdb_size_refused(struct tsdb_size *size, size_t len);
void tsdb_size_taken(struct tsdb_size *size, size_t len);

#endif
