/* SPDX-License-Identifier: Apache-2.0 */
/* Where the Container Scaler of a host listens, as documents and bodies say it. Pure. */
#ifndef EBB_RESCALER_H
#define EBB_RESCALER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * "http://IP:PORT" from host_rescaler_ip and host_rescaler_port (a number or a string). Whoever may
 * write documents does not choose by that what else the controller talks to: a whole URL or a
 * socket is -EINVAL. Caller frees.
 */
int rescaler_address(const json_t *doc, char **ret_address);
/* One that was kept, in the form in which rescaler_address() makes it. NULL is none. */
bool rescaler_is_address(const char *address);
/* A name or an IP, nothing else that could be in a URL. */
bool rescaler_is_bare_host(const char *text, size_t len);

#endif
