/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "instance.h"
#include "notify.h"

static char dir[64];

static void remove_dir(void *unused)
{
	rmdir(dir);
}

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-test-XXXXXX");
	CHECK(mkdtemp(dir));
	test_at_end(remove_dir, NULL);
}

TEST(instance_one_per_pin_directory)
{
	struct instance a = {.fd = -1}, b = {.fd = -1}, c = {.fd = -1};
	char path[128];

	make_dir();
	CHECK_INT(instance_acquire(dir, "/sys/fs/bpf/ebb", &a), 0);
	int again = instance_acquire(dir, "/sys/fs/bpf/ebb", &b);
	int slash = instance_acquire(dir, "/sys//fs/bpf/ebb/", &b);
	int other = instance_acquire(dir, "/sys/fs/bpf/ebb2", &c);
	snprintf(path, sizeof(path), "%s/ebb-agent-sys-fs-bpf-ebb.lock", dir);
	bool there = access(path, F_OK) == 0;
	instance_release(&c);
	instance_release(&a);
	CHECK_INT(again, -EBUSY);
	CHECK_INT(slash, -EBUSY);
	CHECK_INT(other, 0);
	CHECK(there);
	CHECK(access(path, F_OK) < 0);

	/* Free again, and the file that a kill leaves is no obstacle. */
	FILE *left = fopen(path, "w");
	CHECK(left);
	fclose(left);
	CHECK_INT(instance_acquire(dir, "/sys/fs/bpf/ebb", &b), 0);
	instance_release(&b);
	CHECK(access(path, F_OK) < 0);
}

static int receiver = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void close_receiver(void *unused)
{
	close(receiver);
	unlink(address.sun_path);
	unsetenv("NOTIFY_SOCKET");
}

TEST(notify_is_one_datagram)
{
	char got[64] = "";

	make_dir();
	CHECK_INT(notify_send("READY=1"), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", dir);
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	test_at_end(close_receiver, NULL);
	CHECK(bind(receiver, (struct sockaddr *)&address, sizeof(address)) == 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	CHECK_INT(notify_send("READY=1"), 0);
	CHECK_INT(recv(receiver, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
	CHECK_STR(got, "READY=1");
	setenv("NOTIFY_SOCKET", "relative", 1);
	CHECK_INT(notify_send("READY=1"), -EINVAL);
}

TEST_MAIN()
