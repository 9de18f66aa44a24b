/* SPDX-License-Identifier: MIT
 *
 * Addresses of domains' MX hosts, asked of DNS without ever blocking the loop.
 *
 * For each domain: its MX, then the A and AAAA of each host; again when the shortest time to live
 * is over. Where DNS does not answer it is asked again later and later; what was told before holds
 * until its time is over. A domain without MX is its own host, as RFC 5321 says.
 */
#ifndef SIDECAR_IO_DNS_H
#define SIDECAR_IO_DNS_H

#include <stdint.h>

#include "sidecar/io/loop.h"

struct dns;

/* An address (16 bytes, IPv4 mapped) of an MX host. until_ns: some time after it will have been
 * asked for again. */
typedef void dns_found(void *arg, const char *host, const uint8_t address[16], uint64_t until_ns);

/* -ENOENT and others: no DNS is to be had here. */
int dns_create(struct loop *loop, dns_found *found, void *arg, struct dns **ret);

/* Begins to follow a domain. -ENOMEM. */
int dns_domain(struct dns *resolve, const char *domain);

/* Follows none any more. NULL is fine. */
void dns_clear(struct dns *resolve);

void dns_free(struct dns *resolve); /* NULL is fine */

#endif
