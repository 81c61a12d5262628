/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager how it goes: sd_notify(3), which is one datagram to $NOTIFY_SOCKET.
 * All return 0 also when nobody asked, else a negative errno.
 */
#ifndef EBB_NOTIFY_H
#define EBB_NOTIFY_H

#include <stdint.h>

/* `state`: "READY=1", "STOPPING=1", several with newlines between them. Waits at most a second
 * when the service manager has too much to read. */
int notify_send(const char *state);
/* "STATUS=" and a line for people, cut at 255 bytes. Does not wait. */
int notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Before and after everything is read anew. They do not wait. */
int notify_reloading(void);
int notify_reloaded(void);

/* WatchdogSec=: who does not tell in time that it is alive is ended and started anew. */
struct watchdog {
	uint64_t interval_ns; /* between two signs of life; 0: nobody waits for them */
	uint64_t last_ns;     /* when the last one was given, CLOCK_MONOTONIC */
};
/* From $WATCHDOG_USEC and $WATCHDOG_PID, a quarter of what is allowed; -EINVAL: they are no
 * numbers, and nobody is told. */
int watchdog_init(struct watchdog *watchdog);
/* As often as one likes: something is sent only when it is time to. Does not wait. */
int watchdog_alive(struct watchdog *watchdog, uint64_t now_ns);

#endif
