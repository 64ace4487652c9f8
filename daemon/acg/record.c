/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing and walking records (record.h says what they are).
 *
 * Limits: it knows no tag; what a tag means is the matter of request.c and answer.c.
 */
#include <string.h>

#include "record.h"

bool record_put(struct record_buf *b, char tag, const char *text, size_t len)
{
	if (len > b->cap || record_size(len) > b->cap - b->len)
		return false;
	b->data[b->len] = tag;
	memcpy(b->data + b->len + 1, text, len);
	b->data[b->len + 1 + len] = '\0';
	b->len += record_size(len);
	return true;
}

bool record_valid(const char *data, size_t len)
{
	if (!len)
		return true;
	if (!data[0] || data[len - 1])
		return false;
	for (size_t i = 1; i < len; i++)
		if (!data[i] && !data[i - 1])
			return false;	/* a terminator where a tag belongs */
	return true;
}

char *record_next(char **pos, const char *end)
{
	char *record = *pos;

	if (record >= end)
		return NULL;
	*pos = record + strlen(record) + 1;
	return record;
}
