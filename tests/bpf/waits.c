// SPDX-License-Identifier: GPL-2.0
/* H9, expiry: a cancel that would wait for what waits for it. */
#include <errno.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "script.skel.h"
#include "waits.skel.h"

#define PIN		2

/* The same in waits.bpf.c. */
enum { MODE_OFF, BEFORE, AFTER };

/* n timers on n CPUs whose callbacks all wait; then each does op to the next. */
static const char *ring(struct script_bpf *sk, int map, u32 op, int n)
{
	struct element *e[3];
	struct runner r[3] = {};
	const char *err = NULL;
	struct script *sc;
	int i, started = 0, refused = 0;

	gate_close(sk, 0);
	for (i = 0; i < n; i++) {
		e[i] = element(sk, map, i);
		e[i]->hold = 1;
		e[i]->act_op = op;
		e[i]->act_map = map;
		e[i]->act_key = (i + 1) % n;
		e[i]->t_begun = e[i]->t_ended = 0;
		sc = RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, map, i),
			 STEP(T_INIT, map, i, .flags = 1), STEP(T_SET, map, i));
		CHECK(!sc->s[0].ret && !sc->s[1].ret && !sc->s[2].ret,
		      "timer %d of %d: update %lld, init %lld, set_callback %lld", i, n,
		      (long long)sc->s[0].ret, (long long)sc->s[1].ret, (long long)sc->s[2].ret);
	}
	/* All threads before the first callback: what it interrupts may have a lock that mmap needs. */
	for (i = 0; i < n; i++) {
		struct step s = STEP(T_START, map, i, .nsecs = 0, .flags = PIN);

		/* The callback may run on top of this thread and keep it. */
		r[i] = (struct runner){ .sk = sk, .nr = 1 + i, .cpu = i, .waits = true };
		script_put(sk, 1 + i, &s, 1);
		runner_start(&r[i]);
		started++;
	}
	for (i = 0; i < n; i++) {
		r[i].waits = false;
		CHECK(WAIT_UNTIL(e[i]->t_begun, 10), "timer %d of %d did not fire: start %u, %lld",
		      i, n, sk->bss->scripts[1 + i].runs,
		      (long long)sk->bss->scripts[1 + i].s[0].ret);
	}
	gate_open(sk, 0);
	for (i = 0; i < n; i++) {
		CHECK(WAIT_UNTIL(e[i]->t_ended, 10), "callback %d of %d hangs", i, n);
		refused += e[i]->act_ret == -EDEADLK;
	}
	CHECK(op != T_CANCEL || refused, "a ring of %d cancels and none was refused", n);
out:
	gate_open(sk, 0);
	for (i = 0; i < started; i++)
		if (runner_join(&r[i]))
			err = fail("the script that starts timer %d did not run", i);
	return err;
}

static const char *h9(int seconds)
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err = NULL;
	int n;

	if (!sk)
		return fail("cannot load script.bpf.o");
	pin_cpu(3);
	for (n = 2; n <= 3 && !err; n++) {
		err = ring(sk, HASH, T_CANCEL, n);
		err = err ?: ring(sk, ARR, T_CANCEL, n);
		err = err ?: ring(sk, HASH, OP_UPDATE, n);
		err = err ?: ring(sk, HASH, OP_DELETE, n);
		err = err ?: ring(sk, ARR, OP_UPDATE, n);
	}
	script_unload(sk);
	return err;
}

/* Cancel from a program that traces the expiry of the same timer. */
static const char *in_expiry(u32 when)
{
	struct waits_bpf *sk = waits_bpf__open_and_load();
	const char *err = NULL;

	CHECK(sk && !waits_bpf__attach(sk), "cannot load waits.bpf.o");
	sk->bss->ret = 1;
	sk->bss->on = when;
	pin_cpu(1);
	CHECK(!run_prog(bpf_program__fd(sk->progs.start), 0), "the starting program did not run");
	pin_cpu(0);
	CHECK(WAIT_UNTIL(sk->bss->begun, 10), "the tracepoint's program did not run: %d",
	      sk->bss->ret);
	/* Nothing can be taken down under it: the CPU is lost. */
	if (!WAIT_UNTIL(sk->bss->ended, 10))
		return fail("cancel waits for the expiry that it is called in");
	CHECK(sk->bss->ret == -EDEADLK, "cancel answered %d", sk->bss->ret);
	CHECK(sk->bss->fired == (when == AFTER), "called %llu times",
	      (unsigned long long)sk->bss->fired);
out:
	waits_bpf__destroy(sk);
	return err;
}

static const char *expiry(int seconds)
{
	return in_expiry(BEFORE) ?: in_expiry(AFTER);
}

const struct test waits_tests[] = {
	{ "H9", h9, "callbacks that cancel or free each other in a ring", .own_boot = true },
	{ "expiry", expiry, "cancel from a trace of the timer's own expiry", .own_boot = true,
	  .one_thread = true,
	  .c_says = "soft lockup|hard LOCKUP|stall|cancel waits for|time limit" },
	{}
};
