/* SPDX-License-Identifier: MIT
 *
 * A socket that was admitted in the segment, told to the gate in the kernel.
 *
 * The token stands where only those can read it who may send through the gate. Level, option and
 * what is passed are those of ebpf/gate_abi.h, which this library does not include: it needs libc
 * alone.
 */
#include <errno.h>
#include <sys/socket.h>

#include "shm/handle.h"

#define MARK_LEVEL  0x7467
#define MARK_OPTION 1

int tg_preadmit_socket(struct tg *tg, const struct tg_destination *destination, int fd)
{
	/* Relaxed: a word by itself. */
	uint64_t mark[3] = {atomic_load_explicit(&tg->live->gate_token, memory_order_relaxed),
			    destination->key[0], destination->key[1]};

	if (mark[0] == 0)
		return -ENOENT;
	if (setsockopt(fd, MARK_LEVEL, MARK_OPTION, mark, sizeof(mark)) == 0)
		return 0;
	/* There is a gate, but not over this process. */
	return errno == ENOPROTOOPT || errno == EOPNOTSUPP ? -ENOENT : -errno;
}
