/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engines say of a container, from their state on disk. Reading may block: it is never
 * called by the agent's loop. The parsers are pure: text in, labels out.
 */
#ifndef EBB_ENGINES_H
#define EBB_ENGINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine_files.h"
#include "labels.h"

/* Those that --engine-state can name; ends with NULL. */
extern const char *const engines_with_state[];

struct engine_query {
	const char *engine; /* as runtime_match() says it */
	const char *path;   /* of the cgroup */
	const char *key;    /* the id or name in the path */
	uint64_t stamp;     /* of the answer that is known; 0: none */
};

struct engine_answer {
	struct container_labels labels; /* with a name, or not found */
	/* Which engine it really is where the path does not tell (lxc: lxd); NULL: as asked. Static
	 * string. */
	const char *engine;
	/* The state is a user's, who must not take the names of root's containers. */
	bool of_user;
	uid_t uid;
	uint64_t stamp;
};

void engine_answer_clear(struct engine_answer *answer);

struct engines;
/* `roots` is copied. */
int engines_new(const struct engine_roots *roots, struct engines **ret_engines);
void engines_free(struct engines *engines);
/* Is there anything to ask about a container of `engine`? */
bool engines_can_tell(const char *engine);
/* Those whose state may have a container of `engine`, one bit each: the lower one goes first. */
unsigned engines_families(const char *engine);
#define ENGINES_FAMILIES     7
#define ENGINES_ALL_FAMILIES ((1U << ENGINES_FAMILIES) - 1)
/* As people call it: "docker". */
const char *engines_family_name(unsigned family);
/*
 * Asks those of `families` that may know; no two threads may ask the same family at a time. 0,
 * caller clears; -EALREADY: what is known still holds; -ENOENT: no engine has it; others: its state
 * cannot be read.
 */
int engines_ask(struct engines *engines, const struct engine_query *query, unsigned families,
		struct engine_answer *ret_answer);

/* Of each engine; for engines_ask(). */
int engine_docker_ask(const struct engine_roots *roots, const struct engine_query *query,
		      struct engine_answer *ret_answer);
int engine_containerd_ask(const struct engine_roots *roots, const struct engine_query *query,
			  struct engine_answer *ret_answer);
int engine_crio_ask(const struct engine_roots *roots, const struct engine_query *query,
		    struct engine_answer *ret_answer);
int engine_lxc_ask(const struct engine_roots *roots, const struct engine_query *query,
		   struct engine_answer *ret_answer);
int engine_nspawn_ask(const struct engine_roots *roots, const struct engine_query *query,
		      struct engine_answer *ret_answer);
int engine_apptainer_ask(const struct engine_roots *roots, const struct engine_query *query,
			 struct engine_answer *ret_answer);
struct podman_cache;
int podman_cache_new(struct podman_cache **ret_cache);
void podman_cache_free(struct podman_cache *cache);
int engine_podman_ask(const struct engine_roots *roots, struct podman_cache *cache,
		      const struct engine_query *query, struct engine_answer *ret_answer);

/*
 * The parsers: -EBADMSG for what is not what it should be, -ENOENT where the container is not in
 * it. `labels` must be empty before; clear it after a failure too.
 */
/* config.v2.json */
int docker_config_parse(const char *text, size_t len, struct container_labels *labels);
/* daemon.json: its data-root, or NULL. Caller frees. */
char *docker_data_root(const char *text, size_t len);
/* The OCI config.json with the annotations of containerd, nerdctl, CRI-O or podman. */
int oci_config_parse(const char *text, size_t len, struct container_labels *labels);
/* containers.json of containers/storage: calls `fn` for each of them. */
typedef int (*podman_container_fn)(void *userdata, struct container_labels *labels);
int podman_containers_parse(const char *text, size_t len, podman_container_fn fn, void *userdata);
/*
 * What the process shows that started the container whose cgroup is called after `key`: the
 * directory that it is kept in, and how many bytes of the key are its name; -ENOENT: another one.
 */
int lxc_monitor_parse(const char *title, const char *key, char *ret_dir, size_t size,
		      size_t *ret_name_len);
/* /run/systemd/machines/NAME */
int nspawn_machine_parse(const char *text, const char *name, struct container_labels *labels);
/* An instance file of Apptainer or Singularity; -ENOENT when it is of another process. */
int apptainer_instance_parse(const char *text, size_t len, uint64_t pid,
			     struct container_labels *labels);

#endif
