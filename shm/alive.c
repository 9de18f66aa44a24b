/* SPDX-License-Identifier: MIT */
#include "shm/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT_BYTES 4096 /* never touched: the file is empty */

static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fork_over(void)
{
	pthread_mutex_unlock(&forking);
}

static void fork_before(void)
{
	pthread_mutex_lock(&forking);
}

static void fork_watch(void)
{
	pthread_atfork(fork_before, fork_over, fork_over);
}

void alive_fork_forbid(void)
{
	pthread_once(&once, fork_watch);
	pthread_mutex_lock(&forking);
}

void alive_fork_allow(void)
{
	pthread_mutex_unlock(&forking);
}

int alive_open(int folder)
{
	int fd = openat(folder, ALIVE_NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EPROTO;
}

static struct flock slot_lock(short type, uint32_t worker)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)worker, .l_len = 1};
}

int alive_take(int fd, uint32_t worker)
{
	struct flock lock = slot_lock(F_WRLCK, worker);

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

void alive_drop(int fd, uint32_t worker)
{
	struct flock lock = slot_lock(F_UNLCK, worker);

	fcntl(fd, F_OFD_SETLK, &lock);
}

bool alive_held(int fd, uint32_t worker)
{
	struct flock lock = slot_lock(F_WRLCK, worker);

	return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

void *alive_keep(int fd)
{
	void *kept = mmap(NULL, KEPT_BYTES, PROT_NONE, MAP_SHARED, fd, 0);

	if (kept == MAP_FAILED)
		return NULL;
	if (madvise(kept, KEPT_BYTES, MADV_DONTFORK) == 0)
		return kept;
	munmap(kept, KEPT_BYTES);
	return NULL;
}

void alive_let_go(void *kept)
{
	if (kept)
		munmap(kept, KEPT_BYTES);
}
