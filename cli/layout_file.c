/* SPDX-License-Identifier: Apache-2.0 */
#include "layout_file.h"

#include <errno.h>
#include <string.h>

#include "cli.h"
#include "json_file.h"
#include "yaml_json.h"
#include "ebb/cleanup.h"

/* A site of 100,000 containers, each with all of its members, is some 40 MiB. */
#define FILE_MAX (256u << 20)

static int read_all(FILE *file, char **ret_text, size_t *ret_len)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0, len = 0, n;

	do {
		char *more;

		if (size > FILE_MAX)
			return -EFBIG;
		size = size ? size * 2 : 1 << 16;
		more = realloc(text, size);
		if (!more)
			return -ENOMEM;
		text = more;
		n = fread(text + len, 1, size - len, file);
		len += n;
	} while (len == size);
	if (ferror(file))
		return -EIO;
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

static int read_yaml(const char *path, json_t **ret_json)
{
	bool standard = strcmp(path, "-") == 0;
	_cleanup_free_ char *text = NULL, *error = NULL;
	FILE *file = standard ? stdin : fopen(path, "re");
	size_t len = 0;
	int r;

	if (!file) {
		cli_fail("cannot open %s: %s", path, strerror(errno));
		return -EIO;
	}
	r = read_all(file, &text, &len);
	if (!standard)
		fclose(file);
	if (r < 0) {
		cli_fail("cannot read %s: %s", json_file_name(path), strerror(-r));
		return -EIO;
	}
	r = yaml_to_json(text, len, ret_json, &error);
	if (r < 0)
		cli_fail("%s:%s", json_file_name(path), error ? error : strerror(-r));
	return r;
}

int layout_file_read(const char *path, json_t **ret_json)
{
	const char *dot = strrchr(path, '.');

	return dot && !strcmp(dot, ".json") ? json_file_read(path, ret_json)
					    : read_yaml(path, ret_json);
}
