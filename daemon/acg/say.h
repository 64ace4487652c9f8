/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACG_SAY_H
#define ACG_SAY_H

#include <stddef.h>

/* Write to a descriptor; see say.c for what it promises. */
void put_bytes(int fd, const char *text, size_t len);
/* The same to stderr. */
void say_bytes(const char *text, size_t len);

/* "acg: a: b\n", or "acg: a\n" if b is NULL. */
void say(const char *a, const char *b);

#endif
