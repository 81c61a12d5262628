/* SPDX-License-Identifier: Apache-2.0 */
/* What names a state: "sqlite:PATH", or the URL of a CouchDB. */
#include <stdio.h>
#include <string.h>

#include "couchdb.h"
#include "store.h"
#include "ebb/cleanup.h"
#include "ebb/util.h"

static bool is_http(const char *uri)
{
	return strncmp(uri, "http://", 7) == 0 || strncmp(uri, "https://", 8) == 0;
}

bool store_uri_is_shared(const char *uri)
{
	return is_http(uri);
}

char *store_uri_public(const char *uri)
{
	return url_public(uri);
}

char *store_uri_check(const char *uri)
{
	_cleanup_free_ char *shown = store_uri_public(uri);
	struct couchdb_url url;
	char *wrong = NULL;

	if (strncmp(uri, "sqlite:", 7) == 0 && uri[7])
		return NULL;
	if (is_http(uri)) {
		if (couchdb_url_parse(uri, &url, &wrong) < 0)
			return wrong ? wrong : strdup("no memory");
		couchdb_url_clear(&url);
		return NULL;
	}
	if (asprintf(&wrong,
		     "State \"%s\" is not known: give sqlite:PATH, or the URL of a CouchDB, "
		     "http(s)://[USER:PASSWORD@]HOST[:PORT]/[PREFIX]",
		     shown ? shown : "") < 0)
		return NULL;
	return wrong;
}
