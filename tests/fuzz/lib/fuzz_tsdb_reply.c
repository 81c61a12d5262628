/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a server's reply: "STATUS RETRY-AFTER\n" and the body. */
#include "../fuzz.h"
#include "tsdb_reply.h"

static struct tsdb_batch *make_batch(void)
{
	struct tsdb_tag tags[] = {{"host", "c0"}, {"pid", "1"}};
	struct tsdb_batch *batch = tsdb_batch_new();

	FUZZ_CHECK(batch);
	for (int i = 0; i < 4; i++)
		FUZZ_CHECK(tsdb_batch_add(batch, "m", 1795000000 + i, i, tags, 1 + i % 2) == 0);
	return batch;
}

static void on_failed(void *userdata, uint32_t index, const char *metric, const char *error)
{
	unsigned *seen = userdata;

	/* Each one once. */
	FUZZ_CHECK(index < 4 && !(*seen & 1u << index) && metric && error);
	*seen |= 1u << index;
	FUZZ_CHECK(tsdb_reply_fault(error) <= TSDB_FAULT_STORAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_string(data, size), *end = memchr(text, '\n', size), message[64];
	struct tsdb_reply reply = {.body = text, .body_len = size};

	if (end) {
		char *space = memchr(text, ' ', (size_t)(end - text));

		*end = '\0';
		reply.status = strtol(text, NULL, 10) % 1000;
		reply.retry_after = space ? space + 1 : NULL;
		reply.body = end + 1;
		reply.body_len = size - (size_t)(end + 1 - text);
	}
	if (reply.status < 0)
		reply.status = 0;
	for (int asked = 0; asked < 2; asked++)
		for (int cut = 0; cut < 2; cut++) {
			json_t *details = NULL;
			unsigned seen = 0;

			reply.asked = asked;
			reply.cut = cut;
			enum tsdb_verdict verdict = tsdb_reply_judge(&reply, &details);
			FUZZ_CHECK((details != NULL) == (verdict == TSDB_NAMED));
			/* Points are given up for nothing but an answer that says so. */
			if (reply.status / 100 != 2)
				FUZZ_CHECK(verdict != TSDB_TAKEN);
			if (verdict == TSDB_NAMED || verdict == TSDB_UNCLEAR)
				FUZZ_CHECK(reply.status == 400 || reply.status / 100 == 2);
			if (details) {
				struct tsdb_batch *batch = make_batch();

				FUZZ_CHECK(tsdb_reply_match(details, batch, on_failed, &seen) == 0);
				tsdb_batch_free(batch);
			}
			json_decref(details);
		}
	FUZZ_CHECK(tsdb_reply_wait_s(&reply) <= 300);
	tsdb_reply_message(&reply, message, sizeof(message));
	FUZZ_CHECK(strlen(message) < sizeof(message) && !strchr(message, '\n'));
	free(text);
	return 0;
}
