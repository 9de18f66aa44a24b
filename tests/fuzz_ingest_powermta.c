/* SPDX-License-Identifier: MIT */
#define FUZZ_FORMAT "powermta"
#include "tests/fuzz_ingest.h"
