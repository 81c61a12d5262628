/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_message.h"

#include "resources.h"

static void add_counter(struct text *text, bool valid, uint64_t value)
{
	text_char(text, ',');
	if (valid)
		text_u64(text, value);
	else
		text_add(text, "null", 4);
}

void feed_message_sample(struct text *text, uint64_t c, const struct ebb_sample *s)
{
	bool bandwidth = s->valid & EBB_VALID_BANDWIDTH, io = s->valid & EBB_VALID_IO;

	text_char(text, '[');
	text_u64(text, c);
	add_counter(text, true, s->at_ns);
	add_counter(text, s->valid & EBB_VALID_CPU, s->cpu_ns);
	add_counter(text, bandwidth, s->nr_periods);
	add_counter(text, bandwidth, s->nr_throttled);
	add_counter(text, bandwidth, s->throttled_ns);
	add_counter(text, s->valid & EBB_VALID_MEM, s->mem_charged);
	add_counter(text, s->valid & EBB_VALID_WORKING_SET, s->mem_working_set);
	add_counter(text, s->valid & EBB_VALID_OOM, s->oom_kills);
	add_counter(text, io, s->read_bytes);
	add_counter(text, io, s->write_bytes);
	add_counter(text, io, s->read_ops);
	add_counter(text, io, s->write_ops);
	text_char(text, ']');
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
	}
}

void feed_message_limits(struct text *text, uint64_t c, const struct limits *limits)
{
	text_str(text, "{\"c\":");
	text_u64(text, c);
	add_limits(text, ",", limits);
	text_char(text, '}');
}

void feed_message_added(struct text *text, uint64_t c, const struct container *container,
			const struct limits *limits)
{
	text_str(text, "{\"c\":");
	text_u64(text, c);
	text_str(text, ",\"name\":");
	text_json_string(text, container->name);
	text_str(text, ",\"engine\":");
	text_json_string(text, container->engine);
	text_str(text, ",\"path\":");
	text_json_string(text, container->path);
	text_str(text, ",\"limits\":{");
	add_limits(text, "", limits);
	text_str(text, "}}");
}
