/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of a test's own: "ebb-test-PID-NAME" in each hierarchy the host has, children below it,
 * loads inside it, and their complete removal. Nothing outside a cgroup made here is ever written.
 */
#ifndef EBB_TEST_CGROUP_TREE_H
#define EBB_TEST_CGROUP_TREE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_TREE_MOUNTS 8

struct cgroup_tree_mount {
	char path[256];        /* "/sys/fs/cgroup/cpu" */
	char controllers[128]; /* v1: "cpu,cpuacct"; v2: "" */
	int version;
};

struct cgroup_tree {
	char name[64]; /* "ebb-test-123-parity": relative path in every mount */
	struct cgroup_tree_mount mounts[TEST_TREE_MOUNTS];
	int n_mounts;
};

static inline bool cgroup_tree_has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += len)
		if ((p == list || p[-1] == ',') && (p[len] == '\0' || p[len] == ','))
			return true;
	return false;
}

/* Hierarchies Ebb can use: v2, and v1 with cpu, cpuacct, cpuset, memory or blkio. */
static inline void cgroup_tree_find_mounts(struct cgroup_tree *tree)
{
	static const char *const wanted[] = {"cpu", "cpuacct", "cpuset", "memory", "blkio"};
	FILE *f = fopen("/proc/self/mounts", "re");
	char line[1024], path[256], type[32], options[512];

	tree->n_mounts = 0;
	while (f && fgets(line, sizeof(line), f) && tree->n_mounts < TEST_TREE_MOUNTS) {
		struct cgroup_tree_mount *m = &tree->mounts[tree->n_mounts];
		bool use;

		if (sscanf(line, "%*s %255s %31s %511s", path, type, options) != 3)
			continue;
		use = !strcmp(type, "cgroup2");
		m->version = use ? 2 : 1;
		m->controllers[0] = '\0';
		for (size_t i = 0; !strcmp(type, "cgroup") && i < 5; i++) {
			size_t len = strlen(m->controllers);

			if (!cgroup_tree_has_word(options, wanted[i]))
				continue;
			snprintf(m->controllers + len, sizeof(m->controllers) - len, "%s%s",
				 len ? "," : "", wanted[i]);
			use = true;
		}
		if (!use)
			continue;
		snprintf(m->path, sizeof(m->path), "%s", path);
		tree->n_mounts++;
	}
	if (f)
		fclose(f);
}

/*
 * The directory of the tree (or of `child` in it, NULL for the tree's own) in the mount of
 * `controller` ("cpu", "memory", "blkio"; on v2 also "io"); the v2 mount when no v1 mount has it.
 * False: the host has no such hierarchy.
 */
static inline bool cgroup_tree_dir(const struct cgroup_tree *tree, const char *controller,
				   const char *child, char *ret_path, size_t size)
{
	const struct cgroup_tree_mount *found = NULL;

	for (int i = 0; i < tree->n_mounts; i++)
		if (tree->mounts[i].version == 1 &&
		    cgroup_tree_has_word(tree->mounts[i].controllers, controller))
			found = &tree->mounts[i];
	for (int i = 0; !found && i < tree->n_mounts; i++)
		if (tree->mounts[i].version == 2)
			found = &tree->mounts[i];
	if (!found)
		return false;
	snprintf(ret_path, size, "%s/%s%s%s", found->path, tree->name, child ? "/" : "",
		 child ? child : "");
	return true;
}

/* A cpuset on v1 takes no task before it has CPUs and memory nodes: copies the root's. */
static inline void cgroup_tree_fill_cpuset(const char *dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	char path[640], value[4096], parent[512];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (!slash)
		return;
	*slash = '\0';
	for (int i = 0; i < 2; i++) {
		int fd;
		ssize_t n = -1;

		snprintf(path, sizeof(path), "%s/%s", parent, files[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			n = read(fd, value, sizeof(value));
			close(fd);
		}
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		fd = n > 0 ? open(path, O_WRONLY | O_CLOEXEC) : -1;
		if (fd >= 0) {
			if (write(fd, value, n) != n)
				perror(path);
			close(fd);
		}
	}
}

/* v2: what `dir`, a cgroup of the tree, has of controllers goes to its children too. */
static inline void cgroup_tree_hand_down(const char *dir)
{
	char path[640], controllers[256], word[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.controllers", dir);
	f = fopen(path, "re");
	if (!f || !fgets(controllers, sizeof(controllers), f))
		controllers[0] = '\0';
	if (f)
		fclose(f);
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", dir);
	for (char *save, *c = strtok_r(controllers, " \n", &save); c;
	     c = strtok_r(NULL, " \n", &save)) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		snprintf(word, sizeof(word), "+%s", c);
		/* Refused where a process is in `dir` itself; the test sees what it then lacks. */
		if (fd >= 0 && write(fd, word, strlen(word)) < 0 && errno != EBUSY)
			perror(path);
		if (fd >= 0)
			close(fd);
	}
}

/*
 * mkdir in every mount. `child`: NULL for the tree's own. On v2 its parents within the tree hand
 * their controllers down to it, and can hold no process from then on. 0 or a negative errno.
 */
static inline int cgroup_tree_mkdir(const struct cgroup_tree *tree, const char *child)
{
	char path[512];

	for (int i = 0; i < tree->n_mounts; i++) {
		for (const char *slash = child; tree->mounts[i].version == 2 && slash;
		     slash = strchr(slash + 1, '/')) {
			snprintf(path, sizeof(path), "%s/%s%s%.*s", tree->mounts[i].path,
				 tree->name, slash > child ? "/" : "", (int)(slash - child), child);
			cgroup_tree_hand_down(path);
		}
		snprintf(path, sizeof(path), "%s/%s%s%s", tree->mounts[i].path, tree->name,
			 child ? "/" : "", child ? child : "");
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (cgroup_tree_has_word(tree->mounts[i].controllers, "cpuset"))
			cgroup_tree_fill_cpuset(path);
	}
	return 0;
}

/* Makes the tree's own cgroup in every mount. 0, or a negative errno (-EACCES: not root). */
static inline int cgroup_tree_new(struct cgroup_tree *ret_tree, const char *name)
{
	struct cgroup_tree tree = {0};
	int r;

	snprintf(tree.name, sizeof(tree.name), "ebb-test-%d-%s", (int)getpid(), name);
	cgroup_tree_find_mounts(&tree);
	if (!tree.n_mounts)
		return -ENOENT;
	r = cgroup_tree_mkdir(&tree, NULL);
	*ret_tree = tree;
	return r;
}

/* Writes `text` to a file of the tree. Only names made here can be reached. */
static inline int cgroup_tree_write(const struct cgroup_tree *tree, const char *controller,
				    const char *child, const char *file, const char *text)
{
	char dir[512], path[640];
	int fd, r = 0;

	if (!cgroup_tree_dir(tree, controller, child, dir, sizeof(dir)))
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* The whole file, or "" when it cannot be read. */
static inline int cgroup_tree_read(const struct cgroup_tree *tree, const char *controller,
				   const char *child, const char *file, char *ret_text, size_t size)
{
	char dir[512], path[640];
	ssize_t n;
	int fd;

	ret_text[0] = '\0';
	if (!cgroup_tree_dir(tree, controller, child, dir, sizeof(dir)))
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, ret_text, size - 1);
	ret_text[n > 0 ? n : 0] = '\0';
	close(fd);
	return n < 0 ? -errno : 0;
}

/* Moves a process into the tree (or a child of it) in every mount. */
static inline int cgroup_tree_attach(const struct cgroup_tree *tree, const char *child, pid_t pid)
{
	char path[640], text[16];
	int r = 0;

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (int i = 0; i < tree->n_mounts; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s%s%s/cgroup.procs", tree->mounts[i].path,
			 tree->name, child ? "/" : "", child ? child : "");
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, text, strlen(text)) < 0)
			r = -errno;
		if (fd >= 0)
			close(fd);
	}
	return r;
}

/*
 * Forks a child that enters the tree (or `child`) and runs fn(arg) there; it never returns. Dies
 * with its parent.
 */
static inline pid_t cgroup_tree_spawn(const struct cgroup_tree *tree, const char *child,
				      void (*fn)(void *), void *arg)
{
	pid_t parent = getpid(), pid;
	int r;

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	signal(SIGTERM, SIG_DFL);
	r = cgroup_tree_attach(tree, child, getpid());
	if (r < 0)
		_exit(1);
	if (fn)
		fn(arg);
	while (getppid() == parent)
		sleep(1);
	_exit(0);
}

static inline void cgroup_tree_kill_in(const char *dir)
{
	char path[640], line[32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		pid_t pid = atoi(line);

		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
	}
	if (f)
		fclose(f);
}

static inline void cgroup_tree_remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		char path[1024];

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		cgroup_tree_remove_dir(path);
	}
	if (d)
		closedir(d);
	/* A killed task leaves its cgroup a little later. */
	for (int i = 0; i < 500; i++) {
		if (rmdir(dir) == 0 || errno != EBUSY)
			return;
		cgroup_tree_kill_in(dir);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
	}
	fprintf(stderr, "%s could not be removed: %s\n", dir, strerror(errno));
}

/* Kills what runs in the tree's cgroups and removes them all. For test_at_end(). */
static inline void cgroup_tree_remove(void *arg)
{
	const struct cgroup_tree *tree = arg;
	char path[512];

	if (strncmp(tree->name, "ebb-test-", 9) != 0)
		return;
	for (int i = 0; i < tree->n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s", tree->mounts[i].path, tree->name);
		cgroup_tree_remove_dir(path);
	}
}

#endif
