/* SPDX-License-Identifier: Apache-2.0 */
#include "name_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ebb/cleanup.h"
#include "ebb/log.h"
#include "ebb/util.h"
#include "engine_files.h"
#include "hash.h"
#include "text.h"

/* Two names of 255 bytes a line. */
#define FILE_BYTES_MAX (NAME_RECORD_MAX * 514U)

struct kept {
	char *name, *owner;
};

struct name_record {
	char *path;
	struct kept *kept[NAME_RECORD_MAX]; /* the oldest first */
	size_t n;
	struct hash by_name;
	bool told;
};

static bool name_equal(const void *value, const void *key)
{
	return !strcmp(((const struct kept *)value)->name, key);
}

static struct kept *find(const struct name_record *record, const char *name)
{
	return hash_find(&record->by_name, hash_string(name), name_equal, name);
}

static void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	free(kept->name);
	free(kept->owner);
	free(kept);
}

static int add(struct name_record *record, const char *name, size_t name_len, const char *owner,
	       size_t owner_len)
{
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return -ENOMEM;
	kept->name = strndup(name, name_len);
	kept->owner = strndup(owner, owner_len);
	if (!kept->name || !kept->owner ||
	    hash_add(&record->by_name, hash_string(kept->name), kept) < 0) {
		kept_free(kept);
		return -ENOMEM;
	}
	if (record->n == NAME_RECORD_MAX) {
		struct kept *oldest = record->kept[0];

		hash_remove(&record->by_name, hash_string(oldest->name), oldest);
		kept_free(oldest);
		memmove(record->kept, record->kept + 1, --record->n * sizeof(record->kept[0]));
	}
	record->kept[record->n++] = kept;
	return 0;
}

/* Lines of OWNER TAB NAME. */
static bool parse(struct name_record *record, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *tab = memchr(text, '\t', len);
		size_t owner_len = tab ? (size_t)(tab - text) : 0;

		if (!tab || owner_len == 0 || text[len] != '\n' || len - owner_len - 1 == 0 ||
		    !utf8_is_valid(text, len))
			return false;
		if (add(record, tab + 1, len - owner_len - 1, text, owner_len) < 0)
			return false;
		text += len + 1;
	}
	return true;
}

static void forget_all(struct name_record *record)
{
	while (record->n > 0) {
		struct kept *kept = record->kept[--record->n];

		hash_remove(&record->by_name, hash_string(kept->name), kept);
		kept_free(kept);
	}
}

static int read_record(struct name_record *record)
{
	_cleanup_free_ char *dir = strdup(record->path), *text = NULL;
	char *slash = dir ? strrchr(dir, '/') : NULL;
	size_t len;
	int r;

	if (!slash)
		return dir ? -EINVAL : -ENOMEM;
	*slash = '\0';
	r = engine_read_file(*dir ? dir : "/", slash + 1, FILE_BYTES_MAX, NULL, &text, &len);
	if (r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (r < 0 || !parse(record, text)) {
		log_warning("%s is damaged: which engine a name belongs to that several have is "
			    "decided anew",
			    record->path);
		forget_all(record);
	}
	return 0;
}

int name_record_open(const char *path, struct name_record **ret_record)
{
	struct name_record *record = calloc(1, sizeof(*record));
	int r = 0;

	if (!record)
		return -ENOMEM;
	if (path) {
		record->path = strdup(path);
		r = record->path ? read_record(record) : -ENOMEM;
	}
	if (r < 0) {
		name_record_close(record);
		return r;
	}
	*ret_record = record;
	return 0;
}

void name_record_close(struct name_record *record)
{
	if (!record)
		return;
	forget_all(record);
	hash_clear(&record->by_name);
	free(record->path);
	free(record);
}

const char *name_record_owner(const struct name_record *record, const char *name)
{
	const struct kept *kept = record ? find(record, name) : NULL;

	return kept ? kept->owner : NULL;
}

/* Whole or not at all: by a file of its own that takes the old one's place. */
static int write_record(const struct name_record *record)
{
	_cleanup_free_ char *fresh = NULL;
	_cleanup_close_ int fd = -1;
	struct text text = {0};
	int r = 0;

	if (asprintf(&fresh, "%s.new", record->path) < 0) {
		fresh = NULL;
		return -ENOMEM;
	}
	r = make_directory_for(record->path);
	if (r < 0)
		return r;
	for (size_t i = 0; i < record->n; i++)
		text_printf(&text, "%s\t%s\n", record->kept[i]->owner, record->kept[i]->name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (text.failed)
		r = -ENOMEM;
	else if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len ||
		 rename(fresh, record->path) < 0)
		r = errno ? -errno : -EIO;
	text_clear(&text);
	return r;
}

int name_record_keep(struct name_record *record, const char *name, const char *owner)
{
	struct kept *kept = find(record, name);
	char *copy;
	int r;

	if (kept && !strcmp(kept->owner, owner))
		return 0;
	if (kept) {
		copy = strdup(owner);
		if (!copy)
			return -ENOMEM;
		free(kept->owner);
		kept->owner = copy;
	} else {
		r = add(record, name, strlen(name), owner, strlen(owner));
		if (r < 0)
			return r;
	}
	if (!record->path)
		return 0;
	r = write_record(record);
	if (r < 0 && !record->told) {
		log_warning_errno(r,
				  "%s cannot be written: after a restart of the agent, names that "
				  "several containers have may go to others of them",
				  record->path);
		record->told = true;
	}
	return 0;
}
