/* SPDX-License-Identifier: GPL-2.0 */
/* Running scripts: see progs/async_script.c. */
#ifndef __ASYNC_SCRIPT_HELPERS_H
#define __ASYNC_SCRIPT_HELPERS_H

#include "async_helpers.h"
#include "progs/async_script.h"
#include "async_script.skel.h"

#define FAR	3600000000000ULL	/* an hour: never in a test */
#define MS	1000000ULL
#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */

enum { PROG_A, PROG_B };
enum { IRQS_ON, IRQS_OFF, IN_NMI };

/* Load it; nmi says whose program runs in the NMI. NULL: the test has failed. */
struct async_script *script_load(int nmi);
/* A second instance over the maps of the first. */
struct async_script *script_load_sharing(struct async_script *from, int nmi);
void script_unload(struct async_script *sk);
/* async_test() of what is given a fresh one. */
void script_test(void (*test)(struct async_script *sk));

/* Steps into slot nr, run by prog in that context, results in the slot. */
struct script *script_put(struct async_script *sk, int nr, const struct step *s, int n);
int script_exec(struct async_script *sk, int nr, int prog, int context);
struct script *script_run(struct async_script *sk, int prog, int context,
			  const struct step *s, int n);
/* One step from task context: its return value. */
long one(struct async_script *sk, int prog, struct step s);
struct element *element(struct async_script *sk, int map, int key);
__u32 script_prog_id(struct async_script *sk, int prog);
bool script_drop_map(struct async_script *sk, int map);

/* A script, already put into slot nr, in a thread of its own on one CPU. */
struct runner {
	struct async_script *sk;
	int nr, prog, context, cpu;
	volatile bool waits, stop;	/* begin when it no longer waits */
	volatile unsigned long runs;
	int err;
	pthread_t thread;
};

void runner_start(struct runner *r);
int runner_join(struct runner *r);	/* 0, or the error of test_run */

#define STEP(op_, map_, key_, ...) \
	((struct step){ .op = op_, .map = map_, .key = key_, __VA_ARGS__ })
#define RUN(sk, prog, context, ...) ({					\
	struct step steps_[] = { __VA_ARGS__ };				\
									\
	script_run(sk, prog, context, steps_, ARRAY_SIZE(steps_));	\
})

/* Whether one step of program a in task context answers this. */
#define ANSWERS(want, op, map, key, ...)				\
	ASSERT_EQ(one(sk, PROG_A, STEP(op, map, key, __VA_ARGS__)), want, \
		  "line " TO_STR(__LINE__) ": " #op)

/* Attach what tells of the timer that T_WATCH chooses; calls: of hrtimer_start_range_ns() too. */
bool script_watch(struct async_script *sk, bool calls);

/* Tests that one CPU is enough for: async_one_cpu.c runs them there. */
void start_needs_callback(struct async_script *sk);
void bad_input(struct async_script *sk);
void own_callback(struct async_script *sk);
void never_started(struct async_script *sk);
void everything(struct async_script *sk);
void cancel_drops_prog(void);
void last_ref(void);
void trace_counts(struct async_script *sk);
void deferred_on_one_cpu(struct async_script *sk);

#endif
