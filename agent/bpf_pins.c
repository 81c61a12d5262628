/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "bpf_objects.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"

#define BPFFS "/sys/fs/bpf"

/* All that is ever pinned, and so all that is ever unlinked. */
static const char *const pin_names[] = {"samples", "cgroups", "io_counts", "events"};

static bool is_pin_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(pin_names); i++) {
		if (strcmp(name, pin_names[i]) == 0)
			return true;
	}
	return false;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static int ensure_bpffs(const char *pin_dir)
{
	_cleanup_free_ char *parent = strdup(pin_dir);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	if (!slash || slash == parent)
		return log_error_errno(EINVAL, "%s is no place for pins: give a path below " BPFFS,
				       pin_dir);
	*slash = '\0';
	if (is_bpffs(parent))
		return 0;
	if (strcmp(parent, BPFFS) != 0)
		return log_error_errno(
			EINVAL,
			"%s is not on a bpf file system: mount one there, or pin below " BPFFS,
			pin_dir);
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") < 0)
		return log_error_errno(errno, "cannot mount a bpf file system on " BPFFS);
	log_info("mounted a bpf file system on " BPFFS);
	return 0;
}

void bpf_pins_remove(int dir_fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(pin_names); i++)
		unlinkat(dir_fd, pin_names[i], 0);
}

/* What is in there beside our pins is another program's, so the whole directory is. */
static int check_only_ours(const char *pin_dir, int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_dir_ DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (!dir) {
		int r = log_error_errno(errno, "cannot list the pin directory %s", pin_dir);

		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    is_pin_name(entry->d_name))
			continue;
		return log_error_errno(ENOTEMPTY,
				       "the pin directory %s holds %s, which is not ours: give "
				       "--pin-dir a directory of its own, such as " BPFFS "/ebb",
				       pin_dir, entry->d_name);
	}
	return 0;
}

/* Opens, checks and locks; a descriptor, -EAGAIN when the directory was removed meanwhile. */
static int lock_pin_dir(const char *pin_dir)
{
	_cleanup_close_ int fd = -1;
	struct stat st, now;

	if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST)
		return log_error_errno(errno, "cannot make the pin directory %s%s", pin_dir,
				       errno == EROFS ? " (the service may pin in " BPFFS
							"/ebb only: see its unit)"
						      : "");
	fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? -EAGAIN
				       : log_error_errno(errno, "cannot open %s", pin_dir);
	if (st.st_uid != geteuid())
		return log_error_errno(EPERM, "the pin directory %s belongs to user %u, not to us",
				       pin_dir, st.st_uid);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return log_error_errno(
			errno == EWOULDBLOCK ? EBUSY : errno,
			"another agent uses the pin directory %s: stop it, or give this one its own",
			pin_dir);
	if (stat(pin_dir, &now) < 0 || now.st_ino != st.st_ino || now.st_dev != st.st_dev)
		return -EAGAIN;
	return TAKE_FD(fd);
}

/* The root of a bpffs is where everybody pins. */
static bool is_mount_root(const char *path)
{
	_cleanup_free_ char *parent = NULL;
	struct stat st, above;

	if (asprintf(&parent, "%s/..", path) < 0) {
		parent = NULL;
		return false;
	}
	return stat(path, &st) == 0 && stat(parent, &above) == 0 && st.st_dev != above.st_dev;
}

int bpf_pins_open(const char *path, char **ret_pin_dir)
{
	_cleanup_free_ char *pin_dir = strdup(path);
	_cleanup_close_ int fd = -1;
	int r;

	if (!pin_dir)
		return -ENOMEM;
	/* With a slash at its end a symbolic link would be followed. */
	for (size_t n = strlen(pin_dir); n > 1 && pin_dir[n - 1] == '/'; n--)
		pin_dir[n - 1] = '\0';
	if (strcmp(pin_dir, BPFFS) == 0 || is_mount_root(pin_dir))
		return log_error_errno(EINVAL,
				       "%s is a whole file system, not ours alone: give --pin-dir "
				       "a directory of its own, such as " BPFFS "/ebb",
				       pin_dir);
	r = ensure_bpffs(pin_dir);
	if (r < 0)
		return r;
	for (int i = 0; i < 5; i++) {
		r = lock_pin_dir(pin_dir);
		if (r != -EAGAIN)
			break;
	}
	if (r < 0)
		return r;
	fd = r;
	r = check_only_ours(pin_dir, fd);
	if (r < 0)
		return r;
	bpf_pins_remove(fd);
	*ret_pin_dir = TAKE_PTR(pin_dir);
	return TAKE_FD(fd);
}

int bpf_pins_add(const char *pin_dir, const struct bpf_map *map)
{
	char path[512];
	int r;

	if (!is_pin_name(bpf_map__name(map)))
		return log_error_errno(EINVAL, "the map %s has no name for a pin",
				       bpf_map__name(map));
	snprintf(path, sizeof(path), "%s/%s", pin_dir, bpf_map__name(map));
	r = bpf_obj_pin(bpf_map__fd(map), path);
	return r < 0 ? log_error_errno(r, "cannot pin %s", path) : 0;
}
