/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_HTTP_H
#define ACG_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http_answer {
	char *body;	/* writable, valid until the next http_post() */
	size_t len;
};

#define HTTP_RECORDS	"application/vnd.agentcg.acg"
#define HTTP_JSON	"application/json"

/* POST a body of this type to the daemon at one of its doors (conn.h); true for a whole, well-formed 200 within the time. */
bool http_post(const char *door, const char *path, const char *type, const char *body,
	       size_t len, int timeout_ms, struct http_answer *answer);

#endif
