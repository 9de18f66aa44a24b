/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "sendgrid"
#include "tests/fuzz_ingest.h"
