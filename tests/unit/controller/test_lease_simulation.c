/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controllers that run lease.c against one document, through a network, clocks and processes that
 * misbehave at random (EBB_TEST_SEED repeats a run): never two act at the same moment, but in the
 * one case that lease.h names, where the agents refuse the older; and there is a leader again
 * within 3 s whenever the database and one controller were left in peace for so long.
 */
#include "seed.h"
#include "test.h"

#include "lease.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

#define NODES_MAX    3
#define MESSAGES_MAX 256
#define TICK_MS      5
#define MINUTES      120
#define CALL_MS      350 /* as leader.c waits */
#define TAKEOVER_MS  3000

enum kind { TO_DB, FROM_DB, TO_NODE, FROM_NODE };

/* A request or its answer, on its way until `at`. */
struct message {
	bool used;
	enum kind kind;
	double at;
	int from, to;
	unsigned call; /* of the node that asks */
	enum lease_action action;
	struct lease_step step;
	enum lease_result result;
	char rev[LEASE_REV_MAX];
	char url[LEASE_URL_MAX], instance[LEASE_INSTANCE_MAX];
	bool yes;
	uint64_t term;
	double reached; /* the database */
};

struct node {
	struct lease lease;
	bool alive;
	double paused_until, started;
	double rate, offset; /* of its clock */
	bool cut;            /* off from the database */

	/* The call under way. */
	bool waiting;
	unsigned call;
	double deadline, wake;
	struct lease_step step;
	size_t answers, promises;
	uint64_t answered_term;
	unsigned attempts;

	double harmed;  /* when something last happened to it or to its messages */
	double reached; /* when the request last reached the database that was then answered */
	/* When it last went on. */
	uint64_t acts_until;
	bool knew[NODES_MAX];
	double reached_before;
};

/* Besides processes that are killed and paused, clocks, and messages that are lost, late or
 * doubled. */
struct trouble {
	bool outages;    /* of the database */
	bool partitions; /* of the controllers from it and from each other */
	bool deletions;  /* of the document */
	bool splits;     /* a write that is refused stays as a second leaf now and then */
};

static struct {
	uint64_t random;
	double now;
	int n;
	struct node nodes[NODES_MAX];
	bool cut[NODES_MAX][NODES_MAX];
	bool db_up, exists;
	struct lease_doc doc, other; /* as doc.split says */
	unsigned long revisions, instances, splits;
	double renewed;           /* when the leader's part of the document last changed */
	double listed[NODES_MAX]; /* since when the running instance is in it */
	struct message messages[MESSAGES_MAX];
	double acted; /* when somebody last did */

	uint64_t agent_term;
	double led_from[NODES_MAX]; /* since when each was listed when it last took over */
	unsigned long steps, orders, refused, both, takeovers, kills, documented_ms;
	struct trouble trouble;
} w;

static uint64_t draw(void)
{
	w.random ^= w.random << 13;
	w.random ^= w.random >> 7;
	w.random ^= w.random << 17;
	return w.random;
}

static double uniform(double low, double high)
{
	return low + (high - low) * (double)(draw() >> 11) / 9007199254740992.0;
}

static bool chance(double probability)
{
	return uniform(0, 1) < probability;
}

static uint64_t clock_of(const struct node *node)
{
	return (uint64_t)(node->offset + node->rate * w.now);
}

static bool runs(const struct node *node)
{
	return node->alive && w.now >= node->paused_until;
}

static bool is_acting(const struct node *node, uint64_t *ret_term)
{
	return runs(node) && lease_acts(&node->lease, clock_of(node), ret_term);
}

static void url_of(int i, char *url, size_t size)
{
	snprintf(url, size, "http://node%d:5000", i);
}

static void start(int i)
{
	struct node *node = &w.nodes[i];
	char url[LEASE_URL_MAX], instance[LEASE_INSTANCE_MAX];

	url_of(i, url, sizeof(url));
	snprintf(instance, sizeof(instance), "%d-%lu", i, ++w.instances);
	node->alive = true;
	node->paused_until = 0;
	node->waiting = false;
	node->call += 1000;
	node->started = node->harmed = w.now;
	node->wake = 0;
	node->acts_until = 0;
	w.listed[i] = INFINITY;
	/* What was on its way to or from the process before went with its connections; what the
	 * database has not yet seen goes on. */
	for (int m = 0; m < MESSAGES_MAX; m++)
		if ((w.messages[m].kind == TO_NODE && w.messages[m].to == i) ||
		    (w.messages[m].kind != TO_DB && w.messages[m].from == i))
			w.messages[m].used = false;
	lease_init(&node->lease, url, instance, clock_of(node));
}

/* --- the network --- */

/* Its calls then may end one after another by their time limit. */
static void harm(int i, double until)
{
	w.nodes[i].harmed = MAX(w.nodes[i].harmed, until + 2 * CALL_MS);
}

static struct message *post(enum kind kind, int from, int to, double delay)
{
	for (int i = 0; i < MESSAGES_MAX; i++) {
		struct message *m = &w.messages[i];

		if (m->used)
			continue;
		*m = (struct message){
			.used = true, .kind = kind, .at = w.now + delay, .from = from, .to = to};
		return m;
	}
	return NULL;
}

static double delay_for(int i)
{
	double delay = uniform(0.2, 15);

	if (chance(0.02)) {
		delay = uniform(15, 900);
		harm(i, w.now + delay);
	}
	return delay;
}

static bool is_lost(int i)
{
	if (!chance(0.01))
		return false;
	harm(i, w.now);
	return true;
}

static void request_db(int i)
{
	struct node *node = &w.nodes[i];
	int copies = chance(0.01) ? 2 : 1;

	for (; copies && !is_lost(i); copies--) {
		struct message *m = post(TO_DB, i, i, delay_for(i));

		if (!m)
			break;
		m->call = node->call;
		m->action = node->step.action;
		m->step = node->step;
	}
	if (copies)
		harm(i, w.now);
}

static void request_node(int i, const char *url, const char *instance)
{
	struct node *node = &w.nodes[i];

	for (int to = 0; to < w.n; to++) {
		char one[LEASE_URL_MAX];
		struct message *m;

		url_of(to, one, sizeof(one));
		if (strcmp(one, url) || w.cut[i][to] || is_lost(i))
			continue;
		m = post(TO_NODE, i, to, delay_for(i));
		if (!m)
			return;
		if (m->at - w.now > 15)
			harm(to, m->at);
		m->call = node->call;
		m->action = node->step.action;
		m->step = node->step;
		snprintf(m->url, sizeof(m->url), "%s", node->lease.url);
		snprintf(m->instance, sizeof(m->instance), "%s", instance);
	}
}

/* --- the database --- */

/* Anew when it was struck off in between. */
static void note_listed(void)
{
	for (int i = 0; i < w.n; i++) {
		bool is_listed = false;

		for (size_t s = 0; s < w.doc.n_standbys; s++)
			is_listed = is_listed ||
				    !strcmp(w.doc.standbys[s].instance, w.nodes[i].lease.instance);
		w.listed[i] = is_listed ? MIN(w.listed[i], w.now) : INFINITY;
	}
}

/* The leaf that counts is the one with more generations. */
static void order_leaves(void)
{
	struct lease_doc doc = w.doc;

	if (!w.doc.split || strtoul(w.doc.rev, NULL, 10) >= strtoul(w.other.rev, NULL, 10))
		return;
	w.doc = w.other;
	w.doc.split = true;
	w.other = doc;
}

static void name_revision(struct lease_doc *doc, const char *before)
{
	snprintf(doc->rev, sizeof(doc->rev), "%lu-%lu", strtoul(before, NULL, 10) + 1,
		 ++w.revisions);
}

static void make_leaf(const struct lease_doc *doc)
{
	/* One that wins though it came later, or one that stays behind as the other is renewed. */
	unsigned long generation =
		strtoul(w.doc.rev, NULL, 10) + (chance(0.5) ? 1 + draw() % 50 : 0);

	w.other = *doc;
	w.doc.split = true;
	snprintf(w.other.rev, sizeof(w.other.rev), "%lu-%lu", generation, ++w.revisions);
	w.splits++;
	order_leaves();
}

static void db_settle(struct message *m)
{
	m->result = LEASE_DONE;
	m->term = 0;
	if (!w.exists || !w.doc.split || strcmp(m->step.doc.rev, w.doc.rev))
		return;
	m->term = w.other.term;
	if (w.other.term > w.doc.term) {
		w.doc.term = w.other.term;
		w.doc.renewed++;
		name_revision(&w.doc, w.doc.rev);
	}
	w.doc.split = false;
}

static void db_write(struct message *m)
{
	struct lease_doc *doc = &m->step.doc;

	if (w.exists && w.doc.split && !strcmp(doc->rev, w.other.rev)) {
		w.other = *doc;
		name_revision(&w.other, doc->rev);
		snprintf(m->rev, sizeof(m->rev), "%s", w.other.rev);
		m->result = LEASE_DONE;
		order_leaves();
		return;
	}
	if (strcmp(doc->rev, w.exists ? w.doc.rev : "")) {
		m->result = LEASE_CONFLICT;
		if (w.trouble.splits && w.exists && !w.doc.split && chance(0.05))
			make_leaf(doc);
		return;
	}
	doc->split = w.exists && w.doc.split;
	if (!w.exists || strcmp(doc->instance, w.doc.instance) || doc->term != w.doc.term ||
	    doc->renewed != w.doc.renewed)
		w.renewed = w.now;
	if (strcmp(doc->instance, w.doc.instance)) {
		w.takeovers++;
		w.led_from[m->from] = MIN(w.listed[m->from], w.now);
	}
	w.doc = *doc;
	w.exists = true;
	name_revision(&w.doc, doc->rev);
	snprintf(m->rev, sizeof(m->rev), "%s", w.doc.rev);
	m->result = LEASE_DONE;
	note_listed();
}

static void at_db(struct message *m)
{
	struct node *node = &w.nodes[m->from];

	if (!w.db_up || node->cut) {
		harm(m->from, w.now);
		/* Refused, or nothing comes back at all. */
		if (chance(0.5)) {
			m->used = false;
			return;
		}
		m->result = LEASE_FAILED;
	} else if (m->action == LEASE_WRITE) {
		db_write(m);
	} else if (m->action == LEASE_SETTLE) {
		db_settle(m);
	} else {
		m->result = w.exists ? LEASE_DONE : LEASE_MISSING;
		m->step.doc = w.doc;
	}
	if (is_lost(m->from)) {
		m->used = false;
		return;
	}
	m->kind = FROM_DB;
	m->reached = w.now;
	m->at = w.now + delay_for(m->from);
}

/* --- the controllers --- */

static void at_node(struct message *m)
{
	struct node *node = &w.nodes[m->to];
	uint64_t now = clock_of(node), term;

	/* Paused: the kernel keeps it. Dead: refused at once, which an answer "no" stands for. */
	if (node->alive && !runs(node)) {
		m->at = node->paused_until;
		return;
	}
	m->yes = false;
	m->term = 0;
	if (node->alive) {
		if (m->action == LEASE_ASK) {
			m->yes = lease_asked(&node->lease, now, m->url,
					     w.nodes[m->from].lease.instance) &&
				 !strcmp(node->lease.instance, m->instance);
		} else {
			m->yes = lease_promise(&node->lease, now, m->step.doc.term,
					       m->step.doc.instance, m->step.acts) &&
				 !strcmp(node->lease.instance, m->instance);
			term = node->lease.max_term;
			m->term = term;
		}
	}
	if (w.cut[m->to][m->from] || is_lost(m->from)) {
		m->used = false;
		return;
	}
	m->kind = FROM_NODE;
	m->at = w.now + delay_for(m->from);
}

static void note_extension(struct node *node)
{
	if (node->lease.acts_until > node->acts_until) {
		node->reached_before = node->reached;
		for (int i = 0; i < w.n; i++)
			node->knew[i] = lease_knows(&node->lease, w.nodes[i].lease.instance);
	}
	node->acts_until = node->lease.acts_until;
}

static void end_call(struct node *node)
{
	uint64_t now = clock_of(node);

	node->waiting = false;
	node->call++;
	node->wake = 0;
	if (node->step.action == LEASE_ASK)
		lease_ask_done(&node->lease, now, node->promises > 0);
	else if (node->step.action == LEASE_PROMISES)
		lease_promises_done(&node->lease, now, node->promises == node->step.doc.n_standbys,
				    node->answered_term);
	else if (node->step.action == LEASE_SETTLE)
		lease_settle_done(&node->lease, now, 0);
	else if (node->step.action == LEASE_READ)
		lease_read_done(&node->lease, now, LEASE_FAILED, NULL);
	else
		lease_write_done(&node->lease, now, LEASE_FAILED, &node->step, NULL);
	note_extension(node);
}

static void answered(struct message *m)
{
	struct node *node = &w.nodes[m->from];

	if (!runs(node)) {
		m->at = node->alive ? node->paused_until : INFINITY;
		m->used = node->alive;
		return;
	}
	m->used = false;
	if (!node->waiting || node->call != m->call)
		return;
	if (m->kind == FROM_NODE) {
		node->answers++;
		node->promises += m->yes;
		node->answered_term = MAX(node->answered_term, m->term);
		if (node->answers == (m->action == LEASE_ASK ? 1 : node->step.doc.n_standbys))
			end_call(node);
		return;
	}
	if (m->result == LEASE_FAILED) {
		end_call(node);
		return;
	}
	node->waiting = false;
	node->call++;
	node->wake = 0;
	node->reached = m->reached;
	if (m->action == LEASE_SETTLE)
		lease_settle_done(&node->lease, clock_of(node), m->term);
	else if (m->action == LEASE_READ)
		lease_read_done(&node->lease, clock_of(node), m->result, &m->step.doc);
	else
		lease_write_done(&node->lease, clock_of(node), m->result, &m->step, m->rev);
	note_extension(node);
}

static void begin_call(int i)
{
	struct node *node = &w.nodes[i];

	lease_next(&node->lease, clock_of(node), &node->step);
	w.steps++;
	if (node->step.action == LEASE_WAIT) {
		node->wake = ((double)node->step.until - node->offset) / node->rate;
		return;
	}
	node->waiting = true;
	node->answers = node->promises = 0;
	node->answered_term = 0;
	node->deadline = w.now + CALL_MS;
	if (node->step.action == LEASE_ASK)
		request_node(i, node->step.doc.holder, node->step.doc.instance);
	else if (node->step.action == LEASE_PROMISES)
		for (size_t s = 0; s < node->step.doc.n_standbys; s++)
			request_node(i, node->step.doc.standbys[s].url,
				     node->step.doc.standbys[s].instance);
	else
		request_db(i);
}

/* --- what happens to them --- */

static void misfortune(void)
{
	int i = (int)(draw() % (uint64_t)w.n);
	struct node *node = &w.nodes[i];

	if (node->alive && chance(0.0004)) {
		node->alive = false;
		node->harmed = INFINITY;
		w.kills++;
	}
	if (!node->alive && chance(0.001))
		start(i);
	if (runs(node) && chance(0.0004)) {
		node->paused_until = w.now + (chance(0.5) ? uniform(20, 900) : uniform(900, 9000));
		harm(i, node->paused_until);
	}
	if (w.trouble.outages && chance(w.db_up ? 0.0002 : 0.002))
		w.db_up = !w.db_up;
	if (chance(node->cut ? 0.002 : 0.0003))
		node->cut = w.trouble.partitions && !node->cut;
	if (w.trouble.partitions && chance(0.001)) {
		int to = (int)(draw() % (uint64_t)w.n);

		w.cut[i][to] = !w.cut[i][to] && chance(0.3);
	}
	if (w.trouble.deletions && w.exists && w.db_up && chance(0.00003)) {
		w.exists = false;
		w.renewed = w.now;
	}
}

/* --- what must hold --- */

/* An order of each who acts, now and then. */
static void order(struct node *node)
{
	uint64_t term;

	if (!is_acting(node, &term) || !chance(0.1))
		return;
	w.orders++;
	if (term >= w.agent_term) {
		w.agent_term = term;
		return;
	}
	w.refused++;
	lease_outdated(&node->lease, w.agent_term);
	CHECK(!is_acting(node, &term));
}

/* When `old` last went on it did not know of `new`, and had no answer of the database since `new`
 * was listed. */
static bool is_documented(int old, int new)
{
	return !w.nodes[old].knew[new] && w.nodes[old].reached_before <= w.led_from[new];
}

/* What is in the way of an explanation when it is not there. */
static void describe(void)
{
	for (int i = 0; i < w.n; i++) {
		const struct node *node = &w.nodes[i];
		const struct lease *l = &node->lease;
		double now = (double)clock_of(node);

		fprintf(stderr,
			"%s: alive %d runs %d cut %d, %s %d, holds %d term %llu of %llu, doubt %d, knows "
			"%zu (%d %d %d before); ms ago: started %.0f harmed %.0f reached %.0f (%.0f "
			"before) listed %.0f (%.0f then), acts %.0f sent %.0f promised %.0f changed %.0f "
			"listed %.0f read %.0f\n",
			l->instance, node->alive, runs(node), node->cut,
			node->waiting ? "calls" : "after", node->step.action, l->holds,
			(unsigned long long)l->doc.term, (unsigned long long)l->max_term,
			l->in_doubt, l->doc.n_standbys, node->knew[0], node->knew[1], node->knew[2],
			w.now - node->started, w.now - node->harmed, w.now - node->reached,
			w.now - node->reached_before, w.now - w.listed[i], w.now - w.led_from[i],
			now - (double)l->acts_until, now - (double)l->sent_at,
			now - (double)l->promised_until, now - (double)l->changed_at,
			now - (double)l->listed_at, now - (double)l->read_at);
	}
	fprintf(stderr, "document: %s of term %llu, %.0f ms ago\n", w.doc.instance,
		(unsigned long long)w.doc.term, w.now - w.renewed);
}

static void check_leaders(void)
{
	int acting = -1;
	uint64_t term, other;

	for (int i = 0; i < w.n; i++) {
		if (!is_acting(&w.nodes[i], &term))
			continue;
		w.acted = w.now;
		if (acting >= 0) {
			w.both++;
			if (!w.trouble.outages ||
			    !(is_documented(acting, i) || is_documented(i, acting))) {
				describe();
				TEST_FAIL("at %.0f ms both %s and %s act", w.now,
					  w.nodes[acting].lease.instance,
					  w.nodes[i].lease.instance);
			}
			CHECK(is_acting(&w.nodes[acting], &other));
			/* Who starts after a deletion cannot know the last term. */
			CHECK(w.trouble.deletions || other != term);
		}
		acting = i;
	}
	for (int i = 0; i < w.n; i++) {
		double since = MAX(MAX(w.nodes[i].harmed, w.renewed), w.acted);

		if (w.nodes[i].alive && w.db_up && !w.nodes[i].cut && w.now - since > TAKEOVER_MS) {
			describe();
			TEST_FAIL("at %.0f ms nobody has led for %d ms, and %s could", w.now,
				  TAKEOVER_MS, w.nodes[i].lease.instance);
		}
	}
}

static void simulate(int n, struct trouble trouble)
{
	memset(&w, 0, sizeof(w));
	w.random = test_seed(2654435769) | 1;
	w.n = n;
	w.db_up = true;
	w.trouble = trouble;
	for (int i = 0; i < n; i++) {
		w.nodes[i].rate = uniform(0.95, 1.05);
		w.nodes[i].offset = uniform(1e4, 1e6);
		start(i);
	}
	for (w.now = 0; w.now < MINUTES * 60000.0; w.now += TICK_MS) {
		misfortune();
		for (int m = 0; m < MESSAGES_MAX; m++) {
			struct message *message = &w.messages[m];

			if (!message->used || message->at > w.now)
				continue;
			switch (message->kind) {
			case TO_DB: at_db(message); break;
			case TO_NODE: at_node(message); break;
			default: answered(message);
			}
		}
		for (int i = 0; i < n; i++) {
			struct node *node = &w.nodes[i];

			/* A harm that lasts. */
			if (!w.db_up || node->cut)
				harm(i, w.now);
			if (w.exists && w.doc.split)
				harm(i, w.now + LEASE_SPLIT_MS);
			if (!runs(node))
				continue;
			if (node->waiting && w.now >= node->deadline)
				end_call(node);
			if (!node->waiting && w.now >= node->wake)
				begin_call(i);
			order(node);
		}
		check_leaders();
	}
	printf("# %lu steps, %lu takeovers, %lu kills, %lu splits, %lu orders, %lu refused, both act "
	       "%lu ms\n",
	       w.steps, w.takeovers, w.kills, w.splits, w.orders, w.refused, w.both * TICK_MS);
	CHECK(!trouble.splits || w.splits > 5);
	CHECK(w.steps > 20000);
	CHECK(w.takeovers > 10);
	CHECK(w.kills > 5);
	CHECK(w.orders > 1000);
}

TEST(two_controllers_with_a_database_that_stays)
{
	simulate(2, (struct trouble){0});
}

TEST(three_controllers_with_a_database_that_stays)
{
	simulate(3, (struct trouble){0});
}

TEST(two_controllers_with_a_database_that_goes_and_comes)
{
	simulate(2, (struct trouble){.outages = true});
}

TEST(three_controllers_with_a_database_that_goes_and_comes)
{
	simulate(3, (struct trouble){.outages = true});
}

TEST(two_controllers_and_every_partition)
{
	simulate(2, (struct trouble){.outages = true, .partitions = true});
}

TEST(three_controllers_and_every_partition)
{
	simulate(3, (struct trouble){.outages = true, .partitions = true});
}

TEST(three_controllers_and_somebody_who_deletes_the_document)
{
	simulate(3, (struct trouble){.outages = true, .partitions = true, .deletions = true});
}

TEST(two_controllers_and_a_document_of_two_leaves)
{
	simulate(2, (struct trouble){.splits = true});
}

TEST(three_controllers_and_a_document_of_two_leaves)
{
	simulate(3, (struct trouble){.splits = true});
}

TEST_MAIN()
