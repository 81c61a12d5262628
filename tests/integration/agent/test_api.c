/* SPDX-License-Identifier: Apache-2.0 */
/* A container whose limits cannot be read is no container that has gone: what is told to have gone
 * is forgotten by the controller. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "container.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/log.h"
#include "ebb/units.h"

static char dir[] = "/tmp/ebb-test-api-XXXXXX";
static struct hierarchies hierarchies;
static struct host host;
static struct metrics_source metrics;
static struct container_table *table;
static struct loop *loop;
static struct http_client *client;
static struct api *api;

static struct {
	long status;
	char body[2048];
} answer;

static void put_file(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	if (!text)
		return;
	FILE *f = fopen(path, "we");
	CHECK(f);
	fputs(text, f);
	CHECK_INT(fclose(f), 0);
}

static void tear_down(void *unused)
{
	struct container *container = container_table_remove(table, 7);

	http_client_free(client);
	api_free(api);
	if (container)
		container_free(container);
	container_table_free(table);
	loop_free(loop);
	put_file("cgroup.procs", NULL);
	put_file("memory.limit_in_bytes", NULL);
	rmdir(dir);
}

/* A container "a" that has nothing but a v1 memory directory, of plain files. */
static void set_up(void)
{
	struct container *container;

	log_set_level(LOG_LEVEL_ERROR);
	CHECK(mkdtemp(dir));
	for (int c = 0; c < CGROUP_CONTROLLER_MAX; c++)
		hierarchies.by_controller[c].version = 1;
	CHECK_INT(container_table_new(&table), 0);
	test_at_end(tear_down, NULL);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(http_client_new(loop, &client), 0);
	CHECK_INT(container_new(7, "a", "x/a", "cgroup", &container), 0);
	container->dir_fds[CGROUP_MEMORY] = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(container_table_add(table, container), 0);
	metrics.table = table;
	CHECK_INT(api_new(
			  &(struct api_options){
				  .loop = loop,
				  .listen = "127.0.0.1:0",
				  .hierarchies = &hierarchies,
				  .host = &host,
				  .table = table,
				  .metrics = &metrics,
			  },
			  &api),
		  0);
	put_file("cgroup.procs", "");
	put_file("memory.limit_in_bytes", "104857600\n");
}

static void on_answer(void *userdata, const struct http_response *response)
{
	answer.status = response->status;
	snprintf(answer.body, sizeof(answer.body), "%.*s", (int)response->body_len, response->body);
	loop_stop(loop);
}

static long get(const char *path)
{
	char address[128];
	struct http_request_options request = {.method = "GET", .address = address, .path = path};

	snprintf(address, sizeof(address), "http://%s", api_address(api));
	CHECK_INT(http_client_send(client, &request, on_answer, NULL), 0);
	CHECK_INT(loop_run(loop), 0);
	return answer.status;
}

TEST(a_container_that_cannot_be_read_has_not_gone)
{
	set_up();
	CHECK_INT(get("/container/a"), 200);
	CHECK(strstr(answer.body, "100"));

	put_file("memory.limit_in_bytes", "junk\n");
	CHECK_INT(get("/container/a"), 500);
	CHECK(strstr(answer.body, "cannot be read: Invalid argument"));
	CHECK_INT(get("/container/resources/a?mem"), 500);
	CHECK_INT(get("/container/"), 200);
	CHECK(!strstr(answer.body, "\"a\""));

	put_file("memory.limit_in_bytes", NULL);
	put_file("cgroup.procs", NULL);
	CHECK_INT(get("/container/a"), 404);
	CHECK_INT(get("/container/b"), 404);
}

TEST_MAIN()
