/* SPDX-License-Identifier: Apache-2.0 */
/* notes.h: what was taken, by the number that the driver gave it. For who holds the account's lock. */
#ifndef AGENTCG_SHIM_NOTES_H
#define AGENTCG_SHIM_NOTES_H

#include <stdint.h>

enum space { POINTER, ARRAY, HANDLE, MAPPING };

/* `references`: of a handle, its own and those of mappings; `of` and `birth`: which handle a mapping is of. */
struct note {
	struct note *next;
	uint64_t number, size, born, of, birth;
	unsigned int references;
	enum space space;
};

/* NULL without memory for it: what is not noted is charged until its process ends. */
struct note *note_new(enum space space, uint64_t number, uint64_t size);
/* What is in no place any more. */
void note_free(struct note *note);
/* Put it there; the one that it takes the place of, which the driver has given back by itself. */
struct note *note_put(struct note *note);
struct note *note_find(enum space space, uint64_t number);
/* Take it out; it is the caller's. */
struct note *note_out(enum space space, uint64_t number);
/* In a fork's child. */
void note_drop_all(void);

#endif
