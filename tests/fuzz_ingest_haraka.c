/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "haraka"
#include "tests/fuzz_ingest.h"
