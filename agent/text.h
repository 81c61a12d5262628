/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer of text, for messages of many small parts. Parts are appended without checks;
 * running out of memory sticks, and is asked for once at the end.
 */
#ifndef EBB_TEXT_H
#define EBB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *data; /* NUL-terminated once anything was appended */
	size_t len, size;
	bool failed; /* memory ran out: what is in `data` has holes */
};

void text_clear(struct text *text); /* frees */
void text_reset(struct text *text); /* empties, and keeps the memory for the next message */

void text_add(struct text *text, const char *bytes, size_t n);
void text_str(struct text *text, const char *string);
void text_char(struct text *text, char c);
void text_u64(struct text *text, uint64_t value);
/* The shortest of integer and decimal form, at most 6 digits after the point. Finite values only.
 */
void text_number(struct text *text, double value);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with its quotes. Bytes that are not UTF-8 become '?'. */
void text_json_string(struct text *text, const char *string);
/* A value of a Prometheus label, without its quotes; bytes that are no UTF-8 as \xNN. */
void text_label(struct text *text, const char *string);

#endif
