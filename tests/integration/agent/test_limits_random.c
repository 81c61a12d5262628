/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random orders, thousands of them, on containers that work meanwhile: whatever they ask and
 * however they meet, no limit kills, each is what the answers say, and nobody else's is touched.
 * The orders are the same each time (not how the threads meet): EBB_TEST_SEED asks for others,
 * EBB_TEST_STEPS for more of them.
 */
#include "seed.h"
#include "test.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "apply.h"
#include "host.h"
#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/units.h"
#include "ebb/util.h"
#include "tree_container.h"

#define MIB ((uint64_t)EBB_MIB)

/* About 25 s, with containers that keep two CPUs busy. */
#define STEPS 100000UL
#define SEED  2U

/* Of the orders for memory; what runs in the containers has enough with the least. */
#define MEM_LEAST (64 * MIB)
#define MEM_MOST  (256 * MIB)

enum load { LOAD_IDLE, LOAD_CPU, LOAD_MEMORY, LOAD_FULL, LOAD_IO };

/* Nobody orders anything for the last. */
static const enum load loads[] = {LOAD_CPU, LOAD_MEMORY, LOAD_FULL, LOAD_IO,
				  LOAD_CPU, LOAD_IDLE,   LOAD_IDLE, LOAD_IDLE};
#define PLACES  ARRAY_SIZE(loads)
#define ORDERED (PLACES - 1)

/* A name, and the container that has it at the moment. */
static struct place {
	char name[16];
	struct container *container;
	enum load load;
	pid_t pid;
	unsigned generation; /* of the container */
	bool dead;           /* its cgroup has gone, and the table does not know yet */
	/* By the answers: */
	uint64_t expected[LIMIT_KIND_MAX];
	char cpus[LIMIT_CPUS_TEXT];
	unsigned long by[LIMIT_KIND_MAX]; /* the order that has set it */
	unsigned pending[LIMIT_KIND_MAX]; /* orders without an answer that may write it */
} places[PLACES];

static struct request {
	bool used, to_dead;
	struct place *place;
	unsigned generation;
	unsigned long number;
	struct limit_order order;
	int answers;
	struct apply_result got;
} requests[160];
static struct request *answered[ARRAY_SIZE(requests)];
static size_t n_answered, n_open;

static struct hierarchies hierarchies;
static struct cgroup_tree tree;
static struct container_table *table;
static struct loop *loop;
static struct shrinker *shrinker;
static struct applier *applier;
static dev_t disk;
static unsigned supported; /* 1 << enum limit_kind */
static char all_cpus[LIMIT_CPUS_TEXT];
static unsigned cpus[8], n_cpus;
static unsigned long number;

static struct {
	unsigned long taken, full, refused, cancelled, busy, gone, put_back, replaced, floored;
	unsigned long not_put_back;
	unsigned long writes, churned, mem;
} counts;

static struct {
	uint64_t wall, cpu, own; /* ns; `own` without the wait for a CPU */
} longest;

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((random_state >> 33) % n);
}

/* --- What runs in the containers -------------------------------------------------------------- */

/* Sanitizers' shadows of what is touched would be charged to the container. */
#define UNSEEN __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

UNSEEN static char *take(size_t bytes)
{
	long p = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0L);

	return p == -1 ? NULL : (char *)p;
}

UNSEEN static void touch(volatile char *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 4096)
		p[i] = (char)(p[i] + 1);
}

UNSEEN static void rest(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	syscall(SYS_nanosleep, &t, NULL);
}

UNSEEN static void work_memory(void)
{
	unsigned state = 1;

	for (;;) {
		state = state * 1103515245 + 12345;
		size_t bytes = (4 + (state >> 16) % 32) * MIB;
		char *p = take(bytes);

		if (!p)
			_exit(1);
		for (int i = 0; i < 4; i++) {
			touch(p, bytes);
			rest(2000);
		}
		syscall(SYS_munmap, p, bytes);
	}
}

UNSEEN static void work_full(int ready)
{
	size_t bytes = 90 * MIB;
	char *p = take(bytes);

	if (!p)
		_exit(1);
	touch(p, bytes);
	syscall(SYS_write, ready, "r", 1);
	for (;;) {
		touch(p, bytes);
		rest(20000);
	}
}

UNSEEN static void work_io(void)
{
	const size_t block = 256 << 10, size = 160 * MIB;
	char path[] = "/var/tmp/ebb-test-random-XXXXXX";
	int fd = mkstemp(path);
	char *p = take(block);

	if (fd < 0 || !p)
		_exit(1);
	unlink(path);
	touch(p, block);
	for (size_t at = 0;; at = (at + block) % size) {
		if (syscall(SYS_pwrite64, fd, p, block, at) < 0)
			_exit(1);
		syscall(SYS_pread64, fd, p, block, (at + size / 2) % size);
		rest(4000);
	}
}

struct start {
	enum load load;
	int ready;
};

UNSEEN static void work(void *arg)
{
	const struct start *start = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (start->load == LOAD_FULL)
		work_full(start->ready);
	syscall(SYS_write, start->ready, "r", 1);
	switch (start->load) {
	case LOAD_CPU:
		for (volatile unsigned i = 0;; i++)
			;
	case LOAD_MEMORY: work_memory(); break;
	case LOAD_IO: work_io(); break;
	default:
		for (;;)
			rest(1000000);
	}
}

static void start_load(struct place *place)
{
	struct start start = {.load = place->load};
	int fds[2];
	char c;

	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	start.ready = fds[1];
	place->pid = cgroup_tree_spawn(&tree, place->name, work, &start);
	close(fds[1]);
	ssize_t n = read(fds[0], &c, 1);
	close(fds[0]);
	CHECK_INT(n, 1);
}

static void end_load(struct place *place)
{
	if (place->pid <= 0)
		return;
	kill(place->pid, SIGKILL);
	while (waitpid(place->pid, NULL, 0) < 0 && errno == EINTR)
		;
	place->pid = 0;
}

/* --- What the cgroups' files say -------------------------------------------------------------- */

static const struct {
	enum cgroup_controller controller;
	const char *v1, *v2;
	const char *key; /* in io.max */
} files[LIMIT_KIND_MAX] = {
	[LIMIT_CPUS] = {CGROUP_CPUSET, "cpuset.cpus", "cpuset.cpus", NULL},
	[LIMIT_QUOTA] = {CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", NULL},
	[LIMIT_BURST] = {CGROUP_CPU, "cpu.cfs_burst_us", "cpu.max.burst", NULL},
	[LIMIT_WEIGHT] = {CGROUP_CPU, "cpu.shares", "cpu.weight", NULL},
	[LIMIT_MEM] = {CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", NULL},
	[LIMIT_MEM_HIGH] = {CGROUP_MEMORY, NULL, "memory.high", NULL},
	[LIMIT_MEM_MIN] = {CGROUP_MEMORY, NULL, "memory.min", NULL},
	[LIMIT_DISK_READ] = {CGROUP_IO, "blkio.throttle.read_bps_device", "io.max", "rbps="},
	[LIMIT_DISK_WRITE] = {CGROUP_IO, "blkio.throttle.write_bps_device", "io.max", "wbps="},
	[LIMIT_READ_IOPS] = {CGROUP_IO, "blkio.throttle.read_iops_device", "io.max", "riops="},
	[LIMIT_WRITE_IOPS] = {CGROUP_IO, "blkio.throttle.write_iops_device", "io.max", "wiops="},
};

static bool is_disk(enum limit_kind kind)
{
	return kind == LIMIT_DISK_READ || kind == LIMIT_DISK_WRITE || kind == LIMIT_READ_IOPS ||
	       kind == LIMIT_WRITE_IOPS;
}

static void read_text(const struct place *place, enum limit_kind kind, char *text, size_t size)
{
	enum cgroup_controller controller = files[kind].controller;
	const struct hierarchy *hierarchy = &hierarchies.by_controller[controller];
	const char *name = controller == CGROUP_IO ? "blkio" : cgroup_controller_name(controller);
	const char *file = hierarchy->version == 2 ? files[kind].v2 : files[kind].v1;

	if (cgroup_tree_read(&tree, name, place->name, file, text, size) < 0)
		TEST_FAIL("%s: %s cannot be read", place->name, file);
	text[strcspn(text, "\n") + (is_disk(kind) ? strlen(text) - strcspn(text, "\n") : 0)] = '\0';
}

/* The number in the file as it is; LIMIT_NONE: "max", -1, or no line. */
static uint64_t read_value(const struct place *place, enum limit_kind kind)
{
	char text[4096], device[32];
	const char *number_at = text;

	read_text(place, kind, text, sizeof(text));
	if (is_disk(kind)) {
		snprintf(device, sizeof(device), "%u:%u ", major(disk), minor(disk));
		number_at = strstr(text, device);
		if (!number_at)
			return LIMIT_NONE;
		number_at += strlen(device);
		if (hierarchies.by_controller[CGROUP_IO].version == 2) {
			number_at = strstr(number_at, files[kind].key);
			if (!number_at)
				return LIMIT_NONE;
			number_at += strlen(files[kind].key);
		}
	}
	if (*number_at == '-' || *number_at == 'm')
		return LIMIT_NONE;
	uint64_t value = strtoull(number_at, NULL, 10);
	/* v1 knows no "max": the most pages that it can count. */
	return files[kind].controller == CGROUP_MEMORY && value >= 1ULL << 62 ? LIMIT_NONE : value;
}

/* What the file holds for this limit in agent units. */
static uint64_t as_in_file(enum limit_kind kind, uint64_t value)
{
	if (kind == LIMIT_WEIGHT && hierarchies.by_controller[CGROUP_CPU].version == 1)
		return limits_weight_to_shares(value);
	if (files[kind].controller == CGROUP_MEMORY && value != LIMIT_NONE)
		return value & ~(uint64_t)(sysconf(_SC_PAGESIZE) - 1);
	return value;
}

static void check_bounds(const struct place *place, enum limit_kind kind, uint64_t value)
{
	if (value == LIMIT_NONE)
		return;
	if ((kind == LIMIT_MEM && (value < MEM_LEAST || value > MEM_MOST)) ||
	    (kind == LIMIT_QUOTA && (value < LIMIT_QUOTA_MIN_US || value > 400000)))
		TEST_FAIL("%s: %s is %llu, which nobody asked for", place->name,
			  limit_kind_key(kind), (unsigned long long)value);
}

static void check_kills(const struct place *place)
{
	bool v2 = hierarchies.by_controller[CGROUP_MEMORY].version == 2;
	char text[512];

	CHECK_INT(cgroup_tree_read(&tree, "memory", place->name,
				   v2 ? "memory.events" : "memory.oom_control", text, sizeof(text)),
		  0);
	const char *kills = strstr(text, "oom_kill ");
	CHECK(kills);
	if (strtoul(kills + strlen("oom_kill "), NULL, 10))
		TEST_FAIL("%s: a process was killed for memory with a limit of %llu", place->name,
			  (unsigned long long)read_value(place, LIMIT_MEM));
	if (waitpid(place->pid, NULL, WNOHANG) != 0)
		TEST_FAIL("%s: what ran in it has died", place->name);
}

static void check_place(const struct place *place)
{
	char text[LIMIT_CPUS_TEXT];

	if (place->dead)
		return;
	check_kills(place);
	for (enum limit_kind kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		if (!(supported & 1U << kind))
			continue;
		if (kind == LIMIT_CPUS) {
			read_text(place, kind, text, sizeof(text));
			if (!place->pending[kind] && strcmp(text, place->cpus) != 0 &&
			    !limits_cpus_equal(text, *place->cpus ? place->cpus : all_cpus))
				TEST_FAIL("%s: its CPUs are %s, by the answers %s", place->name,
					  text, place->cpus);
			continue;
		}
		uint64_t value = read_value(place, kind);
		check_bounds(place, kind, value);
		if (!place->pending[kind] && value != place->expected[kind])
			TEST_FAIL("%s: %s is %llu, by the answers %llu", place->name,
				  limit_kind_key(kind), (unsigned long long)value,
				  (unsigned long long)place->expected[kind]);
	}
}

/* --- Containers come and go ------------------------------------------------------------------- */

static void remove_cgroups(const struct place *place)
{
	char path[640];

	for (int i = 0; i < tree.n_mounts; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", tree.mounts[i].path, tree.name,
			 place->name);
		cgroup_tree_remove_dir(path);
	}
}

/* With a quota of one CPU and 256 MiB, and its load. */
static void make_container(struct place *place)
{
	CHECK_INT(cgroup_tree_mkdir(&tree, place->name), 0);
	place->container = tree_container(&hierarchies, &tree, place->name);
	CHECK(place->container);
	CHECK_INT(container_table_add(table, place->container), 0);
	if (limits_write_quota(&hierarchies, place->container, 100000) < 0 ||
	    limits_write_mem(&hierarchies, place->container, MEM_MOST) < 0)
		SKIP("no cpu or memory controller here");
	start_load(place);
	place->generation++;
	place->dead = false;
	memset(place->pending, 0, sizeof(place->pending));
	memset(place->by, 0, sizeof(place->by));
}

static void know_container(struct place *place)
{
	for (enum limit_kind kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		if (kind == LIMIT_CPUS && supported & 1U << kind)
			read_text(place, kind, place->cpus, sizeof(place->cpus));
		else if (supported & 1U << kind)
			place->expected[kind] = read_value(place, kind);
	}
}

static void drop_from_table(struct place *place)
{
	CHECK(container_table_remove(table, place->container->id) == place->container);
	container_free(place->container);
	place->container = NULL;
}

static void tear_down(void *unused)
{
	if (applier)
		applier_close(applier);
	shrinker_free(shrinker);
	applier_free(applier);
	applier = NULL;
	shrinker = NULL;
	for (size_t i = 0; i < PLACES; i++) {
		end_load(&places[i]);
		if (places[i].container)
			drop_from_table(&places[i]);
	}
	container_table_free(table);
	table = NULL;
	loop_free(loop);
	loop = NULL;
	cgroup_tree_remove(&tree);
	hierarchies_close(&hierarchies);
	log_set_level(LOG_LEVEL_INFO);
}

/* What of it this kernel offers here, and which CPUs there are. */
static void look_round(void)
{
	struct limits limits;
	struct host host;
	struct cpu_list list = {0};

	CHECK_INT(host_read(NULL, "/var/tmp", &host), 0);
	disk = host.disk;
	host_clear(&host);
	CHECK_INT(limits_read(&hierarchies, places[0].container, disk, &limits), 0);
	CHECK_INT(limits_read_more(&hierarchies, places[0].container, &limits), 0);
	supported = limits.has_more & ~(1U << LIMIT_MEM_RECLAIM);
	supported |= 1U << LIMIT_QUOTA | 1U << LIMIT_MEM;
	if (limits.has_cpuset)
		supported |= 1U << LIMIT_CPUS;
	if (disk && limits.has_disk)
		supported |= 1U << LIMIT_DISK_READ | 1U << LIMIT_DISK_WRITE;
	else
		supported &= ~(1U << LIMIT_READ_IOPS | 1U << LIMIT_WRITE_IOPS);
	snprintf(all_cpus, sizeof(all_cpus), "%s", limits.cpu.effective_cpus);
	n_cpus = 0;
	CHECK_INT(cpu_list_parse(all_cpus, &list), 0);
	for (size_t i = 0; i < list.n && n_cpus < ARRAY_SIZE(cpus); i++)
		cpus[n_cpus++] = list.cpus[i];
	cpu_list_clear(&list);
}

static void set_up(void)
{
	if (geteuid() != 0)
		SKIP("needs root");
	if (hierarchies_open(NULL, &hierarchies) < 0)
		SKIP("no cgroup hierarchy");
	test_at_end(tear_down, NULL);
	int r = cgroup_tree_new(&tree, "random");
	if (r < 0)
		SKIP("cannot make cgroups: %s", strerror(-r));
	CHECK_INT(container_table_new(&table), 0);
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(shrinker_new(loop, &hierarchies, &shrinker), 0);
	for (size_t i = 0; i < PLACES; i++) {
		places[i] = (struct place){.load = loads[i]};
		snprintf(places[i].name, sizeof(places[i].name), "c%zu", i);
		make_container(&places[i]);
	}
	look_round();
	for (size_t i = 0; i < PLACES; i++)
		know_container(&places[i]);
	struct applier_options options = {
		.hierarchies = &hierarchies,
		.table = table,
		.shrinker = shrinker,
		.disk = disk,
	};
	CHECK_INT(applier_new(&options, &applier), 0);
	/* Thousands of orders that cannot be, each with its warning. */
	log_set_level(LOG_LEVEL_ERROR);
}

/* --- Orders ----------------------------------------------------------------------------------- */

static void ask(struct limit_order *order, enum limit_kind kind, uint64_t value)
{
	if (!(supported & 1U << kind))
		return;
	order->asked |= 1U << kind;
	order->value[kind] = value;
}

static void ask_cpus(struct limit_order *order)
{
	size_t len = 0;

	if (!(supported & 1U << LIMIT_CPUS))
		return;
	order->asked |= 1U << LIMIT_CPUS;
	order->cpus[0] = '\0';
	uint32_t dice = random_below(100);
	if (dice < 3)
		snprintf(order->cpus, sizeof(order->cpus), "9999");
	else if (dice > 20)
		for (unsigned i = 0; i < n_cpus; i++)
			if (random_below(2))
				len += (size_t)snprintf(order->cpus + len,
							sizeof(order->cpus) - len, "%s%u",
							len ? "," : "", cpus[i]);
}

static void ask_memory(struct limit_order *order, const struct place *place)
{
	bool v2 = hierarchies.by_controller[CGROUP_MEMORY].version == 2;

	/* Not a whole page, mostly. */
	ask(order, LIMIT_MEM,
	    random_below(20) ? MEM_LEAST + random_below((uint32_t)(MEM_MOST - MEM_LEAST))
			     : LIMIT_NONE);
	/* One that has 90 MiB in use would be slowed down to a halt. */
	if (v2 && place->load != LOAD_FULL && !random_below(3))
		ask(order, LIMIT_MEM_HIGH,
		    random_below(2) ? MEM_LEAST + random_below((uint32_t)MEM_MOST) : LIMIT_NONE);
	if (v2 && !random_below(4))
		ask(order, LIMIT_MEM_MIN, random_below(32 * EBB_MIB));
}

static void ask_any(struct limit_order *order, const struct place *place, uint32_t dice)
{
	/* On v2 the ladder takes its time: it looks whether the container can live there. */
	uint32_t mem = hierarchies.by_controller[CGROUP_MEMORY].version == 2 ? 3 : 60;

	if (dice < mem)
		ask_memory(order, place);
	else if (dice < 100)
		ask_cpus(order);
	else if (dice < 200)
		ask(order, random_below(2) ? LIMIT_DISK_READ : LIMIT_DISK_WRITE,
		    random_below(4) ? (50 + random_below(1000)) * MIB : LIMIT_NONE);
	else if (dice < 240)
		ask(order, random_below(2) ? LIMIT_READ_IOPS : LIMIT_WRITE_IOPS,
		    random_below(4) ? 2000 + random_below(100000) : LIMIT_NONE);
	else if (dice < 300)
		ask(order, LIMIT_WEIGHT, 1 + random_below(LIMIT_WEIGHT_MAX));
	else if (dice < 400)
		ask(order, LIMIT_BURST, random_below(150000));
	else
		ask(order, LIMIT_QUOTA,
		    random_below(30) ? 5000 + random_below(395000) : LIMIT_NONE);
}

static struct limit_order any_order(const struct place *place)
{
	struct limit_order order = {0};

	while (!order.asked) {
		ask_any(&order, place, random_below(1000));
		for (uint32_t more = random_below(8); more > 4; more--)
			ask_any(&order, place, random_below(1000));
	}
	return order;
}

static void on_done(void *userdata, const struct apply_result *result)
{
	struct request *request = userdata;

	request->answers++;
	request->got = *result;
	answered[n_answered++] = request;
}

/* A quota takes the burst down with it; memory.high holds the container while its limit comes down.
 */
static unsigned may_write(const struct limit_order *order)
{
	return order->asked | (order->asked & 1U << LIMIT_QUOTA ? 1U << LIMIT_BURST : 0) |
	       (order->asked & 1U << LIMIT_MEM ? 1U << LIMIT_MEM_HIGH : 0);
}

static void count_pending(struct request *request, int by)
{
	for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
		if (may_write(&request->order) & 1U << kind)
			request->place->pending[kind] += (unsigned)by;
}

static void submit(struct place *place)
{
	struct request *request = requests;

	while (request->used)
		request++;
	*request = (struct request){
		.used = true,
		.to_dead = place->dead,
		.place = place,
		.generation = place->generation,
		.number = ++number,
		.order = any_order(place),
	};
	count_pending(request, 1);
	int r = applier_submit(applier, place->container, &request->order, on_done, request);
	if (r == 0) {
		n_open++;
		counts.taken++;
		counts.mem += request->order.asked >> LIMIT_MEM & 1;
		return;
	}
	CHECK_INT(r, -EBUSY);
	counts.full++;
	count_pending(request, -1);
	request->used = false;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void check_error(const struct request *request)
{
	const struct apply_result *got = &request->got;
	bool impossible = !strcmp(request->order.cpus, "9999");

	switch (got->error) {
	case 0: return;
	case -EOPNOTSUPP:
		/* A burst above the quota that there was when it was its turn. */
		CHECK(strstr(got->message, "cpu_burst"));
		CHECK(request->place->by[LIMIT_QUOTA] < request->number);
		counts.refused++;
		return;
	case -ECANCELED:
		CHECK(request->order.asked & 1U << LIMIT_MEM);
		CHECK_INT(got->failed, LIMIT_MEM);
		counts.cancelled++;
		return;
	case -EBUSY:
		CHECK(got->failed == LIMIT_MEM || got->failed == LIMIT_MEM_HIGH);
		counts.busy++;
		return;
	default:
		if (!impossible || got->failed != LIMIT_CPUS)
			TEST_FAIL("%s: order %lu of 0x%x ends with %s at %s", request->place->name,
				  request->number, request->order.asked, strerror(-got->error),
				  limit_kind_key(got->failed));
	}
}

/* The newest order that has written it says what it is. */
static void learn(struct request *request, enum limit_kind kind)
{
	const struct apply_result *got = &request->got;
	struct place *place = request->place;

	if (place->by[kind] > request->number)
		return;
	place->by[kind] = request->number;
	if (kind == LIMIT_CPUS) {
		const char *asked = request->order.cpus;

		if (!*asked && hierarchies.by_controller[CGROUP_CPUSET].version == 1)
			asked = all_cpus;
		snprintf(place->cpus, sizeof(place->cpus), "%s", asked);
		return;
	}
	uint64_t value = request->order.value[kind];
	if (!(request->order.asked & 1U << kind))
		value = request->order.value[LIMIT_QUOTA];
	if (kind == LIMIT_MEM && got->mem_floored)
		value = got->mem_applied;
	place->expected[kind] = as_in_file(kind, value);
}

/* Memory that had been raised comes down again no further than to the floor. */
static void learn_put_back(struct request *request)
{
	struct place *place = request->place;

	if (place->pending[LIMIT_MEM] || place->by[LIMIT_MEM] > request->number)
		return;
	uint64_t value = read_value(place, LIMIT_MEM);
	if (value > place->expected[LIMIT_MEM] &&
	    value <= as_in_file(LIMIT_MEM, request->order.value[LIMIT_MEM]))
		place->expected[LIMIT_MEM] = value;
}

/* A newer order's quota or burst may not go with the old burst or quota; memory may be in use. */
static void check_not_put_back(const struct request *request, enum limit_kind kind)
{
	int error = request->got.errors[kind];
	bool cpu = kind == LIMIT_QUOTA || kind == LIMIT_BURST;

	if (!(cpu && error == -EINVAL) &&
	    !(kind == LIMIT_MEM && (error == -EBUSY || error == -ECANCELED)))
		TEST_FAIL("%s: order %lu could not put %s back: %s", request->place->name,
			  request->number, limit_kind_key(kind), strerror(-error));
}

static void account(struct request *request)
{
	const struct apply_result *got = &request->got;
	struct place *place = request->place;
	bool gone = request->to_dead || request->generation != place->generation || place->dead;

	CHECK_INT(request->answers, 1);
	for (enum limit_kind kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		counts.writes += got->states[kind] == APPLY_WRITTEN ||
				 got->states[kind] == APPLY_REPLACED ||
				 got->states[kind] == APPLY_NOT_PUT_BACK;
		counts.writes += 2 * (got->states[kind] == APPLY_PUT_BACK);
	}
	counts.floored += got->mem_floored;
	if (request->to_dead)
		CHECK(got->error == -ENODEV || got->error == -ENOENT);
	if (gone) {
		CHECK(got->gone || !got->error || place->dead);
		counts.gone += got->gone;
		return;
	}

	CHECK(!got->gone);
	check_error(request);
	count_pending(request, -1);
	for (enum limit_kind kind = 0; kind < LIMIT_KIND_MAX; kind++) {
		switch (got->states[kind]) {
		case APPLY_EQUAL:
		case APPLY_WRITTEN: learn(request, kind); break;
		case APPLY_PUT_BACK:
			counts.put_back++;
			if (kind == LIMIT_MEM)
				learn_put_back(request);
			break;
		case APPLY_REPLACED: counts.replaced++; break;
		case APPLY_NOT_PUT_BACK:
			check_not_put_back(request, kind);
			learn(request, kind);
			counts.not_put_back++;
			break;
		default: break;
		}
		if (got->error == 0 && request->order.asked & 1U << kind)
			CHECK(got->states[kind] == APPLY_EQUAL ||
			      got->states[kind] == APPLY_WRITTEN);
	}
}

static void take_answers(void)
{
	bool touched[PLACES] = {false};

	for (size_t i = 0; i < n_answered; i++) {
		account(answered[i]);
		answered[i]->used = false;
		n_open--;
		touched[answered[i]->place - places] = true;
	}
	n_answered = 0;
	/* And one that nobody has touched. */
	touched[random_below(PLACES)] = true;
	for (size_t i = 0; i < PLACES; i++)
		if (touched[i])
			check_place(&places[i]);
}

/* --- The loop --------------------------------------------------------------------------------- */

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * EBB_NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* How long this thread has waited for a CPU that others had; 0 where the kernel does not say. */
static uint64_t thread_queued_ns(int fd)
{
	char text[96];
	unsigned long long queued;
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return sscanf(text, "%*u %llu", &queued) == 1 ? queued : 0;
}

/* What the agent's loop would do in one turn: a few orders come, and what has ended is answered. */
static void turn(struct place *const *to, size_t n, int schedstat)
{
	uint64_t queued = thread_queued_ns(schedstat), cpu = thread_cpu_ns(), wall = now_ns();

	for (size_t i = 0; i < n; i++)
		submit(to[i]);
	CHECK(loop_turn(loop, 0) >= 0);

	wall = now_ns() - wall;
	cpu = thread_cpu_ns() - cpu;
	queued = thread_queued_ns(schedstat) - queued;
	longest.wall = MAX(longest.wall, wall);
	longest.cpu = MAX(longest.cpu, cpu);
	longest.own = MAX(longest.own, MAX(cpu, wall > queued ? wall - queued : 0));
	take_answers();
}

/* Another takes its name while orders for it are under way. */
static void churn(int schedstat)
{
	struct place *place = &places[random_below(ORDERED)];

	check_kills(place);
	if (random_below(2)) {
		/* Nobody has seen yet that its cgroup is gone. */
		end_load(place);
		remove_cgroups(place);
		place->dead = true;
		struct place *const to[] = {place, place};
		turn(to, ARRAY_SIZE(to), schedstat);
		drop_from_table(place);
	} else {
		drop_from_table(place);
		end_load(place);
		remove_cgroups(place);
	}
	make_container(place);
	know_container(place);
	counts.churned++;
}

static void wait_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 500 * 1000}, NULL);
}

static size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void drain(int schedstat)
{
	uint64_t end = now_ns() + 120 * EBB_NS_PER_SEC;

	while (n_open && now_ns() < end) {
		turn(NULL, 0, schedstat);
		if (n_open)
			wait_a_little();
	}
	CHECK_INT(n_open, 0);
}

static void run(unsigned long steps, int schedstat)
{
	while (number < steps) {
		struct place *to[4];
		size_t n = 1 + random_below(ARRAY_SIZE(to));

		if (n_open > ARRAY_SIZE(requests) / 2) {
			turn(NULL, 0, schedstat);
			wait_a_little();
			continue;
		}
		/* Several for one, mostly. */
		for (size_t i = 0; i < n; i++)
			to[i] = i && random_below(3) ? to[0] : &places[random_below(ORDERED)];
		turn(to, n, schedstat);
		if (!random_below(700))
			churn(schedstat);
	}
	drain(schedstat);
}

TEST(random_orders_hurt_nobody)
{
	const char *length = getenv("EBB_TEST_STEPS");
	unsigned seed = (unsigned)test_seed(SEED);
	unsigned long steps = length ? strtoul(length, NULL, 0) : STEPS;
	struct applier_stats stats;

	random_state = seed;
	set_up();
	int schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	size_t fds = count_fds();
	uint64_t start = now_ns();
	run(steps, schedstat);
	CHECK_INT(count_fds(), fds);
	for (size_t i = 0; i < PLACES; i++) {
		for (int kind = 0; kind < LIMIT_KIND_MAX; kind++)
			CHECK_INT(places[i].pending[kind], 0);
		check_place(&places[i]);
	}
	applier_get_stats(applier, &stats);
	CHECK_INT(stats.orders, counts.taken);
	CHECK_INT(stats.writes, counts.writes);
	CHECK_INT(stats.floored, counts.floored);
	if (schedstat >= 0)
		close(schedstat);

	printf("# %lu orders in %.1f s: %lu of memory, %lu floored; %lu refused, %lu cancelled, "
	       "%lu busy, %lu too many, %lu gone; %lu limits put back, %lu not, %lu replaced; "
	       "%lu containers replaced\n",
	       number, (double)(now_ns() - start) / 1e9, counts.mem, counts.floored, counts.refused,
	       counts.cancelled, counts.busy, counts.full, counts.gone, counts.put_back,
	       counts.not_put_back, counts.replaced, counts.churned);
	printf("# longest turn %.1f ms wall, %.1f ms CPU, %.1f ms without waiting for a CPU\n",
	       (double)longest.wall / 1e6, (double)longest.cpu / 1e6, (double)longest.own / 1e6);
	/* Each must have happened, or this has tested less than it says. */
	if (steps >= STEPS) {
		CHECK(counts.mem && counts.floored && counts.refused && counts.churned &&
		      counts.put_back && counts.gone);
	}
}

TEST_MAIN()
