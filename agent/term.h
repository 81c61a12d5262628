/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The highest term of a controller that was heard of. Of two controllers that both hold themselves
 * for the leader, the one with the lower term is refused. It outlives the process (in a file), so
 * that an agent which is started again in the middle of a takeover knows it; after a boot no order
 * of before is under way.
 */
#ifndef EBB_TERM_H
#define EBB_TERM_H

#include <stdint.h>

/* JSON's numbers are whole up to here in every language. */
#define TERM_MAX ((UINT64_C(1) << 53) - 1)

struct term {
	uint64_t seen; /* 0: none yet */
	char *path;
	unsigned long refused;
};

/*
 * Reads the file that belongs to the lock file `lock_path` ("X.lock": "X.term"); there need not be
 * one. A damaged one is told in the log and counts as none. -ENOMEM.
 */
int term_open(const char *lock_path, struct term *ret_term);
void term_close(struct term *term);
/*
 * A controller in `term` (1..TERM_MAX) speaks. 0: heed it; a higher one than before is in the file
 * by then (when that cannot be written, in memory, and the log says so). -ESTALE: an older one,
 * counted; do nothing of what it says.
 */
int term_heed(struct term *term, uint64_t given);

#endif
