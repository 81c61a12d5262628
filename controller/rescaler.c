/* SPDX-License-Identifier: Apache-2.0 */
#include "rescaler.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "structure.h"
#include "ebb/util.h"

bool rescaler_is_bare_host(const char *text, size_t len)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_.:[]";

	return len > 0 && len < 256 && strspn(text, valid) >= len;
}

int rescaler_address(const json_t *doc, char **ret_address)
{
	const char *ip = json_string_value(json_object_get(doc, "host_rescaler_ip"));
	const json_t *port = json_object_get(doc, "host_rescaler_port");
	char *address;
	int64_t number;

	if (!ip || !rescaler_is_bare_host(ip, strlen(ip)) || json_to_int64(port, &number) < 0 ||
	    number < 1 || number > 65535)
		return -EINVAL;
	if (asprintf(&address, strchr(ip, ':') && *ip != '[' ? "http://[%s]:%d" : "http://%s:%d",
		     ip, (int)number) < 0)
		return -ENOMEM;
	*ret_address = address;
	return 0;
}

bool rescaler_is_address(const char *address)
{
	const char *host = address && strncmp(address, "http://", 7) == 0 ? address + 7 : NULL;
	const char *colon = host ? strrchr(host, ':') : NULL;
	uint64_t port;

	return colon && rescaler_is_bare_host(host, (size_t)(colon - host)) &&
	       parse_u64(colon + 1, &port) >= 0 && port >= 1 && port <= 65535;
}
