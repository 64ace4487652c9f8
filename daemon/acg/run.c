/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg run [option...] -- command [argument...]
 *
 * Asks the daemon for a place for this very process, waits while the daemon moves it
 * into the call's cgroup, then execs the command: no extra parent, so signals and
 * exit codes need no passing on.
 *
 * Why it fails open: a dead daemon never stops an agent. Without a usable answer in
 * ACG_DEADLINE_MS the command runs as if acg were not there, and without a word:
 * its output is the agent's. The daemon counts what passed it by.
 *
 * Limits: options are words for the daemon, not read here; a script without "#!" is
 * not run by a shell (ENOEXEC, 126), as execve(2) has it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "acg.h"
#include "answer.h"
#include "conn.h"
#include "http.h"
#include "request.h"
#include "run.h"
#include "say.h"

int run_exec(const char *program, char **command)
{
	int error;

	execvp(program, command);
	error = errno;
	say(program, strerror(error));
	return error == ENOENT ? EXIT_NOENT : EXIT_NOEXEC;
}

int run_placed(const char *path, char **options, size_t n_options, char **command)
{
	static char body[REQUEST_MAX];
	struct record_buf request = { .data = body, .cap = sizeof(body) };
	struct http_answer answer;

	/* Before the daemon is looked for: whether a command line is good must not
	 * depend on whether the daemon runs. */
	if (!request_run(&request, options, n_options, command)) {
		say("run", "the options are longer than 32 KiB");
		return EXIT_ACG;
	}
	if (!http_post(ACG_AGENT, path, HTTP_RECORDS, body, request.len, ACG_DEADLINE_MS,
		       &answer))
		return -1;
	return answer_apply(answer.body, answer.len);
}

int acg_run(int argc, char **argv)
{
	char **command;
	int status, dashes = 1;

	while (dashes < argc && strcmp(argv[dashes], "--"))
		dashes++;
	if (dashes + 1 >= argc)
		return bad_usage();
	command = argv + dashes + 1;
	status = run_placed("/v1/acg/run", argv + 1, (size_t)dashes - 1, command);
	return status >= 0 ? status : run_exec(command[0], command);
}
