/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_message.h"

#include <inttypes.h>
#include <string.h>

#include "resources.h"

void feed_message_member(struct text *text, const char *list, size_t *n)
{
	if ((*n)++)
		text_char(text, ',');
	else
		text_printf(text, ",\"%s\":[", list);
}

void feed_message_end_list(struct text *text, size_t n)
{
	if (n)
		text_char(text, ']');
}

/* 13 numbers of at most 20 digits, with their commas and brackets. */
#define ROW_MAX (13 * 21 + 2)

/*
 * Writes before `end`, which must have room, and returns where it begins. Thousands of rows a
 * second are made of these: a row is put together backwards in one small buffer.
 */
static char *put_u64(char *end, uint64_t value)
{
	do {
		*--end = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	return end;
}

static char *put_counter(char *end, bool valid, uint64_t value)
{
	if (valid) {
		end = put_u64(end, value);
	} else {
		end -= 4;
		memcpy(end, "null", 4);
	}
	*--end = ',';
	return end;
}

void feed_message_sample(struct text *text, uint64_t c, const struct ebb_sample *s)
{
	bool bandwidth = s->valid & EBB_VALID_BANDWIDTH, io = s->valid & EBB_VALID_IO;
	char row[ROW_MAX], *at = row + sizeof(row);

	*--at = ']';
	at = put_counter(at, io, s->write_ops);
	at = put_counter(at, io, s->read_ops);
	at = put_counter(at, io, s->write_bytes);
	at = put_counter(at, io, s->read_bytes);
	at = put_counter(at, s->valid & EBB_VALID_OOM, s->oom_kills);
	at = put_counter(at, s->valid & EBB_VALID_WORKING_SET, s->mem_working_set);
	at = put_counter(at, s->valid & EBB_VALID_MEM, s->mem_charged);
	at = put_counter(at, bandwidth, s->throttled_ns);
	at = put_counter(at, bandwidth, s->nr_throttled);
	at = put_counter(at, bandwidth, s->nr_periods);
	at = put_counter(at, s->valid & EBB_VALID_CPU, s->cpu_ns);
	at = put_counter(at, true, s->at_ns);
	at = put_u64(at, c);
	*--at = '[';
	text_add(text, at, (size_t)(row + sizeof(row) - at));
}

/* "cpu":200,"cpus":"0-1",...; `separator` comes before the first. */
static void add_limits(struct text *text, const char *separator, const struct limits *limits)
{
	if (limits->has_cpu) {
		text_str(text, separator);
		text_str(text, "\"cpu\":");
		text_number(text, limits_shares(&limits->cpu));
		separator = ",";
	}
	if (limits->has_cpuset) {
		text_str(text, separator);
		text_str(text, "\"cpus\":");
		text_json_string(text, limits_cpus(limits));
		separator = ",";
	}
	if (limits->has_mem) {
		text_str(text, separator);
		text_str(text, "\"mem\":");
		text_number(text, limits_mib(limits->mem_bytes));
		separator = ",";
	}
	if (limits->has_disk) {
		text_str(text, separator);
		text_str(text, "\"disk_read\":");
		text_number(text, limits_mib(limits->disk.read_bps));
		text_str(text, ",\"disk_write\":");
		text_number(text, limits_mib(limits->disk.write_bps));
		separator = ",";
	}
	if (limits->has_net) {
		text_str(text, separator);
		text_str(text, "\"net\":");
		text_number(text, limits_mbit(limits->net.bps));
	}
}

/* "engine":"docker","labels":{"name":...}: those that are known. */
static void add_labels(struct text *text, const struct container *container)
{
	const char *separator = "";

	text_str(text, ",\"engine\":");
	text_json_string(text, container->engine);
	text_str(text, ",\"labels\":{");
	for (size_t i = 0; i < LABELS_N; i++) {
		const char *value = labels_get(&container->labels, i);

		if (!value)
			continue;
		text_str(text, separator);
		text_json_string(text, labels_key(i));
		text_char(text, ':');
		text_json_string(text, value);
		separator = ",";
	}
	text_char(text, '}');
}

static void add_hand(struct text *text, const struct hand *hand)
{
	text_printf(text, ",\"by\":{\"pid\":%d", (int)hand->pid);
	if (hand->name[0]) {
		text_str(text, ",\"name\":");
		text_json_string(text, hand->name);
	}
	if (hand->unit[0]) {
		text_str(text, ",\"unit\":");
		text_json_string(text, hand->unit);
	}
	text_char(text, '}');
}

void feed_message_limits(struct text *text, uint64_t c, const struct limits *limits,
			 const struct container *container, const struct hand *hand)
{
	text_str(text, "{\"c\":");
	text_u64(text, c);
	if (container)
		add_labels(text, container);
	add_limits(text, ",", limits);
	if (hand)
		add_hand(text, hand);
	text_char(text, '}');
}

void feed_message_added(struct text *text, uint64_t c, const struct container *container,
			const struct limits *limits, const char *was)
{
	text_str(text, "{\"c\":");
	text_u64(text, c);
	text_str(text, ",\"name\":");
	text_json_string(text, container->name);
	if (was) {
		text_str(text, ",\"was\":");
		text_json_string(text, was);
	}
	add_labels(text, container);
	text_str(text, ",\"path\":");
	text_json_string(text, container->path);
	text_str(text, ",\"limits\":{");
	add_limits(text, "", limits);
	text_str(text, "}}");
}

void feed_message_growth(struct text *text, uint64_t c, const struct growth *growth)
{
	text_str(text, "{\"c\":");
	text_u64(text, c);
	text_printf(text, ",\"resource\":\"%s\",\"from\":%" PRId64 ",\"to\":%" PRId64,
		    ebb_resource_name(reflex_resource(growth->resource)), growth->from, growth->to);
	text_printf(text, ",\"seen\":%" PRIu64 ",\"at\":%" PRIu64 ",\"why\":", growth->seen_ns,
		    growth->at_ns);
	text_json_string(text, growth->why);
	text_char(text, '}');
}
