/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts without an agent: they live by their documents, OpenTSDB and a Container Scaler. */
#include "model.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_private.h"
#include "rescaler.h"
#include "ebb/cleanup.h"
#include "ebb/loop.h"
#include "ebb/util.h"

/* BDWatchdog's points of a moment arrive up to 10 s after it. */
#define WINDOW_DELAY_S 10.0
#define CPUS_MAX       65536

/* A key of the host's document, in the spelling of a document or of a configuration. */
static const json_t *host_key(const struct host *host, const char *key, const char *config_key)
{
	const json_t *value = json_object_get(host->structure->doc, key);

	return value ? value : json_object_get(host->structure->doc, config_key);
}

static enum feed_setting host_setting(struct model *model, struct host *host)
{
	const json_t *value = host_key(host, "feed", "FEED");
	enum feed_setting setting = feed_setting_from_json(value);
	bool wrong = value && !json_is_null(value) && setting == FEED_SETTING_MAX;

	if (wrong && !host->told_setting)
		model_log(model, LOG_LEVEL_WARNING,
			  "The feed of host %s is neither local, opentsdb nor auto; the guardian's "
			  "FEED holds, which is %s",
			  host->structure->name, feed_setting_name(model->guardian.feed));
	host->told_setting = wrong;
	return setting == FEED_SETTING_MAX ? model->guardian.feed : setting;
}

double model_window_delay(const struct model *model, const struct host *host)
{
	const json_t *value = host_key(host, "window_delay", "WINDOW_DELAY");
	double delay;

	if (json_to_double(value, &delay) >= 0 && delay >= 0 && delay <= 3600)
		return delay;
	return model->guardian.window_delay > 0 ? model->guardian.window_delay : WINDOW_DELAY_S;
}

/* Where its Container Scaler listens: the one it had before an agent came, else what its own or a
 * container's document says. Caller frees. */
static char *container_scaler_of(const struct host *host)
{
	const char *before =
		json_string_value(json_object_get(host->structure->doc, "container_scaler"));
	char *address = rescaler_is_address(before) ? strdup(before) : NULL;

	if (!address)
		(void)rescaler_address(host->structure->doc, &address);
	for (const struct structure *s = host->containers; s && !address; s = s->host_next)
		(void)rescaler_address(s->doc, &address);
	return address;
}

/* An agent's own socket is there in its place: that is no mistake. */
static void tell_wrong_rescaler(struct model *model, struct host *host)
{
	const char *ip =
		json_string_value(json_object_get(host->structure->doc, "host_rescaler_ip"));
	bool wrong =
		ip && *ip && !rescaler_is_bare_host(ip, strlen(ip)) && strncmp(ip, "unix:", 5) != 0;

	if (wrong && !host->told_rescaler)
		model_log(model, LOG_LEVEL_WARNING,
			  "The host_rescaler_ip of host %s is not a name or an IP alone: its "
			  "Container Scaler is not used. Write the port into host_rescaler_port",
			  host->structure->name);
	host->told_rescaler = wrong;
}

static void remember(struct model *model, struct host *host, const char *key, const char *value)
{
	struct structure *structure = host->structure;

	if (!structure->doc)
		structure->doc = json_object();
	if (value)
		json_object_set_new(structure->doc, key, json_string(value));
	else
		json_object_del(structure->doc, key);
	model_touch(model, structure, MODEL_DIRTY_STRUCTURE);
}

const char *host_feed_name(const struct host *host)
{
	return host->from_series ? "opentsdb" : "local";
}

int model_set_feed(struct model *model, struct structure *structure, enum feed_setting setting)
{
	if (structure->subtype != STRUCTURE_HOST)
		return -EINVAL;
	remember(model, structure->host, "FEED", NULL);
	remember(model, structure->host, "feed", feed_setting_name(setting));
	return 0;
}

static void set_from_series(struct model *model, struct host *host, bool from_series)
{
	if (host->from_series == from_series)
		return;
	host->from_series = from_series;
	host->fed_since = timebase_wall(model->time);
	remember(model, host, "feed_in_use", host_feed_name(host));
}

static void leave_agent(struct model *model, struct host *host, char *address)
{
	host->agentless = true;
	host->left++;
	host->adopted = host->connected = false;
	/* An agent that comes back registers anew. */
	host->session = NULL;
	for (struct structure *s = host->containers; s; s = s->host_next)
		s->live = false;
	model_log(
		model, LOG_LEVEL_INFO,
		"Host %s has no agent: its containers are looked for at the Container Scaler at %s",
		host->structure->name, address);
	model_set_address(model, host, address);
	remember(model, host, "container_scaler", NULL);
}

void model_stand_in(struct model *model, struct host *host, char *address)
{
	if (!host->agentless)
		leave_agent(model, host, address);
	set_from_series(model, host, true);
	host->connected = true;
	host->last_heard = timebase_wall(model->time);
}

/* Nobody looks after the host until its agent does. */
static void abandon(struct model *model, struct host *host)
{
	host->agentless = host->connected = false;
	model_log(model, LOG_LEVEL_INFO, "Host %s waits for its agent", host->structure->name);
}

void model_agent_takes_over(struct model *model, struct host *host, const char *address)
{
	const char *before = host->address;

	if (host->agentless) {
		host->agentless = host->connected = false;
		if (before && strcmp(before, address) != 0)
			remember(model, host, "container_scaler", before);
		model_log(model, LOG_LEVEL_INFO,
			  "Host %s has an agent now: it is guarded from what that measures",
			  host->structure->name);
	}
	if (host->from_series && host_setting(model, host) != FEED_OPENTSDB)
		set_from_series(model, host, false);
}

void model_choose_feeds(struct model *model, bool has_opentsdb, double leading_since, double now)
{
	for (size_t i = 0; i < model->n_hosts; i++) {
		struct host *host = model->hosts[i];
		_cleanup_free_ char *address = container_scaler_of(host);
		const char *last =
			json_string_value(json_object_get(host->structure->doc, "feed_in_use"));
		struct feed_case c = {
			.setting = host_setting(model, host),
			.has_opentsdb = has_opentsdb,
			.agent_connected = host->connected && !host->agentless,
			.was_from_series =
				host->from_series || (last && strcmp(last, "opentsdb") == 0),
			.can_do_without = address && (host->containers || host->agentless),
			.agent_silent_s =
				host->agent_heard > 0 ? fmax(now - host->agent_heard, 0) : INFINITY,
			.leading_s = fmax(now - leading_since, 0),
			.grace_s = model->guardian.feed_grace,
		};
		struct feed_choice choice = feed_choose(&c);

		if (has_opentsdb && !c.agent_connected)
			tell_wrong_rescaler(model, host);
		/* Or its document was told of another Container Scaler. */
		if (choice.agentless && (!host->agentless || strcmp(host->address, address) != 0))
			leave_agent(model, host, address);
		else if (!choice.agentless && host->agentless)
			abandon(model, host);
		/* Not before its Container Scaler was heard, which there may be none of. */
		if (!choice.agentless || host->adopted)
			set_from_series(model, host, choice.from_series);
	}
}

void model_abandon_feeds(struct model *model)
{
	for (size_t i = 0; i < model->n_hosts; i++) {
		struct host *host = model->hosts[i];

		if (host->agentless)
			host->connected = false;
		host->agentless = host->from_series = false;
	}
}

/* The CPUs that its document gives out, else all that there are. */
static json_t *host_cpus(const struct host *host, const json_t *topology)
{
	_cleanup_json_ json_t *mapping = cpumap_to_json(host->cpumap);
	json_t *cpus = json_array(), *core;
	const char *key;
	struct cpu_list all;

	json_object_foreach(mapping, key, core) {
		uint64_t cpu;

		if (parse_u64(key, &cpu) >= 0)
			json_array_append_new(cpus, json_integer((json_int_t)cpu));
	}
	if (json_array_size(cpus) > 0 || core_order(CORES_GROUP_PP_LL, topology, NULL, &all) < 0)
		return cpus;
	for (size_t i = 0; i < all.n; i++)
		json_array_append_new(cpus, json_integer(all.cpus[i]));
	cpu_list_clear(&all);
	return cpus;
}

int model_resize_cores(struct model *model, struct host *host, size_t n)
{
	_cleanup_json_ json_t *mapping = cpumap_to_json(host->cpumap);
	_cleanup_json_ json_t *cpus = json_array();
	char key[32];
	const char *has;
	json_t *core;

	json_object_foreach(mapping, has, core) {
		uint64_t cpu;

		if (json_array_size(cpus) < n && parse_u64(has, &cpu) >= 0)
			json_array_append_new(cpus, json_integer((json_int_t)cpu));
	}
	for (size_t cpu = 0; json_array_size(cpus) < n && cpu < CPUS_MAX; cpu++) {
		snprintf(key, sizeof(key), "%zu", cpu);
		if (!json_object_get(mapping, key))
			json_array_append_new(cpus, json_integer((json_int_t)cpu));
	}
	return json_array_size(cpus) < n
		       ? -EINVAL
		       : registration_set_cores(model, host, cpus, host->topology);
}

int model_adopt_host(struct model *model, struct host *host, const json_t *topology)
{
	_cleanup_json_ json_t *cpus = host_cpus(host, topology);
	int r;

	r = registration_set_cores(model, host, cpus, topology);
	if (r < 0)
		return r;
	if (topology) {
		json_decref(host->topology);
		host->topology = json_incref((json_t *)topology);
		json_decref(host->nodes);
		host->nodes = NULL;
	}
	/* Documents of the original account by the core map alone. */
	host_rebuild_accounting(model, host);
	host->adopted = true;
	model_touch(model, host->structure, MODEL_DIRTY_STRUCTURE);
	set_from_series(model, host, true);
	model_log(model, LOG_LEVEL_INFO,
		  "Host %s is guarded from OpenTSDB, by the Container Scaler at %s: %lld shares, "
		  "%lld MiB",
		  host->structure->name, host->address, (long long)host->max[EBB_CPU],
		  (long long)host->max[EBB_MEM]);
	return 0;
}
