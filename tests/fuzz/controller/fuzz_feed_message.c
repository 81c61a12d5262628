/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent, or whoever says to be one, sends to /feed. */
#include "../fuzz.h"
#include "feed_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size), *error = NULL;
	struct feed_message message = {0};

	if (feed_message_parse(text, size, &message, &error) == 0) {
		FUZZ_CHECK(!error);
		FUZZ_CHECK(message.host && message.session);
		for (size_t i = 0; i < message.n_samples; i++)
			for (int c = 0; c < FEED_COUNTERS; c++)
				FUZZ_CHECK(message.samples[i].counters[c] >= 0);
		feed_message_clear(&message);
	} else {
		FUZZ_CHECK(error && *error);
		free(error);
	}
	free(text);
	return 0;
}
