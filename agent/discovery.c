/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroups are containers, under which name, and who hears of them. */
#include "discovery.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "discovery_private.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "engines.h"

/* Events that ask for a scan come in bursts. */
#define SCAN_DELAY_NS (10 * EBB_NS_PER_MS)

void discovery_tell_joined(struct discovery *d, struct container *container)
{
	if (d->options.joined)
		d->options.joined(d->options.userdata, container);
}

static void on_scan_due(void *userdata)
{
	discovery_scan(userdata);
}

void discovery_scan_soon(struct discovery *d)
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
		discovery_drop_dir(d, container, d->hierarchies[i]);
	hash_remove(&d->by_path, hash_string(container->path), container);
	container_free(container);
}

void discovery_remove(struct discovery *d, struct container *container)
{
	log_debug("container %s (%s) has gone", container->name, container->path);
	if (d->options.removed)
		d->options.removed(d->options.userdata, container);
	container_table_remove(d->table, container->id);
	forget(d, container);
	if (d->full && d->scan_timer)
		discovery_scan_soon(d);
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
static void meaningless_name(const struct container *container, char name[32])
{
	snprintf(name, 32, "~%" PRIu64, container->id);
}

static int hide_name(struct container *container)
{
	char name[32];
	char *copy;

	meaningless_name(container, name);
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

int discovery_consider(struct discovery *d, const char *path, uint64_t expected)
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
		discovery_remove(d, container); /* renamed */
	container = discovery_by_path(d, path);
	if (container)
		discovery_remove(d, container); /* its rmdir has not been heard of yet */

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
		r = discovery_set_dir(d, container, d->hierarchies[0], TAKE_FD(fd), id);
	for (size_t i = 1; r == 0 && i < d->n_hierarchies; i++) {
		r = discovery_open_dir(d, container, d->hierarchies[i], 0);
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
void discovery_complain(struct discovery *d, const char *path, int error)
{
	if (!d->complained)
		log_warning_errno(error, "cannot take in the container %s", path);
	d->complained = true;
}

int discovery_name(struct discovery *discovery, struct container *container,
		   struct container_labels *labels, const char *engine, const char *owner,
		   bool qualified)
{
	struct discovery *d = discovery;
	struct container_labels none = {0};
	_cleanup_free_ char *base = NULL;
	bool was_unnamed = container->unnamed, by_id = !labels;
	int r;

	if (!labels)
		labels = &none;
	base = labels->name ? labels_base_name(labels) : strdup(container->key);
	if (!base)
		return -ENOMEM;
	if (engine)
		container->engine = engine;
	bool excluded = exclusion_matches(
		d->options.excludes, container->engine, container->path,
		(const char *const[]){base, labels->name ? labels->name : base, NULL}, labels);
	r = excluded ? -ECANCELED
		     : container_table_rename(d->table, container, base, owner, qualified);
	if (r < 0 && !excluded)
		return r;
	if (labels != &none) {
		labels_clear(&container->labels);
		container->labels = *labels;
		*labels = none;
	}
	if (excluded)
		return r;
	container->by_id = by_id;
	container->unnamed = false;
	container->qualified = qualified;
	return r == 1 || was_unnamed;
}

/* By what its engine says of it, as far as that is known, or by its path. */
bool discovery_excludes(const struct discovery *discovery, const struct container *container)
{
	const struct container_labels *labels = &container->labels;
	_cleanup_free_ char *base = labels_base_name(labels);
	const char *names[] = {container->key, base ? base : labels->name, labels->name, NULL};

	return exclusion_matches(discovery->options.excludes, container->engine, container->path,
				 names, labels);
}

void discovery_hide(struct discovery *discovery, struct container *container)
{
	char name[32];

	meaningless_name(container, name);
	/* Without memory it keeps its name, and is hidden all the same. */
	(void)container_table_rename(discovery->table, container, name, NULL, false);
	container->unnamed = true;
}

void discovery_let_go(struct discovery *discovery, struct container *container)
{
	struct discovery *d = discovery;

	/* Should it not be kept, every scan finds out again. */
	if (discovery_excludes(d, container))
		(void)exclusion_set_add(&d->excluded, container->id, container->path,
					container->engine, &container->labels, d->generation);
	else
		discovery_scan_soon(d);
	discovery_remove(d, container);
}

int discovery_look_again(struct discovery *discovery)
{
	exclusion_set_keep(&discovery->excluded, discovery->options.excludes);
	return discovery_scan(discovery);
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
			r = loop_add_timer(options->loop, LOOP_TIMER_OFF, 0, discovery_on_later, d,
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
		discovery_remove(d,
				 container_table_at(d->table, container_table_count(d->table) - 1));
	container_table_free(d->table);
	hash_clear(&d->by_path);
	hash_clear(&d->by_dir);
	exclusion_set_clear(&d->excluded);
	while (d->n_later > 0)
		discovery_drop_later(d, d->n_later - 1);
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
