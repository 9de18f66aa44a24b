/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "json"
#include "tests/fuzz_ingest.h"
