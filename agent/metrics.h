/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics in the Prometheus text format: containers under cAdvisor's names, so that existing
 * dashboards work, and the agent's own cost and health as ebb_agent_*.
 */
#ifndef EBB_METRICS_H
#define EBB_METRICS_H

#include "apply.h"
#include "bpf_programs.h"
#include "container.h"
#include "feed.h"
#include "grower.h"
#include "sampler.h"
#include "term.h"
#include "series.h"
#include "text.h"
#include "ebb/http_server.h"
#include "ebb/sample.h"

struct metrics_source {
	struct container_table *table;
	const struct sampler *sampler;
	const struct hierarchies *hierarchies;
	struct bpf_programs *bpf; /* NULL: none */
	const struct feed *feed;  /* NULL: none */
	const struct applier *applier;
	const struct grower *grower; /* NULL: no reflex */
	const struct term *term;
	struct series *series; /* NULL: none; then `tsdb` is too */
	struct tsdb *tsdb;
	const struct http_server *server; /* NULL: left out */
};

/* Linear in the number of containers. 0 or -ENOMEM. */
int metrics_write(struct text *text, const struct metrics_source *source);

/* The containers' part; pure. */
struct metrics_container {
	const char *name, *path; /* labels `name` and `id` ("/" and the path) */
	const struct container_labels
		*labels; /* `image`, `namespace`, `pod`, `container`; or NULL */
	struct ebb_sample sample;
	/* As in struct container. */
	unsigned has_pressure;
	const struct pressure *pressure;
};
void metrics_write_containers(struct text *text, const struct metrics_container *containers,
			      size_t n);

#endif
