/* SPDX-License-Identifier: MIT
 *
 * The functions that return a verdict, for languages that cannot take a struct by value: the reason
 * is returned, the rest goes where the caller says, with times as nanoseconds from now.
 */
#include "shm/handle.h"

static enum tg_reason give(const struct tg *tg, struct tg_verdict verdict, struct tg_verdict *ret,
			   uint64_t *ret_wait_ns)
{
	if (ret)
		*ret = verdict;
	if (ret_wait_ns)
		*ret_wait_ns = tg_until(tg, verdict.at_ns);
	return (enum tg_reason)verdict.reason;
}

enum tg_reason tg_admit_into(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			     uint32_t n, struct tg_verdict *ret, uint64_t *ret_wait_ns)
{
	return give(tg, tg_admit(tg, flow, traffic, n), ret, ret_wait_ns);
}

enum tg_reason tg_admit_pair_into(struct tg *tg, const struct tg_source *source,
				  const struct tg_destination *destination, enum tg_class traffic,
				  uint32_t n, struct tg_verdict *ret, uint64_t *ret_wait_ns)
{
	return give(tg, tg_admit_pair(tg, source, destination, traffic, n), ret, ret_wait_ns);
}

enum tg_reason tg_wait_into(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			    uint32_t n, uint64_t max_wait_ns, struct tg_verdict *ret,
			    uint64_t *ret_wait_ns)
{
	uint64_t now_ns = tg_now(tg);
	uint64_t deadline_ns =
		max_wait_ns < UINT64_MAX - now_ns ? now_ns + max_wait_ns : UINT64_MAX;

	return give(tg, tg_wait(tg, flow, traffic, n, max_wait_ns ? deadline_ns : 0), ret,
		    ret_wait_ns);
}

enum tg_reason tg_reserve_into(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			       uint32_t n, uint64_t max_wait_ns, struct tg_reservation *reservation,
			       struct tg_verdict *ret, uint64_t *ret_wait_ns)
{
	return give(tg, tg_reserve(tg, flow, traffic, n, max_wait_ns, reservation), ret,
		    ret_wait_ns);
}

enum tg_reason tg_redeem_into(struct tg *tg, const struct tg_reservation *reservation,
			      struct tg_verdict *ret, uint64_t *ret_wait_ns)
{
	return give(tg, tg_redeem(tg, reservation), ret, ret_wait_ns);
}

enum tg_reason tg_connect_into(struct tg *tg, const struct tg_flow *flow, enum tg_class traffic,
			       struct tg_lease *lease, struct tg_verdict *ret,
			       uint64_t *ret_wait_ns)
{
	return give(tg, tg_connect(tg, flow, traffic, lease), ret, ret_wait_ns);
}
