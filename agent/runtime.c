/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <string.h>

#include "ebb/cleanup.h"

struct segment {
	const char *text;
	size_t len;
};

static bool is(struct segment s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.text, text, s.len);
}

static bool take_prefix(struct segment *s, const char *prefix)
{
	size_t len = strlen(prefix);
	if (s->len < len || memcmp(s->text, prefix, len))
		return false;
	s->text += len;
	s->len -= len;
	return true;
}

static bool take_suffix(struct segment *s, const char *suffix)
{
	size_t len = strlen(suffix);
	if (s->len < len || memcmp(s->text + s->len - len, suffix, len))
		return false;
	s->len -= len;
	return true;
}

/* The id that docker, podman, containerd and CRI-O give a container. */
static bool is_long_id(struct segment s)
{
	if (s.len != 64)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!strchr("0123456789abcdef", s.text[i]))
			return false;
	}
	return true;
}

static bool is_number(struct segment s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.text[i] < '0' || s.text[i] > '9')
			return false;
	}
	return s.len > 0;
}

/* PREFIX-ID.scope with the systemd cgroup driver; with cgroupfs PREFIX-ID where `bare`. */
static const struct {
	const char *prefix, *engine;
	bool bare;
} id_prefixes[] = {
	{"docker-", "docker", false},
	{"libpod-", "podman", true},
	{"libpod-payload-", "podman", true}, /* podman run --cgroups=split */
	{"cri-containerd-", "containerd", false},
	{"nerdctl-", "containerd", false},
	{"crio-", "cri-o", true},
};

/* PREFIX-NAME.scope, of what is started by hand; `pid`: the name is a process id. */
static const struct {
	const char *prefix, *engine;
	bool pid;
} scope_prefixes[] = {
	{"runc-", "runc", false}, /* runc --systemd-cgroup */
	{"crun-", "crun", false},
	{"apptainer-", "apptainer", true},
	{"singularity-", "singularity", true},
};

/* runc given a systemd path with the cgroupfs driver makes one directory SLICE:PREFIX:ID. */
static const struct {
	const char *prefix, *engine;
} colon_prefixes[] = {
	{":cri-containerd:", "containerd"},
	{":docker:", "docker"},
	{":crio:", "cri-o"},
	{":libpod:", "podman"},
	{":nerdctl:", "containerd"},
};

static const char *match_scope(struct segment *name, struct segment parent)
{
	struct segment s = *name;
	bool scope = take_suffix(&s, ".scope");

	for (size_t i = 0; i < ARRAY_SIZE(id_prefixes); i++) {
		struct segment id = s;
		if ((scope || id_prefixes[i].bare) && take_prefix(&id, id_prefixes[i].prefix) &&
		    is_long_id(id)) {
			*name = id;
			return id_prefixes[i].engine;
		}
	}

	for (size_t i = 0; scope && i < ARRAY_SIZE(scope_prefixes); i++) {
		struct segment rest = s;
		if (take_prefix(&rest, scope_prefixes[i].prefix) &&
		    (scope_prefixes[i].pid ? is_number(rest) : rest.len > 0)) {
			*name = rest;
			return scope_prefixes[i].engine;
		}
	}

	if (is(parent, "machine.slice")) {
		struct segment machine = s;
		if (scope && take_prefix(&machine, "machine-") && machine.len > 0) {
			struct segment libvirt = machine;
			/* libvirt's machines are virtual unless they say lxc. */
			if (take_prefix(&libvirt, "qemu\\x2d"))
				return NULL;
			if (take_prefix(&libvirt, "lxc\\x2d") && libvirt.len > 0) {
				*name = libvirt;
				return "libvirt-lxc";
			}
			*name = machine;
			return "nspawn";
		}
		machine = *name;
		if (take_suffix(&machine, ".service")) {
			take_prefix(&machine, "systemd-nspawn@");
			if (machine.len > 0) {
				*name = machine;
				return "nspawn";
			}
		}
	}
	return NULL;
}

/* The engine whose container the segment is, and its name left in *name; NULL: none. */
static const char *match_segment(struct segment *name, struct segment parent, struct segment first,
				 size_t depth)
{
	struct segment s = *name;

	const char *engine = match_scope(name, parent);
	if (engine)
		return engine;

	if (take_prefix(&s, "lxc.payload.") && s.len > 0) {
		*name = s;
		return "lxc";
	}
	if (depth == 1 && (is(parent, "lxc") || is(parent, "lxc.payload")))
		return "lxc";
	if (depth == 1 && (is(parent, "apptainer") || is(parent, "singularity")) && is_number(s))
		return is(parent, "apptainer") ? "apptainer" : "singularity";

	s = *name;
	for (size_t i = 0; s.len > 64 && i < ARRAY_SIZE(colon_prefixes); i++) {
		struct segment id = {s.text + s.len - 64, 64}, before = {s.text, s.len - 64};
		if (is_long_id(id) && take_suffix(&before, colon_prefixes[i].prefix)) {
			*name = id;
			return colon_prefixes[i].engine;
		}
	}

	/* A bare id: cgroupfs driver; only the path around it tells whose. */
	if (is_long_id(s)) {
		if (is(parent, "docker") || is(first, "ecs"))
			return "docker";
		if (take_prefix(&first, "kubepods"))
			return "kubernetes";
		return "oci";
	}
	return NULL;
}

enum place { OUTSIDE, CONTAINER, NESTED };

static enum place locate(const char *path, const char **ret_engine, struct segment *ret_name)
{
	struct segment parent = {"", 0}, first = {"", 0};
	const char *engine = NULL;
	size_t depth = 0;

	for (path += strspn(path, "/"); *path; depth++) {
		struct segment s = {path, strcspn(path, "/")}, name = s;
		if (engine)
			return NESTED;
		if (depth == 0)
			first = s;
		engine = match_segment(&name, parent, first, depth);
		if (engine) {
			*ret_engine = engine;
			*ret_name = name;
		}
		parent = s;
		path += s.len;
		path += strspn(path, "/");
	}
	return engine ? CONTAINER : OUTSIDE;
}

bool runtime_match(const char *path, const char **ret_engine, const char **ret_name,
		   size_t *ret_len)
{
	const char *engine;
	struct segment name;

	if (locate(path, &engine, &name) != CONTAINER)
		return false;
	*ret_engine = engine;
	*ret_name = name.text;
	*ret_len = name.len;
	return true;
}

bool runtime_is_nested(const char *path)
{
	const char *engine;
	struct segment name;

	return locate(path, &engine, &name) == NESTED;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool runtime_of_user(const char *path, uint32_t *ret_uid)
{
	for (const char *at = path; at; at = strchr(at, '/')) {
		uint64_t uid = 0;

		at += strspn(at, "/");
		if (strncmp(at, "user-", 5))
			continue;
		size_t digits = strspn(at + 5, "0123456789");
		if (digits == 0 || digits > 10 || strncmp(at + 5 + digits, ".slice/", 7))
			continue;
		for (size_t i = 0; i < digits; i++)
			uid = uid * 10 + (uint64_t)(at[5 + i] - '0');
		/* The first one is systemd's; what looks so below it is the user's. */
		if (uid == 0 || uid >= UINT32_MAX)
			return false;
		*ret_uid = (uint32_t)uid;
		return true;
	}
	return false;
}

void runtime_unescape(const char *name, size_t len, char *buffer)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (name[i] == '\\' && len - i >= 4 && name[i + 1] == 'x' &&
		    hex_digit(name[i + 2]) >= 0 && hex_digit(name[i + 3]) >= 0) {
			char c = (char)(hex_digit(name[i + 2]) << 4 | hex_digit(name[i + 3]));
			if (c != '\0' && c != '/') {
				buffer[n++] = c;
				i += 3;
				continue;
			}
		}
		buffer[n++] = name[i];
	}
	buffer[n] = '\0';
}
