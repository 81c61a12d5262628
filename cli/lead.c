/* SPDX-License-Identifier: Apache-2.0 */
#include "lead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"
#include "table.h"
#include "view.h"
#include "ebb/cleanup.h"

bool lead_stands_by(const json_t *heartbeat)
{
	return !strcmp(json_get_text(heartbeat, "role"), "standby");
}

bool lead_is_address(const char *address)
{
	_cleanup_free_ char *location = NULL, *host = NULL, *path = NULL;

	if (asprintf(&location, "%s/", address) < 0) {
		location = NULL;
		return false;
	}
	return request_split_location(location, &host, &path);
}

/* True: it answers there, and does not stand by. Otherwise `error`, 256 bytes, says why not. */
static bool leads(const struct cli *cli, const char *address, char *error)
{
	_cleanup_json_ json_t *beat = NULL;
	long status;

	if (!lead_is_address(address)) {
		snprintf(error, 256, "that is no address to ask");
		return false;
	}
	status = request_try(cli, address, NULL, "/heartbeat", &beat, error);
	if (!status)
		return false;
	if (status != 200 || strcmp(json_get_text(beat, "status"), "alive")) {
		snprintf(error, 256, "it answered %ld; is it an Ebb controller?", status);
		return false;
	}
	if (lead_stands_by(beat))
		snprintf(error, 256, "it stands by too");
	return !lead_stands_by(beat);
}

static char *note_of(const char *standby, const char *leader, const char *error)
{
	char *note;
	int r;

	if (*leader)
		r = asprintf(&note,
			     "%s stands by, and %s, which leads, cannot be asked (%s): what is "
			     "measured is not known here",
			     standby, leader, error);
	else
		r = asprintf(&note,
			     "%s stands by, and no controller leads at the moment: what is "
			     "measured is not known here",
			     standby);
	if (r < 0)
		return NULL;
	text_tame(note);
	return note;
}

/*
 * 1: the one to ask is in *ret_address. 0: that one stands by, and `ret_note` says that the one
 * that leads cannot be asked. -ECONNREFUSED: it does not answer.
 */
static int ask(const struct cli *cli, const char *address, char **ret_address, char **ret_note)
{
	_cleanup_json_ json_t *beat = NULL;
	_cleanup_free_ char *leader = NULL;
	char error[256] = "";

	if (!request_try(cli, address, NULL, "/heartbeat", &beat, error))
		return -ECONNREFUSED;
	if (lead_stands_by(beat)) {
		leader = strdup(json_get_text(beat, "leader"));
		if (!leader)
			return -ENOMEM;
		if (!*leader || !leads(cli, leader, error)) {
			*ret_note = note_of(address, leader, error);
			return *ret_note ? 0 : -ENOMEM;
		}
	}
	*ret_address = leader ? TAKE_PTR(leader) : strdup(address);
	return *ret_address ? 1 : -ENOMEM;
}

int lead_choose(struct cli *cli)
{
	_cleanup_free_ char *list = strdup(cli->controllers);
	_cleanup_free_ char *first = NULL, *standby = NULL, *found = NULL, *note = NULL;
	char *save, *url = list ? strtok_r(list, ", ", &save) : NULL;
	int r = list ? 0 : -ENOMEM;

	for (; url && !found && r != -ENOMEM; url = strtok_r(NULL, ", ", &save)) {
		_cleanup_free_ char *address = address_normalize(url), *why = NULL;

		r = address ? ask(cli, address, &found, &why) : -ENOMEM;
		if (r == 0 && !standby) {
			standby = TAKE_PTR(address);
			note = TAKE_PTR(why);
		} else if (!first) {
			first = TAKE_PTR(address);
		}
	}
	if (r == -ENOMEM)
		return r;
	free(cli->controller);
	free(cli->standby_note);
	cli->standby_note = found ? NULL : TAKE_PTR(note);
	cli->controller = found     ? TAKE_PTR(found)
			  : standby ? TAKE_PTR(standby)
			  : first   ? TAKE_PTR(first)
				    : address_normalize(cli->controllers);
	return cli->controller ? 0 : -ENOMEM;
}
