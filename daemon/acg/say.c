/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to stderr (and a hook's answer to stdout) that can neither kill nor stop anybody.
 *
 * Why not stdio: it would be most of the binary. Why not a plain write(2): a
 * daemon's message must not decide whether the command runs. A reader that has
 * gone would kill acg by SIGPIPE, and a reader that waits for the exit before it
 * reads would block it for ever.
 *
 * Limits: a pipe that stays full for FULL_MS loses the rest of the message; text
 * of acg's own is cut at LINE_MAX_LEN bytes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define FULL_MS		1000
#define CHUNK		4096	/* a pipe that polls writable takes one page at once */
#define LINE_MAX_LEN	1024

static void write_all(int fd, const char *text, size_t len)
{
	while (len) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int ready = poll(&p, 1, FULL_MS);
		ssize_t n;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return;
		n = write(fd, text, len < CHUNK ? len : CHUNK);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
}

void put_bytes(int fd, const char *text, size_t len)
{
	const struct timespec now = { 0 };
	sigset_t sigpipe, before, pending;

	/* Block, write, take back what we caused: the disposition, which the
	 * command inherits, is never changed. */
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigemptyset(&pending);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, &sigpipe, &before);
	write_all(fd, text, len);
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&sigpipe, NULL, &now) < 0 && errno == EINTR)
			;
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void say_bytes(const char *text, size_t len)
{
	put_bytes(STDERR_FILENO, text, len);
}

static size_t append(char *line, size_t len, const char *text)
{
	size_t n = strnlen(text, LINE_MAX_LEN - len);

	memcpy(line + len, text, n);
	return len + n;
}

void say(const char *a, const char *b)
{
	char line[LINE_MAX_LEN + 1];
	size_t len = append(line, 0, "acg: ");

	len = append(line, len, a);
	if (b) {
		len = append(line, len, ": ");
		len = append(line, len, b);
	}
	line[len++] = '\n';	/* one write, so lines of several processes do not mix */
	say_bytes(line, len);
}
