/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * SipHash-2-4 with a result of 128 bits (Aumasson, Bernstein: "SipHash: a fast
 * short-input PRF", 2012): who doesn't know the key can neither find two inputs
 * of the same hash, nor fill a bucket.
 */
#ifndef DROPPABLE_SIPHASH_H
#define DROPPABLE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t sip_word(const unsigned char *p, size_t len)
{
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < len; i++) /* one load, for a constant 8 */
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

static inline uint64_t sip_rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void sip_rounds(uint64_t v[4], int n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = sip_rotl(v[1], 13) ^ v[0];
		v[3] = sip_rotl(v[3], 16) ^ v[2];
		v[0] = sip_rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = sip_rotl(v[1], 17) ^ v[2];
		v[3] = sip_rotl(v[3], 21) ^ v[0];
		v[2] = sip_rotl(v[2], 32);
	}
}

static inline void sip_absorb(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

static inline void siphash128(const uint64_t key[2], const void *data,
			      size_t len, uint64_t hash[2])
{
	const unsigned char *p = data;
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573),
	};
	size_t left;

	for (left = len; left >= 8; left -= 8, p += 8)
		sip_absorb(v, sip_word(p, 8));
	sip_absorb(v, sip_word(p, left) | (uint64_t)len << 56);
	v[2] ^= 0xee;
	sip_rounds(v, 4);
	hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	sip_rounds(v, 4);
	hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif /* DROPPABLE_SIPHASH_H */
