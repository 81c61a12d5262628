/* SPDX-License-Identifier: Apache-2.0 */
#include "engines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "runtime.h"

const char *const engines_with_state[] = {"docker", "podman", "containerd", "cri-o",     "lxc",
					  "lxd",    "incus",  "nspawn",     "apptainer", NULL};

struct engines {
	struct engine_roots roots; /* of the following */
	struct string_list given;
	char *prefix, *cgroups;
	struct podman_cache *podman;
};

enum family {
	DOCKER = 1,
	PODMAN = 2,
	CONTAINERD = 4,
	CRIO = 8,
	LXC = 16,
	NSPAWN = 32,
	APPTAINER = 64
};

static const struct {
	const char *engine;
	unsigned families; /* those that may know it */
} table[] = {
	{"docker", DOCKER},
	{"podman", PODMAN},
	{"containerd", CONTAINERD},
	{"cri-o", CRIO},
	/* The path has the pod and a bare id. */
	{"kubernetes", CONTAINERD | CRIO | DOCKER},
	{"oci", DOCKER | PODMAN | CONTAINERD | CRIO},
	{"lxc", LXC},
	{"nspawn", NSPAWN},
	{"apptainer", APPTAINER},
	{"singularity", APPTAINER},
};

unsigned engines_families(const char *engine)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(engine, table[i].engine))
			return table[i].families;
	return 0;
}

bool engines_can_tell(const char *engine)
{
	return engines_families(engine) != 0;
}

void engine_answer_clear(struct engine_answer *answer)
{
	labels_clear(&answer->labels);
}

static int copy_roots(struct engines *engines, const struct engine_roots *roots)
{
	size_t n = roots->given ? roots->given->n : 0;

	engines->prefix = strdup(roots->prefix ? roots->prefix : "");
	engines->cgroups = roots->cgroups ? strdup(roots->cgroups) : NULL;
	engines->given.items = calloc(n + 1, sizeof(*engines->given.items));
	if (!engines->prefix || (roots->cgroups && !engines->cgroups) || !engines->given.items)
		return -ENOMEM;
	for (; engines->given.n < n; engines->given.n++) {
		char *copy = strdup(roots->given->items[engines->given.n]);

		if (!copy)
			return -ENOMEM;
		engines->given.items[engines->given.n] = copy;
	}
	engines->roots = (struct engine_roots){
		.given = &engines->given,
		.prefix = engines->prefix,
		.cgroups = engines->cgroups,
	};
	return 0;
}

int engines_new(const struct engine_roots *roots, struct engines **ret_engines)
{
	struct engines *engines = calloc(1, sizeof(*engines));
	int r;

	if (!engines)
		return -ENOMEM;
	r = copy_roots(engines, roots);
	if (r == 0)
		r = podman_cache_new(&engines->podman);
	if (r < 0) {
		engines_free(engines);
		return r;
	}
	*ret_engines = engines;
	return 0;
}

void engines_free(struct engines *engines)
{
	if (!engines)
		return;
	podman_cache_free(engines->podman);
	while (engines->given.n > 0)
		free(engines->given.items[--engines->given.n]);
	free(engines->given.items);
	free(engines->prefix);
	free(engines->cgroups);
	free(engines);
}

static int ask_family(struct engines *engines, enum family family, const struct engine_query *query,
		      struct engine_answer *answer)
{
	switch (family) {
	case DOCKER: return engine_docker_ask(&engines->roots, query, answer);
	case PODMAN: return engine_podman_ask(&engines->roots, engines->podman, query, answer);
	case CONTAINERD: return engine_containerd_ask(&engines->roots, query, answer);
	case CRIO: return engine_crio_ask(&engines->roots, query, answer);
	case LXC: return engine_lxc_ask(&engines->roots, query, answer);
	case NSPAWN: return engine_nspawn_ask(&engines->roots, query, answer);
	case APPTAINER: return engine_apptainer_ask(&engines->roots, query, answer);
	}
	return -ENOENT;
}

const char *engines_family_name(unsigned family)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].families == family)
			return table[i].engine;
	return NULL;
}

int engines_ask(struct engines *engines, const struct engine_query *query, unsigned families,
		struct engine_answer *ret_answer)
{
	int error = -ENOENT;
	uint32_t uid = 0;
	bool of_user = runtime_of_user(query->path, &uid);

	families &= engines_families(query->engine);
	/* The others keep root's containers only: whatever a user calls a cgroup, it is none. */
	if (of_user)
		families &= DOCKER | PODMAN | LXC | APPTAINER;

	for (unsigned family = 1; family <= families; family <<= 1) {
		struct engine_answer answer = {
			.stamp = query->stamp,
			.of_user = of_user,
			.uid = uid,
		};
		int r;

		if (!(families & family))
			continue;
		r = ask_family(engines, (enum family)family, query, &answer);
		if (r == 0 && !answer.labels.name)
			r = -ENOENT;
		if (r == 0) {
			/* A bare id tells of no engine. */
			if (!strcmp(query->engine, "oci"))
				answer.engine = engines_family_name(family);
			*ret_answer = answer;
			return 0;
		}
		engine_answer_clear(&answer);
		if (r == -EALREADY)
			return r;
		/* What one of them cannot say is told only if no other one knows. */
		if (r != -ENOENT && r != -ENOTDIR)
			error = r;
	}
	return error;
}
