/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "ebb/util.h"

size_t utf8_decode(const char *text, size_t len, uint32_t *ret_code)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t code, least;
	size_t n;

	if (!len)
		return 0;
	if (p[0] < 0x80) {
		*ret_code = p[0];
		return 1;
	}
	if ((p[0] & 0xe0) == 0xc0) {
		n = 2;
		code = p[0] & 0x1f;
		least = 0x80;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		code = p[0] & 0x0f;
		least = 0x800;
	} else if ((p[0] & 0xf8) == 0xf0) {
		n = 4;
		code = p[0] & 0x07;
		least = 0x10000;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

bool utf8_is_valid(const char *text, size_t len)
{
	while (len) {
		uint32_t code;
		size_t n = utf8_decode(text, len, &code);
		if (!n)
			return false;
		text += n;
		len -= n;
	}
	return true;
}

size_t utf8_fit(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	if (len <= max)
		return len;
	for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

bool utf8_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

bool name_is_sane(const char *name, size_t max)
{
	size_t len = name ? strnlen(name, max + 1) : 0;

	if (len < 1 || len > max)
		return false;
	while (len) {
		uint32_t code;
		size_t n = utf8_decode(name, len, &code);
		if (!n || utf8_is_control(code))
			return false;
		name += n;
		len -= n;
	}
	return true;
}
