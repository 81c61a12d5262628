/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds as many connections to 127.0.0.1:PORT as it can, and opens each anew when it is closed:
 *   flood PORT N same|many
 * silent ones, heads and bodies that drip, endless headers, endless bodies, and noise; all from
 * 127.0.0.2, or from 250 addresses. After each thousand connections it writes how many there were,
 * a line each. Until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { SILENT, HEAD, HEADERS, BODY, NOISE, N_KINDS };

/* Of what a descriptor does; it is its index. */
static struct slot {
	enum kind kind;
	bool begun;
} slots[20000];

static const char *const beginnings[N_KINDS] = {
	[SILENT] = "",
	[HEAD] = "GET /heartbeat HTTP/1.1\r\nHost: x\r\nX-A",
	[HEADERS] = "GET /heartbeat HTTP/1.1\r\nHost: x\r\nX: ",
	[BODY] = "PUT /container/a HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\n",
	[NOISE] = "\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 and no more of it\r\n\r\n\x01",
};

static int epoll_fd;
static char filler[65536];

/* False: none can be had at the moment. */
static bool open_one(unsigned port, bool many, unsigned long n)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || fd >= (int)(sizeof(slots) / sizeof(slots[0]))) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	from.sin_addr.s_addr = htonl(0x7f000002 + (many ? (unsigned)(n % 250) : 0));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons((unsigned short)port);
	setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)) {
		close(fd);
		return false;
	}
	slots[fd] = (struct slot){.kind = (enum kind)(n % N_KINDS)};
	event.data.fd = fd;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return true;
}

/* False: it has been closed. */
static bool go_on(int fd)
{
	struct slot *slot = &slots[fd];
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
	const char *text = beginnings[slot->kind];
	size_t len = slot->kind == NOISE ? 40 : strlen(text);
	ssize_t n;

	if (!slot->begun) {
		slot->begun = true;
		if (len && send(fd, text, len, MSG_NOSIGNAL) < 0)
			return false;
	}
	if (slot->kind == HEADERS || slot->kind == BODY) {
		n = send(fd, filler, sizeof(filler), MSG_NOSIGNAL);
		return n >= 0 || errno == EAGAIN;
	}
	/* The others wait; a head drips when somebody asks. */
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
	return true;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	unsigned long made = 0, told = 0, open = 0, wanted;
	unsigned port;
	bool many;

	if (argc != 4) {
		fprintf(stderr, "flood PORT N same|many\n");
		return EXIT_FAILURE;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	port = (unsigned)atoi(argv[1]);
	wanted = (unsigned long)atol(argv[2]);
	many = !strcmp(argv[3], "many");
	memset(filler, 'x', sizeof(filler));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return EXIT_FAILURE;
	for (;;) {
		for (int i = 0; i < 64 && open < wanted && open_one(port, many, made); i++) {
			open++;
			made++;
		}
		int n = epoll_wait(epoll_fd, events, 256, 10);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			bool gone = events[i].events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP);

			if (!gone && (events[i].events & EPOLLIN) &&
			    recv(fd, filler, 1, MSG_DONTWAIT | MSG_TRUNC) == 0)
				gone = true;
			if (gone || !go_on(fd)) {
				close(fd);
				open--;
			}
		}
		if (made - told >= 1000) {
			told = made;
			printf("%lu %lu\n", made, open);
		}
	}
}
