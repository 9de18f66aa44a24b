/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "exim"
#include "tests/fuzz_ingest.h"
