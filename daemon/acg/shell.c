/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg shell LINE, or LINE alone under the name acg-shell
 *
 * Stands before the shell of a harness that lets its command lines be wrapped (Claude
 * Code's CLAUDE_CODE_SHELL_PREFIX is one path, hence the second name). Which tool call
 * the line belongs to, if any, the daemon knows from the hook that ran before; it moves
 * this process into that call's cgroup, or leaves it where it is. Then the shell runs
 * the line.
 *
 * Why the environment chooses the shell: the line is written for the shell that the
 * harness would have started. It runs as the agent, who may start any shell anyway.
 *
 * Limits: a line that runs a hook of ours is not asked about: it belongs to no call,
 * and must not wait for a daemon longer than a hook may.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acg.h"
#include "run.h"

#define BASH "/bin/bash"
#define SH "/bin/sh"

static const char *chosen_shell(void)
{
	const char *shell = getenv("SHELL");
	const char *slash = shell ? strrchr(shell, '/') : NULL;

	if (slash && shell[0] == '/' && (!strcmp(slash, "/bash") || !strcmp(slash, "/zsh")) &&
	    !access(shell, X_OK))
		return shell;
	return access(BASH, X_OK) ? SH : BASH;
}

int acg_shell(int argc, char **argv)
{
	/* Under the name "sh" bash would be in POSIX mode, where a missing snapshot is fatal. */
	const char *shell = chosen_shell();
	char flag[] = "-c";
	char *line[] = { argv[1], NULL };
	char *command[] = { (char *)(uintptr_t)shell, flag, argv[1], NULL };

	if (argc != 2)
		return bad_usage();
	/* A command of the model's stands behind eval; a hook does not. */
	if (!strstr(argv[1], "acg hook ") || strstr(argv[1], "eval ")) {
		int status = run_placed("/v1/acg/shell", NULL, 0, line);

		if (status >= 0)
			return status;
	}
	return run_exec(shell, command);
}
