/* SPDX-License-Identifier: Apache-2.0 */
#include "ebb/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define SEND_TIMEOUT_MS 1000

static int address_of(const char *path, struct sockaddr_un *ret_address, socklen_t *ret_length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, n);
	/* '@': an abstract name, with a NUL in its place and none at the end. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	*ret_address = address;
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

static int send_state(const char *state, int timeout_ms)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	int r;

	if (!path || !*path)
		return 0;
	r = address_of(path, &address, &length);
	if (r < 0)
		return r;

	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Connected: only then poll() knows of whose queue. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
		return -errno;
	for (;;) {
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (send(fd, state, strlen(state), MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EAGAIN || timeout_ms == 0)
			return -errno;
		if (poll(&room, 1, timeout_ms) <= 0)
			return -EAGAIN;
		timeout_ms = 0;
	}
}

int notify_send(const char *state)
{
	return send_state(state, SEND_TIMEOUT_MS);
}

int notify_status(const char *format, ...)
{
	char state[256] = "STATUS=";
	size_t at = strlen(state);
	va_list args;

	va_start(args, format);
	vsnprintf(state + at, sizeof(state) - at, format, args);
	va_end(args);
	/* A newline would begin another assignment. */
	for (char *p = state; *p; p++)
		if (*p == '\n')
			*p = ' ';
	return send_state(state, 0);
}

int notify_reloading(void)
{
	char state[64];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 (uint64_t)(now_ns() / EBB_NS_PER_US));
	return send_state(state, 0);
}

int notify_reloaded(void)
{
	return send_state("READY=1", 0);
}

int watchdog_init(struct watchdog *watchdog)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t allowed, whose;

	*watchdog = (struct watchdog){0};
	if (!usec)
		return 0;
	if (parse_u64(usec, &allowed) < 0 || !allowed || allowed > UINT64_MAX / EBB_NS_PER_US)
		return -EINVAL;
	if (pid && parse_u64(pid, &whose) < 0)
		return -EINVAL;
	/* A parent's, which were inherited. */
	if (pid && whose != (uint64_t)getpid())
		return 0;
	watchdog->interval_ns = allowed * EBB_NS_PER_US / 4;
	return 0;
}

int watchdog_alive(struct watchdog *watchdog, uint64_t at_ns)
{
	int r;

	if (!watchdog->interval_ns ||
	    (watchdog->last_ns && at_ns - watchdog->last_ns < watchdog->interval_ns))
		return 0;
	r = send_state("WATCHDOG=1", 0);
	/* What was not sent is tried again the next time. */
	if (r >= 0)
		watchdog->last_ns = at_ns;
	return r;
}
