/* SPDX-License-Identifier: Apache-2.0 */
#include "document_merge.h"
#include "quoted_json.h"
#include "seed.h"
#include "test.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

/* NULL for NULL. */
static json_t *document(const char *text)
{
	return text ? parse_text(text) : NULL;
}

static void check_merge_of(enum store_db db, const char *base, const char *ours, const char *theirs,
			   const char *want, const char *want_lost)
{
	_cleanup_json_ json_t *b = document(base), *o = document(ours), *t = document(theirs);
	_cleanup_json_ json_t *w = document(want), *got = NULL;
	_cleanup_free_ char *lost = NULL, *text = NULL;
	bool from_them = false;

	got = document_merge(db, b, o, t, &from_them, &lost);
	CHECK(got);
	text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!document_same(got, w))
		TEST_FAIL("got %s, want %s", text, want);
	CHECK_INT(from_them, !document_same(got, o));
	if (want_lost)
		CHECK_STR(lost, want_lost);
	else if (lost)
		TEST_FAIL("lost %s, want nothing lost", lost);
}

static void check_merge(const char *base, const char *ours, const char *theirs, const char *want,
			const char *want_lost)
{
	check_merge_of(DB_STRUCTURES, base, ours, theirs, want, want_lost);
}

TEST(numbers_are_the_same_whatever_wrote_them)
{
	_cleanup_json_ json_t *a = document("{'a':1,'b':[2.0,{'c':3}]}");
	_cleanup_json_ json_t *b = document("{'b':[2,{'c':3.0}],'a':1.0}");
	_cleanup_json_ json_t *c = document("{'b':[2,{'c':3.5}],'a':1.0}");
	_cleanup_json_ json_t *d = document("{'b':[{'c':3},2],'a':1}");
	_cleanup_json_ json_t *yes = document("true"), *text = document("'1'");

	CHECK(document_same(a, b));
	CHECK(!document_same(a, c));
	CHECK(!document_same(a, d));
	CHECK(document_same(NULL, NULL));
	CHECK(!document_same(a, NULL));
	CHECK(!document_same(NULL, a));
	CHECK(!document_same(json_object_get(a, "a"), yes));
	CHECK(!document_same(json_object_get(a, "a"), text));
}

TEST(each_sides_change_stays)
{
	check_merge(
		"{'name':'c','guard':false,'note':'x','resources':{'cpu':{'max':200,'min':20}}}",
		"{'name':'c','guard':true,'note':'x','resources':{'cpu':{'max':200,'min':30}}}",
		"{'name':'c','guard':false,'note':'y','resources':{'cpu':{'max':400,'min':20}}}",
		"{'name':'c','guard':true,'note':'y','resources':{'cpu':{'max':400,'min':30}}}",
		NULL);
}

TEST(theirs_wins_where_both_changed_the_same)
{
	check_merge("{'resources':{'cpu':{'max':200,'min':20}}}",
		    "{'resources':{'cpu':{'max':300,'min':20}}}",
		    "{'resources':{'cpu':{'max':400,'min':10}}}",
		    "{'resources':{'cpu':{'max':400,'min':10}}}", "resources.cpu.max");
	/* The same change twice is none that is lost. */
	check_merge("{'a':1}", "{'a':2}", "{'a':2.0}", "{'a':2}", NULL);
}

TEST(what_we_make_is_ours)
{
	check_merge("{'resources':{'cpu':{'max':200,'current':100,'allocated':100,'usage':3}}}",
		    "{'resources':{'cpu':{'max':200,'current':150,'allocated':160,'held':true}}}",
		    "{'resources':{'cpu':{'max':300,'current':90,'allocated':1,'usage':9,"
		    "'core_usage_mapping':{'0':{'free':100}}}}}",
		    "{'resources':{'cpu':{'max':300,'current':150,'allocated':160,'held':true}}}",
		    NULL);
	check_merge_of(DB_LIMITS, "{'resources':{'cpu':{'boundary':10,'upper':180,'lower':160}}}",
		       "{'resources':{'cpu':{'boundary':10,'upper':90,'lower':70}}}",
		       "{'resources':{'cpu':{'boundary':20,'upper':1,'lower':1}}}",
		       "{'resources':{'cpu':{'boundary':20,'upper':90,'lower':70}}}", NULL);
	check_merge_of(DB_SERVICES,
		       "{'name':'guardian','heartbeat':'','config':{'ACTIVE':true,'W':1}}",
		       "{'name':'guardian','heartbeat':5.5,'heartbeat_human':'h',"
		       "'config':{'ACTIVE':true,'W':1}}",
		       "{'name':'guardian','heartbeat':4,'config':{'ACTIVE':false,'W':1}}",
		       "{'name':'guardian','heartbeat':5.5,'heartbeat_human':'h',"
		       "'config':{'ACTIVE':false,'W':1}}",
		       NULL);
	check_merge_of(DB_USERS, "{'resources':{'cpu':{'max':1,'current':1,'usage':1}}}",
		       "{'resources':{'cpu':{'max':1,'current':2,'usage':2}}}",
		       "{'resources':{'cpu':{'max':9,'current':3,'usage':3}}}",
		       "{'resources':{'cpu':{'max':9,'current':2,'usage':2}}}", NULL);
}

/* The names that are ours in one place are anybody's in another. */
TEST(our_names_elsewhere_are_configuration)
{
	check_merge("{'current':1,'heartbeat':1,'x':{'cpu':{'current':1}}}",
		    "{'current':1,'heartbeat':1,'x':{'cpu':{'current':1}}}",
		    "{'current':2,'heartbeat':2,'x':{'cpu':{'current':2}}}",
		    "{'current':2,'heartbeat':2,'x':{'cpu':{'current':2}}}", NULL);
	check_merge_of(DB_RULES, "{'resources':{'cpu':{'current':1,'upper':1}}}",
		       "{'resources':{'cpu':{'current':1,'upper':1}}}",
		       "{'resources':{'cpu':{'current':2,'upper':2}}}",
		       "{'resources':{'cpu':{'current':2,'upper':2}}}", NULL);
	check_merge_of(DB_LIMITS, "{'resources':{'cpu':{'current':1}}}",
		       "{'resources':{'cpu':{'current':1}}}", "{'resources':{'cpu':{'current':2}}}",
		       "{'resources':{'cpu':{'current':2}}}", NULL);
	/* Only a host has something to give away. */
	check_merge("{'subtype':'container','resources':{'cpu':{'free':1}}}",
		    "{'subtype':'container','resources':{'cpu':{'free':2}}}",
		    "{'subtype':'container','resources':{'cpu':{'free':3}}}",
		    "{'subtype':'container','resources':{'cpu':{'free':3}}}", "resources.cpu.free");
}

TEST(free_of_a_host_adds_up)
{
	check_merge(
		"{'subtype':'host','resources':{'cpu':{'max':800,'free':600},'mem':{'free':100}}}",
		"{'subtype':'host','resources':{'cpu':{'max':800,'free':500},'mem':{'free':100}}}",
		"{'subtype':'host','resources':{'cpu':{'max':800,'free':650},'mem':{'free':70}}}",
		"{'subtype':'host','resources':{'cpu':{'max':800,'free':550},'mem':{'free':70}}}",
		NULL);
	check_merge("{'subtype':'host','resources':{'disks':{'s':{'load':1,'free_read':400,"
		    "'free_write':9.5}}}}",
		    "{'subtype':'host','resources':{'disks':{'s':{'load':1,'free_read':300,"
		    "'free_write':8.5}}}}",
		    "{'subtype':'host','resources':{'disks':{'s':{'load':2,'free_read':350,"
		    "'free_write':9}}}}",
		    "{'subtype':'host','resources':{'disks':{'s':{'load':2,'free_read':250,"
		    "'free_write':8}}}}",
		    NULL);
	/* Nothing to add to, or with: ours. */
	check_merge(NULL, "{'subtype':'host','resources':{'mem':{'free':5}}}",
		    "{'subtype':'host','resources':{'mem':{'free':9}}}",
		    "{'subtype':'host','resources':{'mem':{'free':5}}}", NULL);
	check_merge("{'subtype':'host','resources':{'mem':{'free':5}}}",
		    "{'subtype':'host','resources':{'mem':{'free':5}}}",
		    "{'subtype':'host','resources':{'mem':{'free':'much'}}}",
		    "{'subtype':'host','resources':{'mem':{'free':5}}}", NULL);
	check_merge("{'subtype':'host','resources':{'mem':{'free':-9223372036854775807}}}",
		    "{'subtype':'host','resources':{'mem':{'free':9223372036854775807}}}",
		    "{'subtype':'host','resources':{'mem':{'free':7}}}",
		    "{'subtype':'host','resources':{'mem':{'free':9223372036854775807}}}", NULL);
	check_merge("{'subtype':'host','resources':{'mem':{'free':-1e308}}}",
		    "{'subtype':'host','resources':{'mem':{'free':1e308}}}",
		    "{'subtype':'host','resources':{'mem':{'free':7}}}",
		    "{'subtype':'host','resources':{'mem':{'free':1e308}}}", NULL);
}

TEST(without_a_base_theirs_is_configuration)
{
	check_merge(NULL, "{'guard':true,'mine':1,'resources':{'cpu':{'max':2,'current':7}}}",
		    "{'guard':false,'yours':2,'resources':{'cpu':{'max':3,'current':8},"
		    "'energy':{'max':5,'current':4}}}",
		    "{'guard':false,'mine':1,'yours':2,'resources':{'cpu':{'max':3,'current':7},"
		    "'energy':{'max':5,'current':4}}}",
		    NULL);
}

TEST(removed_fields)
{
	/* By them, by us, and by both. */
	check_merge("{'a':1,'b':1,'c':1,'d':1}", "{'a':1,'d':1}", "{'b':1,'d':1}", "{'d':1}", NULL);
	/* We changed what they removed; they changed what we removed. */
	check_merge("{'a':1,'b':1}", "{'a':2}", "{'b':2}", "{'b':2}", "a");
	check_merge("{'a':1,'b':1}", "{'a':1}", "{'a':1,'b':2}", "{'a':1,'b':2}", "b");
	/* What only its owner's fields changed in is not changed. */
	check_merge("{'resources':{'mem':{'max':1,'current':1},'cpu':{'max':1}}}",
		    "{'resources':{'mem':{'max':1,'current':2},'cpu':{'max':1}}}",
		    "{'resources':{'cpu':{'max':1}}}", "{'resources':{'cpu':{'max':1}}}", NULL);
	check_merge("{'resources':{'mem':{'max':1,'current':1},'cpu':{'max':1}}}",
		    "{'resources':{'cpu':{'max':1}}}",
		    "{'resources':{'mem':{'max':1,'current':2},'cpu':{'max':1}}}",
		    "{'resources':{'cpu':{'max':1}}}", NULL);
	check_merge("{'resources':{'mem':{'max':1,'current':1}}}", "{'resources':{}}",
		    "{'resources':{'mem':{'max':2,'current':2}}}",
		    "{'resources':{'mem':{'max':2,'current':2}}}", "resources.mem");
}

TEST(changed_types)
{
	check_merge("{'a':{'b':1}}", "{'a':{'b':1}}", "{'a':'text'}", "{'a':'text'}", NULL);
	check_merge("{'a':{'b':1}}", "{'a':[1]}", "{'a':{'b':1}}", "{'a':[1]}", NULL);
	check_merge("{'a':{'b':1}}", "{'a':[1]}", "{'a':{'b':2}}", "{'a':{'b':2}}", "a");
	check_merge("{'a':1}", "{'a':{'x':1}}", "{'a':{'y':1}}", "{'a':{'x':1,'y':1}}", NULL);
	check_merge("{'resources':{'cpu':{'max':1,'current':1}}}",
		    "{'resources':{'cpu':{'max':1,'current':2}}}", "{'resources':7}",
		    "{'resources':7}", NULL);
	check_merge("{'containers':['a']}", "{'containers':['a','b']}", "{'containers':'a'}",
		    "{'containers':'a'}", "containers");
	check_merge("{'a':null}", "{'a':null}", "{}", "{}", NULL);
	check_merge("{'a':1}", "{'a':1}", "{'a':null}", "{'a':null}", NULL);
	check_merge("[1]", "[1]", "'no document'", "'no document'", NULL);
}

TEST(lists_are_taken_whole)
{
	check_merge("{'l':[1,2],'m':[1]}", "{'l':[1,2,3],'m':[1]}", "{'l':[1,2],'m':[]}",
		    "{'l':[1,2,3],'m':[]}", NULL);
	check_merge("{'l':[1,2]}", "{'l':[1,2,3]}", "{'l':[0,1,2]}", "{'l':[0,1,2]}", "l");
}

TEST(members_are_sets)
{
	/* We added d and removed a; they added e and removed b. */
	check_merge("{'containers':['a','b','c']}", "{'containers':['b','c','d']}",
		    "{'containers':['e','a','c']}", "{'containers':['e','c','d']}", NULL);
	/* Both added, both removed. */
	check_merge("{'containers':['a','b']}", "{'containers':['b','x']}",
		    "{'containers':['x','b']}", "{'containers':['x','b']}", NULL);
	check_merge(NULL, "{'containers':['a','b']}", "{'containers':['c','b']}",
		    "{'containers':['c','b','a']}", NULL);
	check_merge_of(DB_USERS, "{'clusters':['a']}", "{'clusters':['a','b']}",
		       "{'clusters':['a','c']}", "{'clusters':['a','c','b']}", NULL);
	/* One side only: as it stands, order included. */
	check_merge("{'containers':['a','b']}", "{'containers':['b','a']}",
		    "{'containers':['a','b']}", "{'containers':['b','a']}", NULL);
}

/* --- any documents at all --- */

static uint64_t state;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

static json_t *any_value(unsigned depth);

static json_t *any_object(unsigned depth, const char *const *names, unsigned n)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < n; i++)
		if (below(3))
			json_object_set_new(object, names[i], any_value(depth));
	return object;
}

static const char *const plain_names[] = {"a", "current", "free", "resources", "heartbeat"};

static json_t *any_value(unsigned depth)
{
	static const char *const words[] = {"", "x", "y"};
	json_t *list;

	switch (below(depth ? 9 : 6)) {
	case 0: return json_integer((json_int_t)below(4));
	case 1: return json_real(below(8) / 4.0);
	case 2: return json_string(words[below(3)]);
	case 3: return json_boolean(below(2));
	case 4: return json_null();
	case 5:
	case 6:
		list = json_array();
		for (unsigned n = below(4); n > 0; n--)
			json_array_append_new(list, depth ? any_value(depth - 1) : json_integer(n));
		return list;
	default: return any_object(depth - 1, plain_names, ARRAY_SIZE(plain_names));
	}
}

static const char *const owned[] = {"current", "usage", "allocated", "held", "core_usage_mapping"};
static const char *const resources[] = {"cpu", "mem", "energy", "disks"};

static json_t *any_resource(void)
{
	static const char *const names[] = {"max",   "min",       "guard", "current",
					    "usage", "allocated", "held",  "core_usage_mapping"};
	json_t *resource;

	if (below(10) == 0)
		return any_value(2);
	resource = any_object(1, names, ARRAY_SIZE(names));
	if (below(2))
		json_object_set_new(resource, "free", json_integer((json_int_t)below(100)));
	return resource;
}

static json_t *any_names(void)
{
	static const char *const names[] = {"c0", "c1", "c2", "c3"};
	json_t *list = json_array();

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (below(2))
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *any_document(bool host)
{
	static const char *const names[] = {"guard", "note", "extra", "host", "heartbeat"};
	json_t *document = any_object(3, names, ARRAY_SIZE(names)), *object;

	json_object_set_new(document, "name", json_string("n"));
	json_object_set_new(document, "subtype", json_string(host ? "host" : "container"));
	if (below(3))
		json_object_set_new(document, "containers", below(5) ? any_names() : any_value(1));
	if (below(12) == 0) {
		json_object_set_new(document, "resources", any_value(2));
		return document;
	}
	object = json_object();
	for (unsigned i = 0; i < ARRAY_SIZE(resources); i++)
		if (below(4))
			json_object_set_new(object, resources[i], any_resource());
	json_object_set_new(document, "resources", object);
	return document;
}

static json_t *resource_of(const json_t *document, const char *name)
{
	json_t *resource = json_object_get(json_object_get(document, "resources"), name);

	return json_is_object(resource) ? resource : NULL;
}

/* `to` as somebody leaves it who does not touch what is ours: the owned fields of `from`. */
static void keep_owned(const json_t *from, json_t *to)
{
	const char *name;
	json_t *value;

	/* Of any member: the random ones may have our names in them too. */
	json_object_foreach(json_object_get(to, "resources"), name, value) {
		json_t *a = resource_of(from, name), *b = resource_of(to, name);

		for (unsigned j = 0; a && b && j < ARRAY_SIZE(owned); j++) {
			json_object_del(b, owned[j]);
			if (json_object_get(a, owned[j]))
				json_object_set(b, owned[j], json_object_get(a, owned[j]));
		}
		/* What they added or took away of `free`, or made no number, is not added up. */
		if (a && b &&
		    (!json_is_number(json_object_get(a, "free")) ||
		     !json_is_number(json_object_get(b, "free")))) {
			json_object_del(b, "free");
			if (json_object_get(a, "free"))
				json_object_set(b, "free", json_object_get(a, "free"));
		}
	}
}

static void say(const char *what, const json_t *document)
{
	_cleanup_free_ char *text = json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY);

	fprintf(stderr, "%s: %s\n", what, text ? text : "(null)");
}

#define CHECK_SAME(got, want, round)                          \
	do {                                                  \
		if (!document_same(got, want)) {              \
			say("got", got);                      \
			say("want", want);                    \
			TEST_FAIL("round %u differs", round); \
		}                                             \
	} while (0)

TEST(properties_of_random_documents)
{
	uint64_t seed = test_seed(1);

	state = seed * 2 + 1;
	for (unsigned round = 0; round < 20000; round++) {
		bool host = below(2);
		_cleanup_json_ json_t *b = any_document(host), *o = any_document(host);
		_cleanup_json_ json_t *t = any_document(host), *mine = NULL, *theirs = NULL;
		_cleanup_json_ json_t *both = NULL, *none = NULL;
		_cleanup_free_ char *lost = NULL, *nothing = NULL;
		enum store_db db = (enum store_db)below(DB_MAX);
		bool from_them = true;

		/* Only we changed it. */
		mine = document_merge(db, b, o, b, &from_them, &nothing);
		CHECK_SAME(mine, o, round);
		CHECK(!from_them && !nothing);

		/* All at once, and without a base: nothing of ours is touched. */
		both = document_merge(DB_STRUCTURES, b, o, t, NULL, &lost);
		none = document_merge(DB_STRUCTURES, NULL, o, t, NULL, NULL);
		CHECK(both && none);
		for (unsigned i = 0; i < ARRAY_SIZE(resources); i++) {
			json_t *ours = resource_of(o, resources[i]);

			if (!ours || !resource_of(t, resources[i]) ||
			    (host && strcmp(resources[i], "disks") == 0))
				continue;
			for (unsigned j = 0; j < ARRAY_SIZE(owned); j++) {
				CHECK_SAME(
					json_object_get(resource_of(both, resources[i]), owned[j]),
					json_object_get(ours, owned[j]), round);
				CHECK_SAME(
					json_object_get(resource_of(none, resources[i]), owned[j]),
					json_object_get(ours, owned[j]), round);
			}
		}

		/* Only they did, and left what is ours alone. */
		keep_owned(b, t);
		theirs = document_merge(DB_STRUCTURES, b, b, t, &from_them, NULL);
		CHECK_SAME(theirs, t, round);
		CHECK_INT(from_them, !document_same(b, t));
	}
}

TEST_MAIN()
