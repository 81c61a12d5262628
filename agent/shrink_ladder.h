/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rungs on which memory comes down: what is in use is spared, a slice at a time is reclaimed,
 * memory.high holds the container where it shall stay, and only when that neither strains it nor is
 * exceeded, memory.max follows. Blocks: for a thread of the shrinker (shrink.h). Version 1 has
 * neither memory.high nor memory.reclaim: its limit comes down in slices itself, and is refused
 * (EBUSY) rather than kills.
 */
#ifndef EBB_SHRINK_LADDER_H
#define EBB_SHRINK_LADDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"

enum shrink_rung {
	SHRINK_CLAMP,    /* the target was raised: bytes is the least that spares what is in use */
	SHRINK_RECLAIM,  /* bytes were freed, in `times` slices */
	SHRINK_HIGH,     /* memory.high was set to bytes, to hold it there */
	SHRINK_LIMIT,    /* the limit was set to bytes */
	SHRINK_BACK_OFF, /* the container suffered: what it has, bytes, is its need */
	SHRINK_PUT_BACK, /* the limit is bytes again, as before */
};
const char *shrink_rung_name(enum shrink_rung rung); /* "clamp", "reclaim", ... */

struct shrink_step {
	enum shrink_rung rung;
	unsigned times;
	uint64_t bytes;
	double seconds;
	const char *why; /* static; NULL: by the order */
};

/* Steps of one kind in a row are one; what comes after the last place is not told. */
#define SHRINK_STEPS_MAX 12
struct shrink_steps {
	size_t n;
	struct shrink_step steps[SHRINK_STEPS_MAX];
};
/* Adds up with the step before when both reclaim or both set the same thing. */
void shrink_steps_add(struct shrink_steps *steps, const struct shrink_step *step);
/* "reclaim 96 MiB in 3 slices, 34 ms; limit 80 MiB, 0 ms"; cut to `size`. */
void shrink_steps_format(const struct shrink_steps *steps, char *buffer, size_t size);

/* What tells whether a container suffers; totals. */
struct shrink_signs {
	uint64_t at_ns;
	bool has_pressure;
	uint64_t waited_us;       /* in which some task waited for memory (PSI) */
	uint64_t refaulted_bytes; /* read again soon after it was given up */
};
/*
 * NULL, or why to back off: over 10% of the time some task waited for memory, or a quarter of what
 * was reclaimed was read back. Not before 100 ms and 8 MiB have shown it.
 */
const char *shrink_strains(const struct shrink_signs *before, const struct shrink_signs *now,
			   uint64_t reclaimed);
/* From memory.stat of either version; 0 where the kernel does not count it. */
uint64_t shrink_refaults_parse(const char *stat, bool v2);

/* The least limit that does not hurt: working set + max(16 MiB, 5% of it). */
uint64_t shrink_floor(uint64_t working_set);

enum shrink_what {
	SHRINK_THE_LIMIT, /* never below the floor; above the present limit it is just written */
	SHRINK_THE_HIGH,  /* memory.high as asked: it never kills */
	SHRINK_THE_USAGE, /* `asked` bytes less in use, but not below the floor */
};

struct shrink_ladder {
	const struct hierarchies *hierarchies;
	const struct container *container; /* only its memory directory is used */
	enum shrink_what what;
	uint64_t asked;
	uint64_t working_set; /* of the last sample; what the files say counts too, when more */
	const atomic_bool *cancelled;
	/* Results, see struct shrink_result. */
	uint64_t floor, applied;
	struct shrink_steps steps;
};
/* 0 or a negative errno, as struct shrink_result has it. */
int shrink_ladder_run(struct shrink_ladder *ladder);

/*
 * An agent that was killed on the rung of memory.high has left it low, with a mark (an extended
 * attribute of the cgroup): puts back what the mark says. For containers that are new to this
 * agent. True: it was.
 */
bool shrink_ladder_recover(const struct hierarchies *hierarchies,
			   const struct container *container);
/* The mark's text, "OLD HELD" in bytes or "max"; -EINVAL. */
int shrink_mark_parse(const char *text, uint64_t *ret_old, uint64_t *ret_held);

#endif
