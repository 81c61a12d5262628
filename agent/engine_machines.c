/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines whose cgroup has the container's name, or its process's number, in its path: LXC,
 * LXD and Incus, systemd-nspawn, Apptainer. Their state says what else there is to know.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engines.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define STATE_MAX (1U << 20)
/* Of what LXC's monitor has told. */
#define MONITOR_STAMP 1
/* Directories that are looked at for one instance of Apptainer. */
#define HOSTS_MAX     64
#define USERS_MAX     64
#define INSTANCES_MAX 1024
/* What one instance says, and what is read of all: users write what they like there. */
#define INSTANCE_MAX (256U << 10)
#define READ_MAX     (8U << 20)

/* --- LXC, LXD, Incus -------------------------------------------------------------------------- */

/* Is there an entry `name` in `dir`/`below`? LXD's are links into its storage pool. */
static bool has_entry(const char *dir, const char *below, const char *name)
{
	_cleanup_close_ int fd = engine_open_dir(dir, below);
	struct stat st;

	return fd >= 0 && *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") &&
	       fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool any_has_entry(const struct engine_roots *roots, const char *engine,
			  const char *const *defaults, const char *below, const char *name)
{
	char dir[PATH_MAX];

	for (size_t i = 0; engine_root(roots, engine, defaults, i, dir, sizeof(dir)); i++)
		if (has_entry(dir, below, name))
			return true;
	return false;
}

/*
 * LXC, and LXD and Incus by the same library, make lxc.payload.NAME, and lxc.payload.NAME-1 where
 * another one has that. lxc.monitor.NAME beside it, which is root's, holds the process that started
 * the container and shows of what: "[lxc monitor] DIRECTORY NAME".
 */
int lxc_monitor_parse(const char *title, const char *key, char *ret_dir, size_t size,
		      size_t *ret_name_len)
{
	static const char mark[] = "[lxc monitor] ";
	const char *space = strrchr(title, ' ');
	size_t dir_len, name_len;

	if (strncmp(title, mark, strlen(mark)) || space < title + strlen(mark))
		return -ENOENT;
	title += strlen(mark);
	dir_len = (size_t)(space - title);
	name_len = strlen(space + 1);
	while (dir_len > 1 && title[dir_len - 1] == '/')
		dir_len--;
	if (title[0] != '/' || dir_len >= size || !name_len || strncmp(key, space + 1, name_len))
		return -ENOENT;
	/* Nothing may follow the name but the library's number. */
	key += name_len;
	if (*key && (*key != '-' || !key[1] || key[1 + strspn(key + 1, "0123456789")]))
		return -ENOENT;
	memcpy(ret_dir, title, dir_len);
	ret_dir[dir_len] = '\0';
	*ret_name_len = name_len;
	return 0;
}

static ssize_t read_start(const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -errno;

	if (n >= 0)
		text[n] = '\0';
	return n;
}

static int ask_monitor(const struct engine_roots *roots, const struct engine_query *query,
		       char *ret_dir, size_t size, size_t *ret_name_len)
{
	static const char payload[] = "lxc.payload.";
	const char *last = strrchr(query->path, '/');
	char path[PATH_MAX], title[PATH_MAX], pids[256];
	ssize_t n;

	last = last ? last + 1 : query->path;
	if (!roots->cgroups || strncmp(last, payload, strlen(payload)) ||
	    (size_t)snprintf(path, sizeof(path), "%s/%.*slxc.monitor.%s/cgroup.procs",
			     roots->cgroups, (int)(last - query->path), query->path,
			     last + strlen(payload)) >= sizeof(path))
		return -ENOENT;
	n = read_start(path, pids, sizeof(pids));
	/* At first there are others, too, which have no such title. */
	for (char *at = pids, *pid; n > 0 && (pid = strsep(&at, "\n"));) {
		snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
		if (*pid && read_start(path, title, sizeof(title)) > 0 &&
		    lxc_monitor_parse(title, query->key, ret_dir, size, ret_name_len) == 0)
			return 0;
	}
	return -ENOENT;
}

/* Is `dir` where one of the engine's directories has its containers? */
static bool keeps_in(const struct engine_roots *roots, const char *engine,
		     const char *const *defaults, const char *dir)
{
	char root[PATH_MAX];

	for (size_t i = 0; engine_root(roots, engine, defaults, i, root, sizeof(root)); i++) {
		size_t len = strlen(root);

		if (!strncmp(dir, root, len) && !strcmp(dir + len, "/containers"))
			return true;
	}
	return false;
}

/* The path has the name; whose it is its monitor tells, or the directory of one of them. What a
 * monitor has told holds: later it may have gone, or be out of reach. */
int engine_lxc_ask(const struct engine_roots *roots, const struct engine_query *query,
		   struct engine_answer *ret_answer)
{
	static const char *const lxd[] = {"/var/lib/lxd", "/var/snap/lxd/common/lxd", NULL};
	static const char *const incus[] = {"/var/lib/incus", NULL};
	_cleanup_free_ char *name = NULL;
	char dir[PATH_MAX];
	size_t name_len = strlen(query->key);

	if (ret_answer->of_user) {
		ret_answer->engine = "lxc";
	} else if (ask_monitor(roots, query, dir, sizeof(dir), &name_len) == 0) {
		ret_answer->stamp = MONITOR_STAMP;
		ret_answer->engine = keeps_in(roots, "lxd", lxd, dir)       ? "lxd"
				     : keeps_in(roots, "incus", incus, dir) ? "incus"
									    : "lxc";
	} else if (query->stamp == MONITOR_STAMP) {
		return -EALREADY;
	} else if (any_has_entry(roots, "lxd", lxd, "containers", query->key)) {
		ret_answer->engine = "lxd";
	} else if (any_has_entry(roots, "incus", incus, "containers", query->key)) {
		ret_answer->engine = "incus";
	} else {
		ret_answer->engine = "lxc";
	}
	name = strndup(query->key, name_len);
	label_take_name(&ret_answer->labels.name, name);
	return name ? 0 : -ENOMEM;
}

/* --- systemd-nspawn --------------------------------------------------------------------------- */

/* KEY=VALUE lines, the value possibly in quotes with backslashes. Caller frees; NULL: none. */
static char *environment_value(const char *text, const char *key)
{
	size_t key_len = strlen(key);

	for (const char *line = text; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, key, key_len) || line[key_len] != '=')
			continue;
		const char *at = line + key_len + 1;
		size_t len = strcspn(at, "\n"), n = 0;
		char quote = *at == '"' || *at == '\'' ? *at : '\0';
		char *value = malloc(len + 1);

		if (!value)
			return NULL;
		for (size_t i = quote != '\0'; i < len && (!quote || at[i] != quote); i++) {
			if (at[i] == '\\' && i + 1 < len)
				i++;
			value[n++] = at[i];
		}
		value[n] = '\0';
		return value;
	}
	return NULL;
}

int nspawn_machine_parse(const char *text, const char *name, struct container_labels *labels)
{
	_cleanup_free_ char *said = environment_value(text, "NAME"), *root = NULL, *id = NULL,
			    *class = NULL;

	/* Virtual machines register themselves, too. */
	class = environment_value(text, "CLASS");
	if (!said || strcmp(said, name) || (class && strcmp(class, "container")))
		return -ENOENT;
	root = environment_value(text, "ROOT");
	id = environment_value(text, "ID");
	label_take_name(&labels->name, name);
	label_take(&labels->id, id);
	label_take(&labels->image, root);
	return 0;
}

int engine_nspawn_ask(const struct engine_roots *roots, const struct engine_query *query,
		      struct engine_answer *ret_answer)
{
	static const char *const defaults[] = {"/run/systemd/machines", NULL};
	char dir[PATH_MAX];

	for (size_t i = 0; engine_root(roots, "nspawn", defaults, i, dir, sizeof(dir)); i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r = engine_read_file(dir, query->key, STATE_MAX, &ret_answer->stamp, &text,
					 &len);

		if (r == -EALREADY)
			return r;
		if (r == 0 && nspawn_machine_parse(text, query->key, &ret_answer->labels) == 0)
			return 0;
	}
	/* The path has the name, whether machined knows it or not. */
	label_take_name(&ret_answer->labels.name, query->key);
	return 0;
}

/* --- Apptainer, Singularity ------------------------------------------------------------------- */

int apptainer_instance_parse(const char *text, size_t len, uint64_t pid,
			     struct container_labels *labels)
{
	_cleanup_json_ json_t *instance = engine_json_load(text, len, ENGINE_VALUES_MAX);
	json_t *said = json_object_get(instance, "pid");

	if (!json_is_object(instance))
		return -EBADMSG;
	if (!json_is_integer(said) || json_integer_value(said) < 1 ||
	    (uint64_t)json_integer_value(said) != pid)
		return -ENOENT;
	label_take_name(&labels->name, engine_json_string(instance, "name"));
	label_take(&labels->image, engine_json_string(instance, "image"));
	return 0;
}

/* The next entry that is a name of its own; at most *left of them. */
static const char *next_entry(DIR *dir, unsigned *left)
{
	struct dirent *entry;

	while (*left > 0 && (entry = readdir(dir))) {
		(*left)--;
		if (entry->d_name[0] != '.')
			return entry->d_name;
	}
	return NULL;
}

/* What one question may still look at. */
struct budget {
	unsigned hosts, users, instances;
	size_t bytes;
};

static int look_in_user(const char *dir, const char *below, uint64_t pid, struct budget *left,
			struct engine_answer *ret_answer)
{
	int fd = engine_open_dir(dir, below);
	_cleanup_dir_ DIR *instances = fd >= 0 ? fdopendir(fd) : NULL;
	const char *name;

	if (!instances) {
		if (fd >= 0)
			close(fd);
		return -ENOENT;
	}
	while ((name = next_entry(instances, &left->instances))) {
		_cleanup_free_ char *file = NULL, *text = NULL;
		size_t len;

		if (asprintf(&file, "%s/%s/%s.json", below, name, name) < 0) {
			file = NULL;
			return -ENOMEM;
		}
		if (engine_read_file(dir, file, MIN(INSTANCE_MAX, left->bytes), NULL, &text, &len) <
		    0)
			continue;
		left->bytes -= len;
		if (apptainer_instance_parse(text, len, pid, &ret_answer->labels) == 0)
			return 0;
	}
	return -ENOENT;
}

/* HOST/USER/NAME/NAME.json below `dir`. */
static int look_for_instance(const char *dir, uint64_t pid, struct engine_answer *ret_answer)
{
	int fd = engine_open_dir(dir, "");
	_cleanup_dir_ DIR *hosts = fd >= 0 ? fdopendir(fd) : NULL;
	struct budget left = {HOSTS_MAX, USERS_MAX, INSTANCES_MAX, READ_MAX};
	const char *host, *user;

	if (!hosts) {
		if (fd >= 0)
			close(fd);
		return -ENOENT;
	}
	while ((host = next_entry(hosts, &left.hosts))) {
		int users_fd = engine_open_dir(dir, host);
		_cleanup_dir_ DIR *users = users_fd >= 0 ? fdopendir(users_fd) : NULL;

		if (!users && users_fd >= 0)
			close(users_fd);
		while (users && (user = next_entry(users, &left.users))) {
			char below[2 * NAME_MAX + 2];

			snprintf(below, sizeof(below), "%s/%s", host, user);
			if (look_in_user(dir, below, pid, &left, ret_answer) == 0)
				return 0;
		}
	}
	return -ENOENT;
}

int engine_apptainer_ask(const struct engine_roots *roots, const struct engine_query *query,
			 struct engine_answer *ret_answer)
{
	static const char *const of_root[] = {"/root/.apptainer/instances/app",
					      "/root/.singularity/instances/sing", NULL};
	static const char *const of_user[] = {".apptainer/instances/app",
					      ".singularity/instances/sing"};
	char dir[PATH_MAX], home[PATH_MAX / 2];
	uint64_t pid;
	int r;

	if (parse_u64(query->key, &pid) < 0)
		return -ENOENT;
	r = engine_user_home(roots, query->path, home, sizeof(home));
	if (r < 0)
		return r;
	if (r > 0) {
		for (size_t i = 0; i < ARRAY_SIZE(of_user); i++) {
			snprintf(dir, sizeof(dir), "%s/%s", home, of_user[i]);
			if (look_for_instance(dir, pid, ret_answer) == 0)
				return 0;
		}
		return -ENOENT;
	}
	for (size_t i = 0; engine_root(roots, "apptainer", of_root, i, dir, sizeof(dir)); i++)
		if (look_for_instance(dir, pid, ret_answer) == 0)
			return 0;
	return -ENOENT;
}
