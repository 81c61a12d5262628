/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts, containers, applications and users go out. */
#include "subscription.h"

#include <errno.h>

#include "hierarchy.h"
#include "model_private.h"
#include "subscription_private.h"
#include "ebb/cleanup.h"

int subscription_exists(const struct structure *structure, char **ret_error)
{
	bool user = structure->subtype == STRUCTURE_USER;
	const char *kind = structure_subtype_name(structure->subtype);
	const char *way = structure->subtype == STRUCTURE_APPLICATION ? "apps" : kind;

	return fail_with(-EEXIST, ret_error,
			 "There is a%s %s '%s' already: DELETE %s/%s/%s takes it out",
			 structure->subtype == STRUCTURE_APPLICATION ? "n" : "", kind,
			 structure->name, user ? "" : "/structure", way, structure->name);
}

/* Those that somebody wants here; what registered by itself goes with its host. */
static int refuse_host(const struct host *host, char **ret_error)
{
	const struct structure *one = NULL;
	size_t n = 0;

	for (const struct structure *s = host->containers; s; s = s->host_next) {
		if (s->automatic)
			continue;
		one = s;
		n++;
	}
	if (!n)
		return 0;
	return fail_with(
		-EBUSY, ret_error, "Host %s has %zu container%s, such as %s: desubscribe %s first",
		host->structure->name, n, n == 1 ? "" : "s", one->name, n == 1 ? "it" : "them");
}

static void remove_host(struct model *model, struct scaler *scaler, struct structure *structure)
{
	struct host *host = structure->host;

	while (host->containers) {
		struct structure *container = host->containers;

		scaler_forget(scaler, container);
		model_remove(model, container);
	}
	scaler_forget(scaler, structure);
	model_remove(model, structure);
}

static int leave_all(struct model *model, struct structure *structure, char **ret_error)
{
	struct structure *parent = hierarchy_parent(structure);
	int r = 0;

	if (parent)
		r = hierarchy_leave(model, parent, structure, ret_error);
	if (r >= 0 && structure_is_parent(structure))
		r = hierarchy_leave_all(model, structure);
	return r;
}

int desubscribe(struct model *model, struct scaler *scaler, struct structure *structure,
		char **ret_error)
{
	const struct host *host = structure->host;
	int r;

	if (structure->subtype == STRUCTURE_HOST) {
		r = refuse_host(host, ret_error);
		if (r >= 0)
			remove_host(model, scaler, structure);
		return r;
	}
	r = leave_all(model, structure, ret_error);
	if (r < 0)
		return r;
	scaler_forget(scaler, structure);
	if (structure->subtype == STRUCTURE_CONTAINER && structure->live && !host->agentless)
		model_start_anew(model, structure, NULL);
	else
		model_remove(model, structure);
	return 0;
}
