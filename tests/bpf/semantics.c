// SPDX-License-Identifier: GPL-2.0
/* H23, H24, H28, H32: what each call answers and what becomes of it. */
#include <errno.h>

#include "regress.h"
#include "script.skel.h"

#define FAR	3600000000000ULL	/* an hour: never in a test */
#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */
#define SOFT	4	/* HRTIMER_MODE_SOFT, as every bpf_timer */

/* Expect: the value of one step run by program a in task context. */
#define EXPECT(want, op, map, key, ...) do {					\
	long got_ = one(sk, PROG_A, STEP(op, map, key, __VA_ARGS__));		\
	CHECK(got_ == (want), "line %d: %s answered %ld, not %ld", __LINE__,	\
	      #op, got_, (long)(want));						\
} while (0)

/* Run fn with a freshly loaded interpreter. */
static const char *with_script(const char *(*fn)(struct script_bpf *sk))
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err;

	if (!sk)
		return fail("cannot load script.bpf.o");
	err = fn(sk);
	script_unload(sk);
	return err;
}

static const char *start_needs_callback(struct script_bpf *sk)
{
	const char *err = NULL;
	int map;

	for (map = ARR; map <= LRU; map++) {
		EXPECT(0, T_INIT, map, 0, .flags = 1);
		EXPECT(-EINVAL, T_START, map, 0, .nsecs = FAR);
		EXPECT(0, T_SET, map, 0);
		EXPECT(0, T_START, map, 0, .nsecs = FAR);
		EXPECT(1, T_CANCEL, map, 0);
		EXPECT(-EINVAL, T_START, map, 0, .nsecs = FAR);
		EXPECT(0, T_CANCEL, map, 0);
		EXPECT(0, T_SET, map, 0);
		EXPECT(0, T_START, map, 0, .nsecs = FAR);
		EXPECT(1, T_CANCEL_ASYNC, map, 0);
		EXPECT(0, T_CANCEL_ASYNC, map, 0);
		EXPECT(0, T_START, map, 0, .nsecs = 0);
		CHECK(WAIT_UNTIL(element(sk, map, 0)->t_ended == 1, 10), "did not fire");

		EXPECT(0, W_INIT, map, 1);
		EXPECT(-EINVAL, W_START, map, 1);
		EXPECT(0, W_SET, map, 1);
		EXPECT(0, W_START, map, 1);
		CHECK(WAIT_UNTIL(element(sk, map, 1)->w_ended == 1, 10), "work did not run");
	}
out:
	return err;
}

/* A with IRQs off does op and waits; B meanwhile does the steps; then A goes on. */
static const char *meanwhile(struct script_bpf *sk, struct step op, const struct step *b, int n)
{
	struct step a[] = { op, STEP(OP_OPEN, 0, 0), STEP(OP_WAIT, 0, 1) };
	struct runner ra = { .sk = sk, .nr = 1, .context = IRQS_OFF, .cpu = 0 };
	struct script *sb;
	const char *err = NULL;
	int i;

	gate_close(sk, 0);
	gate_close(sk, 1);
	script_put(sk, 1, a, 3);
	pin_cpu(1);
	runner_start(&ra);
	sb = RUN(sk, PROG_A, IRQS_ON, STEP(OP_WAIT, 0, 0));
	if (sb->s[0].ret) {
		gate_open(sk, 1);
		runner_join(&ra);
		return fail("the script with IRQs off did not begin");
	}
	sb = script_run(sk, PROG_A, IRQS_ON, b, n);
	for (i = 0; i < n && !err; i++)
		if (sb->s[i].ret < 0)
			err = fail("step %d on the other CPU answered %lld", i,
				   (long long)sb->s[i].ret);
	gate_open(sk, 1);
	if (runner_join(&ra))
		err = fail("the script with IRQs off did not run");
	return err;
}

/* After the deferred op has been performed: is the timer armed? */
static const char *newest_wins_across(struct script_bpf *sk)
{
	struct step cancel_set[] = { STEP(T_CANCEL, HASH, 0), STEP(T_SET, HASH, 0) };
	struct step start[] = { STEP(T_START, HASH, 1, .nsecs = FAR) };
	const char *err = NULL;
	int key;

	for (key = 0; key < 2; key++) {
		EXPECT(0, T_INIT, HASH, key, .flags = 1);
		EXPECT(0, T_SET, HASH, key);
	}
	err = meanwhile(sk, STEP(T_START, HASH, 0, .nsecs = FAR), cancel_set, 2);
	if (err)
		goto out;
	CHECK(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)) == 0,
	      "a start that returned before cancel() was called took effect after it");

	err = meanwhile(sk, STEP(T_CANCEL_ASYNC, HASH, 1), start, 1);
	if (err)
		goto out;
	CHECK(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 1)) == 1,
	      "a cancel_async() that returned before start() was called undid the start");
out:
	return err;
}

/*
 * A deferred start is held inside hrtimer_start() on CPU 0; an NMI on CPU 1
 * asks for a cancel, CPU 2 cancels inline. Once that has returned, nothing may
 * be armed, whenever CPU 0 goes on.
 */
static const char *cancel_of_held_start(struct script_bpf *sk)
{
	struct step start = STEP(T_START, HASH, 0, .nsecs = FAR);
	struct step cancel[] = { STEP(OP_OPEN, 0, 0), STEP(T_CANCEL, HASH, 0) };
	struct runner a = { .sk = sk, .nr = 1, .context = IRQS_OFF, .cpu = 0 };
	struct runner c = { .sk = sk, .nr = 2, .cpu = 2 };
	const char *err = NULL;
	bool a_runs = false, c_runs = false;
	struct script *sc;

	EXPECT(0, T_INIT, HASH, 0, .flags = 1);
	EXPECT(0, T_SET, HASH, 0);
	script_put(sk, 1, &start, 1);
	script_put(sk, 2, cancel, 2);
	pin_cpu(1);
	TRY(stall("hrtimer_start_range_ns", 0, SOFT));
	runner_start(&a);
	a_runs = true;
	CHECK(WAIT_UNTIL(stalled(), 10), "the deferred start is not performed");
	sc = RUN(sk, PROG_A, IN_NMI, STEP(T_CANCEL_ASYNC, HASH, 0));
	CHECK(sc->s[0].ret == -ECANCELED, "cancel_async in NMI: %lld", (long long)sc->s[0].ret);
	runner_start(&c);
	c_runs = true;
	CHECK(WAIT_UNTIL(sk->bss->gate[0], 10), "the cancelling script did not begin");
	/* Either it returns, or it rightly waits for the start: both are fine. */
	(void)WAIT_UNTIL(c.runs, 0.5);
	stall_release();
	c_runs = false;
	CHECK(!runner_join(&c), "the cancelling script did not run");
	a_runs = false;
	CHECK(!runner_join(&a), "the starting script did not run");
	CHECK(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)) == 0,
	      "a start that was being performed took effect after cancel() had returned");
out:
	stall_release();
	if (a_runs)
		runner_join(&a);
	if (c_runs)
		runner_join(&c);
	return err;
}

static const char *bad_input(struct script_bpf *sk)
{
	const char *err = NULL;
	struct script *sc;
	int map;

	for (map = ARR; map <= LRU; map++) {
		EXPECT(-EINVAL, T_SET, map, 0);
		EXPECT(-EINVAL, T_START, map, 0);
		EXPECT(-EINVAL, T_CANCEL, map, 0);
		EXPECT(-EINVAL, T_CANCEL_ASYNC, map, 0);
		EXPECT(-EINVAL, W_SET, map, 0);
		EXPECT(-EINVAL, W_START, map, 0);
		EXPECT(-EINVAL, T_INIT, map, 0, .flags = 2);
		EXPECT(-EINVAL, T_INIT, map, 0, .flags = 16);
		EXPECT(-EINVAL, T_INIT, map, 0, .flags = 17);
		EXPECT(-EINVAL, T_INIT, map, 0, .flags = 8);
		EXPECT(-EINVAL, W_INIT, map, 0, .flags = 1);

		EXPECT(0, T_INIT, map, 0, .flags = 1);
		EXPECT(-EBUSY, T_INIT, map, 0, .flags = 1);
		EXPECT(0, T_SET, map, 0);
		EXPECT(-EINVAL, T_START, map, 0, .nsecs = FAR, .flags = 4);
		EXPECT(0, T_CANCEL_ASYNC, map, 0);
		EXPECT(0, T_START, map, 0, .nsecs = FAR, .flags = ABS | PIN);
		sc = RUN(sk, PROG_A, IRQS_OFF, STEP(T_CANCEL, map, 0));
		CHECK(sc->s[0].ret == -EOPNOTSUPP, "cancel with IRQs off: %lld",
		      (long long)sc->s[0].ret);
		sc = RUN(sk, PROG_A, IN_NMI, STEP(T_CANCEL, map, 0));
		CHECK(sc->s[0].ret == -EOPNOTSUPP, "cancel in NMI: %lld",
		      (long long)sc->s[0].ret);
		EXPECT(1, T_CANCEL_ASYNC, map, 0);

		EXPECT(0, W_INIT, map, 1);
		EXPECT(-EBUSY, W_INIT, map, 1);
		EXPECT(-EINVAL, W_SET, map, 1, .flags = 1);
		EXPECT(-EINVAL, W_START, map, 1);
		EXPECT(0, W_SET, map, 1);
		EXPECT(-EINVAL, W_START, map, 1, .flags = 1);
	}
	CHECK(drop_map(sk, HASH), "closing the map");
	EXPECT(-EPERM, T_INIT, HASH, 2, .flags = 1);
	EXPECT(-EPERM, W_INIT, HASH, 2);
	EXPECT(-EINVAL, T_SET, HASH, 0);
out:
	return err;
}

static const char *h23(int s) { return with_script(start_needs_callback); }
static const char *h24(int s) { return with_script(newest_wins_across); }
static const char *h28(int s) { return with_script(bad_input); }
static const char *h32(int s) { return with_script(cancel_of_held_start); }

const struct test semantics_tests[] = {
	{ "H23", h23, "start before set_callback and after cancel is refused" },
	{ "H24", h24, "the newest operation wins across CPUs",
	  .c_says = "took effect after it" },
	{ "H28", h28, "bad input: the documented error, nothing changed" },
	{ "H32", h32, "cancel of a deferred start that is being performed", .own_boot = true,
	  .one_thread = true, .c_says = "took effect after cancel() had returned" },
	{}
};
