/* SPDX-License-Identifier: Apache-2.0 */
#include "quoted_json.h"
#include "test.h"

#include <errno.h>

#include "structure.h"
#include "ebb/cleanup.h"

/* What a test made, freed at its end whether it failed or not. */
static struct {
	void (*fn)(void *);
	void *arg;
} made[256];
static int n_made;

static void free_made(void *unused)
{
	while (n_made > 0) {
		n_made--;
		made[n_made].fn(made[n_made].arg);
	}
}

static void at_end(void (*fn)(void *), void *arg)
{
	if (n_made == 0)
		test_at_end(free_made, NULL);
	CHECK(n_made < 256);
	made[n_made].fn = fn;
	made[n_made++].arg = arg;
}

static void free_structure(void *structure)
{
	structure_free(structure);
}

static void free_json(void *json)
{
	json_decref(json);
}

static json_t *loaded(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, 0, &error);

	if (!json)
		TEST_FAIL("%s in: %s", error.text, text);
	at_end(free_json, json);
	return json;
}

static struct structure *from(const char *doc, const char *limits)
{
	struct structure *structure = NULL;
	char *error = NULL;
	int r;

	r = structure_from_json(loaded(doc), limits ? loaded(limits) : NULL, &structure, &error);
	if (r < 0)
		TEST_FAIL("%d: %s", r, error);
	at_end(free_structure, structure);
	return structure;
}

static void refused(const char *doc, const char *limits, const char *mention)
{
	struct structure *structure = (void *)1;
	char *error = NULL;
	int r;

	r = structure_from_json(loaded(doc), limits ? loaded(limits) : NULL, &structure, &error);
	at_end(free, error);
	CHECK_INT(r, -EINVAL);
	CHECK(structure == (void *)1);
	CHECK(error);
	if (!strstr(error, mention))
		TEST_FAIL("\"%s\" does not mention \"%s\"", error, mention);
}

static void same(json_t *got, const char *want)
{
	at_end(free_json, got);
	if (!json_equal(got, loaded(want))) {
		_cleanup_free_ char *text = json_dumps(got, 0);

		TEST_FAIL("got %s", text);
	}
}

static const char container[] =
	"{'_id':'c065adad','_rev':'1-7','type':'structure','subtype':'container','name':'c0',"
	"'guard':false,'host':'h0','host_rescaler_ip':'h0','host_rescaler_port':'8000',"
	"'resources':{'cpu':{'max':200,'current':200,'min':20,'guard':true,'weight':1.5},"
	"'mem':{'max':6144,'current':6144,'min':512,'guard':false,'note':{'by':'me'}},"
	"'energy':{'max':60,'current':60,'min':10,'guard':false},"
	"'disk':{'name':'ssd_0','path':'/mnt/ssd'},"
	"'disk_read':{'max':300,'current':100,'min':20,'guard':false}}}";

/* JSON with ' for ". */
static const char *q(const char *text)
{
	static char buffers[8][2048];
	static unsigned n;
	char *out = buffers[n++ % 8];

	snprintf(out, sizeof(buffers[0]), "%s", text);
	return requote(out);
}

TEST(structure_container_typed)
{
	struct structure *s = from(q(container), NULL);

	CHECK_STR(s->name, "c0");
	CHECK_STR(s->host_name, "h0");
	CHECK_INT(s->subtype, STRUCTURE_CONTAINER);
	CHECK(!s->guard && !s->automatic && !s->live);
	CHECK(s->resources[EBB_CPU].present && s->resources[EBB_CPU].guard);
	CHECK_INT(s->resources[EBB_CPU].max, 200);
	CHECK_INT(s->resources[EBB_CPU].min, 20);
	CHECK_INT(s->resources[EBB_CPU].current, 200);
	CHECK_NEAR(s->resources[EBB_CPU].weight, 1.5, 0);
	CHECK(isnan(s->resources[EBB_CPU].usage));
	CHECK(!s->resources[EBB_CPU].has_boundary);
	CHECK(s->resources[EBB_ENERGY].present);
	CHECK(!s->resources[EBB_DISK_WRITE].present);
	CHECK(!s->resources[EBB_NET].present);
	CHECK(s->physical[EBB_CPU] == INT64_MIN);
}

TEST(structure_container_round_trip)
{
	struct structure *s = from(q(container), NULL);

	same(structure_to_json(s), q(container));
	CHECK(structure_limits_to_json(s) == NULL);
}

TEST(structure_new_values_lie_over_the_document)
{
	struct structure *s = from(q(container), NULL);
	_cleanup_json_ json_t *doc = NULL;

	s->guard = true;
	s->resources[EBB_MEM].current = 1000;
	s->resources[EBB_MEM].allocated = 1000;
	s->resources[EBB_MEM].usage = 17;
	doc = structure_to_json(s);
	json_t *mem = json_object_get(json_object_get(doc, "resources"), "mem");
	CHECK(json_is_true(json_object_get(doc, "guard")));
	CHECK_INT(json_integer_value(json_object_get(mem, "current")), 1000);
	CHECK_INT(json_integer_value(json_object_get(mem, "allocated")), 1000);
	CHECK_STR(json_string_value(json_object_get(json_object_get(mem, "note"), "by")), "me");
	/* Never kept for containers. */
	CHECK(!json_object_get(mem, "usage"));

	/* What was built is a copy: changing it changes nothing here. */
	json_object_clear(json_object_get(mem, "note"));
	same(json_deep_copy(json_object_get(s->doc, "resources")),
	     q("{'mem':{'note':{'by':'me'}},'disk':{'name':'ssd_0','path':'/mnt/ssd'}}"));
}

TEST(structure_usage_of_containers_is_dropped_of_applications_kept)
{
	const char *app =
		"{'type':'structure','subtype':'application','name':'app1','guard':false,"
		"'state':'stopped','containers':['c0','c1'],'user':'user0','framework':'',"
		"'resources':{'cpu':{'max':800,'min':20,'guard':false,'weight':1.0,"
		"'current':400,'usage':215.3}}}";
	struct structure *s;

	same(structure_to_json(from(q(app), NULL)), q(app));
	s = from(q("{'subtype':'container','name':'c','resources':{'cpu':{'max':1,'usage':3.5}}}"),
		 NULL);
	CHECK_NEAR(s->resources[EBB_CPU].usage, 3.5, 0);
	same(structure_to_json(s), q("{'type':'structure','subtype':'container','name':'c',"
				     "'guard':false,'resources':{'cpu':{'max':1,'min':0,"
				     "'guard':false}}}"));
}

TEST(structure_host_round_trip)
{
	const char *host =
		"{'type':'structure','subtype':'host','name':'h0','guard':false,'host':'h0',"
		"'host_rescaler_ip':'h0','resources':{'cpu':{'max':800,'free':600,"
		"'core_usage_mapping':{'0':{'c0':100,'free':0}}},'mem':{'max':8192,'free':6144},"
		"'disks':{'ssd_0':{'type':'SSD','load':1,'path':'/dev/sdb','max_read':500}}}}";
	struct structure *s = from(q(host), NULL);

	CHECK_INT(s->resources[EBB_CPU].max, 800);
	CHECK_INT(s->resources[EBB_CPU].current, -1);
	same(structure_to_json(s), q(host));
}

TEST(structure_limits_round_trip)
{
	const char *limits = "{'_id':'77','type':'limit','name':'c0','resources':{'cpu':"
			     "{'boundary':10,'boundary_type':'percentage_of_max','upper':180,"
			     "'lower':160},'mem':{'boundary':5,'boundary_type':"
			     "'percentage_of_current','why':'asked'}}}";
	struct structure *s = from(q(container), q(limits));

	CHECK(s->resources[EBB_CPU].has_boundary && s->resources[EBB_MEM].has_boundary);
	CHECK_INT(s->resources[EBB_CPU].upper, 180);
	CHECK_INT(s->resources[EBB_MEM].boundary_type, BOUNDARY_PERCENTAGE_OF_CURRENT);
	CHECK_INT(s->resources[EBB_MEM].upper, -1);
	same(structure_limits_to_json(s), q(limits));
	/* Limits that the original left below 0 count as not yet known. */
	s = from(q(container),
		 q("{'name':'c0','resources':{'cpu':{'boundary':10,'upper':-20,'lower':-40,"
		   "'boundary_type':'percentage_of_max'}}}"));
	CHECK_INT(s->resources[EBB_CPU].upper, -1);
	CHECK_INT(s->resources[EBB_CPU].lower, -1);
}

TEST(structure_numbers_in_every_form)
{
	struct structure *s =
		from(q("{'subtype':'container','name':'c','guard':'true','resources':{'cpu':"
		       "{'max':'200','min':19.9,'current':'150.7','weight':'0.5','guard':'false'},"
		       "'mem':{'max':null,'current':null}}}"),
		     q("{'resources':{'cpu':{'boundary':'20','boundary_type':"
		       "'percentage_of_max'}}}"));

	CHECK(s->guard && !s->resources[EBB_CPU].guard);
	CHECK_INT(s->resources[EBB_CPU].max, 200);
	CHECK_INT(s->resources[EBB_CPU].min, 19);
	CHECK_INT(s->resources[EBB_CPU].current, 150);
	CHECK_INT(s->resources[EBB_CPU].boundary, 20);
	CHECK_NEAR(s->resources[EBB_CPU].weight, 0.5, 0);
	CHECK(s->resources[EBB_MEM].present);
	CHECK_INT(s->resources[EBB_MEM].current, -1);
}

TEST(structure_current_missing_or_negative_is_unknown)
{
	struct structure *s = from(q("{'subtype':'container','name':'c','resources':{'cpu':"
				     "{'max':2,'current':-5},'mem':{'max':2},"
				     "'disk_read':{'max':5,'current':0}}}"),
				   NULL);

	CHECK_INT(s->resources[EBB_CPU].current, -1);
	CHECK_INT(s->resources[EBB_MEM].current, -1);
	CHECK_INT(s->resources[EBB_DISK_READ].current, 0);
}

TEST(structure_nonsense_is_refused_with_a_reason)
{
#define C "'subtype':'container','name':'c'"
	refused("[]", NULL, "object");
	refused(q("{'subtype':'container'}"), NULL, "name");
	refused(q("{'subtype':'container','name':''}"), NULL, "name");
	refused(q("{'subtype':'container','name':'a\\u0007b'}"), NULL, "name");
	refused(q("{'subtype':'container','name':7}"), NULL, "name");
	refused(q("{'name':'c'}"), NULL, "subtype");
	refused(q("{'name':'c','subtype':'pod'}"), NULL, "subtype");
	refused(q("{" C ",'guard':1}"), NULL, "guard");
	refused(q("{" C ",'host':5}"), NULL, "host");
	refused(q("{" C ",'resources':[]}"), NULL, "resources");
	refused(q("{" C ",'resources':{'cpu':5}}"), NULL, "resources.cpu");
	refused(q("{" C ",'resources':{'cpu':{'max':'many'}}}"), NULL, "resources.cpu.max");
	refused(q("{" C ",'resources':{'cpu':{'max':[1]}}}"), NULL, "resources.cpu.max");
	refused(q("{" C ",'resources':{'cpu':{'max':-1}}}"), NULL, "resources.cpu.max");
	refused(q("{" C ",'resources':{'cpu':{'max':1e300}}}"), NULL, "resources.cpu.max");
	refused(q("{" C ",'resources':{'cpu':{'max':100,'min':101}}}"), NULL, "above max 100");
	refused(q("{" C ",'resources':{'cpu':{'weight':-1}}}"), NULL, "weight");
	refused(q("{" C ",'resources':{'mem':{'guard':'yes'}}}"), NULL, "resources.mem.guard");
	refused(q("{" C "}"),
		q("{'resources':{'cpu':{'boundary':101,'boundary_type':"
		  "'percentage_of_max'}}}"),
		"limits.cpu.boundary");
	refused(q("{" C "}"),
		q("{'resources':{'cpu':{'boundary':-1,'boundary_type':'percentage_of_max'}}}"),
		"limits.cpu.boundary");
	/* The old absolute form, without a type. */
	refused(q("{" C "}"), q("{'resources':{'cpu':{'boundary':25,'upper':100,'lower':50}}}"),
		"boundary_type");
	refused(q("{" C "}"), q("{'resources':{'cpu':{'boundary':25,'boundary_type':'x'}}}"),
		"boundary_type");
	refused(q("{" C "}"), q("{'resources':{'cpu':{'boundary_type':'percentage_of_max'}}}"),
		"boundary");
#undef C
}

TEST(structure_names)
{
	CHECK_STR(structure_subtype_name(STRUCTURE_APPLICATION), "application");
	CHECK(structure_subtype_name(STRUCTURE_SUBTYPE_MAX) == NULL);
	CHECK_STR(boundary_type_name(BOUNDARY_PERCENTAGE_OF_CURRENT), "percentage_of_current");
	CHECK(boundary_type_name(BOUNDARY_TYPE_MAX) == NULL);
	CHECK_INT(boundary_type_from_name("percentage_of_max"), BOUNDARY_PERCENTAGE_OF_MAX);
	CHECK_INT(boundary_type_from_name("percent"), BOUNDARY_TYPE_MAX);
}

TEST(structure_json_numbers)
{
	int64_t i = 7;
	double d = 7;

	json_t *list = loaded("[\"12\", -3.9, \"x\", true, null, 1e17, \"nan\", \"1e400\"]");
	CHECK_INT(json_to_int64(json_array_get(list, 2), &i), -EINVAL);
	CHECK_INT(json_to_int64(json_array_get(list, 3), &i), -EINVAL);
	CHECK_INT(json_to_int64(json_array_get(list, 4), &i), -EINVAL);
	CHECK_INT(json_to_int64(json_array_get(list, 5), &i), -ERANGE);
	CHECK(json_to_double(json_array_get(list, 6), &d) < 0);
	CHECK(json_to_double(json_array_get(list, 7), &d) < 0);
	CHECK(json_to_double(NULL, &d) < 0);
	CHECK_INT(i, 7);
	CHECK_NEAR(d, 7, 0);
	CHECK_INT(json_to_int64(json_array_get(list, 0), &i), 0);
	CHECK_INT(i, 12);
	CHECK_INT(json_to_int64(json_array_get(list, 1), &i), 0);
	CHECK_INT(i, -3);
}

TEST_MAIN()
