/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the head of an HTTP answer: is it a 200 (or a 429), and how long is its body?
 *
 * Why so strict: the only server is ours, so anything odd is a fault, and the
 * answer to a fault is to run the command unchanged. Nothing is guessed.
 *
 * Limits: no transfer coding (our server sends Content-Length), no interim 1xx (we
 * send no Expect), no folded header lines; HTTP_HEAD_MAX and HTTP_BODY_MAX bytes.
 * It does no I/O.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "http_head.h"

#define STATUS_LEN 12	/* "HTTP/1.1 200" */

static bool is_status(const char *line, size_t len, const char *code)
{
	return len >= STATUS_LEN && !memcmp(line, "HTTP/1.", 7) &&
	       (line[7] == '0' || line[7] == '1') && line[8] == ' ' &&
	       !memcmp(line + 9, code, 3) && (len == STATUS_LEN || line[STATUS_LEN] == ' ');
}

static bool is_name(const char *text, size_t len)
{
	const unsigned char *name = (const unsigned char *)text;

	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] >= 127)
			return false;
	return len > 0;
}

static bool equals(const char *name, size_t len, const char *want)
{
	return len == strlen(want) && !strncasecmp(name, want, len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* -1 if it is no number or too large for us. */
static ssize_t parse_length(const char *text, size_t len)
{
	ssize_t value = 0;

	while (len && is_blank(*text)) {
		text++;
		len--;
	}
	while (len && is_blank(text[len - 1]))
		len--;
	if (!len)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
		if (value > HTTP_BODY_MAX)
			return -1;
	}
	return value;
}

static bool parse_field(const char *line, size_t len, struct http_head *h)
{
	const char *colon = memchr(line, ':', len);
	size_t name;

	if (!colon)
		return false;
	name = (size_t)(colon - line);
	if (!is_name(line, name) || equals(line, name, "transfer-encoding"))
		return false;
	if (!equals(line, name, "content-length"))
		return true;
	if (h->body >= 0)
		return false;	/* two lengths: one of them is wrong */
	h->body = parse_length(colon + 1, len - name - 1);
	return h->body >= 0;
}

enum http_parse http_head_parse(const char *data, size_t len, struct http_head *h)
{
	const size_t seen = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	const char *end = memmem(data, seen, "\r\n\r\n", 4);
	const char *line, *eol;

	if (!end)
		return len < HTTP_HEAD_MAX ? HTTP_MORE : HTTP_BAD;
	h->size = (size_t)(end - data) + 4;
	h->body = -1;
	if (h->size > STATUS_LEN && is_status(data, STATUS_LEN, "429"))
		return HTTP_BUSY;
	for (line = data; line <= end; line = eol + 2) {
		size_t n;

		/* Never NULL: the last line ends where the empty one begins. */
		eol = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
		n = (size_t)(eol - line);
		if (line == data ? !is_status(line, n, "200") : !parse_field(line, n, h))
			return HTTP_BAD;
	}
	return HTTP_OK;
}
