/* SPDX-License-Identifier: MIT
 *
 * The words that the texts of scenarios use, in the order from the most specific to the least.
 */
#include "sidecar/simulate_reply.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *word;
	struct simulate_class class;
} words[] = {
	{"concurrent connections",	   {REPLY_RATE, REPLY_LIMIT_CONNECTIONS}	},
	{"number of connections",	  {REPLY_RATE, REPLY_LIMIT_CONNECTIONS}   },
	{"Trop de connexions",	       {REPLY_RATE, REPLY_LIMIT_CONNECTIONS}   },
	{"too many connections",	 {REPLY_RATE, REPLY_LIMIT_CONNECTIONS}   },
	{"Too many connections",	 {REPLY_RATE, REPLY_LIMIT_CONNECTIONS}   },
	{"messages in this connection", {REPLY_RATE, REPLY_LIMIT_PER_CONNECTION}},
	{"messages per connection",	    {REPLY_RATE, REPLY_LIMIT_PER_CONNECTION}},
	{"per hour",		     {REPLY_RATE, REPLY_LIMIT_HOUR}	   },
	{"ourly",		       {REPLY_RATE, REPLY_LIMIT_HOUR}		},
	{"per day",		     {REPLY_RATE, REPLY_LIMIT_DAY}		 },
	{"aily",			{REPLY_RATE, REPLY_LIMIT_DAY}	      },
	{"4.7.65",		      {REPLY_REPUTATION, REPLY_LIMIT_NONE}    },
	{"TSS0",			{REPLY_REPUTATION, REPLY_LIMIT_NONE}    },
	{"4.7.5",		       {REPLY_PATTERN, REPLY_LIMIT_NONE}	   },
	{"reylist",		     {REPLY_GREYLIST, REPLY_LIMIT_NONE}      },
	{"4.2.",			{REPLY_RECIPIENT, REPLY_LIMIT_NONE}	    },
	{"4.7.0 Temporary server",	   {REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE}},
	{"4.3.",			{REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE}},
	{"4.4.",			{REPLY_INFRASTRUCTURE, REPLY_LIMIT_NONE}},
};

void simulate_reply_class(const char *text, struct simulate_class *ret)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strstr(text, words[i].word)) {
			*ret = words[i].class;
			return;
		}
	*ret = (struct simulate_class){REPLY_RATE, REPLY_LIMIT_MESSAGES};
}
