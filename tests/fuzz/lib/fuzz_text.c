/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "../fuzz.h"
#include "ebb/log.h"
#include "ebb/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size);
	struct cpu_list list, again;
	struct address address;
	uint64_t u;
	int64_t i;
	double d;

	if (cpu_list_parse(text, &list) == 0) {
		char *formatted = cpu_list_format(&list);
		FUZZ_CHECK(cpu_list_parse(formatted, &again) == 0 && again.n == list.n);
		FUZZ_CHECK(!list.n || !memcmp(list.cpus, again.cpus, list.n * sizeof(*list.cpus)));
		free(formatted);
		cpu_list_clear(&again);
		cpu_list_clear(&list);
	}
	if (parse_u64(text, &u) == 0)
		FUZZ_CHECK(strspn(text, "0123456789") == strlen(text));
	if (parse_i64(text, &i) == 0 && i >= 0)
		FUZZ_CHECK(*text == '-' || parse_u64(text, &u) == 0);
	if (parse_double(text, &d) == 0)
		FUZZ_CHECK(isfinite(d));
	if (address_parse(text, &address) == 0)
		FUZZ_CHECK(!*address.unix_path || !*address.host);
	else
		FUZZ_CHECK(!address_is_local(text));
	if (name_is_sane(text, 64))
		FUZZ_CHECK(utf8_is_valid(text, strlen(text)) && strlen(text) <= 64);

	/* In blocks of every small size: the last byte written is the last there is. */
	for (size_t room = 1; room < 40; room += 3) {
		char *buffer = malloc(room);
		if (!buffer)
			abort();
		size_t n = log_escape(text, buffer, room);
		FUZZ_CHECK(n < room && strlen(buffer) == n && utf8_is_valid(buffer, n));
		FUZZ_CHECK(!strchr(buffer, '\n') && !strchr(buffer, '\x1b'));
		free(buffer);
	}
	free(text);
	return 0;
}
