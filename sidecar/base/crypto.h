/* SPDX-License-Identifier: MIT
 *
 * The little cryptography that a webhook and a WebSocket ask for; OpenSSL's, which crypto.c alone
 * includes. Nothing here keeps a secret of ours but tokens, which are compared in constant time.
 */
#ifndef SIDECAR_BASE_CRYPTO_H
#define SIDECAR_BASE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

struct crypto_key; /* a public key on the curve P-256 */

/* A key as base64 of its DER (SubjectPublicKeyInfo). -EINVAL: it is none. */
int crypto_key_read(const char *base64, struct crypto_key **ret);
void crypto_key_free(struct crypto_key *key); /* NULL is fine */

/* Whether the signature (base64 of its DER; ECDSA over SHA-256) is that key's of both parts, one
 * behind the other. */
bool crypto_signed(const struct crypto_key *key, const char *signature, const char *first,
		   size_t first_length, const char *second, size_t second_length);

/* base64 of the SHA-1 of a text, which is how a WebSocket is accepted. */
#define CRYPTO_SHA1_BASE64 32
void crypto_sha1_base64(const char *text, size_t length, char ret[CRYPTO_SHA1_BASE64]);

/* Whether two texts are the same; the time it takes tells their lengths only. */
bool crypto_same(const char *a, const char *b);

#endif
