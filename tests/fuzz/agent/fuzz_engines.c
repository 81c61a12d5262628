/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines' state files, which whoever runs a container may have written: the first byte says
 * which kind, the rest is the file. Whatever comes out must be fit for names, logs and metrics.
 */
#include "../fuzz.h"

#include <errno.h>

#include "engines.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static void check_labels(struct container_labels *labels)
{
	_cleanup_free_ char *base = labels_base_name(labels);

	for (size_t i = 0; i < LABELS_N; i++) {
		const char *label = labels_get(labels, i);

		FUZZ_CHECK(!label || name_is_sane(label, LABEL_MAX));
	}
	FUZZ_CHECK(!labels->name || (!strchr(labels->name, '/') && strcmp(labels->name, ".") &&
				     strcmp(labels->name, "..")));
	FUZZ_CHECK(!labels->name == !base);
	FUZZ_CHECK(!base || (name_is_sane(base, LABEL_MAX) && !strchr(base, '/')));
}

static int on_container(void *userdata, struct container_labels *labels)
{
	FUZZ_CHECK(labels->id && labels->name);
	check_labels(labels);
	return ++*(int *)userdata < 100 ? 0 : -E2BIG;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct container_labels labels = {0};
	int n = 0, r = 0;

	if (size == 0)
		return 0;
	_cleanup_free_ char *text = fuzz_string(data + 1, size - 1), *root = NULL;
	size_t len = size - 1;

	switch (data[0]) {
	case 'd': r = docker_config_parse(text, len, &labels); break;
	case 'r':
		root = docker_data_root(text, len);
		FUZZ_CHECK(!root || root[0] == '/');
		break;
	case 'o': r = oci_config_parse(text, len, &labels); break;
	case 'p': r = podman_containers_parse(text, len, on_container, &n); break;
	case 'n': r = nspawn_machine_parse(text, "web", &labels); break;
	case 'a': r = apptainer_instance_parse(text, len, 4242, &labels); break;
	default: return 0;
	}
	FUZZ_CHECK(r <= 0);
	check_labels(&labels);
	labels_clear(&labels);
	return 0;
}
