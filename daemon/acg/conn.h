/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_CONN_H
#define ACG_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conn {
	int fd;
	int64_t deadline;	/* CLOCK_MONOTONIC, ms */
};

/* The clock of all deadlines: CLOCK_MONOTONIC, in ms. */
int64_t now_ms(void);

/* The daemon's doors: who comes by the first speaks for the cgroup it is in, and for no more. */
#define ACG_AGENT	ACG_DIR "/sock"

/* Connect to the daemon at ACG_AGENT or ACG_ADMIN; from here on everything on c shares one deadline. */
bool conn_open(struct conn *c, const char *path, int timeout_ms);
bool conn_send(struct conn *c, const char *data, size_t len);
/* Like recv(2): what is there, at least a byte; 0 at EOF; -1 on error or deadline. */
ssize_t conn_recv(struct conn *c, char *data, size_t cap);
void conn_close(struct conn *c);
/* What is left of the time given to conn_open(), also after conn_close(). */
int conn_left_ms(const struct conn *c);

#endif
