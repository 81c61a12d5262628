/* SPDX-License-Identifier: Apache-2.0 */
/* A container that its engine calls otherwise than it was known by. */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hierarchy.h"
#include "model_private.h"
#include "name_index.h"
#include "name_order.h"
#include "ebb/cleanup.h"

/* What a database calls a document is not for another one. */
static void forget_id(json_t **doc)
{
	static const char *const keys[] = {"_id", "_rev"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(*doc, keys[i]) && structure_own_doc(doc))
			json_object_del(*doc, keys[i]);
}

/* The same cores in the same order. */
static int rename_cores(const struct structure *structure, const char *name,
			const struct cpumap_row *row)
{
	const struct host *host = structure->host;
	int r;

	cpumap_release(host->cpumap, structure->name);
	r = cpumap_restore(host->cpumap, name, row);
	if (r < 0)
		/* They have only just been freed: its row is still there. */
		(void)cpumap_restore(host->cpumap, structure->name, row);
	return r;
}

static int put_in_index(struct model *model, struct structure *structure, const char *name)
{
	int r = name_index_add(model->index, name, structure);

	if (r < 0)
		return r;
	r = name_order_add(model->order, name, structure);
	if (r < 0)
		name_index_remove(model->index, name);
	return r;
}

static void take_from_index(struct model *model, const char *name)
{
	name_index_remove(model->index, name);
	name_order_remove(model->order, name);
}

int model_can_rename(const struct structure *structure, const char *name)
{
	if (structure->subtype != STRUCTURE_CONTAINER || !structure->host ||
	    !structure_name_is_sane(name))
		return -EINVAL;
	return structure->subscription ? -EBUSY : 0;
}

int model_rename(struct model *model, struct structure *structure, const char *name)
{
	struct structure *parent = hierarchy_parent(structure);
	_cleanup_free_ char *copy = strdup(name), *before = NULL, *error = NULL;
	struct cpumap_row *row = NULL;
	struct host *host = structure->host;
	int r = model_can_rename(structure, name);

	if (r < 0)
		return r;
	if (!copy)
		return -ENOMEM;
	r = put_in_index(model, structure, copy);
	if (r < 0)
		return r;
	if (host->cpumap && cpumap_owned(host->cpumap, structure->name) > 0) {
		r = cpumap_save(host->cpumap, structure->name, &row);
		if (r >= 0)
			r = rename_cores(structure, copy, row);
		cpumap_row_free(row);
		if (r < 0) {
			take_from_index(model, copy);
			return r;
		}
		model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	}

	/* Its list has it by its name. */
	if (parent && hierarchy_leave(model, parent, structure, &error) < 0)
		parent = NULL;
	hierarchy_unlink(model, structure);
	take_from_index(model, structure->name);
	model_log(model, LOG_LEVEL_INFO, "%s is called %s now", structure->name, copy);
	before = structure->name;
	structure->name = TAKE_PTR(copy);
	forget_id(&structure->doc);
	forget_id(&structure->limits_doc);
	model_take_over_limits(model, structure);
	hierarchy_link(model, structure);
	if (parent && !error && hierarchy_join(model, parent, structure, &error) < 0)
		model_log(model, LOG_LEVEL_WARNING, "%s does not belong to %s any more: %s",
			  structure->name, parent->name, error ? error : strerror(ENOMEM));
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE | MODEL_DIRTY_LIMITS);
	if (structure->guard)
		model_guard_changed(model, structure);
	/* Who held it back knows it by its old name. */
	for (int i = 0; i < EBB_RESOURCE_MAX; i++)
		if (structure->apply & 1u << i)
			model_apply(model, structure, i);
	/* The new documents are written before the old ones go. */
	model_settle(model);
	model_delete_documents(model, DB_STRUCTURES, before);
	return 0;
}
