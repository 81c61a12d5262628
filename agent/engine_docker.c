/* SPDX-License-Identifier: Apache-2.0 */
/* Docker: containers/ID/config.v2.json in its data-root, root's or a user's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"
#include "ebb/cleanup.h"

#define CONFIG_MAX (4U << 20)
#define DAEMON_MAX (1U << 20)

/*
 * k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT, as the kubelet has Docker call its containers; nothing
 * in it has an underscore.
 */
static void take_kubelet_name(const char *name, struct container_labels *labels)
{
	_cleanup_free_ char *copy = strncmp(name, "k8s_", 4) ? NULL : strdup(name + 4);
	char *parts[5], *at = copy;
	size_t n = 0;

	while (n < ARRAY_SIZE(parts) && at && (parts[n] = strsep(&at, "_")) && *parts[n])
		n++;
	if (n < ARRAY_SIZE(parts))
		return;
	label_take_name(&labels->name, parts[0]);
	label_take(&labels->pod, parts[1]);
	label_take(&labels->namespace, parts[2]);
}

int docker_config_parse(const char *text, size_t len, struct container_labels *labels)
{
	_cleanup_json_ json_t *document = engine_json_load(text, len, ENGINE_VALUES_MAX);
	const json_t *config = json_object_get(document, "Config");
	const char *name = engine_json_string(document, "Name");
	const json_t *own = json_object_get(config, "Labels");

	if (!json_is_object(document))
		return -EBADMSG;
	/* "/web" */
	if (name)
		name += strspn(name, "/");
	label_take_name(&labels->name, name);
	label_take(&labels->id, engine_json_string(document, "ID"));
	label_take(&labels->image, engine_json_string(config, "Image"));
	/* The labels are whatever the container's owner wrote: they count only where the name,
	 * which the kubelet alone gives, says the same. */
	if (name && !strncmp(name, "k8s_", 4) && engine_json_string(own, "io.kubernetes.pod.name"))
		take_kubelet_name(name, labels);
	return 0;
}

char *docker_data_root(const char *text, size_t len)
{
	_cleanup_json_ json_t *document = engine_json_load(text, len, ENGINE_VALUES_MAX);
	const char *root = engine_json_string(document, "data-root");

	/* Its name before Docker 17.05. */
	if (!root)
		root = engine_json_string(document, "graph");
	return root && root[0] == '/' ? strdup(root) : NULL;
}

static int read_config(const char *dir, const struct engine_query *query,
		       struct engine_answer *ret_answer)
{
	_cleanup_free_ char *text = NULL;
	char file[512];
	size_t len;
	int r;

	snprintf(file, sizeof(file), "containers/%s/config.v2.json", query->key);
	r = engine_read_file(dir, file, CONFIG_MAX, &ret_answer->stamp, &text, &len);
	if (r == 0)
		r = docker_config_parse(text, len, &ret_answer->labels);
	if (r == 0)
		label_take(&ret_answer->labels.id, query->key);
	return r;
}

/* What its administrator configured. */
static int read_configured(const struct engine_roots *roots, const struct engine_query *query,
			   struct engine_answer *ret_answer)
{
	_cleanup_free_ char *text = NULL, *root = NULL;
	char dir[PATH_MAX];
	size_t len;

	snprintf(dir, sizeof(dir), "%s/etc/docker", roots->prefix);
	int r = engine_read_file(dir, "daemon.json", DAEMON_MAX, NULL, &text, &len);
	if (r < 0)
		return r;
	root = docker_data_root(text, len);
	if (!root || (size_t)snprintf(dir, sizeof(dir), "%s%s", roots->prefix, root) >= sizeof(dir))
		return -ENOENT;
	return read_config(dir, query, ret_answer);
}

int engine_docker_ask(const struct engine_roots *roots, const struct engine_query *query,
		      struct engine_answer *ret_answer)
{
	static const char *const defaults[] = {"/var/lib/docker",
					       "/var/snap/docker/common/var-lib-docker", NULL};
	char dir[PATH_MAX], home[PATH_MAX / 2];
	int r, error = -ENOENT;

	r = engine_user_home(roots, query->path, home, sizeof(home));
	if (r < 0)
		return r;
	if (r > 0) {
		snprintf(dir, sizeof(dir), "%s/.local/share/docker", home);
		return read_config(dir, query, ret_answer);
	}
	for (size_t i = 0; engine_root(roots, "docker", defaults, i, dir, sizeof(dir)); i++) {
		r = read_config(dir, query, ret_answer);
		if (r == 0 || r == -EALREADY)
			return r;
		if (r != -ENOENT && r != -ENOTDIR)
			error = r;
	}
	r = read_configured(roots, query, ret_answer);
	return r == -ENOENT || r == -ENOTDIR ? error : r;
}
