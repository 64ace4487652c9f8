/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table that doubles: torch has some thousand, a KV cache of pages some ten thousand. Of pages of its own:
 * a program's malloc() may have locks that its handler of fork() takes before it waits for ours.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "notes.h"

enum { PAGES = 64 << 10, FEWEST = 512 };

static struct note **table, *spare;
static size_t size, count;
static uint64_t births;

static void *pages(size_t bytes)
{
	void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return made == MAP_FAILED ? NULL : made;
}

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
	size_t old_size = size, fresh_size = size ? 2 * size : FEWEST;
	struct note **old = table, **fresh = pages(fresh_size * sizeof(*fresh));

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
	if (old)
		munmap(old, old_size * sizeof(*old));
}

void note_free(struct note *one)
{
	if (one) {
		one->next = spare;
		spare = one;
	}
}

static struct note *unused(void)
{
	struct note *one = spare, *more = one ? NULL : pages(PAGES);

	for (size_t n = 0; more && n < PAGES / sizeof(*more); n++)
		note_free(&more[n]);
	one = spare;
	if (one)
		spare = one->next;
	return one;
}

struct note *note_new(enum space space, uint64_t number, uint64_t bytes)
{
	struct note *one;

	if (count >= size)
		grow();
	one = size ? unused() : NULL;
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

/* Their pages are the parent's too, and stay. */
void note_drop_all(void)
{
	table = NULL;
	size = count = 0;
}
