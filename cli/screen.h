/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal for a live display: alternate screen, keys without echo, all put back at the end. */
#ifndef EBB_CLI_SCREEN_H
#define EBB_CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct screen;

/*
 * With `live` takes the terminal over; without, only waits and ends in order. Blocks SIGINT,
 * SIGTERM, SIGHUP and SIGWINCH: they come out of screen_wait().
 */
int screen_open(bool live, struct screen **ret_screen);
/* NULL is ignored. */
void screen_close(struct screen *screen);

/* As the terminal is now; 80 x 24 when it does not say. */
void screen_size(const struct screen *screen, unsigned *ret_columns, unsigned *ret_rows);

enum screen_event { SCREEN_TIME, SCREEN_REDRAW, SCREEN_QUIT };
/* Until `deadline_ns` (CLOCK_MONOTONIC), a resize, or q, Ctrl-C and their like. */
enum screen_event screen_wait(struct screen *screen, uint64_t deadline_ns);

/* Shows `text`, whose lines end with SCREEN_EOL, in place of what was there. */
#define SCREEN_EOL "\033[K\r\n"
void screen_show(struct screen *screen, const char *text, size_t len);

#endif
