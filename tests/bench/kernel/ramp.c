/* SPDX-License-Identifier: Apache-2.0
 *
 * Grows as fast as it can: `ramp small|huge|tmpfs THREADS MIB LOG`, MIB a thread.
 *
 * small, huge   page faults on anonymous memory, in pages of 4 KiB or, where the kernel can, of 2 MiB
 * tmpfs         writes of 1 MiB into a file in /dev/shm
 *
 * It says "ready", waits for a line, and grows. After each batch (256 KiB; 2 MiB of huge pages; one
 * write) a thread notes CLOCK_MONOTONIC in LOG, a file that is there, large enough and filled with
 * zeros: its pages are somebody else's, and what was noted outlives a SIGKILL. See struct note.
 * Who has grown waits to be killed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB (1L << 20)
#define PAGE 4096
#define THREADS_MAX 16

/* The log is rows of this, thread by thread, each with room for BATCHES. */
#define BATCHES 8192
struct note {
	uint64_t at[BATCHES];
};

static struct note *notes;
static char *areas[THREADS_MAX];
static pthread_barrier_t gate;
static long size, batch;
static int file = -1;

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

static void *grow(void *arg)
{
	long thread = (long)arg;
	volatile char *area = areas[thread];

	pthread_barrier_wait(&gate);
	for (long done = 0; done < size; done += batch) {
		if (file < 0)
			for (long i = done; i < done + batch; i += PAGE)
				area[i] = 1;
		else if (pwrite(file, areas[thread], (size_t)batch, thread * size + done) != batch)
			fail("ramp: write");
		notes[thread].at[done / batch] = clock_ns();
	}
	return NULL;
}

static char *map(long length, int advice)
{
	/* Aligned, so that all of it can be huge pages. */
	char *p = mmap(NULL, (size_t)(length + 2 * MIB), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("ramp: mmap");
	p += (size_t)(-(uintptr_t)p % (2 * MIB));
	if (madvise(p, (size_t)length, advice))
		fail("ramp: madvise");
	return p;
}

int main(int argc, char **argv)
{
	long threads = argc == 5 ? atol(argv[2]) : 0;
	int huge = argc == 5 && !strcmp(argv[1], "huge");
	int tmpfs = argc == 5 && !strcmp(argv[1], "tmpfs");

	size = argc == 5 ? atol(argv[3]) * MIB : 0;
	batch = huge ? 2 * MIB : tmpfs ? MIB : 64 * PAGE;
	if (threads < 1 || threads > THREADS_MAX || size < batch || size / batch > BATCHES ||
	    (!huge && !tmpfs && strcmp(argv[1], "small"))) {
		fputs("usage: ramp small|huge|tmpfs THREADS MIB LOG\n", stderr);
		return 2;
	}
	int fd = open(argv[4], O_RDWR | O_CLOEXEC);

	notes = mmap(NULL, (size_t)threads * sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || notes == MAP_FAILED)
		fail(argv[4]);
	if (tmpfs && (file = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600)) < 0)
		fail("ramp: /dev/shm");
	pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
	for (long i = 0; i < threads; i++) {
		pthread_t thread;

		areas[i] = map(tmpfs ? MIB : size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		if (tmpfs)
			memset(areas[i], 1, MIB);
		if (pthread_create(&thread, NULL, grow, (void *)i))
			fail("ramp: a thread");
	}
	puts("ready");
	fflush(stdout);
	getchar();
	pthread_barrier_wait(&gate);
	for (;;)
		pause();
}
