/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a feed message (docs/feed.md), appended as JSON. Pure. */
#ifndef EBB_FEED_MESSAGE_H
#define EBB_FEED_MESSAGE_H

#include <stdint.h>

#include "container.h"
#include "grower.h"
#include "hands.h"
#include "limits.h"
#include "text.h"
#include "ebb/sample.h"

/* Before each member of a list, which the first of them opens; `n`: so many before it, one more. */
void feed_message_member(struct text *text, const char *list, size_t *n);
/* After all its members. */
void feed_message_end_list(struct text *text, size_t n);
/* [c, t, cpu_ns, ...]; a counter that the host does not have is null. */
void feed_message_sample(struct text *text, uint64_t c, const struct ebb_sample *sample);
/*
 * {"c":...,"cpu":...,"by":{...}}: changed limits; with the labels of `container` unless that is
 * NULL; `hand`: who did it, NULL: not known.
 */
void feed_message_limits(struct text *text, uint64_t c, const struct limits *limits,
			 const struct container *container, const struct hand *hand);
/* {"c":...,"name":...,"labels":{...},"limits":{...}}: a container that is new in this session, or
 * one that is told anew because it was called `was`; NULL: it was not. */
void feed_message_added(struct text *text, uint64_t c, const struct container *container,
			const struct limits *limits, const char *was);
/* {"c":...,"resource":"cpu","from":...,"to":...}: the reflex raised a limit. */
void feed_message_growth(struct text *text, uint64_t c, const struct growth *growth);

#endif
