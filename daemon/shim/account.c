/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease's size is the daemon's word: a file that AGENTCG_GPU_LEASE names, "BYTES CONTEXT\n", read at
 * each allocation, so that a lease that is changed counts at once. CONTEXT is what NVML counts of each
 * process that has a CUDA context, beside what it allocates.
 *
 * Nothing here is a wall: who writes his own account, or does not load this, is seen by the other guards.
 * What cannot be read or written lets a program go on, held to what it takes by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "account.h"
#include "slots.h"

#pragma weak pthread_mutex_trylock
/* pthread_atfork() is no part of the shared glibc; this is what it calls. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int cancel; /* whether the thread that has it could be cancelled before */
static char path[512];
static uint64_t limit, context, used;
static bool limited, has_context;
static pid_t owner;
static void (*forget)(void);

static bool lease(void)
{
	char text[64], *end;
	ssize_t size = -1;
	uint64_t bytes;
	int fd;

	fd = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		size = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	/* While the daemon is away what it said last holds. */
	if (size > 0) {
		text[size] = 0;
		bytes = strtoull(text, &end, 10);
		if (end != text && *end == ' ') {
			limit = bytes;
			context = strtoull(end, NULL, 10);
			limited = true;
		}
	}
	return limited;
}

/* A process that asks for memory has a context. It is there, whether it fits or not. */
static void charge_context(void)
{
	if (limited && !has_context) {
		used += context;
		has_context = true;
	}
}

static bool fits(uint64_t size, uint64_t all)
{
	return size <= limit && all <= limit - size;
}

bool account_take(uint64_t size)
{
	bool ok, shared, known;
	int before = errno;

	if (!*path)
		return true;
	known = lease();
	charge_context();
	shared = known && slots_attach(used) && slots_lock();
	slots_publish(used);
	/* Unknown, it is charged all the same: what is given back later is to be what was charged. */
	if (!known)
		ok = size <= UINT64_MAX - used;
	else if (shared)
		ok = fits(size, slots_sum(false)) || fits(size, slots_sum(true));
	else
		ok = fits(size, used);
	if (ok)
		used += size;
	slots_publish(used);
	if (shared)
		slots_unlock();
	errno = before;
	return ok;
}

void account_give(uint64_t size)
{
	used -= size < used ? size : used;
	slots_publish(used);
}

bool account_limit(uint64_t *all)
{
	int before = errno;
	bool is = lease();

	*all = limit;
	errno = before;
	return is;
}

bool account_room(uint64_t *all, uint64_t *room)
{
	int before = errno;
	uint64_t taken;

	if (!lease())
		return false;
	charge_context();
	taken = used;
	if (slots_attach(used) && slots_lock()) {
		slots_publish(used);
		taken = slots_sum(true);
		slots_unlock();
	}
	*all = limit;
	*room = taken < limit ? limit - taken : 0;
	errno = before;
	return true;
}

/* Contexts are not inherited. The descriptor is, and with it the parent's lock, which is to end with the parent. */
static void begin_anew(void)
{
	slots_detach();
	used = 0;
	has_context = false;
	owner = getpid();
	forget();
}

/* A thread that is cancelled, as at any open() or read() it may be, would leave the lock to nobody. */
static void hold(void)
{
	int before = PTHREAD_CANCEL_ENABLE;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	pthread_mutex_lock(&lock);
	cancel = before;
}

void account_lock(void)
{
	hold();
	if (owner != getpid()) /* by clone(), which tells nobody */
		begin_anew();
}

void account_unlock(void)
{
	int before = cancel;

	pthread_mutex_unlock(&lock);
	pthread_setcancelstate(before, &before);
}

static void in_child(void)
{
	begin_anew();
	account_unlock();
}

/* The daemon removes what is in its own /dev/shm, and sees no container's. Who is killed leaves it. */
__attribute__((destructor)) static void leave(void)
{
	/* Another thread goes on: not to be waited for. Or none ever was: an old libc without libpthread has no such call. */
	if (!pthread_mutex_trylock || pthread_mutex_trylock(&lock))
		return;
	if (owner == getpid())
		slots_end();
	pthread_mutex_unlock(&lock);
}

void account_begin(void (*forgotten)(void))
{
	const char *named = getenv("AGENTCG_GPU_LEASE"), *name = named ? strrchr(named, '/') : NULL;

	forget = forgotten;
	owner = getpid();
	__register_atfork(hold, account_unlock, in_child, NULL);
	if (name && strlen(named) < sizeof(path) && strlen(name) <= 64) {
		strcpy(path, named);
		slots_begin(name + 1);
	}
}
