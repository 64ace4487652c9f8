/* SPDX-License-Identifier: Apache-2.0 */
/* slots.h: what each process of a call has, in a file that they share. For who holds the account's lock. */
#ifndef AGENTCG_SHIM_SLOTS_H
#define AGENTCG_SHIM_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

void slots_begin(const char *name);
/* Have a slot, with what the process has; false: it goes on alone. */
bool slots_attach(uint64_t used);
void slots_detach(void);
void slots_publish(uint64_t used);

/* As a process ends: the last of the call takes the account along. */
void slots_end(void);

/* Nobody else adds up meanwhile; false: that could not be had in 2 s. */
bool slots_lock(void);
void slots_unlock(void);
/* Of all; without those that have ended if it is to be `sure`, which asks the kernel of each. */
uint64_t slots_sum(bool sure);

#endif
