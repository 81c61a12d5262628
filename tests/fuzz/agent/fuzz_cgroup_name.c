/* SPDX-License-Identifier: Apache-2.0 */
/* Names of cgroups, and paths that pretend to be one: nothing is opened outside of where it should
 * be, and no name is taken that is no text. */
#include "../fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hierarchy.h"
#include "runtime.h"
#include "ebb/util.h"

/* A directory that has no other below it but "fd" and "fdinfo", whoever runs this. */
#define ROOT "/proc/self"

static void open_it(int root, const char *path, int (*open_beneath)(int, const char *))
{
	struct stat st, here;
	int fd = open_beneath(root, path);

	if (fd < 0)
		return;
	FUZZ_CHECK(fstat(fd, &st) == 0 && fstat(root, &here) == 0);
	FUZZ_CHECK(S_ISDIR(st.st_mode) && st.st_dev == here.st_dev);
	for (const char *at = path; (at = strstr(at, "..")); at += 2)
		FUZZ_CHECK(!((at == path || at[-1] == '/') && (!at[2] || at[2] == '/')));
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *path = fuzz_string(data, size), *name = malloc(size + 1);
	const char *engine, *found;
	size_t len;
	int root = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);

	FUZZ_CHECK(root >= 0 && name);
	open_it(root, path, cgroup_open_beneath);
	open_it(root, path, cgroup_open_beneath_by_segments);
	if (runtime_match(path, &engine, &found, &len)) {
		FUZZ_CHECK(engine && found >= path && found + len <= path + strlen(path) && len);
		FUZZ_CHECK(!memchr(found, '/', len));
		runtime_unescape(found, len, name);
		FUZZ_CHECK(*name && strlen(name) <= len && !strchr(name, '/'));
		(void)name_is_sane(name, 255);
		FUZZ_CHECK(!runtime_is_nested(path));
	}
	close(root);
	free(name);
	free(path);
	return 0;
}
