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
#include "http.h"
#include "request.h"
#include "say.h"

static int exec_command(char **command)
{
	int error;

	execvp(command[0], command);
	error = errno;
	say(command[0], strerror(error));
	return error == ENOENT ? EXIT_NOENT : EXIT_NOEXEC;
}

int acg_run(int argc, char **argv)
{
	static char body[REQUEST_MAX];
	struct record_buf request = { .data = body, .cap = sizeof(body) };
	struct http_answer answer;
	char **command;
	int status, dashes = 1;

	while (dashes < argc && strcmp(argv[dashes], "--"))
		dashes++;
	if (dashes + 1 >= argc)
		return bad_usage();
	command = argv + dashes + 1;

	/* Before the daemon is looked for: whether a command line is good must not
	 * depend on whether the daemon runs. */
	if (!request_run(&request, argv + 1, (size_t)dashes - 1, command)) {
		say("run", "the options are longer than 32 KiB");
		return EXIT_ACG;
	}
	if (http_post("/v1/acg/run", body, request.len, ACG_DEADLINE_MS, &answer)) {
		status = answer_apply(answer.body, answer.len);
		if (status >= 0)
			return status;
	}
	return exec_command(command);
}
