/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg as one function of bytes, for libFuzzer: `make fuzz` in daemon/acg builds it.
 *
 * Why in one process: a process for each input is a thousand times slower, and 10^5 of
 * them would take hours. The whole program is in here, main() and all; only what would
 * leave the process is replaced: the socket's other end is a socketpair that holds the
 * answer, and exec finds no program.
 *
 * An input is five bytes and two texts:
 *   [0] & 3   acg hook, acg hook with more on stdin than goes on, acg run, acg shell
 *   [0] & 4   the daemon has gone when the request comes
 *   [0] & 8   a full backlog at first
 *   [1]       that many bytes at once come of the answer; 0: all
 *   [2]       after so many connections nobody listens (a daemon that says 429 is asked again)
 *   [3..4]    how long the first text is
 * The first is stdin, or the command line; the second the answer.
 *
 * With FUZZ_RUNC in the environment all are acg runc: the first text is its arguments, a line each,
 * and what it finds if one of them is --process=/proc/self/fd/0. The runtime that it would become
 * must get them all, in their order, and at most OPTIONS words more behind an "exec", all of them
 * options of the answer. The file that FUZZ_RUNC names tells at the end how often there were any.
 *
 * Limits: time does not pass, so what deadlines do is not tried; test_hook.py does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD	5
#define LINE	4000
#define FLOOD	(300 * 1024)
#define WORDS	140 /* more than acg runc looks at */
#define OPTIONS	8

int acg_main(int argc, char **argv);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len);
int __wrap_lstat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_execvp(const char *program, char *const argv[]);
int __wrap_execv(const char *program, char *const argv[]);
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);
int __real_stat(const char *path, struct stat *st);
int __real_poll(struct pollfd *fds, nfds_t n, int ms);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);

static struct {
	const uint8_t *answer;
	size_t len, piece;
	bool gone, full;
	int connections, other;
} now;

static int said;
static const char *runc; /* the file that FUZZ_RUNC names */
static char *given[WORDS + 1]; /* acg runc's own name and arguments */
static char *passed[WORDS + 1];
static int given_count;
static long with_options;

int __wrap_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int pair[2];

	(void)addr, (void)len;
	if (now.full) {
		now.full = false;
		errno = EAGAIN;
		return -1;
	}
	if (now.connections-- <= 0) {
		errno = ECONNREFUSED;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) ||
	    dup2(pair[0], fd) < 0)
		abort();
	close(pair[0]);
	if (send(pair[1], now.answer, now.len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		abort();
	shutdown(pair[1], SHUT_WR);
	if (now.other >= 0)
		close(now.other);
	now.other = pair[1];
	if (now.gone)
		shutdown(pair[1], SHUT_RD);
	return 0;
}

int __wrap_lstat(const char *path, struct stat *st)
{
	(void)path, (void)st;
	errno = ENOENT;
	return -1;
}

int __wrap_execvp(const char *program, char *const argv[])
{
	(void)program, (void)argv;
	/* What an answer may never set. */
	if (getenv("PATH") || getenv("LD_PRELOAD") || getenv("GLIBC_TUNABLES"))
		abort();
	errno = ENOENT;
	return -1;
}

/* Each of the places where a runtime may be has one, which is not acg. */
int __wrap_stat(const char *path, struct stat *st)
{
	const char *name = strrchr(path, '/');

	if (!name || strcmp(name, "/runc"))
		return __real_stat(path, st);
	*st = (struct stat){ .st_ino = 1 };
	return 0;
}

static bool same(char *const *a, char *const *b, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(a[i], b[i]))
			return false;
	return true;
}

static bool told(const char *option)
{
	size_t len = strlen(option) + 1;

	for (const char *at = (const char *)now.answer, *end = at + now.len;
	     (at = memchr(at, 'O', (size_t)(end - at))); at++)
		if ((size_t)(end - at) > len && !memcmp(at + 1, option, len))
			return true;
	return false;
}

/* Whether `more` options of the answer stand before given[at], and all else is as it was. */
static bool inserted(char *const *argv, int at, int more)
{
	if (!same(argv + 1, given + 1, at - 1) ||
	    !same(argv + at + more, given + at, given_count - at))
		return false;
	for (int i = 0; i < more; i++)
		if (!told(argv[at + i]))
			return false;
	return !more || !strcmp(given[at - 1], "exec");
}

int __wrap_execv(const char *program, char *const argv[])
{
	int more = -given_count, at = 1;

	for (int i = 0; argv[i]; i++)
		more++;
	if (more < 0 || more > OPTIONS || strcmp(argv[0], program))
		abort();
	while (at <= given_count && !inserted(argv, at, more))
		at++;
	if (at > given_count)
		abort();
	with_options += more > 0;
	errno = ENOENT;
	return -1;
}

/* Sleeping is poll() on nothing. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
	return n ? __real_poll(fds, n, ms) : 0;
}

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
	return __real_recv(fd, data, len < now.piece ? len : now.piece, flags);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	runc = getenv("FUZZ_RUNC") ? strdup(getenv("FUZZ_RUNC")) : NULL;
	said = memfd_create("stdin", 0);
	return said < 0 || dup2(said, STDIN_FILENO) < 0;
}

static void say_to_stdin(const uint8_t *text, size_t len, bool flood)
{
	if (ftruncate(said, flood ? FLOOD : 0) || lseek(said, 0, SEEK_SET) ||
	    pwrite(said, text, len, 0) < 0)
		abort();
}

__attribute__((destructor)) static void tell_options(void)
{
	FILE *file = runc ? fopen(runc, "w") : NULL;

	if (file) {
		fprintf(file, "%ld", with_options);
		fclose(file);
	}
}

static int become(char *lines)
{
	given[0] = (char *)(uintptr_t)"acg-runc";
	given_count = 1;
	while (lines && given_count < WORDS)
		given[given_count++] = strsep(&lines, "\n");
	given[given_count] = NULL;
	memcpy(passed, given, sizeof(passed));
	return acg_main(given_count, passed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[LINE + 1];
	static char *const words[][5] = {
		{ "acg", "hook", "gemini" }, { "acg", "hook", "codex" },
		{ "acg", "run", line, "--", line }, { "acg-shell", line },
	};
	static const int counts[] = { 3, 3, 5, 2 };
	char *argv[6] = { NULL };
	size_t len, mode;
	int status;

	if (size < HEAD)
		return -1;
	mode = data[0] & 3;
	len = (size_t)data[3] << 8 | data[4];
	if (len > size - HEAD)
		len = size - HEAD;
	now.answer = data + HEAD + len;
	now.len = size - HEAD - len;
	/* Few enough pieces: the head is looked for anew with each. */
	now.piece = data[1] ? data[1] + now.len / 64 : SIZE_MAX;
	now.gone = (data[0] & 4) || (!runc && mode == 1);
	now.full = data[0] & 8;
	now.connections = data[2] & 3;
	now.other = -1;
	clearenv();
	say_to_stdin(data + HEAD, len, !runc && mode == 1);
	len = len < LINE ? len : LINE;
	memcpy(line, data + HEAD, len);
	line[len] = '\0';
	memcpy(argv, words[mode], (size_t)counts[mode] * sizeof(argv[0]));
	status = runc ? become(line) : acg_main(counts[mode], argv);
	if (status < 0 || status > 255 || (!runc && mode < 2 && status))
		abort();
	if (now.other >= 0)
		close(now.other);
	return 0;
}
