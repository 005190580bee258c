// SPDX-License-Identifier: GPL-2.0
/* H36: a callback that starts its timer for a time that is over lets others have their turn. */
#include <bpf/bpf.h>

#include "regress.h"
#include "past.skel.h"

#define CPU	1
#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */
#define ENOUGH	10	/* turns of the task */
#define LIMIT	100000	/* callbacks in a row, with no turn of the task between them */

static volatile bool over;

static void *count_steps(void *bss)
{
	struct past_bpf__bss *g = bss;

	while (!over)
		SEEN(g->steps)++;
	return NULL;
}

static const char *chain(struct past_bpf *sk, u64 nsecs, u64 flags, const char *what)
{
	struct past_bpf__bss *g = sk->bss;
	u64 steps = g->steps;

	g->nsecs = nsecs;
	g->again_flags = flags | PIN;
	g->enough = ENOUGH;
	g->limit = LIMIT;
	if (!WAIT_UNTIL(g->steps != steps, 10))
		return fail("%s: the task does not run", what);
	pin_cpu(CPU);	/* where the timer is pinned to */
	if (run_prog(bpf_program__fd(sk->progs.start), 0))
		return fail("%s: cannot start the timer", what);
	pin_cpu(0);
	if (!WAIT_UNTIL(g->ended, 60))
		return fail("%s: the chain of callbacks broke off: start answered %d", what,
			    g->last_ret);
	say("%s: %llu callbacks, %llu turns of the task, %llu callbacks in a row at the most",
	    what, g->fired, g->turns, g->longest);
	if (g->turns < ENOUGH)
		return fail("%s: the task on that CPU had no turn in %llu callbacks", what,
			    g->longest);
	return NULL;
}

static const char *h36(int seconds)
{
	struct past_bpf *sk = past_bpf__open_and_load();
	const char *err = NULL;
	pthread_t task;

	if (!sk)
		return fail("cannot load past.bpf.o");
	over = false;
	task = thread_on(CPU, count_steps, sk->bss);
	/* The first is the control: so it is on every kernel. */
	err = chain(sk, 0, 0, "now") ?: chain(sk, 1, ABS, "long over") ?:
	      chain(sk, 0, ABS, "at 0") ?: chain(sk, -1, ABS, "before 0");
	over = true;
	pthread_join(task, NULL);
	past_bpf__destroy(sk);
	return err;
}

const struct test past_tests[] = {
	{ "H36", h36, "a callback starts its timer for a time that is over: others have their turn",
	  .own_boot = true, .c_says = "had no turn" },
	{}
};
