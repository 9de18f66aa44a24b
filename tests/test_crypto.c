/* SPDX-License-Identifier: MIT
 *
 * Signatures by a key that `openssl ecparam -name prime256v1 -genkey` made once.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "sidecar/base/crypto.h"

#define KEY \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE5mjdCihjDWvelGpi/b9LjBrhckR228QKOYRcsat/gAqikGGtmNxkT0PkXcvYlYXVPk35r6dMjmiT0sdHlYjW1g=="
#define SIGNATURE \
	"MEUCIESjNUAy3QPDEAH+DEFjXWPmEXL6Dcx1HRt36/UBY/owAiEAjSNFVUMjw61EdDETvs9Fog17yOLlj6znc1eKjmBtADg="

Test(crypto, takes_a_signature_of_both_parts)
{
	struct crypto_key *key;

	cr_assert_eq(crypto_key_read(KEY, &key), 0);
	cr_expect(crypto_signed(key, SIGNATURE, "1600112502", 10, "[{}]\r\n", 6));
	cr_expect(crypto_signed(key, SIGNATURE, "16001125", 8, "02[{}]\r\n", 8));
	cr_expect_not(crypto_signed(key, SIGNATURE, "1600112503", 10, "[{}]\r\n", 6));
	cr_expect_not(crypto_signed(key, SIGNATURE, "1600112502", 10, "[{}]", 4));
	crypto_key_free(key);
	crypto_key_free(NULL);
}

Test(crypto, refuses_what_is_no_signature)
{
	static const char *const wrong[] = {
		"",	"=",	    "====",	      "A",	    "AAAA", "AA==AAAA",
		"!!!!", "MEUCIQ==", SIGNATURE "AAAA", " " SIGNATURE};
	char long_one[2048];
	struct crypto_key *key;

	memset(long_one, 'A', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	cr_assert_eq(crypto_key_read(KEY, &key), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_not(crypto_signed(key, wrong[i], "1600112502", 10, "[{}]\r\n", 6), "%s",
			      wrong[i]);
	cr_expect_not(crypto_signed(key, long_one, "1600112502", 10, "[{}]\r\n", 6));
	crypto_key_free(key);
}

Test(crypto, reads_keys_of_the_curve_alone)
{
	static const char *const wrong[] = {
		"",
		"MFkw",
		KEY "AAAA",
		SIGNATURE,
		/* Of the curve P-384. */
		"MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAECftlqjNsf2xALuIsp1GjUL7W61stOwMjjtyF6G/SeUdJqLG9sePjkPP6Gjby5rs3mcWKa2AxcrCNz0HqqMDfbpQKyj0xNGotrrsBMGqeDZHPS+qYhqq36W8vw2ETyvHE",
	};
	struct crypto_key *key = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_expect_eq(crypto_key_read(wrong[i], &key), -EINVAL, "%s", wrong[i]);
	cr_expect_null(key);
}

Test(crypto, hashes_as_a_handshake_asks)
{
	/* RFC 6455, 1.3 */
	const char *text = "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	char hash[CRYPTO_SHA1_BASE64];

	crypto_sha1_base64(text, strlen(text), hash);
	cr_expect_str_eq(hash, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

Test(crypto, compares_whole_texts)
{
	cr_expect(crypto_same("", ""));
	cr_expect(crypto_same("token", "token"));
	cr_expect_not(crypto_same("token", "toke"));
	cr_expect_not(crypto_same("token", "tokem"));
}
