/* SPDX-License-Identifier: MIT
 *
 * The 128-bit keys of the directory: multiply and fold, seeded with what is random in each segment.
 *
 * Names come from outside (anybody can own a domain), so without the seed two names with one key
 * could be made. Not a cryptographic hash: who is in the segment's group knows the seed, and could
 * claim any slot anyhow. No half of a key is 0, which marks a free slot.
 */
#ifndef TG_HASH_H
#define TG_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum hash_kind { HASH_SOURCE = 1, HASH_DESTINATION, HASH_STREAM };

struct hash_key {
	uint64_t half[2];
};

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline struct hash_key hash_finish(uint64_t a, uint64_t b, const uint64_t seed[4])
{
	struct hash_key key;

	key.half[0] = hash_fold(a ^ seed[2], b ^ seed[3]);
	key.half[1] = hash_fold(a + seed[3], (b << 32 | b >> 32) ^ seed[2]);
	key.half[0] += key.half[0] == 0;
	key.half[1] += key.half[1] == 0;
	return key;
}

/* Of two keys, which are hashes already, so one multiplication is enough. It stands on the way to
 * every cold decision. */
static inline struct hash_key hash_pair(const uint64_t left[2], const uint64_t right[2])
{
	uint64_t a = left[0] ^ (right[1] << 17 | right[1] >> 47);
	uint64_t b = left[1] + right[0];
	struct hash_key key = {{hash_fold(a, b), a ^ (b << 32 | b >> 32)}};

	key.half[0] += key.half[0] == 0;
	key.half[1] += key.half[1] == 0;
	return key;
}

/* Of bytes; kind keeps a source and a destination of the same bytes apart. */
static inline struct hash_key hash_bytes(uint64_t kind, const void *bytes, size_t length,
					 const uint64_t seed[4])
{
	const unsigned char *at = bytes;
	uint64_t a = seed[0] ^ kind;
	uint64_t b = seed[1] + length;
	uint64_t word[2];

	for (size_t left = length; left > 0;) {
		size_t take = left < sizeof(word) ? left : sizeof(word);

		word[0] = word[1] = 0;
		memcpy(word, at, take);
		a = hash_fold(word[0] ^ seed[1], word[1] ^ a);
		b = hash_fold(word[1] ^ seed[2], word[0] ^ b) + a;
		at += take;
		left -= take;
	}
	return hash_finish(a, b, seed);
}

/* Of a flow: the address of its source, the key of its destination. */
static inline struct hash_key hash_flow(const uint8_t address[16], const uint64_t destination[2],
					const uint64_t seed[4])
{
	struct hash_key source = hash_bytes(HASH_SOURCE, address, 16, seed);

	return hash_pair(source.half, destination);
}

/* Where a key's search begins, of that many slots. */
static inline uint32_t hash_slot(const struct hash_key *key, uint32_t slots)
{
	return (uint32_t)((unsigned __int128)key->half[0] * slots >> 64);
}

#endif
