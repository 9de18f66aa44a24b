/* SPDX-License-Identifier: MIT
 *
 * Capabilities after loading. Maps, the ring, pins and links that exist are reached by descriptor
 * and need none. A cgroup that comes back is gated anew, and attaching a program that filters
 * packets asks for CAP_NET_ADMIN: that one stays, and what an MTA's folder may need to be opened
 * does not.
 */
#include <errno.h>
#include <stddef.h>

#include <cap-ng.h>

#include "ebpf/gate.h"

int gate_capabilities_drop(const struct gate *gate)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (gate && capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN))
		return -EINVAL;
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

int gate_capabilities_trim(void)
{
	static const unsigned needless[] = {
		CAP_BPF,	CAP_PERFMON,   CAP_SYS_ADMIN,	 CAP_SYS_MODULE, CAP_SYS_RAWIO,
		CAP_SYS_PTRACE, CAP_SYS_BOOT,  CAP_SYS_TIME,	 CAP_SYS_CHROOT, CAP_MKNOD,
		CAP_SETFCAP,	CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_SYSLOG,	 CAP_NET_RAW};

	if (capng_get_caps_process())
		return -EPERM;
	for (size_t i = 0; i < sizeof needless / sizeof *needless; i++)
		capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE,
			     needless[i]);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}
