/* SPDX-License-Identifier: Apache-2.0 */
/* The engines' state files, as they write them, in a tree of the test's own. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engines.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"

#define ID_A "3f1c9a0b7d5e4f2a8c6b1d0e9f7a5c3b2d4e6f8091a3b5c7d9e1f2031425a6b7"
#define ID_B "a1b2c3d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff0"

static char root[64];
static struct string_list given;
static struct engines *engines;
static struct engine_answer answer;

static void tear_down(void *arg)
{
	char command[128];

	engine_answer_clear(&answer);
	answer = (struct engine_answer){0};
	engines_free(engines);
	engines = NULL;
	given = (struct string_list){0};
	snprintf(command, sizeof(command), "rm -rf %s", root);
	CHECK_INT(system(command), 0);
}

/* With what is in `given` by now. `cgroups`: where they are mounted, NULL: not known. */
static void begin(const char *cgroups)
{
	const struct engine_roots roots = {.given = &given, .prefix = root, .cgroups = cgroups};

	engines_free(engines);
	engines = NULL;
	CHECK_INT(engines_new(&roots, &engines), 0);
}

static void set_up(void)
{
	strcpy(root, "/tmp/ebb-test-engines-XXXXXX");
	CHECK(mkdtemp(root));
	test_at_end(tear_down, NULL);
	begin(NULL);
}

/* "/a/b/c" below the root, with the directories. */
static void path_of(char *ret_path, size_t size, const char *name)
{
	snprintf(ret_path, size, "%s%s", root, name);
	for (char *at = ret_path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(ret_path, 0755) < 0)
			CHECK_INT(errno, EEXIST);
		*at = '/';
	}
}

static void put(const char *name, const char *text)
{
	char path[1024];

	path_of(path, sizeof(path), name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), (long long)strlen(text));
	close(fd);
}

static int ask_again(const char *engine, const char *path, const char *key, uint64_t stamp)
{
	const struct engine_query query = {engine, path, key, stamp};

	engine_answer_clear(&answer);
	answer = (struct engine_answer){0};
	return engines_ask(engines, &query, ENGINES_ALL_FAMILIES, &answer);
}

static int ask(const char *engine, const char *path, const char *key)
{
	return ask_again(engine, path, key, 0);
}

static void expect(const char *name, const char *namespace, const char *pod, const char *image)
{
	CHECK_STR(answer.labels.name, name);
	CHECK_STR(answer.labels.namespace ? answer.labels.namespace : "", namespace);
	CHECK_STR(answer.labels.pod ? answer.labels.pod : "", pod);
	CHECK_STR(answer.labels.image ? answer.labels.image : "", image);
}

#define DOCKER_CONFIG(name, image, labels)                                               \
	"{\"StreamConfig\":{},\"State\":{\"Running\":true,\"Pid\":4242},\"ID\":\"" ID_A  \
	"\",\"Created\":\"2026-01-02T03:04:05.6Z\",\"Path\":\"nginx\",\"Args\":[],"      \
	"\"Config\":{\"Hostname\":\"3f1c9a0b7d5e\",\"Env\":[\"A=b\"],\"Image\":\"" image \
	"\",\"Labels\":" labels "},\"Image\":\"sha256:0a1b\",\"Name\":\"" name "\"}"

TEST(docker)
{
	set_up();
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -ENOENT);
	put("/var/lib/docker/containers/" ID_A "/config.v2.json",
	    DOCKER_CONFIG("/web", "nginx:1.25", "{\"tier\":\"front\"}"));
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), 0);
	expect("web", "", "", "nginx:1.25");
	CHECK_STR(answer.labels.id, ID_A);
	CHECK(!answer.of_user && !answer.engine && answer.stamp);

	/* The same file says the same, another one something new. */
	struct engine_query query = {"docker", "docker/" ID_A, ID_A, answer.stamp};
	struct engine_answer again = {0};
	CHECK_INT(engines_ask(engines, &query, ENGINES_ALL_FAMILIES, &again), -EALREADY);
	put("/var/lib/docker/containers/" ID_A "/config.v2.json",
	    DOCKER_CONFIG("/renamed", "nginx:1.25", "null"));
	CHECK_INT(engines_ask(engines, &query, ENGINES_ALL_FAMILIES, &again), 0);
	CHECK_STR(again.labels.name, "renamed");
	engine_answer_clear(&again);
}

TEST(docker_with_another_data_root)
{
	set_up();
	put("/etc/docker/daemon.json",
	    "{\"data-root\": \"/data/docker\", \"log-level\": \"warn\"}");
	put("/data/docker/containers/" ID_A "/config.v2.json",
	    DOCKER_CONFIG("/web", "nginx", "{}"));
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), 0);
	expect("web", "", "", "nginx");
}

TEST(docker_of_kubernetes)
{
	set_up();
	put("/var/lib/docker/containers/" ID_A "/config.v2.json",
	    DOCKER_CONFIG("/k8s_app_web-0_shop_0a-1b_3", "reg/app:1",
			  "{\"io.kubernetes.pod.name\":\"web-0\"}"));
	CHECK_INT(ask("kubernetes", "kubepods/pod0a-1b/" ID_A, ID_A), 0);
	expect("app", "shop", "web-0", "reg/app:1");
	/* A label alone makes no pod: every container's owner can set one. */
	put("/var/lib/docker/containers/" ID_A "/config.v2.json",
	    DOCKER_CONFIG("/mine", "x",
			  "{\"io.kubernetes.pod.name\":\"web-0\","
			  "\"io.kubernetes.pod.namespace\":\"shop\"}"));
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), 0);
	expect("mine", "", "", "x");
}

#define PODMAN_ONE(id, name, image)                                                          \
	"{\"id\":\"" id "\",\"names\":[\"" name "\"],\"image\":\"sha\",\"layer\":\"l\","     \
	"\"metadata\":\"{\\\"image-name\\\":\\\"" image "\\\",\\\"image-id\\\":\\\"sha\\\"," \
	"\\\"name\\\":\\\"" name "\\\",\\\"created-at\\\":1767323045}\","                    \
	"\"created\":\"2026-01-02T03:04:05.6Z\",\"flags\":{\"MountLabel\":\"\"}}"

TEST(podman)
{
	set_up();
	put("/var/lib/containers/storage/overlay-containers/containers.json",
	    "[" PODMAN_ONE(ID_A, "web", "docker.io/library/nginx:latest") "]");
	put("/var/lib/containers/storage/overlay-containers/volatile-containers.json",
	    "[" PODMAN_ONE(ID_B, "once", "localhost/job:1") "]");
	CHECK_INT(ask("podman", "machine.slice/libpod-" ID_A ".scope", ID_A), 0);
	expect("web", "", "", "docker.io/library/nginx:latest");
	CHECK_STR(answer.labels.id, ID_A);
	CHECK_INT(ask("podman", "machine.slice/libpod-" ID_B ".scope", ID_B), 0);
	expect("once", "", "", "localhost/job:1");
	CHECK_INT(ask("podman", "x/libpod-" ID_B, "ffff"), -ENOENT);
}

TEST(podman_in_a_given_directory)
{
	char item[128];
	char *items[] = {item};

	set_up();
	given = (struct string_list){items, 1};
	snprintf(item, sizeof(item), "podman=%s/store", root);
	begin(NULL);
	put("/store/vfs-containers/containers.json",
	    "[" PODMAN_ONE(ID_A, "web", "nginx") "," PODMAN_ONE(ID_B, "db", "pg") "]");
	CHECK_INT(ask("podman", "libpod-" ID_B, ID_B), 0);
	expect("db", "", "", "pg");
}

TEST(podman_of_a_user)
{
	struct passwd *user = getpwuid(1);
	char path[512], file[1024];

	if (!user)
		SKIP("there is no user 1");
	set_up();
	snprintf(file, sizeof(file),
		 "%s/.local/share/containers/storage/overlay-containers/containers.json",
		 user->pw_dir);
	put(file, "[" PODMAN_ONE(ID_A, "web", "nginx") "]");
	/* Root's is another one. */
	put("/var/lib/containers/storage/overlay-containers/containers.json",
	    "[" PODMAN_ONE(ID_A, "roots", "nginx") "]");
	snprintf(path, sizeof(path),
		 "user.slice/user-1.slice/user@1.service/user.slice/libpod-%s.scope", ID_A);
	CHECK_INT(ask("podman", path, ID_A), 0);
	expect("web", "", "", "nginx");
	CHECK(answer.of_user && answer.uid == 1);
}

TEST(roots_state_is_not_for_users)
{
	char path[512];

	set_up();
	/* There is no such user: root's must not be taken for its. */
	put("/var/lib/containers/storage/overlay-containers/containers.json",
	    "[" PODMAN_ONE(ID_A, "roots", "nginx") "]");
	snprintf(path, sizeof(path), "user.slice/user-4294967000.slice/libpod-%s.scope", ID_A);
	CHECK_INT(ask("podman", path, ID_A), -ENOENT);
	put("/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID_A "/config.json",
	    "{\"annotations\":{\"io.kubernetes.cri.container-name\":\"app\"}}");
	CHECK_INT(ask("containerd", "kubepods/" ID_A, ID_A), 0);
	snprintf(path, sizeof(path), "user.slice/user-1.slice/cri-containerd-%s.scope", ID_A);
	CHECK_INT(ask("containerd", path, ID_A), -ENOENT);
	CHECK_INT(ask("nspawn", "user.slice/user-1.slice/machine-web.scope", "web"), -ENOENT);
	CHECK_INT(ask("lxc", "user.slice/user-1.slice/lxc.payload.web", "web"), 0);
	CHECK(answer.of_user && answer.uid == 1);
}

static const char cri_config[] =
	"{\"ociVersion\":\"1.0.2\",\"process\":{\"args\":[\"/app\"]},\"root\":{\"path\":\"rootfs\"},"
	"\"annotations\":{\"io.kubernetes.cri.container-name\":\"app\","
	"\"io.kubernetes.cri.container-type\":\"container\","
	"\"io.kubernetes.cri.image-name\":\"registry.k8s.io/app:v1\","
	"\"io.kubernetes.cri.sandbox-id\":\"" ID_B "\","
	"\"io.kubernetes.cri.sandbox-name\":\"web-6d4cf56db6-x2b7k\","
	"\"io.kubernetes.cri.sandbox-namespace\":\"shop\","
	"\"io.kubernetes.cri.sandbox-uid\":\"0a1b\"},\"linux\":{}}";

TEST(containerd_of_kubernetes)
{
	_cleanup_free_ char *base = NULL;

	set_up();
	put("/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID_A "/config.json",
	    cri_config);
	put("/run/containerd/io.containerd.runtime.v2.task/k8s.io/" ID_B "/config.json",
	    "{\"annotations\":{\"io.kubernetes.cri.container-type\":\"sandbox\","
	    "\"io.kubernetes.cri.sandbox-name\":\"web-6d4cf56db6-x2b7k\","
	    "\"io.kubernetes.cri.sandbox-namespace\":\"shop\"}}");
	CHECK_INT(ask("containerd", "kubepods.slice/x/cri-containerd-" ID_A ".scope", ID_A), 0);
	expect("app", "shop", "web-6d4cf56db6-x2b7k", "registry.k8s.io/app:v1");
	base = labels_base_name(&answer.labels);
	CHECK_STR(base, "shop_web-6d4cf56db6-x2b7k_app");
	CHECK_INT(ask("kubernetes", "kubepods/besteffort/pod0a1b/" ID_B, ID_B), 0);
	expect("POD", "shop", "web-6d4cf56db6-x2b7k", "");
}

TEST(nerdctl)
{
	set_up();
	put("/run/containerd/io.containerd.runtime.v2.task/default/" ID_A "/config.json",
	    "{\"annotations\":{\"nerdctl/hostname\":\"5bed8c875756\",\"nerdctl/name\":\"dev\","
	    "\"nerdctl/namespace\":\"default\"}}");
	CHECK_INT(ask("containerd", "system.slice/nerdctl-" ID_A ".scope", ID_A), 0);
	expect("dev", "", "", "");
	/* Docker's own containers are run by containerd too, which says no names of them. */
	put("/run/containerd/io.containerd.runtime.v2.task/moby/" ID_B "/config.json",
	    "{\"hostname\":\"a1b2\"}");
	CHECK_INT(ask("oci", ID_B, ID_B), -ENOENT);
}

TEST(crio)
{
	set_up();
	put("/run/containers/storage/overlay-containers/" ID_A "/userdata/config.json",
	    "{\"annotations\":{\"io.container.manager\":\"cri-o\","
	    "\"io.kubernetes.container.name\":\"app\",\"io.kubernetes.pod.name\":\"web-0\","
	    "\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.cri-o.ContainerType\":"
	    "\"container\",\"io.kubernetes.cri-o.ImageName\":\"quay.io/app:1\","
	    "\"io.kubernetes.cri-o.Name\":\"k8s_app_web-0_shop_0a_0\"}}");
	CHECK_INT(ask("cri-o", "kubepods.slice/crio-" ID_A ".scope", ID_A), 0);
	expect("app", "shop", "web-0", "quay.io/app:1");
	CHECK_INT(ask("kubernetes", "kubepods/pod0a/" ID_A, ID_A), 0);
	expect("app", "shop", "web-0", "quay.io/app:1");
}

TEST(lxc_lxd_and_incus)
{
	char link[256];

	set_up();
	CHECK_INT(ask("lxc", "lxc.payload.web", "web"), 0);
	expect("web", "", "", "");
	CHECK_STR(answer.engine, "lxc");
	path_of(link, sizeof(link), "/var/lib/lxd/containers/web");
	/* LXD's are links into its storage pool. */
	CHECK_INT(symlink("/nowhere", link), 0);
	CHECK_INT(ask("lxc", "lxc.payload.web", "web"), 0);
	CHECK_STR(answer.engine, "lxd");
	path_of(link, sizeof(link), "/var/lib/incus/containers/shop_db/x");
	CHECK_INT(ask("lxc", "lxc.payload.shop_db", "shop_db"), 0);
	CHECK_STR(answer.engine, "incus");
	CHECK_INT(ask("lxc", "lxc.payload...", ".."), -ENOENT);
}

static void monitors(const char *title, const char *key, const char *expected)
{
	char dir[64] = "none", text[512];
	size_t len = 0;

	int r = lxc_monitor_parse(title, key, dir, sizeof(dir), &len);
	if (r == 0)
		snprintf(text, sizeof(text), "%s %.*s", dir, (int)len, key);
	CHECK_STR(r == 0 ? text : "", expected);
}

TEST(monitors_of_lxc)
{
	monitors("[lxc monitor] /var/lib/lxc web", "web", "/var/lib/lxc web");
	monitors("[lxc monitor] /var/lib/lxc/ web", "web-1", "/var/lib/lxc web");
	monitors("[lxc monitor] /var/lib/lxc web-1", "web-1", "/var/lib/lxc web-1");
	monitors("[lxc monitor] /var/lib/lxc web-1", "web-1-12", "/var/lib/lxc web-1");
	monitors("[lxc monitor] /srv/my containers web", "web", "/srv/my containers web");
	monitors("[lxc monitor] /var/lib/lxc web", "web2", "");
	monitors("[lxc monitor] /var/lib/lxc web", "web-", "");
	monitors("[lxc monitor] /var/lib/lxc web", "web-x", "");
	monitors("[lxc monitor] /var/lib/lxc web", "we", "");
	monitors("[lxc monitor] /var/lib/lxc ", "web", "");
	monitors("[lxc monitor] web", "web", "");
	monitors("[lxc monitor] ", "web", "");
	monitors("lxc-start -n web", "web", "");
	monitors("", "web", "");
	monitors(
		"[lxc monitor] /a/directory/of/a/name/that/is/longer/than/what/there/is/room/for w",
		"w", "");
}

static pid_t shows(const char *title)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sleep", title, "300", NULL);
		_exit(127);
	}
	CHECK(pid > 0);
	return pid;
}

static pid_t monitor_pids[2];

static void end_monitors(void *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(monitor_pids); i++) {
		if (monitor_pids[i] > 0) {
			kill(monitor_pids[i], SIGKILL);
			waitpid(monitor_pids[i], NULL, 0);
		}
		monitor_pids[i] = 0;
	}
}

/* Both are called web, whatever the number. */
static bool says(const char *key, const char *engine)
{
	char path[64];

	snprintf(path, sizeof(path), "a/lxc.payload.%s", key);
	CHECK_INT(ask("lxc", path, key), 0);
	return !strcmp(answer.engine, engine) && !strcmp(answer.labels.name, "web");
}

/* One of LXC and one of LXD, both called web: LXC's library numbers the second cgroup. */
TEST(lxc_and_lxd_of_one_name)
{
	char title[256], text[32], cgroups[128], lxd[128];

	set_up();
	test_at_end(end_monitors, NULL);
	snprintf(cgroups, sizeof(cgroups), "%s/cgroups", root);
	begin(cgroups);
	path_of(lxd, sizeof(lxd), "/var/lib/lxd/containers/web");
	CHECK_INT(symlink("/nowhere", lxd), 0);
	monitor_pids[0] = shows("[lxc monitor] /var/lib/lxc web");
	snprintf(title, sizeof(title), "[lxc monitor] %s/var/lib/lxd/containers web", root);
	monitor_pids[1] = shows(title);
	for (int first = 0; first < 2; first++) {
		/* The test itself is none. */
		snprintf(text, sizeof(text), "%d\n%d\n", getpid(), monitor_pids[first]);
		put("/cgroups/a/lxc.monitor.web/cgroup.procs", text);
		snprintf(text, sizeof(text), "%d\n", monitor_pids[!first]);
		put("/cgroups/a/lxc.monitor.web-1/cgroup.procs", text);
		/* Until both run what they are told to. */
		for (uint64_t end = now_ns() + 60 * EBB_NS_PER_SEC;
		     now_ns() < end &&
		     !(says("web-1", first ? "lxc" : "lxd") && says("web", first ? "lxd" : "lxc"));)
			usleep(1000);
		CHECK(says("web-1", first ? "lxc" : "lxd"));
		CHECK(says("web", first ? "lxd" : "lxc"));
	}
	/* What a monitor has said holds when it cannot be asked any more. */
	uint64_t stamp = answer.stamp;
	CHECK(stamp);
	put("/cgroups/a/lxc.monitor.web/cgroup.procs", "");
	CHECK_INT(ask_again("lxc", "a/lxc.payload.web", "web", stamp), -EALREADY);
	/* Without a monitor: as LXD's directory says. */
	CHECK_INT(ask("lxc", "b/lxc.payload.web", "web"), 0);
	CHECK_STR(answer.engine, "lxd");
}

TEST(nspawn)
{
	set_up();
	CHECK_INT(ask("nspawn", "machine.slice/machine-web.scope", "web"), 0);
	expect("web", "", "", "");
	put("/run/systemd/machines/web",
	    "# This is private data. Do not parse.\nNAME=web\nSCOPE=machine-web.scope\n"
	    "SERVICE=nspawn\nROOT=\"/var/lib/machines/my\\ root\"\n"
	    "ID=c1f2a3b4c5d6e7f8091a2b3c4d5e6f70\nLEADER=1234\nCLASS=container\n");
	CHECK_INT(ask("nspawn", "machine.slice/machine-web.scope", "web"), 0);
	expect("web", "", "", "/var/lib/machines/my root");
	CHECK_STR(answer.labels.id, "c1f2a3b4c5d6e7f8091a2b3c4d5e6f70");
}

TEST(apptainer)
{
	struct passwd *user = getpwuid(1);
	char file[1024];

	if (!user)
		SKIP("there is no user 1");
	set_up();
	CHECK_INT(ask("apptainer", "apptainer/4242", "4242"), -ENOENT);
	put("/root/.apptainer/instances/app/node1/root/solver/solver.json",
	    "{\"pid\":4242,\"ppid\":4241,\"name\":\"solver\",\"user\":\"root\","
	    "\"image\":\"/images/solver.sif\",\"cgroup\":true}");
	CHECK_INT(ask("apptainer", "apptainer/4242", "4242"), 0);
	expect("solver", "", "", "/images/solver.sif");
	CHECK_INT(ask("apptainer", "apptainer/4241", "4241"), -ENOENT);
	snprintf(file, sizeof(file), "%s/.apptainer/instances/app/node1/me/mine/mine.json",
		 user->pw_dir);
	put(file, "{\"pid\":77,\"name\":\"mine\",\"image\":\"/home/me/a.sif\"}");
	CHECK_INT(
		ask("apptainer", "user.slice/user-1.slice/user@1.service/apptainer-77.scope", "77"),
		0);
	expect("mine", "", "", "/home/me/a.sif");
	CHECK(answer.of_user && answer.uid == 1);
}

/* --- What the owner of a container may have written --- */

TEST(nothing_but_regular_files_below_is_read)
{
	char path[512];

	set_up();
	put("/secret", DOCKER_CONFIG("/secret", "x", "{}"));
	path_of(path, sizeof(path), "/var/lib/docker/containers/" ID_A "/config.v2.json");
	CHECK_INT(symlink("/../../../../../secret", path), 0);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -ELOOP);
	CHECK_INT(unlink(path), 0);
	/* Would wait for a writer. */
	CHECK_INT(mkfifo(path, 0600), 0);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -EINVAL);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(mkdir(path, 0700), 0);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -EINVAL);
	/* A directory on the way that is a link. */
	put("/elsewhere/config.v2.json", DOCKER_CONFIG("/secret", "x", "{}"));
	path_of(path, sizeof(path), "/var/lib/docker/containers/" ID_B);
	char target[128];
	snprintf(target, sizeof(target), "%s/elsewhere", root);
	CHECK_INT(symlink(target, path), 0);
	CHECK_INT(ask("docker", "docker/" ID_B, ID_B), -ENOENT);
}

TEST(a_file_is_read_up_to_a_size)
{
	char path[512];

	set_up();
	path_of(path, sizeof(path), "/var/lib/docker/containers/" ID_A "/config.v2.json");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(ftruncate(fd, 5 << 20), 0);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -EFBIG);
	/* As long as allowed, and all NUL. */
	CHECK_INT(ftruncate(fd, 1000), 0);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -EINVAL);
	close(fd);
}

/* `start`, `n` times `piece`, `end`. Caller frees. */
static char *repeated(const char *start, const char *piece, size_t n, const char *end)
{
	size_t start_len = strlen(start), len = strlen(piece);
	char *text = malloc(start_len + n * len + strlen(end) + 1);

	CHECK(text);
	memcpy(text, start, start_len);
	for (size_t i = 0; i < n; i++)
		memcpy(text + start_len + i * len, piece, len);
	strcpy(text + start_len + n * len, end);
	return text;
}

/* Each takes a hundred bytes of memory for three in the file. */
TEST(a_file_of_endless_values_is_refused)
{
	_cleanup_free_ char *many =
		repeated("{\"ID\":\"" ID_A "\",\"Name\":\"/web\",\"x\":[", "[],", 100000, "[]]}");
	_cleanup_free_ char *quoted = repeated("{\"ID\":\"" ID_A "\",\"Name\":\"/web\",\"x\":\"",
					       "[],\\\"", 100000, "\"}");

	set_up();
	put("/var/lib/docker/containers/" ID_A "/config.v2.json", many);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), -EBADMSG);
	/* As text it is one value. */
	put("/var/lib/docker/containers/" ID_A "/config.v2.json", quoted);
	CHECK_INT(ask("docker", "docker/" ID_A, ID_A), 0);
	expect("web", "", "", "");
}

TEST(a_list_that_repeats_itself_takes_no_time)
{
	_cleanup_free_ char *list = repeated("[{\"id\":\"" ID_A "\",\"names\":[\"first\"]},",
					     "{\"id\":\"" ID_A "\",\"names\":[\"b\"]},", 200000,
					     "{\"id\":\"" ID_B "\",\"names\":[\"last\"]}]");

	set_up();
	put("/var/lib/containers/storage/overlay-containers/containers.json", list);
	CHECK_INT(ask("podman", "machine.slice/libpod-" ID_A ".scope", ID_A), 0);
	CHECK_STR(answer.labels.name, "first");
	CHECK_INT(ask("podman", "machine.slice/libpod-" ID_B ".scope", ID_B), 0);
	CHECK_STR(answer.labels.name, "last");
}

TEST(users_lists_are_short)
{
	struct passwd *user = getpwuid(1);
	_cleanup_free_ char *list = repeated("[", "{\"id\":\"x\",\"names\":[\"b\"]},", 50000,
					     "{\"id\":\"" ID_A "\",\"names\":[\"last\"]}]");
	char path[512], file[1024];

	if (!user)
		SKIP("there is no user 1");
	set_up();
	snprintf(file, sizeof(file),
		 "%s/.local/share/containers/storage/overlay-containers/containers.json",
		 user->pw_dir);
	snprintf(path, sizeof(path), "user.slice/user-1.slice/user@1.service/libpod-%s.scope",
		 ID_A);
	put(file, list);
	CHECK_INT(ask("podman", path, ID_A), -EFBIG);
	/* Root's own may be long. */
	put("/var/lib/containers/storage/overlay-containers/containers.json", list);
	CHECK_INT(ask("podman", "machine.slice/libpod-" ID_A ".scope", ID_A), 0);
}

/* Bytes that this process has read; 0: the kernel does not count. */
static unsigned long long bytes_read(void)
{
	_cleanup_file_ FILE *f = fopen("/proc/self/io", "re");
	unsigned long long n = 0;

	return f && fscanf(f, "rchar: %llu", &n) == 1 ? n : 0;
}

TEST(one_question_reads_so_much_and_no_more)
{
	_cleanup_free_ char *large =
		repeated("{\"pid\":1,\"x\":\"", "0123456789abcdef", 15000, "\"}");
	struct passwd *user = getpwuid(1);
	unsigned long long before, after;
	char file[1024];

	if (!user)
		SKIP("there is no user 1");
	if (!bytes_read())
		SKIP("this kernel does not count what is read");
	set_up();
	for (int i = 0; i < 60; i++) {
		snprintf(file, sizeof(file), "%s/.apptainer/instances/app/node/me/i%d/i%d.json",
			 user->pw_dir, i, i);
		put(file, large);
	}
	before = bytes_read();
	CHECK_INT(
		ask("apptainer", "user.slice/user-1.slice/user@1.service/apptainer-77.scope", "77"),
		-ENOENT);
	after = bytes_read();
	CHECK(after - before > 1 << 20);
	CHECK(after - before < 10 << 20);
}

TEST(keys_do_not_leave_the_directory)
{
	set_up();
	put("/var/lib/docker/containers/y/z", "");
	put("/var/lib/docker/x/config.v2.json", DOCKER_CONFIG("/secret", "x", "{}"));
	CHECK_INT(ask("docker", "docker/x", "../x"), -EINVAL);
	CHECK_INT(ask("docker", "docker/x", "/x"), -ENOENT);
	CHECK_INT(ask("nspawn", "machine.slice/x", "../../../var/lib/docker/x/config.v2.json"), 0);
	CHECK(!answer.labels.image);
}

TEST(names_that_could_do_harm)
{
	static const struct {
		const char *name, *label; /* NULL: none */
	} cases[] = {
		{"/../../etc", ".._.._etc"},
		{"/..", NULL},
		{"/.", NULL},
		{"", NULL},
		{"/a\\u0000b", NULL},
		{"/a\\nb", NULL},
		{"/a\\u001b[2J", NULL},
		{"/a/b", "a_b"},
		{"/caf\\u00e9", "caf\u00e9"},
		{"/a\xff", NULL},
	};
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct container_labels labels = {0};

		snprintf(text, sizeof(text), "{\"Name\":\"%s\"}", cases[i].name);
		(void)docker_config_parse(text, strlen(text), &labels);
		if (cases[i].label)
			CHECK_STR(labels.name, cases[i].label);
		else
			CHECK(!labels.name);
		labels_clear(&labels);
	}
}

TEST(what_is_no_state_file_is_refused)
{
	static const char *const texts[] = {"", "[]", "{", "null", "\"x\"", "[[[[", "{\"Name\":3}"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct container_labels labels = {0};
		size_t len = strlen(texts[i]);

		(void)docker_config_parse(texts[i], len, &labels);
		(void)oci_config_parse(texts[i], len, &labels);
		(void)apptainer_instance_parse(texts[i], len, 1, &labels);
		(void)nspawn_machine_parse(texts[i], "x", &labels);
		for (size_t l = 0; l < LABELS_N; l++)
			CHECK(!labels_get(&labels, l));
		labels_clear(&labels);
	}
	CHECK(!docker_data_root("{\"data-root\":\"relative\"}", 24));
}

TEST(long_labels_and_names)
{
	struct container_labels labels = {0};
	char text[1200];

	/* Cut between two characters. */
	memset(text, 'a', 254);
	strcpy(text + 254, "\u00e9\u00e9");
	CHECK(label_take(&labels.image, text));
	CHECK_INT(strlen(labels.image), 254);
	memset(text, 'p', 253);
	text[253] = '\0';
	CHECK(label_take(&labels.pod, text) && label_take(&labels.namespace, "ns"));
	CHECK(label_take_name(&labels.name, "app"));
	_cleanup_free_ char *one = labels_base_name(&labels);
	CHECK_INT(strlen(one), LABEL_MAX);
	CHECK(label_take_name(&labels.name, "apq"));
	_cleanup_free_ char *other = labels_base_name(&labels);
	CHECK(strcmp(one, other) != 0);
	labels_clear(&labels);
}

TEST(where_state_can_be)
{
	CHECK(!engine_state_check("docker=/data/docker"));
	CHECK(!engine_state_check("cri-o=/x"));
	CHECK(engine_state_check("docker"));
	CHECK(engine_state_check("docker=data"));
	CHECK(engine_state_check("=/data"));
	CHECK(engine_state_check("rkt=/data"));
	CHECK(engine_state_check("dockerx=/data"));
}

TEST_MAIN()
