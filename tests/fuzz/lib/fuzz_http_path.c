/* SPDX-License-Identifier: Apache-2.0 */
#include "../fuzz.h"
#include "ebb/http_client.h"
#include "ebb/util.h"
#include "http_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const patterns[] = {"/", "/heartbeat", "/container/*",
					       "/structure/*/resources/*/*", "/*/*/*/*/*/*/*/*"};
	char *raw = fuzz_string(data, size), *decoded = malloc(size + 1);
	struct http_path path;

	if (!decoded)
		abort();
	int n = http_percent_decode(raw, size, decoded);
	if (n >= 0) {
		FUZZ_CHECK((size_t)n <= size && strlen(decoded) == (size_t)n);
		FUZZ_CHECK(utf8_is_valid(decoded, n));
		char *escaped = http_escape(decoded);
		char *again = malloc(strlen(escaped) + 1);
		FUZZ_CHECK(http_percent_decode(escaped, strlen(escaped), again) == n);
		FUZZ_CHECK(!strcmp(again, decoded));
		free(again);
		free(escaped);
	}
	if (http_path_parse(raw, &path) == 0) {
		for (size_t i = 0; i < path.n && i < HTTP_MAX_SEGMENTS; i++) {
			FUZZ_CHECK(!strchr(path.segments[i], '/'));
			FUZZ_CHECK(utf8_is_valid(path.segments[i], strlen(path.segments[i])));
		}
		for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
			const char *captures[HTTP_MAX_CAPTURES] = {0};
			if (http_path_matches(&path, patterns[i], captures))
				for (int c = 0; c < HTTP_MAX_CAPTURES && captures[c]; c++)
					FUZZ_CHECK(*captures[c]);
		}
		http_path_clear(&path);
	}
	free(decoded);
	free(raw);
	return 0;
}
