/* SPDX-License-Identifier: Apache-2.0 */
/* ebb doctor: can Ebb work here, does it, and what to do where it does not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "amount.h"
#include "args.h"
#include "cli.h"
#include "facts.h"
#include "lead.h"
#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"
#include "ebb/config.h"
#include "ebb/util.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

/* Findings of the Sanity Checker that are told. */
#define FINDINGS_MAX 10

struct doctor {
	struct cli *cli;
	json_t *findings; /* for --json */
	unsigned failed, warned;
};

/* One line: what was found and, when that is not good, what to do. */
static void report(struct doctor *doctor, enum verdict verdict, const char *check,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));

static void report(struct doctor *doctor, enum verdict verdict, const char *check,
		   const char *format, ...)
{
	static const char *const names[] = {"OK", "WARN", "FAIL"};
	static const enum style styles[] = {STYLE_GREEN, STYLE_YELLOW, STYLE_RED};
	_cleanup_free_ char *text = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		text = NULL;
	if (text)
		text_tame(text);
	doctor->failed += verdict == VERDICT_FAIL;
	doctor->warned += verdict == VERDICT_WARN;
	if (doctor->cli->json)
		json_array_append_new(doctor->findings,
				      json_pack("{s:s, s:s, s:s}", "check", check, "verdict",
						names[verdict], "finding", text ? text : ""));
	else
		printf("%s%-4s%s  %-12s  %s\n", style_start(styles[verdict], doctor->cli->color),
		       names[verdict], style_end(styles[verdict], doctor->cli->color), check,
		       text ? text : "");
}

static void check_kernel(struct doctor *doctor, const struct facts *facts)
{
	report(doctor, VERDICT_OK, "kernel", "%s", facts->release);
	if (facts->btf)
		report(doctor, VERDICT_OK, "btf", "/sys/kernel/btf/vmlinux can be read");
	else
		report(doctor, VERDICT_WARN, "btf",
		       "/sys/kernel/btf/vmlinux cannot be read: the agent will read cgroup files "
		       "instead of sampling in the kernel. A kernel built with "
		       "CONFIG_DEBUG_INFO_BTF=y has it");
	switch (facts->lockdown) {
	case LOCKDOWN_NONE: report(doctor, VERDICT_OK, "lockdown", "none"); break;
	case LOCKDOWN_INTEGRITY:
		report(doctor, VERDICT_OK, "lockdown",
		       "integrity: fentry and kprobes may be refused, Ebb uses neither");
		break;
	case LOCKDOWN_CONFIDENTIALITY:
		report(doctor, VERDICT_WARN, "lockdown",
		       "confidentiality: the kernel may refuse BPF programs, the agent then reads "
		       "cgroup files. Boot with lockdown=integrity to sample in the kernel");
		break;
	case LOCKDOWN_UNKNOWN:
		report(doctor, VERDICT_OK, "lockdown",
		       "not told (securityfs is not mounted); Ebb needs no fentry or kprobe");
		break;
	}
}

static void check_cgroups(struct doctor *doctor, const struct facts *facts)
{
	const char *v2 = facts->v2_controllers;

	if (facts->v1 &&
	    !(list_has(facts->v1_controllers, "cpu") &&
	      list_has(facts->v1_controllers, "memory")) &&
	    !facts->v2)
		report(doctor, VERDICT_WARN, "cgroup",
		       "v1 with only %s: mount the others, or boot with cgroup v2 "
		       "(systemd.unified_cgroup_hierarchy=1)",
		       facts->v1_controllers);
	else if (facts->v1)
		report(doctor, VERDICT_OK, "cgroup", "v1 (%s)%s%s", facts->v1_controllers,
		       facts->v2 ? ", and v2: " : "", facts->v2 ? v2 : "");
	else if (facts->v2 && !(list_has(v2, "cpu") && list_has(v2, "memory")))
		report(doctor, VERDICT_WARN, "cgroup",
		       "v2 with only '%s' at the root: cpu and memory are needed. The kernel "
		       "parameter cgroup_enable=memory turns memory on where it is off",
		       v2);
	else if (facts->v2)
		report(doctor, VERDICT_OK, "cgroup", "v2 (%s)", v2);
	else
		report(doctor, VERDICT_FAIL, "cgroup",
		       "no cgroup hierarchy with cpu or memory is mounted: mount -t cgroup2 none "
		       "/sys/fs/cgroup");
}

static void check_capabilities(struct doctor *doctor, const struct facts *facts, bool agent_runs)
{
	static const struct {
		int bit;
		const char *name;
	} needed[] = {
		{CAP_BPF, "CAP_BPF"},
		{CAP_PERFMON, "CAP_PERFMON"},
	};
	char missing[64] = "";

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(facts->capabilities & 1ULL << needed[i].bit)) {
			size_t used = strlen(missing);

			snprintf(missing + used, sizeof(missing) - used, "%s%s", used ? ", " : "",
				 needed[i].name);
		}
	if (!missing[0])
		report(doctor, VERDICT_OK, "capabilities",
		       "this shell has what sampling in the kernel takes: CAP_BPF, CAP_PERFMON");
	else if (agent_runs)
		report(doctor, VERDICT_OK, "capabilities",
		       "this shell lacks %s; the agent runs with its own", missing);
	else
		report(doctor, VERDICT_WARN, "capabilities",
		       "this shell lacks %s: start the agent as root (sudo ebb-agent)", missing);
}

static void check_token(struct doctor *doctor)
{
	const char *path = doctor->cli->token_file;
	struct stat st;

	if (!path) {
		report(doctor, VERDICT_OK, "token",
		       "none given; one is needed only beyond this machine's loopback");
		return;
	}
	if (stat(path, &st)) {
		report(doctor, VERDICT_FAIL, "token", "%s: %s", path, strerror(errno));
		return;
	}
	if (doctor->cli->token_by_default && access(path, R_OK)) {
		report(doctor, VERDICT_WARN, "token",
		       "%s cannot be read by you: changes need root, or the group that may", path);
		return;
	}
	/* A group of people may be let in. */
	if (st.st_mode & 027) {
		report(doctor, VERDICT_FAIL, "token",
		       "%s can be read by others (mode %03o): chmod 600 %s", path,
		       (unsigned)(st.st_mode & 0777), path);
		return;
	}
	if (token_read_file(path, &doctor->cli->token) < 0)
		report(doctor, VERDICT_FAIL, "token",
		       "%s cannot be used: it needs one line of at least 16 characters, such as "
		       "from `openssl rand -hex 32`",
		       path);
	else
		report(doctor, VERDICT_OK, "token", "%s, readable by its owner%s only", path,
		       st.st_mode & 040 ? " and group" : "");
}

/* Asks the one that leads. */
static void check_hosts(struct doctor *doctor)
{
	struct cli *cli = doctor->cli;
	_cleanup_json_ json_t *hosts = NULL;
	char error[256], age[AMOUNT_MAX];
	unsigned connected = 0, unknown = 0;
	json_t *doc;
	size_t i;
	long status;

	status = request_try(cli, cli->controller, cli->token, "/structure/?subtype=host&live",
			     &hosts, error);
	if (status == 401 || status == 403) {
		report(doctor, VERDICT_FAIL, "hosts",
		       "the controller wants a token: --token-file FILE");
		return;
	}
	if (status != 200) {
		report(doctor, VERDICT_FAIL, "hosts", "the controller answered %ld%s%s", status,
		       status ? "" : ": ", status ? "" : error);
		return;
	}
	json_array_foreach(hosts, i, doc) {
		const json_t *live = json_object_get(doc, "live");
		const char *name = json_get_text(doc, "name");
		double heard = json_get_real(live, "heard_s", NAN);

		duration_format(heard, age);
		if (json_is_true(json_object_get(live, "agentless"))) {
			bool answers = json_is_true(json_object_get(live, "connected"));

			connected += answers;
			report(doctor, answers ? VERDICT_OK : VERDICT_WARN, "host",
			       answers ? "%s: no agent; measured by OpenTSDB, its Container Scaler "
					 "was last heard %s ago"
				       : "%s: no agent, and its Container Scaler was last heard %s "
					 "ago; its limits stay as they are. Is either running there?",
			       name, age);
		} else if (!json_object_get(live, "connected")) {
			unknown++;
			report(doctor, VERDICT_WARN, "host",
			       "%s: unknown, for only the controller that leads hears its agent",
			       name);
		} else if (json_is_true(json_object_get(live, "connected"))) {
			connected++;
			report(doctor, VERDICT_OK, "host", "%s: last sample batch %s ago", name,
			       age);
		} else {
			report(doctor, VERDICT_WARN, "host",
			       "%s: its agent was last heard %s ago; its limits stay as they are. "
			       "Is ebb-agent running there, and can it reach %s?",
			       name, age, cli->controller);
		}
	}
	if (!connected && !unknown)
		report(doctor, VERDICT_FAIL, "hosts",
		       "no agent feeds this controller: start `ebb-agent --controller %s`",
		       cli->controller);
}

/* It leads: those that stand by for it, each asked without the token. */
static void check_standbys(struct doctor *doctor)
{
	struct cli *cli = doctor->cli;
	_cleanup_json_ json_t *state = NULL;
	char error[256];
	json_t *item;
	size_t i;

	if (request_try(cli, cli->controller, cli->token, "/leader", &state, error) != 200)
		return;
	json_array_foreach(json_object_get(state, "standbys"), i, item) {
		_cleanup_json_ json_t *beat = NULL;
		const char *url = json_string_value(item);
		long status;

		if (!url || !lead_is_address(url))
			continue;
		status = request_try(cli, url, NULL, "/heartbeat", &beat, error);
		if (status != 200)
			report(doctor, VERDICT_WARN, "standby",
			       "%s does not answer here (%s%.0ld): is it down, or is its "
			       "--advertise wrong?",
			       url, status ? "HTTP " : error, status);
		else if (strcmp(json_get_text(beat, "version"), ebb_version()))
			report(doctor, VERDICT_WARN, "standby",
			       "%s stands by, version %s, this is %s: update the older one", url,
			       json_get_text(beat, "version"), ebb_version());
		else
			report(doctor, VERDICT_OK, "standby", "%s stands by", url);
	}
}

/* Of several controllers on one CouchDB. */
static void check_leader(struct doctor *doctor, const json_t *beat)
{
	const char *role = json_get_text(beat, "role"), *leader = json_get_text(beat, "leader");
	long long term = (long long)json_get_integer(beat, "term", 0);

	if (!*role || (!strcmp(role, "leader") && !term))
		return;
	if (!strcmp(role, "leader")) {
		report(doctor, VERDICT_OK, "leader", "%s leads, in term %lld", leader, term);
		check_standbys(doctor);
	} else if (*leader) {
		report(doctor, VERDICT_FAIL, "leader",
		       "%s leads, in term %lld, and %s stands by; but it cannot be asked from "
		       "here. Can this machine reach it, and is its --advertise right?",
		       leader, term, doctor->cli->controller);
	} else {
		report(doctor, VERDICT_FAIL, "leader",
		       "no controller leads: nothing is decided. Do they reach their CouchDB? GET "
		       "/leader of each says why not");
	}
}

/* Of the heartbeat of `who`, the agent or the controller; NULL: it writes no series. */
static void check_series(struct doctor *doctor, const char *who, const json_t *opentsdb)
{
	const char *error = json_get_text(opentsdb, "error");
	long long waiting = json_get_integer(opentsdb, "waiting_points", 0);
	long long rejected = json_get_integer(opentsdb, "rejected", 0);
	long long dropped = json_get_integer(opentsdb, "dropped", 0);
	char age[AMOUNT_MAX];

	if (!opentsdb)
		return;
	duration_format(json_get_real(opentsdb, "oldest_s", 0), age);
	if (!json_is_true(json_object_get(opentsdb, "reachable")))
		report(doctor, VERDICT_WARN, "opentsdb",
		       "does not take points, %lld wait in the %s, the oldest for %s%s%s", waiting,
		       who, age, *error ? ": " : "", error);
	else
		report(doctor, VERDICT_OK, "opentsdb", "takes points, %lld wait in the %s", waiting,
		       who);
	if (rejected)
		report(doctor, VERDICT_WARN, "opentsdb",
		       "%lld points of the %s were refused%s%s; where metrics are unknown, "
		       "`ebb-agent --opentsdb URL --assign-metrics` makes them",
		       rejected, who, *error ? ": " : "", error);
	if (dropped)
		report(doctor, VERDICT_WARN, "opentsdb",
		       "%lld points of the %s were lost: the spool is too small (--spool-max), or "
		       "its disk is full",
		       dropped, who);
}

/* Of the controller's heartbeat. One of before has no such word. */
static void check_following(struct doctor *doctor, const json_t *state)
{
	if (json_is_false(json_object_get(state, "following")))
		report(doctor, VERDICT_WARN, "state",
		       "what others change in CouchDB is not seen: the controller's log says why");
}

/* What the Sanity Checker has found; each says itself what to do. */
static void check_sanity(struct doctor *doctor)
{
	struct cli *cli = doctor->cli;
	_cleanup_json_ json_t *sanity = NULL;
	json_t *findings, *finding;
	char error[256];
	size_t i;

	/* One from before it had any. */
	if (request_try(cli, cli->controller, cli->token, "/sanity", &sanity, error) != 200)
		return;
	findings = json_object_get(sanity, "findings");
	json_array_foreach(findings, i, finding) {
		if (i == FINDINGS_MAX) {
			report(doctor, VERDICT_WARN, "sanity", "and %zu more: GET /sanity",
			       json_array_size(findings) - i);
			break;
		}
		report(doctor, VERDICT_WARN, "sanity", "%s", json_get_text(finding, "message"));
	}
	if (!json_is_true(json_object_get(sanity, "active")))
		report(doctor, VERDICT_OK, "sanity",
		       "nothing is looked for: the Sanity Checker is switched off, or another "
		       "controller leads. PUT /service/sanity_checker/ACTIVE {\"value\":true}");
	else if (!json_get_integer(sanity, "epochs", 0))
		report(doctor, VERDICT_OK, "sanity",
		       "not looked yet: POST /sanity/run does it now");
	else if (!json_array_size(findings))
		report(doctor, VERDICT_OK, "sanity",
		       "core maps, sums, rules and lists are as they should be");
}

static void check_controller(struct doctor *doctor)
{
	struct cli *cli = doctor->cli;
	_cleanup_json_ json_t *beat = NULL;
	const char *version;
	char error[256];
	long status;

	status = request_try(cli, cli->controller, cli->token, "/heartbeat", &beat, error);
	if (status != 200 || strcmp(json_get_text(beat, "status"), "alive")) {
		if (status)
			report(doctor, VERDICT_FAIL, "controller",
			       "%s answered %ld to /heartbeat; is it an Ebb controller?",
			       cli->controller, status);
		else
			report(doctor, VERDICT_FAIL, "controller",
			       "%s does not answer (%s): start `ebb-controller`, or name another "
			       "with --controller URL",
			       cli->controller, error);
		return;
	}
	version = json_get_text(beat, "version");
	if (strcmp(version, ebb_version()))
		report(doctor, VERDICT_WARN, "controller",
		       "%s runs version %s, this is %s: update the older one", cli->controller,
		       version, ebb_version());
	else
		report(doctor, VERDICT_OK, "controller",
		       "%s, version %s: %lld containers, %lld guarded", cli->controller, version,
		       (long long)json_get_integer(beat, "containers", 0),
		       (long long)json_get_integer(beat, "guarded", 0));
	check_leader(doctor, beat);
	check_following(doctor, json_object_get(beat, "state"));
	check_series(doctor, "controller", json_object_get(beat, "opentsdb"));
	if (json_is_false(json_object_get(beat, "guardian_active")))
		report(doctor, VERDICT_WARN, "guardian",
		       "switched off: nothing is decided. PUT /service/guardian/ACTIVE "
		       "{\"value\":true}");
	if (json_is_false(json_object_get(beat, "scaler_active")))
		report(doctor, VERDICT_WARN, "scaler",
		       "switched off: nothing is applied. PUT /service/scaler/ACTIVE "
		       "{\"value\":true}");
	check_sanity(doctor);
	check_hosts(doctor);
}

/* What the agent may still do. One of before does not tell. */
static void check_privileges(struct doctor *doctor, const json_t *privileges)
{
	json_t *capabilities = json_object_get(privileges, "capabilities"), *item;
	bool filtered = !strcmp(json_get_text(privileges, "seccomp"), "filter");
	bool gains = json_is_true(json_object_get(privileges, "new_privileges"));
	char names[512] = "";
	size_t i, used = 0;

	if (!privileges)
		return;
	/* A few: all of them would say nothing. */
	json_array_foreach(capabilities, i, item)
		if (i < 8 && used < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
						 i ? ", " : "", json_string_value(item) ?: "");
	report(doctor, filtered && !gains ? VERDICT_OK : VERDICT_WARN, "privileges",
	       "the agent runs with %s%.0zu%s; new privileges %s, system calls %s%s",
	       i > 8    ? ""
	       : *names ? names
			: "no capability",
	       i > 8 ? i : 0, i > 8 ? " capabilities" : "", gains ? "possible" : "ruled out",
	       filtered ? "filtered" : "not filtered",
	       filtered && !gains ? "" : ": run it without --keep-privileges");
}

/* True when it answers. */
static bool check_agent(struct doctor *doctor)
{
	struct cli *cli = doctor->cli;
	_cleanup_json_ json_t *beat = NULL;
	const char *sampler, *reason;
	double age;
	char error[256], text[AMOUNT_MAX];
	long status;

	status = request_try(cli, cli->agent, cli->token, "/heartbeat", &beat, error);
	if (status != 200) {
		if (status)
			report(doctor, VERDICT_FAIL, "agent",
			       "%s answered %ld to /heartbeat; is it an Ebb agent?", cli->agent,
			       status);
		else
			report(doctor, VERDICT_FAIL, "agent",
			       "%s does not answer (%s): start `sudo ebb-agent`, or name it with "
			       "--agent URL",
			       cli->agent, error);
		return false;
	}
	sampler = json_get_text(beat, "sampler");
	reason = json_get_text(beat, "sampler_reason");
	age = json_get_real(beat, "sample_age_s", NAN);
	report(doctor, VERDICT_OK, "agent", "%s, version %s: %lld containers", cli->agent,
	       json_get_text(beat, "version"), (long long)json_get_integer(beat, "containers", 0));
	if (!*sampler)
		report(doctor, VERDICT_WARN, "sampler", "the agent does not tell which it uses");
	else
		report(doctor, strcmp(sampler, "files") ? VERDICT_OK : VERDICT_WARN, "sampler",
		       "%s%s%s", sampler, *reason ? ": " : "", reason);
	if (isfinite(age))
		report(doctor, age < 15 ? VERDICT_OK : VERDICT_FAIL, "samples",
		       age < 15 ? "the last one was taken %s ago"
				: "the last one was taken %s ago: the agent is stuck, restart it",
		       duration_format(age, text));
	if (json_is_false(json_object_get(beat, "controller_connected")))
		report(doctor, VERDICT_WARN, "feed",
		       "the agent cannot reach its controller; limits stay as they are");
	check_privileges(doctor, json_object_get(beat, "privileges"));
	check_series(doctor, "agent", json_object_get(beat, "opentsdb"));
	return true;
}

static int doctor_verb(struct cli *cli, int argc, char **argv)
{
	struct doctor doctor = {.cli = cli};
	const char *error, *word;
	struct facts facts;
	bool agent_runs;
	int n;

	n = args_parse(argv + 1, NULL, 0, false, &error, &word);
	if (n < 0)
		return cli_usage(&verb_doctor, "%s: %s", word, error);
	if (n)
		return cli_usage(&verb_doctor, "doctor takes no argument");
	doctor.findings = json_array();
	facts_read("", &facts);
	check_kernel(&doctor, &facts);
	check_cgroups(&doctor, &facts);
	check_token(&doctor);
	agent_runs = check_agent(&doctor);
	check_capabilities(&doctor, &facts, agent_runs);
	check_controller(&doctor);
	if (cli->json)
		cli_print_json(doctor.findings);
	json_decref(doctor.findings);
	return doctor.failed ? EXIT_FAILED : EXIT_OK;
}

const struct verb verb_doctor = {
	.name = "doctor",
	.usage = "[--json]",
	.summary = "check kernel, cgroups, agent and controller, and say what to do",
	.help = "Looks at this host's kernel (release, BTF, lockdown) and cgroups, asks the agent\n"
		"which sampler it uses and why, and the controller which hosts feed it. Needs no\n"
		"privilege. Exit status 1 when something must be done.\n",
	.run = doctor_verb,
};
