/* SPDX-License-Identifier: Apache-2.0 */
/* The model over a real state file: what a controller finds again after it ended, cleanly or not.
 */
#include "seed.h"
#include "test.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "ebb/cleanup.h"
#include "unit/controller/model_fixture.h"

static char dir[64], uri[128];
static struct store *store;
static struct model *model;

static void stop(void)
{
	store_close(TAKE_PTR(store));
	model_free(TAKE_PTR(model));
}

static void clean_up(void *unused)
{
	char command[128];

	stop();
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	/* Once is enough, and never anything else. */
	if (strncmp(dir, "/tmp/ebb-model-", 15) == 0 && system(command) != 0)
		fprintf(stderr, "%s failed\n", command);
	dir[0] = '\0';
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ebb-model-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(uri, sizeof(uri), "sqlite:%s/state.db", dir);
	if (test_n_ends == 0)
		test_at_end(clean_up, NULL);
}

static void start(void)
{
	CHECK_INT(store_open(uri, NULL, &store), 0);
	CHECK_INT(model_new(store, &model), 0);
	CHECK_INT(store_start(store), 0);
	sound(model);
}

static char *cpus_of(struct host *host, const char *name)
{
	struct cpu_list cpus;
	char *text;

	CHECK_INT(cpumap_cpus(host->cpumap, name, &cpus), 0);
	text = cpu_list_format(&cpus);
	cpu_list_clear(&cpus);
	return text;
}

TEST(restart_continues)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct structure *s;
	struct host *host;

	set_up();
	start();
	model_lock(model);
	host = register_host(model, "h0");
	s = add(model, host, "web", 150, 1024);
	CHECK_INT(model_guard(model, s, true, NULL), 0);
	apply_all(model);
	CHECK_INT(model_set_boundary(model, s, EBB_MEM, 20, NULL), 0);
	add(model, host, "other", 50, 512);
	before = cpus_of(host, "web");
	model_unlock(model);
	stop();

	start();
	model_lock(model);
	s = model_structure(model, "web");
	CHECK(s && s->guard && s->guard_state && !s->automatic && !s->live);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(s->resources[EBB_MEM].allocated, 1024);
	CHECK_INT(s->resources[EBB_MEM].boundary, 20);
	CHECK(model_structure(model, "other")->automatic);
	host = model_host(model, "h0");
	CHECK(host && !host->connected);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_MEM], 7168);
	CHECK(s->host == host);
	/* The agent, which never stopped, registers again. */
	CHECK(register_host(model, "h0") == host);
	CHECK(add(model, host, "web", 150, 1024) == s);
	model_host_registered(model, host);
	CHECK_INT(s->apply, 0);
	CHECK_INT(host->free[EBB_CPU], 250);
	after = cpus_of(host, "web");
	CHECK_STR(after, before);
	/* It was never touched, and is gone. */
	CHECK(!model_structure(model, "other"));
	model_unlock(model);
	sound(model);
	stop();

	start();
	CHECK(!model_structure(model, "other"));
	CHECK(model_structure(model, "web"));
}

TEST(restart_takes_what_is_physically_in_force)
{
	struct structure *a, *b, *c;
	struct host *host;

	set_up();
	start();
	model_lock(model);
	host = register_host(model, "h0");
	a = add(model, host, "a", 100, 512);
	b = add(model, host, "b", 100, 512);
	c = add(model, host, "c", 100, 512);
	CHECK_INT(model_set_parameter(model, a, EBB_CPU, "max", 400, NULL), 0);
	CHECK_INT(model_set_parameter(model, b, EBB_CPU, "max", 400, NULL), 0);
	CHECK_INT(model_guard(model, a, true, NULL), 0);
	CHECK_INT(model_guard(model, b, true, NULL), 0);
	CHECK_INT(model_guard(model, c, true, NULL), 0);
	apply_all(model);
	model_unlock(model);
	stop();

	start();
	model_lock(model);
	host = register_host(model, "h0");
	/* An order whose answer the controller did not live to see; a limit taken off; more than
	 * there is. */
	a = add(model, host, "a", 180, 512);
	c = add(model, host, "c", -1, 512);
	b = add(model, host, "b", 300, 512);
	model_host_registered(model, host);
	CHECK_INT(a->resources[EBB_CPU].current, 180);
	CHECK_INT(a->resources[EBB_CPU].allocated, 180);
	CHECK_INT(a->apply, 0);
	CHECK_INT(c->resources[EBB_CPU].current, 100);
	CHECK_INT(c->apply, 1u << EBB_CPU);
	CHECK_INT(b->resources[EBB_CPU].current, 120);
	CHECK_INT(b->apply, 1u << EBB_CPU);
	CHECK_INT(host->free[EBB_CPU], 0);
	model_unlock(model);
	sound(model);
}

TEST(edited_rules_and_services_stay)
{
	_cleanup_json_ json_t *rule = NULL, *service = NULL;

	set_up();
	start();
	model_lock(model);
	rule = json_deep_copy(json_object_get(model->rules, "CpuRescaleUp"));
	json_object_set_new(rule, "amount", json_integer(11));
	CHECK_INT(model_set_rule(model, rule, NULL), 0);
	service = json_deep_copy(json_object_get(model->services, "scaler"));
	json_object_set_new(json_object_get(service, "config"), "PIN_CORES", json_false());
	CHECK_INT(model_set_service(model, service, NULL), 0);
	model_unlock(model);
	stop();

	start();
	CHECK_INT(json_integer_value(
			  json_object_get(json_object_get(model->rules, "CpuRescaleUp"), "amount")),
		  11);
	CHECK(!model->scaler.pin_cores);
	CHECK(model->guardian.active);
}

static void put(enum store_db db, const char *id, json_t *doc)
{
	CHECK_INT(store_put(store, db, id, doc), 0);
	json_decref(doc);
}

/* Documents as the original system's tools make them: accounted in the core map and in `free`. */
TEST(documents_of_the_original_system)
{
	struct host *host;
	struct structure *s;

	set_up();
	start();
	put(DB_STRUCTURES, "h0",
	    parse("{'type':'structure','subtype':'host','name':'h0','host':'h0',"
		  "'resources':{'cpu':{'max':400,'free':250,'core_usage_mapping':{"
		  "'0':{'c0':100,'free':0},'1':{'c0':50,'gone':50,'free':0},'2':{'free':100},"
		  "'3':{'free':100}}},'mem':{'max':8192,'free':6144}}}"));
	put(DB_STRUCTURES, "c0",
	    parse("{'type':'structure','subtype':'container','name':'c0','guard':true,"
		  "'host':'h0','resources':{'cpu':{'max':200,'current':150,'min':20,'guard':true},"
		  "'mem':{'max':4096,'current':2048,'min':512,'guard':true}}}"));
	put(DB_LIMITS, "c0",
	    parse("{'type':'limit','name':'c0','resources':{'cpu':{'boundary':10,"
		  "'boundary_type':'percentage_of_max'},'mem':{'boundary':300}}}"));
	put(DB_STRUCTURES, "bad",
	    parse("{'subtype':'container','name':'bad','resources':{'cpu':{'max':1,'min':2}}}"));
	stop();

	start();
	host = model_host(model, "h0");
	s = model_structure(model, "c0");
	CHECK(host && s && s->host == host);
	CHECK_INT(s->resources[EBB_CPU].allocated, 150);
	CHECK_INT(s->resources[EBB_MEM].allocated, 2048);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(host->free[EBB_MEM], 6144);
	CHECK_INT(cpumap_owned(host->cpumap, "gone"), 0);
	/* Limits that cannot be are none; the container is there all the same. */
	CHECK(!s->resources[EBB_MEM].has_boundary);
	CHECK(!model_structure(model, "bad"));
}

TEST(container_whose_host_has_no_document)
{
	struct structure *s;
	struct host *host;

	set_up();
	start();
	put(DB_STRUCTURES, "c0",
	    parse("{'subtype':'container','name':'c0','host':'h0','guard':true,'resources':{"
		  "'cpu':{'max':400,'min':20,'guard':true,'current':150,'allocated':150}}}"));
	stop();
	start();
	model_lock(model);
	s = model_structure(model, "c0");
	CHECK(s && !s->host);
	host = register_host(model, "h0");
	CHECK(add(model, host, "c0", -1, -1) == s);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(host->free[EBB_CPU], 250);
	CHECK_INT(s->apply, 1u << EBB_CPU);
	model_unlock(model);
	sound(model);
}

/* Of one change, the host's document and the container's may be written in different batches, and a
 * crash may come between them. */
TEST(documents_that_disagree)
{
	unsigned seed = (unsigned)test_seed(1);

	for (int round = 0; round < 20; round++) {
		struct host *host;

		set_up();
		start();
		for (int c = 0; c < 6; c++) {
			char name[16];

			snprintf(name, sizeof(name), "c%d", c);
			put(DB_STRUCTURES, name,
			    parse("{'subtype':'container','name':'%s','host':'h0','guard':true,"
				  "'resources':{'cpu':{'max':400,'min':1,'guard':true,"
				  "'current':%d,'allocated':%d},'mem':{'max':8192,'min':1,"
				  "'guard':true,'current':%d,'allocated':%d}}}",
				  name, rand_r(&seed) % 200, rand_r(&seed) % 200,
				  rand_r(&seed) % 3000, rand_r(&seed) % 3000));
		}
		put(DB_STRUCTURES, "h0",
		    parse("{'subtype':'host','name':'h0','resources':{'cpu':{'max':400,'free':17,"
			  "'core_usage_mapping':{'0':{'c0':%d,'free':3},'1':{'c1':%d,'c2':40},"
			  "'2':{'c9':70,'c3':10},'3':{'c4':'x'}}},'mem':{'max':8192,"
			  "'free':99999}}}",
			  rand_r(&seed) % 101, rand_r(&seed) % 101));
		stop();
		start();
		host = model_host(model, "h0");
		CHECK(host->free[EBB_CPU] >= 0 && host->free[EBB_MEM] >= 0);
		for (struct structure *s = host->containers; s; s = s->host_next)
			for (int i = 0; i < EBB_DISK_READ; i++)
				CHECK(s->resources[i].allocated == 0 ||
				      s->resources[i].current <= s->resources[i].allocated);
		model_lock(model);
		register_host(model, "h0");
		for (int c = 0; c < 6; c++) {
			char name[16];

			snprintf(name, sizeof(name), "c%d", c);
			if (rand_r(&seed) % 4)
				add(model, host, name, rand_r(&seed) % 300 + 1,
				    rand_r(&seed) % 3000 + 64);
		}
		model_host_registered(model, host);
		model_unlock(model);
		sound(model);
		clean_up(NULL);
	}
}

/* What was flushed is there after kill -9, and the accounting adds up, whatever else was lost. */
static void change_until_killed(int fd, unsigned seed)
{
	struct host *host;

	if (store_open(uri, NULL, &store) < 0 || model_new(store, &model) < 0 ||
	    store_start(store) < 0)
		_exit(1);
	model_lock(model);
	host = register_host(model, "h0");
	model_unlock(model);
	for (int i = 0;; i++) {
		char name[16];
		struct structure *s;

		snprintf(name, sizeof(name), "c%d", rand_r(&seed) % 20);
		model_lock(model);
		s = model_structure(model, name);
		if (!s) {
			s = add(model, host, name, 1 + rand_r(&seed) % 60,
				64 + rand_r(&seed) % 400);
			(void)model_guard(model, s, true, NULL);
		} else if (rand_r(&seed) % 4 == 0) {
			if (rand_r(&seed) % 2)
				model_container_gone(model, s);
			else
				model_remove(model, s);
		} else {
			(void)model_set_parameter(model, s, EBB_CPU, "max", 20 + rand_r(&seed) % 60,
						  NULL);
		}
		apply_waiting(model);
		model_unlock(model);
		if (i % 50 == 0 && (store_flush(store) < 0 || write(fd, &i, sizeof(i)) < 0))
			_exit(1);
	}
}

TEST(accounting_survives_kill_at_any_moment)
{
	unsigned seed = (unsigned)test_seed(1);
	int fds[2], i, status, rounds_with_writes = 0;

	set_up();
	log_set_level(LOG_LEVEL_ERROR);
	for (int round = 0; round < 20; round++) {
		struct timespec delay = {.tv_nsec = 1000L * (rand_r(&seed) % 60000)};
		pid_t child;

		CHECK_INT(pipe(fds), 0);
		child = fork();
		CHECK(child >= 0);
		if (child == 0) {
			close(fds[0]);
			change_until_killed(fds[1], seed + (unsigned)round);
		}
		close(fds[1]);
		nanosleep(&delay, NULL);
		kill(child, SIGKILL);
		rounds_with_writes += read(fds[0], &i, sizeof(i)) == sizeof(i);
		close(fds[0]);
		CHECK_INT(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		start();
		stop();
	}
	printf("# %d of 20 rounds got to write\n", rounds_with_writes);
	CHECK(rounds_with_writes > 0);
}

TEST_MAIN()
