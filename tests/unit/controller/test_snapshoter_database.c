/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "series_world.h"
#include "snapshoter_database.h"

static struct series_config config;
static struct snapshoter_database_result result;

/* What came, one line a point: "METRIC TIMESTAMP VALUE TAG=NAME". */
static char *lines[65536];
static size_t n_lines;
static struct model *busy; /* its lock must be free when points come */
static int fail_after;     /* documents; -1: never */

static void forget(void *unused)
{
	while (n_lines > 0)
		free(lines[--n_lines]);
	busy = NULL;
	fail_after = -1;
}

static int note(void *userdata, int64_t timestamp, const char *tag, const char *name,
		const struct series_point *points, size_t n)
{
	CHECK(userdata == &config);
	CHECK_INT(pthread_mutex_trylock(&busy->lock), 0);
	pthread_mutex_unlock(&busy->lock);
	if (fail_after >= 0 && fail_after-- == 0)
		return -EIO;
	CHECK(n > 0);
	for (size_t i = 0; i < n; i++) {
		CHECK(n_lines < ARRAY_SIZE(lines));
		CHECK(asprintf(&lines[n_lines++], "%s %lld %.10g %s=%s", points[i].metric,
			       (long long)timestamp, points[i].value, tag, name) > 0);
	}
	return 0;
}

/* `changes`: the service's config over the defaults, JSON with ' for ". */
static void run(struct model *model, const char *changes)
{
	_cleanup_json_ json_t *json = parse("%s", changes);

	forget(NULL);
	if (test_n_ends < 2)
		test_at_end(forget, NULL);
	busy = model;
	series_config_defaults(&config);
	CHECK_INT(series_config_set(&config, "database_snapshoter", json, NULL), 0);
	CHECK_INT(snapshoter_database_run(model, &config.database, 1795344748, note, &config,
					  &result),
		  0);
	CHECK_INT(result.points, n_lines);
}

/* Exactly these points, in any order; the last one is NULL. */
static void came(const char *first, ...)
{
	size_t n = 0;
	va_list ap;

	va_start(ap, first);
	for (const char *line = first; line; line = va_arg(ap, const char *), n++) {
		size_t times = 0;

		for (size_t i = 0; i < n_lines; i++)
			times += strcmp(lines[i], line) == 0;
		if (times != 1) {
			for (size_t i = 0; i < n_lines; i++)
				fprintf(stderr, "  %s\n", lines[i]);
			TEST_FAIL("\"%s\" came %zu times", line, times);
		}
	}
	va_end(ap);
	if (n != n_lines) {
		for (size_t i = 0; i < n_lines; i++)
			fprintf(stderr, "  %s\n", lines[i]);
		TEST_FAIL("%zu points, want %zu", n_lines, n);
	}
}

static struct structure *add_limited(struct model *model, const char *doc, const char *limits)
{
	struct structure *structure = add_structure(model, doc);
	_cleanup_json_ json_t *json = parse("%s", limits);

	model_lock(model);
	CHECK_INT(structure_set_limits(structure, json, NULL), 0);
	model_unlock(model);
	return structure;
}

TEST(snapshoter_database_container)
{
	struct model *model = new_world();
	struct structure *s =
		add_limited(model,
			    "{'subtype':'container','name':'c0','guard':true,'resources':{"
			    "'cpu':{'max':200,'current':150,'min':20,'guard':true,'weight':1.5},"
			    "'mem':{'max':6144,'min':512},"
			    "'disk':{'name':'ssd_0','path':'/mnt/ssd','current':140},"
			    "'disk_read':{'max':300,'current':100,'min':20,'fixed':77,'note':'x'},"
			    "'energy':{'max':60,'current':-1,'min':10,'shares':-1},"
			    "'net':{'max':10,'min':1,'usage':5},'gpu':{'max':1}}}",
			    "{'name':'c0','resources':{'cpu':{'boundary':10,'boundary_type':"
			    "'percentage_of_max','upper':130,'lower':110,'fixed':3},"
			    "'mem':{'boundary':10,'boundary_type':'percentage_of_max'},"
			    "'disk':{'upper':4}}}");

	/* Measured, but of a container no document says it. */
	s->resources[EBB_CPU].usage = 143.2;
	s->resources[EBB_NET].usage = 5;
	run(model, "{'DOCUMENTS_PERSISTED':['structures','limits']}");
	came("structure.cpu.max 1795344748 200 structure=c0",
	     "structure.cpu.current 1795344748 150 structure=c0",
	     "structure.cpu.min 1795344748 20 structure=c0",
	     "structure.mem.max 1795344748 6144 structure=c0",
	     "structure.mem.min 1795344748 512 structure=c0",
	     "structure.disk.current 1795344748 140 structure=c0",
	     "structure.disk_read.max 1795344748 300 structure=c0",
	     "structure.disk_read.current 1795344748 100 structure=c0",
	     "structure.disk_read.min 1795344748 20 structure=c0",
	     "structure.disk_read.fixed 1795344748 77 structure=c0",
	     "structure.energy.max 1795344748 60 structure=c0",
	     "structure.energy.min 1795344748 10 structure=c0",
	     "structure.net.max 1795344748 10 structure=c0",
	     "structure.net.min 1795344748 1 structure=c0",
	     "limit.cpu.upper 1795344748 130 structure=c0",
	     "limit.cpu.lower 1795344748 110 structure=c0",
	     "limit.cpu.fixed 1795344748 3 structure=c0",
	     "limit.disk.upper 1795344748 4 structure=c0", NULL);
	CHECK_INT(result.documents, 1);

	run(model, "{'DOCUMENTS_PERSISTED':['limits'],'FIELDS_PERSISTED':['boundary','lower']}");
	came("limit.cpu.lower 1795344748 110 structure=c0",
	     "limit.cpu.boundary 1795344748 10 structure=c0",
	     "limit.mem.boundary 1795344748 10 structure=c0", NULL);
	run(model,
	    "{'DOCUMENTS_PERSISTED':['structures'],'FIELDS_PERSISTED':['weight','guard','note']}");
	came("structure.cpu.weight 1795344748 1.5 structure=c0", NULL);
	run(model, "{'DOCUMENTS_PERSISTED':['structures'],'FIELDS_PERSISTED':[]}");
	came(NULL);
	CHECK_INT(result.documents, 0);
}

TEST(snapshoter_database_host)
{
	struct model *model = new_world();
	struct structure *s = add_structure(
		model, "{'subtype':'host','name':'h0','host':'h0','resources':{"
		       "'cpu':{'max':200,'free':140,'core_usage_mapping':{'0':{'c0':60,'free':40},"
		       "'1':{'free':100}}},'mem':{'max':8192,'free':6144},"
		       "'disks':{'ssd_0':{'max_read':500,'max':3}}}}");
	struct host *host = s->host;

	run(model, "{'DOCUMENTS_PERSISTED':['structures','limits']}");
	came("structure.cpu.max 1795344748 200 structure=h0",
	     "structure.mem.max 1795344748 8192 structure=h0", NULL);
	/* As it is now, not as the document was last written. */
	model_lock(model);
	host->free[EBB_MEM] = 1024;
	model_unlock(model);
	run(model, "{'FIELDS_PERSISTED':['free'],'DOCUMENTS_PERSISTED':['structures']}");
	came("structure.cpu.free 1795344748 140 structure=h0",
	     "structure.mem.free 1795344748 1024 structure=h0", NULL);
}

TEST(snapshoter_database_application)
{
	struct model *model = new_world();

	add_structure(model, "{'subtype':'application','name':'app1','containers':['c0'],"
			     "'resources':{'cpu':{'max':800,'min':20,'current':400,"
			     "'usage':215.37},'mem':{'max':8192,'min':512}}}");
	run(model, "{'DOCUMENTS_PERSISTED':['structures'],"
		   "'FIELDS_PERSISTED':['current','usage']}");
	came("structure.cpu.current 1795344748 400 structure=app1",
	     "structure.cpu.usage 1795344748 215.37 structure=app1", NULL);
}

TEST(snapshoter_database_users)
{
	struct model *model = new_world();

	add_user(model, "{'type':'user','name':'user 0','clusters':['app1'],'resources':{"
			"'energy':{'max':100,'min':20,'usage':-1},'cpu':{'max':2000,'min':100,"
			"'current':'12.5','usage':null},'gpu':{'max':3}}}");
	add_user(model, "{'name':'u1'}");
	add_user(model, "{'name':'u2','resources':{'mem':{'max':1},'disk':{'min':7}}}");
	run(model, "{'DOCUMENTS_PERSISTED':['users']}");
	came("structure.energy.max 1795344748 100 user=user_space_0",
	     "structure.energy.min 1795344748 20 user=user_space_0",
	     "structure.cpu.max 1795344748 2000 user=user_space_0",
	     "structure.cpu.min 1795344748 100 user=user_space_0",
	     "structure.cpu.current 1795344748 12 user=user_space_0",
	     "structure.mem.max 1795344748 1 user=u2", "structure.disk.min 1795344748 7 user=u2",
	     NULL);
	CHECK_INT(result.documents, 2);
}

TEST(snapshoter_database_configs)
{
	struct model *model = new_world();

	model->guardian.window_delay = 1.5;
	model->guardian.event_timeout = 40;
	model->guardian.window_timelapse = 0.3;
	model->scaler.request_timeout = 60;
	model->scaler.polling_frequency = 5;
	run(model, "{'DOCUMENTS_PERSISTED':['configs']}");
	came("conf.guardian.window_delay 1795344748 1.5 service=guardian",
	     "conf.guardian.event_timeout 1795344748 40 service=guardian",
	     "conf.guardian.window_timelapse 1795344748 0.3 service=guardian",
	     "conf.scaler.request_timeout 1795344748 60 service=scaler",
	     "conf.scaler.polling_frequency 1795344748 5 service=scaler", NULL);
	/* One that has no metrics takes nothing from the others. */
	run(model, "{'DOCUMENTS_PERSISTED':['configs'],'SERVICES_PERSISTED':['rebalancer',"
		   "'scaler','refeeder']}");
	came("conf.scaler.request_timeout 1795344748 60 service=scaler",
	     "conf.scaler.polling_frequency 1795344748 5 service=scaler", NULL);
}

TEST(snapshoter_database_names_are_made_valid)
{
	struct model *model = new_world();
	char text[512], name[256];

	add_structure(model, "{'subtype':'container','name':'kworker/0:1','resources':"
			     "{'cpu':{'max':1}}}");
	add_structure(model,
		      "{'subtype':'container','name':'a+b é','resources':{'cpu':{'max':2}}}");
	memset(name, 'n', 255);
	name[255] = '\0';
	snprintf(text, sizeof(text),
		 "{'subtype':'container','name':'%s','resources':{'cpu':{'max':3}}}", name);
	add_structure(model, text);
	run(model, "{'DOCUMENTS_PERSISTED':['structures'],'FIELDS_PERSISTED':['max']}");
	snprintf(text, sizeof(text), "structure.cpu.max 1795344748 3 structure=%s", name);
	came("structure.cpu.max 1795344748 1 structure=kworker_slash_0_twodot_1",
	     "structure.cpu.max 1795344748 2 structure=a_b__", text, NULL);
}

TEST(snapshoter_database_many)
{
	struct model *model = new_world();
	static unsigned char seen[3000][3];
	char text[256], doc[512];
	size_t n_users = 0;

	for (int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text),
			 "{'subtype':'container','name':'c%d','resources':{'cpu':{'max':%d,"
			 "'min':1},'mem':{'max':%d,'min':2}}}",
			 i, i + 10, 2 * i + 10);
		add_structure(model, text);
		/* Names of all lengths. */
		snprintf(text, sizeof(text), "u%0*d", i % 200, i);
		snprintf(doc, sizeof(doc), "{'name':'%s','resources':{'cpu':{'max':%d}}}", text, i);
		add_user(model, doc);
	}
	memset(text, 'x', 255);
	text[255] = '\0';
	snprintf(doc, sizeof(doc), "{'name':'%s','resources':{'cpu':{'max':1}}}", text);
	add_user(model, doc);
	run(model, "{'FIELDS_PERSISTED':['max','min'],'DOCUMENTS_PERSISTED':['structures',"
		   "'users']}");
	CHECK_INT(n_lines, 3000 * 4 + 3000 + 1);
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < n_lines; i++) {
		int which, value;

		if (sscanf(lines[i], "structure.cpu.max 1795344748 %d structure=c%d", &value,
			   &which) == 2) {
			CHECK_INT(value, which + 10);
			seen[which][0]++;
		} else if (sscanf(lines[i], "structure.mem.max 1795344748 %d structure=c%d", &value,
				  &which) == 2) {
			CHECK_INT(value, 2 * which + 10);
			seen[which][1]++;
		} else if (sscanf(lines[i], "structure.cpu.max 1795344748 %d user=u%d", &value,
				  &which) == 2) {
			CHECK_INT(value, which);
			seen[which][2]++;
			n_users++;
		}
	}
	CHECK_INT(n_users, 3000);
	for (int i = 0; i < 3000; i++)
		CHECK(seen[i][0] == 1 && seen[i][1] == 1 && seen[i][2] == 1);
}

TEST(snapshoter_database_ends_when_nobody_takes_it)
{
	struct model *model = new_world();

	run(model, "{}");
	CHECK_INT(n_lines, 5);
	fail_after = 1;
	result.points = 99;
	CHECK_INT(snapshoter_database_run(model, &config.database, 1, note, &config, &result),
		  -EIO);
	CHECK_INT(result.points, 99);
}

TEST_MAIN()
