/* SPDX-License-Identifier: GPL-2.0 */
/* What H3 and H30 have in common: see gaps.c. */
#ifndef GAPS_H
#define GAPS_H

#include <pthread.h>

#include "regress.h"
#include "gaps.skel.h"

#define WORKER		2	/* the CPU of the work item */

extern const char *const work_functions[];

/* The observer, which stays, and has the globals of both. */
struct gaps_bpf *load_observer(void);

/* A victim with the observer's globals, its work item started on its CPU. */
struct gaps_bpf *load_victim(struct gaps_bpf *observer, bool inner);
bool delete_victim(struct gaps_bpf *sk);

/* Grace periods of RCU and RCU Tasks Trace, waited for in a thread. */
struct grace {
	pthread_t thread;
	int outer;	/* when not 0: the map of maps that is emptied first */
	volatile bool over;
};

void grace_begin(struct grace *g);

/*
 * All offsets of a function, in an order that is even over it at any time: so
 * when there is no time for all of them it is a sample that is left.
 */
struct sweep {
	const struct function *f;
	unsigned int n, offset;
};

bool next_offset(struct sweep *s, uint64_t end);

/*
 * Whether an error of stall_at() says that there is nothing to hold at: the
 * middle of an instruction, one of ftrace's, or one too long for a probe, as
 * only the padding behind a function has it.
 */
bool no_instruction(int err);

#endif /* GAPS_H */
