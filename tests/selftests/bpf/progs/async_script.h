/* SPDX-License-Identifier: GPL-2.0 */
/* What async_script.c and its users both know: scripts of steps. */
#ifndef __ASYNC_SCRIPT_H
#define __ASYNC_SCRIPT_H

#define KEYS		4	/* elements the scripts use in each map */
#define SLOTS		(3 * KEYS)	/* of three maps */
#define STEPS		12
#define SCRIPTS		8

/* One step of a script. */
enum op {
	OP_NOP,
	T_INIT,		/* flags: clock id */
	T_SET,
	T_START,	/* nsecs, flags */
	T_CANCEL,
	T_CANCEL_ASYNC,
	W_INIT,
	W_SET,
	W_START,
	OP_DELETE,
	OP_UPDATE,
	OP_NMI,		/* nsecs: number of the script that runs in the NMI */
	OP_WAIT,		/* until gate[key] is set */
	OP_OPEN,		/* set gate[key] */
	T_FAR,		/* T_START in an hour, so that a callback can name it */
	T_WATCH,	/* of this element's timer struct watched tells from now on */
};

enum map_id { ARR, HASH, LRU };

struct step {
	__u32 op, map, key, flags;
	__u64 nsecs;
	__s64 ret;
};

struct script {
	__u32 n;
	__u32 irqs_off;
	__u32 context;	/* seen: bits of bpf_async_test_context() */
	__u32 runs;
	struct step s[STEPS];
};

/* What a callback of one element does and what is seen of it. */
struct element {
	__u32 hold;	/* wait for gate[hold - 1] when not 0 */
	__u32 act_op, act_map, act_key;	/* then do this */
	__s64 act_ret;
	__u64 t_begun, t_ended, w_begun, w_ended;
	__u64 fired_ns;
	__u32 cpu;
	__u32 prog;	/* 'a' or 'b': whose callback ran last */
};

/* What arrives at the hrtimer of one timer. */
struct watched {
	__u64 object, timer;	/* addresses; the timer's with its first start */
	__s64 asked;		/* the time that the last call was given */
	__s64 expires;		/* what it was set to, on the timer's clock */
	__u32 mode;		/* enum hrtimer_mode of it */
	__u32 armed;
	__u32 freed, freed_armed;
	__u64 calls, starts, cancels, expiries;
};

#endif
