/* SPDX-License-Identifier: Apache-2.0 */
/* The input is an INI file, or with a NUL in it the arguments, each ended by a NUL. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../fuzz.h"
#include "ebb/config.h"

static const char *const choices[] = {"one", "two", NULL};

struct options {
	char *text;
	struct string_list list;
	unsigned number;
	bool flag;
	int choice;
};

static const struct option_spec table[] = {
	{.name = "text",
	 .kind = OPTION_STRING,
	 .offset = offsetof(struct options, text),
	 .help = "",
	 .by_default = "x"},
	{.name = "list", .kind = OPTION_LIST, .offset = offsetof(struct options, list), .help = ""},
	{.name = "number",
	 .kind = OPTION_UINT,
	 .offset = offsetof(struct options, number),
	 .help = "",
	 .min = 1,
	 .max = 9,
	 .by_default = "1"},
	{.name = "flag", .kind = OPTION_BOOL, .offset = offsetof(struct options, flag), .help = ""},
	{.name = "choice",
	 .kind = OPTION_CHOICE,
	 .offset = offsetof(struct options, choice),
	 .help = "",
	 .choices = choices},
};

static const struct config_program program = {
	.name = "fuzz",
	.section = "fuzz",
	.summary = "",
	.options = table,
	.n_options = sizeof(table) / sizeof(table[0]),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int silent = -1;
	struct options options = {0};
	char *text = fuzz_string(data, size), path[64];
	char *argv[18] = {"fuzz"};
	int argc = 1, fd = -1;

	if (memchr(data, '\0', size)) {
		for (char *p = text; p < text + size && argc < 17; p += strlen(p) + 1)
			/* The help would be printed a thousand times, and files be opened. */
			if (strcmp(p, "-h") && strncmp(p, "--h", 3) && strncmp(p, "--v", 3) &&
			    strncmp(p, "--c", 3))
				argv[argc++] = p;
	} else {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		argv[argc++] = "--config";
		argv[argc++] = path;
	}

	int kept = dup(STDERR_FILENO);
	if (silent < 0)
		silent = open("/dev/null", O_WRONLY | O_CLOEXEC);
	dup2(silent, STDERR_FILENO);
	int r = config_load(&program, argc, argv, &options);
	dup2(kept, STDERR_FILENO);
	close(kept);

	if (r == 0) {
		FUZZ_CHECK(options.text && *options.text);
		FUZZ_CHECK(options.number >= 1 && options.number <= 9);
		FUZZ_CHECK(options.choice == 0 || options.choice == 1);
		for (size_t i = 0; i < options.list.n; i++)
			FUZZ_CHECK(*options.list.items[i] && !strchr(options.list.items[i], ','));
	} else {
		FUZZ_CHECK(!options.text && !options.list.n && !options.number);
	}
	config_clear(&program, &options);
	if (fd >= 0)
		close(fd);
	free(text);
	return 0;
}
