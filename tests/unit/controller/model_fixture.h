/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the model alone: hosts and containers as agents report them, without a database. */
#ifndef EBB_TEST_MODEL_FIXTURE_H
#define EBB_TEST_MODEL_FIXTURE_H

#include <errno.h>

#include "quoted_json.h"
#include "model.h"
#include "test.h"
#include "ebb/cleanup.h"

static inline void free_model(void *model)
{
	model_unlock(model);
	model_free(model);
}

/* With the lock held until the test ends. */
static inline struct model *new_model(void)
{
	struct model *model = NULL;

	CHECK_INT(model_new(NULL, &model), 0);
	model_lock(model);
	test_at_end(free_model, model);
	return model;
}

static inline void sound(struct model *model)
{
	_cleanup_free_ char *wrong = model_check(model);

	if (wrong)
		TEST_FAIL("%s", wrong);
}

/* h0: 4 CPUs of two cores with two threads, 8 GiB. */
static inline struct host *register_host(struct model *model, const char *name)
{
	_cleanup_json_ json_t *message =
		parse("{'host':'%s','session':'s','register':{'address':'http://127.0.0.1:8000',"
		      "'cpus':[0,1,2,3],'mem':8589934592,'topology':{'0':{'0':[0,2],'1':[1,3]}}}}",
		      name);
	struct host *host = NULL;

	CHECK_INT(model_register_host(model, message, &host), 0);
	host->connected = true;
	return host;
}

static inline struct structure *add(struct model *model, struct host *host, const char *name,
				    int cpu, int mem)
{
	_cleanup_json_ json_t *added =
		parse("{'c':1,'name':'%s','engine':'docker','path':'x/%s','limits':{'cpu':%d,"
		      "'cpus':'0-3','mem':%d,'disk_read':-1,'disk_write':200}}",
		      name, name, cpu, mem);
	struct structure *structure = NULL;

	CHECK_INT(model_register_container(model, host, added, &structure), 0);
	return structure;
}

static inline unsigned report(struct model *model, struct structure *structure, int cpu, int mem)
{
	_cleanup_json_ json_t *limits = parse("{'cpu':%d,'mem':%d}", cpu, mem);

	return model_limits_reported(model, structure, limits);
}

/* As the scaler and an agent would: whatever waits is applied. */
static inline void apply_waiting(struct model *model)
{
	struct structure *s;

	while ((s = model_next_apply(model))) {
		unsigned apply = s->apply;

		s->apply = 0;
		for (int i = 0; i < EBB_RESOURCE_MAX; i++)
			if (apply & 1u << i)
				model_limit_applied(model, s, i, s->resources[i].current);
	}
}

static inline void apply_all(struct model *model)
{
	apply_waiting(model);
	sound(model);
}

static inline void guard(struct model *model, struct structure *structure)
{
	_cleanup_free_ char *error = NULL;
	int r = model_guard(model, structure, true, &error);

	if (r < 0)
		TEST_FAIL("%d: %s", r, error);
	sound(model);
}

static inline void refused(int r, int want, char *error, const char *mention)
{
	char text[512];

	snprintf(text, sizeof(text), "%s", error ? error : "(none)");
	free(error);
	CHECK_INT(r, want);
	if (!strstr(text, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", text, mention);
}

static inline int set(struct model *model, struct structure *s, enum ebb_resource resource,
		      const char *param, double value)
{
	_cleanup_free_ char *error = NULL;
	int r = model_set_parameter(model, s, resource, param, value, &error);

	CHECK((r < 0) == (error != NULL));
	sound(model);
	return r;
}

#endif
