/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "model_walk.h"
#include "series_world.h"

static void add_n(struct model *model, int from, int to)
{
	char text[128];

	for (int i = from; i < to; i++) {
		snprintf(text, sizeof(text), "{'subtype':'container','name':'c%d'}", i);
		add_structure(model, text);
	}
}

static int number(const struct structure *structure)
{
	return atoi(structure->name + 1);
}

TEST(model_walk_of_nothing)
{
	struct model *model = new_world();
	struct model_walk walk;

	model_walk_begin(&walk, model);
	CHECK(!model_walk_piece(&walk));
}

TEST(model_walk_comes_to_each_once)
{
	struct model *model = new_world();
	struct structure *structure;
	struct model_walk walk;
	int seen[500] = {}, pieces = 0;

	add_n(model, 0, 500);
	for (int round = 1; round <= 2; round++) {
		model_walk_begin(&walk, model);
		while (model_walk_piece(&walk)) {
			pieces++;
			for (int i = 0; i < 7 && (structure = model_walk_next(&walk)); i++)
				seen[number(structure)]++;
			model_walk_release(&walk);
		}
		for (int i = 0; i < 500; i++)
			CHECK_INT(seen[i], round);
	}
	CHECK(pieces >= 2 * 500 / 7);
	CHECK(walk.hold.longest_s > 0);
}

TEST(model_walk_again_is_in_the_next_piece)
{
	struct model *model = new_world();
	struct structure *structure;
	struct model_walk walk;
	int seen[20] = {};

	add_n(model, 0, 20);
	model_walk_begin(&walk, model);
	while (model_walk_piece(&walk)) {
		bool one = false;

		while ((structure = model_walk_next(&walk))) {
			if (one) {
				model_walk_again(&walk, structure);
				break;
			}
			seen[number(structure)]++;
			one = true;
		}
		model_walk_release(&walk);
	}
	for (int i = 0; i < 20; i++)
		CHECK_INT(seen[i], 1);
}

/* Structures come and go between the pieces: what stays comes exactly once. */
TEST(model_walk_while_others_change_the_model)
{
	enum { N = 400 };
	unsigned seed = 7;

	for (int round = 0; round < 50; round++) {
		struct model *model = NULL;
		struct structure *structure;
		struct model_walk walk;
		int seen[2 * N] = {};
		bool removed[2 * N] = {};
		int n = N;

		CHECK_INT(model_new(NULL, &model), 0);
		add_n(model, 0, N);
		model_walk_begin(&walk, model);
		while (model_walk_piece(&walk)) {
			for (int i = 0; i < 10 && (structure = model_walk_next(&walk)); i++)
				seen[number(structure)]++;
			model_walk_release(&walk);
			for (int i = 0; i < 6; i++) {
				char name[16];
				int which = rand_r(&seed) % n;

				snprintf(name, sizeof(name), "c%d", which);
				model_lock(model);
				structure = model_structure(model, name);
				if (structure)
					model_remove(model, structure);
				removed[which] = true;
				model_unlock(model);
			}
			if (n < 2 * N && rand_r(&seed) % 2) {
				add_n(model, n, n + 1);
				n++;
			}
		}
		model_free(model);
		for (int i = 0; i < n; i++) {
			CHECK(seen[i] <= 1);
			if (i < N && !removed[i])
				CHECK_INT(seen[i], 1);
		}
	}
}

TEST_MAIN()
