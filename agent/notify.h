/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how the start went: sd_notify(3), which is one datagram. */
#ifndef EBB_NOTIFY_H
#define EBB_NOTIFY_H

/* `state`: "READY=1", "STOPPING=1". 0 also when nobody asked ($NOTIFY_SOCKET is not set). */
int notify_send(const char *state);

#endif
