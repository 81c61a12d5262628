/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "ebb/cleanup.h"
#include "runtime.h"

#define ID  "3f1c9a0b7d5e4f2a8c6b1d0e9f7a5c3b2d4e6f8091a3b5c7d9e1f2031425a6b7"
#define POD "kubepods-burstable-pod1e8a4c0d_22c1_4a6b_9d51_6f0f1b4a7c33.slice"

TEST(containers_of_each_engine)
{
	static const struct {
		const char *path, *engine, *name;
	} cases[] = {
		{"/docker/" ID, "docker", ID},
		{"docker/" ID, "docker", ID},
		{"/system.slice/docker-" ID ".scope", "docker", ID},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope",
		 "docker", ID},
		{"/ecs/0a1b2c3d-task/" ID, "docker", ID},
		{"/machine.slice/libpod-" ID ".scope", "podman", ID},
		{"/libpod_parent/libpod-" ID, "podman", ID},
		{"/ebb-test/libpod-" ID, "podman", ID},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
		 "podman", ID},
		{"/machine.slice/machine-libpod_pod_" ID ".slice/libpod-" ID ".scope", "podman",
		 ID},
		{"/system.slice/web.service/libpod-payload-" ID, "podman", ID},
		{"/kubepods.slice/kubepods-burstable.slice/" POD "/cri-containerd-" ID ".scope",
		 "containerd", ID},
		{"/system.slice/nerdctl-" ID ".scope", "containerd", ID},
		{"/system.slice/containerd.service/" POD ":cri-containerd:" ID, "containerd", ID},
		{"/kubepods.slice/" POD "/crio-" ID ".scope", "cri-o", ID},
		{"/kubepods/burstable/pod1e8a4c0d-22c1-4a6b-9d51-6f0f1b4a7c33/crio-" ID, "cri-o",
		 ID},
		{"/kubepods/besteffort/pod1e8a4c0d-22c1-4a6b-9d51-6f0f1b4a7c33/" ID, "kubernetes",
		 ID},
		{"/kubepods.slice/kubepods-besteffort.slice/" POD "/docker-" ID ".scope", "docker",
		 ID},
		{"/default/" ID, "oci", ID},
		{"/" ID, "oci", ID},
		{"/any/where/at.all/" ID, "oci", ID},
		{"/batch/libpod-" ID, "podman", ID},
		{"/team.slice/team-web.slice/libpod-" ID ".scope", "podman", ID},
		{"/team.slice/docker-" ID ".scope", "docker", ID},
		{"/kubepods-pod1e8a4c0d/" ID, "kubernetes", ID},
		{"/system.slice/runc-web.scope", "runc", "web"},
		{"/user.slice/user-1000.slice/crun-web-1.scope", "crun", "web-1"},
		{"/system.slice/runc-" ID ".scope", "runc", ID},
		{"/lxc.payload.web", "lxc", "web"},
		{"/lxc.payload.web-1", "lxc", "web-1"},
		{"/user.slice/user-1000.slice/session-2.scope/lxc.payload.c0", "lxc", "c0"},
		{"/lxc.payload/web", "lxc", "web"},
		{"/lxc/101", "lxc", "101"},
		{"/machine.slice/machine-web.scope", "nspawn", "web"},
		{"/machine.slice/machine-foo\\x2dbar.scope", "nspawn", "foo\\x2dbar"},
		{"/machine.slice/systemd-nspawn@web.service", "nspawn", "web"},
		{"/machine.slice/web.service", "nspawn", "web"},
		{"/machine.slice/machine-lxc\\x2d41\\x2dweb.scope", "libvirt-lxc", "41\\x2dweb"},
		{"/system.slice/apptainer-4711.scope", "apptainer", "4711"},
		{"/user.slice/user-1000.slice/user@1000.service/user.slice/apptainer-4711.scope",
		 "apptainer", "4711"},
		{"/system.slice/singularity-4711.scope", "singularity", "4711"},
		{"/apptainer/4711", "apptainer", "4711"},
		{"/slurm/uid_1000/job_7/step_0/apptainer-4711.scope", "apptainer", "4711"},
		{"/lxc.payload.web-1", "lxc", "web-1"}, /* the second of the name */
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *engine = NULL, *name = NULL;
		size_t len = 0;
		if (!runtime_match(cases[i].path, &engine, &name, &len))
			TEST_FAIL("%s is not seen", cases[i].path);
		CHECK_STR(engine, cases[i].engine);
		if (len != strlen(cases[i].name) || memcmp(name, cases[i].name, len))
			TEST_FAIL("%s is named \"%.*s\"", cases[i].path, (int)len, name);
	}
}

TEST(what_is_no_container)
{
	static const char *const paths[] = {
		"",
		"/",
		"/docker",
		"/docker/buildkit",
		"/docker/buildx",
		"/system.slice/docker.service",
		"/system.slice/docker-" ID ".service",
		"/system.slice/var-lib-docker-overlay2-" ID "-merged.mount",
		"/system.slice/docker-short.scope",
		"/system.slice/docker-" ID, /* systemd makes no such directory */
		"/system.slice/containerd.service",
		"/machine.slice",
		"/machine.slice/libpod-conmon-" ID ".scope",
		"/machine.slice/machine-libpod_pod_" ID ".slice",
		"/libpod_parent",
		"/libpod_parent/conmon",
		"/system.slice/web.service/supervisor",
		"/kubepods.slice",
		"/kubepods.slice/kubepods-burstable.slice",
		"/kubepods.slice/kubepods-burstable.slice/" POD,
		"/kubepods.slice/" POD "/crio-conmon-" ID ".scope",
		"/kubepods/burstable/pod1e8a4c0d-22c1-4a6b-9d51-6f0f1b4a7c33",
		"/lxc",
		"/lxc.payload",
		"/lxc.payload.",
		"/lxc.monitor.web",
		"/lxc.monitor/101",
		"/lxc.pivot",
		"/other/lxc/101",
		"/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
		"/machine.slice/machine-.scope",
		"/other.slice/machine-web.scope",
		"/system.slice/ssh.service",
		"/system.slice/apptainer-x.scope",
		"/system.slice/apptainer-.scope",
		"/system.slice/runc-.scope",
		"/system.slice/runc-web.service",
		"/system.slice/runc-web",
		"/batch/conmon",
		"/team.slice/libpod-conmon-" ID ".scope",
		"/apptainer",
		"/slurm/uid_1000/job_7",
		"/user.slice/user-1000.slice/session-2.scope",
		"/init.scope",
		"/docker/3F1C9A0B7D5E4F2A8C6B1D0E9F7A5C3B2D4E6F8091A3B5C7D9E1F2031425A6B7",
		"/process_api/9f7bba3618752007913b22ebfa797d86",
	};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *engine, *name;
		size_t len;
		if (runtime_match(paths[i], &engine, &name, &len))
			TEST_FAIL("%s is taken for a container of %s", paths[i], engine);
		if (runtime_is_nested(paths[i]))
			TEST_FAIL("%s is taken for nested", paths[i]);
	}
}

TEST(what_is_inside_a_container)
{
	static const char *const paths[] = {
		"/docker/" ID "/init.scope",
		"/docker/" ID "/docker/" ID,
		"/machine.slice/libpod-" ID ".scope/container",
		"/kubepods.slice/" POD "/crio-" ID ".scope/container/x",
		"/lxc.payload.web/system.slice/ssh.service",
		"/lxc.payload.web/init.scope",
		"/lxc.payload.web/docker/" ID,
		"/system.slice/runc-web.scope/inner",
		"/user.slice/apptainer-4711.scope/" ID,
		"/lxc/101/ns",
		"/machine.slice/machine-web.scope/payload",
		"/docker/" ID "/kubelet.slice/" POD "/cri-containerd-" ID ".scope",
	};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *engine, *name;
		size_t len;
		if (runtime_match(paths[i], &engine, &name, &len))
			TEST_FAIL("%s is taken for a container of its own", paths[i]);
		if (!runtime_is_nested(paths[i]))
			TEST_FAIL("%s is not seen to be nested", paths[i]);
	}
	CHECK(!runtime_is_nested("/docker/" ID));
}

TEST(systemd_escapes)
{
	static const struct {
		const char *name, *want;
	} cases[] = {
		{"foo\\x2dbar", "foo-bar"},
		{"41\\x2dweb\\x2d1", "41-web-1"},
		{"plain", "plain"},
		{"\\x2f", "\\x2f"},
		{"\\x00", "\\x00"},
		{"\\x2", "\\x2"},
		{"\\xzz", "\\xzz"},
		{"a\\", "a\\"},
		{"", ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char buffer[64];
		runtime_unescape(cases[i].name, strlen(cases[i].name), buffer);
		CHECK_STR(buffer, cases[i].want);
	}
}

TEST(slices_of_users)
{
	uint32_t uid = 7;

	CHECK(runtime_of_user("user.slice/user-1000.slice/a", &uid));
	CHECK_INT(uid, 1000);
	CHECK(runtime_of_user("/user.slice/user-4294967294.slice/a/b", &uid));
	CHECK_INT(uid, 4294967294);
	CHECK(runtime_of_user("user.slice/user-1000.slice/user-0.slice/a", &uid));
	CHECK_INT(uid, 1000);
	uid = 7;
	CHECK(!runtime_of_user("user.slice/user-1000.slice", &uid));
	CHECK(!runtime_of_user("user.slice/user-0.slice/a", &uid));
	CHECK(!runtime_of_user("user.slice/user-4294967295.slice/a", &uid));
	CHECK(!runtime_of_user("user.slice/user-99999999999.slice/a", &uid));
	CHECK(!runtime_of_user("user.slice/user-.slice/a", &uid));
	CHECK(!runtime_of_user("user.slice/user-12x.slice/a", &uid));
	CHECK(!runtime_of_user("my-user-1000.slice/a", &uid));
	CHECK(!runtime_of_user("", &uid));
	CHECK_INT(uid, 7);
}

TEST_MAIN()
