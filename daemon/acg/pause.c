/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg pause: holds a cgroup or a container open and does nothing else.
 *
 * It is the keeper of the unit below which bare sessions live, and can be PID 1 of a
 * sandbox, hence it reaps what it inherits. SIGTERM and SIGINT end it with 0.
 *
 * Why signals are waited for and not handled: PID 1 never gets a signal whose action
 * is the default, but a blocked one stays pending for it, and there is no race
 * between a check and a sleep.
 *
 * Limits: it forwards no signals; who ends it ends the cgroup too (cgroup.kill).
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "acg.h"

int acg_pause(int argc, char **argv)
{
	sigset_t set;
	int sig;

	(void)argv;
	if (argc != 1)
		return bad_usage();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	do {
		/* Before the first wait too: children may have died before our exec. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		sig = sigwaitinfo(&set, NULL);
	} while (sig == SIGCHLD || (sig < 0 && errno == EINTR));
	return sig < 0 ? EXIT_ACG : 0;
}
