/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a harness without libFuzzer: over each file of its corpus, then over random changes of them.
 *   fuzz_NAME [FILE...]     default: tests/fuzz/corpus/NAME/
 * EBB_TEST_SEED repeats a run.
 */
#include <dirent.h>
#include <limits.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"
#include "fuzz.h"
#include "seed.h"

#define INPUT_MAX 65536

/* A harness that is slow has a number of its own. */
extern unsigned fuzz_changes_per_input;
__attribute__((weak)) unsigned fuzz_changes_per_input = 2000;

struct input {
	uint8_t *data;
	size_t size;
};

/* xorshift64*: the same sequence everywhere for the same seed. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static bool read_input(const char *path, struct input *ret_input)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	uint8_t *data = malloc(INPUT_MAX);

	if (!file || !data) {
		fprintf(stderr, "cannot read %s\n", path);
		free(data);
		return false;
	}
	*ret_input = (struct input){data, fread(data, 1, INPUT_MAX, file)};
	return true;
}

/* Bytes flipped, cut, doubled, or taken from another input. The result is in a block of its size.
 */
static uint8_t *change(const struct input *inputs, size_t n, size_t which, uint64_t *state,
		       size_t *ret_size)
{
	static const char interesting[] = "%/=[];,-#\"\n\0\xff\xc3 09*:";
	const struct input *other = &inputs[next_random(state) % n];
	uint8_t work[INPUT_MAX];
	size_t size = inputs[which].size;

	if (size)
		memcpy(work, inputs[which].data, size);
	for (uint64_t times = 1 + next_random(state) % 6; times; times--) {
		size_t at = size ? next_random(state) % size : 0;
		size_t len = 1 + next_random(state) % 8;

		switch (next_random(state) % 5) {
		case 0:
			if (size)
				work[at] ^= (uint8_t)(1u << next_random(state) % 8);
			break;
		case 1:
			if (size)
				work[at] = (uint8_t)
					interesting[next_random(state) % (sizeof(interesting) - 1)];
			break;
		case 2: /* cut out */
			len = MIN(len, size - at);
			memmove(work + at, work + at + len, size - at - len);
			size -= len;
			break;
		case 3: /* double */
			len = MIN(MIN(len, size - at), INPUT_MAX - size);
			memmove(work + at + len, work + at, size - at);
			size += len;
			break;
		case 4: /* the other's end */
			if (other->size) {
				size_t from = next_random(state) % other->size;
				len = MIN(other->size - from, INPUT_MAX - at);
				memcpy(work + at, other->data + from, len);
				size = at + len;
			}
			break;
		}
	}
	uint8_t *data = malloc(size ? size : 1);
	if (!data)
		abort();
	memcpy(data, work, size);
	*ret_size = size;
	return data;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	uint64_t seed = test_seed(1), state;
	struct input inputs[256];
	size_t n = 0;
	char dir[PATH_MAX];

	for (int i = 1; i < argc && n < ARRAY_SIZE(inputs); i++)
		if (!read_input(argv[i], &inputs[n++]))
			return 1;
	snprintf(dir, sizeof(dir), "tests/fuzz/corpus/%s",
		 name + (strncmp(name, "fuzz_", 5) ? 0 : 5));
	if (argc == 1) {
		_cleanup_dir_ DIR *d = opendir(dir);
		for (struct dirent *e; d && n < ARRAY_SIZE(inputs) && (e = readdir(d));) {
			char path[PATH_MAX + 300];
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
			if (e->d_name[0] != '.' && !read_input(path, &inputs[n++]))
				return 1;
		}
	}
	if (!n) {
		fprintf(stderr, "no inputs in %s\n", dir);
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		LLVMFuzzerTestOneInput(inputs[i].data, inputs[i].size);
	printf("ok %s_corpus\n", name);
	fflush(stdout);

	state = seed ? seed : 1;
	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < fuzz_changes_per_input; k++) {
			size_t size;
			_cleanup_free_ uint8_t *data = change(inputs, n, i, &state, &size);
			LLVMFuzzerTestOneInput(data, size);
		}
	for (size_t i = 0; i < n; i++)
		free(inputs[i].data);
	printf("ok %s_random_changes\n", name);
	return 0;
}
