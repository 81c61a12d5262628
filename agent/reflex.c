/* SPDX-License-Identifier: Apache-2.0 */
#include "reflex.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

/* A lease of more would not be time-limited. */
#define TTL_MAX_MS 60000
/* Less is no step: a fifth of a core. */
#define STEP_LEAST 20
/* Two CFS periods without throttling: the last raise was enough. */
#define RELIEF_NS (200 * EBB_NS_PER_MS)
/* The kernel lets the group run within microseconds of the write; what was looked at before says
 * nothing. */
#define SETTLE_NS (4 * EBB_NS_PER_MS)
/* On a busy host the agent may wait so long for a CPU. */
#define BUSY_S     0.05
#define AHEAD_S    0.5
#define LOW_PART   50 /* of the limit: hardly any left */
#define GROW_PART  4
#define RATE_FADES 0.7

enum ebb_resource reflex_resource(enum reflex_resource resource)
{
	return resource == REFLEX_CPU ? EBB_CPU : EBB_MEM;
}

static bool get_count(const json_t *json, const char *key, json_int_t most, json_int_t *ret_count)
{
	const json_t *value = json_object_get(json, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > most)
		return false;
	*ret_count = json_integer_value(value);
	return true;
}

int reflex_lease_parse(const json_t *json, uint64_t asked_ns, uint64_t term,
		       struct reflex_lease *ret_lease)
{
	const char *cpus = json_string_value(json_object_get(json, "cpus"));
	struct reflex_lease lease = {.present = true};
	json_int_t number, ttl, cpu = 0, mem = 0;

	if (!get_count(json, "number", INT64_MAX, &number) ||
	    !get_count(json, "ttl_ms", TTL_MAX_MS, &ttl))
		return -EINVAL;
	if ((json_object_get(json, "cpu") && !get_count(json, "cpu", INT64_MAX / 2, &cpu)) ||
	    (json_object_get(json, "mem") && !get_count(json, "mem", INT64_MAX / 2, &mem)))
		return -EINVAL;
	if (cpus && strlen(cpus) >= sizeof(lease.cpus))
		return -EINVAL;
	lease.number = (uint64_t)number;
	lease.term = term;
	lease.until_ns = asked_ns + (uint64_t)ttl * EBB_NS_PER_MS;
	lease.pool[REFLEX_CPU] = cpu;
	lease.pool[REFLEX_MEM] = mem;
	if (cpus)
		memcpy(lease.cpus, cpus, strlen(cpus) + 1);
	*ret_lease = lease;
	return 0;
}

bool reflex_lease_holds(const struct reflex_lease *lease, uint64_t term, uint64_t now_ns)
{
	return lease->present && now_ns < lease->until_ns && lease->term >= term;
}

void reflex_raised(struct reflex_state *state, uint64_t now_ns)
{
	state->raised_ns = now_ns;
	state->raises++;
	state->seen_ns = 0;
}

int64_t reflex_cpu_wants(struct reflex_state *state, const struct ebb_sample *look, bool throttled)
{
	static const int percent[] = {50, 100, 200};
	int64_t shares, step;

	if (!(look->valid & EBB_VALID_BANDWIDTH) || look->quota_ns == EBB_UNLIMITED ||
	    !look->period_ns) {
		*state = (struct reflex_state){0};
		return 0;
	}
	/* Periods that ended throttled meanwhile: all there is where the moment is not known. */
	throttled |= state->counted && state->nr_throttled != look->nr_throttled;
	state->counted = true;
	state->nr_throttled = look->nr_throttled;
	if (state->raised_ns && look->at_ns < state->raised_ns + SETTLE_NS)
		return 0;
	if (!throttled) {
		state->seen_ns = 0;
		if (look->at_ns > state->raised_ns + RELIEF_NS)
			state->raises = 0;
		return 0;
	}
	if (!state->seen_ns)
		state->seen_ns = look->at_ns;
	shares = (int64_t)((double)look->quota_ns / (double)look->period_ns * EBB_SHARES_PER_CORE);
	step = shares * percent[MIN(state->raises, ARRAY_SIZE(percent) - 1)] / 100;
	return MAX(step, STEP_LEAST);
}

int64_t reflex_mem_wants(struct reflex_state *state, const struct ebb_sample *look)
{
	unsigned needed = EBB_VALID_MEM | EBB_VALID_WORKING_SET;
	double since, rate = 0, left, ahead;
	bool killed;

	if ((look->valid & needed) != needed || look->mem_limit == EBB_UNLIMITED) {
		*state = (struct reflex_state){0};
		return 0;
	}
	since = state->at_ns && look->at_ns > state->at_ns
			? (double)(look->at_ns - state->at_ns) / EBB_NS_PER_SEC
			: 0;
	if (since > 0 && look->mem_working_set > state->used)
		rate = (double)(look->mem_working_set - state->used) / since;
	/* A pause of a few milliseconds ends no growth. */
	state->rate = fmax(rate, state->rate * RATE_FADES);
	killed = state->at_ns && look->valid & EBB_VALID_OOM && look->oom_kills != state->oom_kills;
	state->at_ns = look->at_ns;
	state->used = look->mem_working_set;
	state->oom_kills = look->oom_kills;

	left = look->mem_limit > look->mem_working_set
		       ? (double)(look->mem_limit - look->mem_working_set)
		       : 0;
	ahead = state->rate * (BUSY_S + 1.5 * since);
	if (!killed && left > ahead && left > (double)look->mem_limit / LOW_PART) {
		state->seen_ns = 0;
		state->raises = 0;
		return 0;
	}
	if (!state->seen_ns)
		state->seen_ns = look->at_ns;
	ahead = fmax(state->rate * AHEAD_S, (double)look->mem_limit / GROW_PART) - left;
	/* The quarter may be there already when it is the rate that frightens. */
	ahead = fmax(ahead, (double)look->mem_limit / (2 * GROW_PART));
	return (int64_t)ceil(ahead / (double)EBB_MIB);
}

int64_t reflex_grant(int64_t wanted, int64_t limit, int64_t ceiling, int64_t pool)
{
	return MAX(MIN(MIN(wanted, pool), ceiling - limit), (int64_t)0);
}

int64_t reflex_cpus(const char *present, unsigned n_present, const char *spare, int64_t shares,
		    char ret_cpus[LIMIT_CPUS_TEXT])
{
	struct cpu_list have = {0};
	unsigned n = n_present;
	const char *at = spare;

	ret_cpus[0] = '\0';
	if (shares <= (int64_t)n * EBB_SHARES_PER_CORE || !*spare ||
	    cpu_list_parse(present, &have) < 0)
		return MIN(shares, (int64_t)n * EBB_SHARES_PER_CORE);
	snprintf(ret_cpus, LIMIT_CPUS_TEXT, "%s", present);
	while (*at && shares > (int64_t)n * EBB_SHARES_PER_CORE) {
		char *end;
		unsigned long cpu = strtoul(at, &end, 10);
		size_t len = strlen(ret_cpus);

		if (end == at)
			break;
		at = *end == ',' ? end + 1 : end;
		if (cpu > 65535 || cpu_list_contains(&have, (unsigned)cpu))
			continue;
		if (len + 8 >= LIMIT_CPUS_TEXT)
			break;
		snprintf(ret_cpus + len, LIMIT_CPUS_TEXT - len, "%s%lu", len ? "," : "", cpu);
		n++;
	}
	cpu_list_clear(&have);
	if (n == n_present)
		ret_cpus[0] = '\0';
	return MIN(shares, (int64_t)n * EBB_SHARES_PER_CORE);
}

bool reflex_report_settled(struct reflex_report *report, uint64_t at_ns)
{
	if (!report->pending || !report->sent_ns || report->sent_ns > at_ns)
		return false;
	if (report->sent_ns != report->at_ns) {
		/* It has grown again since. */
		report->from = report->sent_to;
		return false;
	}
	report->pending = false;
	return true;
}
