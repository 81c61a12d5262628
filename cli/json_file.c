/* SPDX-License-Identifier: Apache-2.0 */
#include "json_file.h"

#include <errno.h>
#include <string.h>

#include "cli.h"
#include "ebb/cleanup.h"

const char *json_file_name(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

int json_file_read(const char *path, json_t **ret_json)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : fopen(path, "re");
	json_error_t error;
	json_t *json;
	bool unread;

	if (!file) {
		cli_fail("cannot open %s: %s", path, strerror(errno));
		return -EIO;
	}
	errno = 0;
	json = json_loadf(file, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	unread = ferror(file);
	if (!standard)
		fclose(file);
	if (json) {
		*ret_json = json;
		return 0;
	}
	if (unread) {
		cli_fail("cannot read %s: %s", json_file_name(path), strerror(EIO));
		return -EIO;
	}
	cli_fail("%s:%d:%d: not JSON: %s", json_file_name(path), error.line, error.column,
		 error.text);
	return -EINVAL;
}
