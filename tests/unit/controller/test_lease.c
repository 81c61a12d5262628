/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "lease.h"

static struct lease a, b;
static struct lease_step step;

static struct lease_doc doc_of(const char *rev, const char *instance, uint64_t term,
			       uint64_t renewed)
{
	struct lease_doc doc = {.term = term, .renewed = renewed};

	snprintf(doc.rev, sizeof(doc.rev), "%s", rev);
	snprintf(doc.instance, sizeof(doc.instance), "%s", instance);
	if (*instance)
		snprintf(doc.holder, sizeof(doc.holder), "http://%s:5000", instance);
	return doc;
}

static void list(struct lease_doc *doc, const char *instance, uint64_t seen)
{
	struct lease_standby *one = &doc->standbys[doc->n_standbys++];

	snprintf(one->instance, sizeof(one->instance), "%s", instance);
	snprintf(one->url, sizeof(one->url), "http://%s:5000", instance);
	one->seen = seen;
}

static enum lease_action next(struct lease *lease, uint64_t now)
{
	lease_next(lease, now, &step);
	return step.action;
}

static bool acts(const struct lease *lease, uint64_t now)
{
	uint64_t term;

	return lease_acts(lease, now, &term);
}

/* `a` leads since 10,000 in term 5, with the standbys of `doc`. */
static void lead(const struct lease_doc *given)
{
	struct lease_doc doc = given ? *given : doc_of("1-x", "", 4, 7);

	lease_init(&a, "http://a:5000", "a", 9990);
	CHECK_INT(next(&a, 9990), LEASE_READ);
	lease_read_done(&a, 9995, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 10000), LEASE_WRITE);
	CHECK_INT(step.doc.term, 5);
	lease_write_done(&a, 10010, LEASE_DONE, &step, "2-x");
}

TEST(a_lease_that_was_given_up_is_taken_at_once)
{
	struct lease_doc doc = doc_of("3-abc", "", 4, 7);

	lease_init(&a, "http://a:5000", "a", 1000);
	CHECK(!acts(&a, 1000));
	CHECK_INT(next(&a, 1000), LEASE_READ);
	lease_read_done(&a, 1005, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 1006), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "3-abc");
	CHECK_STR(step.doc.holder, "http://a:5000");
	CHECK_STR(step.doc.instance, "a");
	CHECK_INT(step.doc.term, 5);
	CHECK_INT(step.doc.renewed, 8);
	CHECK(!acts(&a, 1006));
	lease_write_done(&a, 1020, LEASE_DONE, &step, "4-abc");
	/* Counted from when it was sent. */
	CHECK(acts(&a, 1020));
	CHECK(acts(&a, 1006 + LEADER_ACT_MS - 1));
	CHECK(!acts(&a, 1006 + LEADER_ACT_MS));
	CHECK_INT(a.takeovers, 1);
}

TEST(who_does_not_know_the_state_takes_nothing_over)
{
	struct lease_doc doc = doc_of("3-abc", "", 4, 7);

	lease_init(&a, "http://a:5000", "a", 1000);
	a.unready = true;
	for (uint64_t now = 1000; now < 20000; now += LEASE_POLL_MS) {
		CHECK_INT(next(&a, now), LEASE_READ);
		lease_read_done(&a, now + 5, LEASE_DONE, &doc);
		CHECK_INT(next(&a, now + 6), LEASE_WAIT);
		CHECK_INT(step.until, now + LEASE_POLL_MS);
	}
	a.unready = false;
	CHECK_INT(next(&a, 20000), LEASE_READ);
	lease_read_done(&a, 20005, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 20006), LEASE_WRITE);
	/* It is listed all the same: the leader needs its promise. */
	doc = doc_of("3-abc", "b", 4, 7);
	lease_init(&a, "http://a:5000", "a", 1000);
	a.unready = true;
	CHECK_INT(next(&a, 1000), LEASE_READ);
	lease_read_done(&a, 1005, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 1006), LEASE_WRITE);
	CHECK_STR(step.doc.instance, "b");
	CHECK_INT(step.doc.n_standbys, 1);
}

TEST(the_first_waits_a_lease_before_it_makes_the_document)
{
	lease_init(&a, "http://a:5000", "a", 1000);
	CHECK_INT(next(&a, 1000), LEASE_READ);
	lease_read_done(&a, 1005, LEASE_MISSING, NULL);
	CHECK_INT(next(&a, 1006), LEASE_WAIT);
	CHECK_INT(step.until, 1000 + LEASE_POLL_MS);
	CHECK_INT(next(&a, 1005 + LEADER_LEASE_MS - 1), LEASE_READ);
	lease_read_done(&a, 1005 + LEADER_LEASE_MS - 1, LEASE_MISSING, NULL);
	/* Woken when it is due, not with the next poll. */
	CHECK_INT(next(&a, 1005 + LEADER_LEASE_MS - 1), LEASE_WAIT);
	CHECK_INT(step.until, 1005 + LEADER_LEASE_MS);
	CHECK_INT(next(&a, 1005 + LEADER_LEASE_MS), LEASE_READ);
	lease_read_done(&a, 1005 + LEADER_LEASE_MS, LEASE_MISSING, NULL);
	CHECK_INT(next(&a, 1005 + LEADER_LEASE_MS), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "");
	CHECK_INT(step.doc.term, 1);
}

TEST(the_leader_renews_and_keeps_its_term)
{
	lead(NULL);
	CHECK_INT(next(&a, 10010), LEASE_WAIT);
	CHECK_INT(step.until, 10000 + LEADER_RENEW_MS);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "2-x");
	CHECK_INT(step.doc.term, 5);
	CHECK_INT(step.doc.renewed, 9);
	lease_write_done(&a, 10310, LEASE_DONE, &step, "3-x");
	CHECK(acts(&a, 10300 + LEADER_ACT_MS - 1));
	CHECK(!acts(&a, 10300 + LEADER_ACT_MS));
	CHECK_INT(a.takeovers, 1);
}

TEST(a_conflict_is_looked_into_and_extends_nothing)
{
	struct lease_doc doc = doc_of("9-y", "a", 5, 8);

	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_CONFLICT, &step, NULL);
	CHECK(acts(&a, 11199));
	CHECK(!acts(&a, 11200));
	CHECK_INT(next(&a, 10311), LEASE_READ);
	/* A standby has put itself in. */
	list(&doc, "b", 1);
	lease_read_done(&a, 10320, LEASE_DONE, &doc);
	CHECK(lease_knows(&a, "b"));
	CHECK(!acts(&a, 11200));
	CHECK_INT(next(&a, 10321), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "9-y");
	CHECK_INT(step.doc.n_standbys, 1);
	lease_write_done(&a, 10330, LEASE_DONE, &step, "10-y");
	CHECK(acts(&a, 11520));
}

TEST(a_leader_that_was_replaced_stops)
{
	struct lease_doc doc = doc_of("9-y", "b", 6, 9);

	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 10311), LEASE_READ);
	lease_read_done(&a, 10320, LEASE_DONE, &doc);
	CHECK(!acts(&a, 10320));
	CHECK(!a.holds);
	/* It is a standby now and says so. */
	CHECK_INT(next(&a, 10321), LEASE_WRITE);
	CHECK_STR(step.doc.instance, "b");
	CHECK_INT(step.doc.term, 6);
	CHECK_STR(step.doc.standbys[0].url, "http://a:5000");
}

TEST(a_conflict_and_then_no_answer_is_no_ground_to_go_on)
{
	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 10311), LEASE_READ);
	lease_read_done(&a, 10320, LEASE_FAILED, NULL);
	CHECK(!acts(&a, 11200));
	CHECK_INT(next(&a, 10700), LEASE_READ);
}

TEST(conflicts_without_end_do_not_spin)
{
	struct lease_doc doc = doc_of("9-y", "a", 5, 8);
	uint64_t now = 10300;
	unsigned writes = 0;

	lead(NULL);
	while (now < 11300) {
		switch (next(&a, now)) {
		case LEASE_READ: lease_read_done(&a, now, LEASE_DONE, &doc); break;
		case LEASE_WRITE:
			writes++;
			lease_write_done(&a, now, LEASE_CONFLICT, &step, NULL);
			break;
		default: CHECK(step.until > now); now = step.until;
		}
		CHECK(writes < 100);
	}
}

TEST(without_the_database_a_leader_alone_goes_on)
{
	lead(NULL);
	for (uint64_t now = 10300; now < 60000; now += 300) {
		CHECK_INT(next(&a, now), LEASE_WRITE);
		lease_write_done(&a, now + 1, LEASE_FAILED, &step, NULL);
		CHECK(acts(&a, now + LEADER_ACT_MS - 1));
		CHECK(!acts(&a, now + LEADER_ACT_MS));
	}
}

TEST(a_leader_that_was_away_for_a_lease_does_not_go_on_alone)
{
	struct lease_doc doc = doc_of("7-x", "a", 5, 9);

	lead(NULL);
	CHECK_INT(next(&a, 10300 + LEADER_LEASE_MS), LEASE_WRITE);
	lease_write_done(&a, 12110, LEASE_FAILED, &step, NULL);
	CHECK(!acts(&a, 12110));
	CHECK_INT(next(&a, 12500), LEASE_WRITE);
	lease_write_done(&a, 12510, LEASE_FAILED, &step, NULL);
	CHECK(!acts(&a, 12510));
	/* Until the database says that nobody else came. */
	CHECK_INT(next(&a, 12900), LEASE_WRITE);
	lease_write_done(&a, 12910, LEASE_DONE, &step, "7-x");
	CHECK(!acts(&a, 12910));
	CHECK_INT(next(&a, 12910), LEASE_READ);
	doc.standbys[0].seen++;
	lease_read_done(&a, 12920, LEASE_DONE, &doc);
	CHECK(acts(&a, 12920));
	CHECK(!acts(&a, 12900 + LEADER_ACT_MS));
	CHECK_INT(next(&a, 13200), LEASE_WRITE);
	lease_write_done(&a, 13210, LEASE_FAILED, &step, NULL);
	CHECK(acts(&a, 13200 + LEADER_ACT_MS - 1));
}

TEST(without_the_database_every_standby_has_to_promise)
{
	struct lease_doc doc = doc_of("1-x", "", 4, 7);

	list(&doc, "b", 3);
	list(&doc, "c", 3);
	lead(&doc);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10650, LEASE_FAILED, &step, NULL);
	CHECK(!acts(&a, 11200));
	CHECK_INT(next(&a, 10651), LEASE_PROMISES);
	CHECK_INT(step.doc.n_standbys, 2);
	CHECK_INT(step.doc.term, 5);
	CHECK(step.acts);
	lease_promises_done(&a, 10700, true, 5);
	CHECK(acts(&a, 10651 + LEADER_ACT_MS - 1));
	CHECK(!acts(&a, 10651 + LEADER_ACT_MS));

	CHECK_INT(next(&a, 10951), LEASE_WRITE);
	lease_write_done(&a, 10960, LEASE_FAILED, &step, NULL);
	CHECK_INT(next(&a, 10961), LEASE_PROMISES);
	lease_promises_done(&a, 10970, false, 5);
	CHECK(!acts(&a, 10651 + LEADER_ACT_MS));
	/* It says so when it no longer acts. */
	CHECK_INT(next(&a, 12000), LEASE_WRITE);
	lease_write_done(&a, 12001, LEASE_FAILED, &step, NULL);
	CHECK_INT(next(&a, 12002), LEASE_PROMISES);
	CHECK(!step.acts);
	/* One of them knows of another leader. */
	lease_promises_done(&a, 12010, false, 6);
	CHECK(!acts(&a, 12010));
	CHECK_INT(next(&a, 12310), LEASE_READ);
}

/* `b` has read at 20,000 that `a` leads in term 5, and is in the list. */
static void stand_by(void)
{
	struct lease_doc doc = doc_of("5-x", "a", 5, 40);

	lease_init(&b, "http://b:5000", "b", 20000);
	CHECK_INT(next(&b, 20000), LEASE_READ);
	lease_read_done(&b, 20000, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20000), LEASE_WRITE);
	CHECK_STR(step.doc.instance, "a");
	CHECK_INT(step.doc.renewed, 40);
	CHECK_INT(step.doc.n_standbys, 1);
	CHECK_STR(step.doc.standbys[0].instance, "b");
	lease_write_done(&b, 20000, LEASE_DONE, &step, "6-x");
	CHECK(!acts(&b, 20000));
}

static void read_at(uint64_t now, uint64_t renewed, uint64_t seen)
{
	struct lease_doc doc = doc_of("6-x", "a", 5, renewed);

	list(&doc, "b", seen);
	CHECK_INT(next(&b, now), LEASE_READ);
	lease_read_done(&b, now, LEASE_DONE, &doc);
}

TEST(a_standby_takes_over_when_nothing_changed_for_a_lease_and_the_leader_is_silent)
{
	stand_by();
	read_at(21799, 40, 1);
	CHECK_INT(next(&b, 21799), LEASE_WAIT);
	CHECK_INT(step.until, 21800);
	read_at(21800, 40, 1);
	CHECK_INT(next(&b, 21800), LEASE_ASK);
	CHECK_STR(step.doc.holder, "http://a:5000");
	CHECK_STR(step.doc.instance, "a");
	lease_ask_done(&b, 21850, false);
	CHECK_INT(next(&b, 21850), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "6-x");
	CHECK_INT(step.doc.term, 6);
	CHECK_STR(step.doc.instance, "b");
	CHECK_INT(step.doc.n_standbys, 0);
	/* Meanwhile it promises nothing. */
	CHECK(!lease_promise(&b, 21850, 5, "a", true));
	lease_write_done(&b, 21860, LEASE_DONE, &step, "7-x");
	CHECK(acts(&b, 21860));
	CHECK(!lease_promise(&b, 21860, 7, "a", true));
}

TEST(a_renewal_begins_the_lease_anew_another_standby_does_not)
{
	stand_by();
	read_at(21000, 41, 1);
	CHECK_INT(next(&b, 21000), LEASE_WAIT);
	read_at(21900, 41, 1);
	CHECK_INT(next(&b, 21900), LEASE_WAIT);
	struct lease_doc doc = doc_of("8-x", "a", 5, 41);
	list(&doc, "b", 1);
	list(&doc, "c", 1);
	CHECK_INT(next(&b, 22800), LEASE_READ);
	lease_read_done(&b, 22800, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 22800), LEASE_ASK);
	lease_ask_done(&b, 22801, false);
	CHECK_INT(next(&b, 22801), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "8-x");
	CHECK_INT(step.doc.n_standbys, 1);
	CHECK_STR(step.doc.standbys[0].instance, "c");
}

TEST(a_leader_that_acts_without_the_database_is_left_alone)
{
	stand_by();
	read_at(22000, 40, 1);
	CHECK_INT(next(&b, 22000), LEASE_ASK);
	lease_ask_done(&b, 22010, true);
	CHECK_INT(next(&b, 22010), LEASE_WAIT);
	read_at(22210, 40, 1);
	CHECK_INT(next(&b, 22210), LEASE_WAIT);
	read_at(22010 + LEADER_LEASE_MS, 40, 1);
	CHECK_INT(next(&b, 22010 + LEADER_LEASE_MS), LEASE_ASK);
}

TEST(a_promise_is_kept)
{
	stand_by();
	CHECK(lease_promise(&b, 21500, 5, "a", true));
	read_at(23200, 40, 1);
	CHECK_INT(next(&b, 23200), LEASE_WAIT);
	/* Given between the question and the takeover. */
	read_at(23400, 40, 1);
	CHECK_INT(next(&b, 23400), LEASE_ASK);
	CHECK(lease_promise(&b, 23450, 5, "a", true));
	lease_ask_done(&b, 23460, false);
	CHECK_INT(next(&b, 23460), LEASE_WAIT);
	read_at(23450 + LEADER_LEASE_MS, 40, 1);
	CHECK_INT(next(&b, 23450 + LEADER_LEASE_MS), LEASE_ASK);
}

TEST(what_is_not_promised)
{
	stand_by();
	/* An older leader, another of the same term, one that does not act while we could. */
	CHECK(!lease_promise(&b, 20100, 4, "z", true));
	CHECK(!lease_promise(&b, 20100, 5, "z", true));
	CHECK(!lease_promise(&b, 20100, 5, "a", false));
	/* We cannot read the document either. */
	CHECK(lease_promise(&b, 21100, 5, "a", false));
	/* Of a newer leader we need not have read. */
	CHECK(lease_promise(&b, 21100, 6, "c", true));
	CHECK(!lease_promise(&b, 21100, 5, "a", true));
}

TEST(a_takeover_that_was_done_but_not_answered_counts_only_under_a_new_term)
{
	struct lease_doc doc = doc_of("7-x", "b", 6, 41);

	stand_by();
	read_at(21800, 40, 1);
	CHECK_INT(next(&b, 21800), LEASE_ASK);
	lease_ask_done(&b, 21801, false);
	CHECK_INT(next(&b, 21801), LEASE_WRITE);
	lease_write_done(&b, 22151, LEASE_FAILED, &step, NULL);
	CHECK(lease_promise(&b, 23200, 5, "a", true));
	CHECK_INT(next(&b, 23300), LEASE_READ);
	lease_read_done(&b, 23301, LEASE_DONE, &doc);
	CHECK(!acts(&b, 23301));
	/* Nor does it list itself as its own standby. */
	CHECK_INT(next(&b, 23302), LEASE_WAIT);
	CHECK(!lease_asked(&b, 23400, "http://c:5000", "c"));
	/* As with another's, from when it was seen; what was promised since is kept anyway. */
	CHECK_INT(next(&b, 23301 + LEADER_LEASE_MS - 1), LEASE_READ);
	lease_read_done(&b, 23301 + LEADER_LEASE_MS - 1, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 23301 + LEADER_LEASE_MS - 1), LEASE_WAIT);
	CHECK_INT(next(&b, 23301 + LEADER_LEASE_MS), LEASE_READ);
	lease_read_done(&b, 23301 + LEADER_LEASE_MS, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 23301 + LEADER_LEASE_MS), LEASE_WRITE);
	CHECK_INT(step.doc.term, 7);
	CHECK_STR(step.doc.rev, "7-x");
	lease_write_done(&b, 25110, LEASE_DONE, &step, "8-x");
	CHECK(acts(&b, 25110));
}

TEST(who_was_not_listed_long_enough_does_not_take_over)
{
	struct lease_doc doc = doc_of("5-x", "a", 5, 40);

	/* Listed only at 21,500: the write before was refused. */
	lease_init(&b, "http://b:5000", "b", 20000);
	CHECK_INT(next(&b, 20000), LEASE_READ);
	lease_read_done(&b, 20000, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20000), LEASE_WRITE);
	lease_write_done(&b, 20010, LEASE_FAILED, &step, NULL);
	CHECK_INT(next(&b, 21500), LEASE_READ);
	lease_read_done(&b, 21500, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 21500), LEASE_WRITE);
	CHECK_INT(step.doc.n_standbys, 1);
	lease_write_done(&b, 21500, LEASE_DONE, &step, "6-x");
	read_at(23299, 40, 2);
	CHECK_INT(next(&b, 23299), LEASE_WAIT);
	read_at(23300, 40, 2);
	CHECK_INT(next(&b, 23300), LEASE_ASK);
}

TEST(a_standby_shows_now_and_then_that_it_lives)
{
	uint64_t now;

	stand_by();
	for (now = 20200; now < 20000 + LEASE_REGISTER_MS; now += 200) {
		read_at(now, now, 1);
		CHECK_INT(next(&b, now), LEASE_WAIT);
	}
	read_at(now, now, 1);
	CHECK_INT(next(&b, now), LEASE_WRITE);
	CHECK_STR(step.doc.instance, "a");
	CHECK_INT(step.doc.standbys[0].seen, 2);
}

TEST(a_dead_standby_is_dropped_and_a_new_one_has_its_place)
{
	struct lease_doc doc = doc_of("1-x", "", 4, 7);
	uint64_t now;

	list(&doc, "b", 3);
	lead(&doc);
	for (now = 10300; now < 9995 + LEASE_DROP_MS; now += 300) {
		CHECK_INT(next(&a, now), LEASE_WRITE);
		CHECK_INT(step.doc.n_standbys, 1);
		lease_write_done(&a, now, LEASE_DONE, &step, "3-x");
	}
	CHECK_INT(next(&a, now), LEASE_WRITE);
	CHECK_INT(step.doc.n_standbys, 0);
	/* Not before the database has taken it. */
	lease_write_done(&a, now, LEASE_FAILED, &step, NULL);
	CHECK(lease_knows(&a, "b"));

	/* Another instance at the same address. */
	stand_by();
	lease_init(&b, "http://b:5000", "b2", 30000);
	doc = doc_of("6-x", "a", 5, 40);
	list(&doc, "b", 1);
	CHECK_INT(next(&b, 30000), LEASE_READ);
	lease_read_done(&b, 30000, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 30000), LEASE_WRITE);
	CHECK_INT(step.doc.n_standbys, 1);
	CHECK_STR(step.doc.standbys[0].instance, "b2");
}

TEST(who_asks_the_leader_is_known_to_it)
{
	struct lease_doc doc = doc_of("9-y", "a", 5, 8);

	lead(NULL);
	CHECK(lease_asked(&a, 10100, "http://b:5000", "b"));
	CHECK(lease_knows(&a, "b"));
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_FAILED, &step, NULL);
	CHECK_INT(next(&a, 10311), LEASE_PROMISES);
	CHECK_STR(step.doc.standbys[0].url, "http://b:5000");
	lease_promises_done(&a, 10320, false, 0);
	CHECK(!acts(&a, 11200));
	/* The document does not have it yet. */
	CHECK_INT(next(&a, 10611), LEASE_WRITE);
	lease_write_done(&a, 10620, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 10620), LEASE_READ);
	lease_read_done(&a, 10630, LEASE_DONE, &doc);
	CHECK(lease_knows(&a, "b"));
	/* Only leaders say that they act. */
	stand_by();
	CHECK(!lease_asked(&b, 20100, "http://c:5000", "c"));
}

TEST(a_crowd_that_does_not_fit_forbids_to_go_on_without_the_database)
{
	struct lease_doc doc = doc_of("1-x", "", 4, 7);

	for (int i = 0; i < LEASE_STANDBYS_MAX; i++)
		list(&doc, (char[]){'p', (char)('0' + i), 0}, 1);
	lead(&doc);
	CHECK(lease_asked(&a, 10100, "http://q:5000", "q"));
	CHECK_INT(a.doc.n_standbys, LEASE_STANDBYS_MAX);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_FAILED, &step, NULL);
	CHECK_INT(next(&a, 10311), LEASE_WAIT);
	CHECK(!acts(&a, 11200));
}

TEST(a_higher_term_at_an_agent_stops_the_leader_until_its_own_is_above)
{
	struct lease_doc doc = doc_of("2-x", "a", 5, 8);

	lead(NULL);
	lease_outdated(&a, 5);
	CHECK(acts(&a, 10100));
	lease_outdated(&a, 9);
	CHECK(!acts(&a, 10100));
	CHECK_INT(next(&a, 10100), LEASE_READ);
	lease_read_done(&a, 10110, LEASE_DONE, &doc);
	CHECK(!acts(&a, 10110));
	CHECK_INT(next(&a, 10110), LEASE_WRITE);
	CHECK_INT(step.doc.term, 10);
	lease_write_done(&a, 10120, LEASE_DONE, &step, "3-x");
	CHECK(acts(&a, 10120));
	CHECK_INT(a.doc.term, 10);
	/* Nonsense is none of our terms. */
	lease_outdated(&a, UINT64_MAX);
	CHECK(acts(&a, 10120));
}

TEST(a_document_that_was_deleted_is_made_again_by_the_leader)
{
	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 10310), LEASE_READ);
	lease_read_done(&a, 10320, LEASE_MISSING, NULL);
	CHECK_INT(next(&a, 10320), LEASE_WRITE);
	CHECK_STR(step.doc.rev, "");
	CHECK_INT(step.doc.term, 5);
	lease_write_done(&a, 10330, LEASE_DONE, &step, "1-z");
	CHECK(acts(&a, 11519));
	CHECK_INT(a.takeovers, 1);
	CHECK(!a.missing);
}

TEST(a_document_that_was_deleted_while_the_leader_was_away_is_anybodys)
{
	lead(NULL);
	CHECK_INT(next(&a, 15000), LEASE_WRITE);
	lease_write_done(&a, 15010, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 15010), LEASE_READ);
	lease_read_done(&a, 15020, LEASE_MISSING, NULL);
	CHECK(!a.holds);
	CHECK_INT(next(&a, 15020), LEASE_WAIT);
	CHECK_INT(next(&a, 16000), LEASE_READ);
	lease_read_done(&a, 16000, LEASE_MISSING, NULL);
	CHECK_INT(next(&a, 16000), LEASE_WAIT);
	CHECK_INT(next(&a, 15020 + LEADER_LEASE_MS), LEASE_READ);
	lease_read_done(&a, 15020 + LEADER_LEASE_MS, LEASE_MISSING, NULL);
	CHECK_INT(next(&a, 15020 + LEADER_LEASE_MS), LEASE_WRITE);
	CHECK_INT(step.doc.term, 6);
}

TEST(a_leader_looks_now_and_then_and_stops_at_a_second_leaf)
{
	struct lease_doc doc = doc_of("2-x", "a", 5, 8);

	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_DONE, &step, "3-x");
	CHECK_INT(next(&a, 10310), LEASE_WAIT);
	CHECK_INT(next(&a, 10600), LEASE_WRITE);
	lease_write_done(&a, 10610, LEASE_DONE, &step, "4-x");
	CHECK_INT(next(&a, 10610), LEASE_READ);
	doc = doc_of("4-x", "a", 5, 10);
	lease_read_done(&a, 10620, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 10620), LEASE_WAIT);
	CHECK_INT(step.until, 10900);
	/* One that is not answered is no reason to do anything; it is not tried at full speed. */
	CHECK_INT(next(&a, 10900), LEASE_WRITE);
	lease_write_done(&a, 10910, LEASE_DONE, &step, "5-x");
	CHECK_INT(next(&a, 11150), LEASE_READ);
	lease_read_done(&a, 11160, LEASE_FAILED, NULL);
	CHECK_INT(next(&a, 11160), LEASE_WAIT);
	CHECK(acts(&a, 10900 + LEADER_ACT_MS - 1));
	CHECK(!acts(&a, 10900 + LEADER_ACT_MS));
	CHECK_INT(next(&a, 11200), LEASE_WRITE);
	lease_write_done(&a, 11210, LEASE_DONE, &step, "6-x");
	CHECK_INT(next(&a, 11500), LEASE_WRITE);
	lease_write_done(&a, 11510, LEASE_DONE, &step, "7-x");
	CHECK_INT(next(&a, 11650), LEASE_READ);
	/* Ours is the one that counts, for others to see: that does not matter. */
	doc = doc_of("7-x", "a", 5, 13);
	doc.split = true;
	lease_read_done(&a, 11660, LEASE_DONE, &doc);
	CHECK(!acts(&a, 11660));
	CHECK(!a.holds);
	CHECK_INT(next(&a, 11660), LEASE_SETTLE);
	CHECK_STR(step.doc.rev, "7-x");
	/* Nothing is written before it is known that only one is left. */
	lease_settle_done(&a, 11700, 8);
	CHECK_INT(next(&a, 11700), LEASE_WAIT);
	CHECK_INT(step.until, 11700 + LEASE_POLL_MS);
	CHECK_INT(next(&a, 11900), LEASE_READ);
	lease_read_done(&a, 11910, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 11910), LEASE_SETTLE);
	lease_settle_done(&a, 11950, 8);
	doc.split = false;
	CHECK_INT(next(&a, 12150), LEASE_READ);
	lease_read_done(&a, 12160, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 12160), LEASE_WAIT);
	CHECK_INT(next(&a, 11950 + LEASE_SPLIT_MS - 1), LEASE_READ);
	lease_read_done(&a, 11950 + LEASE_SPLIT_MS - 1, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 11950 + LEASE_SPLIT_MS - 1), LEASE_WAIT);
	CHECK_INT(next(&a, 11950 + LEASE_SPLIT_MS), LEASE_READ);
	lease_read_done(&a, 11950 + LEASE_SPLIT_MS, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 11950 + LEASE_SPLIT_MS), LEASE_WRITE);
	/* Above that of the leaf that went. */
	CHECK_INT(step.doc.term, 9);
	lease_write_done(&a, 15560, LEASE_DONE, &step, "8-x");
	CHECK(acts(&a, 15560));
}

TEST(who_did_not_look_for_a_lease_is_not_extended_by_what_it_writes)
{
	lead(NULL);
	for (uint64_t now = 10300; now < 14000; now += 300) {
		CHECK_INT(next(&a, now), LEASE_WRITE);
		lease_write_done(&a, now + 1, LEASE_DONE, &step, "3-x");
		CHECK_INT(acts(&a, now + 1), now + 1 < 11500 + LEADER_ACT_MS);
	}
}

TEST(two_leaves_are_nothing_to_take_over_given_up_or_not)
{
	struct lease_doc doc = doc_of("5-x", "", 5, 40);

	doc.split = true;
	lease_init(&b, "http://b:5000", "b", 20000);
	CHECK_INT(next(&b, 20000), LEASE_READ);
	lease_read_done(&b, 20000, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20000), LEASE_SETTLE);
	lease_settle_done(&b, 20010, 0);
	doc.split = false;
	CHECK_INT(next(&b, 20210), LEASE_READ);
	lease_read_done(&b, 20220, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20220), LEASE_WAIT);
	CHECK_INT(next(&b, 20010 + LEASE_SPLIT_MS), LEASE_READ);
	lease_read_done(&b, 20010 + LEASE_SPLIT_MS, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20010 + LEASE_SPLIT_MS), LEASE_WRITE);
	CHECK_INT(step.doc.term, 6);
}

TEST(a_leader_does_not_take_the_document_of_another_term_for_its_own)
{
	struct lease_doc doc = doc_of("9-y", "a", 6, 9);

	lead(NULL);
	CHECK_INT(next(&a, 10300), LEASE_WRITE);
	lease_write_done(&a, 10310, LEASE_CONFLICT, &step, NULL);
	CHECK_INT(next(&a, 10311), LEASE_READ);
	lease_read_done(&a, 10320, LEASE_DONE, &doc);
	CHECK(!acts(&a, 10320));
	CHECK(!a.holds);
	CHECK_INT(next(&a, 10320), LEASE_WAIT);
	CHECK_INT(next(&a, 10320 + LEADER_LEASE_MS), LEASE_READ);
	lease_read_done(&a, 10320 + LEADER_LEASE_MS, LEASE_DONE, &doc);
	CHECK_INT(next(&a, 10320 + LEADER_LEASE_MS), LEASE_WRITE);
	CHECK_INT(step.doc.term, 7);
}

TEST(a_clean_stop_hands_over)
{
	struct lease_doc doc;

	lead(NULL);
	CHECK(lease_resign(&a, &step));
	CHECK(!acts(&a, 10100));
	CHECK_STR(step.doc.rev, "2-x");
	CHECK_STR(step.doc.instance, "");
	CHECK_STR(step.doc.holder, "");
	CHECK_INT(step.doc.term, 5);

	/* The standby need not wait, not even for what it promised that leader. */
	doc = step.doc;
	list(&doc, "b", 1);
	stand_by();
	CHECK(lease_promise(&b, 20100, 5, "a", true));
	CHECK_INT(next(&b, 20200), LEASE_READ);
	lease_read_done(&b, 20210, LEASE_DONE, &doc);
	CHECK_INT(next(&b, 20210), LEASE_WRITE);
	CHECK_INT(step.doc.term, 6);

	/* A standby strikes itself off. */
	stand_by();
	CHECK(lease_resign(&b, &step));
	CHECK_STR(step.doc.instance, "a");
	CHECK_INT(step.doc.n_standbys, 0);
	lease_init(&b, "http://b:5000", "b", 20000);
	CHECK(!lease_resign(&b, &step));
}

TEST_MAIN()
