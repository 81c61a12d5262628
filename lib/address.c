/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "ebb/util.h"

int address_parse(const char *text, struct address *ret_address)
{
	struct address address = {0};
	const char *host, *colon;
	size_t n;
	uint64_t port;

	if (!strncmp(text, "unix:", 5)) {
		n = strlen(text + 5);
		if (n < 1 || n >= sizeof(address.unix_path))
			return -EINVAL;
		memcpy(address.unix_path, text + 5, n);
		*ret_address = address;
		return 0;
	}
	if (*text == '[') {
		host = text + 1;
		colon = strchr(host, ']');
		if (!colon || colon == host)
			return -EINVAL;
		n = colon++ - host;
	} else {
		host = text;
		colon = strchr(host, ':');
		if (!colon)
			return -EINVAL;
		n = colon - host;
	}
	/* A second colon (an IPv6 address without brackets) fails as a port. */
	if (*colon != ':' || n >= sizeof(address.host) || parse_u64(colon + 1, &port) < 0 ||
	    port > UINT16_MAX)
		return -EINVAL;
	memcpy(address.host, host, n);
	address.port = (uint16_t)port;

	struct in6_addr v6;
	if (*text == '[' && inet_pton(AF_INET6, address.host, &v6) != 1)
		return -EINVAL;
	*ret_address = address;
	return 0;
}

bool address_is_local(const char *listen)
{
	struct address address;
	struct in_addr v4;
	struct in6_addr v6;

	if (address_parse(listen, &address) < 0)
		return false;
	if (*address.unix_path || !strcmp(address.host, "localhost"))
		return true;
	if (inet_pton(AF_INET, address.host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, address.host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6) ||
		       (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
	return false;
}
