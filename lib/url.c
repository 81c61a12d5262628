/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

/* What stands for a password. */
#define HIDDEN "***"

/*
 * Up to the last '@' of all: a password that is not encoded as it should be may have an '@' or a
 * '/' in it, and is to stay hidden too. NULL: there is none.
 */
static const char *find_password(const char *text, size_t *ret_len)
{
	const char *scheme = strstr(text, "://"), *at = strrchr(text, '@');
	const char *user = scheme ? scheme + 3 : text;
	const char *colon = at && at > user ? memchr(user, ':', (size_t)(at - user)) : NULL;

	if (!colon || colon + 1 == at)
		return NULL;
	*ret_len = (size_t)(at - colon) - 1;
	return colon + 1;
}

char *url_public(const char *url)
{
	size_t len, head;
	const char *password = find_password(url, &len);
	char *out;

	if (!password)
		return strdup(url);
	head = (size_t)(password - url);
	out = malloc(strlen(url) - len + sizeof(HIDDEN));
	if (!out)
		return NULL;
	memcpy(out, url, head);
	strcpy(stpcpy(out + head, HIDDEN), password + len);
	return out;
}

void url_blank(char *text)
{
	size_t len, rest;
	char *password = (char *)find_password(text, &len), *end;

	if (!password)
		return;
	end = password + len;
	rest = strlen(end);
	memset(password, '*', len);
	if (len <= sizeof(HIDDEN) - 1)
		return;
	/* Nor does it show how long it was. */
	memmove(password + sizeof(HIDDEN) - 1, end, rest);
	memset(password + sizeof(HIDDEN) - 1 + rest, ' ', len - (sizeof(HIDDEN) - 1));
}
