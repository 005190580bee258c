// SPDX-License-Identifier: GPL-2.0
/* Cancels that wait for a callback, and those that would wait for what waits for them: H9. */
#include "async_script_helpers.h"
#include "timer_expiry.skel.h"

/* The same in progs/timer_expiry.c. */
enum { MODE_OFF, BEFORE, AFTER };

/* n timers on n CPUs whose callbacks all wait; then each does op to the next. */
static bool ring(struct async_script *sk, int map, __u32 op, int n)
{
	int i, started = 0, refused = 0;
	struct element *e[3];
	struct runner r[3] = {};
	struct script *sc;
	bool ok = false;

	sk->bss->gate[0] = 0;
	for (i = 0; i < n; i++) {
		e[i] = element(sk, map, i);
		e[i]->hold = 1;
		e[i]->act_op = op;
		e[i]->act_map = map;
		e[i]->act_key = (i + 1) % n;
		e[i]->t_begun = e[i]->t_ended = 0;
		sc = RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, map, i),
			 STEP(T_INIT, map, i, .flags = 1), STEP(T_SET, map, i));
		if (!ASSERT_OK(sc->s[0].ret, "update") || !ASSERT_OK(sc->s[1].ret, "init") ||
		    !ASSERT_OK(sc->s[2].ret, "set_callback"))
			return false;
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
		if (!ASSERT_TRUE(async_wait(e[i]->t_begun), "the timer fires"))
			goto out;
	}
	sk->bss->gate[0] = 1;
	for (i = 0; i < n; i++) {
		if (!ASSERT_TRUE(async_wait(e[i]->t_ended), "the callback ends"))
			goto out;
		refused += e[i]->act_ret == (async_cancel_waits() ? -EDEADLK : -EBUSY);
	}
	ok = op != T_CANCEL || ASSERT_GT(refused, 0, "cancels of a ring that are refused");
out:
	sk->bss->gate[0] = 1;
	for (i = 0; i < started; i++)
		ok &= ASSERT_OK(runner_join(&r[i]), "the starting script runs");
	return ok;
}

static void cancel_ring(struct async_script *sk)
{
	int n;

	async_pin(3);
	for (n = 2; n <= 3; n++)
		if (!ring(sk, HASH, T_CANCEL, n) || !ring(sk, ARR, T_CANCEL, n) ||
		    !ring(sk, HASH, OP_UPDATE, n) || !ring(sk, HASH, OP_DELETE, n) ||
		    !ring(sk, ARR, OP_UPDATE, n))
			return;
}

void serial_test_timer_cancel_ring(void)
{
	if (async_needs_cpus(4))
		script_test(cancel_ring);
}

/*
 * A cancel waits for the callback. On PREEMPT_RT it is refused instead, since the
 * callback may wait for a lock of the task that cancels. Either removes the callback,
 * and what the timer was started for before does not happen.
 */
static void cancel_running(struct async_script *sk)
{
	struct step start = STEP(T_START, HASH, 0, .flags = PIN), cancel = STEP(T_CANCEL, HASH, 0);
	struct runner starter = { .sk = sk, .nr = 1, .cpu = 1, .waits = true };
	struct runner canceller = { .sk = sk, .nr = 2, .cpu = 2, .waits = true };
	struct step mark = STEP(T_START, HASH, 1, .nsecs = 2 * MS, .flags = PIN);
	struct runner marker = { .sk = sk, .nr = 3, .cpu = 1 };
	struct element *e = element(sk, HASH, 0);
	struct script *sc;
	int key;

	async_pin(0);
	e->hold = 1;
	for (key = 0; key < 2; key++)
		if (!ANSWERS(0, OP_UPDATE, HASH, key) || !ANSWERS(0, T_INIT, HASH, key, .flags = 1) ||
		    !ANSWERS(0, T_SET, HASH, key))
			return;
	script_put(sk, 1, &start, 1);
	script_put(sk, 3, &mark, 1);
	sc = script_put(sk, 2, &cancel, 1);
	runner_start(&starter);
	runner_start(&canceller);
	starter.waits = false;
	ASSERT_TRUE(async_wait(e->t_begun), "the timer fires");
	ANSWERS(0, T_START, HASH, 0, .nsecs = MS);
	canceller.waits = false;
	if (async_cancel_waits()) {
		/* A start needs a callback. */
		ASSERT_TRUE(async_wait(one(sk, PROG_A, STEP(T_START, HASH, 0, .nsecs = FAR)) == -EINVAL),
			    "the callback is removed");
		ASSERT_FALSE(async_wait_turns(sc->runs, 50), "cancel returns while the callback is held");
		sk->bss->gate[0] = 1;
		ASSERT_OK(runner_join(&canceller), "the cancelling script runs");
		ASSERT_GE(sc->s[0].ret, 0, "cancel");
		ASSERT_EQ(e->t_ended, 1, "callbacks that have ended when cancel returns");
	} else {
		ASSERT_OK(runner_join(&canceller), "the cancelling script runs");
		ASSERT_EQ(sc->s[0].ret, -EBUSY, "cancel");
		ASSERT_EQ(e->t_ended, 0, "callbacks that have ended when cancel returns");
	}
	ANSWERS(0, T_SET, HASH, 0);
	sk->bss->gate[0] = 1;
	ASSERT_OK(runner_join(&starter), "the starting script runs");
	ASSERT_TRUE(async_wait(e->t_ended), "the callback ends");
	/* On the CPU of the callback, and later than the starts before the cancel. */
	runner_start(&marker);
	ASSERT_TRUE(async_wait(element(sk, HASH, 1)->t_ended), "the later timer fires");
	ASSERT_OK(runner_join(&marker), "the marking script runs");
	ASSERT_EQ(e->t_begun, 1, "calls");
}

void serial_test_timer_cancel_running(void)
{
	if (async_needs_cpus(3))
		script_test(cancel_running);
}

static void *start(void *arg)
{
	struct timer_expiry *skel = arg;

	return (void *)(long)async_run(skel->progs.start, 0);
}

/* Cancel from a program that traces the expiry of the same timer. */
static void cancel_in_expiry(__u32 when)
{
	struct timer_expiry *skel = timer_expiry__open_and_load();
	pthread_t thread;
	void *err;

	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(timer_expiry__attach(skel), "attach"))
		goto out;
	skel->bss->ret = 1;
	skel->bss->on = when;
	async_pin(0);
	/* The expiry is on top of this thread. */
	thread = async_thread(1, start, skel);
	if (!ASSERT_TRUE(async_wait(skel->bss->begun), "the tracepoint's program runs"))
		goto join;
	/* Nothing can be taken down under it: the CPU is lost. */
	if (!ASSERT_TRUE(async_wait(skel->bss->ended), "cancel returns in the expiry"))
		return;
	ASSERT_EQ(skel->bss->ret, async_cancel_waits() ? -EDEADLK : -EBUSY, "cancel");
	ASSERT_TRUE(async_wait(skel->bss->over), "the expiry ends");
	/* With -EDEADLK nothing was done, with -EBUSY the callback is removed. */
	ASSERT_EQ(skel->bss->fired, when == AFTER || async_cancel_waits(), "calls");
join:
	pthread_join(thread, &err);
	ASSERT_NULL(err, "error of the starting program");
out:
	timer_expiry__destroy(skel);
}

static void cancel_before_callback(void)
{
	cancel_in_expiry(BEFORE);
}

static void cancel_after_callback(void)
{
	cancel_in_expiry(AFTER);
}

void serial_test_timer_cancel_in_expiry(void)
{
	if (!async_needs_cpus(2))
		return;
	async_test(cancel_before_callback);
	async_test(cancel_after_callback);
}
