/* SPDX-License-Identifier: Apache-2.0 */
#include "controllers.h"

#include <string.h>

#include "ebb/cleanup.h"
#include "ebb/util.h"

/* A takeover is to be found in well under a second; and when all are silent for long, a site of a
 * thousand agents must not keep the network busy. */
#define QUICK_MS     100
#define JITTER_MS    150
#define BACKOFF_MS   100
#define BACKOFF_CAP  5000
#define QUICK_ROUNDS 20

void controllers_init(struct controllers *controllers, const struct string_list *urls)
{
	*controllers = (struct controllers){.urls = urls};
}

const char *controllers_current(const struct controllers *controllers)
{
	return controllers->urls->items[controllers->at];
}

void controllers_settle(struct controllers *controllers)
{
	controllers->silent = 0;
	controllers->followed = false;
}

static size_t length(const char *url)
{
	size_t n = strlen(url);

	while (n && url[n - 1] == '/')
		n--;
	return n;
}

/* urls->n: it is none of them. */
static size_t find(const struct controllers *controllers, const char *url)
{
	const struct string_list *urls = controllers->urls;
	size_t n = length(url);

	for (size_t i = 0; i < urls->n; i++)
		if (length(urls->items[i]) == n && !strncmp(urls->items[i], url, n))
			return i;
	return urls->n;
}

unsigned controllers_move_on(struct controllers *controllers, bool spoke, const char *leader)
{
	size_t n = controllers->urls->n;
	size_t there = leader ? find(controllers, leader) : n;
	unsigned rounds;

	controllers->silent = spoke ? 0 : controllers->silent + 1;
	/* At once, but two that point to each other are not followed in a circle. */
	if (there < n && there != controllers->at && !controllers->followed) {
		controllers->at = there;
		controllers->followed = true;
		return 0;
	}
	controllers->followed = false;
	controllers->at = (controllers->at + 1) % n;
	if (n == 1 && !spoke)
		return backoff_ms(controllers->silent - 1, BACKOFF_MS, BACKOFF_CAP);
	rounds = controllers->silent / (unsigned)n;
	if (rounds > QUICK_ROUNDS)
		return backoff_ms(rounds - QUICK_ROUNDS, QUICK_MS, BACKOFF_CAP);
	return QUICK_MS + (unsigned)(random_u64() % (JITTER_MS + 1));
}
