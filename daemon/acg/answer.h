/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_ANSWER_H
#define ACG_ANSWER_H

#include <stddef.h>

#define ANSWER_BAD	(-2)	/* malformed: nothing of it was done */
#define ANSWER_GO	(-1)	/* done; run the command */

/*
 * Do what the daemon answered. From 0 up: exit with that, do not run the command.
 * The environment keeps pointers into body, which must live until exec.
 */
int answer_apply(char *body, size_t len);

#endif
