/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "postfix"
#include "tests/fuzz_ingest.h"
