/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table that doubles: torch has some thousand, a KV cache of pages some ten thousand. */
#include <stdlib.h>

#include "notes.h"

static struct note **table;
static size_t size, count;
static uint64_t births;

static struct note **place(enum space space, uint64_t number)
{
	/* The driver's numbers are aligned: their low bits say nothing. */
	uint64_t hash = (number ^ (uint64_t)space << 60) * 0x9e3779b97f4a7c15u;
	struct note **at = &table[(hash >> 32) & (size - 1)];

	while (*at && ((*at)->number != number || (*at)->space != space))
		at = &(*at)->next;
	return at;
}

static void grow(void)
{
	size_t old_size = size, fresh_size = size ? 2 * size : 64;
	struct note **old = table, **fresh = calloc(fresh_size, sizeof(*fresh));

	if (!fresh)
		return;
	table = fresh;
	size = fresh_size;
	for (size_t n = 0; n < old_size; n++)
		for (struct note *one = old[n], *next; one; one = next) {
			struct note **at = place(one->space, one->number);

			next = one->next;
			one->next = NULL;
			*at = one;
		}
	free(old);
}

struct note *note_new(enum space space, uint64_t number, uint64_t bytes)
{
	struct note *one;

	if (count >= size)
		grow();
	one = size ? malloc(sizeof(*one)) : NULL;
	if (one)
		*one = (struct note){ .number = number, .size = bytes, .born = ++births,
				      .references = 1, .space = space };
	return one;
}

struct note *note_put(struct note *one)
{
	struct note *old = note_out(one->space, one->number);

	one->next = NULL;
	*place(one->space, one->number) = one;
	count++;
	return old;
}

struct note *note_find(enum space space, uint64_t number)
{
	return size ? *place(space, number) : NULL;
}

struct note *note_out(enum space space, uint64_t number)
{
	struct note **at = size ? place(space, number) : NULL, *one = at ? *at : NULL;

	if (one) {
		*at = one->next;
		one->next = NULL;
		count--;
	}
	return one;
}

void note_drop_all(void)
{
	for (size_t n = 0; n < size; n++)
		for (struct note *one = table[n], *next; one; one = next) {
			next = one->next;
			free(one);
		}
	free(table);
	table = NULL;
	size = count = 0;
}
