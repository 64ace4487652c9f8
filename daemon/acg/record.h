/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: the body of a request and of its answer. One tag byte, text, NUL.
 *
 * Why not JSON: arguments, paths and environment are bytes without NUL and in any
 * encoding, so this needs no escaping, and no parser on acg's side.
 */
#ifndef ACG_RECORD_H
#define ACG_RECORD_H

#include <stdbool.h>
#include <stddef.h>

struct record_buf {
	char *data;
	size_t cap;
	size_t len;
};

/* The bytes of a record whose text has len bytes. */
static inline size_t record_size(size_t len)
{
	return len + 2;
}

/* Append a record, whole or not at all; false if it does not fit. */
bool record_put(struct record_buf *b, char tag, const char *text, size_t len);

/* Is this a sequence of records: each with a tag, the last one terminated too? */
bool record_valid(const char *data, size_t len);

/* Walk a valid sequence: the record at *pos (tag at [0], text from [1]), or NULL at end. */
char *record_next(char **pos, const char *end);

#endif
