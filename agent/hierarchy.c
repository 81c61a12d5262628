/* SPDX-License-Identifier: Apache-2.0 */
#include "hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"

static const struct {
	const char *name; /* ours, and the kernel's on v2 */
	const char *v1_name;
} controllers[CGROUP_CONTROLLER_MAX] = {
	[CGROUP_CPU] = {"cpu", "cpu"},          [CGROUP_CPUACCT] = {"cpuacct", "cpuacct"},
	[CGROUP_CPUSET] = {"cpuset", "cpuset"}, [CGROUP_MEMORY] = {"memory", "memory"},
	[CGROUP_IO] = {"io", "blkio"},
};

const char *cgroup_controller_name(enum cgroup_controller controller)
{
	return (unsigned)controller < CGROUP_CONTROLLER_MAX ? controllers[controller].name : NULL;
}

const char *hierarchies_kind(const struct hierarchies *hierarchies)
{
	if (hierarchies->v1 && hierarchies->v2)
		return "hybrid";
	return hierarchies->v2 ? "v2" : "v1";
}

/* One field up to a space or the end of the line; the rest of the line, or NULL at its end. */
static const char *take_field(const char *at, const char **ret_field, size_t *ret_len)
{
	size_t len = strcspn(at, " \n");
	*ret_field = at;
	*ret_len = len;
	return at[len] == ' ' ? at + len + 1 : NULL;
}

/* The kernel writes space, tab, newline and backslash as \ooo (fs/proc_namespace.c, mangle()). */
static char *unescape(const char *text, size_t len)
{
	char *out = malloc(len + 1);
	if (!out)
		return NULL;

	size_t n = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 3 < len && text[i + 1] >= '0' && text[i + 1] <= '3' &&
		    text[i + 2] >= '0' && text[i + 2] <= '7' && text[i + 3] >= '0' &&
		    text[i + 3] <= '7') {
			out[n++] = (char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
					  (text[i + 3] - '0'));
			i += 3;
		} else {
			out[n++] = text[i];
		}
	}
	out[n] = '\0';
	return out;
}

static bool has_option(const char *options, size_t len, const char *wanted)
{
	size_t wanted_len = strlen(wanted);
	while (len > 0) {
		size_t n = 0;
		while (n < len && options[n] != ',' && options[n] != ' ' && options[n] != '\n')
			n++;
		if (n == wanted_len && !memcmp(options, wanted, n))
			return true;
		if (n == len)
			break;
		options += n + 1;
		len -= n + 1;
	}
	return false;
}

unsigned cgroup_controllers_parse(const char *text, int version)
{
	unsigned found = 0;
	size_t len = strlen(text);
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		if (has_option(text, len,
			       version == 1 ? controllers[c].v1_name : controllers[c].name))
			found |= 1u << c;
	}
	/* v2 counts CPU time of every cgroup; Ebb asks for it beside the controller it steers. */
	if (version == 2 && found & 1u << CGROUP_CPU)
		found |= 1u << CGROUP_CPUACCT;
	return found;
}

struct mountinfo_line {
	int id, parent;
	unsigned major, minor;
	const char *root, *path, *options, *type, *super;
	size_t root_len, path_len, options_len, type_len, super_len;
};

static bool parse_line(const char *line, struct mountinfo_line *ret_line)
{
	struct mountinfo_line l = {0};
	const char *field;
	size_t len;

	if (sscanf(line, "%d %d %u:%u ", &l.id, &l.parent, &l.major, &l.minor) != 4)
		return false;
	const char *at = line;
	for (int i = 0; i < 3 && at; i++)
		at = take_field(at, &field, &len);
	if (at)
		at = take_field(at, &l.root, &l.root_len);
	if (at)
		at = take_field(at, &l.path, &l.path_len);
	if (at)
		at = take_field(at, &l.options, &l.options_len);

	/* Any number of optional fields, then "-". */
	do {
		if (!at)
			return false;
		at = take_field(at, &field, &len);
	} while (len != 1 || *field != '-');

	if (at)
		at = take_field(at, &l.type, &l.type_len);
	if (at)
		at = take_field(at, &field, &len);
	if (!at)
		return false;
	take_field(at, &l.super, &l.super_len);

	*ret_line = l;
	return true;
}

static void drop_mount(struct cgroup_mount *mounts, size_t *n, size_t i)
{
	free(mounts[i].path);
	free(mounts[i].root);
	memmove(mounts + i, mounts + i + 1, (*n - i - 1) * sizeof(*mounts));
	(*n)--;
}

void cgroup_mounts_free(struct cgroup_mount *mounts, size_t n)
{
	while (n > 0)
		drop_mount(mounts, &n, n - 1);
	free(mounts);
}

#define for_each_line(line, text)                      \
	for (const char *line = (text); line && *line; \
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)

int cgroup_mounts_parse(const char *mountinfo, struct cgroup_mount **ret_mounts, size_t *ret_n)
{
	struct cgroup_mount *mounts = NULL;
	size_t n = 0;
	struct mountinfo_line l;

	for_each_line(line, mountinfo)
	{
		if (!parse_line(line, &l))
			continue;

		struct cgroup_mount mount = {
			.mount_id = l.id,
			.device = makedev(l.major, l.minor),
			.read_only = has_option(l.options, l.options_len, "ro") ||
				     has_option(l.super, l.super_len, "ro"),
		};
		if (l.type_len == 7 && !memcmp(l.type, "cgroup2", 7)) {
			mount.version = 2;
		} else if (l.type_len == 6 && !memcmp(l.type, "cgroup", 6)) {
			_cleanup_free_ char *super = strndup(l.super, l.super_len);
			if (!super)
				goto no_memory;
			mount.version = 1;
			mount.controllers = cgroup_controllers_parse(super, 1);
		}
		if (mount.version == 0 || (mount.version == 1 && mount.controllers == 0))
			continue;

		struct cgroup_mount *grown = realloc(mounts, (n + 1) * sizeof(*mounts));
		if (!grown)
			goto no_memory;
		mounts = grown;
		mount.path = unescape(l.path, l.path_len);
		mount.root = unescape(l.root, l.root_len);
		mounts[n++] = mount;
		if (!mount.path || !mount.root)
			goto no_memory;
	}

	/* A mount whose parent has the same mount point covers that parent. The order of lines says
	 * nothing: "/" may come after what is mounted in it. */
	for_each_line(line, mountinfo)
	{
		if (!parse_line(line, &l))
			continue;
		for (size_t i = 0; i < n; i++) {
			if (mounts[i].mount_id != l.parent)
				continue;
			_cleanup_free_ char *path = unescape(l.path, l.path_len);
			if (!path)
				goto no_memory;
			if (!strcmp(path, mounts[i].path))
				drop_mount(mounts, &n, i--);
		}
	}

	*ret_mounts = mounts;
	*ret_n = n;
	return 0;

no_memory:
	cgroup_mounts_free(mounts, n);
	return -ENOMEM;
}

int cgroup_mounts_choose(const struct cgroup_mount *mounts, size_t n,
			 enum cgroup_controller controller)
{
	int best = -1, best_score = -1;

	for (size_t i = 0; i < n; i++) {
		if (mounts[i].version == 0 || !(mounts[i].controllers & 1u << controller))
			continue;
		int score = (strcmp(mounts[i].root, "/") ? 0 : 2) + (mounts[i].read_only ? 0 : 1);
		if (score > best_score) {
			best = (int)i;
			best_score = score;
		}
	}
	return best;
}

int cgroup_membership_parse(const char *text, const char *controller, int *ret_id,
			    const char **ret_path, size_t *ret_len)
{
	for_each_line(line, text)
	{
		char *end;
		long id = strtol(line, &end, 10);
		if (end == line || *end != ':')
			continue;
		const char *names = end + 1;
		size_t names_len = strcspn(names, ":\n");
		if (names[names_len] != ':')
			continue;
		if (controller ? !has_option(names, names_len, controller) : names_len != 0)
			continue;

		*ret_id = (int)id;
		*ret_path = names + names_len + 1;
		*ret_len = strcspn(*ret_path, "\n");
		return 0;
	}
	return -ENOENT;
}

uint64_t cgroup_id_of_fd(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

static const char *skip_slashes(const char *path)
{
	return path + strspn(path, "/");
}

static bool has_dot_segments(const char *path)
{
	for (path = skip_slashes(path); *path;) {
		size_t len = strcspn(path, "/");
		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return true;
		path = skip_slashes(path + len);
	}
	return false;
}

#define OPEN_DIRECTORY (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int cgroup_open_beneath_by_segments(int root_fd, const char *path)
{
	if (has_dot_segments(path))
		return -EXDEV;

	struct stat root, st;
	if (fstat(root_fd, &root) < 0)
		return -errno;

	_cleanup_close_ int fd = openat(root_fd, ".", OPEN_DIRECTORY);
	if (fd < 0)
		return -errno;

	for (path = skip_slashes(path); *path;) {
		size_t len = strcspn(path, "/");
		_cleanup_free_ char *segment = strndup(path, len);
		if (!segment)
			return -ENOMEM;
		int next = openat(fd, segment, OPEN_DIRECTORY);
		if (next < 0)
			return -errno;
		close(fd);
		fd = next;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (st.st_dev != root.st_dev)
			return -EXDEV;
		path = skip_slashes(path + len);
	}
	return TAKE_FD(fd);
}

int cgroup_open_beneath(int root_fd, const char *path)
{
	struct open_how how = {
		.flags = OPEN_DIRECTORY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	if (has_dot_segments(path))
		return -EXDEV;
	path = skip_slashes(path);

	/* EAGAIN: something was renamed while the kernel walked; openat2(2) says to try again. */
	for (int attempt = 0; attempt < 16; attempt++) {
		long fd = syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* Container engines' older seccomp filters answer EPERM for calls they do not know.
		 */
		if (errno == ENOSYS || errno == EPERM)
			return cgroup_open_beneath_by_segments(root_fd, path);
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

/* Opens the mount's root if what is reachable at its path is that mount and a cgroup tree. */
static int open_mount(const struct cgroup_mount *mount)
{
	_cleanup_close_ int fd = open(mount->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != mount->device)
		return -ESTALE;

	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if ((unsigned long)fs.f_type !=
	    (mount->version == 2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
		return -ESTALE;
	return TAKE_FD(fd);
}

/* The part of `path` (len bytes) below `root`; NULL: it is not below. */
static char *path_below(const char *root, const char *path, size_t len)
{
	size_t root_len = strcmp(root, "/") ? strlen(root) : 0;

	if (len < root_len || memcmp(path, root, root_len) ||
	    (len > root_len && path[root_len] != '/'))
		return NULL;
	/* "/..": outside this process's cgroup namespace. */
	if (len >= 3 && !memcmp(path, "/..", 3) && (len == 3 || path[3] == '/'))
		return NULL;
	return len == root_len ? strdup("/") : strndup(path + root_len, len - root_len);
}

static int fill_hierarchy(enum cgroup_controller controller, const struct cgroup_mount *mount,
			  int fd, const char *membership, struct hierarchy *hierarchy)
{
	const char *path;
	size_t len;

	hierarchy->version = mount->version;
	hierarchy->root_id = cgroup_id_of_fd(fd);
	hierarchy->mount = strdup(mount->path);
	if (!hierarchy->mount)
		return -ENOMEM;
	hierarchy->root_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (hierarchy->root_fd < 0)
		return -errno;

	if (cgroup_membership_parse(membership,
				    mount->version == 2 ? NULL : controllers[controller].v1_name,
				    &hierarchy->id, &path, &len) < 0)
		return log_error_errno(ENOENT,
				       "/proc/self/cgroup does not name the %s hierarchy at %s",
				       cgroup_controller_name(controller), mount->path);

	hierarchy->own_path = path_below(mount->root, path, len);
	if (hierarchy->own_path) {
		_cleanup_close_ int own = cgroup_open_beneath(fd, hierarchy->own_path);
		hierarchy->own_id = own < 0 ? 0 : cgroup_id_of_fd(own);
	}
	return 0;
}

static char *read_whole_file(const char *path)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	if (!f)
		return NULL;

	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	errno = 0;
	/* At the end of an empty file the buffer exists but holds nothing. */
	if (getdelim(&text, &size, '\0', f) < 0)
		return errno ? NULL : strdup("");
	return TAKE_PTR(text);
}

int hierarchies_open(const char *mountinfo, struct hierarchies *ret_hierarchies)
{
	struct hierarchies h = {.primary = CGROUP_CONTROLLER_MAX};
	struct cgroup_mount *mounts = NULL;
	size_t n = 0;
	_cleanup_free_ int *fds = NULL;
	int r;

	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		h.by_controller[c] = (struct hierarchy){.root_fd = -1, .shared = c};

	if (!mountinfo)
		mountinfo = "/proc/self/mountinfo";
	_cleanup_free_ char *text = read_whole_file(mountinfo);
	if (!text)
		return log_error_errno(errno, "cannot read %s", mountinfo);
	_cleanup_free_ char *membership = read_whole_file("/proc/self/cgroup");
	if (!membership)
		return log_error_errno(errno, "cannot read /proc/self/cgroup");

	r = cgroup_mounts_parse(text, &mounts, &n);
	if (r < 0)
		return r;
	fds = calloc(n + 1, sizeof(*fds));
	if (!fds) {
		cgroup_mounts_free(mounts, n);
		return -ENOMEM;
	}

	for (size_t i = 0; i < n; i++) {
		fds[i] = open_mount(&mounts[i]);
		if (fds[i] < 0) {
			log_debug("not using the cgroup mount %s: %s", mounts[i].path,
				  strerror(-fds[i]));
			mounts[i].version = 0;
			continue;
		}
		if (mounts[i].version == 1) {
			h.v1 = true;
			continue;
		}
		h.v2 = true;
		char list[512];
		if (read_file_at(fds[i], "cgroup.controllers", list, sizeof(list)) >= 0)
			mounts[i].controllers = cgroup_controllers_parse(list, 2);
	}

	int chosen[CGROUP_CONTROLLER_MAX];
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		chosen[c] = cgroup_mounts_choose(mounts, n, c);
		if (chosen[c] < 0)
			continue;
		r = fill_hierarchy(c, &mounts[chosen[c]], fds[chosen[c]], membership,
				   &h.by_controller[c]);
		if (r < 0)
			goto finish;
		for (unsigned other = 0; other < c; other++) {
			if (chosen[other] == chosen[c]) {
				h.by_controller[c].shared = h.by_controller[other].shared;
				break;
			}
		}
	}

	if (chosen[CGROUP_CPU] >= 0)
		h.primary = CGROUP_CPU;
	else if (chosen[CGROUP_MEMORY] >= 0)
		h.primary = CGROUP_MEMORY;
	else
		r = log_error_errno(ENOENT,
				    "no cgroup hierarchy with the cpu or memory controller in "
				    "%s: mount cgroup2 on /sys/fs/cgroup, or enable the "
				    "controllers",
				    mountinfo);

finish:
	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	cgroup_mounts_free(mounts, n);
	if (r < 0)
		hierarchies_close(&h);
	else
		*ret_hierarchies = h;
	return r;
}

void hierarchies_close(struct hierarchies *hierarchies)
{
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		struct hierarchy *hierarchy = &hierarchies->by_controller[c];
		free(hierarchy->mount);
		free(hierarchy->own_path);
		if (hierarchy->root_fd >= 0)
			close(hierarchy->root_fd);
		*hierarchy = (struct hierarchy){.root_fd = -1, .shared = c};
	}
}

bool hierarchies_path_is_own(const struct hierarchies *hierarchies, const char *path)
{
	path = skip_slashes(path);
	size_t len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (len == 0)
		return true;

	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const char *own = hierarchies->by_controller[c].own_path;
		if (!own)
			continue;
		own = skip_slashes(own);
		if (!strncmp(own, path, len) && (own[len] == '\0' || own[len] == '/'))
			return true;
	}
	return false;
}
