/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "kumomta"
#include "tests/fuzz_ingest.h"
