// SPDX-License-Identifier: GPL-2.0
/*
 * H40: how often an operation is seen in the tracepoints hrtimer_start,
 * hrtimer_cancel and hrtimer_expire_entry, done at once and deferred. In Rust a
 * deferred operation that a newer one supersedes is not performed, and so not
 * seen; that is the only difference.
 */
#include <errno.h>

#include <bpf/libbpf.h>

#include "regress.h"
#include "script.skel.h"

#define FAR	3600000000000ULL	/* an hour: never in a test */

#define START	STEP(T_START, HASH, 0, .nsecs = FAR)
#define CANCEL	STEP(T_CANCEL_ASYNC, HASH, 0)

struct traces {
	u32 starts, cancels, expiries;
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

static const char *count(struct script_bpf *sk, const struct traced *c, int context)
{
	static const char *const contexts[] = { "at once", "with interrupts off", "in an NMI" };
	const struct traces *want = c->n > 1 && context != IRQS_ON && is_rust() ? &c->newest : &c->want;
	struct watched *w = &sk->bss->watched;
	struct script *sc;
	int i;

	sc = RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1),
		 STEP(T_SET, HASH, 0));
	for (i = 0; i < 3; i++)
		if (sc->s[i].ret)
			return fail("step %d to set up: %lld", i, (long long)sc->s[i].ret);
	if (c->armed && one(sk, PROG_A, START))
		return fail("start to set up");
	/* The map frees the timer before this one with interrupts off: the tick may have to do it. */
	tick_wait();
	if (one(sk, PROG_A, STEP(T_WATCH, HASH, 0)))
		return fail("no timer to watch");
	sc = script_run(sk, PROG_A, context, c->s, c->n);
	for (i = 0; i < c->n; i++)
		if (sc->s[i].ret < 0 && sc->s[i].ret != -ECANCELED)
			return fail("%s %s: step %d answered %lld", c->what, contexts[context], i,
				    (long long)sc->s[i].ret);
	WAIT_UNTIL(seen(w, want), 10);
	/* What is one too many is not later than a grace period. */
	rcu_wait();
	if (!seen(w, want))
		return fail("%s %s: %llu starts, %llu cancels, %llu expiries seen, not %u, %u, %u",
			    c->what, contexts[context], (unsigned long long)w->starts,
			    (unsigned long long)w->cancels, (unsigned long long)w->expiries,
			    want->starts, want->cancels, want->expiries);
	return NULL;
}

static const char *h40(int seconds)
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err = NULL;
	int context;
	size_t i;

	CHECK(sk, "cannot load script.bpf.o");
	sk->links.see_start = bpf_program__attach(sk->progs.see_start);
	sk->links.see_cancel = bpf_program__attach(sk->progs.see_cancel);
	sk->links.see_expire = bpf_program__attach(sk->progs.see_expire);
	CHECK(sk->links.see_start && sk->links.see_cancel && sk->links.see_expire,
	      "cannot watch hrtimers");
	pin_cpu(0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (context = IRQS_ON; context <= IN_NMI; context++)
			if (!cases[i].only_at_once || context == IRQS_ON)
				if ((err = count(sk, &cases[i], context)))
					goto out;
out:
	script_unload(sk);
	return err;
}

const struct test traced_tests[] = {
	{ "H40", h40, "what the tracepoints of hrtimers see of each operation", .one_thread = true },
	{}
};
