/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_HTTP_HEAD_H
#define ACG_HTTP_HEAD_H

#include <stddef.h>
#include <sys/types.h>

#define HTTP_HEAD_MAX	(8 * 1024)
#define HTTP_BODY_MAX	(64 * 1024)

enum http_parse { HTTP_BAD, HTTP_MORE, HTTP_OK, HTTP_BUSY };

struct http_head {
	size_t size;		/* bytes up to and with the empty line */
	ssize_t body;		/* Content-Length, or -1: until EOF */
};

/* HTTP_OK only for a status of 200 and a body that acg can take; HTTP_BUSY for a 429. */
enum http_parse http_head_parse(const char *data, size_t len, struct http_head *h);

#endif
