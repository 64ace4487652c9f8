/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of a call: a file in /dev/shm, of the user who runs it. A process has a slot there, with its
 * bytes, and a lock on the slot's byte for as long as it lives: who is killed charges nobody, and pids,
 * which differ between namespaces, are not asked. Byte 0 is locked by who adds up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/stat.h>

#include "slots.h"

enum { SLOTS = 1024, SIZE = SLOTS * 8, TRIES = 3, FIRST = 64, WAITS = 2000 };

struct file { uint64_t inode, size; uint32_t major, minor; bool ours; };

static char path[256];
static int account = -1;
static struct file which;
static _Atomic uint64_t *slots;
static int own = -1;

/* By the system call: glibc before 2.33 has no fstat(). Who has been unlinked is of nobody. */
static bool about(int fd, struct file *file)
{
	struct statx s;
	bool ours;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &s))
		return false;
	ours = (s.stx_mode & 0170777) == 0100600 && s.stx_uid == geteuid() && s.stx_nlink == 1;
	*file = (struct file){ s.stx_ino, s.stx_size, s.stx_dev_major, s.stx_dev_minor, ours };
	return true;
}

/* Programs close descriptors that they do not know: what is there now may be another file. */
static bool is_open(struct file *file)
{
	return account >= 0 && about(account, file) && file->inode == which.inode &&
	       file->major == which.major && file->minor == which.minor;
}

/* Beyond the end of a file that was cut is a SIGBUS. Without the descriptor nothing tells of that. */
static bool has_slot(void)
{
	struct file file;

	return slots && is_open(&file) && file.ours && file.size >= SIZE;
}

static int locked(int command, short kind, off_t first, off_t count)
{
	struct flock what = { .l_type = kind, .l_whence = SEEK_SET, .l_start = first, .l_len = count };
	int result;

	do
		result = fcntl(account, command, &what);
	while (result && errno == EINTR);
	return result ? -1 : what.l_type;
}

static bool by_another(void)
{
	return errno == EAGAIN || errno == EACCES;
}

void slots_detach(void)
{
	struct file file;

	if (is_open(&file))
		close(account);
	if (slots)
		munmap((void *)slots, SIZE);
	account = -1;
	slots = NULL;
	own = -1;
}

/* A file of our own, with its pages: what lacks room later would be a SIGBUS. */
static bool open_file(void)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return false;
	/* Not where a program that closed its standard output would write to it. */
	account = fcntl(fd, F_DUPFD_CLOEXEC, FIRST);
	close(fd);
	if (account < 0)
		return false;
	if (about(account, &which) && which.ours && !posix_fallocate(account, 0, SIZE))
		return true;
	close(account);
	account = -1;
	return false;
}

static bool open_account(uint64_t used)
{
	void *map;

	if (!open_file())
		return false;
	map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, account, 0);
	if (map == MAP_FAILED)
		return false;
	slots = map;
	for (own = 0; own < SLOTS && locked(F_OFD_SETLK, F_WRLCK, own + 1, 1) < 0; own++)
		if (!by_another())
			return false;
	if (own == SLOTS || !slots_lock())
		return false;
	slots[own] = used;
	slots_unlock();
	/* The daemon removes a file that nobody has a lock on. */
	return has_slot();
}

bool slots_attach(uint64_t used)
{
	if (has_slot())
		return true;
	for (int n = 0; n < TRIES; n++) {
		slots_detach();
		if (open_account(used))
			return true;
	}
	slots_detach();
	return false;
}

uint64_t slots_sum(bool sure)
{
	uint64_t all = 0;

	for (int n = 0; n < SLOTS; n++) {
		uint64_t one = slots[n];

		if (one && n != own && sure && locked(F_OFD_GETLK, F_WRLCK, n + 1, 1) == F_UNLCK)
			slots[n] = one = 0;
		all = one > UINT64_MAX - all ? UINT64_MAX : all + one;
	}
	return all;
}

/*
 * Not for ever: who has the lock may have been stopped, or be any program of this user's, and forks wait for us.
 * After a wait in vain there is none until the lock was free again.
 */
bool slots_lock(void)
{
	static const struct timespec moment = { .tv_nsec = 1000000 };
	static bool in_vain;

	for (int n = 0; n < WAITS; n++) {
		if (locked(F_OFD_SETLK, F_WRLCK, 0, 1) >= 0) {
			in_vain = false;
			return true;
		}
		if (in_vain || !by_another())
			return false;
		nanosleep(&moment, NULL);
	}
	in_vain = true;
	return false;
}

void slots_unlock(void)
{
	locked(F_OFD_SETLK, F_UNLCK, 0, 1);
}

void slots_publish(uint64_t used)
{
	int before = errno;

	if (has_slot())
		slots[own] = used;
	errno = before;
}

/*
 * What we have counts until we are gone: our lock stays, but as one for reading, by which others that end as well see
 * that we are no reason to keep the file. Who attaches meanwhile sees, after his turn at byte 0, that it has gone.
 */
void slots_end(void)
{
	if (!has_slot() || !slots_lock())
		return;
	locked(F_OFD_SETLK, F_RDLCK, own + 1, 1);
	if (has_slot() && locked(F_OFD_GETLK, F_RDLCK, 1, SLOTS) == F_UNLCK)
		unlink(path);
	slots_unlock();
}

void slots_begin(const char *name)
{
	snprintf(path, sizeof(path), "/dev/shm/agentcg-gpu-%s-%u", name, geteuid());
}
