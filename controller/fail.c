/* SPDX-License-Identifier: Apache-2.0 */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail_with(int err, char **ret_error, const char *format, ...)
{
	if (ret_error) {
		char *text = NULL;
		va_list ap;

		va_start(ap, format);
		if (vasprintf(&text, format, ap) < 0)
			text = NULL;
		va_end(ap);
		*ret_error = text;
	}
	return err;
}
