/* SPDX-License-Identifier: MIT
 *
 * What families of receivers answer to a sender over a limit, in the wording that senders report.
 *
 * %s stands for the source address. What a family does not tell apart has the same text twice.
 */
#include "bench/lib/smtpd.h"

#include <string.h>

#define MICROSOFT_RATE                                                                     \
	"421 RP-001 Unfortunately, some messages from %s weren't sent. Please try again. " \
	"We have limits for how many messages can be sent per hour and per day."
#define YAHOO_RATE                                                                             \
	"421 4.7.0 [TSS04] Messages from %s temporarily deferred due to unexpected volume or " \
	"user "                                                                                \
	"complaints - 4.16.55.1"
#define GOOGLE_RATE                                                                               \
	"421-4.7.28 Gmail has detected an unusual rate of mail originating from your IP address " \
	"%s.\r\n"                                                                                 \
	"421 4.7.28 To protect our users, mail has been temporarily rate limited. - gsmtp"
#define APPLE_RATE                                                                                 \
	"450 4.7.1 [HM07] Mail from IP %s was deferred due to excessive volume. Please try again " \
	"later."
#define COMCAST_RATE "421 4.2.0 %s Throttled - too many messages. RL000010"
#define ORANGE_RATE  "421 4.3.2 Service refuse. Veuillez essayer plus tard. OFR004_105 [%s]"

struct family {
	const char *name;
	const char *texts[THROTTLE_ANSWERS];
};

static const struct family families[] = {
	{"microsoft",
	 {
		 [THROTTLE_OK] = "250 2.0.0 OK",
		 [THROTTLE_RATE] = MICROSOFT_RATE,
		 [THROTTLE_HOUR] = MICROSOFT_RATE,
		 [THROTTLE_DAY] = MICROSOFT_RATE,
		 [THROTTLE_CONNECTIONS] =
			 "451 4.7.652 The mail server [%s] has exceeded the maximum "
			 "number of connections. (S3115)",
		 [THROTTLE_PER_CONNECTION] =
			 "421 4.7.0 Too many messages on this connection from %s",
		 [THROTTLE_PENALTY] =
			 "451 4.7.650 The mail server [%s] has been temporarily rate "
			 "limited due to IP reputation. For e-mail delivery information, "
			 "see https://postmaster.live.com (S775)",
		 [THROTTLE_GREYLIST] = "450 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] =
			 "451 4.7.0 Temporary server error. Please try again later. PRX4",
	 }},
	{"yahoo",
	 {
		 [THROTTLE_OK] = "250 ok dirdel",
		 [THROTTLE_RATE] = YAHOO_RATE,
		 [THROTTLE_HOUR] = YAHOO_RATE,
		 [THROTTLE_DAY] = YAHOO_RATE,
		 [THROTTLE_CONNECTIONS] =
			 "421 Max concurrent connections from %s reached, try later",
		 [THROTTLE_PER_CONNECTION] = "421 Max message per connection reached, closing "
					     "transmission channel",
		 [THROTTLE_PENALTY] =
			 "421 4.7.0 [TSS05] Messages from %s temporarily deferred due to "
			 "user complaints - 4.16.56.1",
		 [THROTTLE_GREYLIST] = "451 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] =
			 "451 4.3.2 Resources temporarily not available - Please try again "
			 "later [#4.16.5].",
	 }},
	{"google",
	 {
		 [THROTTLE_OK] = "250 2.0.0 OK - gsmtp",
		 [THROTTLE_RATE] = GOOGLE_RATE,
		 [THROTTLE_HOUR] = GOOGLE_RATE,
		 [THROTTLE_DAY] = GOOGLE_RATE,
		 [THROTTLE_CONNECTIONS] =
			 "421 4.7.0 [%s] Too many simultaneous connections, please "
			 "try again later. - gsmtp",
		 [THROTTLE_PER_CONNECTION] =
			 "421 4.7.0 Too many messages on this connection, closing. "
			 "- gsmtp",
		 [THROTTLE_PENALTY] = GOOGLE_RATE,
		 [THROTTLE_GREYLIST] = "451 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] = "451 4.3.0 Mail server temporarily rejected message. - gsmtp",
	 }},
	{"apple",
	 {
		 [THROTTLE_OK] = "250 2.0.0 Ok: queued",
		 [THROTTLE_RATE] = APPLE_RATE,
		 [THROTTLE_HOUR] = APPLE_RATE,
		 [THROTTLE_DAY] = APPLE_RATE,
		 [THROTTLE_CONNECTIONS] = "421 4.7.0 Too many concurrent connections from %s",
		 [THROTTLE_PER_CONNECTION] = "421 4.7.0 Too many messages on this connection",
		 [THROTTLE_PENALTY] = "421 4.7.1 [HM08] Mail from IP %s deferred due to poor "
				      "reputation",
		 [THROTTLE_GREYLIST] = "450 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] = "451 4.3.2 Service temporarily unavailable",
	 }},
	{"comcast",
	 {
		 [THROTTLE_OK] = "250 2.0.0 OK",
		 [THROTTLE_RATE] = COMCAST_RATE,
		 [THROTTLE_HOUR] = COMCAST_RATE,
		 [THROTTLE_DAY] = COMCAST_RATE,
		 [THROTTLE_CONNECTIONS] = "421 4.2.0 %s Too many sessions opened. RL000001",
		 [THROTTLE_PER_CONNECTION] =
			 "421 4.2.0 Too many messages on this connection. RL000002",
		 [THROTTLE_PENALTY] = "421 4.7.0 %s Throttled - reputation. RL000012",
		 [THROTTLE_GREYLIST] = "450 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] = "421 4.3.0 Service temporarily unavailable",
	 }},
	{"orange",
	 {
		 [THROTTLE_OK] = "250 2.0.0 OK",
		 [THROTTLE_RATE] = ORANGE_RATE,
		 [THROTTLE_HOUR] = ORANGE_RATE,
		 [THROTTLE_DAY] = ORANGE_RATE,
		 [THROTTLE_CONNECTIONS] = "421 4.3.2 Trop de connexions, veuillez verifier votre "
					  "configuration. OFR004_104 [%s]",
		 [THROTTLE_PER_CONNECTION] = "421 4.3.2 Trop de messages sur cette connexion. "
					     "OFR004_103",
		 [THROTTLE_PENALTY] = "421 4.7.0 Service refuse. Veuillez essayer plus tard. "
				      "OFR005_100 [%s]",
		 [THROTTLE_GREYLIST] = "450 4.7.1 Greylisted, please try again later",
		 [THROTTLE_NOISE] = "451 4.3.0 Erreur temporaire",
	 }},
};

const char *const *smtpd_family(const char *name)
{
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (strcmp(families[i].name, name) == 0)
			return families[i].texts;
	return NULL;
}
