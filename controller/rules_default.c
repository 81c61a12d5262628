/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules a controller starts with, for a sample every 100 ms. Names and shapes are the
 * original's (spec 5.8) where the meaning is; the numbers are for events that come ten times a
 * second. A sample pinned at the limit counts twice, so that the first one leads to a request; the
 * way down takes a second (memory: three) without a sample that speaks against it.
 */
#include "rule.h"

#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"

/* Keeps JSON legible in C. */
#define DOCUMENT(...) #__VA_ARGS__

/* clang-format off */

/* For each of `resources`; @ is its name. */
static const char *const templates[] = {
DOCUMENT({
	"name": "@_exceeded_upper", "type": "rule", "resource": "@", "active": true, "generates": "events",
	"rule": {"and": [
		{">": [{"var": "@.structure.@.usage"}, {"var": "@.limits.@.upper"}]},
		{"<": [{"var": "@.limits.@.upper"}, {"var": "@.structure.@.max"}]},
		{"<": [{"var": "@.structure.@.current"}, {"var": "@.structure.@.max"}]}]},
	"action": {"events": {"scale": {"up": 1}}}}),
DOCUMENT({
	"name": "@_saturated", "type": "rule", "resource": "@", "active": true, "generates": "events",
	"rule": {"and": [
		{">=": [{"var": "@.structure.@.peak"}, {"*": [{"var": "@.structure.@.current"}, 0.95]}]},
		{"<": [{"var": "@.structure.@.current"}, {"var": "@.structure.@.max"}]}]},
	"action": {"events": {"scale": {"up": 2}}}}),
/* Down to min itself: the original stopped two margins above. */
DOCUMENT({
	"name": "@_dropped_lower", "type": "rule", "resource": "@", "active": true, "generates": "events",
	"rule": {"and": [
		{"<": [{"var": "@.structure.@.usage"}, {"var": "@.limits.@.lower"}]},
		{">": [{"var": "@.structure.@.current"}, {"var": "@.structure.@.min"}]}]},
	"action": {"events": {"scale": {"down": 1}}}}),
};
static const char *const resources[] = {"cpu", "mem", "disk_read", "disk_write"};

/*
 * The rebalancer's, for each of `balanced`: who gives and who gets. Of a container `current` moves,
 * of what owns others `max`. # is what is worth moving.
 */
static const char *const balance_templates[] = {
DOCUMENT({
	"name": "container_@_usage_low", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "@.structure.@.current"}, {"var": "@.structure.@.min"}]}, #]},
		{"<": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.current"}]}, 0.4]}]}}),
DOCUMENT({
	"name": "container_@_usage_high", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "@.structure.@.max"}, {"var": "@.structure.@.current"}]}, #]},
		{">": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.current"}]}, 0.7]}]}}),
DOCUMENT({
	"name": "application_@_usage_low", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "@.structure.@.max"}, {"var": "@.structure.@.min"}]}, #]},
		{"<": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.max"}]}, 0.4]}]}}),
DOCUMENT({
	"name": "application_@_usage_high", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {">": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.max"}]}, 0.7]}}),
DOCUMENT({
	"name": "user_@_usage_low", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "@.structure.@.max"}, {"var": "@.structure.@.min"}]}, #]},
		{"<": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.max"}]}, 0.4]}]}}),
DOCUMENT({
	"name": "user_@_usage_high", "type": "rule", "resource": "@", "active": true, "generates": "",
	"rule": {">": [{"/": [{"var": "@.structure.@.usage"}, {"var": "@.structure.@.max"}]}, 0.7]}}),
};
static const struct {
	const char *resource, *worth_moving;
} balanced[] = {{"cpu", "25"}, {"mem", "128"}};

static const char *const documents[] = {
DOCUMENT({
	"name": "cpu_throttled", "type": "rule", "resource": "cpu", "active": true, "generates": "events",
	"rule": {"and": [
		{">": [{"var": "cpu.structure.cpu.throttled"}, 0]},
		{"<": [{"var": "cpu.structure.cpu.current"}, {"var": "cpu.structure.cpu.max"}]}]},
	"action": {"events": {"scale": {"up": 2}}}}),
DOCUMENT({
	"name": "CpuRescaleUp", "type": "rule", "resource": "cpu", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.up"}, 2]}, {"<=": [{"var": "events.scale.down"}, 2]}]},
	"action": {"requests": ["CpuRescaleUp"]}, "events_to_remove": 2,
	"amount": 100, "rescale_policy": "demand", "rescale_type": "up"}),
DOCUMENT({
	"name": "CpuRescaleDown", "type": "rule", "resource": "cpu", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.down"}, 10]}, {"<=": [{"var": "events.scale.up"}, 0]}]},
	"action": {"requests": ["CpuRescaleDown"]}, "events_to_remove": 10,
	"rescale_policy": "demand", "rescale_type": "down"}),

/* At the present growth the limit is half a second away: two samples, an order, and some. */
DOCUMENT({
	"name": "mem_running_out", "type": "rule", "resource": "mem", "active": true, "generates": "events",
	"rule": {"and": [
		{">": [{"var": "mem.structure.mem.growth"}, 0]},
		{">": [{"+": [{"var": "mem.structure.mem.peak"}, {"*": [{"var": "mem.structure.mem.growth"}, 0.5]}]},
		       {"var": "mem.structure.mem.current"}]},
		{"<": [{"var": "mem.structure.mem.current"}, {"var": "mem.structure.mem.max"}]}]},
	"action": {"events": {"scale": {"up": 2}}}}),
/* One event is enough: too little memory kills, a little too much for three seconds does not. */
DOCUMENT({
	"name": "MemRescaleUp", "type": "rule", "resource": "mem", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.up"}, 1]}, {"<=": [{"var": "events.scale.down"}, 6]}]},
	"action": {"requests": ["MemRescaleUp"]}, "events_to_remove": 1,
	"amount": 128, "rescale_policy": "demand", "rescale_type": "up"}),
DOCUMENT({
	"name": "MemRescaleDown", "type": "rule", "resource": "mem", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.down"}, 15]}, {"<=": [{"var": "events.scale.up"}, 0]}]},
	"action": {"requests": ["MemRescaleDown"]}, "events_to_remove": 15,
	"amount": 64, "rescale_policy": "demand", "rescale_type": "down"}),

DOCUMENT({
	"name": "Disk_readRescaleUp", "type": "rule", "resource": "disk_read", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.up"}, 2]}, {"<=": [{"var": "events.scale.down"}, 6]}]},
	"action": {"requests": ["Disk_readRescaleUp"]}, "events_to_remove": 2,
	"amount": 50, "rescale_policy": "demand", "rescale_type": "up"}),
DOCUMENT({
	"name": "Disk_readRescaleDown", "type": "rule", "resource": "disk_read", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.down"}, 10]}, {"<=": [{"var": "events.scale.up"}, 0]}]},
	"action": {"requests": ["Disk_readRescaleDown"]}, "events_to_remove": 10,
	"rescale_policy": "demand", "rescale_type": "down"}),
DOCUMENT({
	"name": "Disk_writeRescaleUp", "type": "rule", "resource": "disk_write", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.up"}, 2]}, {"<=": [{"var": "events.scale.down"}, 6]}]},
	"action": {"requests": ["Disk_writeRescaleUp"]}, "events_to_remove": 2,
	"amount": 50, "rescale_policy": "demand", "rescale_type": "up"}),
DOCUMENT({
	"name": "Disk_writeRescaleDown", "type": "rule", "resource": "disk_write", "active": true, "generates": "requests",
	"rule": {"and": [{">=": [{"var": "events.scale.down"}, 10]}, {"<=": [{"var": "events.scale.up"}, 0]}]},
	"action": {"requests": ["Disk_writeRescaleDown"]}, "events_to_remove": 10,
	"rescale_policy": "demand", "rescale_type": "down"}),

/* As the original ships them, not active; for levels that have none of their own. */
DOCUMENT({
	"name": "cpu_usage_low", "type": "rule", "resource": "cpu", "active": false, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "cpu.structure.cpu.current"}, {"var": "cpu.structure.cpu.min"}]}, 25]},
		{"<": [{"/": [{"var": "cpu.structure.cpu.usage"}, {"var": "cpu.structure.cpu.current"}]}, 0.4]}]}}),
DOCUMENT({
	"name": "cpu_usage_high", "type": "rule", "resource": "cpu", "active": false, "generates": "",
	"rule": {"and": [
		{">=": [{"-": [{"var": "cpu.structure.cpu.max"}, {"var": "cpu.structure.cpu.current"}]}, 25]},
		{">": [{"/": [{"var": "cpu.structure.cpu.usage"}, {"var": "cpu.structure.cpu.current"}]}, 0.7]}]}}),
};
/* clang-format on */

static int add_document(json_t *docs, const char *text)
{
	json_t *doc = json_loads(text, 0, NULL);

	/* CouchDB's name for it; the original's documents have both. */
	if (!doc || json_object_set(doc, "_id", json_object_get(doc, "name")) < 0) {
		json_decref(doc);
		return -1;
	}
	return json_array_append_new(docs, doc);
}

/* `number` stands where the template has a #; NULL: it has none. */
static int add_template(json_t *docs, const char *template, const char *resource,
			const char *number)
{
	_cleanup_free_ char *text = NULL;
	size_t size = strlen(template) + 1;
	char *end;

	for (const char *p = template; *p; p++)
		size += *p == '@' ? strlen(resource) : number && *p == '#' ? strlen(number) : 0;
	text = end = malloc(size);
	if (!text)
		return -1;
	for (const char *p = template; *p; p++) {
		if (*p == '@')
			end = stpcpy(end, resource);
		else if (number && *p == '#')
			end = stpcpy(end, number);
		else
			*end++ = *p;
	}
	*end = '\0';
	return add_document(docs, text);
}

json_t *rules_default(void)
{
	_cleanup_json_ json_t *docs = json_array();

	if (!docs)
		return NULL;
	for (size_t r = 0; r < ARRAY_SIZE(resources); r++)
		for (size_t t = 0; t < ARRAY_SIZE(templates); t++)
			if (add_template(docs, templates[t], resources[r], NULL) < 0)
				return NULL;
	for (size_t b = 0; b < ARRAY_SIZE(balanced); b++)
		for (size_t t = 0; t < ARRAY_SIZE(balance_templates); t++)
			if (add_template(docs, balance_templates[t], balanced[b].resource,
					 balanced[b].worth_moving) < 0)
				return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(documents); i++)
		if (add_document(docs, documents[i]) < 0)
			return NULL;
	return TAKE_PTR(docs);
}
