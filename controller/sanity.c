/* SPDX-License-Identifier: Apache-2.0 */
#include "sanity.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model_walk.h"
#include "sanity_checks.h"
#include "sanity_findings.h"
#include "series_clock.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"

#define SERVICE     "sanity_checker"
#define HEARTBEAT_S 10.0

struct sanity {
	struct model *model;
	struct scaler *scaler;
	struct timed *timed; /* NULL in tests */

	pthread_mutex_t lock; /* of these; never with the model's inside */
	pthread_cond_t done;
	struct sanity_findings *findings; /* of the last epoch; NULL: there was none yet */
	struct sanity_stats stats;
	unsigned long begun, ended; /* epochs, whatever became of them */
	unsigned long asked;        /* the number of one that somebody waits for */

	/* Of the thread that runs epochs. */
	struct series_clock clock;
	double beat;
};

const char *sanity_check_name(enum sanity_check check)
{
	static const char *const names[SANITY_CHECK_MAX] = {
		[SANITY_CORE_MAP] = "core_map",
		[SANITY_ACCOUNTING] = "accounting",
		[SANITY_RULE] = "rule",
		[SANITY_MEMBERSHIP] = "membership",
	};

	return (unsigned)check < SANITY_CHECK_MAX ? names[check] : "?";
}

/* --- an epoch --- */

struct epoch {
	struct sanity *sanity;
	struct sanity_findings *findings;
	struct sanity_config config;
	unsigned long repairs;
	double hold_s;
};

/* Lock held. True: something is to be ordered. */
static bool check_structure(struct epoch *epoch, struct structure *s)
{
	struct model *model = epoch->sanity->model;
	bool told = s->cores_put_back;

	switch (s->subtype) {
	case STRUCTURE_HOST: sanity_check_host(s->host, epoch->findings); return false;
	case STRUCTURE_CONTAINER:
		sanity_check_limits(s, epoch->findings);
		if (sanity_check_cores(model, s, epoch->findings)) {
			model_apply(model, s, EBB_CPU);
			epoch->repairs++;
			return true;
		}
		epoch->repairs += told;
		return false;
	default:
		sanity_check_limits(s, epoch->findings);
		sanity_check_members(s, epoch->findings);
		return false;
	}
}

static void check_structures(struct epoch *epoch, bool users)
{
	struct sanity *sanity = epoch->sanity;
	struct model_walk walk;

	(users ? model_walk_begin_users : model_walk_begin)(&walk, sanity->model);
	while (model_walk_piece(&walk)) {
		struct structure *s;
		bool repair = false;

		/* Another controller may lead by now. */
		while (sanity->model->leading && (s = model_walk_next(&walk)))
			repair |= check_structure(epoch, s);
		if (repair)
			scaler_run(sanity->scaler);
		if (!sanity->model->leading)
			walk.at = 0;
		model_walk_release(&walk);
	}
	epoch->hold_s = MAX(epoch->hold_s, walk.hold.longest_s);
}

static int check_rules(struct epoch *epoch)
{
	struct model_hold hold = {.model = epoch->sanity->model};
	struct sanity_rules rules;
	int r;

	model_hold_begin(&hold);
	r = sanity_rules_copy(epoch->sanity->model, &rules);
	model_hold_end(&hold);
	epoch->hold_s = MAX(epoch->hold_s, hold.longest_s);
	if (r < 0)
		return r;
	sanity_check_rules(&rules, epoch->findings);
	sanity_rules_clear(&rules);
	return 0;
}

static void tell(const char *message)
{
	log_warning("Sanity: %s", message);
}

static int run_epoch(struct sanity *sanity, const struct sanity_config *config, double now)
{
	struct epoch epoch = {.sanity = sanity, .config = *config};
	struct sanity_findings *before;
	uint64_t started = now_ns();
	int r;

	epoch.findings = sanity_findings_new();
	if (!epoch.findings)
		return -ENOMEM;
	check_structures(&epoch, false);
	check_structures(&epoch, true);
	r = check_rules(&epoch);
	if (r < 0) {
		sanity_findings_free(epoch.findings);
		return r;
	}

	pthread_mutex_lock(&sanity->lock);
	before = sanity->findings;
	sanity_findings_date(epoch.findings, before, now);
	sanity->findings = epoch.findings;
	sanity->stats.epochs++;
	sanity->stats.repairs += epoch.repairs;
	sanity->stats.at = now;
	sanity->stats.seconds = (double)(now_ns() - started) / EBB_NS_PER_SEC;
	sanity->stats.hold_s = MAX(sanity->stats.hold_s, epoch.hold_s);
	pthread_mutex_unlock(&sanity->lock);
	sanity_findings_free(before);

	/* Nobody but this thread changes what they are. */
	sanity_findings_each_new(sanity->findings, now, tell);
	if (config->debug)
		log_info("sanity_checker: %.1f ms, lock held %.3f ms at most",
			 sanity->stats.seconds * 1e3, epoch.hold_s * 1e3);
	if (sanity->model->store && config->databases)
		store_compact(sanity->model->store, config->databases);
	return 0;
}

int sanity_epoch(struct sanity *sanity, double now)
{
	struct sanity_config config;
	bool leading;
	int r = 0;

	model_lock(sanity->model);
	config = sanity->model->sanity;
	leading = sanity->model->leading;
	model_unlock(sanity->model);

	pthread_mutex_lock(&sanity->lock);
	sanity->begun++;
	pthread_mutex_unlock(&sanity->lock);
	if (leading)
		r = run_epoch(sanity, &config, now);
	pthread_mutex_lock(&sanity->lock);
	sanity->ended++;
	sanity->stats.failures += r < 0;
	pthread_cond_broadcast(&sanity->done);
	pthread_mutex_unlock(&sanity->lock);
	if (r < 0)
		log_warning("sanity_checker could not run: %s", strerror(-r));
	return r;
}

/* --- by time --- */

static double turn(void *userdata, double now)
{
	struct sanity *sanity = userdata;
	struct sanity_config config;
	bool leading, asked, due;
	double at;

	model_lock(sanity->model);
	config = sanity->model->sanity;
	leading = sanity->model->leading;
	if (leading && (now - sanity->beat >= HEARTBEAT_S || now < sanity->beat)) {
		sanity->beat = now;
		model_heartbeat_service(sanity->model, SERVICE, now);
	}
	model_unlock(sanity->model);

	pthread_mutex_lock(&sanity->lock);
	asked = sanity->asked > sanity->begun;
	sanity->stats.active = leading && config.active;
	pthread_mutex_unlock(&sanity->lock);
	due = series_clock_strikes(&sanity->clock, config.delay + config.polling_frequency, now,
				   &at) &&
	      leading && config.active;
	/* Also when it is not ACTIVE; who waits is not left waiting when another leads by now. */
	if (asked || due)
		(void)sanity_epoch(sanity, now);
	return sanity->clock.due;
}

int sanity_run_now(struct sanity *sanity, unsigned timeout_ms)
{
	uint64_t ns = now_ns() + timeout_ms * EBB_NS_PER_MS;
	struct timespec until = {.tv_sec = (time_t)(ns / EBB_NS_PER_SEC),
				 .tv_nsec = (long)(ns % EBB_NS_PER_SEC)};
	unsigned long epoch;
	int r = 0;

	pthread_mutex_lock(&sanity->lock);
	/* One that is under way may have passed by what is to be looked at. */
	epoch = sanity->asked = sanity->begun + 1;
	pthread_mutex_unlock(&sanity->lock);
	timed_wake(sanity->timed);
	pthread_mutex_lock(&sanity->lock);
	while (sanity->ended < epoch && r == 0)
		r = pthread_cond_timedwait(&sanity->done, &sanity->lock, &until);
	pthread_mutex_unlock(&sanity->lock);
	return r ? -ETIMEDOUT : 0;
}

/* --- life --- */

int sanity_new(struct model *model, struct scaler *scaler, struct timed *timed,
	       struct sanity **ret_sanity)
{
	struct sanity *sanity = calloc(1, sizeof(*sanity));
	pthread_condattr_t attr;
	int r;

	if (!sanity)
		return -ENOMEM;
	sanity->model = model;
	sanity->scaler = scaler;
	sanity->timed = timed;
	pthread_mutex_init(&sanity->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&sanity->done, &attr);
	pthread_condattr_destroy(&attr);
	r = timed ? timed_add(timed, turn, sanity) : 0;
	if (r < 0) {
		sanity_free(sanity);
		return r;
	}
	*ret_sanity = sanity;
	return 0;
}

void sanity_free(struct sanity *sanity)
{
	if (!sanity)
		return;
	sanity_findings_free(sanity->findings);
	pthread_cond_destroy(&sanity->done);
	pthread_mutex_destroy(&sanity->lock);
	free(sanity);
}

json_t *sanity_findings(struct sanity *sanity)
{
	json_t *list;

	pthread_mutex_lock(&sanity->lock);
	list = sanity->findings ? sanity_findings_to_json(sanity->findings) : json_array();
	pthread_mutex_unlock(&sanity->lock);
	return list;
}

void sanity_count(struct sanity *sanity, size_t ret_counts[SANITY_CHECK_MAX])
{
	pthread_mutex_lock(&sanity->lock);
	for (int i = 0; i < SANITY_CHECK_MAX; i++)
		ret_counts[i] = sanity->findings ? sanity_findings_count(sanity->findings, i) : 0;
	pthread_mutex_unlock(&sanity->lock);
}

void sanity_get_stats(struct sanity *sanity, struct sanity_stats *ret_stats)
{
	pthread_mutex_lock(&sanity->lock);
	*ret_stats = sanity->stats;
	pthread_mutex_unlock(&sanity->lock);
}
