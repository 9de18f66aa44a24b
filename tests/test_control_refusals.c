/* SPDX-License-Identifier: MIT
 *
 * What the receiver does outranks what it says: refusals whose words name no limit.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "sidecar/base/random.h"
#include "sidecar/control/control.h"

#define SECOND UINT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define START  (1000 * HOUR)
#define DELAY  (SECOND / 2)

/* A bucket whose refusals have a class of their own, and refusals in it that come at any rate. */
struct refuser {
	double rate, burst, tokens;
	uint64_t at_ns;
	enum reply_class class;
	double share; /* of the messages, refused at any rate */
	uint64_t shut_ns, open_ns;
	uint64_t seed;
};

struct mail {
	struct control_state state;
	struct control_bounds bounds;
	struct control_limits limits;
	struct refuser *receiver;
	uint64_t now_ns, next_ns;
	unsigned taken, refused;
};

static struct mail mail_new(struct refuser *receiver)
{
	struct mail mail = {.bounds = {.rate_start = 1, .burst = {5, 5, 5}},
			    .receiver = receiver,
			    .now_ns = START,
			    .next_ns = START};

	receiver->tokens = receiver->burst;
	receiver->at_ns = START;
	receiver->seed = 1;
	control_init(&mail.state, &mail.bounds, START);
	control_limits(&mail.state, &mail.bounds, START, &mail.limits);
	return mail;
}

static bool takes(struct refuser *r, uint64_t now_ns)
{
	uint64_t draw;

	r->tokens += r->rate * (double)(now_ns - r->at_ns) / 1e9;
	r->tokens = r->tokens < r->burst ? r->tokens : r->burst;
	r->at_ns = now_ns;
	draw = random_next(&r->seed);
	if (now_ns >= r->shut_ns && now_ns < r->open_ns)
		return false;
	if (r->tokens < 1)
		return false;
	r->tokens -= 1;
	return random_share(draw) >= r->share;
}

/* Bulk mail without end, until a time. */
static void mail_run(struct mail *mail, uint64_t until_ns)
{
	mail->taken = mail->refused = 0;
	while (mail->now_ns < until_ns) {
		uint64_t hold_ns = mail->limits.hold_until_ns[TG_BULK];
		uint64_t at = hold_ns > mail->next_ns ? hold_ns : mail->next_ns;
		struct control_observation seen = {.traffic = TG_BULK, .stage = TG_STAGE_MESSAGE};
		struct control_change change;

		at = at > mail->now_ns ? at : mail->now_ns;
		seen.class = takes(mail->receiver, at) ? REPLY_DELIVERED : mail->receiver->class;
		seen.admitted_ns = at;
		mail->taken += seen.class == REPLY_DELIVERED;
		mail->refused += seen.class != REPLY_DELIVERED;
		mail->now_ns = at + DELAY;
		control_observe(&mail->state, &mail->bounds, &seen, mail->now_ns, &change);
		mail->limits = change.after;
		mail->next_ns = at + mail->limits.interval_ns;
		if (hold_ns)
			mail->next_ns = mail->now_ns + mail->limits.interval_ns;
	}
}

static double per_minute(const struct mail *mail)
{
	return 60e9 / (double)mail->limits.interval_ns;
}

static void expect_words(const struct mail *mail, const char *words)
{
	char text[1024];

	control_describe(&mail->state, &mail->bounds, mail->now_ns, text, sizeof text);
	cr_expect(strstr(text, words), "\"%s\" does not say \"%s\"", text, words);
}

static const enum reply_class wordless[] = {REPLY_OTHER, REPLY_POLICY, REPLY_INFRASTRUCTURE,
					    REPLY_GREYLIST, REPLY_RECIPIENT};
#define WORDLESS (sizeof wordless / sizeof *wordless)

/* What a receiver with known words lets this mail have, one message at a time. */
static unsigned taken_of_known(const struct refuser *receiver)
{
	struct refuser known = *receiver;
	struct mail mail;

	known.class = REPLY_RATE;
	mail = mail_new(&known);
	mail_run(&mail, START + HOUR);
	mail_run(&mail, START + 3 * HOUR);
	return mail.taken;
}

Test(control_refusals, obey_a_limit_whatever_its_words)
{
	static const double rates[] = {10 / 60.0, 0.5, 1};

	for (unsigned i = 0; i < WORDLESS * 3; i++) {
		struct refuser receiver = {
			.rate = rates[i % 3], .burst = 20, .class = wordless[i / 3]};
		const char *class = reply_class_name(receiver.class);
		struct mail mail = mail_new(&receiver);

		mail_run(&mail, START + HOUR);
		cr_expect_lt(mail.refused, 40, "%s at %g: %u refused in the first hour", class,
			     receiver.rate, mail.refused);
		mail_run(&mail, START + 3 * HOUR);
		cr_expect_gt(mail.taken, 0.85 * taken_of_known(&receiver),
			     "%s at %g: %u taken of %u", class, receiver.rate, mail.taken,
			     taken_of_known(&receiver));
		cr_expect_lt(mail.refused, 0.01 * mail.taken + 2, "%s at %g: %u refused", class,
			     receiver.rate, mail.refused);
		expect_words(&mail, "replies are a limit's here: they fell with the rate");
	}
}

Test(control_refusals, go_on_where_the_same_share_is_refused_at_any_rate)
{
	for (unsigned i = 0; i < WORDLESS; i++) {
		struct refuser receiver = {
			.rate = 1e3, .burst = 1e9, .class = wordless[i], .share = 0.3};
		struct mail mail = mail_new(&receiver);

		mail.bounds.rate_max = 1;
		mail_run(&mail, START + 4 * HOUR);
		cr_expect_gt(mail.taken, 4 * 3600 * 0.7 * 0.8, "%s: %u taken",
			     reply_class_name(receiver.class), mail.taken);
		expect_words(&mail, "replies come at any rate");
	}
}

Test(control_refusals, probe_with_growing_gaps_while_everything_is_refused)
{
	static const enum reply_class classes[] = {REPLY_OTHER, REPLY_POLICY};

	for (unsigned i = 0; i < 2; i++) {
		struct refuser receiver = {.rate = 1,
					   .burst = 20,
					   .class = classes[i],
					   .shut_ns = START + HOUR,
					   .open_ns = START + 5 * HOUR};
		struct mail mail = mail_new(&receiver);
		double before;

		mail_run(&mail, START + HOUR);
		before = per_minute(&mail);
		mail_run(&mail, START + 2 * HOUR);
		cr_expect_lt(mail.refused, 60, "%u refused in an hour", mail.refused);
		expect_words(&mail, "the receiver refuses");
		mail_run(&mail, START + 5 * HOUR);
		cr_expect_lt(mail.refused, 40, "%u refused in three hours more", mail.refused);
		mail_run(&mail, START + 6 * HOUR);
		cr_expect_gt(per_minute(&mail), 0.9 * before, "%g", per_minute(&mail));
	}
}

Test(control_refusals, leave_a_single_refusal_alone)
{
	struct refuser receiver = {.rate = 100, .burst = 1e6, .class = REPLY_OTHER, .share = 0.01};
	struct mail mail = mail_new(&receiver);

	mail.bounds.rate_max = 1;
	mail_run(&mail, START + HOUR);
	cr_expect_gt(mail.taken, 3600 * 0.97, "%u taken", mail.taken);
}

Test(control_refusals, climb_though_a_small_share_is_refused_at_any_rate)
{
	for (unsigned i = 0; i < WORDLESS; i++) {
		struct refuser receiver = {
			.rate = 1e3, .burst = 1e6, .class = wordless[i], .share = 0.05};
		struct mail mail = mail_new(&receiver);

		mail.bounds.rate_start = 0.1;
		mail_run(&mail, START + HOUR / 2);
		cr_expect_gt(per_minute(&mail), 60, "%s: %g a minute",
			     reply_class_name(receiver.class), per_minute(&mail));
	}
}

/* Of a flow that is plain nothing is kept: what was counted towards a trial must be. */
Test(control_refusals, are_not_forgotten_while_they_count)
{
	struct refuser receiver = {.rate = 1,
				   .burst = 20,
				   .class = REPLY_OTHER,
				   .shut_ns = START,
				   .open_ns = START + HOUR};
	struct mail mail = mail_new(&receiver);

	cr_expect(control_plain(&mail.state, &mail.bounds, START));
	while (mail.refused == 0)
		mail_run(&mail, mail.now_ns + SECOND);
	cr_expect_not(control_plain(&mail.state, &mail.bounds, mail.now_ns));
}
