/* SPDX-License-Identifier: MIT
 *
 * After a lost compare-and-swap: let the other side finish.
 */
#ifndef TG_PAUSE_H
#define TG_PAUSE_H

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

#endif
