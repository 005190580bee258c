// SPDX-License-Identifier: GPL-2.0
/*
 * H8, H26, H27: what arrives at the hrtimer. Programs that watch it see what a
 * callback's time and CPU alone do not show: seven nanoseconds, a flag that
 * changes nothing while the CPU is busy, a timer freed while it is armed.
 */
#include <errno.h>

#include <bpf/libbpf.h>

#include "regress.h"
#include "script.skel.h"

#define FAR	3600000000000ULL	/* an hour: never in a test */
#define MS	1000000ULL
#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */
#define ROUNDING	7	/* a deferred time may be later by this, README.md */

/* enum hrtimer_mode */
#define MODE_REL	1
#define MODE_PINNED	2
#define MODE_SOFT	4	/* every bpf_timer */

static const int clocks[] = { 0, 1, 7 };

/* Expect: the value of one step run by program a in task context. */
#define EXPECT(want, op, map, key, ...) do {					\
	long got_ = one(sk, PROG_A, STEP(op, map, key, __VA_ARGS__));		\
	CHECK(got_ == (want), "line %d: %s answered %ld, not %ld", __LINE__,	\
	      #op, got_, (long)(want));						\
} while (0)

#define ATTACH(prog) ((sk->links.prog = bpf_program__attach(sk->progs.prog)) != NULL)

/* Run fn while what becomes of the element chosen by T_WATCH is watched. */
static const char *watching(const char *(*fn)(struct script_bpf *sk), bool calls)
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err = NULL;

	CHECK(sk, "cannot load script.bpf.o");
	CHECK(ATTACH(see_start) && ATTACH(see_cancel) && ATTACH(see_expire) &&
	      ATTACH(see_kfree) && ATTACH(see_kfree_nolock) && (!calls || ATTACH(see_call)),
	      "cannot watch hrtimers");
	err = fn(sk);
out:
	script_unload(sk);
	return err;
}

/*
 * The callback arms itself an hour ahead, and is held when it has looked at its
 * slot already; its map goes; then it arms a timer that is in no slot.
 */
static const char *rearm_while_freed(struct script_bpf *sk)
{
	struct step start = STEP(T_START, HASH, 0, .nsecs = 0, .flags = ABS | PIN);
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };
	struct watched *w = &sk->bss->watched;
	struct element *e = element(sk, HASH, 0);
	const char *err = NULL;
	bool runs = false;

	e->act_op = T_FAR;
	e->act_map = HASH;
	e->act_key = 0;
	EXPECT(0, T_INIT, HASH, 0, .flags = 1);
	EXPECT(0, T_SET, HASH, 0);
	EXPECT(0, T_WATCH, HASH, 0);
	script_put(sk, 1, &start, 1);
	pin_cpu(0);
	/* The callback's start is a relative one, the first is not. */
	err = stall("hrtimer_start_range_ns", 1, MODE_SOFT | MODE_REL);
	if (err)
		goto out;
	runner_start(&r);
	runs = true;
	CHECK(WAIT_UNTIL(stalled(), 10), "the callback did not start its timer");
	CHECK(e->t_begun == 1 && !e->t_ended && w->starts == 1 && !w->armed,
	      "held elsewhere: callback %llu, ended %llu, %llu starts",
	      (unsigned long long)e->t_begun, (unsigned long long)e->t_ended,
	      (unsigned long long)w->starts);
	CHECK(drop_map(sk, HASH), "closing the map");
	/* Its slot is empty, and the object is held by the callback alone. */
	EXPECT(-EINVAL, T_CANCEL_ASYNC, HASH, 0);
	CHECK(stalled() && w->starts == 1, "the callback is no longer held");
	stall_release();
	CHECK(WAIT_UNTIL(e->t_ended, 10), "the callback did not end");
	CHECK(!e->act_ret, "starting the timer while it is freed: %lld", (long long)e->act_ret);
	CHECK(w->starts == 2, "the detached timer was not started");
	CHECK(WAIT_UNTIL((rcu_wait(), w->freed), 10), "the object was not freed");
	CHECK(!w->freed_armed, "freed while its timer is armed");
	CHECK(e->t_begun == 1, "called %llu times", (unsigned long long)e->t_begun);
out:
	stall_release();
	if (runs && runner_join(&r) && !err)
		err = fail("the starting script did not run");
	return err;
}

/* Start it, and look at mode and time that arrive, and at what they become. */
static const char *start_seen(struct script_bpf *sk, int map, int key, int context, u64 nsecs,
			      u32 flags)
{
	u32 mode = MODE_SOFT | (flags & PIN ? MODE_PINNED : 0) | (flags & ABS ? 0 : MODE_REL);
	struct watched *w = &sk->bss->watched;
	u64 before = now_ns(), least;
	const char *err = NULL;
	struct script *sc;
	s64 late;

	sc = RUN(sk, PROG_A, context, STEP(T_WATCH, map, key),
		 STEP(T_START, map, key, .nsecs = nsecs, .flags = flags));
	CHECK(!sc->s[0].ret && !sc->s[1].ret, "context %d: start answered %lld, %lld", context,
	      (long long)sc->s[0].ret, (long long)sc->s[1].ret);
	CHECK(WAIT_UNTIL(w->starts, 10), "context %d: no start arrived", context);
	CHECK(w->calls == 1 && w->starts == 1, "context %d: %llu calls, %llu starts", context,
	      (unsigned long long)w->calls, (unsigned long long)w->starts);
	CHECK(w->mode == mode, "context %d, flags %u: mode %x arrived, not %x", context, flags,
	      w->mode, mode);
	late = w->asked - nsecs;
	CHECK(late >= 0 && late <= (context == IRQS_ON ? 0 : ROUNDING),
	      "context %d, flags %u, time %llx: %lld ns late", context, flags,
	      (unsigned long long)nsecs, (long long)late);
	if (flags & ABS) {
		CHECK(w->expires == w->asked, "context %d, time %llx: expires at %llx", context,
		      (unsigned long long)nsecs, (unsigned long long)w->expires);
		goto out;
	}
	/* Distances that lead too far, and negative ones, mean never. */
	least = nsecs > INT64_MAX - before ? INT64_MAX : before + nsecs;
	CHECK((u64)w->expires >= least, "context %d, distance %llx: expires %llu ns early", context,
	      (unsigned long long)nsecs, (unsigned long long)(least - w->expires));
out:
	return err;
}

/* After a tick what was deferred is performed, also where the tick does it (H41). */
static const char *order_of_deferred(struct script_bpf *sk, int context)
{
	const char *err = NULL;
	struct script *sc;

	sc = RUN(sk, PROG_A, context, STEP(T_START, HASH, 0, .nsecs = 0),
		 STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL_ASYNC, HASH, 0));
	tick_wait();
	CHECK(!sc->s[0].ret && !sc->s[1].ret, "deferred start answered %lld, %lld",
	      (long long)sc->s[0].ret, (long long)sc->s[1].ret);
	CHECK(sc->s[2].ret == -ECANCELED, "deferred cancel_async answered %lld",
	      (long long)sc->s[2].ret);
	EXPECT(0, T_CANCEL_ASYNC, HASH, 0);

	RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, 0),
	    STEP(T_START, HASH, 0, .nsecs = FAR));
	tick_wait();
	EXPECT(1, T_CANCEL_ASYNC, HASH, 0);
	CHECK(!element(sk, HASH, 0)->t_begun, "fired although the newest operation said not to");
out:
	return err;
}

/*
 * A callback is held on its CPU, and meanwhile its timer is started and then
 * stopped with a deferred operation: it must not fire again. A later timer on
 * the same CPU shows that it would have.
 */
static const char *cancel_while_running(struct script_bpf *sk, int context)
{
	struct step now = STEP(T_START, HASH, 1, .nsecs = 0, .flags = PIN);
	struct step later = STEP(T_START, HASH, 2, .nsecs = 40 * MS, .flags = PIN);
	struct element *e = element(sk, HASH, 1), *marker = element(sk, HASH, 2);
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };
	const char *err = NULL;
	struct script *sc;
	bool runs = false;
	int key;

	for (key = 1; key <= 2; key++)
		RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, key),
		    STEP(T_INIT, HASH, key, .flags = 1), STEP(T_SET, HASH, key));
	gate_close(sk, 0);
	e->hold = 1;
	e->t_begun = e->t_ended = marker->t_ended = 0;
	pin_cpu(0);
	script_put(sk, 1, &now, 1);
	/* The callback runs on top of this thread and keeps it. */
	runner_start(&r);
	runs = true;
	CHECK(WAIT_UNTIL(e->t_begun, 10), "the timer did not fire");
	EXPECT(0, T_START, HASH, 1, .nsecs = 20 * MS);
	sc = RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, 1));
	CHECK(sc->s[0].ret == -ECANCELED, "deferred cancel_async answered %lld",
	      (long long)sc->s[0].ret);
	gate_open(sk, 0);
	CHECK(WAIT_UNTIL(e->t_ended, 10), "the callback did not end");
	runs = false;
	CHECK(!runner_join(&r), "the starting script did not run");
	script_put(sk, 1, &later, 1);
	runner_start(&r);
	runs = true;
	CHECK(WAIT_UNTIL(marker->t_ended, 10), "the later timer did not fire");
	CHECK(e->t_begun == 1, "a deferred cancel is lost while the callback runs");
	EXPECT(0, T_START, HASH, 1, .nsecs = FAR);
	EXPECT(1, T_CANCEL_ASYNC, HASH, 1);
	EXPECT(0, T_CANCEL_ASYNC, HASH, 1);
out:
	gate_open(sk, 0);
	if (runs && runner_join(&r) && !err)
		err = fail("the starting script did not run");
	e->hold = 0;
	return err;
}

/* How a start with this expiry ends: 'f'ired, 'a'rmed, or neither. */
static const char *fate(struct script_bpf *sk, int context, u64 nsecs, u32 flags, char *how)
{
	struct element *e = element(sk, ARR, 0), *marker = element(sk, ARR, 1);
	u64 fired = e->t_ended, marked = marker->t_ended;

	/* A later timer on the same CPU: when it has fired, so has an earlier one. */
	pin_cpu(0);
	TRY(start_seen(sk, ARR, 0, context, nsecs, flags | PIN));
	RUN(sk, PROG_A, IRQS_ON, STEP(T_START, ARR, 1, .nsecs = MS, .flags = PIN));
	if (!WAIT_UNTIL(marker->t_ended > marked, 10))
		return fail("the later timer did not fire");
	if (one(sk, PROG_A, STEP(T_CANCEL_ASYNC, ARR, 0)) == 1)
		*how = 'a';
	else
		*how = e->t_ended > fired ? 'f' : '?';
	return NULL;
}

static const char *extremes(struct script_bpf *sk)
{
	static const u64 values[] = { 0, 1, 7, 8, FAR, INT64_MAX - 7, INT64_MAX - 1, INT64_MAX,
				      1ULL << 63, (1ULL << 63) + 1, ~0ULL - 7, ~0ULL };
	const char *err = NULL;
	char want, got;
	size_t i;
	u32 flags;
	int key;

	for (key = 0; key < 2; key++) {
		EXPECT(0, T_INIT, ARR, key, .flags = 1);
		EXPECT(0, T_SET, ARR, key);
	}
	for (flags = 0; flags <= ABS; flags++)
		for (i = 0; i < sizeof(values) / sizeof(*values); i++) {
			TRY(fate(sk, IRQS_ON, values[i], flags, &want));
			CHECK(want == 'a' || want == 'f', "expiry %llx inline: %c",
			      (unsigned long long)values[i], want);
			TRY(fate(sk, IRQS_OFF, values[i], flags, &got));
			CHECK(want == got, "expiry %llx flags %u: inline %c, deferred %c",
			      (unsigned long long)values[i], flags, want, got);
		}
out:
	return err;
}

/* Fires, and not before the time that start_seen() has looked at. */
static const char *fires_in_time(struct script_bpf *sk, int key, int context, u64 nsecs, u32 flags)
{
	struct watched *w = &sk->bss->watched;
	struct element *e = element(sk, LRU, key);

	e->t_ended = 0;
	TRY(start_seen(sk, LRU, key, context, nsecs, flags));
	if (!WAIT_UNTIL(e->t_ended, 10))
		return fail("clock %d, flags %u: did not fire", clocks[key], flags);
	if (e->fired_ns < w->expires)
		return fail("clock %d, flags %u: fired %llu ns early", clocks[key], flags,
			    (unsigned long long)(w->expires - e->fired_ns));
	return NULL;
}

/*
 * Odd numbers of nanoseconds: rounding must not make them early. All three
 * clocks count as CLOCK_MONOTONIC here: no suspend, and REALTIME is set up as a
 * relative timer.
 */
static const char *never_early(struct script_bpf *sk)
{
	const char *err = NULL;
	int i, n, context;

	for (i = 0; i < 3; i++) {
		EXPECT(0, T_INIT, LRU, i, .flags = clocks[i]);
		EXPECT(0, T_SET, LRU, i);
		for (n = 0; n < 16; n++)
			for (context = IRQS_ON; context <= IN_NMI; context++) {
				TRY(fires_in_time(sk, i, context, 100000 + n, 0));
				TRY(fires_in_time(sk, i, context, (now_ns() | 15) - n + 100000,
						  ABS));
			}
	}
out:
	return err;
}

static const char *deferred(struct script_bpf *sk)
{
	const char *err = NULL;

	EXPECT(0, T_INIT, HASH, 0, .flags = 1);
	EXPECT(0, T_SET, HASH, 0);
	TRY(order_of_deferred(sk, IRQS_OFF));
	TRY(order_of_deferred(sk, IN_NMI));
	TRY(cancel_while_running(sk, IRQS_OFF));
	TRY(cancel_while_running(sk, IN_NMI));
	TRY(extremes(sk));
	TRY(never_early(sk));
out:
	return err;
}

static const char *deferred_on_one_cpu(struct script_bpf *sk)
{
	const char *err = NULL;

	EXPECT(0, T_INIT, HASH, 0, .flags = 1);
	EXPECT(0, T_SET, HASH, 0);
	TRY(order_of_deferred(sk, IRQS_OFF));
	TRY(order_of_deferred(sk, IN_NMI));
	TRY(extremes(sk));
	TRY(never_early(sk));
out:
	return err;
}

const char *one_cpu_answers(void)
{
	return watching(deferred_on_one_cpu, true);
}

static const char *pinned(struct script_bpf *sk)
{
	struct element *e = element(sk, HASH, 0);
	const char *err = NULL;
	int cpu, context;
	u32 flags;

	EXPECT(0, T_INIT, HASH, 0, .flags = 1);
	EXPECT(0, T_SET, HASH, 0);
	for (cpu = 0; cpu < cpu_count(); cpu++)
		for (context = IRQS_ON; context <= IN_NMI; context++)
			for (flags = 0; flags <= (ABS | PIN); flags++) {
				e->t_ended = 0;
				pin_cpu(cpu);
				TRY(start_seen(sk, HASH, 0, context,
					       (flags & ABS ? now_ns() : 0) + MS, flags));
				/* Away from it, so that it may go idle. */
				pin_cpu((cpu + 1) % cpu_count());
				CHECK(WAIT_UNTIL(e->t_ended, 10), "CPU %d: did not fire", cpu);
				CHECK(!(flags & PIN) || e->cpu == cpu,
				      "started on CPU %d, fired on %u", cpu, e->cpu);
			}
out:
	return err;
}

static const char *h8(int s) { return watching(rearm_while_freed, false); }
static const char *h26(int s) { return watching(deferred, true); }
static const char *h27(int s) { return watching(pinned, true); }

const struct test hrtimer_tests[] = {
	{ "H8", h8, "a callback arms itself while its map is freed", .own_boot = true,
	  .one_thread = true },
	{ "H26", h26, "the newest deferred operation wins, no expiry is early",
	  .one_thread = true, .c_says = "is lost while the callback runs" },
	{ "H27", h27, "a pinned timer fires on the CPU that asked", .one_thread = true },
	{}
};
