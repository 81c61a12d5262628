/* SPDX-License-Identifier: Apache-2.0 */
#include "executor.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "order_queue.h"
#include "ebb/cleanup.h"
#include "ebb/http_client.h"
#include "ebb/json_text.h"
#include "ebb/log.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"

#define TIMEOUT_MS   2000
#define DRAIN_NS     (5 * EBB_NS_PER_SEC)
#define RESPONSE_MAX (1u << 20)

/*
 * Under way at a time. curl takes 20 KiB for each and walks through all of them when one ends: with
 * 5,000 that was half of the controller's time. An agent applies some thousand limits a second,
 * and lowers memory on one thread.
 */
static const struct order_queue_limits limits = {.all = 512, .quick = 16, .slow = 8};

/* From another thread to the loop's: an order, or a function to be called by time. */
struct job {
	struct order_place place; /* first: a job is found by it */
	struct job *next, **link; /* in the queue, then in the list of those under way */
	struct executor *executor;
	struct order order; /* without its body */
	char *body;         /* as text, a tenth of it: many wait at a time; NULL: a GET */
	void (*every)(void *userdata);
	void *userdata;
	uint64_t interval_ns;
};

struct executor {
	struct loop *loop;
	struct http_client *client;
	struct identity *identity;
	order_done_fn done;
	void *userdata;
	struct executor_fence fence;
	pthread_t thread;
	bool has_thread;
	int wake; /* eventfd */

	pthread_mutex_t lock; /* the queue's */
	struct job *queue, **queue_end;
	bool stopping;

	/* The loop's thread. */
	struct order_queue *orders;
	struct job *under_way;
	struct job *timers;
	bool draining;
};

static void job_free(struct job *job)
{
	free(job->order.address);
	free(job->order.container);
	json_decref(job->order.body);
	free(job->body);
	free(job);
}

static void unlink_job(struct job *job)
{
	*job->link = job->next;
	if (job->next)
		job->next->link = job->link;
}

static void link_job(struct job **list, struct job *job)
{
	job->next = *list;
	job->link = list;
	if (*list)
		(*list)->link = &job->next;
	*list = job;
}

static void finish(struct job *job, const struct order_result *result)
{
	const struct order *order = &job->order;

	if (order->done)
		order->done(order->done_userdata, order->userdata, result);
	else
		job->executor->done(job->executor->userdata, order->userdata, result);
	job_free(job);
}

static void fail(struct job *job, long status, const char *why)
{
	struct order_result result = {.status = status};

	snprintf(result.error, sizeof(result.error), "%s", why);
	finish(job, &result);
}

/* What the agent said, as one line: {"error","message"}, or a dictionary of errors by resource. */
static void explain(const struct http_response *response, const json_t *body, char *text,
		    size_t size)
{
	const char *message = json_string_value(json_object_get(body, "message"));

	if (!response->status)
		snprintf(text, size, "no answer: %s", response->error);
	else if (message)
		snprintf(text, size, "it answered %ld: %s", response->status, message);
	else
		snprintf(text, size, "it answered %ld: %.*s", response->status,
			 (int)MIN(response->body_len, (size_t)160),
			 response->body ? response->body : "");
}

/* A refusal for the term of the order tells the one that the agent has seen. */
static void heed_term(struct executor *executor, const json_t *body)
{
	json_int_t term = json_integer_value(json_object_get(body, "term"));

	if (term > 0 && executor->fence.outdated)
		executor->fence.outdated(executor->fence.userdata, (uint64_t)term);
}

static void withdraw(struct executor *executor, const struct job *silent)
{
	struct order_place *place;

	while ((place = order_queue_withdraw(executor->orders, &silent->place)))
		fail((struct job *)place, ORDER_NOT_SENT,
		     "the agent did not answer the order before: it was not sent");
}

static void end_job(struct executor *executor, struct job *job)
{
	unlink_job(job);
	order_queue_done(executor->orders, &job->place);
}

static void send_orders(struct executor *executor);

static void answered(void *userdata, const struct http_response *response)
{
	struct job *job = userdata;
	struct executor *executor = job->executor;
	_cleanup_json_ json_t *body = NULL;
	const char *applied;
	struct order_result result = {
		.status = response->status,
		.seconds = response->seconds,
	};

	if (response->body)
		body = json_loadb(response->body, response->body_len, 0, NULL);
	/* An agent answers 201; 200 is as good from a proxy before a Container Scaler. */
	if ((response->status == 201 || response->status == 200) && json_is_object(body)) {
		result.ok = true;
		result.resources = body;
		applied = http_response_header(response, "Ebb-Applied-Ns");
		if (applied && parse_u64(applied, &result.applied_ns) < 0)
			result.applied_ns = 0;
	} else {
		explain(response, body, result.error, sizeof(result.error));
		result.grown = json_is_true(json_object_get(body, "grown"));
		if (response->status == 409)
			heed_term(executor, body);
	}
	/* Each of those that wait for it would be given up after as long a time. */
	if (!response->status)
		withdraw(executor, job);
	end_job(executor, job);
	finish(job, &result);
	send_orders(executor);
}

static void send_order(struct executor *executor, struct job *job)
{
	const struct order *order = &job->order;
	bool changes = job->body != NULL;
	_cleanup_free_ char *escaped = order->container ? http_escape(order->container) : NULL;
	_cleanup_free_ char *path = NULL;
	struct http_request_options options = {
		.method = changes ? "PUT" : "GET",
		.address = job->order.address,
		.body = job->body,
		.body_len = job->body ? strlen(job->body) : 0,
		.identity = executor->identity,
		.without_token = order->without_token,
		.timeout_ms = order->timeout_ms ? order->timeout_ms : TIMEOUT_MS,
		.response_max = RESPONSE_MAX,
	};
	char term_header[48], accounts_header[48], grown_header[48];
	const char *headers[4] = {NULL};
	size_t n_headers = 0;
	uint64_t term = 0;
	int r;

	link_job(&executor->under_way, job);
	if (changes && executor->fence.may_send &&
	    !executor->fence.may_send(executor->fence.userdata, &term)) {
		end_job(executor, job);
		fail(job, ORDER_NOT_SENT, "not the leader: the order was not sent");
		return;
	}
	if (term) {
		snprintf(term_header, sizeof(term_header), "Ebb-Term: %" PRIu64, term);
		headers[n_headers++] = term_header;
	}
	if (changes && order->has_knowledge) {
		snprintf(accounts_header, sizeof(accounts_header), "Ebb-Accounts: %" PRIu64,
			 order->accounts);
		snprintf(grown_header, sizeof(grown_header), "Ebb-Grown: %" PRIu64, order->grown);
		headers[n_headers++] = accounts_header;
		headers[n_headers++] = grown_header;
	}
	options.headers = n_headers ? headers : NULL;
	/* Without a flag nothing of all containers is read. */
	if (order->container && escaped && asprintf(&path, "/container/%s", escaped) < 0)
		path = NULL;
	else if (!order->container)
		path = strdup("/container/resources/");
	if (!path) {
		end_job(executor, job);
		fail(job, 0, "the order could not be written down: no memory");
		return;
	}
	options.path = path;
	r = http_client_send(executor->client, &options, answered, job);
	if (r < 0) {
		char why[256];

		snprintf(why, sizeof(why), "the order could not be sent: %s", strerror(-r));
		end_job(executor, job);
		fail(job, 0, why);
	}
}

static void send_orders(struct executor *executor)
{
	struct order_place *place;

	while ((place = order_queue_next(executor->orders)))
		send_order(executor, (struct job *)place);
	if (executor->draining && !executor->under_way)
		loop_stop(executor->loop);
}

static void queue_order(struct executor *executor, struct job *job)
{
	bool slow = job->order.timeout_ms > TIMEOUT_MS;

	if (order_queue_push(executor->orders, &job->place, job->order.address, slow) < 0)
		fail(job, ORDER_NOT_SENT, "the order could not be queued: no memory");
}

static void call_every(void *userdata)
{
	struct job *job = userdata;

	if (!job->executor->draining)
		job->every(job->userdata);
}

static void start_timer(struct executor *executor, struct job *job)
{
	int r;

	link_job(&executor->timers, job);
	r = loop_add_timer(executor->loop, job->interval_ns, job->interval_ns, call_every, job,
			   NULL);
	if (r < 0)
		log_error_errno(r, "Cannot set a timer");
}

static void drained(void *userdata)
{
	struct executor *executor = userdata;

	loop_stop(executor->loop);
}

static void woken(void *userdata, int fd, uint32_t events)
{
	struct executor *executor = userdata;
	struct job *queue;
	uint64_t count;
	bool stopping;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warning_errno(errno, "Cannot read an eventfd");
	pthread_mutex_lock(&executor->lock);
	queue = TAKE_PTR(executor->queue);
	executor->queue_end = &executor->queue;
	stopping = executor->stopping;
	pthread_mutex_unlock(&executor->lock);

	while (queue) {
		struct job *job = queue;

		queue = job->next;
		if (job->every)
			start_timer(executor, job);
		else
			queue_order(executor, job);
	}
	send_orders(executor);
	if (!stopping || executor->draining)
		return;
	executor->draining = true;
	if (!executor->under_way ||
	    loop_add_timer(executor->loop, DRAIN_NS, 0, drained, executor, NULL) < 0)
		loop_stop(executor->loop);
}

static void *run(void *userdata)
{
	struct executor *executor = userdata;
	int r = loop_run(executor->loop);

	if (r < 0)
		log_error_errno(r, "The executor's loop failed");
	return NULL;
}

static int enqueue(struct executor *executor, struct job *job)
{
	uint64_t one = 1;

	pthread_mutex_lock(&executor->lock);
	if (executor->stopping) {
		pthread_mutex_unlock(&executor->lock);
		return -ESHUTDOWN;
	}
	job->executor = executor;
	job->next = NULL;
	*executor->queue_end = job;
	executor->queue_end = &job->next;
	pthread_mutex_unlock(&executor->lock);
	/* Fails only when the counter is full: it is awake then. */
	(void)!write(executor->wake, &one, sizeof(one));
	return 0;
}

int executor_submit(struct executor *executor, struct order *order)
{
	struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	job->order = *order;
	if (order->body) {
		job->body = json_text(order->body, 0, NULL);
		job->order.body = NULL;
	}
	r = order->body && !job->body ? -ENOMEM : enqueue(executor, job);
	if (r < 0) {
		free(job->body);
		free(job);
		return r;
	}
	json_decref(order->body);
	*order = (struct order){0};
	return r;
}

static int submit_to_executor(void *userdata, struct order *order)
{
	return executor_submit(userdata, order);
}

struct order_sink executor_sink(struct executor *executor)
{
	return (struct order_sink){.submit = submit_to_executor, .userdata = executor};
}

int executor_every(struct executor *executor, double seconds, void (*fn)(void *userdata),
		   void *userdata)
{
	struct job *job;
	int r;

	if (!(seconds > 0))
		return -EINVAL;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	job->every = fn;
	job->userdata = userdata;
	job->interval_ns = (uint64_t)(seconds * (double)EBB_NS_PER_SEC);
	r = enqueue(executor, job);
	if (r < 0)
		free(job);
	return r;
}

int executor_new(struct identity *identity, order_done_fn done, void *userdata,
		 struct executor **ret_executor)
{
	struct executor *executor = calloc(1, sizeof(*executor));
	struct loop_source *source; /* goes with the loop */
	int r;

	if (!executor)
		return -ENOMEM;
	executor->done = done;
	executor->userdata = userdata;
	executor->identity = identity;
	executor->queue_end = &executor->queue;
	pthread_mutex_init(&executor->lock, NULL);
	executor->orders = order_queue_new(&limits);
	executor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = executor->wake < 0 ? -errno : !executor->orders ? -ENOMEM : 0;
	if (r >= 0)
		r = loop_new(&executor->loop);
	if (r >= 0)
		r = http_client_new(executor->loop, &executor->client);
	if (r >= 0)
		r = loop_add_fd(executor->loop, executor->wake, EPOLLIN, woken, executor, &source);
	if (r >= 0)
		r = -pthread_create(&executor->thread, NULL, run, executor);
	if (r < 0) {
		executor_free(executor);
		return r;
	}
	executor->has_thread = true;
	*ret_executor = executor;
	return 0;
}

void executor_set_fence(struct executor *executor, const struct executor_fence *fence)
{
	executor->fence = *fence;
}

void executor_free(struct executor *executor)
{
	struct order_place *waiting;
	uint64_t one = 1;

	if (!executor)
		return;
	if (executor->has_thread) {
		pthread_mutex_lock(&executor->lock);
		executor->stopping = true;
		pthread_mutex_unlock(&executor->lock);
		(void)!write(executor->wake, &one, sizeof(one));
		pthread_join(executor->thread, NULL);
	}
	while (executor->under_way) {
		struct job *job = executor->under_way;

		end_job(executor, job);
		fail(job, 0, "the controller is stopping");
	}
	while (executor->orders && (waiting = order_queue_next(executor->orders))) {
		struct job *job = (struct job *)waiting;

		order_queue_done(executor->orders, waiting);
		fail(job, ORDER_NOT_SENT, "the controller is stopping");
	}
	order_queue_free(executor->orders);
	while (executor->timers) {
		struct job *job = executor->timers;

		unlink_job(job);
		job_free(job);
	}
	if (executor->client)
		http_client_free(executor->client);
	if (executor->loop)
		loop_free(executor->loop);
	if (executor->wake >= 0)
		close(executor->wake);
	pthread_mutex_destroy(&executor->lock);
	free(executor);
}
