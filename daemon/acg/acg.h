/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of acg shares: its subcommands and its own exit codes.
 *
 * The codes are those of env(1), nice(1) and timeout(1), so that a harness which
 * already tells "the wrapper failed" from "the command failed" needs no new rule.
 */
#ifndef ACG_H
#define ACG_H

#define EXIT_ACG	125	/* acg itself: bad usage */
#define EXIT_NOEXEC	126	/* the command is there and cannot be run */
#define EXIT_NOENT	127	/* there is no such command */

/* Usage text to stderr; returns EXIT_ACG. */
int bad_usage(void);

/* Subcommands. argv[0] is the subcommand's name; the result is the exit status. */
int acg_run(int argc, char **argv);
int acg_shell(int argc, char **argv);
int acg_hook(int argc, char **argv);
int acg_runc(int argc, char **argv);
int acg_pause(int argc, char **argv);

#endif
