/* SPDX-License-Identifier: GPL-2.0 */
/* What async_stress.c does and counts. */
#ifndef __ASYNC_STRESS_H
#define __ASYNC_STRESS_H

#define MAX_CPUS	64
#define ELEMS		16
#define OUTER		2	/* inner maps at a time */

enum kind {
	K_T_INIT, K_T_SET, K_T_START, K_T_CANCEL, K_T_ASYNC, K_W_INIT, K_W_SET, K_W_START,
	K_LOOKUP, K_UPDATE, K_DELETE, KINDS
};

enum where { W_TASK, W_SOFTIRQ, W_WORK, W_IRQS_OFF, W_NMI, WHERES };

enum which { M_ARRAY, M_HASH, M_LRU, M_INNER, MAPS };

/* A canary stands at both ends of a value: head, and its complement as tail. */
#define CANARY		0xbadcab1e0000ULL
#define HEAD(which, key) (CANARY | (which) << 8 | (key))

/* What must not be, and is looked for all the time. */
enum wrong {
	X_HEAD,		/* a value's first word is not what it must be */
	X_TAIL,		/* nor its last */
	X_IDENTITY,	/* a callback does not run as the program it belongs to */
	X_CONTEXT,	/* something runs in a context that it must not run in */
	X_ANSWER,	/* an operation answers what no document names */
	WRONGS
};

/* Of all programs together: they share the map that this is in. */
struct totals {
	__u64 done[WHERES * KINDS];
	__u64 on_map[MAPS];
	__u64 timers, works, slept;	/* callbacks; works that have slept */
	__u64 wrong[WRONGS];
	__u64 value[WRONGS];	/* the last one seen */
	__u32 kind[WRONGS], where[WRONGS];
};

#endif
