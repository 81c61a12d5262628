/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_limit.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/loop.h"

/* Orders of one container that may wait for another: a controller sends one at a time. */
#define QUEUE_MAX 16

/* What an order keeps to itself while its memory comes down. */
#define MEMORY_KINDS \
	(1U << LIMIT_MEM | 1U << LIMIT_MEM_HIGH | 1U << LIMIT_MEM_MIN | 1U << LIMIT_MEM_RECLAIM)

struct job {
	struct applier *applier;
	struct job *next; /* in the order of arrival, those of all containers in one list */
	uint64_t id;      /* of the container: it may go while memory is reclaimed */
	struct limit_order order;
	struct limits before;
	struct limit_step steps[LIMIT_KIND_MAX];
	size_t n_steps, at;
	bool started, undoing;
	bool shrinking;     /* waits for the shrinker */
	int leaving;        /* of applier_leave(), why: it is undone; 0: it goes on */
	unsigned overtaken; /* 1 << enum limit_kind: written by a newer order meanwhile */
	struct apply_result result;
	apply_done_fn done;
	void *userdata;
	/* Of applier_leave(), called after the last job of the container; NULL: nobody waits. */
	applier_left_fn left;
	void *left_userdata;
};

struct applier {
	struct applier_options options;
	bool closing;
	struct job *first;
	struct applier_stats stats;
};

const char *apply_state_text(enum apply_state state)
{
	switch (state) {
	case APPLY_NOT_ASKED: return "not asked";
	case APPLY_EQUAL: return "unchanged";
	case APPLY_NOT_TRIED: return "not tried";
	case APPLY_WRITTEN: return "written";
	case APPLY_FAILED: return "failed";
	case APPLY_PUT_BACK: return "put back";
	case APPLY_NOT_PUT_BACK: return "could not be put back";
	case APPLY_REPLACED: return "replaced by a newer order";
	}
	return "unknown";
}

int applier_new(const struct applier_options *options, struct applier **ret_applier)
{
	struct applier *applier = calloc(1, sizeof(*applier));

	if (!applier)
		return -ENOMEM;
	applier->options = *options;
	*ret_applier = applier;
	return 0;
}

static void job_unlink(struct job *job)
{
	struct job **link = &job->applier->first;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
}

void applier_close(struct applier *applier)
{
	applier->closing = true;
}

void applier_free(struct applier *applier)
{
	if (!applier)
		return;
	while (applier->first) {
		struct job *job = applier->first;

		job_unlink(job);
		job->result.error = -ESHUTDOWN;
		job->done(job->userdata, &job->result);
		free(job);
	}
	free(applier);
}

static void job_start(struct job *job);
static void job_run(struct job *job);

/* The value that a step writes: what was asked, or what was there before. */
static uint64_t step_value(const struct job *job, enum limit_kind kind)
{
	return job->undoing ? limits_value(&job->before, kind) : job->order.value[kind];
}

/* By weight, a quota is written as the weight. */
static unsigned with_same_file(const struct applier *applier, unsigned kinds)
{
	unsigned weight = 1U << LIMIT_QUOTA | 1U << LIMIT_WEIGHT;

	return applier->options.hierarchies->cpu_by_weight && kinds & weight ? kinds | weight
									     : kinds;
}

/*
 * These limits, and those whose orders must not pass theirs: a quota takes the burst down with it,
 * and a burst is refused for what the quota is.
 */
static unsigned with_related(const struct applier *applier, unsigned kinds)
{
	unsigned cpu = 1U << LIMIT_QUOTA | 1U << LIMIT_BURST;

	return with_same_file(applier, kinds & cpu ? kinds | cpu : kinds);
}

/*
 * Is an order for one of the same limits of that container ahead of it? Others need not wait: a
 * memory limit may take seconds to come down, and the CPU limit must be free to rise meanwhile,
 * also when the order that lowers the memory has written the CPU limit before.
 */
static bool job_must_wait(const struct job *job)
{
	for (const struct job *ahead = job->applier->first; ahead != job; ahead = ahead->next) {
		unsigned busy = ahead->shrinking ? MEMORY_KINDS : ahead->order.asked;

		if (ahead->id == job->id && with_related(job->applier, busy) & job->order.asked)
			return true;
	}
	return false;
}

/* The limits that hold by this job, implied ones too: what it has set and not put back. */
static unsigned kinds_set(const struct job *job)
{
	unsigned kinds = 0;

	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		enum apply_state state = job->result.states[kind];

		if (state == APPLY_WRITTEN || state == APPLY_NOT_PUT_BACK)
			kinds |= 1U << kind;
	}
	return with_same_file(job->applier, kinds);
}

/*
 * What holds by this job, or was so already, those that it has passed by must not put back later.
 * What it has not come to, or has put back itself, is still theirs.
 */
static void overtake(const struct job *job)
{
	unsigned holds = kinds_set(job);

	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
		if (job->result.states[kind] == APPLY_EQUAL)
			holds |= 1U << kind;
	holds = with_same_file(job->applier, holds);
	for (struct job *ahead = job->applier->first; ahead != job; ahead = ahead->next) {
		if (ahead->id == job->id && ahead->started)
			ahead->overtaken |= holds;
	}
}

/* Memory that is to grow does not wait until it has been lowered. */
static void stop_lowering(struct job *job)
{
	struct applier *applier = job->applier;

	if (!(job->order.asked & 1U << LIMIT_MEM))
		return;
	for (struct job *ahead = applier->first; ahead != job; ahead = ahead->next) {
		if (ahead->id == job->id && ahead->shrinking &&
		    job->order.value[LIMIT_MEM] > step_value(ahead, LIMIT_MEM))
			shrinker_cancel(applier->options.shrinker, job->id);
	}
}

static struct job *find_job(const struct applier *applier, uint64_t id)
{
	struct job *job = applier->first;

	while (job && job->id != id)
		job = job->next;
	return job;
}

/* From the beginning each time: a job that starts may end at once, and others with it. */
static void start_waiting(struct applier *applier, uint64_t id)
{
	struct job *job;

	do {
		for (job = applier->first; job; job = job->next)
			if (job->id == id && !job->started && !applier->closing &&
			    !job_must_wait(job))
				break;
		if (job)
			job_start(job);
	} while (job);
}

/* Answers, and lets the next orders of the same container begin. */
static void job_finish(struct job *job, int error)
{
	uint64_t id = job->id;
	struct applier *applier = job->applier;
	struct container *container = container_table_by_id(applier->options.table, job->id);
	bool wrote = false;

	overtake(job);
	job_unlink(job);
	job->result.error = error;
	job->result.gone = !container || job->leaving == -ECANCELED;
	job->result.applied_ns = now_ns();
	/* A removed cgroup answers ENODEV, and so does blkio to a disk that it does not know. */
	if (container && (error == -ENODEV || error == -ENOENT)) {
		struct limits limits;

		job->result.gone =
			limits_read(applier->options.hierarchies, container, 0, &limits) < 0;
	}
	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
		wrote = wrote || job->result.states[kind] >= APPLY_WRITTEN;
	if (wrote && container && applier->options.changed)
		applier->options.changed(applier->options.userdata, container,
					 kinds_set(job) & ~job->overtaken);
	job->done(job->userdata, &job->result);

	applier_left_fn left = job->left;
	void *left_userdata = job->left_userdata;
	struct job *other = left ? find_job(applier, id) : NULL;
	if (other) {
		other->left = left;
		other->left_userdata = left_userdata;
		left = NULL;
	}
	free(job);
	start_waiting(applier, id);
	if (left)
		left(left_userdata, id);
}

/* Turns the job round after a failed step: back over what was written, last first. */
static void job_undo(struct job *job)
{
	struct limit_step written[LIMIT_KIND_MAX];
	size_t n = 0;

	for (size_t i = job->at; i-- > 0;) {
		written[n] = job->steps[i];
		written[n].lowers = !written[n].lowers;
		n++;
	}
	memcpy(job->steps, written, sizeof(written));
	job->n_steps = n;
	job->at = 0;
	job->undoing = true;
}

/* Takes note of a step's end. False: go on with an undo that job_undo() has prepared. */
static void step_ended(struct job *job, int error)
{
	enum limit_kind kind = job->steps[job->at].kind;
	struct apply_result *result = &job->result;

	if (error == 0) {
		job->applier->stats.writes++;
		result->states[kind] = job->undoing ? APPLY_PUT_BACK : APPLY_WRITTEN;
		job->at++;
		return;
	}

	struct container *container = container_table_by_id(job->applier->options.table, job->id);
	bool meant = error == -ECANCELED || error == -ESHUTDOWN;
	result->errors[kind] = error;
	job->applier->stats.errors += !meant;
	if (!meant)
		log_warning_errno(error, "%s: %s %s",
				  container ? container->name : "(container gone)",
				  limit_kind_key(kind),
				  job->undoing ? "cannot be put back" : "cannot be set");
	if (job->undoing) {
		result->states[kind] = APPLY_NOT_PUT_BACK;
		job->at++;
		return;
	}
	result->states[kind] = APPLY_FAILED;
	result->failed = kind;
	job_undo(job);
}

static void set_shrinking(struct job *job, bool shrinking)
{
	const struct applier_options *options = &job->applier->options;
	struct container *container = container_table_by_id(options->table, job->id);

	job->shrinking = shrinking;
	if (container && options->changing)
		options->changing(options->userdata, container, shrinking);
}

static void shrink_ended(void *userdata, const struct shrink_result *shrunk)
{
	struct job *job = userdata;
	struct apply_result *result = &job->result;
	enum limit_kind kind = job->steps[job->at].kind;
	int error = shrunk->error;

	set_shrinking(job, false);
	for (size_t i = 0; i < shrunk->steps.n; i++)
		shrink_steps_add(&result->mem_steps, &shrunk->steps.steps[i]);
	if (error == -ECANCELED && (job->applier->closing || job->leaving))
		error = job->applier->closing ? -ESHUTDOWN : job->leaving;
	if (error == 0 && kind == LIMIT_MEM_RECLAIM)
		result->mem_reclaimed = shrunk->applied;
	if (error == 0 && !job->undoing && kind == LIMIT_MEM && shrunk->floor > shrunk->asked) {
		result->mem_floored = true;
		result->mem_asked = shrunk->asked;
		result->mem_applied = shrunk->applied;
		job->applier->stats.floored++;
	}
	step_ended(job, error);
	job_run(job);
}

static uint64_t working_set_of(const struct job *job, const struct container *container)
{
	const struct sampler *sampler = job->applier->options.sampler;
	struct ebb_sample sample;

	if (!sampler || container->slot < 0 || !sampler_read(sampler, container->slot, &sample) ||
	    sample.id != container->id)
		return 0;
	if (sample.valid & EBB_VALID_WORKING_SET)
		return sample.mem_working_set;
	return sample.valid & EBB_VALID_MEM ? sample.mem_charged : 0;
}

/* -EINPROGRESS: shrink_ended() goes on. */
static int step_write(struct job *job, struct container *container, const struct limit_step *step)
{
	const struct applier_options *options = &job->applier->options;
	const struct hierarchies *hierarchies = options->hierarchies;
	uint64_t value = step_value(job, step->kind);
	int r = -EINVAL;

	switch (step->kind) {
	case LIMIT_CPUS:
		return limits_write_cpus(hierarchies, container,
					 job->undoing ? job->before.cpu.cpus : job->order.cpus);
	case LIMIT_QUOTA:
		return job->undoing ? limits_restore_cpu(hierarchies, container, &job->before.cpu)
				    : limits_write_quota(hierarchies, container, value);
	case LIMIT_BURST:
	case LIMIT_WEIGHT:
	case LIMIT_MEM_MIN: return limits_write_value(hierarchies, container, step->kind, value);
	case LIMIT_MEM:
		if (!step->lowers)
			return limits_write_mem(hierarchies, container, value);
		r = shrinker_submit(options->shrinker, container, value,
				    working_set_of(job, container), shrink_ended, job);
		break;
	case LIMIT_MEM_HIGH:
		if (!step->lowers)
			return limits_write_value(hierarchies, container, step->kind, value);
		r = shrinker_submit_high(options->shrinker, container, value, shrink_ended, job);
		break;
	case LIMIT_MEM_RECLAIM:
		/* The last step, and so never one to put back. */
		r = shrinker_submit_reclaim(options->shrinker, container, value, shrink_ended, job);
		break;
	case LIMIT_DISK_READ:
	case LIMIT_DISK_WRITE:
		return limits_write_disk(hierarchies, container, options->disk,
					 step->kind == LIMIT_DISK_WRITE, value);
	case LIMIT_READ_IOPS:
	case LIMIT_WRITE_IOPS:
		return limits_write_iops(hierarchies, container, options->disk,
					 step->kind == LIMIT_WRITE_IOPS, value);
	case LIMIT_NET: return net_limit_write(options->net, container, value);
	case LIMIT_KIND_MAX: return -EINVAL;
	}
	if (r < 0)
		return r;
	set_shrinking(job, true);
	return -EINPROGRESS;
}

static void job_run(struct job *job)
{
	while (job->at < job->n_steps) {
		struct container *container =
			container_table_by_id(job->applier->options.table, job->id);
		if (!container) {
			job_finish(job, -ENODEV);
			return;
		}

		if (job->leaving && !job->undoing) {
			step_ended(job, job->leaving);
			continue;
		}

		enum limit_kind kind = job->steps[job->at].kind;
		if (job->undoing && job->overtaken & 1U << kind) {
			job->result.states[kind] = APPLY_REPLACED;
			job->at++;
			continue;
		}

		if (!job->undoing && job->applier->options.writing)
			job->applier->options.writing(job->applier->options.userdata, container,
						      kind, &job->before);
		int r = step_write(job, container, &job->steps[job->at]);
		if (r == -EINPROGRESS)
			return;
		step_ended(job, r);
	}
	job_finish(job, job->undoing ? job->result.errors[job->result.failed] : 0);
}

static void job_start(struct job *job)
{
	const struct applier_options *options = &job->applier->options;
	struct container *container = container_table_by_id(options->table, job->id);
	struct apply_result *result = &job->result;
	int r;

	job->started = true;
	r = container ? limits_read(options->hierarchies, container, options->disk, &job->before)
		      : -ENODEV;
	if (r == 0)
		r = limits_read_more(options->hierarchies, container, &job->before);
	/* It costs more than all the others: only for who asks. */
	if (r == 0 && job->order.asked & 1U << LIMIT_NET)
		net_limit_read(options->net, container, &job->before);
	if (r < 0) {
		job_finish(job, r);
		return;
	}
	r = limit_order_supported(&job->order, &job->before, options->disk, result->message,
				  sizeof(result->message));
	if (r < 0) {
		job_finish(job, r);
		return;
	}

	limit_order_complete(&job->order, &job->before);
	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
		result->states[kind] =
			job->order.asked & 1U << kind ? APPLY_EQUAL : APPLY_NOT_ASKED;
	job->n_steps = limit_order_plan(&job->order, &job->before, job->steps);
	for (size_t i = 0; i < job->n_steps; i++)
		result->states[job->steps[i].kind] = APPLY_NOT_TRIED;
	job_run(job);
}

int applier_submit(struct applier *applier, const struct container *container,
		   const struct limit_order *order, apply_done_fn done, void *userdata)
{
	struct job **link = &applier->first;
	size_t ahead = 0;

	if (applier->closing)
		return -ESHUTDOWN;
	for (; *link; link = &(*link)->next)
		ahead += (*link)->id == container->id;
	if (ahead >= QUEUE_MAX)
		return -EBUSY;

	struct job *job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	*job = (struct job){
		.applier = applier,
		.id = container->id,
		.order = *order,
		.done = done,
		.userdata = userdata,
	};
	*link = job;
	applier->stats.orders++;
	stop_lowering(job);
	if (!job_must_wait(job))
		job_start(job);
	return 0;
}

/* Those of the container that have not begun: they never will. */
static void refuse_waiting(struct applier *applier, uint64_t id, int why)
{
	struct job *refused = NULL, **end = &refused;

	for (struct job **link = &applier->first; *link;) {
		struct job *job = *link;

		if (job->id != id || job->started) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		job->next = NULL;
		*end = job;
		end = &job->next;
	}
	while (refused) {
		struct job *job = refused;

		refused = job->next;
		job->result.error = why;
		job->result.gone = why == -ECANCELED;
		job->done(job->userdata, &job->result);
		free(job);
	}
}

void applier_leave(struct applier *applier, uint64_t container_id, int why, applier_left_fn left,
		   void *userdata)
{
	struct job *job;

	refuse_waiting(applier, container_id, why);
	for (job = applier->first; job; job = job->next) {
		if (job->id != container_id)
			continue;
		job->leaving = why;
		/* What is being put back goes on. */
		if (job->shrinking && !job->undoing)
			shrinker_cancel(applier->options.shrinker, container_id);
	}
	job = find_job(applier, container_id);
	if (!job) {
		left(userdata, container_id);
		return;
	}
	job->left = left;
	job->left_userdata = userdata;
}

bool applier_is_busy(const struct applier *applier, uint64_t container_id, unsigned kinds)
{
	if (applier->closing)
		return true;
	for (const struct job *job = applier->first; job; job = job->next) {
		unsigned busy = job->order.asked | (job->shrinking ? MEMORY_KINDS : 0);

		if (job->id == container_id && with_related(applier, busy) & kinds)
			return true;
	}
	return false;
}

void applier_get_stats(const struct applier *applier, struct applier_stats *ret_stats)
{
	*ret_stats = applier->stats;
}
