/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_HTTP_H
#define ACG_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http_answer {
	char *body;	/* writable, valid until the next http_post() */
	size_t len;
};

/* POST records to the daemon; true for a whole, well-formed 200 within the time. */
bool http_post(const char *path, const char *body, size_t len, int timeout_ms,
	       struct http_answer *answer);

#endif
