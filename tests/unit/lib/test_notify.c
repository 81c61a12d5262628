/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ebb/loop.h"
#include "ebb/notify.h"
#include "test.h"

static int receiver = -1;
static struct sockaddr_un address;
static char got[512];

static void close_receiver(void *unused)
{
	close(receiver);
	receiver = -1;
	if (*address.sun_path)
		unlink(address.sun_path);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/* As the service manager: a socket in a directory, or one with an abstract name. */
static void listen_at(bool abstract)
{
	char path[108];
	int n = snprintf(path, sizeof(path), "%sebb-test-notify-%d", abstract ? "@" : "/tmp/",
			 getpid());

	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, n);
	if (abstract)
		address.sun_path[0] = '\0';
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	test_at_end(close_receiver, NULL);
	CHECK_INT(bind(receiver, (struct sockaddr *)&address,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
		  0);
	setenv("NOTIFY_SOCKET", path, 1);
}

/* The next datagram; "" when there is none. */
static const char *receive(void)
{
	ssize_t n = recv(receiver, got, sizeof(got) - 1, 0);

	got[n < 0 ? 0 : n] = '\0';
	return got;
}

TEST(one_state_is_one_datagram)
{
	listen_at(false);
	CHECK_INT(notify_send("READY=1"), 0);
	CHECK_STR(receive(), "READY=1");
	CHECK_INT(notify_send("RELOADING=1\nSTATUS=x"), 0);
	CHECK_STR(receive(), "RELOADING=1\nSTATUS=x");
	CHECK_STR(receive(), "");
}

TEST(abstract_sockets_are_reached)
{
	listen_at(true);
	CHECK_INT(notify_send("READY=1"), 0);
	CHECK_STR(receive(), "READY=1");
}

TEST(nobody_asked_is_no_error)
{
	struct watchdog watchdog;

	unsetenv("NOTIFY_SOCKET");
	CHECK_INT(notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	CHECK_INT(notify_send("READY=1"), 0);
	CHECK_INT(watchdog_init(&watchdog), 0);
	CHECK_INT(watchdog_alive(&watchdog, now_ns()), 0);
	unsetenv("NOTIFY_SOCKET");
}

TEST(bad_addresses_are_refused)
{
	char path[200] = "/";

	memset(path + 1, 'x', 150);
	setenv("NOTIFY_SOCKET", path, 1);
	CHECK_INT(notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "relative", 1);
	CHECK_INT(notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/tmp/ebb-test-notify-nobody", 1);
	CHECK_INT(notify_send("READY=1"), -ENOENT);
	unsetenv("NOTIFY_SOCKET");
}

TEST(a_status_is_one_short_line)
{
	char text[400];

	listen_at(false);
	CHECK_INT(notify_status("%d containers\nREADY=1", 3), 0);
	CHECK_STR(receive(), "STATUS=3 containers READY=1");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_INT(notify_status("%s", text), 0);
	CHECK_INT(strlen(receive()), 255);
}

TEST(a_reload_has_a_beginning_and_an_end)
{
	uint64_t before = now_ns() / 1000, told;
	char end;

	listen_at(false);
	CHECK_INT(notify_reloading(), 0);
	CHECK_INT(notify_reloaded(), 0);
	CHECK_INT(sscanf(receive(), "RELOADING=1\nMONOTONIC_USEC=%lu%c", &told, &end), 1);
	CHECK(told >= before && told <= now_ns() / 1000);
	CHECK_STR(receive(), "READY=1");
}

/* A service manager that reads nothing holds up nobody for long, and the loop not at all. */
TEST(a_full_queue_is_an_error)
{
	struct watchdog watchdog = {.interval_ns = 1};
	int n = 0, r = 0;

	listen_at(false);
	while (r == 0 && n++ < 100000)
		r = notify_status("%d", n);
	CHECK_INT(r, -EAGAIN);
	CHECK_INT(watchdog_alive(&watchdog, 10), -EAGAIN);
	CHECK_INT(notify_send("READY=1"), -EAGAIN);
	receive();
	/* What was not sent is tried again at once. */
	CHECK_INT(watchdog_alive(&watchdog, 11), 0);
	CHECK_INT(watchdog.last_ns, 11);
}

TEST(signs_of_life_come_four_times_as_often_as_needed)
{
	struct watchdog watchdog;

	listen_at(false);
	setenv("WATCHDOG_USEC", "2000000", 1);
	CHECK_INT(watchdog_init(&watchdog), 0);
	CHECK_INT(watchdog.interval_ns, 500000000);
	CHECK_INT(watchdog_alive(&watchdog, 1000000000), 0);
	CHECK_STR(receive(), "WATCHDOG=1");
	CHECK_INT(watchdog_alive(&watchdog, 1499999999), 0);
	CHECK_STR(receive(), "");
	CHECK_INT(watchdog_alive(&watchdog, 1500000000), 0);
	CHECK_STR(receive(), "WATCHDOG=1");
}

TEST(only_the_process_that_is_watched_gives_them)
{
	struct watchdog watchdog;
	char pid[16];

	test_at_end(close_receiver, NULL);
	setenv("WATCHDOG_USEC", "2000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	CHECK_INT(watchdog_init(&watchdog), 0);
	CHECK_INT(watchdog.interval_ns, 0);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	CHECK_INT(watchdog_init(&watchdog), 0);
	CHECK_INT(watchdog.interval_ns, 500000000);
	setenv("WATCHDOG_PID", "x", 1);
	CHECK_INT(watchdog_init(&watchdog), -EINVAL);
	CHECK_INT(watchdog.interval_ns, 0);
	setenv("WATCHDOG_USEC", "0", 1);
	CHECK_INT(watchdog_init(&watchdog), -EINVAL);
}

TEST_MAIN()
