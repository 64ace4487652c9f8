/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP exchange with the daemon: a POST, its answer, and the connection is gone.
 *
 * Why HTTP for a local socket: the daemon has one server and one place where a peer
 * is identified, for acg as for every other client.
 *
 * Limits: one exchange a process at a time (the buffer is static: it costs only the
 * pages that an answer touches, and acg stays out of malloc).
 */
#include <poll.h>
#include <string.h>

#include "conn.h"
#include "http.h"
#include "http_head.h"

#define REQUEST_HEAD_MAX 512
/* A session may have a few connections at once; the next one waits for its turn, since to run
 * the command unmanaged is what a burst of calls must not lead to. */
#define BUSY_MS 10

struct text {
	char data[REQUEST_HEAD_MAX];
	size_t len;
	bool cut;
};

static void add(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (n > sizeof(t->data) - t->len) {
		t->cut = true;
		return;
	}
	memcpy(t->data + t->len, s, n);
	t->len += n;
}

static void add_number(struct text *t, size_t value)
{
	char digits[24];
	char *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	add(t, p);
}

static bool send_request(struct conn *c, const char *path, const char *type, const char *body,
			 size_t len)
{
	struct text head = { .len = 0 };

	add(&head, "POST ");
	add(&head, path);
	add(&head, " HTTP/1.1\r\n"
		   "Host: agentcg\r\n"
		   "Connection: close\r\n"
		   "Content-Type: ");
	add(&head, type);
	add(&head, "\r\nContent-Length: ");
	add_number(&head, len);
	add(&head, "\r\n\r\n");
	return !head.cut && conn_send(c, head.data, head.len) && conn_send(c, body, len);
}

/* Is the answer complete at this point? HTTP_MORE: read on, and EOF would be a fault. */
static enum http_parse judge(const char *data, size_t len, bool eof, struct http_head *h)
{
	enum http_parse p = http_head_parse(data, len, h);

	if (p != HTTP_OK)
		return p;
	if (h->body >= 0)
		return len - h->size >= (size_t)h->body ? HTTP_OK : HTTP_MORE;
	if (len - h->size > HTTP_BODY_MAX)
		return HTTP_BAD;
	h->body = (ssize_t)(len - h->size);
	return eof ? HTTP_OK : HTTP_MORE;
}

static enum http_parse receive(struct conn *c, struct http_answer *answer)
{
	static char data[HTTP_HEAD_MAX + HTTP_BODY_MAX + 1];
	struct http_head h;
	size_t len = 0;

	for (;;) {
		/* Never full here: more than both bounds is HTTP_BAD or complete. */
		ssize_t n = conn_recv(c, data + len, sizeof(data) - len);
		enum http_parse p;

		if (n < 0)
			return HTTP_BAD;
		len += (size_t)n;
		p = judge(data, len, n == 0, &h);
		if (p == HTTP_OK) {
			answer->body = data + h.size;
			answer->len = (size_t)h.body;
		}
		if (p != HTTP_MORE)
			return p;
		if (n == 0)
			return HTTP_BAD;
	}
}

bool http_post(const char *door, const char *path, const char *type, const char *body,
	       size_t len, int timeout_ms, struct http_answer *answer)
{
	enum http_parse result;
	struct conn c;

	do {
		if (!conn_open(&c, door, timeout_ms))
			return false;
		/* Refused connections are answered before they are read, so that an
		 * answer may be there although the request did not go out. */
		send_request(&c, path, type, body, len);
		result = receive(&c, answer);
		conn_close(&c);
		if (result == HTTP_BUSY)
			poll(NULL, 0, BUSY_MS);
		/* The pause counts: else a daemon that is quick to say so kept its
		 * client for twenty times the deadline. */
		timeout_ms = conn_left_ms(&c);
	} while (result == HTTP_BUSY && timeout_ms);
	return result == HTTP_OK;
}
