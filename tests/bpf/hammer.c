// SPDX-License-Identifier: GPL-2.0
#include "regress.h"
const struct test hammer_tests[] = { {} };
