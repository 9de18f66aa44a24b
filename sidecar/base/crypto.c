/* SPDX-License-Identifier: MIT */
#include "sidecar/base/crypto.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define BASE64_MAX 512 /* characters: a key has 124, a signature at most 96 */

struct crypto_key {
	EVP_PKEY *key;
};

/* Strictly: whole groups of four, "=" at the end only. Returns the length, or 0. */
static size_t base64_read(const char *text, unsigned char *bytes)
{
	size_t length = strlen(text), pad = 0;
	int got;

	if (length == 0 || length % 4 != 0 || length > BASE64_MAX)
		return 0;
	while (pad < 2 && text[length - 1 - pad] == '=')
		pad++;
	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") !=
	    length - pad)
		return 0;
	got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)length);
	return got > (int)pad ? (size_t)got - pad : 0;
}

static bool curve_right(EVP_PKEY *key)
{
	char name[32];
	size_t length;

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(key, name, sizeof(name), &length) == 1 &&
	       strcmp(name, "prime256v1") == 0;
}

int crypto_key_read(const char *base64, struct crypto_key **ret)
{
	unsigned char bytes[BASE64_MAX];
	const unsigned char *at = bytes;
	size_t length = base64_read(base64, bytes);
	struct crypto_key *key;
	EVP_PKEY *found;

	found = length > 0 ? d2i_PUBKEY(NULL, &at, (long)length) : NULL;
	if (found == NULL || at != bytes + length || !curve_right(found)) {
		EVP_PKEY_free(found);
		return -EINVAL;
	}
	key = malloc(sizeof(*key));
	if (key == NULL) {
		EVP_PKEY_free(found);
		return -ENOMEM;
	}
	key->key = found;
	*ret = key;
	return 0;
}

void crypto_key_free(struct crypto_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

bool crypto_signed(const struct crypto_key *key, const char *signature, const char *first,
		   size_t first_length, const char *second, size_t second_length)
{
	unsigned char bytes[BASE64_MAX];
	size_t length = base64_read(signature, bytes);
	EVP_MD_CTX *context = length > 0 ? EVP_MD_CTX_new() : NULL;
	bool good;

	good = context != NULL &&
	       EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->key) == 1 &&
	       EVP_DigestVerifyUpdate(context, first, first_length) == 1 &&
	       EVP_DigestVerifyUpdate(context, second, second_length) == 1 &&
	       EVP_DigestVerifyFinal(context, bytes, length) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

void crypto_sha1_base64(const char *text, size_t length, char ret[CRYPTO_SHA1_BASE64])
{
	unsigned char digest[SHA_DIGEST_LENGTH];

	SHA1((const unsigned char *)text, length, digest);
	EVP_EncodeBlock((unsigned char *)ret, digest, sizeof(digest));
}

bool crypto_same(const char *a, const char *b)
{
	size_t length = strlen(a);

	return length == strlen(b) && CRYPTO_memcmp(a, b, length) == 0;
}
