/* SPDX-License-Identifier: Apache-2.0 */
/* account.h: what the processes of a call have of its lease. All but begin is for who holds the lock. */
#ifndef AGENTCG_SHIM_ACCOUNT_H
#define AGENTCG_SHIM_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Once, as the library is loaded. `forgotten` is told that a fork's child has none of its parent's memory. */
void account_begin(void (*forgotten)(void));

void account_lock(void);
void account_unlock(void);

/* Charge so much, if that fits; without a lease it does, and nothing is charged. */
bool account_take(uint64_t size);
void account_give(uint64_t size);

/* The lease, and what of it is free; false without one. */
bool account_limit(uint64_t *limit);
bool account_room(uint64_t *limit, uint64_t *room);

#endif
