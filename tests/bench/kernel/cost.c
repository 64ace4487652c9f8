/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernel costs a program: `cost ROUNDS` prints nanoseconds, one line a measure:
 *
 *     <name> <median of the rounds> <least>
 *
 * fault      one page of 4 KiB, touched for the first time
 * growth     256 KiB of new memory, from mmap to munmap: one charged batch and what belongs to it
 * switch     half a turn of two processes that wake each other by pipes
 * build      one fork, exec of this program, a file read and written, some memory touched, and wait
 *
 * Where one instruction is one nanosecond (QEMU's -icount shift=0) these are instructions.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define BATCH (64 * PAGE)
#define BATCHES 32
#define TURNS 400
#define BUILDS 10
#define ROUNDS_MAX 1000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char *map(long size)
{
	char *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, (size_t)size, MADV_NOHUGEPAGE))
		fail("cost: mmap");
	return p;
}

static void touch(volatile char *p, long size)
{
	for (long i = 0; i < size; i += PAGE)
		p[i] = 1;
}

static uint64_t fault(void)
{
	char *p = map(BATCHES * BATCH);
	uint64_t begin = clock_ns();

	touch(p, BATCHES * BATCH);
	uint64_t took = clock_ns() - begin;

	munmap(p, BATCHES * BATCH);
	return took / (BATCHES * BATCH / PAGE);
}

static uint64_t growth(void)
{
	uint64_t begin = clock_ns();

	for (int i = 0; i < BATCHES; i++) {
		char *p = map(BATCH);

		touch(p, BATCH);
		munmap(p, BATCH);
	}
	return (clock_ns() - begin) / BATCHES;
}

static void pass(int from, int to)
{
	char c;

	if (read(from, &c, 1) != 1 || write(to, "x", 1) != 1)
		fail("cost: pipe");
}

static uint64_t change(void)
{
	int there[2], back[2], status;

	if (pipe(there) || pipe(back))
		fail("cost: pipe");
	pid_t pid = fork();

	if (pid < 0)
		fail("cost: fork");
	if (!pid) {
		for (int i = 0; i < TURNS + 1; i++)
			pass(there[0], back[1]);
		_exit(0);
	}
	if (write(there[1], "x", 1) != 1)
		fail("cost: pipe");
	uint64_t begin = clock_ns();

	for (int i = 0; i < TURNS; i++)
		pass(back[0], there[1]);
	uint64_t took = clock_ns() - begin;

	if (waitpid(pid, &status, 0) != pid || status)
		fail("cost: the other process");
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	return took / (2 * TURNS);
}

/* A compiler's likeness: reads its source, takes memory, writes its result. */
static int step(const char *source)
{
	static char text[16 * PAGE];
	char name[] = "/tmp/cost.XXXXXX";
	int in = open(source, O_RDONLY), out = mkstemp(name);

	if (in < 0 || out < 0 || unlink(name))
		return 1;
	for (int i = 0; i < 4; i++) {
		ssize_t length = read(in, text, sizeof(text));

		if (length < 0 || write(out, text, (size_t)length) != length || lseek(in, 0, SEEK_SET))
			return 1;
	}
	touch(map(2 * BATCH), 2 * BATCH);
	return 0;
}

static uint64_t build(void)
{
	uint64_t begin = clock_ns();

	for (int i = 0; i < BUILDS; i++) {
		int status;
		pid_t pid = fork();

		if (pid < 0)
			fail("cost: fork");
		if (!pid) {
			execl("/proc/self/exe", "cost", "step", "/proc/self/exe", (char *)NULL);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			fail("cost: a build step");
	}
	return (clock_ns() - begin) / BUILDS;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*once)(void);
	} measures[] = {{"fault", fault}, {"growth", growth}, {"switch", change}, {"build", build}};
	static uint64_t took[ROUNDS_MAX];
	int rounds = argc == 2 ? atoi(argv[1]) : 0;

	if (argc == 3 && !strcmp(argv[1], "step"))
		return step(argv[2]);
	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fputs("usage: cost ROUNDS\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(measures) / sizeof(*measures); i++) {
		measures[i].once();
		for (int n = 0; n < rounds; n++)
			took[n] = measures[i].once();
		qsort(took, (size_t)rounds, sizeof(*took), compare);
		printf("%s %llu %llu\n", measures[i].name, (unsigned long long)took[rounds / 2],
		       (unsigned long long)took[0]);
	}
	return 0;
}
