/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ebb/cleanup.h"
#include "guarded_resource.h"
#include "guardian.h"
#include "test.h"

/* One structure, CPU and memory guarded, fed by hand. */
static struct {
	struct guardian_config config;
	struct ruleset *rules;
	struct structure structure;
	struct guard_outcome outcome;
	double now;
} t;

static void finish(void *unused)
{
	ruleset_free(t.rules);
	guard_state_free(t.structure.guard_state);
	memset(&t, 0, sizeof(t));
}

/* `documents` NULL: the default rules. */
static void start(const char *documents)
{
	_cleanup_json_ json_t *docs = documents ? json_loads(documents, 0, NULL) : rules_default();

	CHECK(docs);
	memset(&t, 0, sizeof(t));
	test_at_end(finish, NULL);
	CHECK_INT(guardian_config_from_json(NULL, &t.config, NULL), 0);
	CHECK_INT(ruleset_new(docs, &t.rules), 0);
	t.structure.guard = true;
	t.structure.guard_state = guard_state_new();
	t.structure.resources[EBB_CPU] = guarded(400, 200, 20);
	t.structure.resources[EBB_MEM] = guarded(8192, 4096, 256);
	t.now = 1000;
}

static struct guard_sample empty_sample(void)
{
	struct guard_sample sample = {
		.at = t.now += 0.1,
		.seconds = 0.1,
		.throttled = NAN,
		.held_back = NAN,
		.wait = NAN,
	};

	for (int r = 0; r < EBB_RESOURCE_MAX; r++)
		sample.usage[r] = sample.pressure[r] = NAN;
	return sample;
}

static void give(const struct guard_sample *sample)
{
	guardian_evaluate(&t.config, t.rules, &t.structure, sample, &t.outcome);
}

static void sample_cpu(double usage, double throttled)
{
	struct guard_sample sample = empty_sample();

	sample.valid = 1 << EBB_CPU;
	sample.usage[EBB_CPU] = usage;
	sample.throttled = throttled;
	sample.held_back = throttled > 0 ? NAN : 0;
	give(&sample);
}

static void sample_mem(double usage)
{
	struct guard_sample sample = empty_sample();

	sample.valid = 1 << EBB_MEM;
	sample.usage[EBB_MEM] = usage;
	give(&sample);
}

static int64_t asked(void)
{
	return t.outcome.n_requests == 1 ? t.outcome.requests[0].amount : 0;
}

static void change_limit(enum ebb_resource resource, int64_t limit)
{
	bool grown = limit > t.structure.resources[resource].current;

	t.structure.resources[resource].current = limit;
	guard_state_limit_changed(t.structure.guard_state, resource, t.now, grown);
}

TEST(guardian_needs_to_be_asked)
{
	start(NULL);
	t.structure.guard = false;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);
	CHECK_NEAR(t.structure.resources[EBB_CPU].usage, 200, 0);

	t.structure.guard = true;
	t.config.active = false;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);

	t.config.active = true;
	t.config.guardable = 1 << EBB_MEM;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);

	t.config.guardable = 1 << EBB_CPU;
	t.structure.resources[EBB_CPU].guard = false;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);

	t.structure.resources[EBB_CPU].guard = true;
	t.structure.resources[EBB_CPU].has_boundary = false;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);

	t.structure.resources[EBB_CPU].has_boundary = true;
	t.structure.resources[EBB_CPU].current = -1;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 0);
	/* Nothing is kept for what is not guarded. */
	CHECK(guard_state_bytes(t.structure.guard_state) < 100);
}

TEST(guardian_adjusts_boundaries)
{
	start(NULL);
	sample_cpu(170, 0);
	CHECK_INT(t.outcome.boundaries_changed, 1 << EBB_CPU);
	CHECK_INT(t.structure.resources[EBB_CPU].upper, 180);
	CHECK_INT(t.structure.resources[EBB_CPU].lower, 160);
	sample_cpu(170, 0);
	CHECK_INT(t.outcome.boundaries_changed, 0);
	CHECK_INT(t.outcome.events_up + t.outcome.events_down, 0);
}

/* The first sample that is pinned or throttled asks; a mild excess on its second. */
TEST(guardian_counts_saturation_twice)
{
	start(NULL);
	sample_cpu(170, 0);
	sample_cpu(170, 1);
	CHECK_INT(t.outcome.up_events[EBB_CPU], 2);
	CHECK_INT(asked(), 100);
	CHECK_STR(t.outcome.requests[0].rule->name, "CpuRescaleUp");
	CHECK_NEAR(t.outcome.requests[0].measure.throttled, 0.5, 1e-6);
	CHECK_INT(t.outcome.requests[0].current, 200);
	CHECK_INT(t.outcome.requests[0].upper, 180);
	CHECK_INT(t.outcome.requests[0].events_up, 2);
}

TEST(guardian_pinned_sample_asks)
{
	start(NULL);
	sample_cpu(10, 0);
	sample_cpu(10, 0);
	sample_cpu(200, 0);
	CHECK_INT(asked(), 100);
}

TEST(guardian_mild_excess_asks_on_its_second)
{
	start(NULL);
	sample_cpu(185, 0);
	CHECK_INT(t.outcome.events_up, 1);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_cpu(185, 0);
	CHECK_INT(asked(), 12);
	/* Consumed: the next pair asks again. */
	sample_cpu(185, 0);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_cpu(185, 0);
	CHECK_INT(asked(), 12);
}

TEST(guardian_never_above_max)
{
	start(NULL);
	t.structure.resources[EBB_CPU].max = 230;
	sample_cpu(200, 1);
	CHECK_INT(asked(), 30);
	change_limit(EBB_CPU, 230);
	for (int i = 0; i < 10; i++) {
		sample_cpu(230, 1);
		CHECK_INT(t.outcome.events_up, 0);
		CHECK_INT(t.outcome.n_requests, 0);
	}
}

TEST(guardian_lowers_after_a_second)
{
	start(NULL);
	for (int i = 0; i < 9; i++) {
		sample_cpu(100, 0);
		CHECK_INT(t.outcome.down_events[EBB_CPU], 1);
		CHECK_INT(t.outcome.n_requests, 0);
	}
	sample_cpu(100, 0);
	CHECK_INT(asked(), -85);
	CHECK_STR(t.outcome.requests[0].rule->name, "CpuRescaleDown");
	CHECK_INT(t.outcome.requests[0].events_down, 10);
}

TEST(guardian_lowering_leaves_room_for_the_peak)
{
	start(NULL);
	for (int i = 0; i < 10; i++)
		sample_cpu(i == 4 ? 150 : 40, 0);
	/* 150 / 0.925 */
	CHECK_INT(asked(), 163 - 200);
}

/* Usage of nothing is measured, too; the original never lowered it. */
TEST(guardian_idle_goes_to_min)
{
	start(NULL);
	for (int i = 0; i < 10; i++)
		sample_cpu(0, 0);
	CHECK_INT(asked(), -180);
	change_limit(EBB_CPU, 20);
	for (int i = 0; i < 30; i++) {
		sample_cpu(0, 0);
		CHECK_INT(t.outcome.events_down, 0);
		CHECK_INT(t.outcome.n_requests, 0);
	}
}

/* However many events a fast feed makes, a lowering waits for a second of evidence. */
TEST(guardian_evidence_is_time)
{
	start(NULL);
	for (int i = 0; i < 120; i++) {
		struct guard_sample sample = empty_sample();

		t.now -= 0.09;
		sample.at = t.now;
		sample.seconds = 0.01;
		sample.valid = 1 << EBB_CPU;
		sample.usage[EBB_CPU] = 100;
		sample.throttled = sample.held_back = 0;
		give(&sample);
		if (i < 94)
			CHECK_INT(t.outcome.n_requests, 0);
		if (t.outcome.n_requests)
			return;
	}
	CHECK(false);
}

/* DESIGN 4.14: old underuse must not hold back what is needed now, nor the other way for long. */
TEST(guardian_up_voids_down)
{
	start(NULL);
	for (int i = 0; i < 9; i++)
		sample_cpu(100, 0);
	sample_cpu(200, 1);
	CHECK_INT(asked(), 100);
	CHECK_INT(t.outcome.requests[0].events_down, 0);
	/* Its mean is below lower, its peak at the limit. */
	CHECK_INT(t.outcome.events_down, 0);
	/* And a lowering needs its second again. */
	for (int i = 0; i < 12; i++) {
		sample_cpu(10, 0);
		CHECK(asked() >= 0);
	}
}

TEST(guardian_events_time_out)
{
	start(NULL);
	sample_cpu(185, 0);
	CHECK_INT(t.outcome.events_up, 1);
	for (int i = 0; i < 20; i++)
		sample_cpu(170, 0);
	/* The first is older than two seconds when the next one comes. */
	for (int i = 0; i < 3 && t.outcome.events_up == 0; i++)
		sample_cpu(188, 0);
	CHECK_INT(t.outcome.events_up, 1);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_cpu(188, 0);
	CHECK_INT(t.outcome.n_requests, 1);
}

TEST(guardian_order_in_flight)
{
	start(NULL);
	t.structure.in_flight = 1 << EBB_CPU;
	for (int i = 0; i < 20; i++) {
		sample_cpu(200, 1);
		CHECK_INT(t.outcome.n_requests, 0);
		CHECK_NEAR(t.structure.resources[EBB_CPU].usage, 200, 1e-3);
	}
	t.structure.in_flight = 1 << EBB_MEM;
	sample_cpu(200, 1);
	CHECK_INT(t.outcome.n_requests, 1);
}

/* What was measured under the old limit says nothing about the new one. */
TEST(guardian_limit_change_forgets)
{
	start(NULL);
	for (int i = 0; i < 9; i++)
		sample_cpu(100, 0);
	t.now += 0.05;
	change_limit(EBB_CPU, 150);
	t.now -= 0.05;
	/* Began 50 ms before the change. */
	sample_cpu(20, 1);
	CHECK_INT(t.outcome.events_up + t.outcome.events_down, 0);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_cpu(125, 0);
	CHECK_NEAR(t.structure.resources[EBB_CPU].usage, 125, 1e-3);
	CHECK_INT(t.outcome.events_up + t.outcome.events_down, 0);
}

TEST(guardian_limit_changed_without_a_word)
{
	start(NULL);
	for (int i = 0; i < 9; i++)
		sample_cpu(100, 0);
	t.structure.resources[EBB_CPU].current = 300;
	sample_cpu(100, 0);
	CHECK_INT(t.outcome.n_requests, 0);
	CHECK_INT(t.structure.resources[EBB_CPU].upper, 270);
	for (int i = 0; i < 9; i++) {
		sample_cpu(100, 0);
		CHECK_INT(t.outcome.n_requests, 0);
	}
	sample_cpu(100, 0);
	CHECK_INT(asked(), -150);
}

/* Raises in a row widen; a shrink or a change from outside ends the row. */
TEST(guardian_widening_step)
{
	static const int64_t limits[] = {20, 120, 320};

	start(NULL);
	t.structure.resources[EBB_CPU].max = 3200;
	change_limit(EBB_CPU, 20);
	for (int i = 0; i < 3; i++) {
		sample_cpu((double)limits[i], NAN);
		CHECK_INT(asked(), 100 << i);
		change_limit(EBB_CPU, limits[i] + asked());
	}
	/* 720 by another's hand. */
	t.structure.resources[EBB_CPU].current = 400;
	guard_state_limit_changed(t.structure.guard_state, EBB_CPU, t.now, false);
	sample_cpu(400, NAN);
	CHECK_INT(asked(), 100);
}

TEST(guardian_same_sample_twice)
{
	start(NULL);
	sample_cpu(185, 0);
	t.now -= 0.1;
	sample_cpu(185, 0);
	CHECK_INT(t.outcome.events_up, 0);
	CHECK_INT(t.outcome.n_requests, 0);
}

/* A host that was restarted counts from 0 again. */
TEST(guardian_clock_starts_anew)
{
	start(NULL);
	for (int i = 0; i < 9; i++)
		sample_cpu(100, 0);
	change_limit(EBB_CPU, 190);
	t.now = 5;
	sample_cpu(175, 0);
	CHECK_INT(t.outcome.events_up, 1);
	CHECK_NEAR(t.structure.resources[EBB_CPU].usage, 175, 1e-3);
	/* And after a long silence. */
	t.now = 5 + 40 * 86400.0;
	sample_cpu(175, 0);
	CHECK_INT(t.outcome.events_up, 1);
	CHECK_INT(t.outcome.n_requests, 0);
}

/* Requests that come of `n` samples of little use, two a second. */
static unsigned asked_after_low(double blur, int n)
{
	unsigned asked_for = 0;

	start(NULL);
	for (int i = 0; i < n; i++) {
		struct guard_sample sample = empty_sample();

		sample.at = t.now = 1000 + 0.5 * i;
		sample.seconds = 0.5;
		sample.blur = blur;
		sample.valid = 1 << EBB_CPU;
		sample.usage[EBB_CPU] = 20;
		give(&sample);
		asked_for += t.outcome.n_requests;
	}
	finish(NULL);
	return asked_for;
}

/* A bucket of a series may hold points of the time before it: one is too little to lower by. */
TEST(guardian_wants_two_buckets_to_lower)
{
	CHECK(asked_after_low(0, 12) > 0);
	CHECK_INT(asked_after_low(5, 12), 0);
	CHECK(asked_after_low(5, 24) > 0);
}

/* What it tells of may have begun before the limit changed. */
TEST(guardian_blurred_samples_reach_back)
{
	for (int late = 0; late < 2; late++) {
		struct guard_sample sample;

		start(NULL);
		sample_cpu(100, 0);
		t.structure.resources[EBB_CPU].current = 190;
		guard_state_limit_changed(t.structure.guard_state, EBB_CPU, 1001, false);
		sample = empty_sample();
		sample.at = late ? 1011.5 : 1010;
		sample.seconds = sample.blur = 5;
		sample.valid = 1 << EBB_CPU;
		sample.usage[EBB_CPU] = 187;
		give(&sample);
		CHECK((t.outcome.events_up > 0) == late);
		finish(NULL);
	}
}

TEST(guardian_memory)
{
	start(NULL);
	t.structure.resources[EBB_MEM].current = 1024;
	sample_mem(918);
	sample_mem(920);
	CHECK_INT(t.outcome.events_up, 0);
	sample_mem(924);
	CHECK_INT(t.outcome.events_up, 0);
	/* The mean is above; one event is enough. 40 MiB/s, a second ahead: 968 / 0.875. */
	sample_mem(928);
	CHECK_INT(asked(), 1107 - 1024);
	CHECK_STR(t.outcome.requests[0].rule->name, "MemRescaleUp");
}

/* Growing at 1 GiB/s the limit is asked for long before it is near. */
TEST(guardian_memory_growing)
{
	start(NULL);
	t.structure.resources[EBB_MEM].current = 1024;
	sample_mem(300);
	sample_mem(400);
	sample_mem(500);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_mem(600);
	CHECK_INT(t.outcome.n_requests, 1);
	CHECK(asked() + 1024 >= 1600);
}

/* Memory was in use before its limit changed, too: its growth is known at once. */
TEST(guardian_memory_growth_across_a_change)
{
	start(NULL);
	t.structure.resources[EBB_MEM].current = 600;
	sample_mem(300);
	sample_mem(400);
	change_limit(EBB_MEM, 700);
	sample_mem(500);
	CHECK_INT(t.outcome.n_requests, 1);
	CHECK(asked() + 700 >= 1500);
}

/* Spec 8: usage against upper 2048 and lower 1024. */
TEST(guardian_matches_as_the_original)
{
	static const struct {
		double usage;
		unsigned up, down;
	} cases[] = {{1536, 0, 0}, {924, 0, 1}, {2148, 1, 0}, {2048, 0, 0}, {1024, 0, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		start(NULL);
		t.structure.resources[EBB_MEM].current = 3072;
		t.structure.resources[EBB_MEM].max = 10240;
		t.structure.resources[EBB_MEM].boundary_type = BOUNDARY_PERCENTAGE_OF_MAX;
		t.structure.resources[EBB_MEM].boundary = 10;
		sample_mem(cases[i].usage);
		CHECK_INT(t.structure.resources[EBB_MEM].upper, 2048);
		CHECK_INT(t.structure.resources[EBB_MEM].lower, 1024);
		CHECK_INT(t.outcome.events_up, cases[i].up);
		CHECK_INT(t.outcome.events_down, cases[i].down);
		finish(NULL);
	}
}

#define EVENT_UP                                                                                      \
	"{\"name\":\"hot\",\"resource\":\"cpu\",\"active\":true,\"generates\":\"events\",\"action\":" \
	"{\"events\":{\"scale\":{\"up\":1}}},\"rule\":{\">\":[{\"var\":\"cpu.structure.cpu.usage\"}," \
	"{\"var\":\"cpu.limits.cpu.upper\"}]}}"
#define ORIGINAL_UP                                                                            \
	"{\"name\":\"CpuRescaleUp\",\"resource\":\"cpu\",\"active\":true,\"generates\":"       \
	"\"requests\",\"rule\":{\"and\":[{\">=\":[{\"var\":\"events.scale.up\"},2]},{\"<=\":[" \
	"{\"var\":\"events.scale.down\"},2]}]},\"events_to_remove\":2,\"amount\":75,"          \
	"\"rescale_policy\":\"amount\",\"rescale_type\":\"up\"}"

/* The original's own rules still do what they say. */
TEST(guardian_original_rules)
{
	start("[" EVENT_UP "," ORIGINAL_UP "]");
	sample_cpu(190, 0);
	CHECK_INT(t.outcome.events_up, 1);
	CHECK_INT(t.outcome.n_requests, 0);
	sample_cpu(190, 0);
	CHECK_INT(asked(), 75);
	sample_cpu(190, 0);
	CHECK_INT(t.outcome.n_requests, 0);
}

/* Never up and down from one sample, whatever the rules say. */
TEST(guardian_asks_one_way)
{
	start("[" EVENT_UP ",{\"name\":\"cold\",\"resource\":\"cpu\",\"active\":true,\"generates\":"
	      "\"events\",\"action\":{\"events\":{\"scale\":{\"down\":1}}},\"rule\":{\"<\":[{\"var\":"
	      "\"cpu.structure.cpu.usage\"},100]}},{\"name\":\"up\",\"resource\":\"cpu\",\"active\":true,"
	      "\"generates\":\"requests\",\"rule\":{\">\":[{\"var\":\"events.scale.up\"},0]},"
	      "\"events_to_remove\":0,\"amount\":10,\"rescale_policy\":\"amount\",\"rescale_type\":"
	      "\"up\"},{\"name\":\"down\",\"resource\":\"cpu\",\"active\":true,\"generates\":"
	      "\"requests\",\"rule\":{\">\":[{\"var\":\"events.scale.down\"},0]},\"events_to_remove\":0,"
	      "\"amount\":-10,\"rescale_policy\":\"amount\",\"rescale_type\":\"down\"}]");
	sample_cpu(190, 0);
	CHECK_INT(asked(), 10);
	sample_cpu(0, 0);
	sample_cpu(0, 0);
	CHECK_INT(t.outcome.events_down, 1);
	CHECK_INT(asked(), 10);
	/* The up event times out. */
	for (int i = 0; i < 20; i++)
		sample_cpu(0, 0);
	CHECK_INT(asked(), -10);
}

/* A rule about one resource may read another: all are measured before any fires. */
TEST(guardian_rule_across_resources)
{
	struct guard_sample sample;

	start("[{\"name\":\"both\",\"resource\":\"cpu\",\"active\":true,\"generates\":\"events\","
	      "\"action\":{\"events\":{\"scale\":{\"up\":3}}},\"rule\":{\">\":[{\"var\":"
	      "\"mem.structure.mem.usage\"},{\"var\":\"mem.limits.mem.upper\"}]}},"
	      "{\"name\":\"idle\",\"resource\":\"mem\",\"active\":true,\"generates\":\"events\","
	      "\"action\":{\"events\":{\"scale\":{\"down\":1}}},\"rule\":{\"==\":[1,2]}}]");
	sample = empty_sample();
	sample.valid = 1 << EBB_CPU | 1 << EBB_MEM;
	sample.usage[EBB_CPU] = 10;
	sample.usage[EBB_MEM] = 4000;
	give(&sample);
	CHECK_INT(t.outcome.up_events[EBB_CPU], 3);
	/* Not measured: null, and null is not above anything. */
	sample_cpu(10, 0);
	CHECK_INT(t.outcome.up_events[EBB_CPU], 0);
}

TEST(guardian_state_is_small)
{
	struct guard_sample sample;

	start(NULL);
	sample = empty_sample();
	sample.valid = 1 << EBB_CPU | 1 << EBB_MEM;
	sample.usage[EBB_CPU] = sample.usage[EBB_MEM] = 1;
	give(&sample);
	printf("# %zu bytes per structure with cpu and mem guarded\n",
	       guard_state_bytes(t.structure.guard_state));
	CHECK(guard_state_bytes(t.structure.guard_state) <= 2048);
}

TEST(guardian_state_of_nobody)
{
	guard_state_limit_changed(NULL, EBB_CPU, 1, true);
	guard_state_free(NULL);
}

/* ---- configuration ---- */

static int configure(const char *text, struct guardian_config *config, char **error)
{
	_cleanup_json_ json_t *json = json_loads(text, 0, NULL);

	CHECK(json);
	return guardian_config_from_json(json, config, error);
}

TEST(guardian_config_defaults)
{
	struct guardian_config config;

	CHECK_INT(guardian_config_from_json(NULL, &config, NULL), 0);
	CHECK(config.active);
	CHECK_NEAR(config.window_timelapse, 0.3, 0);
	CHECK_NEAR(config.window_delay, 0, 0);
	CHECK_NEAR(config.event_timeout, 2, 0);
	CHECK_INT(config.feed, FEED_AUTO);
	CHECK_NEAR(config.feed_grace, 30, 0);
	CHECK_INT(config.guardable,
		  1 << EBB_CPU | 1 << EBB_MEM | 1 << EBB_DISK_READ | 1 << EBB_DISK_WRITE);
}

TEST(guardian_config_as_the_original_writes_it)
{
	struct guardian_config config;

	CHECK_INT(configure("{\"ACTIVE\":\"false\",\"DEBUG\":true,\"EVENT_TIMEOUT\":120,"
			    "\"WINDOW_DELAY\":\"20\",\"WINDOW_TIMELAPSE\":\"10\","
			    "\"FEED\":\"OPENTSDB\",\"FEED_GRACE\":\"5\","
			    "\"CPU_SHARES_PER_WATT\":5,\"STRUCTURE_GUARDED\":\"container\","
			    "\"GUARDABLE_RESOURCES\":[\"cpu\"]}",
			    &config, NULL),
		  0);
	CHECK(!config.active);
	CHECK_NEAR(config.window_timelapse, 10, 0);
	CHECK_NEAR(config.window_delay, 20, 0);
	CHECK_NEAR(config.event_timeout, 120, 0);
	CHECK_INT(config.feed, FEED_OPENTSDB);
	CHECK_NEAR(config.feed_grace, 5, 0);
	CHECK_INT(config.guardable, 1 << EBB_CPU);
}

TEST(guardian_config_kinds)
{
	struct guardian_config config;

	CHECK_INT(configure("{}", &config, NULL), 0);
	CHECK_INT(config.guarded, 1 << STRUCTURE_CONTAINER);
	CHECK_INT(configure("{\"STRUCTURE_GUARDED\":\"application\"}", &config, NULL), 0);
	CHECK_INT(config.guarded, 1 << STRUCTURE_APPLICATION);
	CHECK_INT(configure("{\"STRUCTURE_GUARDED\":[\"user\",\"container\"]}", &config, NULL), 0);
	CHECK_INT(config.guarded, 1 << STRUCTURE_CONTAINER | 1 << STRUCTURE_USER);
}

TEST(guardian_config_refuses)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"{\"WINDOW_TIMELAPSE\":0}",
		 "WINDOW_TIMELAPSE must be a number of seconds above 0"},
		{"{\"WINDOW_TIMELAPSE\":-1}", "WINDOW_TIMELAPSE"},
		{"{\"WINDOW_TIMELAPSE\":\"soon\"}", "WINDOW_TIMELAPSE"},
		{"{\"WINDOW_TIMELAPSE\":1e9}", "at most 3600"},
		{"{\"WINDOW_DELAY\":-0.1}", "WINDOW_DELAY must be a number of seconds from 0"},
		{"{\"EVENT_TIMEOUT\":null}", "EVENT_TIMEOUT"},
		{"{\"FEED\":\"influx\"}", "FEED must be local, opentsdb or auto"},
		{"{\"FEED\":true}", "FEED"},
		{"{\"FEED_GRACE\":-1}", "FEED_GRACE must be"},
		{"{\"ACTIVE\":\"maybe\"}", "ACTIVE must be true or false"},
		{"{\"ACTIVE\":2}", "ACTIVE"},
		{"{\"GUARDABLE_RESOURCES\":\"cpu\"}", "must be an array"},
		{"{\"GUARDABLE_RESOURCES\":[\"cpu\",\"disk\"]}", "GUARDABLE_RESOURCES[1] must be"},
		{"{\"STRUCTURE_GUARDED\":\"host\"}", "must be container, application or user"},
		{"{\"STRUCTURE_GUARDED\":[\"container\",7]}", "or a list of them"},
		{"{\"STRUCTURE_GUARDED\":[]}", "STRUCTURE_GUARDED"},
		{"{\"STRUCTURE_GUARDED\":{}}", "STRUCTURE_GUARDED"},
		{"[]", "must be a JSON object"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *error = NULL;
		struct guardian_config config = {.event_timeout = 77};

		CHECK_INT(configure(cases[i].text, &config, &error), -EINVAL);
		if (!error || !strstr(error, cases[i].reason))
			TEST_FAIL("%s: %s", cases[i].text, error ? error : "(no reason)");
		CHECK_NEAR(config.event_timeout, 77, 0);
		CHECK_INT(configure(cases[i].text, &config, NULL), -EINVAL);
	}
}

TEST_MAIN()
