/* SPDX-License-Identifier: Apache-2.0 */
#include "sampler_text.h"

#include <stdio.h>
#include <string.h>

#include "ebb/cleanup.h"

static const char *next_line(const char *line)
{
	line = strchr(line, '\n');
	return line && line[1] ? line + 1 : NULL;
}

const char *take_number(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (*p - '0');
	*ret_value = value;
	return p > text ? p : NULL;
}

bool flat_value(const char *text, const char *key, uint64_t *ret_value)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = next_line(line))
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return take_number(line + len + 1, ret_value);
	return false;
}

bool cpu_max_parse(const char *text, uint64_t *ret_quota_ns, uint64_t *ret_period_ns)
{
	uint64_t quota_us = 0, period_us;
	bool unlimited = strncmp(text, "max ", 4) == 0;
	const char *rest = unlimited ? text + 3 : take_number(text, &quota_us);

	if (!rest || *rest != ' ' || !take_number(rest + 1, &period_us))
		return false;
	*ret_quota_ns = unlimited ? EBB_UNLIMITED : quota_us * NS_PER_US;
	*ret_period_ns = period_us * NS_PER_US;
	return true;
}

bool mem_limit_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t bytes;

	if (strncmp(text, "max", 3) == 0) {
		*ret_bytes = EBB_UNLIMITED;
		return true;
	}
	if (!take_number(text, &bytes))
		return false;
	*ret_bytes = bytes >= (uint64_t)INT64_MAX / 65536 * 65536 ? EBB_UNLIMITED : bytes;
	return true;
}

/* "8:16 ": the rest of the line, NULL when it does not begin so. */
static const char *take_device(const char *line, uint64_t *ret_major, uint64_t *ret_minor)
{
	const char *p = take_number(line, ret_major);

	if (!p || *p != ':')
		return NULL;
	p = take_number(p + 1, ret_minor);
	return p && *p == ' ' ? p + 1 : NULL;
}

void io_stat_parse(const char *text, disk_counts_fn counts, void *userdata,
		   struct ebb_sample *sample)
{
	const struct {
		const char *key;
		__u64 *into;
	} fields[] = {
		{"rbytes=", &sample->read_bytes},
		{"wbytes=", &sample->write_bytes},
		{"rios=", &sample->read_ops},
		{"wios=", &sample->write_ops},
	};

	for (const char *line = text; line; line = next_line(line)) {
		uint64_t major, minor, value;
		const char *p = take_device(line, &major, &minor);

		if (!p || !counts(userdata, major, minor))
			continue;
		while (*p && *p != '\n') {
			for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
				size_t len = strlen(fields[i].key);

				if (strncmp(p, fields[i].key, len) == 0 &&
				    take_number(p + len, &value))
					*fields[i].into += value;
			}
			p += strcspn(p, " \n");
			p += strspn(p, " ");
		}
	}
}

unsigned blkio_parse(const char *text, disk_counts_fn counts, void *userdata, uint64_t *ret_read,
		     uint64_t *ret_write)
{
	uint64_t read = 0, write = 0;
	unsigned disks = 0;

	for (const char *line = text; line; line = next_line(line)) {
		uint64_t major, minor, value;
		const char *p = take_device(line, &major, &minor);

		if (!p || !counts(userdata, major, minor))
			continue;
		if (strncmp(p, "Read ", 5) == 0 && take_number(p + 5, &value)) {
			read += value;
			disks++;
		} else if (strncmp(p, "Write ", 6) == 0 && take_number(p + 6, &value)) {
			write += value;
		}
	}
	*ret_read = read;
	*ret_write = write;
	return disks;
}

bool blkio_counts_all(const char *release)
{
	unsigned major, minor;

	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		return true;
	return major < 5 || (major == 5 && minor < 16) || (major == 6 && minor > 4) || major > 6;
}
