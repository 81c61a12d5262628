/* SPDX-License-Identifier: Apache-2.0 */
#include "discovery.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "engines.h"
#include "exclusion.h"
#include "hash.h"

/*
 * The deepest real trees are Kubernetes in Docker in a user session: about 12. Each level holds two
 * descriptors while it is looked at.
 */
#define SCAN_DEPTH_MAX 128
#define SCAN_PATH_MAX  4096

/* lifecycle.h cuts paths at this length. */
#define EVENT_PATH_MAX 255

/* Second looks at an announced cgroup: after 1 ms, then ever less often, until it is taken for
 * gone. */
#define LATER_FIRST_NS   EBB_NS_PER_MS
#define LATER_GIVE_UP_NS (128 * EBB_NS_PER_MS)
/* More than this many that cannot be opened yet are cheaper to scan for. */
#define LATER_MAX 1024

/* Events that ask for a scan come in bursts. */
#define SCAN_DELAY_NS (10 * EBB_NS_PER_MS)

/* A cgroup whose mkdir was announced but that could not be opened. */
struct later {
	enum cgroup_controller controller; /* whose hierarchy */
	uint64_t id;
	uint64_t until_ns;
	char *path;
};

struct discovery {
	struct discovery_options options;
	struct container_table *table;
	struct hash by_path; /* of containers */
	struct hash by_dir;  /* of containers, by their directories outside the primary hierarchy */
	/* One controller per mounted hierarchy; the first is the primary one. */
	enum cgroup_controller hierarchies[CGROUP_CONTROLLER_MAX];
	size_t n_hierarchies;

	char **globs; /* without leading and trailing slashes */
	size_t n_globs;
	size_t glob_depth; /* of the deepest */

	struct exclusion_set excluded; /* by what their engines said */

	unsigned generation;
	bool full;      /* a container was left out for max_containers or spare_descriptors */
	bool told_full; /* and since then there was no scan that left out none */
	bool told_deep;
	bool complained; /* about another reason to leave one out, since the last scan */

	struct later *later;
	size_t n_later;
	uint64_t later_wait_ns;
	struct loop_source *later_timer, *scan_timer;
};

static const struct hierarchy *hierarchy_of(const struct discovery *d,
					    enum cgroup_controller controller)
{
	return &d->options.hierarchies->by_controller[controller];
}

static bool path_equal(const void *value, const void *key)
{
	return !strcmp(((const struct container *)value)->path, key);
}

static struct container *find_by_path(const struct discovery *d, const char *path)
{
	return hash_find(&d->by_path, hash_string(path), path_equal, path);
}

/* Ids repeat from one hierarchy to the next. */
struct dir_key {
	enum cgroup_controller controller;
	uint64_t id;
};

static uint64_t hash_dir(enum cgroup_controller controller, uint64_t id)
{
	return hash_u64(id ^ (uint64_t)controller << 56);
}

static bool dir_equal(const void *value, const void *key)
{
	const struct dir_key *dir = key;
	return ((const struct container *)value)->ids[dir->controller] == dir->id;
}

static struct container *find_by_dir(const struct discovery *d, enum cgroup_controller controller,
				     uint64_t id)
{
	struct dir_key key = {controller, id};
	return hash_find(&d->by_dir, hash_dir(controller, id), dir_equal, &key);
}

struct container *discovery_find(struct discovery *discovery, enum cgroup_controller controller,
				 uint64_t id)
{
	enum cgroup_controller shared = hierarchy_of(discovery, controller)->shared;

	return shared == discovery->hierarchies[0] ? container_table_by_id(discovery->table, id)
						   : find_by_dir(discovery, shared, id);
}

/* Takes `fd` over, for every controller of the hierarchy. */
static int set_dir(struct discovery *d, struct container *container,
		   enum cgroup_controller controller, int fd, uint64_t id)
{
	if (controller != d->hierarchies[0]) {
		int r = hash_add(&d->by_dir, hash_dir(controller, id), container);
		if (r < 0) {
			close(fd);
			return r;
		}
	}
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = hierarchy_of(d, c);
		if (hierarchy->mount && hierarchy->shared == controller) {
			container->dir_fds[c] = fd;
			container->ids[c] = id;
		}
	}
	return 0;
}

static void drop_dir(struct discovery *d, struct container *container,
		     enum cgroup_controller controller)
{
	if (container->dir_fds[controller] < 0)
		return;
	hash_remove(&d->by_dir, hash_dir(controller, container->ids[controller]), container);
	container_close_dir(container, container->dir_fds[controller]);
}

/*
 * Opens the container's directory in another hierarchy. 1: it has a new one; 0: nothing changed.
 * `expected`: the id that was announced, 0: any.
 */
static int open_dir(struct discovery *d, struct container *container,
		    enum cgroup_controller controller, uint64_t expected)
{
	_cleanup_close_ int fd =
		cgroup_open_beneath(hierarchy_of(d, controller)->root_fd, container->path);
	if (fd < 0)
		return fd;
	uint64_t id = cgroup_id_of_fd(fd);
	if (id == 0)
		return -ENOENT;
	if (expected && id != expected)
		return -ESTALE;
	if (container->ids[controller] == id)
		return 0;
	drop_dir(d, container, controller);
	int r = set_dir(d, container, controller, TAKE_FD(fd), id);
	return r < 0 ? r : 1;
}

static void tell_joined(struct discovery *d, struct container *container)
{
	if (d->options.joined)
		d->options.joined(d->options.userdata, container);
}

static void on_scan_due(void *userdata)
{
	discovery_scan(userdata);
}

static void scan_soon(struct discovery *d)
{
	if (d->scan_timer)
		loop_set_timer(d->scan_timer, SCAN_DELAY_NS, 0);
	else
		discovery_scan(d);
}

/* Forgets a container that is out of the table (or never came into it). */
static void forget(struct discovery *d, struct container *container)
{
	for (size_t i = 1; i < d->n_hierarchies; i++)
		drop_dir(d, container, d->hierarchies[i]);
	hash_remove(&d->by_path, hash_string(container->path), container);
	container_free(container);
}

static void remove_container(struct discovery *d, struct container *container)
{
	log_debug("container %s (%s) has gone", container->name, container->path);
	if (d->options.removed)
		d->options.removed(d->options.userdata, container);
	container_table_remove(d->table, container->id);
	forget(d, container);
	if (d->full && d->scan_timer)
		scan_soon(d);
}

/* systemd's services, slices and scopes. */
static bool is_unit(const char *name)
{
	static const char *const suffixes[] = {".service", ".slice", ".scope"};
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t suffix_len = strlen(suffixes[i]);

		if (len > suffix_len && !strcmp(name + len - suffix_len, suffixes[i]))
			return true;
	}
	return false;
}

/* Is `path` a container, and whose? The name goes to `name`, which has room for any segment. */
static bool match(const struct discovery *d, const char *path, const char **ret_engine,
		  char name[CONTAINER_NAME_MAX + 1])
{
	const char *found, *engine;
	size_t len;

	if (runtime_match(path, &engine, &found, &len)) {
		if (len > CONTAINER_NAME_MAX)
			return false;
		runtime_unescape(found, len, name);
		*ret_engine = engine;
		return true;
	}
	for (size_t i = 0; i < d->n_globs; i++) {
		/* No escapes: cgroup names hold backslashes ("\x2d"). */
		if (fnmatch(d->globs[i], path, FNM_PATHNAME | FNM_NOESCAPE))
			continue;
		found = strrchr(path, '/');
		found = found ? found + 1 : path;
		len = strlen(found);
		if (len > CONTAINER_NAME_MAX)
			return false;
		memcpy(name, found, len + 1);
		*ret_engine = is_unit(name) ? "systemd" : "cgroup";
		return true;
	}
	return false;
}

/* A name that says nothing, and that nobody else has: the real one is on its way. */
static int hide_name(struct container *container)
{
	char name[32];
	char *copy;

	snprintf(name, sizeof(name), "~%" PRIu64, container->id);
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	free(container->name);
	container->name = copy;
	container->unnamed = true;
	return 0;
}

static int take_key_for_name(struct container *container)
{
	return label_take_name(&container->labels.name, container->key) ? 0 : -ENOMEM;
}

/* `fd` was just opened: all below it are taken, for the kernel gives the lowest. */
static bool few_descriptors(const struct discovery *d, int fd)
{
	struct rlimit limit;

	if (!d->options.spare_descriptors || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return false;
	return (rlim_t)fd >=
	       limit.rlim_cur - MIN((rlim_t)d->options.spare_descriptors, limit.rlim_cur / 2);
}

/*
 * Adds the container at `path`, if it is one. `expected`: its announced id, 0: any. 0 also when
 * there is nothing to add; -ENOENT when it cannot be opened.
 */
static int consider(struct discovery *d, const char *path, uint64_t expected)
{
	char name[CONTAINER_NAME_MAX + 1];
	const char *engine;
	struct container *container;
	int r;

	if (!match(d, path, &engine, name) || hierarchies_path_is_own(d->options.hierarchies, path))
		return 0;
	if (exclusion_matches(d->options.excludes, engine, path, (const char *const[]){name, NULL},
			      NULL))
		return 0;
	if (!name_is_sane(name, CONTAINER_NAME_MAX)) {
		log_warning("not taking %s for a container: its name is no valid UTF-8 text", path);
		return 0;
	}

	_cleanup_close_ int fd =
		cgroup_open_beneath(hierarchy_of(d, d->hierarchies[0])->root_fd, path);
	if (fd < 0)
		return fd;
	uint64_t id = cgroup_id_of_fd(fd);
	if (id == 0)
		return -ENOENT;
	/* Removed and made again meanwhile: the event of the new one is on its way. */
	if (expected && id != expected)
		return 0;

	if (exclusion_set_sees(&d->excluded, id, path, d->generation))
		return 0;

	container = container_table_by_id(d->table, id);
	if (container && !strcmp(container->path, path)) {
		container->generation = d->generation;
		return 0;
	}
	if (container)
		remove_container(d, container); /* renamed */
	container = find_by_path(d, path);
	if (container)
		remove_container(d, container); /* its rmdir has not been heard of yet */

	if (d->options.max_containers &&
	    container_table_count(d->table) >= d->options.max_containers) {
		if (!d->told_full)
			log_warning("more than %u containers: %s and others are left out (raise "
				    "--max-containers)",
				    d->options.max_containers, path);
		d->full = d->told_full = true;
		return 0;
	}

	if (few_descriptors(d, fd)) {
		if (!d->told_full)
			log_warning(
				"descriptors are running out: %s and others are left out (raise "
				"the limit of open files, LimitNOFILE= in the unit)",
				path);
		d->full = d->told_full = true;
		return 0;
	}

	r = container_new(id, name, path, engine, &container);
	if (r < 0)
		return r;
	container->generation = d->generation;
	r = d->options.names_follow && engines_can_tell(engine) ? hide_name(container)
								: take_key_for_name(container);
	if (r == 0)
		r = hash_add(&d->by_path, hash_string(path), container);
	if (r == 0)
		r = set_dir(d, container, d->hierarchies[0], TAKE_FD(fd), id);
	for (size_t i = 1; r == 0 && i < d->n_hierarchies; i++) {
		r = open_dir(d, container, d->hierarchies[i], 0);
		if (r == 1 || r == -ENOENT)
			r = 0; /* not there yet: its own mkdir event joins it */
	}
	if (r == 0)
		r = container_table_add(d->table, container);
	if (r < 0) {
		forget(d, container);
		return r;
	}
	log_debug("container %s (%s, %s)", container->name, engine, path);
	if (d->options.added)
		d->options.added(d->options.userdata, container);
	return 0;
}

/* Most likely out of descriptors: a container on v1 takes one per mounted hierarchy. */
static void complain(struct discovery *d, const char *path, int error)
{
	if (!d->complained)
		log_warning_errno(error, "cannot take in the container %s", path);
	d->complained = true;
}

/* The announced directory `path` of another hierarchy: joins the container that it belongs to. */
static int join(struct discovery *d, enum cgroup_controller controller, const char *path,
		uint64_t id)
{
	struct container *container = find_by_path(d, path);
	if (!container)
		return 0;
	int r = open_dir(d, container, controller, id);
	if (r == 1)
		tell_joined(d, container);
	return r == -ESTALE ? 0 : MIN(r, 0);
}

/* True: the announced directory is not to be seen yet. */
static bool appear(struct discovery *d, enum cgroup_controller controller, const char *path,
		   uint64_t id)
{
	int r = controller == d->hierarchies[0] ? consider(d, path, id)
						: join(d, controller, path, id);
	if (r < 0 && r != -ENOENT)
		complain(d, path, r);
	return r == -ENOENT;
}

static void drop_later(struct discovery *d, size_t i)
{
	free(d->later[i].path);
	d->later[i] = d->later[--d->n_later];
}

static void on_later(void *userdata)
{
	struct discovery *d = userdata;
	uint64_t now = now_ns();

	for (size_t i = d->n_later; i-- > 0;) {
		const struct later *l = &d->later[i];
		if (!appear(d, l->controller, l->path, l->id) || now >= l->until_ns)
			drop_later(d, i);
	}
	if (d->n_later > 0) {
		d->later_wait_ns *= 2;
		loop_set_timer(d->later_timer, d->later_wait_ns, 0);
	}
}

/*
 * The kernel announces a cgroup (TRACE_CGROUP_PATH in cgroup_mkdir()) just before it makes the
 * directory visible (kernfs_activate()).
 */
static void look_later(struct discovery *d, enum cgroup_controller controller, const char *path,
		       uint64_t id)
{
	if (!d->later_timer)
		return;
	if (d->n_later == LATER_MAX) {
		scan_soon(d);
		return;
	}
	char *copy = strdup(path);
	if (!copy)
		return;
	d->later[d->n_later++] = (struct later){
		.controller = controller,
		.id = id,
		.until_ns = now_ns() + LATER_GIVE_UP_NS,
		.path = copy,
	};
	d->later_wait_ns = LATER_FIRST_NS;
	loop_set_timer(d->later_timer, d->later_wait_ns, 0);
}

static void disappear(struct discovery *d, enum cgroup_controller controller, uint64_t id)
{
	struct container *container;

	for (size_t i = d->n_later; i-- > 0;) {
		if (d->later[i].controller == controller && d->later[i].id == id)
			drop_later(d, i);
	}
	if (controller == d->hierarchies[0]) {
		exclusion_set_remove(&d->excluded, id);
		container = container_table_by_id(d->table, id);
		if (container)
			remove_container(d, container);
		return;
	}
	container = find_by_dir(d, controller, id);
	if (container) {
		drop_dir(d, container, controller);
		tell_joined(d, container);
	}
}

void discovery_event(struct discovery *discovery, const struct lifecycle_event *event)
{
	struct discovery *d = discovery;
	enum cgroup_controller controller = CGROUP_CONTROLLER_MAX;

	if (event->kind == LIFECYCLE_LOST) {
		scan_soon(d);
		return;
	}
	if (event->kind != LIFECYCLE_MKDIR && event->kind != LIFECYCLE_RMDIR &&
	    event->kind != LIFECYCLE_RENAME)
		return;

	for (size_t i = 0; i < d->n_hierarchies; i++) {
		if (hierarchy_of(d, d->hierarchies[i])->id == event->hierarchy_id)
			controller = d->hierarchies[i];
	}
	if (controller == CGROUP_CONTROLLER_MAX)
		return;

	if (event->kind == LIFECYCLE_RMDIR) {
		disappear(d, controller, event->cgroup_id);
		return;
	}

	/* Event paths start at the hierarchy's root; only id 1 is that. */
	size_t len = event->path ? strlen(event->path) : 0;
	if (len == 0 || len >= EVENT_PATH_MAX || hierarchy_of(d, controller)->root_id != 1) {
		scan_soon(d);
		return;
	}
	const char *path = event->path + strspn(event->path, "/");

	if (event->kind == LIFECYCLE_RENAME) {
		/* Takes all below it along. */
		disappear(d, controller, event->cgroup_id);
		scan_soon(d);
	}
	if (appear(d, controller, path, event->cgroup_id))
		look_later(d, controller, path, event->cgroup_id);
}

static bool worth_descending(const struct discovery *d, const char *path, size_t depth)
{
	const char *engine, *name;
	size_t len;

	return depth < d->glob_depth ||
	       !(runtime_match(path, &engine, &name, &len) || runtime_is_nested(path));
}

/* kernfs counts subdirectories as links, two being the directory's own: most cgroups are leaves. */
static bool has_children(int dir_fd, const char *name)
{
	struct stat st;
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink != 2;
}

static void tell_too_deep(struct discovery *d, const char *path)
{
	if (!d->told_deep)
		log_warning("cgroups below %s are not looked at: they are more than %d deep", path,
			    SCAN_DEPTH_MAX);
	d->told_deep = true;
}

/*
 * `path` holds the directory's own path (`len` bytes, "" for the root) and has SCAN_PATH_MAX. 0, or
 * the error that left a part of the tree unseen; a directory that vanishes meanwhile is none.
 */
static int scan_dir(struct discovery *d, int fd, char *path, size_t len, size_t depth)
{
	_cleanup_dir_ DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int r, error = 0;

	if (!dir) {
		close(fd);
		return -errno;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		size_t name_len = strlen(entry->d_name);
		if (len + name_len + 2 > SCAN_PATH_MAX)
			continue;
		size_t child_len = len + (len > 0) + name_len;
		if (len > 0)
			path[len] = '/';
		memcpy(path + child_len - name_len, entry->d_name, name_len + 1);

		/* kernfs gives the cgroup id as the inode number: known ones need no open. */
		struct container *known = container_table_by_id(d->table, entry->d_ino);
		if (known && !strcmp(known->path, path))
			known->generation = d->generation;
		else if (!exclusion_set_sees(&d->excluded, entry->d_ino, path, d->generation) &&
			 (r = consider(d, path, 0)) < 0 && r != -ENOENT)
			complain(d, path, r);

		if (worth_descending(d, path, depth + 1) &&
		    has_children(dirfd(dir), entry->d_name)) {
			if (depth == SCAN_DEPTH_MAX) {
				tell_too_deep(d, path);
				path[len] = '\0';
				continue;
			}
			int child = openat(dirfd(dir), entry->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			r = child >= 0 ? scan_dir(d, child, path, child_len, depth + 1) : -errno;
			if (r < 0 && r != -ENOENT)
				error = r;
		}
		path[len] = '\0';
	}
	return error;
}

/* Finds directories that came or went without an event. */
static void check_dirs(struct discovery *d, struct container *container)
{
	bool changed = false;

	for (size_t i = 1; i < d->n_hierarchies; i++) {
		enum cgroup_controller c = d->hierarchies[i];
		struct stat st;
		uint64_t id = fstatat(hierarchy_of(d, c)->root_fd, container->path, &st,
				      AT_SYMLINK_NOFOLLOW) < 0
				      ? 0
				      : st.st_ino;
		if (id == container->ids[c])
			continue;
		if (id == 0) {
			drop_dir(d, container, c);
			changed = true;
		} else if (open_dir(d, container, c, 0) == 1) {
			changed = true;
		}
	}
	if (changed)
		tell_joined(d, container);
}

int discovery_scan(struct discovery *discovery)
{
	struct discovery *d = discovery;
	_cleanup_free_ char *path = calloc(1, SCAN_PATH_MAX);
	if (!path)
		return -ENOMEM;

	int fd = openat(hierarchy_of(d, d->hierarchies[0])->root_fd, ".",
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return log_error_errno(errno, "cannot read the cgroup tree at %s",
				       hierarchy_of(d, d->hierarchies[0])->mount);

	d->full = d->complained = false;
	/* Containers that the scan adds have their directories looked up as they are added. */
	size_t before = container_table_count(d->table);
	d->generation++;
	int r = scan_dir(d, fd, path, 0, 0);
	if (r < 0)
		log_warning_errno(r, "cannot scan all of the cgroup tree");
	else
		exclusion_set_prune(&d->excluded, d->generation);

	d->told_full = d->told_full && d->full;
	for (size_t i = container_table_count(d->table); i-- > 0;) {
		struct container *container = container_table_at(d->table, i);
		if (container->generation != d->generation) {
			/* What was not looked at is not known to have gone. */
			if (r == 0)
				remove_container(d, container);
		} else if (before > 0) {
			check_dirs(d, container);
		}
	}
	return r;
}

int discovery_name(struct discovery *discovery, struct container *container,
		   struct container_labels *labels, const char *engine, const char *owner,
		   bool qualified)
{
	struct discovery *d = discovery;
	struct container_labels none = {0};
	_cleanup_free_ char *base = NULL;
	bool was_unnamed = container->unnamed;
	int r;

	if (!labels)
		labels = &none;
	base = labels->name ? labels_base_name(labels) : strdup(container->key);
	if (!base)
		return -ENOMEM;
	if (engine)
		container->engine = engine;
	if (exclusion_matches(d->options.excludes, container->engine, container->path,
			      (const char *const[]){base, labels->name ? labels->name : base, NULL},
			      labels)) {
		log_debug("%s (%s) is excluded", base, container->path);
		/* Should it not be kept, every scan finds out again. */
		(void)exclusion_set_add(&d->excluded, container->id, container->path,
					d->generation);
		remove_container(d, container);
		return -ECANCELED;
	}
	r = container_table_rename(d->table, container, base, owner, qualified);
	if (r < 0)
		return r;
	if (labels != &none) {
		labels_clear(&container->labels);
		container->labels = *labels;
		*labels = none;
	}
	container->unnamed = false;
	container->qualified = qualified;
	return r == 1 || was_unnamed;
}

int discovery_name_taken(struct discovery *discovery, struct container *container)
{
	struct discovery *d = discovery;
	_cleanup_free_ char *base = labels_base_name(&container->labels);
	int r;

	if (!base)
		base = strdup(container->key);
	r = base ? container_table_name_taken(d->table, container) : -ENOMEM;
	if (r < 0)
		return r;
	return container_table_rename(d->table, container, base, NULL, container->qualified);
}

static int add_glob(struct discovery *d, const char *glob)
{
	const char *given = glob;
	size_t depth = 1;

	glob += strspn(glob, "/");
	size_t len = strlen(glob);
	while (len > 0 && glob[len - 1] == '/')
		len--;
	if (len == 0)
		return log_error_errno(EINVAL,
				       "the container pattern \"%s\" is the root cgroup: name "
				       "what is below it, such as \"demo/*\"",
				       given);
	for (size_t i = 0; i < len; i++)
		depth += glob[i] == '/';
	d->globs[d->n_globs] = strndup(glob, len);
	if (!d->globs[d->n_globs])
		return -ENOMEM;
	d->n_globs++;
	d->glob_depth = MAX(d->glob_depth, depth);
	return 0;
}

int discovery_new(const struct discovery_options *options, struct discovery **ret_discovery)
{
	struct discovery *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	d->options = *options;

	enum cgroup_controller primary = options->hierarchies->primary;
	d->hierarchies[d->n_hierarchies++] = hierarchy_of(d, primary)->shared;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_MAX; c++) {
		const struct hierarchy *hierarchy = hierarchy_of(d, c);
		if (hierarchy->mount && hierarchy->shared == c && c != d->hierarchies[0])
			d->hierarchies[d->n_hierarchies++] = c;
	}

	r = container_table_new(&d->table);
	if (r == 0)
		container_table_set_record(d->table, options->record, options->host_name);
	if (r == 0 && options->globs) {
		d->globs = calloc(options->globs->n + 1, sizeof(*d->globs));
		if (!d->globs)
			r = -ENOMEM;
		for (size_t i = 0; r == 0 && i < options->globs->n; i++)
			r = add_glob(d, options->globs->items[i]);
	}
	if (r == 0 && options->loop) {
		d->later = calloc(LATER_MAX, sizeof(*d->later));
		if (!d->later)
			r = -ENOMEM;
		if (r == 0)
			r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_later, d,
					   &d->later_timer);
		if (r == 0)
			r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, on_scan_due, d,
					   &d->scan_timer);
	}
	if (r < 0) {
		discovery_free(d);
		return r;
	}
	*ret_discovery = d;
	return 0;
}

void discovery_free(struct discovery *discovery)
{
	struct discovery *d = discovery;

	if (!d)
		return;
	loop_remove(d->scan_timer);
	loop_remove(d->later_timer);
	d->scan_timer = d->later_timer = NULL;
	while (d->table && container_table_count(d->table) > 0)
		remove_container(d,
				 container_table_at(d->table, container_table_count(d->table) - 1));
	container_table_free(d->table);
	hash_clear(&d->by_path);
	hash_clear(&d->by_dir);
	exclusion_set_clear(&d->excluded);
	while (d->n_later > 0)
		drop_later(d, d->n_later - 1);
	free(d->later);
	while (d->n_globs > 0)
		free(d->globs[--d->n_globs]);
	free(d->globs);
	free(d);
}

struct container_table *discovery_table(struct discovery *discovery)
{
	return discovery->table;
}
