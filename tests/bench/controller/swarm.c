/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays many hosts with many containers each against a real controller over HTTP: registers them,
 * sends one sample of each container a second, carries out the orders that come back, and reads the
 * API beside it. Tells how long decisions took: from the moment a host's batch leaves until an
 * order that follows from it arrives.
 *	swarm --controller HOST:PORT [--hosts N] [--containers N] [--seconds S]
 *	      [--reads PER_SECOND] [--settle S] [--dwell S] [--guard] [--seed N]
 * Containers use 10 to 120 shares, another amount every --dwell seconds or so. --guard guards all
 * of them first, by the API; --settle: so long their limits have to settle before it measures. A
 * controller that is started anew meanwhile gets its hosts back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"

#define HOST_CORES   128
#define HOST_MEM     (1LL << 40)
#define START_LIMIT  60
#define START_MIB    344 /* what 280 MiB in use are given */
#define SAMPLES_KEPT (1 << 22)

struct buffer {
	char *data;
	size_t len, room, at; /* sent, or parsed, up to `at` */
};

struct container {
	int64_t cpu_limit, mem_limit; /* shares, MiB */
	char cpus[48];
	uint64_t cpu_ns, periods, throttled_periods, throttled_ns;
	double demand;      /* shares */
	uint64_t next_ns;   /* when it wants another amount */
	uint64_t posted_ns; /* when the batch with its newest sample left */
	bool changed;       /* limits to be told */
};

/* All connections are of one of these kinds; `data.ptr` of the epoll event. */
enum kind { HOST_FEED, LISTENER, ORDERS, READER };
struct connection {
	enum kind kind;
	int fd;
	bool busy;
	struct buffer out, in;
	struct vhost *host;
	uint64_t began_ns;
	size_t pending; /* READER: requests under way */
};

struct vhost {
	struct connection feed;
	unsigned number;
	bool registered;
	unsigned long seq;
	long guard_version;
	struct container *containers;
	uint64_t sampled_ns;
};

struct latencies {
	float *ms;
	size_t n;
};

struct swarm {
	struct sockaddr_in controller;
	char controller_name[64];
	unsigned n_hosts, n_containers, seed;
	double seconds, settle, dwell, reads;
	bool guard;
	int epoll, port;
	struct connection listener;
	struct vhost *hosts;
	struct connection *readers;
	unsigned n_readers;
	unsigned registered;
	unsigned long lost;
	uint64_t lost_ns; /* the first of them; 0: all are there */
	unsigned long messages, late, refused, orders, reads_done, reads_failed;
	struct latencies decisions, reading, answers;
	bool measuring;
};

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* --- buffers --- */

static void reserve(struct buffer *buffer, size_t more)
{
	if (buffer->len + more <= buffer->room)
		return;
	buffer->room = MAX(2 * buffer->room, buffer->len + more);
	buffer->data = realloc(buffer->data, buffer->room);
	if (!buffer->data)
		die("out of memory");
}

static void put(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void put(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	int n;

	reserve(buffer, 512);
	va_start(args, format);
	n = vsnprintf(buffer->data + buffer->len, buffer->room - buffer->len, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= 512)
		die("a piece of text is too long");
	buffer->len += (size_t)n;
}

/* Drops what has been dealt with. */
static void compact(struct buffer *buffer)
{
	memmove(buffer->data, buffer->data + buffer->at, buffer->len - buffer->at);
	buffer->len -= buffer->at;
	buffer->at = 0;
}

/* --- latencies --- */

static void keep(struct latencies *latencies, double ms)
{
	if (!latencies->ms)
		latencies->ms = malloc(SAMPLES_KEPT * sizeof(*latencies->ms));
	if (latencies->ms && latencies->n < SAMPLES_KEPT)
		latencies->ms[latencies->n++] = (float)ms;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void tell(const char *what, struct latencies *latencies)
{
	size_t n = latencies->n;

	if (!n) {
		printf("%s: none\n", what);
		return;
	}
	qsort(latencies->ms, n, sizeof(float), by_value);
	printf("%s: %zu, p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms\n", what, n,
	       (double)latencies->ms[n / 2], (double)latencies->ms[n * 99 / 100],
	       (double)latencies->ms[n * 999 / 1000], (double)latencies->ms[n - 1]);
}

/* --- connections --- */

static void watch(struct swarm *swarm, struct connection *connection, bool writable)
{
	struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u),
				    .data.ptr = connection};

	if (epoll_ctl(swarm->epoll, EPOLL_CTL_MOD, connection->fd, &event) < 0 &&
	    epoll_ctl(swarm->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
		die("epoll: %s", strerror(errno));
}

static bool try_to_connect(struct swarm *swarm, struct connection *connection)
{
	int one = 1, r;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		die("cannot make a socket: %s", strerror(errno));
	if (connect(connection->fd, (struct sockaddr *)&swarm->controller,
		    sizeof(swarm->controller)) < 0) {
		r = errno;
		close(connection->fd);
		connection->fd = -1;
		errno = r;
		return false;
	}
	fcntl(connection->fd, F_SETFL, O_NONBLOCK);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(swarm, connection, false);
	return true;
}

static void connect_to(struct swarm *swarm, struct connection *connection)
{
	if (!try_to_connect(swarm, connection))
		die("cannot connect to %s: %s", swarm->controller_name, strerror(errno));
}

/* The controller is stopped, or started anew: when it is back its hosts register again. */
static void lose(struct swarm *swarm, struct connection *connection)
{
	if (!swarm->measuring)
		die("the controller closed a connection");
	swarm->lost++;
	if (!swarm->lost_ns)
		swarm->lost_ns = now_ns();
	close(connection->fd);
	connection->fd = -1;
	connection->busy = false;
	connection->in.at = connection->in.len = 0;
	connection->out.at = connection->out.len = 0;
	if (connection->kind == HOST_FEED && connection->host->registered) {
		connection->host->registered = false;
		swarm->registered--;
	}
}

static bool is_there(struct swarm *swarm, struct connection *connection)
{
	return connection->fd >= 0 || try_to_connect(swarm, connection);
}

static void flush(struct swarm *swarm, struct connection *connection)
{
	struct buffer *out = &connection->out;

	while (out->at < out->len) {
		ssize_t n =
			send(connection->fd, out->data + out->at, out->len - out->at, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			watch(swarm, connection, true);
			return;
		}
		if (n < 0) {
			lose(swarm, connection);
			return;
		}
		out->at += (size_t)n;
	}
	out->at = out->len = 0;
}

/* True: the connection is at its end. */
static bool fill(struct connection *connection)
{
	for (;;) {
		ssize_t n;

		reserve(&connection->in, 16384);
		n = recv(connection->fd, connection->in.data + connection->in.len, 16384, 0);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0)
			return true;
		connection->in.len += (size_t)n;
		if (n < 16384)
			return false;
	}
}

/* One whole message from `in` (a request or an answer): its head, and body. NULL: not yet. */
static char *message(struct buffer *in, char **ret_body, size_t *ret_len)
{
	char *head = in->data + in->at, *end, *field;
	size_t have = in->len - in->at, length = 0;

	end = have ? memmem(head, have, "\r\n\r\n", 4) : NULL;
	if (!end)
		return NULL;
	end += 4;
	field = memmem(head, (size_t)(end - head), "Content-Length: ", 16);
	if (!field)
		field = memmem(head, (size_t)(end - head), "content-length: ", 16);
	if (field)
		length = strtoul(field + 16, NULL, 10);
	if (have < (size_t)(end - head) + length)
		return NULL;
	*ret_body = end;
	*ret_len = length;
	in->at += (size_t)(end - head) + length;
	return head;
}

/* --- hosts --- */

static void put_head(struct swarm *swarm, struct connection *connection, size_t *ret_length_at)
{
	put(&connection->out,
	    "POST /feed HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: ",
	    swarm->controller_name);
	*ret_length_at = connection->out.len;
	put(&connection->out, "%10d\r\n\r\n", 0);
}

static void end_body(struct connection *connection, size_t length_at)
{
	char text[16];
	size_t body = length_at + 14;

	snprintf(text, sizeof(text), "%010zu", connection->out.len - body);
	memcpy(connection->out.data + length_at, text, 10);
}

static void put_limits(struct buffer *out, const struct container *container)
{
	put(out, "\"cpu\":%lld,\"cpus\":\"%s\",\"mem\":%lld", (long long)container->cpu_limit,
	    container->cpus, (long long)container->mem_limit);
}

static void put_register(struct swarm *swarm, struct vhost *host)
{
	struct buffer *out = &host->feed.out;

	put(out,
	    "\"register\":{\"version\":\"swarm\",\"address\":\"http://127.1.%u.%u:%d\","
	    "\"period_ms\":1000,\"cpus\":[",
	    host->number / 250, 1 + host->number % 250, swarm->port);
	for (int i = 0; i < HOST_CORES; i++)
		put(out, "%s%d", i ? "," : "", i);
	put(out, "],\"mem\":%lld,\"topology\":{\"0\":{", HOST_MEM);
	for (int i = 0; i < HOST_CORES; i++)
		put(out, "%s\"%d\":[%d]", i ? "," : "", i, i);
	put(out, "}},\"kernel\":\"6\",\"cgroup\":\"v1\",\"sampler\":\"held\"},\"added\":[");
	for (unsigned i = 0; i < swarm->n_containers; i++) {
		put(out, "%s{\"c\":%u,\"name\":\"h%u-c%u\",\"engine\":\"swarm\",\"path\":\"c%u\",",
		    i ? "," : "", i, host->number, i, i);
		put(out, "\"limits\":{");
		put_limits(out, &host->containers[i]);
		put(out, "}}");
	}
	put(out, "],");
}

static double random_share(struct swarm *swarm)
{
	return (double)rand_r(&swarm->seed) / RAND_MAX;
}

/* What it used since the last sample. */
static void use(struct swarm *swarm, struct container *container, double seconds, uint64_t now)
{
	static const double demands[] = {10, 30, 50, 80, 120};
	double limit = container->cpu_limit > 0 ? (double)container->cpu_limit : 1e9, used;

	if (now >= container->next_ns) {
		container->demand = demands[rand_r(&swarm->seed) % ARRAY_SIZE(demands)];
		container->next_ns =
			now + (uint64_t)(swarm->dwell * (0.5 + random_share(swarm)) * 1e9);
	}
	used = fmin(container->demand * (0.97 + 0.06 * random_share(swarm)), limit);
	container->cpu_ns += (uint64_t)(used / 100 * seconds * 1e9);
	container->periods += (uint64_t)(seconds * 10);
	if (used >= limit) {
		container->throttled_periods += (uint64_t)(seconds * 10);
		container->throttled_ns +=
			(uint64_t)((container->demand - limit) / 100 * seconds * 1e9);
	}
}

static void send_batch(struct swarm *swarm, struct vhost *host)
{
	uint64_t now = now_ns();
	double seconds = host->sampled_ns ? (double)(now - host->sampled_ns) / 1e9 : 1;
	struct buffer *out = &host->feed.out;
	bool registering = !host->registered, first = true;
	size_t length_at;

	put_head(swarm, &host->feed, &length_at);
	put(out,
	    "{\"host\":\"h%u\",\"session\":\"%08x%08x\",\"seq\":%lu,\"guard_version\":%ld,"
	    "\"now\":%llu,",
	    host->number, host->number, swarm->n_hosts, ++host->seq, host->guard_version,
	    (unsigned long long)now);
	if (registering)
		put_register(swarm, host);
	put(out, "\"limits\":[");
	for (unsigned i = 0; i < swarm->n_containers && !registering; i++) {
		if (!host->containers[i].changed)
			continue;
		host->containers[i].changed = false;
		put(out, "%s{\"c\":%u,", first ? "" : ",", i);
		put_limits(out, &host->containers[i]);
		put(out, "}");
		first = false;
	}
	put(out, "],\"samples\":[");
	for (unsigned i = 0; i < swarm->n_containers; i++) {
		struct container *container = &host->containers[i];

		use(swarm, container, seconds, now);
		container->posted_ns = now;
		put(out, "%s[%u,%llu,%llu,%llu,%llu,%llu,%lld,%lld,0,0,0,0,0]", i ? "," : "", i,
		    (unsigned long long)now, (unsigned long long)container->cpu_ns,
		    (unsigned long long)container->periods,
		    (unsigned long long)container->throttled_periods,
		    (unsigned long long)container->throttled_ns, 300LL << 20, 280LL << 20);
	}
	put(out, "]}");
	end_body(&host->feed, length_at);
	host->sampled_ns = now;
	host->feed.busy = true;
	host->feed.began_ns = now;
	swarm->messages++;
	flush(swarm, &host->feed);
}

static void feed_answered(struct swarm *swarm, struct vhost *host)
{
	size_t length;
	char *body, *head = message(&host->feed.in, &body, &length), *version;
	long status;

	if (!head)
		return;
	status = strtol(head + 9, NULL, 10);
	host->feed.busy = false;
	if (swarm->measuring)
		keep(&swarm->answers, (double)(now_ns() - host->feed.began_ns) / 1e6);
	if (status == 200 && !host->registered) {
		host->registered = true;
		swarm->registered++;
		if (swarm->lost_ns && swarm->registered == swarm->n_hosts) {
			printf("all hosts registered again %.1f s after the controller was lost\n",
			       (double)(now_ns() - swarm->lost_ns) / 1e9);
			swarm->lost_ns = 0;
		}
	} else if (status != 200) {
		if (!swarm->refused++)
			fprintf(stderr, "feed of h%u: %.*s\n", host->number, (int)MIN(length, 300u),
				body);
		if (status == 409 && host->registered) {
			host->registered = false;
			swarm->registered--;
		}
	}
	version = memmem(body, length, "\"guard_version\":", 16);
	if (version)
		host->guard_version = strtol(version + 16, NULL, 10);
	compact(&host->feed.in);
}

/* --- orders --- */

static void new_orders(struct swarm *swarm)
{
	for (;;) {
		int fd = accept4(swarm->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct connection *connection;

		if (fd < 0)
			return;
		connection = calloc(1, sizeof(*connection));
		if (!connection)
			die("out of memory");
		connection->kind = ORDERS;
		connection->fd = fd;
		watch(swarm, connection, false);
	}
}

static int64_t wanted(const json_t *body, const char *resource, const char *key, int64_t before)
{
	const json_t *value = json_object_get(json_object_get(body, resource), key);

	return json_is_string(value)    ? strtoll(json_string_value(value), NULL, 10)
	       : json_is_integer(value) ? json_integer_value(value)
					: before;
}

static void take_order(struct swarm *swarm, struct connection *connection, const char *head,
		       const char *body, size_t length)
{
	unsigned host = 0, number = 0;
	struct container *container;
	_cleanup_json_ json_t *json = json_loadb(body, length, 0, NULL);
	const char *cpus;
	char answer[512];
	int n;

	if (!json || sscanf(head, "PUT /container/h%u-c%u ", &host, &number) != 2 ||
	    host >= swarm->n_hosts || number >= swarm->n_containers) {
		put(&connection->out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
		return;
	}
	container = &swarm->hosts[host].containers[number];
	container->cpu_limit = wanted(json, "cpu", "cpu_allowance_limit", container->cpu_limit);
	container->mem_limit = wanted(json, "mem", "mem_limit", container->mem_limit);
	cpus = json_string_value(json_object_get(json_object_get(json, "cpu"), "cpu_num"));
	if (cpus)
		snprintf(container->cpus, sizeof(container->cpus), "%s", cpus);
	container->changed = true;
	swarm->orders++;
	if (swarm->measuring)
		keep(&swarm->decisions, (double)(now_ns() - container->posted_ns) / 1e6);
	n = snprintf(answer, sizeof(answer),
		     "{\"cpu\":{\"cpu_allowance_limit\":%lld,\"cpu_num\":\"%s\"},"
		     "\"mem\":{\"mem_limit\":%lld,\"unit\":\"M\"}}",
		     (long long)container->cpu_limit, container->cpus,
		     (long long)container->mem_limit);
	put(&connection->out,
	    "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nEbb-Applied-Ns: "
	    "%llu\r\nContent-Length: %d\r\n\r\n",
	    (unsigned long long)now_ns(), n);
	put(&connection->out, "%s", answer);
}

static void orders_readable(struct swarm *swarm, struct connection *connection)
{
	bool end = fill(connection);
	char *head, *body;
	size_t length;

	while ((head = message(&connection->in, &body, &length)))
		take_order(swarm, connection, head, body, length);
	compact(&connection->in);
	if (end) {
		close(connection->fd);
		free(connection->in.data);
		free(connection->out.data);
		free(connection);
		return;
	}
	flush(swarm, connection);
}

/* --- reads --- */

static void ask(struct swarm *swarm, struct connection *reader)
{
	unsigned host = (unsigned)rand_r(&swarm->seed) % swarm->n_hosts;
	unsigned number = (unsigned)rand_r(&swarm->seed) % swarm->n_containers;

	put(&reader->out, "GET /structure/h%u-c%u HTTP/1.1\r\nHost: %s\r\n\r\n", host, number,
	    swarm->controller_name);
	reader->busy = true;
	reader->began_ns = now_ns();
	flush(swarm, reader);
}

static void read_answered(struct swarm *swarm, struct connection *reader)
{
	size_t length;
	char *body, *head = message(&reader->in, &body, &length);

	if (!head)
		return;
	reader->busy = false;
	if (strtol(head + 9, NULL, 10) == 200)
		swarm->reads_done++;
	else
		swarm->reads_failed++;
	if (swarm->measuring)
		keep(&swarm->reading, (double)(now_ns() - reader->began_ns) / 1e6);
	compact(&reader->in);
}

/* --- the loop --- */

static void dispatch(struct swarm *swarm, struct epoll_event *event)
{
	struct connection *connection = event->data.ptr;

	if (connection->kind == LISTENER) {
		new_orders(swarm);
		return;
	}
	if (event->events & EPOLLOUT) {
		watch(swarm, connection, false);
		flush(swarm, connection);
	}
	if (!(event->events & ~(uint32_t)EPOLLOUT) || connection->fd < 0)
		return;
	if (connection->kind == ORDERS) {
		orders_readable(swarm, connection);
		return;
	}
	if (fill(connection)) {
		lose(swarm, connection);
		return;
	}
	if (connection->kind == HOST_FEED)
		feed_answered(swarm, connection->host);
	else
		read_answered(swarm, connection);
}

static void wait_events(struct swarm *swarm, int ms)
{
	struct epoll_event events[256];
	int n = epoll_wait(swarm->epoll, events, ARRAY_SIZE(events), ms);

	for (int i = 0; i < n; i++)
		dispatch(swarm, &events[i]);
}

/* Each host once a second, one after the other, and --reads spread likewise. */
static void play(struct swarm *swarm, double seconds)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9), now;
	uint64_t batches = 0, asked = 0;
	unsigned reader = 0;

	while ((now = now_ns()) < end) {
		double elapsed = (double)(now - start) / 1e9;

		while (batches < (uint64_t)(elapsed * swarm->n_hosts)) {
			struct vhost *host = &swarm->hosts[batches++ % swarm->n_hosts];

			if (host->feed.busy)
				swarm->late++;
			else if (is_there(swarm, &host->feed))
				send_batch(swarm, host);
		}
		for (unsigned i = 0;
		     i < swarm->n_readers && asked < (uint64_t)(elapsed * swarm->reads); i++) {
			struct connection *connection =
				&swarm->readers[reader++ % swarm->n_readers];

			if (connection->busy || !is_there(swarm, connection))
				continue;
			ask(swarm, connection);
			asked++;
		}
		wait_events(swarm, 1);
	}
}

/* Not faster than they are answered: some at a time. */
static void enlist(struct swarm *swarm)
{
	unsigned begun = 0;

	while (swarm->registered < swarm->n_hosts) {
		while (begun < swarm->n_hosts && begun < swarm->registered + 8)
			send_batch(swarm, &swarm->hosts[begun++]);
		wait_events(swarm, 100);
		if (swarm->refused)
			die("a registration was refused");
	}
}

static void guard_all(struct swarm *swarm)
{
	unsigned long total = (unsigned long)swarm->n_hosts * swarm->n_containers, next = 0;
	uint64_t start = now_ns(), beat = start;
	unsigned long batches = 0;

	swarm->reads_done = swarm->reads_failed = 0;
	while (swarm->reads_done + swarm->reads_failed < total) {
		for (unsigned i = 0; i < swarm->n_readers && next < total; i++) {
			struct connection *connection = &swarm->readers[i];

			if (connection->busy)
				continue;
			put(&connection->out,
			    "PUT /structure/h%lu-c%lu/guard HTTP/1.1\r\nHost: %s\r\n"
			    "Content-Length: 0\r\n\r\n",
			    next / swarm->n_containers, next % swarm->n_containers,
			    swarm->controller_name);
			next++;
			connection->busy = true;
			flush(swarm, connection);
		}
		/* A host that is silent for 5 s is taken for lost. */
		while (batches <
		       (unsigned long)((double)(now_ns() - beat) / 1e9 * swarm->n_hosts / 2)) {
			struct vhost *host = &swarm->hosts[batches++ % swarm->n_hosts];

			if (!host->feed.busy)
				send_batch(swarm, host);
		}
		wait_events(swarm, 1);
	}
	printf("guarded %lu containers in %.1f s by %lu changes over HTTP, %lu refused\n", total,
	       (double)(now_ns() - start) / 1e9, total, swarm->reads_failed);
	swarm->reads_done = swarm->reads_failed = 0;
}

static void open_all(struct swarm *swarm)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
	socklen_t size = sizeof(any);

	swarm->epoll = epoll_create1(EPOLL_CLOEXEC);
	swarm->listener.kind = LISTENER;
	swarm->listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* Each host has an address of its own, all of them of the loopback interface. */
	if (swarm->listener.fd < 0 ||
	    setsockopt(swarm->listener.fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0 ||
	    bind(swarm->listener.fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(swarm->listener.fd, 1024) < 0 ||
	    getsockname(swarm->listener.fd, (struct sockaddr *)&any, &size) < 0)
		die("cannot listen: %s", strerror(errno));
	swarm->port = ntohs(any.sin_port);
	watch(swarm, &swarm->listener, false);
	swarm->hosts = calloc(swarm->n_hosts, sizeof(*swarm->hosts));
	swarm->readers = calloc(swarm->n_readers, sizeof(*swarm->readers));
	if (!swarm->hosts || !swarm->readers)
		die("out of memory");
	for (unsigned i = 0; i < swarm->n_hosts; i++) {
		struct vhost *host = &swarm->hosts[i];

		host->number = i;
		host->feed.kind = HOST_FEED;
		host->feed.host = host;
		host->containers = calloc(swarm->n_containers, sizeof(*host->containers));
		if (!host->containers)
			die("out of memory");
		for (unsigned c = 0; c < swarm->n_containers; c++) {
			host->containers[c].cpu_limit = START_LIMIT;
			host->containers[c].mem_limit = START_MIB;
			snprintf(host->containers[c].cpus, sizeof(host->containers[c].cpus), "0-%d",
				 HOST_CORES - 1);
		}
		connect_to(swarm, &host->feed);
	}
	for (unsigned i = 0; i < swarm->n_readers; i++) {
		swarm->readers[i].kind = READER;
		connect_to(swarm, &swarm->readers[i]);
	}
}

static void parse_address(struct swarm *swarm, const char *text)
{
	char host[40];
	unsigned port;

	if (sscanf(text, "%39[0-9.]:%u", host, &port) != 2 || port > 65535 ||
	    inet_pton(AF_INET, host, &swarm->controller.sin_addr) != 1)
		die("--controller takes ADDRESS:PORT, such as 127.0.0.1:5000, not '%s'", text);
	swarm->controller.sin_family = AF_INET;
	swarm->controller.sin_port = htons((uint16_t)port);
	snprintf(swarm->controller_name, sizeof(swarm->controller_name), "%s", text);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"controller", required_argument, NULL, 'c'},
		{"hosts", required_argument, NULL, 'h'},
		{"containers", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'},
		{"reads", required_argument, NULL, 'r'},
		{"settle", required_argument, NULL, 't'},
		{"dwell", required_argument, NULL, 'd'},
		{"guard", no_argument, NULL, 'g'},
		{"seed", required_argument, NULL, 'S'},
		{0},
	};
	struct swarm swarm = {.n_hosts = 10,
			      .n_containers = 100,
			      .seconds = 20,
			      .settle = 15,
			      .dwell = 60,
			      .seed = 1,
			      .n_readers = 32};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c': parse_address(&swarm, optarg); break;
		case 'h': swarm.n_hosts = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'n': swarm.n_containers = (unsigned)strtoul(optarg, NULL, 10); break;
		case 's': swarm.seconds = strtod(optarg, NULL); break;
		case 'r': swarm.reads = strtod(optarg, NULL); break;
		case 't': swarm.settle = strtod(optarg, NULL); break;
		case 'd': swarm.dwell = strtod(optarg, NULL); break;
		case 'g': swarm.guard = true; break;
		case 'S': swarm.seed = (unsigned)strtoul(optarg, NULL, 10); break;
		default: return 2;
		}
	}
	if (!swarm.controller.sin_port || !swarm.n_hosts || !swarm.n_containers)
		die("usage: swarm --controller HOST:PORT [--hosts N] [--containers N] [--seconds S] "
		    "[--reads PER_SECOND] [--settle S] [--dwell S] [--guard] [--seed N]");
	open_all(&swarm);
	enlist(&swarm);
	printf("registered %u hosts with %u containers each\n", swarm.n_hosts, swarm.n_containers);
	if (swarm.guard)
		guard_all(&swarm);
	/* Limits settle after the guarding of all at once. */
	play(&swarm, swarm.settle);
	fprintf(stderr, "measuring\n");
	swarm.measuring = true;
	swarm.messages = swarm.late = swarm.orders = swarm.reads_done = 0;
	play(&swarm, swarm.seconds);
	printf("%.1f messages/s with %u samples each, %lu late, %lu refused\n",
	       (double)swarm.messages / swarm.seconds, swarm.n_containers, swarm.late,
	       swarm.refused);
	printf("%.1f orders/s, %.1f reads/s (%lu failed)\n", (double)swarm.orders / swarm.seconds,
	       (double)swarm.reads_done / swarm.seconds, swarm.reads_failed);
	if (swarm.lost)
		printf("%lu connections lost\n", swarm.lost);
	tell("decision, from a batch to its order", &swarm.decisions);
	tell("answer to a batch", &swarm.answers);
	tell("read", &swarm.reading);
	return swarm.refused || swarm.reads_failed ? 1 : 0;
}
