/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to the daemon, under one deadline for all that is done on it.
 *
 * Why one deadline and not one per step: a daemon that drips a byte a second would
 * hold the agent for ever. Why the paths are compiled in: the caller's environment
 * must not choose who is asked.
 *
 * Signals keep their dispositions, so one that ends acg ends it while it waits, and
 * the command inherits what acg did (hence MSG_NOSIGNAL, and no alarm()).
 *
 * Limits: one thread, no child: the daemon moves only such a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"

#define RETRY_MS 5

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int conn_left_ms(const struct conn *c)
{
	int64_t left = c->deadline - now_ms();

	return left > 0 ? (int)left : 0;
}

/* After the deadline this still asks once: a process that was stopped or frozen
 * while its answer came should find it, not ignore it. */
static bool wait_for(const struct conn *c, short events)
{
	struct pollfd p = { .fd = c->fd, .events = events };
	int ready;

	do
		ready = poll(&p, 1, conn_left_ms(c));
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/* Root alone can make this file; it saves asking a daemon known to be gone. */
static bool is_down(void)
{
	struct stat st;

	return !lstat(ACG_DIR "/down", &st);
}

/* The daemon has a write lock on this file from when it is ready; the kernel takes the lock
 * back at its death, while systemd goes on listening for it. Who cannot write the file can
 * have no such lock. Without the file there has been no daemon yet: one may be starting. */
static bool is_dead(void)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open(ACG_DIR "/alive", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool dead;

	if (fd < 0)
		return false;
	dead = !fcntl(fd, F_GETLK, &lock) && lock.l_type == F_UNLCK;
	close(fd);
	return dead;
}

/* EAGAIN is a full backlog: a busy daemon, not a dead one. The kernel offers no
 * event for room in it, and a blocking connect has no deadline everywhere. */
static bool connect_retry(const struct conn *c, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	_Static_assert(sizeof(ACG_AGENT) <= sizeof(addr.sun_path), "ACG_DIR is too long");
	_Static_assert(sizeof(ACG_ADMIN) <= sizeof(addr.sun_path), "ACG_ADMIN is too long");
	memcpy(addr.sun_path, path, strlen(path));
	while (connect(c->fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || !conn_left_ms(c))
			return false;
		poll(NULL, 0, RETRY_MS);
	}
	return true;
}

bool conn_open(struct conn *c, const char *path, int timeout_ms)
{
	if (is_down() || is_dead())
		return false;
	c->deadline = now_ms() + timeout_ms;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return false;
	if (connect_retry(c, path))
		return true;
	conn_close(c);
	return false;
}

bool conn_send(struct conn *c, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (!wait_for(c, POLLOUT))
				return false;
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

ssize_t conn_recv(struct conn *c, char *data, size_t cap)
{
	for (;;) {
		ssize_t n;

		if (!wait_for(c, POLLIN))
			return -1;
		n = recv(c->fd, data, cap, 0);
		if (n >= 0 || (errno != EAGAIN && errno != EINTR))
			return n;
	}
}

void conn_close(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
}
