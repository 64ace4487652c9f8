/* SPDX-License-Identifier: Apache-2.0
 *
 * Uses memory and CPU after a schedule on stdin, one line a point:
 *
 *     <milliseconds since the start> <MiB to hold> <percent of a CPU to use>
 *
 * The work of a point is fixed, as a real program's is: one that gets less CPU than it wants takes
 * longer, and all behind it comes later. The last point is the end.
 *
 * `toucher own` holds memory of its own, which is given back when the schedule says less.
 * `toucher files` holds pages of a file that it read: they stay in the page cache, clean, until
 * the kernel takes them back for somebody else. The file is sparse, so no disk is waited for.
 *
 * `toucher own LOG` notes in LOG how long every batch of 256 KiB took, which is what the kernel
 * charges at once, and how fast its CPU was just before and after; not those of the first point,
 * which stands for what was there before. LOG is a file that is there, large enough and filled
 * with zeros: it is mapped, so that what was noted outlives a SIGKILL. See struct log.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1L << 20)
#define PAGE 4096
#define BATCH (64 * PAGE)
#define HELD_MAX 65536
#define TICK_MS 50
#define STEPS 5000 /* of arithmetic: microseconds */

struct point {
	long at;
	long mib;
	long cpu;
};

/* In nanoseconds; `at` is CLOCK_MONOTONIC at the batch's begin, `done` of the schedule, `pace` what
 * STEPS took before or after it, whichever was longer. */
struct log {
	uint64_t count;
	uint64_t done;
	struct {
		uint64_t at;
		uint64_t took;
		uint64_t pace;
	} batch[];
};

static char *held[HELD_MAX];
static long count;
static struct log *notes;
static uint64_t room; /* batches that still fit into the log */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void open_log(const char *name)
{
	int fd = open(name, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || (size_t)st.st_size < sizeof(*notes))
		fail(name);
	notes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (notes == MAP_FAILED)
		fail(name);
	room = ((size_t)st.st_size - sizeof(*notes)) / sizeof(notes->batch[0]);
}

static uint64_t steps(void)
{
	uint64_t begin = clock_ns();
	unsigned x = 1;

	for (unsigned i = 0; i < STEPS; i++) {
		x = x * 3 + i;
		__asm__ volatile("" : "+r"(x));
	}
	return clock_ns() - begin;
}

/* How fast this CPU is now: of a shared host it may have half a core. One of two may be interrupted. */
static uint64_t pace(void)
{
	uint64_t one = steps(), other = steps();

	return one < other ? one : other;
}

static void touch(volatile char *batch)
{
	uint64_t before = notes ? pace() : 0, begin = notes ? clock_ns() : 0, took, after;

	for (long i = 0; i < BATCH; i += PAGE)
		batch[i] = 1;
	if (!notes)
		return;
	took = clock_ns() - begin;
	after = pace();
	if (!room--) {
		fputs("toucher: the log is full\n", stderr);
		exit(1);
	}
	notes->batch[notes->count].at = begin;
	notes->batch[notes->count].took = took;
	notes->batch[notes->count].pace = before > after ? before : after;
	notes->count++;
}

static void hold_own(long mib)
{
	while (count > mib)
		munmap(held[--count], MIB);
	while (count < mib) {
		char *p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			fail("toucher: mmap");
		for (long i = 0; i < MIB; i += BATCH)
			touch(p + i);
		held[count++] = p;
	}
}

static int open_file(void)
{
	char name[] = "toucher.XXXXXX";
	int fd = mkstemp(name);

	if (fd < 0 || unlink(name) || ftruncate(fd, HELD_MAX * MIB))
		fail("toucher: a file in the working directory");
	return fd;
}

static void hold_files(int fd, long mib)
{
	static char buffer[MIB];

	for (; count < mib; count++)
		if (pread(fd, buffer, MIB, count * MIB) != MIB)
			fail("toucher: pread");
}

/* Spread a point's work over its time; returns when it was done, at the earliest when it was due. */
static double work(double begin, double length, double cpu, long percent)
{
	for (double part = 0; part < length;) {
		part = clock_ms(CLOCK_MONOTONIC) - begin + TICK_MS;
		if (part > length)
			part = length;
		while (clock_ms(CLOCK_PROCESS_CPUTIME_ID) < cpu + part * (double)percent / 100)
			;
		double rest = begin + part - clock_ms(CLOCK_MONOTONIC);

		if (rest > 0) {
			struct timespec t = {(time_t)(rest / 1e3), 0};

			t.tv_nsec = (long)((rest - (double)t.tv_sec * 1e3) * 1e6);
			nanosleep(&t, NULL);
		}
	}
	double now = clock_ms(CLOCK_MONOTONIC);

	return now - begin - length < TICK_MS ? begin + length : now;
}

static int next(struct point *p)
{
	return scanf("%ld %ld %ld", &p->at, &p->mib, &p->cpu) == 3 && p->mib >= 0 &&
	       p->mib <= HELD_MAX && p->cpu >= 0 && p->cpu <= 100;
}

int main(int argc, char **argv)
{
	double begin = clock_ms(CLOCK_MONOTONIC);
	int files = argc == 2 && !strcmp(argv[1], "files");
	int own = (argc == 2 || argc == 3) && !strcmp(argv[1], "own");
	struct point now, then;

	if ((!files && !own) || !next(&now)) {
		fputs("usage: toucher files|own [LOG], stdin: lines of <ms> <MiB> <percent of a CPU>\n",
		      stderr);
		return 2;
	}
	int fd = files ? open_file() : -1;

	for (; next(&then); now = then) {
		double cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);

		if (files)
			hold_files(fd, now.mib);
		else
			hold_own(now.mib);
		if (argc == 3 && !notes)
			open_log(argv[2]);
		begin = work(begin, (double)(then.at - now.at), cpu, now.cpu);
		if (notes)
			notes->done = (uint64_t)then.at * 1000000;
	}
	return 0;
}
