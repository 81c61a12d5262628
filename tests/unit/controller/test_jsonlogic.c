/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "ebb/cleanup.h"
#include "jsonlogic.h"
#include "seed.h"
#include "test.h"

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

	if (!json)
		TEST_FAIL("%s: %s", text, error.text);
	return json;
}

static void check_apply(const char *rule_text, const char *data_text, const char *want_text)
{
	_cleanup_json_ json_t *rule = parse(rule_text);
	_cleanup_json_ json_t *data = parse(data_text);
	_cleanup_json_ json_t *want = parse(want_text);
	_cleanup_json_ json_t *got = NULL;
	_cleanup_free_ char *error = NULL;
	struct jsonlogic *logic;

	if (jsonlogic_compile(rule, NULL, NULL, &logic, &error) < 0)
		TEST_FAIL("%s: %s", rule_text, error);
	got = jsonlogic_apply(logic, data);
	jsonlogic_free(logic);
	if (!json_equal(got, want)) {
		_cleanup_free_ char *dump = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

		TEST_FAIL("%s over %s is %s, want %s", rule_text, data_text, dump, want_text);
	}
}

struct example {
	const char *rule, *data, *want;
};

static void check_all(const struct example *examples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_apply(examples[i].rule, examples[i].data, examples[i].want);
}
#define CHECK_ALL(...)                                                        \
	do {                                                                  \
		const struct example _examples[] = {__VA_ARGS__};             \
		check_all(_examples, sizeof(_examples) / sizeof(*_examples)); \
	} while (0)

TEST(jsonlogic_literals)
{
	CHECK_ALL({"true", "{}", "true"}, {"null", "{}", "null"}, {"17", "{}", "17"},
		  {"2.5", "{}", "2.5"}, {"\"apple\"", "{}", "\"apple\""},
		  {"[1,[2,\"a\"]]", "{}", "[1,[2,\"a\"]]"}, {"{}", "{}", "{}"},
		  {"{\"a\":1,\"b\":2}", "{}", "{\"a\":1,\"b\":2}"},
		  {"[{\"+\":[1,2]},{\"var\":\"x\"}]", "{\"x\":7}", "[3,7]"});
}

TEST(jsonlogic_var)
{
	CHECK_ALL({"{\"var\":\"a\"}", "{\"a\":1}", "1"}, {"{\"var\":[\"a\"]}", "{\"a\":1}", "1"},
		  {"{\"var\":\"b\"}", "{\"a\":1}", "null"},
		  {"{\"var\":[\"b\",2]}", "{\"a\":1}", "2"},
		  {"{\"var\":[\"a\",2]}", "{\"a\":1}", "1"},
		  {"{\"var\":[\"b\",{\"+\":[1,1]}]}", "{}", "2"},
		  {"{\"var\":\"a.b.c\"}", "{\"a\":{\"b\":{\"c\":3}}}", "3"},
		  {"{\"var\":[\"a.x.c\",9]}", "{\"a\":{\"b\":{\"c\":3}}}", "9"},
		  {"{\"var\":\"a.b\"}", "{\"a\":{\"b\":[1]}}", "[1]"},
		  {"{\"var\":1}", "[\"x\",\"y\"]", "\"y\""},
		  {"{\"var\":\"1.1\"}", "[\"x\",[\"y\",\"z\"]]", "\"z\""},
		  {"{\"var\":5}", "[\"x\"]", "null"}, {"{\"var\":-1}", "[\"x\"]", "null"},
		  {"{\"var\":\"\"}", "{\"a\":1}", "{\"a\":1}"}, {"{\"var\":[]}", "5", "5"},
		  {"{\"var\":null}", "5", "5"}, {"{\"var\":\"a\"}", "null", "null"},
		  {"{\"var\":\"a.b\"}", "{\"a\":7}", "null"},
		  {"{\"var\":{\"cat\":[\"a\",\".\",\"b\"]}}", "{\"a\":{\"b\":4}}", "4"},
		  {"{\"var\":[{\"var\":\"name\"},8]}", "{\"name\":\"q\"}", "8"});
}

TEST(jsonlogic_missing)
{
	CHECK_ALL({"{\"missing\":[\"a\",\"b\"]}", "{\"a\":1}", "[\"b\"]"},
		  {"{\"missing\":\"a\"}", "{}", "[\"a\"]"}, {"{\"missing\":[]}", "{}", "[]"},
		  {"{\"missing\":[\"a\",\"b.c\"]}", "{\"a\":0,\"b\":{\"c\":false}}", "[]"},
		  {"{\"missing\":[\"a\",\"b\"]}", "{\"a\":null,\"b\":\"\"}", "[\"a\",\"b\"]"},
		  {"{\"missing\":{\"merge\":[\"vin\",{\"if\":[{\"var\":\"loan\"},[\"apr\"],[]]}]}}",
		   "{\"loan\":true}", "[\"vin\",\"apr\"]"},
		  {"{\"missing_some\":[1,[\"a\",\"b\"]]}", "{\"a\":1}", "[]"},
		  {"{\"missing_some\":[2,[\"a\",\"b\",\"c\"]]}", "{\"a\":1}", "[\"b\",\"c\"]"},
		  {"{\"if\":[{\"missing\":[\"a\"]},\"no\",\"yes\"]}", "{\"a\":1}", "\"yes\""});
}

TEST(jsonlogic_conditions)
{
	CHECK_ALL({"{\"and\":[]}", "{}", "null"}, {"{\"or\":[]}", "{}", "null"},
		  {"{\"if\":[]}", "{}", "null"}, {"{\"if\":[7]}", "{}", "7"},
		  {"{\"if\":[true,1]}", "{}", "1"}, {"{\"if\":[false,1]}", "{}", "null"},
		  {"{\"if\":[false,1,true,2,3]}", "{}", "2"},
		  {"{\"if\":[0,1,\"\",2,[],3,null,4,5]}", "{}", "5"},
		  {"{\"if\":[\"0\",1,2]}", "{}", "1"}, {"{\"?:\":[false,1,2]}", "{}", "2"},
		  {"{\"if\":[{\"<\":[{\"var\":\"t\"},0]},\"ice\",{\"<\":[{\"var\":\"t\"},100]},"
		   "\"water\",\"steam\"]}",
		   "{\"t\":55}", "\"water\""},
		  {"{\"or\":[false,0,\"x\",1]}", "{}", "\"x\""}, {"{\"or\":[false,0]}", "{}", "0"},
		  {"{\"and\":[1,true,\"x\"]}", "{}", "\"x\""},
		  {"{\"and\":[1,\"\",3]}", "{}", "\"\""}, {"{\"!\":true}", "{}", "false"},
		  {"{\"!\":[0]}", "{}", "true"}, {"{\"!!\":[[]]}", "{}", "false"},
		  {"{\"!!\":\"0\"}", "{}", "true"}, {"{\"!!\":[[0]]}", "{}", "true"},
		  {"{\"!!\":{\"var\":\"\"}}", "{}", "true"});
}

TEST(jsonlogic_equality)
{
	CHECK_ALL({"{\"==\":[1,1]}", "{}", "true"}, {"{\"==\":[1,\"1\"]}", "{}", "true"},
		  {"{\"==\":[1,\" 1.0 \"]}", "{}", "true"}, {"{\"==\":[0,false]}", "{}", "true"},
		  {"{\"==\":[\"\",0]}", "{}", "true"}, {"{\"==\":[\"x\",0]}", "{}", "false"},
		  {"{\"==\":[\"true\",true]}", "{}", "false"},
		  {"{\"==\":[null,null]}", "{}", "true"}, {"{\"==\":[null,0]}", "{}", "false"},
		  {"{\"==\":[null,false]}", "{}", "false"}, {"{\"==\":[[1],\"1\"]}", "{}", "true"},
		  {"{\"==\":[[1,2],[1,2]]}", "{}", "true"}, {"{\"===\":[1,1]}", "{}", "true"},
		  {"{\"===\":[1,\"1\"]}", "{}", "false"}, {"{\"===\":[0,false]}", "{}", "false"},
		  {"{\"!=\":[1,2]}", "{}", "true"}, {"{\"!=\":[1,\"1\"]}", "{}", "false"},
		  {"{\"!==\":[1,\"1\"]}", "{}", "true"},
		  {"{\"!==\":[\"a\",\"a\"]}", "{}", "false"});
}

TEST(jsonlogic_order)
{
	CHECK_ALL({"{\">\":[2,1]}", "{}", "true"}, {"{\">\":[1,1]}", "{}", "false"},
		  {"{\">=\":[1,1]}", "{}", "true"}, {"{\"<\":[1,\"2\"]}", "{}", "true"},
		  {"{\"<=\":[1,true]}", "{}", "true"}, {"{\"<\":[\"10\",\"9\"]}", "{}", "true"},
		  {"{\"<\":[1,\"x\"]}", "{}", "false"}, {"{\">\":[1,\"x\"]}", "{}", "false"},
		  {"{\"<\":[1,2,3]}", "{}", "true"}, {"{\"<\":[1,1,3]}", "{}", "false"},
		  {"{\"<=\":[1,1,3]}", "{}", "true"}, {"{\"<=\":[1,4,3]}", "{}", "false"},
		  {"{\">\":[3,2,1]}", "{}", "true"}, {"{\">=\":[3,2,5]}", "{}", "false"});
}

/* A measurement that is not there decides nothing (spec 5.4). */
TEST(jsonlogic_null_decides_nothing)
{
	CHECK_ALL({"{\"<\":[null,1]}", "{}", "false"}, {"{\">=\":[0,null]}", "{}", "false"},
		  {"{\"<=\":[null,null]}", "{}", "true"},
		  {"{\">=\":[null,{\"var\":\"x\"}]}", "{}", "true"},
		  {"{\"<\":[null,null]}", "{}", "false"}, {"{\">\":[null,null]}", "{}", "false"},
		  {"{\"<=\":[null,null,0]}", "{}", "false"},
		  {"{\"<=\":[null,null,null]}", "{}", "true"}, {"{\"<=\":[null,0]}", "{}", "false"},
		  {"{\"<\":[{\"-\":[{\"var\":\"x\"},1]},0]}", "{}", "false"},
		  {"{\"+\":[1,null]}", "{}", "null"}, {"{\"-\":[null,1]}", "{}", "null"},
		  {"{\"-\":[null]}", "{}", "null"}, {"{\"*\":[null,0]}", "{}", "null"},
		  {"{\"/\":[null,2]}", "{}", "null"}, {"{\"max\":[null,-1]}", "{}", "null"},
		  {"{\"min\":[1,{\"var\":\"x\"}]}", "{}", "null"});
}

TEST(jsonlogic_arithmetic)
{
	CHECK_ALL({"{\"+\":[1,2,3]}", "{}", "6"}, {"{\"+\":\"3.25\"}", "{}", "3.25"},
		  {"{\"+\":[\"1\",\" 2 MiB\"]}", "{}", "3"}, {"{\"+\":[]}", "{}", "0"},
		  {"{\"+\":[1,\"x\"]}", "{}", "null"}, {"{\"-\":[5,2]}", "{}", "3"},
		  {"{\"-\":[5,\"2\"]}", "{}", "3"}, {"{\"-\":5}", "{}", "-5"},
		  {"{\"*\":[2,3,4]}", "{}", "24"}, {"{\"*\":[2]}", "{}", "2"},
		  {"{\"/\":[7,2]}", "{}", "3.5"}, {"{\"/\":[6,2]}", "{}", "3"},
		  {"{\"/\":[1,0]}", "{}", "null"}, {"{\"%\":[7,3]}", "{}", "1"},
		  {"{\"%\":[-7,3]}", "{}", "-1"}, {"{\"%\":[7,0]}", "{}", "null"},
		  {"{\"max\":[1,3,2]}", "{}", "3"}, {"{\"min\":[1,3,\"-2\"]}", "{}", "-2"},
		  {"{\"max\":[]}", "{}", "null"}, {"{\"*\":[1e200,1e200]}", "{}", "null"},
		  {"{\"+\":[\"0x10\"]}", "{}", "0"}, {"{\"+\":[\"inf\"]}", "{}", "null"},
		  {"{\"+\":[\".5\"]}", "{}", "0.5"});
}

TEST(jsonlogic_lists)
{
	CHECK_ALL(
		{"{\"map\":[{\"var\":\"l\"},{\"*\":[{\"var\":\"\"},2]}]}", "{\"l\":[1,2,3]}",
		 "[2,4,6]"},
		{"{\"map\":[{\"var\":\"l\"},{\"var\":\"q\"}]}", "{\"l\":[{\"q\":1},{}]}",
		 "[1,null]"},
		{"{\"map\":[{\"var\":\"none\"},1]}", "{}", "[]"},
		{"{\"filter\":[[1,2,3],{\">=\":[{\"var\":\"\"},2]}]}", "{}", "[2,3]"},
		{"{\"filter\":[7,true]}", "{}", "[]"},
		{"{\"reduce\":[[1,2,3],{\"+\":[{\"var\":\"current\"},{\"var\":\"accumulator\"}]},0]}",
		 "{}", "6"},
		{"{\"reduce\":[{\"var\":\"none\"},1,5]}", "{}", "5"},
		{"{\"reduce\":[[],1,0]}", "{}", "0"},
		{"{\"reduce\":[[4],{\"var\":\"current\"}]}", "{}", "4"},
		{"{\"all\":[[1,2],{\">\":[{\"var\":\"\"},0]}]}", "{}", "true"},
		{"{\"all\":[[1,0],{\">\":[{\"var\":\"\"},0]}]}", "{}", "false"},
		{"{\"all\":[[],true]}", "{}", "false"},
		{"{\"none\":[[1,2],{\"<\":[{\"var\":\"\"},0]}]}", "{}", "true"},
		{"{\"none\":[[],true]}", "{}", "true"},
		{"{\"none\":[[-1],{\"<\":[{\"var\":\"\"},0]}]}", "{}", "false"},
		{"{\"some\":[[1,-2],{\"<\":[{\"var\":\"\"},0]}]}", "{}", "true"},
		{"{\"some\":[[1],{\"<\":[{\"var\":\"\"},0]}]}", "{}", "false"},
		{"{\"some\":[[],true]}", "{}", "false"},
		{"{\"merge\":[[1,2],[3],4]}", "{}", "[1,2,3,4]"}, {"{\"merge\":1}", "{}", "[1]"},
		{"{\"merge\":[]}", "{}", "[]"},
		{"{\"map\":[[[1,2],[3]],{\"map\":[{\"var\":\"\"},{\"+\":[{\"var\":\"\"},1]}]}]}",
		 "{}", "[[2,3],[4]]"});
}

TEST(jsonlogic_text)
{
	CHECK_ALL({"{\"in\":[\"ring\",\"Springfield\"]}", "{}", "true"},
		  {"{\"in\":[\"I\",\"team\"]}", "{}", "false"},
		  {"{\"in\":[2,[1,2]]}", "{}", "true"}, {"{\"in\":[\"2\",[1,2]]}", "{}", "false"},
		  {"{\"in\":[1,null]}", "{}", "false"}, {"{\"in\":[5,\"a5\"]}", "{}", "true"},
		  {"{\"cat\":[\"a\",1,2.5,true,null,[1,null,[\"b\"]]]}", "{}", "\"a12.5true1,,b\""},
		  {"{\"cat\":\"x\"}", "{}", "\"x\""},
		  {"{\"cat\":[0.1,-0.0,1e21]}", "{}", "\"0.101e+21\""},
		  {"{\"substr\":[\"jsonlogic\",4]}", "{}", "\"logic\""},
		  {"{\"substr\":[\"jsonlogic\",-5]}", "{}", "\"logic\""},
		  {"{\"substr\":[\"jsonlogic\",1,3]}", "{}", "\"son\""},
		  {"{\"substr\":[\"jsonlogic\",4,-2]}", "{}", "\"log\""},
		  {"{\"substr\":[\"jsonlogic\",-5,-2]}", "{}", "\"log\""},
		  {"{\"substr\":[\"abc\",-9]}", "{}", "\"abc\""},
		  {"{\"substr\":[\"abc\",7]}", "{}", "\"\""},
		  {"{\"substr\":[\"abc\",1,-7]}", "{}", "\"\""},
		  {"{\"substr\":[\"h\u00e9\u00e8llo\",1,2]}", "{}", "\"\u00e9\u00e8\""},
		  {"{\"log\":\"seen\"}", "{}", "\"seen\""}, {"{\"log\":[[1]]}", "{}", "[1]"});
}

static void check_refused(const char *text, const char *reason)
{
	_cleanup_json_ json_t *rule = parse(text);
	_cleanup_free_ char *error = NULL;
	struct jsonlogic *logic = NULL;

	CHECK_INT(jsonlogic_compile(rule, NULL, NULL, &logic, &error), -EINVAL);
	CHECK(!logic);
	CHECK_STR(error, reason);
	/* The reason is not obligatory. */
	CHECK_INT(jsonlogic_compile(rule, NULL, NULL, &logic, NULL), -EINVAL);
}

TEST(jsonlogic_refuses)
{
	check_refused("{\"xor\":[1,2]}", "xor: there is no such operator");
	check_refused("{\"and\":[true,{\">\":[1]}]}", "and[1].>: takes 2 to 3 arguments, has 1");
	check_refused("{\"!\":[1,2]}", "!: takes 1 argument, has 2");
	check_refused("{\"*\":[]}", "*: takes at least 1 argument, has 0");
	check_refused("{\"+\":[1,[2,{\"=\":[1,1]}]]}", "+[1].[1].=: there is no such operator");
	check_refused("{\"var\":[\"a\",{\"nope\":1}]}", "var[1].nope: there is no such operator");
	/* Cut between characters: the text goes into JSON answers. */
	check_refused(
		"{\"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		"\u00e9\u00e9\u00e9x\u00e9\u00e9\":1}",
		"\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"
		"\u00e9\u00e9x: there is no such operator");
}

static json_t *nested(const char *op, unsigned depth)
{
	json_t *rule = json_true();

	for (unsigned i = 0; i < depth; i++)
		rule = op ? json_pack("{s:o}", op, rule) : json_pack("[o]", rule);
	return rule;
}

TEST(jsonlogic_depth)
{
	for (int array = 0; array < 2; array++) {
		_cleanup_json_ json_t *fits = nested(array ? NULL : "!", 63);
		_cleanup_json_ json_t *too_deep = nested(array ? NULL : "!", 64);
		_cleanup_json_ json_t *far_too_deep = nested(array ? NULL : "!", 2000);
		_cleanup_free_ char *error = NULL;
		struct jsonlogic *logic;

		CHECK_INT(jsonlogic_compile(fits, NULL, NULL, &logic, NULL), 0);
		_cleanup_json_ json_t *value = jsonlogic_apply(logic, NULL);
		jsonlogic_free(logic);
		CHECK(array ? json_is_array(value) : json_is_false(value));
		CHECK_INT(jsonlogic_compile(too_deep, NULL, NULL, &logic, &error), -EINVAL);
		CHECK(strstr(error, "nested deeper than 64"));
		CHECK_INT(jsonlogic_compile(far_too_deep, NULL, NULL, &logic, NULL), -EINVAL);
	}
}

/* Growth without bound ends as null, soon. */
TEST(jsonlogic_budget)
{
	_cleanup_json_ json_t *list = json_array();
	_cleanup_json_ json_t *data = json_pack("{s:O}", "l", list);
	_cleanup_free_ char *data_text = NULL;

	for (int i = 0; i < 2000; i++)
		json_array_append_new(list, json_integer(i));
	data_text = json_dumps(data, 0);

	/* 2^2000 characters, 2^2000 elements, 2,000 brackets. */
	check_apply("{\"reduce\":[{\"var\":\"l\"},{\"cat\":[{\"var\":\"accumulator\"},"
		    "{\"var\":\"accumulator\"}]},\"x\"]}",
		    data_text, "null");
	check_apply("{\"reduce\":[{\"var\":\"l\"},{\"merge\":[{\"var\":\"accumulator\"},"
		    "{\"var\":\"accumulator\"}]},[1]]}",
		    data_text, "null");
	check_apply("{\"reduce\":[{\"var\":\"l\"},[{\"var\":\"accumulator\"}],1]}", data_text,
		    "null");
	/* 2000^3 steps. */
	check_apply("{\"map\":[{\"var\":\"l\"},{\"map\":[[1,2,3,4,5,6,7,8,9,10],{\"map\":["
		    "[1,2,3,4,5,6,7,8,9,10],{\"map\":[[1,2,3,4,5,6,7,8,9,10],{\"map\":["
		    "[1,2,3,4,5,6,7,8,9,10],1]}]}]}]}]}",
		    data_text, "null");
}

/* ---- bound numbers ---- */

static const char *const names[] = {"cpu.usage", "cpu.upper", "mem.usage", "x", "y", "z"};
#define N_NAMES 6

static int bind(void *userdata, const char *path)
{
	for (int i = 0; i < N_NAMES; i++)
		if (!strcmp(names[i], path))
			return i;
	return -1;
}

static bool test_numbers(const char *text, const double *values)
{
	_cleanup_json_ json_t *rule = parse(text);
	_cleanup_free_ char *error = NULL;
	struct jsonlogic *logic;
	bool result;

	if (jsonlogic_compile(rule, bind, NULL, &logic, &error) < 0)
		TEST_FAIL("%s: %s", text, error);
	result = jsonlogic_test(logic, &(struct jsonlogic_numbers){values, N_NAMES});
	jsonlogic_free(logic);
	return result;
}

TEST(jsonlogic_numbers)
{
	double values[N_NAMES] = {120, 100, NAN, 0, -3, 0.5};

	CHECK(test_numbers("{\">\":[{\"var\":\"cpu.usage\"},{\"var\":\"cpu.upper\"}]}", values));
	CHECK(!test_numbers("{\"<\":[{\"var\":\"mem.usage\"},5]}", values));
	CHECK(!test_numbers("{\">=\":[{\"var\":\"mem.usage\"},5]}", values));
	CHECK(test_numbers("{\"<\":[{\"var\":[\"mem.usage\",4]},5]}", values));
	CHECK(test_numbers("{\"==\":[{\"var\":\"nobody.knows\"},null]}", values));
	CHECK(!test_numbers("{\"var\":\"x\"}", values));
	CHECK(test_numbers("{\"var\":\"y\"}", values));
	CHECK(test_numbers("{\"<\":[0,{\"/\":[{\"var\":\"z\"},2]},1]}", values));
	CHECK(test_numbers("{\"==\":[{\"missing\":[\"cpu.usage\",\"mem.usage\"]},[\"mem.usage\"]]}",
			   values));
	CHECK(!test_numbers("{\"missing_some\":[1,[\"x\",\"mem.usage\"]]}", values));
	CHECK(test_numbers("{\">\":[{\"var\":{\"if\":[true,\"cpu.usage\",\"x\"]}},100]}", values));
	CHECK(test_numbers(
		"{\"some\":[[{\"var\":\"x\"},{\"var\":\"y\"}],{\"<\":[{\"var\":\"\"},0]}]}",
		values));
}

static void count_path(void *userdata, const char *path)
{
	char *text = userdata;

	strcat(strcat(text, path), " ");
}

TEST(jsonlogic_each_variable)
{
	_cleanup_json_ json_t *rule =
		parse("{\"and\":[{\"var\":\"a.b\"},{\">\":[{\"var\":[\"c\",1]},{\"var\":\"a.b\"}]},"
		      "{\"missing\":[\"d\"]},\"no\",{\"var\":{\"cat\":[\"e\",\"f\"]}}]}");
	struct jsonlogic *logic;
	char seen[64] = "";

	CHECK_INT(jsonlogic_compile(rule, NULL, NULL, &logic, NULL), 0);
	jsonlogic_each_variable(logic, count_path, seen);
	jsonlogic_free(logic);
	CHECK_STR(seen, "a.b c d ");
}

/* The compiled rule is its own: neither the document's nor a result's later change reaches it. */
TEST(jsonlogic_owns_its_rule)
{
	_cleanup_json_ json_t *rule = parse("{\"if\":[true,{\"a\":1,\"b\":2}]}");
	struct jsonlogic *logic;

	CHECK_INT(jsonlogic_compile(rule, NULL, NULL, &logic, NULL), 0);
	json_object_clear(json_array_get(json_object_get(rule, "if"), 1));
	for (int i = 0; i < 2; i++) {
		_cleanup_json_ json_t *value = jsonlogic_apply(logic, NULL);

		CHECK_INT(json_object_size(value), 2);
		json_object_clear(value);
	}
	jsonlogic_free(logic);
}

/* ---- random rules ---- */

static uint64_t random_state;

static void seed(void)
{
	random_state = test_seed(2654435769) * 2 + 1;
}

static uint32_t rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 11) % below;
}

static json_t *random_rule(unsigned depth, bool in_list)
{
	static const char *const ops[] = {
		"var", "missing", "missing_some", "if",  "?:",   "==",   "===",   "!=",
		"!==", "!",       "!!",           "or",  "and",  ">",    ">=",    "<",
		"<=",  "max",     "min",          "+",   "-",    "*",    "/",     "%",
		"map", "reduce",  "filter",       "all", "none", "some", "merge", "in",
		"cat", "substr",  "and",          ">",   "<",    "and",  "or",    "if",
	};
	static const char *const texts[] = {"", "a", "12", "x", "1.5", "cpu.usage", "0"};
	const char *op;
	json_t *args;
	uint32_t n;

	if (depth == 0 || rnd(6) == 0) {
		switch (rnd(in_list ? 8 : 7)) {
		case 0: return json_integer((json_int_t)rnd(7) - 3);
		case 1: return json_real(rnd(1000) / 250.0);
		case 2: return json_string(texts[rnd(7)]);
		case 3: return rnd(3) ? json_boolean(rnd(2)) : json_null();
		case 7: return json_pack("{s:s}", "var", rnd(2) ? "" : "accumulator");
		default: return json_pack("{s:s}", "var", rnd(8) ? names[rnd(N_NAMES)] : "unknown");
		}
	}
	if (rnd(10) == 0) {
		args = json_array();
		for (n = rnd(4); n > 0; n--)
			json_array_append_new(args, random_rule(depth - 1, in_list));
		return args;
	}
	op = ops[rnd(sizeof(ops) / sizeof(*ops))];
	if (!strcmp(op, "var"))
		return json_pack("{s:[s,o]}", "var", names[rnd(N_NAMES)],
				 random_rule(depth - 1, in_list));
	if (!strcmp(op, "missing"))
		return json_pack("{s:[s,s]}", op, names[rnd(N_NAMES)], names[rnd(N_NAMES)]);
	if (!strcmp(op, "missing_some"))
		return json_pack("{s:[i,[s,s]]}", op, (int)rnd(3), names[rnd(N_NAMES)],
				 names[rnd(N_NAMES)]);
	if (!strcmp(op, "!") || !strcmp(op, "!!"))
		return json_pack("{s:[o]}", op, random_rule(depth - 1, in_list));
	if (!strcmp(op, "map") || !strcmp(op, "filter") || !strcmp(op, "all") ||
	    !strcmp(op, "none") || !strcmp(op, "some"))
		return json_pack("{s:[o,o]}", op, random_rule(depth - 1, in_list),
				 random_rule(depth - 1, true));
	if (!strcmp(op, "reduce"))
		return json_pack("{s:[o,o,o]}", op, random_rule(depth - 1, in_list),
				 random_rule(depth - 1, true), random_rule(depth - 1, in_list));
	n = 2;
	if (strchr("<>", op[0]) || !strcmp(op, "substr"))
		n = 2 + rnd(2);
	else if (!strcmp(op, "-"))
		n = 1 + rnd(2);
	else if (strchr("imoac+*?", op[0]) && strcmp(op, "in"))
		n = 1 + rnd(4);
	args = json_array();
	while (n-- > 0)
		json_array_append_new(args, random_rule(depth - 1, in_list));
	return json_pack("{s:o}", op, args);
}

/* The same numbers as the JSON that a rule's paths describe; null measurements are left out. */
static json_t *numbers_as_json(const double *values)
{
	json_t *data = json_pack("{s:{},s:{}}", "cpu", "mem");

	for (int i = 0; i < N_NAMES; i++) {
		const char *dot = strchr(names[i], '.');
		char group[8] = "";
		json_t *object = data;

		if (isnan(values[i]))
			continue;
		if (dot) {
			memcpy(group, names[i], (size_t)(dot - names[i]));
			object = json_object_get(data, group);
		}
		json_object_set_new(object, dot ? dot + 1 : names[i], json_real(values[i]));
	}
	return data;
}

static bool json_truthy(const json_t *json)
{
	if (json_is_number(json))
		return json_number_value(json) != 0;
	if (json_is_string(json))
		return json_string_length(json) > 0;
	if (json_is_array(json))
		return json_array_size(json) > 0;
	return json_is_object(json) || json_is_true(json);
}

TEST(jsonlogic_random_rules)
{
	unsigned long truths = 0, compiled = 0;

	seed();
	for (int i = 0; i < 30000; i++) {
		_cleanup_json_ json_t *rule = random_rule(1 + rnd(6), false);
		_cleanup_json_ json_t *data = NULL, *applied = NULL;
		_cleanup_free_ char *error = NULL;
		double values[N_NAMES];
		struct jsonlogic *logic;
		bool tested;

		/* {"a":1} as a random array element never happens: every rule is valid. */
		if (jsonlogic_compile(rule, bind, NULL, &logic, &error) < 0) {
			_cleanup_free_ char *text = json_dumps(rule, JSON_ENCODE_ANY);

			TEST_FAIL("%s: %s", text, error);
		}
		compiled++;
		for (int v = 0; v < N_NAMES; v++)
			values[v] = rnd(4) ? (double)rnd(2000) / 100 - 5 : NAN;
		data = numbers_as_json(values);
		tested = jsonlogic_test(logic, &(struct jsonlogic_numbers){values, N_NAMES});
		applied = jsonlogic_apply(logic, data);
		jsonlogic_free(logic);
		if (tested != json_truthy(applied)) {
			_cleanup_free_ char *text = json_dumps(rule, JSON_ENCODE_ANY);
			_cleanup_free_ char *value = json_dumps(applied, JSON_ENCODE_ANY);
			_cleanup_free_ char *over = json_dumps(data, 0);

			TEST_FAIL("%s over %s: test %d, apply %s", text, over, tested, value);
		}
		truths += tested;
	}
	/* Neither side of the comparison may be trivial. */
	CHECK(truths > compiled / 10 && truths < compiled * 9 / 10);
}

/* Any JSON at all: refused or evaluated, nothing else. */
TEST(jsonlogic_random_json)
{
	static const char alphabet[] = "{}[]\"\",,:::01.-eE {\"+\":[{\"var\":\"a\"}]}<>=!%";
	unsigned parsed = 0;

	seed();
	for (int i = 0; i < 200000; i++) {
		char text[24];
		size_t n = 1 + rnd(sizeof(text) - 1);
		_cleanup_json_ json_t *rule = NULL;
		struct jsonlogic *logic;

		for (size_t k = 0; k < n; k++)
			text[k] = alphabet[rnd(sizeof(alphabet) - 1)];
		rule = json_loadb(text, n, JSON_DECODE_ANY, NULL);
		if (!rule)
			continue;
		parsed++;
		if (jsonlogic_compile(rule, bind, NULL, &logic, NULL) < 0)
			continue;
		jsonlogic_test(logic, &(struct jsonlogic_numbers){(double[]){1}, 1});
		json_decref(jsonlogic_apply(logic, rule));
		jsonlogic_free(logic);
	}
	CHECK(parsed > 100);
}

TEST_MAIN()
