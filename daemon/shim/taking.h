/* SPDX-License-Identifier: Apache-2.0 */
/* taking.h: memory is charged before the driver is asked for it, and no more once it has taken it back. */
#ifndef AGENTCG_SHIM_TAKING_H
#define AGENTCG_SHIM_TAKING_H

#include <stdbool.h>
#include <stddef.h>

#include "cuda.h"
#include "notes.h"

/* As the driver rounds; all that does not fit 64 bits is too much. */
uint64_t taking_size(enum space space, size_t rows, size_t width);

/* Whether there is room, which is charged. */
bool taking_begins(uint64_t size);
/* What became of it: what failed is charged no more. */
CUresult taking_ends(CUresult result, enum space space, uint64_t number, uint64_t size);

/* Before the driver takes it back, as its number may then be another's at once; NULL where it is not known. */
struct note *giving_begins(enum space space, uint64_t number);
CUresult giving_ends(CUresult result, struct note *note);

/* A fork's child has nothing. */
void taking_forget(void);

#endif
