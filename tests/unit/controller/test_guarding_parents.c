/* SPDX-License-Identifier: Apache-2.0 */
/* Applications and users: what their members use and have, and what is asked for them. */
#include "guarding.h"

#include <errno.h>

#include "hierarchy.h"
#include "member_sums.h"
#include "snapshoter_structures.h"
#include "seed.h"
#include "test.h"
#include "series_world.h"

#define S(seconds) ((uint64_t)((seconds)*1e9))

static struct model *model;
static struct audit *audit;
static struct scaler *scaler;
static double now; /* virtual, s */

static uint64_t virtual_ns(void *userdata)
{
	return S(now);
}

static double virtual_wall(void *userdata)
{
	return 1795344748 + now;
}

static const struct timebase virtual = {virtual_wall, virtual_ns, NULL};

static struct {
	size_t n;
	char last[128];
	int64_t amount;
} asked;

static void requested(void *userdata, const struct request *request)
{
	asked.n++;
	asked.amount = request->amount;
	snprintf(asked.last, sizeof(asked.last), "%s %s %s %s by %s",
		 structure_subtype_name(request->structure->subtype), request->structure->name,
		 ebb_resource_name(request->resource), request->amount > 0 ? "more" : "less",
		 request->origin);
}

static void changed(void *userdata, struct structure *structure)
{
}

static const struct model_observer observer = {.changed = changed, .requested = requested};

static void release_all(void *arg)
{
	scaler_free(TAKE_PTR(scaler));
	audit_free(TAKE_PTR(audit));
}

static void guard_kinds(const char *kinds)
{
	_cleanup_json_ json_t *config = parse("{'STRUCTURE_GUARDED':%s}", kinds);

	CHECK_INT(guardian_config_from_json(config, &model->guardian, NULL), 0);
}

static void start(void)
{
	model = new_world();
	model->time = &virtual;
	model->observer = &observer;
	now = 1000;
	asked.n = 0;
	asked.last[0] = '\0';
	test_at_end(release_all, NULL);
	CHECK_INT(audit_new(NULL, 64, &audit), 0);
	CHECK_INT(scaler_new(model, audit, &scaler), 0);
	guard_kinds("['application','user']");
}

static struct structure *container(const char *name, int cpu, int mem)
{
	char text[512];
	struct structure *s;

	snprintf(text, sizeof(text),
		 "{'subtype':'container','name':'%s','resources':{'cpu':{'max':400,'min':1,"
		 "'current':%d},'mem':{'max':4096,'min':1,'current':%d}}}",
		 name, cpu, mem);
	s = add_structure(model, text);
	s->live = true;
	return s;
}

static struct structure *application(const char *name, const char *containers)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{'subtype':'application','name':'%s','containers':%s,'resources':{"
		 "'cpu':{'max':800,'min':20,'guard':true},"
		 "'mem':{'max':8192,'min':64,'guard':false}}}",
		 name, containers);
	return add_structure(model, text);
}

static void guard(struct structure *s, bool on)
{
	_cleanup_free_ char *error = NULL;

	model_lock(model);
	if (model_guard(model, s, on, &error) < 0)
		TEST_FAIL("%s", error ? error : "?");
	model_unlock(model);
}

/* One sample, of a message of its own unless `more` belong to it; NAN: not measured. */
static void sample_with(const char *name, double cpu, double mem, double throttled,
			double held_back)
{
	struct guard_sample sample = {
		.at = now + 77777, /* another clock */
		.seconds = 0.1,
		.throttled = throttled,
		.held_back = held_back,
		.wait = NAN,
	};
	const struct sample_times times = {.sampled_ns = S(now), .received_ns = S(now)};

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.usage[r] = sample.pressure[r] = NAN;
	sample.usage[EBB_CPU] = cpu;
	sample.usage[EBB_MEM] = mem;
	sample.valid = (isnan(cpu) ? 0 : 1u << EBB_CPU) | (isnan(mem) ? 0 : 1u << EBB_MEM);
	model_lock(model);
	guarding_take_sample(model, scaler, model_structure(model, name), &model->guardian, &sample,
			     &times);
	model_unlock(model);
}

static void sample(const char *name, double cpu, double mem)
{
	sample_with(name, cpu, mem, NAN, NAN);
}

static void samples_in(void)
{
	model_lock(model);
	guarding_samples_in(model, scaler, &model->guardian);
	model_unlock(model);
}

/* "cpu mem" used by its members, "-": nobody has it; then what they may use. */
static const char *sums(const struct structure *parent)
{
	static char texts[4][128];
	static unsigned next;
	char *text = texts[next++ % 4];
	struct guard_sample sum;
	size_t at = 0;

	members_sample(parent, &sum);
	for (int r = EBB_CPU; r <= EBB_MEM; r++)
		at += (size_t)(sum.valid & 1u << r ? sprintf(text + at, "%g ", sum.usage[r])
						   : sprintf(text + at, "- "));
	for (int r = EBB_CPU; r <= EBB_MEM; r++) {
		int64_t current;

		at += (size_t)(members_current(parent, r, &current)
				       ? sprintf(text + at, " %lld", (long long)current)
				       : sprintf(text + at, " -"));
	}
	return text;
}

TEST(sums_follow_members)
{
	struct structure *app, *other, *u, *c0;

	start();
	c0 = container("c0", 100, 512);
	container("c1", 50, 256);
	app = application("app", "['c0','c1']");
	other = application("other", "[]");
	u = add_user(model, "{'name':'u','clusters':['app']}");
	CHECK_STR(sums(app), "- -  150 768");
	sample("c0", 80.5, 300);
	CHECK_STR(sums(app), "80.5 300  150 768");
	CHECK_STR(sums(u), "80.5 300  150 768");
	now += 0.1;
	/* One that lacks a resource adds nothing to it. */
	sample("c1", 10, NAN);
	CHECK_STR(sums(app), "90.5 300  150 768");
	now += 0.1;
	sample("c0", 70.25, 310);
	CHECK_STR(sums(u), "80.25 310  150 768");
	now += 0.1;
	sample("c0", NAN, 320);
	CHECK_STR(sums(app), "10 320  150 768");

	/* Limits change. */
	model_lock(model);
	c0->resources[EBB_CPU].current = 120;
	model_touch(model, c0, MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	CHECK_STR(sums(app), "10 320  170 768");
	CHECK_STR(sums(u), "10 320  170 768");

	/* It moves to another application, and that to the user. */
	model_lock(model);
	CHECK_INT(hierarchy_leave(model, app, c0, NULL), 0);
	model_unlock(model);
	CHECK_STR(sums(app), "10 -  50 256");
	CHECK_STR(sums(u), "10 -  50 256");
	model_lock(model);
	CHECK_INT(hierarchy_join(model, other, c0, NULL), 0);
	model_unlock(model);
	CHECK_STR(sums(other), "- -  120 512");
	now += 0.1;
	sample("c0", 33, 44);
	CHECK_STR(sums(other), "33 44  120 512");
	CHECK_STR(sums(u), "10 -  50 256");
	model_lock(model);
	CHECK_INT(hierarchy_join(model, u, other, NULL), 0);
	model_unlock(model);
	CHECK_STR(sums(u), "43 44  170 768");
	/* It stops. */
	model_lock(model);
	model_container_gone(model, c0);
	model_unlock(model);
	CHECK_STR(sums(other), "- -  - -");
	CHECK_STR(sums(u), "10 -  50 256");
	model_lock(model);
	model_remove(model, app);
	model_unlock(model);
	CHECK_STR(sums(u), "- -  - -");
}

TEST(what_was_measured_long_ago_counts_no_more)
{
	struct structure *app;

	start();
	container("c0", 100, 512);
	container("c1", 100, 512);
	app = application("app", "['c0','c1']");
	sample("c0", 50, 100);
	now += 3;
	sample("c1", 20, 30);
	samples_in();
	CHECK_STR(sums(app), "70 130  200 1024");
	now += 1.5;
	samples_in();
	CHECK_STR(sums(app), "20 30  200 1024");
	now += 3;
	samples_in();
	CHECK_STR(sums(app), "- -  200 1024");
	sample("c0", 50, 100);
	CHECK_STR(sums(app), "50 100  200 1024");
}

TEST(samples_of_one_message_are_averaged)
{
	struct structure *app;

	start();
	container("c0", 100, 512);
	app = application("app", "['c0']");
	sample("c0", 10, 100);
	sample("c0", 40, 200);
	sample("c0", 40, 300);
	CHECK_STR(sums(app), "30 300  100 512");
	now += 1;
	sample("c0", 8, 250);
	CHECK_STR(sums(app), "8 250  100 512");
}

TEST(two_containers_lead_to_a_request_for_their_application)
{
	struct structure *app;

	start();
	container("c0", 100, 512);
	container("c1", 100, 512);
	app = application("app", "['c0','c1']");
	/* It has no limits document. */
	CHECK(!app->resources[EBB_CPU].has_boundary);
	guard(app, true);
	CHECK_INT(app->resources[EBB_CPU].boundary, 10);
	CHECK(!app->resources[EBB_MEM].has_boundary);
	CHECK_INT(app->resources[EBB_CPU].current, 200);
	CHECK_INT(app->resources[EBB_CPU].upper, 180);
	CHECK_INT(app->resources[EBB_CPU].lower, 160);
	/* Neither alone is above. */
	for (int i = 0; i < 3; i++) {
		sample("c0", 96, 10);
		sample("c1", 80, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_INT(asked.n, 0);
	for (int i = 0; i < 3 && !asked.n; i++) {
		sample("c0", 96, 10);
		sample("c1", 90, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_STR(asked.last, "application app cpu more by guardian");
	/* Unguarded it asks for nothing. */
	guard(app, false);
	asked.n = 0;
	for (int i = 0; i < 10; i++) {
		sample("c0", 99, 10);
		sample("c1", 99, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_INT(asked.n, 0);
}

TEST(one_that_is_held_back_asks_for_what_it_lacks)
{
	struct structure *app;

	start();
	container("busy", 50, 512);
	container("idle", 300, 512);
	app = application("app", "['busy','idle']");
	guard(app, true);
	for (int i = 0; i < 5 && !asked.n; i++) {
		sample_with("busy", 50, 10, 1, 40);
		sample_with("idle", 1, 10, 0, 0);
		samples_in();
		now += 1;
	}
	CHECK_STR(asked.last, "application app cpu more by guardian");
	CHECK_INT(asked.amount, 40 + 40 / 4);
	/* Nobody is, and the idle one may give. */
	asked.n = 0;
	for (int i = 0; i < 30 && !asked.n; i++) {
		sample_with("busy", 50, 10, 0, 0);
		sample_with("idle", 1, 10, 0, 0);
		samples_in();
		now += 1;
	}
	CHECK_STR(asked.last, "application app cpu less by guardian");
}

TEST(members_at_their_min_have_nothing_to_spare)
{
	struct structure *app;

	start();
	container("c0", 60, 512);
	container("c1", 40, 512)->resources[EBB_CPU].min = 40;
	app = application("app", "['c0','c1']");
	guard(app, true);
	for (int i = 0; i < 30 && !asked.n; i++) {
		sample("c0", 28, 10);
		sample("c1", 0, 10);
		samples_in();
		now += 1;
	}
	/* 28 of 7/8, and the 40 that the other keeps, however little it uses. */
	CHECK_STR(asked.last, "application app cpu less by guardian");
	CHECK_INT(asked.amount, 32 + 40 - 100);
}

TEST(what_is_above_max_is_brought_down)
{
	struct structure *app;

	start();
	container("c0", 400, 512);
	container("c1", 400, 512);
	app = application("app", "['c0','c1']");
	app->resources[EBB_CPU].max = 750;
	guard(app, true);
	/* In use or not; once. */
	for (int i = 0; i < 5; i++) {
		sample("c0", 370, 10);
		sample("c1", 370, 10);
		samples_in();
		now += 1;
	}
	CHECK_STR(asked.last, "application app cpu less by guardian");
	CHECK_INT(asked.n, 1);
	CHECK_INT(asked.amount, -50);
}

TEST(at_most_every_100_ms)
{
	struct structure *app;

	start();
	container("c0", 100, 512);
	container("c1", 100, 512);
	app = application("app", "['c0','c1']");
	guard(app, true);
	sample("c0", 40, 10);
	samples_in();
	CHECK_NEAR(app->resources[EBB_CPU].usage, 40, 0.01);
	for (int i = 0; i < 9; i++) {
		now += 0.01;
		sample("c1", 20, 10);
		samples_in();
	}
	CHECK_NEAR(app->resources[EBB_CPU].usage, 40, 0.01);
	/* What had to wait comes with whatever comes next. */
	now += 0.05;
	samples_in();
	CHECK(app->resources[EBB_CPU].usage > 41);
}

TEST(users_are_guarded_too)
{
	struct structure *u;

	start();
	container("c0", 100, 512);
	container("c1", 100, 512);
	application("a", "['c0']");
	application("b", "['c1']");
	u = add_user(model, "{'name':'u','clusters':['a','b'],'resources':{"
			    "'cpu':{'max':2000,'min':20,'guard':true}}}");
	guard(u, true);
	CHECK_STR(kept_of_user(model, "u", "cpu", "current"), "200");
	for (int i = 0; i < 5 && !asked.n; i++) {
		sample("c0", 97, 10);
		sample("c1", 90, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_STR(asked.last, "user u cpu more by guardian");
}

TEST(only_kinds_that_are_to_be_guarded)
{
	struct structure *app, *c0;

	start();
	guard_kinds("'container'");
	c0 = container("c0", 100, 512);
	app = application("app", "['c0']");
	guard(app, true);
	for (int i = 0; i < 10; i++) {
		sample("c0", 99, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_INT(asked.n, 0);
	CHECK_STR(sums(app), "- -  100 512");
	guard_kinds("['application']");
	c0->resources[EBB_CPU].guard = true;
	guard(c0, true);
	for (int i = 0; i < 10 && !asked.n; i++) {
		sample("c0", 99, 10);
		samples_in();
		now += 0.5;
	}
	CHECK_STR(asked.last, "application app cpu more by guardian");
}

/* As the original's documents have it. */
TEST(windows_that_end_long_ago)
{
	_cleanup_json_ json_t *config =
		parse("{'STRUCTURE_GUARDED':'application','WINDOW_TIMELAPSE':10,'WINDOW_DELAY':20,"
		      "'EVENT_TIMEOUT':120}");
	struct structure *app;
	double began;

	start();
	CHECK_INT(guardian_config_from_json(config, &model->guardian, NULL), 0);
	container("c0", 100, 512);
	container("c1", 100, 512);
	app = application("app", "['c0','c1']");
	guard(app, true);
	began = now;
	for (int i = 0; i < 60 && !asked.n; i++) {
		sample("c0", 96, 10);
		sample("c1", 90, 10);
		samples_in();
		now += 1;
	}
	CHECK_STR(asked.last, "application app cpu more by guardian");
	CHECK(now - began > 20);
}

TEST(what_is_in_force_gets_into_the_document)
{
	const struct snapshoter_structures_config config = {
		.structures = SERIES_APPLICATION,
		.resources = 1u << EBB_CPU,
	};
	struct aggregate_result result;
	struct structure *app, *c0;

	start();
	c0 = container("c0", 100, 512);
	app = application("app", "['c0']");
	guard(app, true);
	CHECK_INT(snapshoter_structures_run(model, &config, &result), 0);
	model_lock(model);
	c0->resources[EBB_CPU].current = 130;
	model_touch(model, c0, MODEL_DIRTY_STRUCTURE);
	model_unlock(model);
	sample("c0", 50, 10);
	samples_in();
	CHECK_INT(app->resources[EBB_CPU].current, 130);
	/* The guardian does not write at each change: who sums up does. */
	CHECK_INT(snapshoter_structures_run(model, &config, &result), 0);
	CHECK_INT(result.changed, 1);
	CHECK_INT(snapshoter_structures_run(model, &config, &result), 0);
	CHECK_INT(result.changed, 0);
	/* What an order has not put in force yet, or somebody else has set, is for the guardian to
	 * see when the model has taken it over. */
	c0->physical[EBB_CPU] = 400;
	CHECK_INT(snapshoter_structures_run(model, &config, &result), 0);
	CHECK_INT(app->resources[EBB_CPU].current, 130);
}

TEST(samples_of_its_own)
{
	struct structure *app;
	struct guard_sample own = {
		.seconds = 1,
		.valid = 1u << EBB_CPU,
		.usage = {[EBB_CPU] = 195},
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};
	struct sample_times times;

	start();
	container("c0", 100, 512);
	container("c1", 100, 512);
	app = application("app", "['c0','c1']");
	guard(app, true);
	for (int i = 0; i < 5 && !asked.n; i++, now++) {
		own.at = now;
		times = (struct sample_times){S(now), S(now), 0};
		/* Those of its members do not count then. */
		sample("c0", 1, 10);
		samples_in();
		model_lock(model);
		CHECK(guarding_take_sample(model, scaler, app, &model->guardian, &own, &times));
		model_unlock(model);
	}
	CHECK_STR(asked.last, "application app cpu more by guardian");
}

/* The price of one sample is that of its own chain: other members are not touched. Sums are those
 * that one would work out anew, whatever happens. */
#define CONTAINERS   8
#define APPLICATIONS 3

static double used[CONTAINERS]; /* NAN: nothing that counts */
static double measured[CONTAINERS];

static void check_sums(const char *user_name)
{
	double of_user = 0;
	int64_t limits_of_user = 0;
	unsigned n_user = 0, n_limits_user = 0;
	const struct structure *user = model_user(model, user_name);

	for (int a = 0; a < APPLICATIONS; a++) {
		char name[8];
		const struct structure *app;
		struct guard_sample sum;
		double usage = 0;
		int64_t limit = 0, current;
		unsigned n = 0, n_limits = 0;

		snprintf(name, sizeof(name), "a%d", a);
		app = model_structure(model, name);
		if (!app)
			continue;
		for (int c = 0; c < CONTAINERS; c++) {
			const struct structure *s;

			snprintf(name, sizeof(name), "c%d", c);
			s = model_structure(model, name);
			if (!s || hierarchy_parent(s) != app)
				continue;
			if (!s->gone) {
				limit += s->resources[EBB_CPU].current;
				n_limits++;
			}
			if (!isnan(used[c])) {
				usage += used[c];
				n++;
			}
		}
		members_sample(app, &sum);
		CHECK_INT(sum.valid & 1u << EBB_CPU, n ? 1u << EBB_CPU : 0);
		if (n)
			CHECK_NEAR(sum.usage[EBB_CPU], usage, 1e-9);
		CHECK_INT(members_current(app, EBB_CPU, &current), n_limits > 0);
		if (n_limits)
			CHECK_INT(current, limit);
		if (hierarchy_parent(app) != user)
			continue;
		of_user += usage;
		limits_of_user += limit;
		n_user += n;
		n_limits_user += n_limits;
	}
	if (user) {
		struct guard_sample sum;
		int64_t current;

		members_sample(user, &sum);
		CHECK_INT(sum.valid & 1u << EBB_CPU, n_user ? 1u << EBB_CPU : 0);
		if (n_user)
			CHECK_NEAR(sum.usage[EBB_CPU], of_user, 1e-9);
		CHECK_INT(members_current(user, EBB_CPU, &current), n_limits_user > 0);
		if (n_limits_user)
			CHECK_INT(current, limits_of_user);
	}
}

static void forget_moved(void)
{
	for (int c = 0; c < CONTAINERS; c++) {
		static const struct structure *parents[CONTAINERS];
		const struct structure *s, *parent;
		char name[8];

		snprintf(name, sizeof(name), "c%d", c);
		s = model_structure(model, name);
		parent = s ? hierarchy_parent(s) : NULL;
		if (!s || s->gone || parent != parents[c] || now - measured[c] > 4)
			used[c] = NAN;
		parents[c] = parent;
	}
}

static json_t *random_names(const char *prefix, int n)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%s%d", prefix, i);
		if (rand() % 2)
			json_array_append_new(list, json_string(name));
	}
	return list;
}

static void random_step(void)
{
	int c = rand() % CONTAINERS;
	char name[8];
	struct structure *s, *app;

	/* Exact in a double, and in nanoseconds. */
	now += (1 + rand() % 64) / 128.0;
	snprintf(name, sizeof(name), "a%d", rand() % APPLICATIONS);
	app = model_structure(model, name);
	if (!app)
		app = application(name, "[]");
	snprintf(name, sizeof(name), "c%d", c);
	s = model_structure(model, name);
	if (!s)
		s = container(name, rand() % 400, 1);
	forget_moved();
	switch (rand() % 10) {
	case 0:
		model_lock(model);
		model_remove(model, rand() % 2 ? app : s);
		model_unlock(model);
		break;
	case 1:
		json_object_set_new(app->doc, "containers", random_names("c", CONTAINERS));
		model_lock(model);
		hierarchy_link(model, app);
		model_unlock(model);
		break;
	case 2:
		s = model_user(model, "u");
		if (!s)
			s = add_user(model, "{'name':'u','x':1}");
		json_object_set_new(s->doc, "clusters", random_names("a", APPLICATIONS));
		model_lock(model);
		hierarchy_link(model, s);
		if (rand() % 4 == 0)
			model_remove(model, s);
		model_unlock(model);
		break;
	case 3:
		model_lock(model);
		model_container_gone(model, s);
		model_unlock(model);
		break;
	case 4:
		model_lock(model);
		s->resources[EBB_CPU].current = rand() % 400;
		s->gone = false;
		model_touch(model, s, MODEL_DIRTY_STRUCTURE);
		model_unlock(model);
		break;
	case 5:
		if (rand() % 8 == 0)
			now += 5;
		break;
	default:
		if (s->gone)
			break;
		used[c] = (rand() % 40000) / 64.0;
		measured[c] = now;
		sample(name, used[c], NAN);
		if (!hierarchy_parent(s))
			used[c] = NAN;
	}
	forget_moved();
	samples_in();
}

TEST(sums_at_random)
{
	unsigned seed = (unsigned)test_seed(4);

	log_set_level(LOG_LEVEL_ERROR);
	srand(seed);
	start();
	for (int c = 0; c < CONTAINERS; c++)
		used[c] = NAN;
	for (int i = 0; i < 30000; i++) {
		random_step();
		check_sums("u");
	}
}

TEST_MAIN()
