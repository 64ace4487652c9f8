/* SPDX-License-Identifier: Apache-2.0
 *
 * Uses memory and CPU after a schedule on stdin, one line a point:
 *
 *     <milliseconds since the start> <MiB to hold> <percent of a CPU to use>
 *
 * A point that takes longer than its time makes those behind it late; none is left out. The last
 * point is the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define MIB (1L << 20)
#define PAGE 4096
#define HELD_MAX 65536
#define TICK_MS 50

struct point {
	long at;
	long mib;
	long cpu;
};

static char *held[HELD_MAX];
static long count;

static double clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void hold(long mib)
{
	while (count > mib)
		munmap(held[--count], MIB);
	while (count < mib) {
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			perror("toucher: mmap");
			exit(1);
		}
		for (long i = 0; i < MIB; i += PAGE)
			((volatile char *)p)[i] = 1;
		held[count++] = p;
	}
}

static void work(double until, long percent)
{
	for (double now; (now = clock_ms(CLOCK_MONOTONIC)) < until;) {
		double tick = until - now < TICK_MS ? until - now : TICK_MS;
		double used = clock_ms(CLOCK_PROCESS_CPUTIME_ID) + tick * (double)percent / 100;
		double end = now + tick;

		/* As much as is its share, or as much as it gets. */
		while (clock_ms(CLOCK_PROCESS_CPUTIME_ID) < used && clock_ms(CLOCK_MONOTONIC) < end)
			;
		double rest = end - clock_ms(CLOCK_MONOTONIC);

		if (rest > 0) {
			struct timespec t = {0, (long)(rest * 1e6)};

			nanosleep(&t, NULL);
		}
	}
}

static int next(struct point *p)
{
	return scanf("%ld %ld %ld", &p->at, &p->mib, &p->cpu) == 3 && p->mib >= 0 &&
	       p->mib <= HELD_MAX && p->cpu >= 0 && p->cpu <= 100;
}

int main(void)
{
	double begin = clock_ms(CLOCK_MONOTONIC);
	struct point now, then;

	if (!next(&now)) {
		fputs("toucher: lines of stdin are: <ms> <MiB> <percent of a CPU>\n", stderr);
		return 2;
	}
	for (; next(&then); now = then) {
		hold(now.mib);
		work(begin + (double)then.at, now.cpu);
	}
	return 0;
}
