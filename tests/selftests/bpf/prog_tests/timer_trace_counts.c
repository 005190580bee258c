// SPDX-License-Identifier: GPL-2.0
/*
 * How often an operation is seen in the tracepoints hrtimer_start,
 * hrtimer_cancel and hrtimer_expire_entry, done at once and deferred: H40. In
 * Rust a deferred operation that a newer one supersedes is not performed, and so
 * not seen; that is the only difference.
 */
#include "async_script_helpers.h"

#define START	STEP(T_START, HASH, 0, .nsecs = FAR)
#define CANCEL	STEP(T_CANCEL_ASYNC, HASH, 0)

struct traces {
	__u32 starts, cancels, expiries;
};

static const struct traced {
	const char *what;
	bool armed;		/* before */
	bool only_at_once;
	int n;
	struct step s[3];
	struct traces want, newest;	/* all performed; the newest alone, where that differs */
} cases[] = {
	{ "start", false, false, 1, { START }, { 1, 0, 0 } },
	{ "start of a started timer", true, false, 1, { START }, { 1, 0, 0 } },
	{ "cancel_async", true, false, 1, { CANCEL }, { 0, 1, 0 } },
	{ "cancel_async of an idle timer", false, false, 1, { CANCEL }, { 0, 0, 0 } },
	{ "start that fires", false, false, 1, { STEP(T_START, HASH, 0, .nsecs = 0) }, { 1, 0, 1 } },
	{ "cancel", true, true, 1, { STEP(T_CANCEL, HASH, 0) }, { 0, 1, 0 } },
	{ "cancel of an idle timer", false, true, 1, { STEP(T_CANCEL, HASH, 0) }, { 0, 0, 0 } },
	{ "delete", true, false, 1, { STEP(OP_DELETE, HASH, 0) }, { 0, 1, 0 } },
	{ "delete of an idle timer", false, false, 1, { STEP(OP_DELETE, HASH, 0) }, { 0, 0, 0 } },
	{ "start, start, cancel_async", false, false, 3, { START, START, CANCEL },
	  { 2, 1, 0 }, { 0, 0, 0 } },
	{ "cancel_async, start", true, false, 2, { CANCEL, START }, { 1, 1, 0 }, { 1, 0, 0 } },
	{ "start, delete", false, false, 2, { START, STEP(OP_DELETE, HASH, 0) },
	  { 1, 1, 0 }, { 0, 0, 0 } },
};

static bool seen(const struct watched *w, const struct traces *t)
{
	return w->starts == t->starts && w->cancels == t->cancels && w->expiries == t->expiries;
}

static bool count(struct async_script *sk, const struct traced *c, int context, bool rust)
{
	const struct traces *want = c->n > 1 && context != IRQS_ON && rust ? &c->newest : &c->want;
	struct watched *w = &sk->bss->watched;
	struct script *sc;
	int i;

	sc = RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1),
		 STEP(T_SET, HASH, 0));
	for (i = 0; i < 3; i++)
		if (!ASSERT_OK(sc->s[i].ret, "step to set up"))
			return false;
	if (c->armed && !ASSERT_OK(one(sk, PROG_A, START), "start to set up"))
		return false;
	/* The map frees the timer before this one with interrupts off: the tick may have to do it. */
	async_tick();
	if (!ASSERT_OK(one(sk, PROG_A, STEP(T_WATCH, HASH, 0)), "a timer to watch"))
		return false;
	sc = script_run(sk, PROG_A, context, c->s, c->n);
	for (i = 0; i < c->n; i++)
		if (sc->s[i].ret != -ECANCELED && !ASSERT_GE(sc->s[i].ret, 0, "step"))
			return false;
	async_wait(seen(w, want));
	/* What is one too many is not later than a grace period. */
	async_sync_rcu();
	return ASSERT_EQ(w->starts, want->starts, "starts seen") &&
	       ASSERT_EQ(w->cancels, want->cancels, "cancels seen") &&
	       ASSERT_EQ(w->expiries, want->expiries, "expiries seen");
}

void trace_counts(struct async_script *sk)
{
	static const char *const contexts[] = { "at once", "with interrupts off", "in an NMI" };
	bool rust = async_is_rust();
	int i, context;

	if (!script_watch(sk, false))
		return;
	async_pin(0);
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (context = IRQS_ON; context <= IN_NMI; context++) {
			if (cases[i].only_at_once && context != IRQS_ON)
				continue;
			if (!count(sk, &cases[i], context, rust)) {
				printf("%s %s\n", cases[i].what, contexts[context]);
				return;
			}
		}
}

void serial_test_timer_trace_counts(void)
{
	script_test(trace_counts);
}
