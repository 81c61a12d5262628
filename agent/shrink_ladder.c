/* SPDX-License-Identifier: Apache-2.0 */
#include "shrink_ladder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "limits.h"
#include "pressure.h"

/*
 * What one write may make the kernel reclaim. Bounds how long a shrink takes to notice that it is
 * cancelled: 5 to 20 ms of clean page cache, more when it has to be written back.
 */
#define SLICE_BYTES (32 * EBB_MIB)

/* Reclaim that frees nothing so often in a row will not. */
#define FRUITLESS_MAX 5

/* How long memory.high has to hold before memory.max follows, and how often it is looked. */
#define HOLD_MS      100
#define HOLD_LOOK_MS 20

/* How often a container that grows or suffers is tried anew. */
#define FOLLOW_MAX 5

/* The kernel keeps these for a cgroup (user.* since 5.7, trusted.* before) as long as it lives. */
static const char *const marks[] = {"user.ebb.high", "trusted.ebb.high"};

struct memory {
	uint64_t limit, usage, floor;
	struct shrink_signs signs;
};

/* One run. */
struct climb {
	struct shrink_ladder *ladder;
	const struct cgroup_ops *ops;
	bool v2;
	bool slices_by_high; /* no memory.reclaim in this kernel */
	bool holding;        /* memory.high is ours; `old_high` is what it was */
	uint64_t old_high, held;
	/* Since the last time that it suffered. */
	uint64_t reclaimed;
	struct shrink_signs begin;

	uint64_t asked;       /* the usage to reach, in whole pages */
	bool spare;           /* never below what is in use */
	uint64_t need;        /* what it was seen to need, beyond its floor */
	uint64_t enough;      /* reclaimed, to be content with */
	uint64_t goal;        /* asked, or more */
	struct memory memory; /* of the last look */
	const char *strain;
};

const char *shrink_rung_name(enum shrink_rung rung)
{
	switch (rung) {
	case SHRINK_CLAMP: return "clamp";
	case SHRINK_RECLAIM: return "reclaim";
	case SHRINK_HIGH: return "high";
	case SHRINK_LIMIT: return "limit";
	case SHRINK_BACK_OFF: return "back off";
	case SHRINK_PUT_BACK: return "put back";
	}
	return "unknown";
}

void shrink_steps_add(struct shrink_steps *steps, const struct shrink_step *step)
{
	struct shrink_step *last = steps->n ? &steps->steps[steps->n - 1] : NULL;

	if (last && last->rung == step->rung && last->why == step->why) {
		last->bytes =
			step->rung == SHRINK_RECLAIM ? last->bytes + step->bytes : step->bytes;
		last->seconds += step->seconds;
		last->times += MAX(step->times, 1U);
		return;
	}
	if (steps->n == SHRINK_STEPS_MAX)
		return;
	steps->steps[steps->n] = *step;
	steps->steps[steps->n++].times = MAX(step->times, 1U);
}

void shrink_steps_format(const struct shrink_steps *steps, char *buffer, size_t size)
{
	size_t len = 0;

	buffer[0] = '\0';
	for (size_t i = 0; i < steps->n && len < size; i++) {
		const struct shrink_step *step = &steps->steps[i];
		char slices[32] = "", amount[32] = "unlimited";

		if (step->times > 1)
			snprintf(slices, sizeof(slices), " in %u steps", step->times);
		if (step->bytes != LIMIT_NONE)
			snprintf(amount, sizeof(amount), "%llu MiB", step->bytes / EBB_MIB);
		len += (size_t)snprintf(buffer + len, size - len, "%s%s %s%s, %.0f ms%s%s",
					len ? "; " : "", shrink_rung_name(step->rung), amount,
					slices, step->seconds * 1e3, step->why ? ": " : "",
					step->why ? step->why : "");
	}
}

const char *shrink_strains(const struct shrink_signs *before, const struct shrink_signs *now,
			   uint64_t reclaimed)
{
	uint64_t elapsed_us = (now->at_ns - before->at_ns) / 1000;
	uint64_t refaulted = now->refaulted_bytes - before->refaulted_bytes;

	if (before->has_pressure && now->has_pressure && elapsed_us >= 100000 &&
	    now->waited_us - before->waited_us > elapsed_us / 10)
		return "its tasks wait for memory";
	if (now->refaulted_bytes > before->refaulted_bytes && refaulted >= 8 * EBB_MIB &&
	    refaulted > reclaimed / 4)
		return "it reads back what was reclaimed";
	return NULL;
}

uint64_t shrink_refaults_parse(const char *stat, bool v2)
{
	static const char *const keys[2][3] = {
		{"total_workingset_refault_file", "total_workingset_refault_anon",
		 "total_workingset_refault"},
		{"workingset_refault_file", "workingset_refault_anon", "workingset_refault"},
	};
	uint64_t pages = 0, one;

	/* In two since 5.9. */
	for (int i = 0; i < 3; i++)
		if (limits_parse_stat(stat, keys[v2][i], &one) == 0)
			pages += one;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t shrink_floor(uint64_t working_set)
{
	uint64_t margin = MAX(16 * EBB_MIB, working_set / 20);
	return working_set > UINT64_MAX - margin ? UINT64_MAX : working_set + margin;
}

static uint64_t round_up_to_page(uint64_t bytes)
{
	uint64_t down = limits_round_to_page(bytes);
	return down == bytes ? bytes : down + (uint64_t)sysconf(_SC_PAGESIZE);
}

static int memory_fd(const struct climb *climb)
{
	return climb->ladder->container->dir_fds[CGROUP_MEMORY];
}

static void tell(struct climb *climb, enum shrink_rung rung, uint64_t bytes, uint64_t start_ns,
		 const char *why)
{
	shrink_steps_add(&climb->ladder->steps, &(struct shrink_step){
							.rung = rung,
							.bytes = bytes,
							.seconds = (now_ns() - start_ns) / 1e9,
							.why = why,
						});
}

/*
 * 0; -EAGAIN: it suffers, see `strain`; or why it cannot be told.
 *
 * All that cannot be reclaimed (anonymous without swap, locked, kernel, shared memory) is part of
 * the working set: only the inactive file cache is not.
 */
static int look(struct climb *climb)
{
	struct shrink_ladder *ladder = climb->ladder;
	struct memory memory = {0};
	struct pressure pressure;
	uint64_t inactive;
	char stat[16384];

	if (atomic_load(ladder->cancelled))
		return -ECANCELED;
	int r = climb->ops->read_mem(ladder->container, &memory.limit);
	if (r == 0)
		r = cgroup_read_u64(memory_fd(climb),
				    climb->v2 ? "memory.current" : "memory.usage_in_bytes",
				    &memory.usage);
	if (r < 0)
		return r;
	ssize_t n = cgroup_read(memory_fd(climb), "memory.stat", stat, sizeof(stat));
	if (n < 0)
		return (int)n;
	r = limits_parse_stat(stat, climb->v2 ? "inactive_file" : "total_inactive_file", &inactive);
	if (r < 0)
		return r;

	uint64_t working_set = memory.usage > inactive ? memory.usage - inactive : 0;
	memory.floor = round_up_to_page(shrink_floor(MAX(working_set, ladder->working_set)));
	memory.signs = (struct shrink_signs){
		.at_ns = now_ns(),
		.refaulted_bytes = shrink_refaults_parse(stat, climb->v2),
	};
	if (climb->v2 && pressure_read(memory_fd(climb), "memory.pressure", &pressure) == 0) {
		memory.signs.has_pressure = true;
		memory.signs.waited_us = pressure.some_us;
	}
	climb->memory = memory;
	climb->goal = climb->asked;
	if (climb->spare)
		climb->goal = MAX(climb->goal, MAX(memory.floor, climb->need));
	if (!climb->begin.at_ns)
		climb->begin = memory.signs;
	climb->strain = shrink_strains(&climb->begin, &memory.signs, climb->reclaimed);
	return climb->strain ? -EAGAIN : 0;
}

/* It suffered: what it has now, and a margin, is what it needs. Begins to look anew. */
static void back_off(struct climb *climb)
{
	climb->need = round_up_to_page(shrink_floor(climb->memory.usage));
	tell(climb, SHRINK_BACK_OFF, climb->need, climb->memory.signs.at_ns, climb->strain);
	climb->begin = climb->memory.signs;
	climb->reclaimed = 0;
	climb->goal = MAX(climb->goal, climb->need);
}

/* --- memory.high ------------------------------------------------------------------------------ */

int shrink_mark_parse(const char *text, uint64_t *ret_old, uint64_t *ret_held)
{
	char old_text[24], held_text[24];
	uint64_t old = LIMIT_NONE, held;

	if (sscanf(text, "%23s %23s", old_text, held_text) != 2)
		return -EINVAL;
	if ((strcmp(old_text, "max") && parse_u64(old_text, &old) < 0) ||
	    parse_u64(held_text, &held) < 0)
		return -EINVAL;
	*ret_old = old;
	*ret_held = held;
	return 0;
}

/* An O_PATH descriptor takes no fsetxattr(). */
static void fd_path(int fd, char path[40])
{
	snprintf(path, 40, "/proc/self/fd/%d", fd);
}

static int set_mark(int fd, uint64_t old, uint64_t held)
{
	char path[40], text[64];
	int len = old == LIMIT_NONE
			  ? snprintf(text, sizeof(text), "max %" PRIu64, held)
			  : snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, old, held);

	fd_path(fd, path);
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (setxattr(path, marks[i], text, (size_t)len, 0) == 0)
			return 0;
	return -errno;
}

static void clear_mark(int fd)
{
	char path[40];

	fd_path(fd, path);
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		removexattr(path, marks[i]);
}

static int put_high(int fd, uint64_t bytes, int flags)
{
	char text[24] = "max";

	if (bytes != LIMIT_NONE)
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
	return write_file_at(fd, "memory.high", text, flags);
}

/*
 * Holds the container at `bytes`, unless somebody holds it lower. `flags`: O_NONBLOCK leaves the
 * reclaim to the container (Linux 6.16; before, the write itself reclaims). -EOPNOTSUPP: no mark
 * can be left, and without one a killed agent would leave the container slow for good.
 */
static int hold(struct climb *climb, uint64_t bytes, int flags)
{
	int fd = memory_fd(climb);
	uint64_t start = now_ns();

	if (!climb->holding) {
		int r = cgroup_read_u64(fd, "memory.high", &climb->old_high);
		if (r < 0)
			return r;
	}
	if (climb->old_high <= bytes)
		return 0;
	if (set_mark(fd, climb->old_high, bytes) < 0 && !climb->slices_by_high)
		return -EOPNOTSUPP;
	climb->holding = true;
	climb->held = bytes;
	int r = put_high(fd, bytes, flags);
	if (r == 0)
		tell(climb, SHRINK_HIGH, bytes, start, NULL);
	return r;
}

/* What somebody else has set meanwhile stays. */
static void let_go(struct climb *climb)
{
	int fd = memory_fd(climb);
	uint64_t high;

	if (!climb->holding)
		return;
	climb->holding = false;
	if (cgroup_read_u64(fd, "memory.high", &high) == 0 && high == climb->held)
		put_high(fd, climb->old_high, 0);
	clear_mark(fd);
}

bool shrink_ladder_recover(const struct hierarchies *hierarchies, const struct container *container)
{
	int fd = container->dir_fds[CGROUP_MEMORY];
	uint64_t old, held, high;
	char path[40], text[64];
	ssize_t n = -1;

	if (fd < 0 || hierarchies->by_controller[CGROUP_MEMORY].version != 2)
		return false;
	fd_path(fd, path);
	for (size_t i = 0; n < 0 && i < ARRAY_SIZE(marks); i++)
		n = getxattr(path, marks[i], text, sizeof(text) - 1);
	if (n < 0)
		return false;
	text[n] = '\0';
	bool held_still = shrink_mark_parse(text, &old, &held) == 0 &&
			  cgroup_read_u64(fd, "memory.high", &high) == 0 && high == held;
	if (held_still)
		put_high(fd, old, 0);
	clear_mark(fd);
	return held_still;
}

/* --- Reclaim ---------------------------------------------------------------------------------- */

/* One slice; how much it helped, the next look tells. */
static int reclaim_slice(struct climb *climb, uint64_t bytes)
{
	uint64_t start = now_ns(), usage = climb->memory.usage, after;
	char text[24];
	int r = 0;

	if (!climb->slices_by_high) {
		snprintf(text, sizeof(text), "%" PRIu64, bytes);
		r = cgroup_write(memory_fd(climb), "memory.reclaim", text);
		climb->slices_by_high = r == -EOPNOTSUPP;
	}
	/* Before 5.19: the write that lowers memory.high reclaims as much. */
	if (climb->slices_by_high)
		r = hold(climb, limits_round_to_page(usage - bytes), 0);
	if (r == -EAGAIN || r == -EINTR)
		r = 0;
	if (r == 0)
		r = cgroup_read_u64(memory_fd(climb), "memory.current", &after);
	if (r < 0)
		return r;
	uint64_t freed = usage > after ? usage - after : 0;
	climb->reclaimed += freed;
	tell(climb, SHRINK_RECLAIM, freed, start, NULL);
	return 0;
}

/* Until the goal is reached, which may rise meanwhile. 0; -EBUSY: no more can be; as look(). */
static int reclaim_to_goal(struct climb *climb, uint64_t level)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t least_usage = UINT64_MAX;
	unsigned fruitless = 0;

	for (;;) {
		int r = look(climb);
		if (r < 0)
			return r;
		uint64_t usage = climb->memory.usage;

		if (climb->spare && climb->memory.limit != level)
			return -EREMOTEIO;
		if (usage <= climb->goal || climb->reclaimed >= climb->enough)
			return 0;
		fruitless = usage < least_usage ? 0 : fruitless + 1;
		least_usage = MIN(least_usage, usage);
		if (fruitless >= FRUITLESS_MAX)
			return -EBUSY;
		uint64_t slice = MIN(MIN(usage - climb->goal, SLICE_BYTES),
				     climb->enough - climb->reclaimed);
		r = reclaim_slice(climb, MAX(limits_round_to_page(slice), page));
		if (r < 0)
			return r;
	}
}

/* --- The ladders ------------------------------------------------------------------------------ */

/* Holds it at the goal by memory.high, which never kills, and looks whether it can live there. */
static int try_goal(struct climb *climb, uint64_t level)
{
	const struct timespec pause = {.tv_nsec = HOLD_LOOK_MS * 1000000L};
	uint64_t goal = climb->goal;

	int r = hold(climb, goal, O_NONBLOCK);
	if (r == -EOPNOTSUPP)
		return 0;
	for (int ms = 0; r == 0 && ms < HOLD_MS; ms += HOLD_LOOK_MS) {
		nanosleep(&pause, NULL);
		r = look(climb);
		if (r == 0 && climb->memory.limit != level)
			r = -EREMOTEIO;
	}
	return r;
}

static int write_max(struct climb *climb, uint64_t bytes)
{
	uint64_t start = now_ns(), present;
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, bytes);
	int r = write_file_at(memory_fd(climb), "memory.max", text, O_NONBLOCK);
	if (r == 0)
		r = climb->ops->read_mem(climb->ladder->container, &present);
	if (r < 0)
		return r;
	tell(climb, SHRINK_LIMIT, bytes, start, NULL);
	return present == bytes ? 0 : -EREMOTEIO;
}

static int put_back(struct climb *climb, uint64_t before)
{
	uint64_t start = now_ns();

	int r = limits_write_mem(climb->ladder->hierarchies, climb->ladder->container, before);
	if (r == 0)
		tell(climb, SHRINK_PUT_BACK, before, start, NULL);
	return r;
}

static int lower_v2(struct climb *climb, uint64_t before)
{
	struct shrink_ladder *ladder = climb->ladder;
	uint64_t usage;
	int r = 0;

	for (unsigned i = 0; i < FOLLOW_MAX; i++) {
		r = reclaim_to_goal(climb, before);
		if (r == 0 && climb->goal < before)
			r = try_goal(climb, before);
		if (r == -EAGAIN) {
			back_off(climb);
			let_go(climb);
			continue;
		}
		if (r < 0)
			return r;
		if (climb->goal >= before) {
			ladder->applied = before;
			return 0;
		}
		/* It has grown meanwhile. */
		if (climb->memory.usage > climb->goal)
			continue;
		r = write_max(climb, climb->goal);
		if (r == 0)
			r = cgroup_read_u64(memory_fd(climb), "memory.current", &usage);
		if (r == 0 && usage <= climb->goal) {
			ladder->applied = climb->goal;
			return 0;
		}
		/* Between the look and the write. */
		if (r != -EREMOTEIO)
			put_back(climb, before);
		if (r < 0)
			return r;
	}
	return -EBUSY;
}

/* Another limit than the one written last is someone else's, and stays. */
static int lower_v1(struct climb *climb, uint64_t before)
{
	struct shrink_ladder *ladder = climb->ladder;
	uint64_t level = before, start;
	int r;

	for (;;) {
		r = look(climb);
		if (r < 0 && r != -EAGAIN)
			break;
		if (climb->memory.limit != level)
			return -EREMOTEIO;
		if (r == -EAGAIN) {
			back_off(climb);
			if (climb->need > level && level < before) {
				level = MIN(climb->need, before);
				r = put_back(climb, level);
			}
			ladder->applied = level;
			return r == -EAGAIN ? 0 : r;
		}
		if (climb->goal >= level) {
			ladder->applied = level;
			return 0;
		}

		uint64_t usage = limits_round_to_page(climb->memory.usage), next = climb->goal;
		if (usage > next + SLICE_BYTES)
			next = MAX(next, MIN(level, usage) - SLICE_BYTES);
		start = now_ns();
		r = limits_write_mem(ladder->hierarchies, ladder->container, next);
		if (r < 0)
			break;
		climb->reclaimed += usage > next ? usage - next : 0;
		tell(climb, SHRINK_LIMIT, next, start, NULL);
		level = next;
	}
	if (level != before && r != -EREMOTEIO)
		put_back(climb, before);
	return r;
}

static int lower_limit(struct climb *climb)
{
	struct shrink_ladder *ladder = climb->ladder;
	uint64_t start = now_ns();

	climb->spare = true;
	climb->enough = UINT64_MAX;
	int r = look(climb);
	if (r < 0)
		return r;

	uint64_t before = climb->memory.limit;
	ladder->floor = climb->memory.floor;
	if (ladder->asked >= before) {
		r = limits_write_mem(ladder->hierarchies, ladder->container, ladder->asked);
		if (r == 0) {
			ladder->applied = ladder->asked;
			tell(climb, SHRINK_LIMIT, ladder->asked, start, NULL);
		}
		return r;
	}
	if (climb->goal > climb->asked)
		tell(climb, SHRINK_CLAMP, climb->goal, start, "what is in use, and a margin");
	r = climb->v2 ? lower_v2(climb, before) : lower_v1(climb, before);
	let_go(climb);
	ladder->floor = MAX(climb->memory.floor, climb->need);
	return r;
}

static int lower_high(struct climb *climb)
{
	struct shrink_ladder *ladder = climb->ladder;
	uint64_t start, present;

	climb->enough = UINT64_MAX;
	int r = reclaim_to_goal(climb, 0);
	let_go(climb);
	/* What is above it then, the container gives back itself. */
	if (r < 0 && r != -EAGAIN && r != -EBUSY && r != -EOPNOTSUPP)
		return r;
	start = now_ns();
	r = put_high(memory_fd(climb), climb->asked, O_NONBLOCK);
	if (r == 0)
		r = cgroup_read_u64(memory_fd(climb), "memory.high", &present);
	if (r < 0)
		return r;
	if (present != climb->asked)
		return -EREMOTEIO;
	ladder->applied = climb->asked;
	tell(climb, SHRINK_HIGH, climb->asked, start, NULL);
	return 0;
}

static int lower_usage(struct climb *climb)
{
	struct shrink_ladder *ladder = climb->ladder;
	uint64_t before;

	climb->enough = climb->asked;
	climb->asked = 0;
	int r = cgroup_read_u64(memory_fd(climb), "memory.current", &before);
	if (r == 0)
		r = reclaim_to_goal(climb, 0);
	ladder->applied = climb->reclaimed;
	if (r == -EAGAIN)
		back_off(climb);
	return (r == -EAGAIN || r == -EBUSY) && ladder->applied ? 0 : r == -EAGAIN ? -EBUSY : r;
}

int shrink_ladder_run(struct shrink_ladder *ladder)
{
	bool v2 = ladder->hierarchies->by_controller[CGROUP_MEMORY].version == 2;
	struct climb climb = {
		.ladder = ladder,
		.ops = v2 ? &cgroup_v2_ops : &cgroup_v1_ops,
		.v2 = v2,
		.asked = limits_round_to_page(ladder->asked),
	};

	switch (ladder->what) {
	case SHRINK_THE_LIMIT: return lower_limit(&climb);
	case SHRINK_THE_HIGH: return v2 ? lower_high(&climb) : -EOPNOTSUPP;
	case SHRINK_THE_USAGE: return v2 ? lower_usage(&climb) : -EOPNOTSUPP;
	}
	return -EINVAL;
}
