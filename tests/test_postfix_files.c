/* SPDX-License-Identifier: MIT
 *
 * What Postfix's main.cf and master.cf say of its log and its addresses.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "sidecar/config/postfix_files.h"
#include "tests/guard.h"

#define SMTP "smtp unix - - n - - smtp\n"

static struct postfix_files files;

/* "log; name=address name=address; unclear" */
static const char *told(const char *main_cf, const char *master_cf)
{
	static char text[1 << 17];
	int used;

	postfix_files_read(guard_copy(main_cf, strlen(main_cf) + 1),
			   guard_copy(master_cf, strlen(master_cf) + 1), &files);
	used = snprintf(text, sizeof(text), "%s;", files.maillog_file);
	for (uint32_t i = 0; i < files.count; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %s=%s",
				 files.clients[i].name, files.clients[i].address);
	snprintf(text + used, sizeof(text) - (size_t)used, "; %u", files.unclear);
	return text;
}

Test(postfix_files, reads_them_as_postfix_does)
{
	static const struct {
		const char *main_cf, *master_cf, *want;
	} rows[] = {
		{"", "", ";; 0"},
		{"", SMTP, ";; 1"},
		{"smtp_bind_address = 192.0.2.1\n", SMTP, "; postfix=192.0.2.1; 0"},
		{"smtp_bind_address=192.0.2.1", "smtp unix - - n - - smtp",
		 "; postfix=192.0.2.1; 0"},
		{"maillog_file = /var/log/postfix.log\n", "", "/var/log/postfix.log;; 0"},
		{"maillog_file = a\nmaillog_file = /b\n", "", "/b;; 0"},
		{"maillog_file =\n  /a\n# comment\n\n", "", "/a;; 0"},
		{"#maillog_file = /a\n", "", ";; 0"},
		{"maillog_file_prefixes = /x\n", "", ";; 0"},
		{"dir = /var/log\nname = ${dir}/m\nmaillog_file = $(name).log\n", "",
		 "/var/log/m.log;; 0"},
		{"maillog_file = ${x?{/a}:{/b}}\n", "", ";; 0"},
		{"a = $b\nb = $a\nmaillog_file = /x$a\n", "", "/x;; 0"},
		{"syslog_name = mx1\nsmtp_bind_address = 192.0.2.1\n", SMTP, "; mx1=192.0.2.1; 0"},
		{"",
		 "ip1 unix - - n - - smtp\n  -o syslog_name=postfix/ip1\n"
		 "  -o smtp_bind_address=192.0.2.1\n"
		 "ip2 unix - - n - - smtp -o { syslog_name = postfix/ip2 }\n"
		 "# between\n\t-o { smtp_bind_address = 192.0.2.2 }\n",
		 "; postfix/ip1=192.0.2.1 postfix/ip2=192.0.2.2; 0"},
		{"us = mx1\nsmtp_bind_address = 192.0.2.1\n",
		 SMTP "relay unix - - n - - smtp\n -o syslog_name=${us}/$service_name\n",
		 "; postfix=192.0.2.1 mx1/relay=192.0.2.1; 0"},
		{"smtp_bind_address = 192.0.2.1\n",
		 "relay unix - - n - - smtp -o syslog_name=postfix/$service_name\n",
		 "; postfix/relay=192.0.2.1; 0"},
		/* One name of two addresses, or of both kinds, tells nothing. */
		{"",
		 "a unix - - n - - smtp -o smtp_bind_address=192.0.2.1\n"
		 "b unix - - n - - smtp -o smtp_bind_address=192.0.2.2\n"
		 "c unix - - n - - smtp -o smtp_bind_address=192.0.2.1\n",
		 ";; 1"},
		{"smtp_bind_address = 192.0.2.1\nsmtp_bind_address6 = 2001:db8::1\n", SMTP, ";; 1"},
		{"smtp_bind_address6 = 2001:db8::1\n", SMTP, "; postfix=2001:db8::1; 0"},
		/* Not SMTP clients. */
		{"smtp_bind_address = 192.0.2.1\n",
		 "smtp inet n - y - - smtpd\nlmtp unix - - n - - lmtp\nqmgr unix n - n 300 1 "
		 "qmgr\n",
		 ";; 0"},
		{"smtp_bind_address = 192.0.2.1\n", "smtp unix - -\n", ";; 0"},
		{"smtp_bind_address = 192.0.2.1\n", " -o a=b\n" SMTP, "; postfix=192.0.2.1; 0"},
		{"= x\n$ = y\nsmtp_bind_address\n", SMTP, ";; 1"},
		{"smtp_bind_address = 192.0.2.1\r\n", "smtp unix - - n - - smtp\r\n",
		 "; postfix=192.0.2.1; 0"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cr_expect_str_eq(told(rows[i].main_cf, rows[i].master_cf), rows[i].want,
				 "%s\n---\n%s\ngives %s\nmeant %s", rows[i].main_cf,
				 rows[i].master_cf, told(rows[i].main_cf, rows[i].master_cf),
				 rows[i].want);
}

Test(postfix_files, cuts_what_is_longer_than_anything_real)
{
	static char master[1 << 20], main_cf[1 << 16];
	size_t used = 0;

	for (int i = 0; i < 1000; i++)
		used += (size_t)sprintf(master + used,
					"s%d unix - - n - - smtp -o syslog_name=n%d "
					"-o smtp_bind_address=192.0.2.%d\n",
					i, i, i % 250);
	memset(main_cf, 'x', sizeof(main_cf) - 1);
	memcpy(main_cf, "maillog_file = /", 16);
	postfix_files_read(main_cf, master, &files);
	cr_expect_eq(files.count, POSTFIX_CLIENTS);
	cr_expect_eq(strlen(files.maillog_file), POSTFIX_VALUE - 1);
	memset(master, '\n', sizeof(master) - 1);
	postfix_files_read(master, main_cf, &files);
	cr_expect_eq(files.count, 0);
}
