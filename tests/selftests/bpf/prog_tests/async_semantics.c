// SPDX-License-Identifier: GPL-2.0
/* What each call answers and what becomes of it: H23, H24, H28, H32. */
#include "async_script_helpers.h"

#define SOFT	4	/* HRTIMER_MODE_SOFT, as every bpf_timer */

void start_needs_callback(struct async_script *sk)
{
	int map;

	for (map = ARR; map <= LRU; map++) {
		if (!ANSWERS(0, T_INIT, map, 0, .flags = 1) ||
		    !ANSWERS(-EINVAL, T_START, map, 0, .nsecs = FAR) ||
		    !ANSWERS(0, T_SET, map, 0) ||
		    !ANSWERS(0, T_START, map, 0, .nsecs = FAR) ||
		    !ANSWERS(1, T_CANCEL, map, 0) ||
		    !ANSWERS(-EINVAL, T_START, map, 0, .nsecs = FAR) ||
		    !ANSWERS(0, T_CANCEL, map, 0) ||
		    !ANSWERS(0, T_SET, map, 0) ||
		    !ANSWERS(0, T_START, map, 0, .nsecs = FAR) ||
		    !ANSWERS(1, T_CANCEL_ASYNC, map, 0) ||
		    !ANSWERS(0, T_CANCEL_ASYNC, map, 0) ||
		    !ANSWERS(0, T_START, map, 0, .nsecs = 0) ||
		    !ASSERT_TRUE(async_wait(element(sk, map, 0)->t_ended == 1), "timer fires"))
			return;

		if (!ANSWERS(0, W_INIT, map, 1) ||
		    !ANSWERS(-EINVAL, W_START, map, 1) ||
		    !ANSWERS(0, W_SET, map, 1) ||
		    !ANSWERS(0, W_START, map, 1) ||
		    !ASSERT_TRUE(async_wait(element(sk, map, 1)->w_ended == 1), "work runs"))
			return;
	}
}

void serial_test_async_start_needs_callback(void)
{
	script_test(start_needs_callback);
}

/* A with IRQs off does op and waits; B meanwhile does the steps; then A goes on. */
static bool meanwhile(struct async_script *sk, struct step op, const struct step *b, int n)
{
	struct step a[] = { op, STEP(OP_OPEN, 0, 0), STEP(OP_WAIT, 0, 1) };
	struct runner ra = { .sk = sk, .nr = 1, .context = IRQS_OFF, .cpu = 0 };
	struct script *sa, *sb;
	bool began, ok;
	int i;

	sk->bss->gate[0] = sk->bss->gate[1] = 0;
	sa = script_put(sk, 1, a, ARRAY_SIZE(a));
	async_pin(1);
	runner_start(&ra);
	sb = RUN(sk, PROG_A, IRQS_ON, STEP(OP_WAIT, 0, 0));
	began = !sb->s[0].ret;
	if (began)
		sb = script_run(sk, PROG_A, IRQS_ON, b, n);
	sk->bss->gate[1] = 1;
	/* Nothing is printed before: the console may need an interrupt of A's CPU. */
	ok = ASSERT_OK(runner_join(&ra), "the script with IRQs off runs") &&
	     ASSERT_TRUE(began, "the script with IRQs off begins") &&
	     ASSERT_OK(sa->s[2].ret, "it waits for the other CPU");
	for (i = 0; i < n && ok; i++)
		ok = ASSERT_GE(sb->s[i].ret, 0, "step on the other CPU");
	return ok;
}

static void newest_wins(struct async_script *sk)
{
	struct step cancel_set[] = { STEP(T_CANCEL, HASH, 0), STEP(T_SET, HASH, 0) };
	struct step start[] = { STEP(T_START, HASH, 1, .nsecs = FAR) };
	int key;

	for (key = 0; key < 2; key++)
		if (!ANSWERS(0, T_INIT, HASH, key, .flags = 1) || !ANSWERS(0, T_SET, HASH, key))
			return;
	if (!meanwhile(sk, STEP(T_START, HASH, 0, .nsecs = FAR), cancel_set, 2))
		return;
	/* After the deferred operation has been performed: is the timer armed? */
	if (!ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)), 0,
		       "armed by a start that returned before cancel() was called"))
		return;
	if (!meanwhile(sk, STEP(T_CANCEL_ASYNC, HASH, 1), start, 1))
		return;
	ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 1)), 1,
		  "armed in spite of a cancel_async() that returned before start() was called");
}

void serial_test_timer_newest_wins(void)
{
	if (async_needs_cpus(2))
		script_test(newest_wins);
}

/* The CPU time of its thread, which spins while it waits. */
static __u64 cpu_ns(const struct runner *r)
{
	struct timespec t;
	clockid_t clock;

	if (pthread_getcpuclockid(r->thread, &clock) || clock_gettime(clock, &t))
		return 0;
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * A deferred start is held inside hrtimer_start() on CPU 0; an NMI on CPU 1
 * asks for a cancel, CPU 2 cancels inline. Once that has returned, nothing may
 * be armed, whenever CPU 0 goes on.
 */
static void cancel_held_start(struct async_script *sk)
{
	struct step start = STEP(T_START, HASH, 0, .nsecs = FAR);
	struct step cancel[] = { STEP(OP_OPEN, 0, 0), STEP(T_CANCEL, HASH, 0) };
	struct runner a = { .sk = sk, .nr = 1, .context = IRQS_OFF, .cpu = 0 };
	struct runner c = { .sk = sk, .nr = 2, .cpu = 2 };
	bool a_runs = false, c_runs = false;
	struct script *sc;

	if (!ANSWERS(0, T_INIT, HASH, 0, .flags = 1) || !ANSWERS(0, T_SET, HASH, 0))
		return;
	script_put(sk, 1, &start, 1);
	script_put(sk, 2, cancel, 2);
	async_pin(1);
	if (!ASSERT_OK(async_stall_args("hrtimer_start_range_ns", 0, SOFT), "probe"))
		goto out;
	runner_start(&a);
	a_runs = true;
	if (!ASSERT_TRUE(async_wait(async_stalled(0)), "the deferred start is performed"))
		goto out;
	sc = RUN(sk, PROG_A, IN_NMI, STEP(T_CANCEL_ASYNC, HASH, 0));
	if (!ASSERT_EQ(sc->s[0].ret, -ECANCELED, "cancel_async in NMI"))
		goto out;
	runner_start(&c);
	c_runs = true;
	if (!ASSERT_TRUE(async_wait(sk->bss->gate[0]), "the cancelling script begins"))
		goto out;
	/* Either it returns, or it rightly waits for the start: both are fine. */
	if (!ASSERT_TRUE(async_wait(c.runs || cpu_ns(&c) > 200000000), "cancel has begun"))
		goto out;
	async_stall_end(0);
	c_runs = false;
	if (!ASSERT_OK(runner_join(&c), "the cancelling script runs"))
		goto out;
	a_runs = false;
	if (!ASSERT_OK(runner_join(&a), "the starting script runs"))
		goto out;
	ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)), 0,
		  "armed by a start that was being performed when cancel() returned");
out:
	async_stall_end(0);
	if (a_runs)
		runner_join(&a);
	if (c_runs)
		runner_join(&c);
}

void serial_test_timer_cancel_held_start(void)
{
	if (async_needs_cpus(3))
		script_test(cancel_held_start);
}

void bad_input(struct async_script *sk)
{
	struct script *sc;
	int map;

	for (map = ARR; map <= LRU; map++) {
		if (!ANSWERS(-EINVAL, T_SET, map, 0) ||
		    !ANSWERS(-EINVAL, T_START, map, 0) ||
		    !ANSWERS(-EINVAL, T_CANCEL, map, 0) ||
		    !ANSWERS(-EINVAL, T_CANCEL_ASYNC, map, 0) ||
		    !ANSWERS(-EINVAL, W_SET, map, 0) ||
		    !ANSWERS(-EINVAL, W_START, map, 0) ||
		    !ANSWERS(-EINVAL, T_INIT, map, 0, .flags = 2) ||
		    !ANSWERS(-EINVAL, T_INIT, map, 0, .flags = 16) ||
		    !ANSWERS(-EINVAL, T_INIT, map, 0, .flags = 17) ||
		    !ANSWERS(-EINVAL, T_INIT, map, 0, .flags = 8) ||
		    !ANSWERS(-EINVAL, W_INIT, map, 0, .flags = 1))
			return;

		if (!ANSWERS(0, T_INIT, map, 0, .flags = 1) ||
		    !ANSWERS(-EBUSY, T_INIT, map, 0, .flags = 1) ||
		    !ANSWERS(0, T_SET, map, 0) ||
		    !ANSWERS(-EINVAL, T_START, map, 0, .nsecs = FAR, .flags = 4) ||
		    !ANSWERS(0, T_CANCEL_ASYNC, map, 0) ||
		    !ANSWERS(0, T_START, map, 0, .nsecs = FAR, .flags = ABS | PIN))
			return;
		sc = RUN(sk, PROG_A, IRQS_OFF, STEP(T_CANCEL, map, 0));
		if (!ASSERT_EQ(sc->s[0].ret, -EOPNOTSUPP, "cancel with IRQs off"))
			return;
		sc = RUN(sk, PROG_A, IN_NMI, STEP(T_CANCEL, map, 0));
		if (!ASSERT_EQ(sc->s[0].ret, -EOPNOTSUPP, "cancel in NMI") ||
		    !ANSWERS(1, T_CANCEL_ASYNC, map, 0))
			return;

		if (!ANSWERS(0, W_INIT, map, 1) ||
		    !ANSWERS(-EBUSY, W_INIT, map, 1) ||
		    !ANSWERS(-EINVAL, W_SET, map, 1, .flags = 1) ||
		    !ANSWERS(-EINVAL, W_START, map, 1) ||
		    !ANSWERS(0, W_SET, map, 1) ||
		    !ANSWERS(-EINVAL, W_START, map, 1, .flags = 1))
			return;
	}
	if (!script_drop_map(sk, HASH))
		return;
	ANSWERS(-EPERM, T_INIT, HASH, 2, .flags = 1);
	ANSWERS(-EPERM, W_INIT, HASH, 2);
	ANSWERS(-EINVAL, T_SET, HASH, 0);
}

void serial_test_async_bad_input(void)
{
	script_test(bad_input);
}
