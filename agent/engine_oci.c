/* SPDX-License-Identifier: Apache-2.0 */
/* containerd (with or without Kubernetes, nerdctl) and CRI-O: the annotations in the config.json
 * that they hand to the OCI runtime. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engines.h"
#include "ebb/cleanup.h"

/* Kubernetes puts ConfigMaps' mounts and environments in here: some 100 KiB are usual. */
#define CONFIG_MAX (4U << 20)
/* containerd's namespaces: k8s.io, default, moby, buildkit, ... */
#define NAMESPACES_MAX 64

/* The first of `keys` (ends with NULL) that is there. */
static const char *first_of(const json_t *annotations, const char *const *keys)
{
	for (; *keys; keys++) {
		const char *value = engine_json_string(annotations, *keys);

		if (value && *value)
			return value;
	}
	return NULL;
}

int oci_config_parse(const char *text, size_t len, struct container_labels *labels)
{
	static const char *const names[] = {"io.kubernetes.cri.container-name",
					    "io.kubernetes.container.name", "nerdctl/name", NULL};
	static const char *const pods[] = {"io.kubernetes.cri.sandbox-name",
					   "io.kubernetes.pod.name", NULL};
	static const char *const namespaces[] = {"io.kubernetes.cri.sandbox-namespace",
						 "io.kubernetes.pod.namespace",
						 "io.kubernetes.cri-o.Namespace", NULL};
	static const char *const images[] = {
		"io.kubernetes.cri.image-name",      "io.kubernetes.cri-o.ImageName",
		"io.kubernetes.cri-o.Image",         "nerdctl/image-name",
		"org.opencontainers.image.ref.name", NULL};
	static const char *const types[] = {"io.kubernetes.cri.container-type",
					    "io.kubernetes.cri-o.ContainerType", NULL};
	_cleanup_json_ json_t *config = engine_json_load(text, len, ENGINE_VALUES_MAX);
	const json_t *annotations = json_object_get(config, "annotations");

	if (!json_is_object(config))
		return -EBADMSG;
	const char *pod = first_of(annotations, pods), *type = first_of(annotations, types);

	if (pod) {
		label_take(&labels->pod, pod);
		label_take(&labels->namespace, first_of(annotations, namespaces));
	}
	/* What holds the namespaces of a pod has no name of its own; the kubelet always called it
	 * this. */
	if (type && !strcmp(type, "sandbox"))
		label_take_name(&labels->name, "POD");
	else
		label_take_name(&labels->name, first_of(annotations, names));
	label_take(&labels->image, first_of(annotations, images));
	return 0;
}

static int read_config(const char *dir, const char *file, const struct engine_query *query,
		       struct engine_answer *ret_answer)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = engine_read_file(dir, file, CONFIG_MAX, &ret_answer->stamp, &text, &len);

	if (r == 0)
		r = oci_config_parse(text, len, &ret_answer->labels);
	if (r == 0)
		label_take(&ret_answer->labels.id, query->key);
	return r;
}

int engine_containerd_ask(const struct engine_roots *roots, const struct engine_query *query,
			  struct engine_answer *ret_answer)
{
	static const char *const defaults[] = {"/run/containerd/io.containerd.runtime.v2.task",
					       "/run/k3s/containerd/io.containerd.runtime.v2.task",
					       NULL};
	char dir[PATH_MAX], file[PATH_MAX];
	int error = -ENOENT;

	for (size_t i = 0; engine_root(roots, "containerd", defaults, i, dir, sizeof(dir)); i++) {
		int fd = engine_open_dir(dir, "");
		_cleanup_dir_ DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
		struct dirent *entry;

		if (fd >= 0 && !list)
			close(fd);
		for (int n = 0; list && n < NAMESPACES_MAX && (entry = readdir(list)); n++) {
			if (entry->d_name[0] == '.')
				continue;
			snprintf(file, sizeof(file), "%s/%s/config.json", entry->d_name,
				 query->key);
			int r = read_config(dir, file, query, ret_answer);
			/* Docker runs its containers here as well, and says nothing of them. */
			if (r == -EALREADY || (r == 0 && ret_answer->labels.name))
				return r;
			if (r != 0 && r != -ENOENT && r != -ENOTDIR)
				error = r;
		}
	}
	return error;
}

int engine_crio_ask(const struct engine_roots *roots, const struct engine_query *query,
		    struct engine_answer *ret_answer)
{
	static const char *const defaults[] = {"/run/containers/storage",
					       "/var/lib/containers/storage", NULL};
	char dir[PATH_MAX], file[PATH_MAX];
	int error = -ENOENT;

	for (size_t i = 0; engine_root(roots, "cri-o", defaults, i, dir, sizeof(dir)); i++) {
		snprintf(file, sizeof(file), "overlay-containers/%s/userdata/config.json",
			 query->key);
		int r = read_config(dir, file, query, ret_answer);

		if (r == -EALREADY || (r == 0 && ret_answer->labels.name))
			return r;
		if (r != 0 && r != -ENOENT && r != -ENOTDIR)
			error = r;
	}
	return error;
}
