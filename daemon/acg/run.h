/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_RUN_H
#define ACG_RUN_H

#include <stddef.h>

/* Ask the daemon at path for a place for this process and do what it answers: an exit
 * status, or -1 to go on and run the command (also where there is no usable answer). */
int run_placed(const char *path, char **options, size_t n_options, char **command);

/* Become the program, found as execvp(3) finds it; returns only the exit status of a failure. */
int run_exec(const char *program, char **command);

#endif
