/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a client waits for the API over one keep-alive connection on loopback, with 10,000
 * structures in the model and an SQLite state: for a change to be answered, which is when it is in
 * the model and queued for the state; and for a page of a collection, with 10,000 and 100,000.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/loop.h"

#define CALLS    5000
#define PAGE     100
#define PER_HOST 100

struct site {
	struct store *store;
	struct model *model;
	struct audit *audit;
	struct scaler *scaler;
	struct executor *executor;
	struct api api;
	struct http_route *routes;
	struct http_server *server;
	struct http_session *session;
	char address[128], path[64];
};

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static void add(struct model *model, const char *text)
{
	_cleanup_json_ json_t *doc = json_loads(text, 0, NULL);
	struct structure *structure;

	must(structure_from_json(doc, NULL, &structure, NULL), "structure");
	must(model_add(model, structure), "structure");
}

static void fill(struct model *model, unsigned n)
{
	char text[1024];

	for (unsigned i = 0; i < n; i++) {
		model_lock(model);
		if (i % PER_HOST == 0) {
			snprintf(text, sizeof(text),
				 "{\"subtype\":\"host\",\"name\":\"h%05u\",\"resources\":{\"cpu\":{"
				 "\"max\":12800},\"mem\":{\"max\":1048576}}}",
				 i / PER_HOST);
			add(model, text);
		}
		snprintf(text, sizeof(text),
			 "{\"subtype\":\"container\",\"name\":\"c%06u\",\"host\":\"h%05u\","
			 "\"resources\":{\"cpu\":{\"max\":400,\"min\":20,\"current\":100},"
			 "\"mem\":{\"max\":4096,\"min\":64,\"current\":512}}}",
			 i, i / PER_HOST);
		add(model, text);
		model_unlock(model);
	}
}

static void start(struct site *site, unsigned n)
{
	struct http_server_options options = {.listen = "127.0.0.1:0", .threads = 4};
	char uri[96];
	int fd;

	*site = (struct site){.path = "/tmp/ebb-bench-api.XXXXXX"};
	fd = mkstemp(site->path);
	must(fd, site->path);
	close(fd);
	unlink(site->path);
	snprintf(uri, sizeof(uri), "sqlite:%s", site->path);
	must(store_open(uri, NULL, &site->store), uri);
	must(model_new(site->store, &site->model), "model");
	must(store_start(site->store), "store");
	must(audit_new(NULL, 100, &site->audit), "audit");
	must(scaler_new(site->model, site->audit, &site->scaler), "scaler");
	must(executor_new(NULL, scaler_order_done, site->scaler, &site->executor), "executor");
	scaler_set_sink(site->scaler, executor_sink(site->executor));
	fill(site->model, n);
	must(store_flush(site->store), "store");
	site->api = (struct api){
		.model = site->model,
		.scaler = site->scaler,
		.audit = site->audit,
		.store = site->store,
	};
	must(api_routes(&site->routes, &options.n_routes), "routes");
	options.routes = site->routes;
	options.userdata = &site->api;
	must(http_server_new(&options, &site->server), "server");
	snprintf(site->address, sizeof(site->address), "http://%s",
		 http_server_address(site->server));
	must(http_session_new(&site->session), "session");
}

static void stop(struct site *site)
{
	static const char *const endings[] = {"", "-wal", "-shm", ".lock"};

	http_session_free(site->session);
	http_server_free(site->server);
	executor_free(site->executor);
	scaler_free(site->scaler);
	audit_free(site->audit);
	store_close(site->store);
	model_free(site->model);
	free(site->routes);
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		char path[96];

		snprintf(path, sizeof(path), "%s%s", site->path, endings[i]);
		unlink(path);
	}
}

/* Milliseconds until the answer was there. */
static double ask(struct site *site, const char *method, const char *path, const char *body)
{
	struct http_result result = {};
	uint64_t began = now_ns();
	double ms;

	must(http_session_call(site->session,
			       &(struct http_request_options){
				       .method = method,
				       .address = site->address,
				       .path = path,
				       .body = body,
				       .body_len = body ? strlen(body) : 0,
			       },
			       &result),
	     path);
	ms = (double)(now_ns() - began) / 1e6;
	if (result.status != 200) {
		fprintf(stderr, "%s %s: %ld %s\n", method, path, result.status, result.body);
		exit(1);
	}
	http_result_clear(&result);
	return ms;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const char *what, double *ms, size_t n)
{
	qsort(ms, n, sizeof(*ms), by_value);
	printf("%-58s p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", what, ms[n / 2], ms[n * 99 / 100],
	       ms[n - 1]);
}

static void changes(struct site *site, unsigned n, const char *format, const char *what,
		    unsigned least, unsigned most)
{
	static double ms[CALLS];

	for (size_t i = 0; i < CALLS; i++) {
		char path[128], body[64];

		/* Every name in turn, far apart. */
		snprintf(path, sizeof(path), format, (unsigned)(i * 7919 % n));
		snprintf(body, sizeof(body), "{\"value\":%u}",
			 (unsigned)(least + i % (most - least)));
		ms[i] = ask(site, "PUT", path, body);
	}
	tell(what, ms, CALLS);
}

static void pages(struct site *site, unsigned n)
{
	size_t n_pages = (n + n / PER_HOST + PAGE - 1) / PAGE, i = 0;
	_cleanup_free_ double *ms = calloc(n_pages, sizeof(*ms));
	char path[160] = "/structure/?limit=100", what[96];
	double sum = 0;

	while (*path && i < n_pages) {
		const char *link;

		sum += ms[i] = ask(site, "GET", path, NULL);
		i++;
		link = http_session_header(site->session, "Link");
		snprintf(path, sizeof(path), "%.*s", link ? (int)strcspn(link + 1, ">") : 0,
			 link ? link + 1 : "");
	}
	snprintf(what, sizeof(what), "GET a page of %d of %u structures", PAGE, n + n / PER_HOST);
	tell(what, ms, i);
	printf("%-58s %.2f s\n", "  all of its pages", sum / 1e3);
}

int main(void)
{
	struct site site;

	start(&site, 10000);
	printf("10,000 containers, %d calls each over one keep-alive connection\n", CALLS);
	changes(&site, 10000, "/structure/c%06u/resources/cpu/max",
		"PUT /structure/NAME/resources/cpu/max", 200, 400);
	changes(&site, 10000, "/structure/c%06u/limits/mem/boundary",
		"PUT /structure/NAME/limits/mem/boundary", 5, 50);
	changes(&site, 1, "/rule/CpuRescaleUp/amount", "PUT /rule/NAME/amount", 50, 150);
	changes(&site, 1, "/service/scaler/REQUEST_TIMEOUT", "PUT /service/NAME/KEY", 5, 60);
	pages(&site, 10000);
	stop(&site);
	start(&site, 100000);
	pages(&site, 100000);
	stop(&site);
	return 0;
}
