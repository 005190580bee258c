/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs and the loader of the benchmark both know. */
#ifndef BENCH_H
#define BENCH_H

#define ELEMENTS	256	/* of a map, and samples of one run */
#define MANY		100000	/* elements that are freed together */

/* What is done in a run before and after what is measured. */
#define FAR_NS		3600000000000ULL
#define FAR_ABS_NS	(1ULL << 60)

/* How far apart timers expire that are to expire together. */
#define SPREAD_NS	1000000ULL

/* What several CPUs do at the same time: operations of one run of a program. */
#define LOAD_CPUS	4
#define LOAD_OPS	500
#define DUE_NS		200000ULL	/* how far ahead a timer is started that has to be in time */

#endif
