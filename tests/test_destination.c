/* SPDX-License-Identifier: MIT
 *
 * Which destination a name belongs to: what matches, what only looks alike, the Public Suffix List
 * against libpsl over all of it, ranges, pools, and tables of broken bytes. Names and tables end at
 * a guard page.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <libpsl.h>
#include <stdio.h>

#include "shm/address.h"
#include "shm/destination.h"
#include "shm/punycode.h"
#include "sidecar/base/random.h"
#include "sidecar/config/destination_table.h"
#include "sidecar/config/public_suffix.h"
#include "tests/guard.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

enum { GOOGLE, MICROSOFT, BUSINESS, YAHOO, NETS };

static const char *const names[] = {"google", "microsoft-consumer", "microsoft-365", "yahoo",
				    "nets"};

static const struct {
	int index;
	char how; /* e(xact), s(uffix), u(nder), r(ange) */
	const char *text;
	unsigned bits;
} claims[] = {
	{GOOGLE, 'e', "gmail.com", 0},		 {GOOGLE, 's', ".google.com", 0},
	{GOOGLE, 's', "googlemail.com", 0},	 {MICROSOFT, 's', ".olc.protection.outlook.com", 0},
	{MICROSOFT, 'u', "hotmail", 0},		 {MICROSOFT, 'u', "mail.live", 0},
	{MICROSOFT, 'e', "msn.com", 0},		 {BUSINESS, 's', ".mail.protection.outlook.com", 0},
	{BUSINESS, 's', ".mx.microsoft", 0},	 {BUSINESS, 'e', "special.hotmail.de", 0},
	{YAHOO, 's', ".yahoodns.net", 0},	 {NETS, 'r', "192.0.2.0", 96 + 24},
	{GOOGLE, 'r', "192.0.2.64", 96 + 26},	 {YAHOO, 'r', "192.0.2.65", 96 + 32},
	{MICROSOFT, 'r', "2a01:111:f400::", 48}, {NETS, 'r', "255.255.255.0", 96 + 24},
};

static void *blob;
static size_t blob_len;

static void build(bool list)
{
	struct destination_table *table;
	int32_t owner;
	uint8_t address[16];
	void *made;

	cr_assert_eq(destination_table_new(&table), 0);
	for (size_t i = 0; i < N(names); i++) {
		cr_assert_eq(destination_table_add(table, names[i]), (int)i);
		cr_assert_eq(destination_table_exact(table, names[i], (int)i, &owner), 0);
	}
	for (size_t i = 0; i < N(claims); i++) {
		int rc = -1;

		if (claims[i].how == 'e')
			rc = destination_table_exact(table, claims[i].text, claims[i].index,
						     &owner);
		else if (claims[i].how == 's')
			rc = destination_table_suffix(table, claims[i].text, claims[i].index,
						      &owner);
		else if (claims[i].how == 'u')
			rc = destination_table_under(table, claims[i].text, claims[i].index,
						     &owner);
		else if (address_from_text(claims[i].text, address) == 0)
			rc = destination_table_range(table, address, claims[i].bits,
						     claims[i].index, &owner);
		cr_assert_eq(rc, 0, "%s", claims[i].text);
	}
	for (int p = 0; p < 9; p++) {
		char name[16];

		snprintf(name, sizeof(name), "pool%d", p * 7 % 9);
		cr_assert_eq(destination_table_pool(table, name), 0);
		for (int i = 0; i < p; i++) {
			memset(address, p, 16);
			address[15] = (uint8_t)i;
			cr_assert_eq(destination_table_source(table, address), 0);
		}
	}
	if (list)
		cr_assert_eq(destination_table_list(table, public_suffix_path()), 0);
	cr_assert_eq(destination_table_build(table, &made, &blob_len), 0);
	blob = guard_copy(made, blob_len);
	free(made);
	destination_table_free(table);
}

static void build_listed(void)
{
	build(true);
}

TestSuite(match, .init = build_listed);
TestSuite(suffixes, .init = build_listed);
TestSuite(bytes, .init = build_listed);

struct row {
	const char *name;
	const char *destination;
	enum destination_by by;
};

static void expect_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct destination_match match;
		int rc = destination_match(blob, blob_len, guard_text(rows[i].name), &match);

		cr_expect_eq(rc, 0, "%s: %d", rows[i].name, rc);
		if (rc)
			continue;
		cr_expect_str_eq(match.name, rows[i].destination, "%s: %s", rows[i].name,
				 match.name);
		cr_expect_eq(match.by, rows[i].by, "%s: by %s", rows[i].name,
			     destination_by_name(match.by));
		cr_expect_eq(match.length, strlen(match.name));
		if (match.index != DESTINATION_NONE)
			cr_expect_str_eq(names[match.index], match.name);
	}
}

Test(match, finds_names_suffixes_and_addresses)
{
	static const struct row rows[] = {
		{"gmail.com", "google", DESTINATION_EXACT},
		{"GMail.COM.", "google", DESTINATION_EXACT},
		{"google", "google", DESTINATION_EXACT},
		{"microsoft-365", "microsoft-365", DESTINATION_EXACT},
		{"aspmx.l.google.com", "google", DESTINATION_SUFFIX},
		{"alt4.gmail-smtp-in.l.google.com.", "google", DESTINATION_SUFFIX},
		{"googlemail.com", "google", DESTINATION_SUFFIX},
		{"x.googlemail.com", "google", DESTINATION_SUFFIX},
		{"outlook-com.olc.protection.outlook.com", "microsoft-consumer",
		 DESTINATION_SUFFIX},
		{"example-com.mail.protection.outlook.com", "microsoft-365", DESTINATION_SUFFIX},
		{"example-com.i-v1.mx.microsoft", "microsoft-365", DESTINATION_SUFFIX},
		{"mta5.am0.yahoodns.net", "yahoo", DESTINATION_SUFFIX},
		{"hotmail.com", "microsoft-consumer", DESTINATION_EXACT},
		{"hotmail.co.uk", "microsoft-consumer", DESTINATION_EXACT},
		{"HOTMAIL.com.ar", "microsoft-consumer", DESTINATION_EXACT},
		{"hotmail.xn--fiqs8s", "microsoft-consumer", DESTINATION_EXACT},
		{"hotmail.中国", "microsoft-consumer", DESTINATION_EXACT},
		{"mail.live.nl", "microsoft-consumer", DESTINATION_EXACT},
		{"mx1.hotmail.com", "microsoft-consumer", DESTINATION_REGISTRABLE},
		{"special.hotmail.de", "microsoft-365", DESTINATION_EXACT},
		{"foo.gmail.com", "google", DESTINATION_REGISTRABLE},
		{"192.0.2.1", "nets", DESTINATION_ADDRESS},
		{"[192.0.2.64]", "google", DESTINATION_ADDRESS},
		{"192.0.2.65", "yahoo", DESTINATION_ADDRESS},
		{"::ffff:192.0.2.66", "google", DESTINATION_ADDRESS},
		{"::FFFF:c000:280", "nets", DESTINATION_ADDRESS},
		{"[IPv6:2a01:111:f400:7c00::10]", "microsoft-consumer", DESTINATION_ADDRESS},
		{"[2a01:111:f400::]", "microsoft-consumer", DESTINATION_ADDRESS},
		{"255.255.255.255", "nets", DESTINATION_ADDRESS},
		{"192.0.3.0", "192.0.3.0", DESTINATION_DEFAULT},
		{"192.0.1.255", "192.0.1.255", DESTINATION_DEFAULT},
		{"::ffff:10.0.0.1", "10.0.0.1", DESTINATION_DEFAULT},
		{"2a01:111:f401::", "2a01:111:f401::", DESTINATION_DEFAULT},
		{"2001:DB8:0:0::1", "2001:db8::1", DESTINATION_DEFAULT},
		{"[IPv6:2001:db8::2]", "2001:db8::2", DESTINATION_DEFAULT},
	};

	expect_rows(rows, N(rows));
}

Test(match, is_not_fooled_by_look_alikes)
{
	static const struct row rows[] = {
		{"evilgoogle.com", "evilgoogle.com", DESTINATION_REGISTRABLE},
		{"mail.yahoodns.net.example.org", "example.org", DESTINATION_REGISTRABLE},
		{"notmx.microsoft", "notmx.microsoft", DESTINATION_REGISTRABLE},
		{"a.notmx.microsoft", "notmx.microsoft", DESTINATION_REGISTRABLE},
		{"google.com", "google.com", DESTINATION_REGISTRABLE},
		{"google.com.evil.net", "evil.net", DESTINATION_REGISTRABLE},
		{"gmail.com.br", "gmail.com.br", DESTINATION_REGISTRABLE},
		{"hotmail.github.io", "hotmail.github.io", DESTINATION_REGISTRABLE},
		{"hotmail.example.com", "example.com", DESTINATION_REGISTRABLE},
		{"nothotmail.com", "nothotmail.com", DESTINATION_REGISTRABLE},
		{"live.com", "live.com", DESTINATION_REGISTRABLE},
		{"hotmail", "hotmail", DESTINATION_DEFAULT},
		{"yahoodns.net", "yahoodns.net", DESTINATION_REGISTRABLE},
		{"net", "net", DESTINATION_DEFAULT},
		{"com", "com", DESTINATION_DEFAULT},
		{"co.uk", "co.uk", DESTINATION_DEFAULT},
		{"foo.ck", "foo.ck", DESTINATION_DEFAULT},
		{"www.ck", "www.ck", DESTINATION_REGISTRABLE},
		{"a.b.foo.ck", "b.foo.ck", DESTINATION_REGISTRABLE},
		{"localhost", "localhost", DESTINATION_DEFAULT},
		{"mx.example.co.uk", "example.co.uk", DESTINATION_REGISTRABLE},
		{"mx.bücher.de", "xn--bcher-kva.de", DESTINATION_REGISTRABLE},
		{"MX.Bücher.DE.", "xn--bcher-kva.de", DESTINATION_REGISTRABLE},
		{"mx.xn--bcher-kva.de", "xn--bcher-kva.de", DESTINATION_REGISTRABLE},
		{"_dmarc.under_score.example.com", "example.com", DESTINATION_REGISTRABLE},
		{"1and1.com", "1and1.com", DESTINATION_REGISTRABLE},
		{"1.1.1.a", "1.a", DESTINATION_REGISTRABLE},
	};

	expect_rows(rows, N(rows));
}

Test(match, refuses_what_is_neither_name_nor_address)
{
	char longest[300];
	char labels[256];
	struct destination_match match;
	static const char *const rows[] = {
		"",	     ".",	    "..",	 ".com",    "a..b",	    "a.com..",
		" ",	     "a b.com",	    "a\tb",	 "a@b.com", "a.com:25",	    "*.com",
		"192.0.2",   "192.0.2.256", "1.2.3.4.5", "[a.com]", "[1.2.3.4",	    "1.2.3.4]",
		"[]",	     "[[::1]]",	    "::1%lo",	 ":::",	    "fe80::1%eth0", "[IPv6:]",
		"01.2.3.4",  "a.b\x7f",	    "a\x01.b",	 "12345",   "a.1",	    "a/b.com",
		"\"a\".com",
	};

	for (size_t i = 0; i < N(rows); i++) {
		match.length = 12345;
		cr_expect_eq(destination_match(blob, blob_len, guard_text(rows[i]), &match),
			     -EINVAL, "'%s' is %s", rows[i], match.name);
		cr_expect_eq(match.length, 12345);
	}
	memset(longest, 'a', sizeof(longest));
	longest[299] = '\0';
	cr_expect_eq(destination_match(blob, blob_len, guard_text(longest), &match), -EINVAL);
	longest[256] = '\0';
	cr_expect_eq(destination_match(blob, blob_len, guard_text(longest), &match), -EINVAL);
	longest[255] = '.';
	cr_expect_eq(destination_match(blob, blob_len, guard_text(longest), &match), 0);
	cr_expect_eq(match.length, 255);
	for (int i = 0; i < 255; i++)
		labels[i] = i % 2 ? '.' : 'a';
	labels[255] = '\0';
	cr_expect_eq(destination_match(blob, blob_len, guard_text(labels), &match), 0);
	cr_expect_str_eq(match.name, "a.a");
}

/* A destination is a fixed point: what a name resolves to resolves to itself. */
Test(match, of_a_destinations_name_is_itself)
{
	static const char *const rows[] = {"a.b.example.co.uk", "foo.gmail.com", "mx1.hotmail.com",
					   "192.0.2.65",	"10.1.2.3",	 "co.uk",
					   "x.city.kobe.jp"};

	for (size_t i = 0; i < N(rows); i++) {
		struct destination_match first;
		struct destination_match again;

		cr_assert_eq(destination_match(blob, blob_len, rows[i], &first), 0);
		cr_assert_eq(destination_match(blob, blob_len, first.name, &again), 0);
		cr_expect(first.index == again.index && strcmp(first.name, again.name) == 0, "%s",
			  rows[i]);
	}
}

Test(match, goes_on_without_the_list)
{
	static const struct row rows[] = {
		{"aspmx.l.google.com", "google", DESTINATION_SUFFIX},
		{"hotmail.co.uk", "microsoft-consumer", DESTINATION_EXACT},
		{"hotmail.fr", "microsoft-consumer", DESTINATION_EXACT},
		{"mx.example.co.uk", "example.co.uk", DESTINATION_REGISTRABLE},
		{"mx1.web.de", "web.de", DESTINATION_REGISTRABLE},
		{"a.b.example.com", "example.com", DESTINATION_REGISTRABLE},
	};

	build(false);
	expect_rows(rows, N(rows));
}

/* ---- the list against libpsl ----------------------------------------------------------------- */

static const psl_ctx_t *psl;
static unsigned compared;

static void expect_as_libpsl(const char *name)
{
	const char *theirs = psl_registrable_domain(psl, name);
	struct destination_match match;
	int rc = destination_match(blob, blob_len, name, &match);

	cr_assert_eq(rc, 0, "%s: %d", name, rc);
	if (match.index != DESTINATION_NONE)
		return;
	compared++;
	cr_assert_str_eq(match.name, theirs ? theirs : name, "%s: ours %s, libpsl's %s", name,
			 match.name, theirs ? theirs : "(none)");
	cr_assert_eq(match.by, theirs ? DESTINATION_REGISTRABLE : DESTINATION_DEFAULT);
}

static int expect_rule(void *context, const char *name, uint16_t rule)
{
	static const char *const before[] = {"",	 "a.",	  "b.a.", "c.b.a.",
					     "hotmail.", "xn--.", "www."};
	const char *dot = strchr(name, '.');
	char text[300];

	(void)context;
	(void)rule;
	for (size_t i = 0; i < N(before); i++) {
		snprintf(text, sizeof(text), "%s%s", before[i], name);
		expect_as_libpsl(text);
		if (dot) {
			snprintf(text, sizeof(text), "%sx%s", before[i], dot);
			expect_as_libpsl(text);
		}
	}
	return 0;
}

Test(suffixes, are_libpsls_over_the_whole_list)
{
	psl = psl_load_file(public_suffix_path());
	cr_assert(psl, "the list is missing");
	cr_assert_eq(public_suffix_read(public_suffix_path(), expect_rule, NULL), 0);
	cr_expect_gt(compared, 100000, "%u compared", compared);
	psl_free((psl_ctx_t *)psl);
}

static char *rule_names[20000];
static unsigned rule_count;

static int keep_rule(void *context, const char *name, uint16_t rule)
{
	(void)context;
	(void)rule;
	if (rule_count < N(rule_names))
		rule_names[rule_count++] = strdup(name);
	return 0;
}

static uint64_t seed = 1;

static unsigned dice(unsigned sides)
{
	return (unsigned)random_below(&seed, sides);
}

Test(suffixes, are_libpsls_for_made_names)
{
	static const char *const labels[] = {"a",	 "www", "mail",	     "co",    "com",
					     "uk",	 "ck",	"city",	     "kobe",  "jp",
					     "xn--p1ai", "s3",	"amazonaws", "github"};

	psl = psl_load_file(public_suffix_path());
	cr_assert(psl);
	public_suffix_read(public_suffix_path(), keep_rule, NULL);
	for (int i = 0; i < 50000; i++) {
		char text[600] = "";
		char *rule = rule_names[dice(rule_count)];

		for (unsigned n = dice(5); n > 0; n--) {
			strcat(text, labels[dice(N(labels))]);
			strcat(text, ".");
		}
		/* A tail of some rule, cut anywhere at a dot or within a label. */
		strcat(text, dice(3) ? rule : rule + dice((unsigned)strlen(rule)));
		if (strstr(text, "..") || strlen(text) > 250 ||
		    (text[strlen(text) - 1] & 0x80) != 0 || strchr(text, '.') == text ||
		    (unsigned char)text[0] >= 0x80)
			continue;
		for (char *c = text; *c; c++) /* no cut within a character */
			if (((unsigned char)*c & 0xc0) == 0x80 &&
			    (c == text || (unsigned char)c[-1] < 0x80))
				text[0] = '\0';
		if (text[0])
			expect_as_libpsl(text);
	}
	cr_expect_gt(compared, 30000, "%u compared", compared);
	for (unsigned i = 0; i < rule_count; i++)
		free(rule_names[i]);
	psl_free((psl_ctx_t *)psl);
}

Test(suffixes, say_when_the_list_is_missing_or_no_list)
{
	cr_expect_eq(public_suffix_read("/nonexistent/list.dat", keep_rule, NULL), -ENOENT);
	cr_expect_eq(public_suffix_read("/etc/passwd", keep_rule, NULL), -EBADMSG);
}

Test(punycode, is_rfc_3492s)
{
	static const struct {
		const char *utf8;
		const char *ascii;
	} rows[] = {
		{"bücher.de", "xn--bcher-kva.de"},
		{"中国", "xn--fiqs8s"},
		{"рф", "xn--p1ai"},
		{"公司.香港", "xn--55qx5d.xn--j6w193g"},
		{"straße.example", "xn--strae-oqa.example"},
		{"plain.com", "plain.com"},
		{"他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"},
		{"ünïcödé", "xn--ncd-dma1a7bzb"},
	};
	char text[256];

	for (size_t i = 0; i < N(rows); i++) {
		cr_expect_eq(punycode_name(guard_text(rows[i].utf8), text, sizeof(text)),
			     (int)strlen(rows[i].ascii));
		cr_expect_str_eq(text, rows[i].ascii);
	}
	cr_expect_eq(punycode_name("\xff", text, sizeof(text)), -EINVAL);
	cr_expect_eq(punycode_name("\xc0\xae", text, sizeof(text)), -EINVAL); /* a dot, overlong */
	cr_expect_eq(punycode_name("\xed\xa0\x80", text, sizeof(text)), -EINVAL); /* a surrogate */
	cr_expect_eq(punycode_name("\xc3", text, sizeof(text)), -EINVAL);
	cr_expect_eq(punycode_name("plain.com", text, 9), -EINVAL);
	cr_expect_eq(punycode_name("中国", text, 9), -EINVAL);
}

/* ---- pools, claims, ranges ------------------------------------------------------------------- */

Test(pool, gives_its_sources)
{
	struct destination_pool pool;
	uint8_t address[16];

	build(true);
	for (int p = 0; p < 9; p++) {
		char name[16];

		snprintf(name, sizeof(name), "pool%d", p * 7 % 9);
		cr_assert_eq(destination_pool(blob, blob_len, guard_text(name), &pool), 0);
		cr_expect_eq(pool.count, (uint32_t)p);
		for (int i = 0; i < p; i++) {
			cr_expect_eq(destination_pool_source(blob, blob_len, &pool, (uint32_t)i,
							     address),
				     0);
			cr_expect(address[0] == p && address[15] == i);
		}
		cr_expect_eq(destination_pool_source(blob, blob_len, &pool, (uint32_t)p, address),
			     -ENOENT);
	}
	cr_expect_eq(destination_pool(blob, blob_len, "pool", &pool), -ENOENT);
	cr_expect_eq(destination_pool(blob, blob_len, "pool77", &pool), -ENOENT);
	cr_expect_eq(destination_pool(blob, blob_len, "", &pool), -ENOENT);
	pool = (struct destination_pool){UINT32_MAX, UINT32_MAX};
	cr_expect_eq(destination_pool_source(blob, blob_len, &pool, 7, address), -EBADMSG);
}

Test(claim, of_a_name_that_another_has_names_the_owner)
{
	struct destination_table *table;
	uint8_t address[16];
	int32_t owner = 9;

	cr_assert_eq(destination_table_new(&table), 0);
	cr_expect_eq(destination_table_exact(table, "A.com", 0, &owner), 0);
	cr_expect_eq(destination_table_exact(table, "a.COM.", 0, &owner), 0);
	cr_expect_eq(owner, 9);
	cr_expect_eq(destination_table_exact(table, "a.com", 1, &owner), -EEXIST);
	cr_expect_eq(owner, 0);
	cr_expect_eq(destination_table_suffix(table, "a.com", 1, &owner), 0);
	cr_expect_eq(destination_table_suffix(table, ".a.com", 2, &owner), -EEXIST);
	cr_expect_eq(owner, 1);
	cr_expect_eq(destination_table_suffix(table, "..a.com", 2, &owner), -EINVAL);
	cr_expect_eq(destination_table_under(table, "", 2, &owner), -EINVAL);
	address_from_text("10.0.0.1", address);
	cr_expect_eq(destination_table_range(table, address, 104, 1, &owner), 0);
	address_from_text("10.9.0.1", address);
	cr_expect_eq(destination_table_range(table, address, 104, 2, &owner), -EEXIST);
	cr_expect_eq(destination_table_range(table, address, 129, 2, &owner), -EINVAL);
	destination_table_free(table);
	destination_table_free(NULL);
}

/* Random nested prefixes against the plain search for the longest one. */
Test(ranges, are_the_longest_prefix)
{
	struct destination_table *table;
	uint32_t net[200];
	unsigned bits[200];
	int dest[200];
	int32_t owner;
	size_t len;
	void *made;

	cr_assert_eq(destination_table_new(&table), 0);
	for (int i = 0; i < 200; i++)
		cr_assert_eq(destination_table_add(table, "d"), i);
	for (int i = 0; i < 200; i++) {
		uint8_t address[16] = {[10] = 0xff, [11] = 0xff};

		bits[i] = dice(25) + (dice(4) ? 8 : 0);
		net[i] = ((dice(4) << 30) | dice(1 << 12)) &
			 (bits[i] ? ~UINT32_C(0) << (32 - bits[i]) : 0);
		for (int b = 0; b < 4; b++)
			address[12 + b] = (uint8_t)(net[i] >> (24 - 8 * b));
		dest[i] = i;
		if (destination_table_range(table, address, 96 + bits[i], i, &owner) == -EEXIST)
			dest[i] = owner;
	}
	cr_assert_eq(destination_table_build(table, &made, &len), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t ip =
			dice(2) ? net[dice(200)] + dice(3) - 1 : (dice(4) << 30) | dice(1 << 13);
		int best = DESTINATION_NONE;
		unsigned best_bits = 0;
		struct destination_match match;
		char text[32];

		for (int j = 0; j < 200; j++)
			if ((bits[j] == 0 || (ip ^ net[j]) >> (32 - bits[j]) == 0) &&
			    (best == DESTINATION_NONE || bits[j] > best_bits)) {
				best = dest[j];
				best_bits = bits[j];
			}
		snprintf(text, sizeof(text), "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
			 ip & 255);
		cr_assert_eq(destination_match(made, len, text, &match), 0);
		cr_assert_eq(match.index, best, "%s: %d, not %d", text, match.index, best);
	}
	free(made);
	destination_table_free(table);
}

/* ---- broken bytes ---------------------------------------------------------------------------- */

static void use(const void *bytes, size_t len)
{
	static const char *const asked[] = {"aspmx.l.google.com", "hotmail.co.uk", "192.0.2.65",
					    "a.b.c.city.kobe.jp", "pool3"};
	struct destination_match match;
	struct destination_pool pool;
	char name[DESTINATION_NAME_MAX + 1];
	uint8_t address[16];

	for (size_t i = 0; i < N(asked); i++)
		if (destination_match(bytes, len, asked[i], &match) == 0)
			cr_assert(match.length <= DESTINATION_NAME_MAX &&
				  match.name[match.length] == '\0');
	for (uint32_t i = 0; i < 9; i++)
		destination_name(bytes, len, i, name);
	if (destination_pool(bytes, len, "pool3", &pool) == 0)
		destination_pool_source(bytes, len, &pool, pool.count - 1, address);
}

Test(bytes, that_are_cut_off_are_refused)
{
	struct destination_match match;

	for (size_t len = 0; len < blob_len; len += 1 + len / 7) {
		char *cut = guard_copy(blob, len);

		cr_expect_eq(destination_match(cut, len, "gmail.com", &match), -EBADMSG, "%zu",
			     len);
		cr_expect_eq(destination_count(cut, len), -EBADMSG);
		use(cut, len);
		guard_free(cut, len);
	}
	cr_expect_eq(destination_count(blob, blob_len), (int)N(names));
}

Test(bytes, that_are_torn_do_no_harm)
{
	char *copy = guard_copy(blob, blob_len);

	for (int round = 0; round < 30000; round++) {
		/* Mostly the header and the small arrays; sometimes anywhere. */
		size_t at = dice(3) ? dice(sizeof(struct destination_header))
				    : dice((unsigned)blob_len);
		char was = copy[at];

		copy[at] = (char)dice(256);
		if (dice(4) == 0)
			memset(copy + at, 0xff, blob_len - at < 4 ? blob_len - at : 4);
		use(copy, blob_len);
		if (dice(64) == 0)
			memcpy(copy, blob, blob_len);
		else
			copy[at] = was;
	}
}
