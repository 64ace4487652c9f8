/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg runc ARGUMENT..., or ARGUMENT... alone under the name acg-runc
 *
 * Stands where dockerd expects its OCI runtime, and becomes the real one. Before an
 * `exec` it asks the daemon, at the administrator's socket, whether the command gets a
 * cgroup of its own; the daemon answers with options for the runtime's exec
 * (`--cgroup ...`), which puts the process there before it runs. Every other subcommand
 * goes on at once: nothing is asked about a container's birth and death.
 *
 *   A<argument>   each argument, as the runtime gets it
 *   P<bytes>      what the file has that --process names: JSON, not read here
 *   T             instead of P: it is longer than PROCESS_MAX
 *
 * and in the answer O<option>, to stand behind `exec`.
 *
 * Why it fails open, without a word: a container must start and its commands must run
 * whatever has become of the daemon, ACG_RUNC_DEADLINE_MS later at the latest; what it
 * would print, dockerd takes for the runtime's own error.
 *
 * Why the real runtime is named by a file of root's and not by an option: dockerd makes
 * a shell script of a runtime with options, which costs a shell for every exec.
 *
 * Limits: it knows runc's own options before the subcommand, no others; where it cannot
 * tell an exec with --process, it does not ask.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acg.h"
#include "conn.h"
#include "http.h"
#include "record.h"
#include "say.h"

#define PROCESS_MAX	(240 * 1024)
#define WORDS_MAX	(15 * 1024)
#define ARGS_MAX	128
#define OPTIONS_MAX	8
#define PATH		"/v1/acg/runc"

static const char *const runtimes[] = {
	"/usr/bin/runc",
	"/usr/sbin/runc",
	"/usr/local/bin/runc",
	"/usr/local/sbin/runc",
};

static bool has_value(const char *option)
{
	static const char *const valued[] = {
		"--root", "--log", "--log-format", "--criu", "--rootless",
	};

	for (size_t i = 0; i < sizeof(valued) / sizeof(valued[0]); i++)
		if (!strcmp(option, valued[i]))
			return true;
	return false;
}

/* Where the word "exec" stands, if that is the subcommand; else 0. */
static int find_exec(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-')
			return strcmp(argv[i], "exec") ? 0 : i;
		if (has_value(argv[i]))
			i++;
	}
	return 0;
}

static const char *find_process(int argc, char **argv, int exec)
{
	static const char equals[] = "--process=";

	for (int i = exec + 1; i < argc; i++) {
		if (!strncmp(argv[i], equals, sizeof(equals) - 1))
			return argv[i] + sizeof(equals) - 1;
		if (!strcmp(argv[i], "--process") || !strcmp(argv[i], "-p"))
			return i + 1 < argc ? argv[i + 1] : NULL;
	}
	return NULL;
}

/* Up to cap bytes of a plain file; -1 if it is none or cannot be read. */
static ssize_t read_file(const char *path, int flags, struct stat *st, char *data, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	size_t len = 0;
	ssize_t n = -1;

	if (fd < 0)
		return -1;
	if (!fstat(fd, st) && S_ISREG(st->st_mode))
		while (len < cap && ((n = read(fd, data + len, cap - len)) > 0 ||
				     (n < 0 && errno == EINTR)))
			len += n > 0 ? (size_t)n : 0;
	close(fd);
	return n < 0 ? -1 : (ssize_t)len;
}

static bool put_process(struct record_buf *b, const char *path)
{
	static char process[PROCESS_MAX + 1];
	struct stat st;
	ssize_t len = read_file(path, 0, &st, process, sizeof(process));

	/* A NUL is in no JSON, and would end the record. */
	if (len < 0 || memchr(process, 0, (size_t)len))
		return false;
	if (len > PROCESS_MAX)
		return record_put(b, 'T', "", 0);
	return record_put(b, 'P', process, (size_t)len);
}

/* Put what the daemon wants behind `exec`; returns how many words that is. */
static size_t ask(int argc, char **argv, const char *process, char **options)
{
	static char body[WORDS_MAX + PROCESS_MAX + 2];
	struct record_buf b = { .data = body, .cap = WORDS_MAX };
	struct http_answer answer;
	char *pos, *record;
	size_t n = 0;

	for (int i = 1; i < argc; i++)
		if (!record_put(&b, 'A', argv[i], strlen(argv[i])))
			return 0;
	b.cap = sizeof(body);
	if (!put_process(&b, process) ||
	    !http_post(ACG_ADMIN, PATH, HTTP_RECORDS, body, b.len, ACG_RUNC_DEADLINE_MS, &answer) ||
	    !record_valid(answer.body, answer.len))
		return 0;
	pos = answer.body;
	while ((record = record_next(&pos, answer.body + answer.len)))
		if (record[0] == 'O') {
			if (n == OPTIONS_MAX)
				return 0;
			options[n++] = record + 1;
		}
	return n;
}

/* The path in a file that nobody but root (or who runs this) can have written. */
static bool chosen_runtime(char *path, size_t cap)
{
	struct stat st;
	ssize_t len = read_file(ACG_RUNTIME, O_NOFOLLOW, &st, path, cap);
	char *end;

	if (len <= 0 || (size_t)len == cap || (st.st_uid && st.st_uid != geteuid()) ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)))
		return false;
	path[len] = '\0';
	end = strchr(path, '\n');
	if (end)
		*end = '\0';
	return path[0] == '/';
}

/* A runtime that leads back here would go round for ever. */
static void try_runtime(const char *path, char **argv)
{
	struct stat there, here;

	if (stat(path, &there) || stat("/proc/self/exe", &here) ||
	    (there.st_dev == here.st_dev && there.st_ino == here.st_ino))
		return;
	argv[0] = (char *)(uintptr_t)path;
	execv(path, argv);
}

static int become(char **argv)
{
	static char path[PATH_MAX];
	struct stat st;

	/* No other takes its place: the one that was chosen may be the one that isolates. */
	if (!lstat(ACG_RUNTIME, &st) || errno != ENOENT) {
		if (chosen_runtime(path, sizeof(path)))
			try_runtime(path, argv);
		say("runc", "cannot become the runtime that root's own file " ACG_RUNTIME " names");
		return EXIT_NOENT;
	}
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		try_runtime(runtimes[i], argv);
	say("runc", "there is no runtime to become: put the path of runc into " ACG_RUNTIME);
	return EXIT_NOENT;
}

int acg_runc(int argc, char **argv)
{
	static char *words[ARGS_MAX + OPTIONS_MAX + 1];
	int exec = argc <= ARGS_MAX ? find_exec(argc, argv) : 0;
	const char *process = exec ? find_process(argc, argv, exec) : NULL;
	size_t head = (size_t)exec + 1, n;

	if (!process)
		return become(argv);
	n = ask(argc, argv, process, words + head);
	memcpy(words, argv, head * sizeof(*words));
	/* With the NULL behind the last one. */
	memcpy(words + head + n, argv + head, ((size_t)argc - head + 1) * sizeof(*words));
	return become(words);
}
