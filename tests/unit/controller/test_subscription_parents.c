/* SPDX-License-Identifier: Apache-2.0 */
/* Applications and users that are subscribed, and who belongs to whom. */
#include "subscription_fixture.h"

/* --- applications --- */

static int put_application(const char *name, const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(APPLICATION, path, value);
	struct structure *s;
	int r;

	model_lock(model);
	r = subscribe_application(model, name, body, &s, ret_error);
	model_unlock(model);
	return r;
}

TEST(an_application_comes_in_with_all_of_its_keys)
{
	static const struct {
		const char *path, *want;
	} members[] = {
		{"type", "\"structure\""},
		{"subtype", "\"application\""},
		{"guard", "false"},
		{"state", "\"stopped\""},
		{"containers", "[]"},
		{"install_script", "\"i.sh\""},
		{"install_files", "\"\""},
		{"runtime_files", "\"r\""},
		{"output_dir", "\"o\""},
		{"start_script", "\"s.sh\""},
		{"stop_script", "\"x.sh\""},
		{"framework", "\"spark\""},
		{"resources.cpu", "{\"max\":1600,\"min\":20,\"guard\":false,\"weight\":1.0}"},
	};

	start();
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		CHECK_STR(document_at("app1", members[i].path), members[i].want);
	CHECK_INT(find("app1")->resources[EBB_MEM].boundary, 5);
	release_all(NULL);
	start();
	CHECK_INT(put_application("app1", "app.subscribing", "true", NULL), 0);
	CHECK_INT(find("app1")->subscription, 0);
}

TEST(applications_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"app", NULL, 400, "Missing key 'app'"},
		{"app.name", NULL, 400, "Missing key 'app.name'"},
		{"app.name", "'x'", 400, "must be the same"},
		{"app.resources", NULL, 400, "Missing key 'app.resources'"},
		{"app.guard", NULL, 400, "Missing key 'app.guard'"},
		{"app.subtype", "'container'", 400, "app.subtype must be \"application\""},
		{"app.install_script", NULL, 400, "Missing key 'app.install_script'"},
		{"app.install_files", NULL, 400, "Missing key 'app.install_files'"},
		{"app.runtime_files", NULL, 400, "Missing key 'app.runtime_files'"},
		{"app.output_dir", NULL, 400, "Missing key 'app.output_dir'"},
		{"app.start_script", NULL, 400, "Missing key 'app.start_script'"},
		{"app.stop_script", NULL, 400, "Missing key 'app.stop_script'"},
		{"app.stop_script", "7", 400, "app.stop_script must be a string"},
		{"app.state", "'resting'", 400, "app.state must be running"},
		{"app.resources.cpu.max", "10", 400, "min 20 is above max 10"},
		{"app.resources.cpu.max", NULL, 400, "app.resources.cpu.max"},
		{"app.resources.cpu.guard", "'x'", 400, "app.resources.cpu.guard"},
		{"app.resources.mem", NULL, 400, "Missing key 'app.resources.mem'"},
		{"limits", NULL, 400, "Missing key 'limits'"},
		{"limits.resources.energy", "{}", 400, "has no counterpart"},
		{"limits.resources.cpu.boundary", "'x'", 400, "limits.resources.cpu.boundary"},
	};
	_cleanup_free_ char *before = NULL, *error = NULL;

	start();
	before = everything();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		CHECK_INT(put_application("app1", refusals[i].path, refusals[i].value, &error),
			  -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		free(TAKE_PTR(error));
		check_same(before, refusals[i].path);
	}
	CHECK_INT(put_application("c0", "app.name", "'c0'", &error), -EEXIST);
	check_same(before, "the name of a container");
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	free(TAKE_PTR(error));
	CHECK_INT(put_application("app1", NULL, NULL, &error), -EEXIST);
	CHECK(strstr(error, "DELETE /structure/apps/app1"));
	CHECK_INT(leave("app1", NULL), 0);
	check_same(before, "an application that came and went");
}

/* --- users, and who belongs to whom --- */

#define USER                                                                                    \
	"{'user': {'name': 'user0', 'subtype': 'user', 'balancing_method': 'pair_swapping', "   \
	"'resources': {'cpu': {'max': '2000', 'min': '100'}, 'mem': {'max': 8192, 'min': 64}, " \
	"'energy': {'max': '100', 'min': '20'}}}}"

static int put_user(const char *name, const char *path, const char *value, char **ret_error)
{
	_cleanup_json_ json_t *body = body_with(USER, path, value);
	struct structure *s;
	int r;

	model_lock(model);
	r = subscribe_user(model, name, body, &s, ret_error);
	model_unlock(model);
	return r;
}

TEST(a_user_comes_in_and_goes)
{
	_cleanup_free_ char *before = NULL, *error = NULL;
	_cleanup_json_ json_t *doc = NULL;

	start();
	before = everything();
	CHECK_INT(put_user("user0", NULL, NULL, NULL), 0);
	doc = structure_to_json(model_user(model, "user0"));
	CHECK_STR(text_at(doc, "clusters"), "[]");
	CHECK_STR(text_at(doc, "balancing_method"), "\"pair_swapping\"");
	CHECK_STR(text_at(doc, "resources.energy"), "{\"max\":100,\"min\":20}");
	CHECK_INT(put_user("user0", NULL, NULL, &error), -EEXIST);
	CHECK(strstr(error, "DELETE /user/user0"));
	model_lock(model);
	CHECK_INT(desubscribe(model, scaler, model_user(model, "user0"), NULL), 0);
	model_unlock(model);
	CHECK(!model_user(model, "user0"));
	check_same(before, "a user that came and went");
}

TEST(users_that_cannot_be_are_refused)
{
	static const struct refusal refusals[] = {
		{"user", NULL, 400, "Missing key 'user'"},
		{"user.name", NULL, 400, "Missing key 'user.name'"},
		{"user.name", "'x'", 400, "must be the same"},
		{"user.subtype", "'host'", 400, "user.subtype must be \"user\""},
		{"user.balancing_method", "7", 400, "user.balancing_method"},
		{"user.resources", NULL, 400, "Missing key 'user.resources'"},
		{"user.resources.cpu", NULL, 400, "Missing key 'user.resources.cpu'"},
		{"user.resources.mem", NULL, 400, "Missing key 'user.resources.mem'"},
		{"user.resources.mem.min", NULL, 400, "user.resources.mem.min"},
		{"user.resources.mem.max", "'x'", 400, "user.resources.mem.max"},
		{"user.resources.mem.min", "8193", 400, "above max"},
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		_cleanup_free_ char *error = NULL;

		CHECK_INT(put_user("user0", refusals[i].path, refusals[i].value, &error), -EINVAL);
		if (!strstr(error, refusals[i].word))
			TEST_FAIL("\"%s\" does not say \"%s\"", error, refusals[i].word);
		CHECK(!model_user(model, "user0"));
	}
}

static void join(struct structure *parent, struct structure *child)
{
	model_lock(model);
	CHECK_INT(hierarchy_join(model, parent, child, NULL), 0);
	model_unlock(model);
}

TEST(what_goes_leaves_all_lists)
{
	_cleanup_json_ json_t *doc = NULL;

	start();
	subscribe(NULL, NULL);
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	CHECK_INT(put_user("user0", NULL, NULL, NULL), 0);
	join(find("app1"), find("c0"));
	join(model_user(model, "user0"), find("app1"));
	CHECK_STR(document_at("app1", "containers"), "[\"c0\"]");
	CHECK_STR(document_at("app1", "user"), "\"user0\"");

	CHECK_INT(leave("c0", NULL), 0);
	CHECK_STR(document_at("app1", "containers"), "[]");
	/* It is there again, on its own. */
	CHECK(!hierarchy_parent(find("c0")));

	join(find("app1"), find("c1"));
	CHECK_INT(leave("app1", NULL), 0);
	CHECK(!hierarchy_parent(find("c1")));
	doc = structure_to_json(model_user(model, "user0"));
	CHECK_STR(text_at(doc, "clusters"), "[]");

	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	CHECK_STR(document_at("app1", "containers"), "[]");
	CHECK_STR(document_at("app1", "user"), "");
	join(model_user(model, "user0"), find("app1"));
	model_lock(model);
	CHECK_INT(desubscribe(model, scaler, model_user(model, "user0"), NULL), 0);
	model_unlock(model);
	CHECK_STR(document_at("app1", "user"), "");
	CHECK(!hierarchy_parent(find("app1")));
}

TEST(states_of_applications)
{
	_cleanup_free_ char *error = NULL;

	start();
	CHECK_INT(put_application("app1", NULL, NULL, NULL), 0);
	model_lock(model);
	CHECK_INT(application_set_state(model, find("app1"), "HDFS_Uploading", NULL), 0);
	CHECK_INT(application_set_state(model, find("app1"), "resting", &error), -EINVAL);
	model_unlock(model);
	CHECK(strstr(error, "hdfs_downloading"));
	CHECK_STR(document_at("app1", "state"), "\"hdfs_uploading\"");
	free(TAKE_PTR(error));
	model_lock(model);
	CHECK_INT(application_set_state(model, find("c0"), "running", &error), -EINVAL);
	model_unlock(model);
	CHECK(strstr(error, "only applications have a state"));
}

TEST_MAIN()
