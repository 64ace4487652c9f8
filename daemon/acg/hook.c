/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg hook HARNESS
 *
 * Carries what a harness tells its hook (JSON on stdin) to the daemon, and the daemon's
 * answer back to stdout. Neither is read here: the harness's dialect is the daemon's matter.
 *
 * Why it fails open: a hook runs before and after every tool call, so whatever goes
 * wrong it prints nothing and exits with 0, which every harness takes for "no opinion",
 * ACG_HOOK_DEADLINE_MS after its start at the latest. Its stdin is read to the end
 * first, for a harness that writes to a hook which has gone gets an error.
 *
 * Limits: HOOK_MAX bytes of stdin go on, the rest is read and dropped; the daemon counts
 * what is cut as unreadable.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "acg.h"
#include "conn.h"
#include "http.h"
#include "say.h"

#define HOOK_MAX	(256 * 1024)
#define NAME_MAX_LEN	32
#define PREFIX		"/v1/hooks/"

static bool is_harness(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > NAME_MAX_LEN)
		return false;
	for (; *name; name++)
		if (!((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') ||
		      *name == '-'))
			return false;
	return true;
}

/* What is kept of stdin, or -1 without its end in time. */
static ssize_t read_stdin(char *body, int64_t deadline)
{
	static char rest[4096];
	size_t len = 0;

	for (;;) {
		struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t n;

		if (left <= 0)
			return -1;
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		n = len < HOOK_MAX ? read(STDIN_FILENO, body + len, HOOK_MAX - len)
				   : read(STDIN_FILENO, rest, sizeof(rest));
		if (n == 0)
			return (ssize_t)len;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		if (n > 0 && len < HOOK_MAX)
			len += (size_t)n;
	}
}

int acg_hook(int argc, char **argv)
{
	static char body[HOOK_MAX];
	const int64_t deadline = now_ms() + ACG_HOOK_DEADLINE_MS;
	char path[sizeof(PREFIX) + NAME_MAX_LEN] = PREFIX;
	struct http_answer answer;
	int64_t left;
	ssize_t len;

	if (argc != 2 || !is_harness(argv[1]))
		return bad_usage();
	memcpy(path + sizeof(PREFIX) - 1, argv[1], strlen(argv[1]) + 1);
	len = read_stdin(body, deadline);
	left = deadline - now_ms();
	if (len >= 0 && left > 0 &&
	    http_post(ACG_AGENT, path, HTTP_JSON, body, (size_t)len, (int)left, &answer))
		put_bytes(STDOUT_FILENO, answer.body, answer.len);
	return 0;
}
