// SPDX-License-Identifier: GPL-2.0
/*
 * What arrives at the hrtimer: H8, H26, H27. Programs that watch it see what a
 * callback's time and CPU alone do not show: seven nanoseconds, a flag that
 * changes nothing while the CPU is busy, a timer freed while it is armed.
 */
#include "async_script_helpers.h"

#define ROUNDING	7	/* a deferred time may be later by this */

/* enum hrtimer_mode */
#define MODE_REL	1
#define MODE_PINNED	2
#define MODE_SOFT	4	/* every bpf_timer */

static const int clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };

/*
 * The callback arms itself an hour ahead, and is held when it has looked at its
 * slot already; its map goes; then it arms a timer that is in no slot.
 */
static void rearm_while_freed(struct async_script *sk)
{
	struct step start = STEP(T_START, HASH, 0, .nsecs = 0, .flags = ABS | PIN);
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };
	struct watched *w = &sk->bss->watched;
	struct element *e = element(sk, HASH, 0);
	bool runs = false;

	e->act_op = T_FAR;
	e->act_map = HASH;
	e->act_key = 0;
	if (!script_watch(sk, false) ||
	    !ANSWERS(0, T_INIT, HASH, 0, .flags = CLOCK_MONOTONIC) ||
	    !ANSWERS(0, T_SET, HASH, 0) ||
	    !ANSWERS(0, T_WATCH, HASH, 0))
		return;
	script_put(sk, 1, &start, 1);
	async_pin(0);
	/* The callback's start is a relative one, the first is not. */
	if (!ASSERT_OK(async_stall_args("hrtimer_start_range_ns", 1, MODE_SOFT | MODE_REL),
		       "probe"))
		goto out;
	runner_start(&r);
	runs = true;
	if (!ASSERT_TRUE(async_wait(async_stalled(0)), "the callback starts its timer") ||
	    !ASSERT_EQ(e->t_begun, 1, "callbacks that have begun") ||
	    !ASSERT_EQ(e->t_ended, 0, "callbacks that have ended") ||
	    !ASSERT_EQ(w->starts, 1, "starts") || !ASSERT_EQ(w->armed, 0, "armed") ||
	    !script_drop_map(sk, HASH) ||
	    /* Its slot is empty, and the object is held by the callback alone. */
	    !ANSWERS(-EINVAL, T_CANCEL_ASYNC, HASH, 0) ||
	    !ASSERT_TRUE(async_stalled(0), "the callback is still held") ||
	    !ASSERT_EQ(w->starts, 1, "starts"))
		goto out;
	async_stall_end(0);
	if (!ASSERT_TRUE(async_wait(e->t_ended), "the callback ends") ||
	    !ASSERT_OK(e->act_ret, "start of the timer while it is freed") ||
	    !ASSERT_EQ(w->starts, 2, "starts, with that of the detached timer") ||
	    !ASSERT_TRUE(async_wait_rcu(w->freed), "the object is freed"))
		goto out;
	ASSERT_EQ(w->freed_armed, 0, "freed while its timer is armed");
	ASSERT_EQ(e->t_begun, 1, "calls");
out:
	async_stall_end(0);
	if (runs)
		ASSERT_OK(runner_join(&r), "the starting script runs");
}

void serial_test_timer_rearm_while_freed(void)
{
	if (async_needs_cpus(2))
		script_test(rearm_while_freed);
}

/* Start it, and look at mode and time that arrive, and at what they become. */
static bool start_seen(struct async_script *sk, int map, int key, int context, __u64 nsecs,
		       __u32 flags)
{
	__u32 mode = MODE_SOFT | (flags & PIN ? MODE_PINNED : 0) | (flags & ABS ? 0 : MODE_REL);
	struct watched *w = &sk->bss->watched;
	__u64 before = get_time_ns(), least;
	struct script *sc;
	bool ok;

	sc = RUN(sk, PROG_A, context, STEP(T_WATCH, map, key),
		 STEP(T_START, map, key, .nsecs = nsecs, .flags = flags));
	ok = ASSERT_OK(sc->s[0].ret, "watch") && ASSERT_OK(sc->s[1].ret, "start") &&
	     ASSERT_TRUE(async_wait(w->starts), "a start arrives") &&
	     ASSERT_EQ(w->calls, 1, "calls that arrive") &&
	     ASSERT_EQ(w->starts, 1, "starts that arrive") &&
	     ASSERT_EQ(w->mode, mode, "mode") &&
	     ASSERT_GE((__s64)(w->asked - nsecs), 0, "later than it was asked for, in ns") &&
	     ASSERT_LE((__s64)(w->asked - nsecs), context == IRQS_ON ? 0 : ROUNDING,
		       "later than it was asked for, in ns");
	if (ok && flags & ABS) {
		ok = ASSERT_EQ(w->expires, w->asked, "expiry");
	} else if (ok) {
		/* Distances that lead too far, and negative ones, mean never. */
		least = nsecs > INT64_MAX - before ? INT64_MAX : before + nsecs;
		ok = ASSERT_GE((__u64)w->expires, least, "expiry");
	}
	if (!ok)
		printf("context %d, flags %u, time %#llx\n", context, flags, nsecs);
	return ok;
}

/* After a tick what was deferred is performed, also where the tick does it. */
static bool order_of_deferred(struct async_script *sk, int context)
{
	struct script *sc;

	sc = RUN(sk, PROG_A, context, STEP(T_START, HASH, 0, .nsecs = 0),
		 STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL_ASYNC, HASH, 0));
	async_tick();
	if (!ASSERT_OK(sc->s[0].ret, "deferred start") ||
	    !ASSERT_OK(sc->s[1].ret, "deferred start") ||
	    !ASSERT_EQ(sc->s[2].ret, -ECANCELED, "deferred cancel_async") ||
	    !ANSWERS(0, T_CANCEL_ASYNC, HASH, 0))
		return false;

	RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, 0),
	    STEP(T_START, HASH, 0, .nsecs = FAR));
	async_tick();
	return ANSWERS(1, T_CANCEL_ASYNC, HASH, 0) &&
	       ASSERT_EQ(element(sk, HASH, 0)->t_begun, 0,
			 "fires although the newest operation says not to");
}

/*
 * A callback is held on its CPU, and meanwhile its timer is started and then
 * stopped with a deferred operation: it must not fire again. A later timer on
 * the same CPU shows that it would have.
 */
static bool cancel_while_running(struct async_script *sk, int context)
{
	struct step now = STEP(T_START, HASH, 1, .nsecs = 0, .flags = PIN);
	struct step later = STEP(T_START, HASH, 2, .nsecs = 40 * MS, .flags = PIN);
	struct element *e = element(sk, HASH, 1), *marker = element(sk, HASH, 2);
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };
	bool runs = false, ok = false;
	struct script *sc;
	int key;

	for (key = 1; key <= 2; key++)
		RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, key),
		    STEP(T_INIT, HASH, key, .flags = CLOCK_MONOTONIC), STEP(T_SET, HASH, key));
	sk->bss->gate[0] = 0;
	e->hold = 1;
	e->t_begun = e->t_ended = marker->t_ended = 0;
	async_pin(0);
	script_put(sk, 1, &now, 1);
	/* The callback runs on top of this thread and keeps it. */
	runner_start(&r);
	runs = true;
	if (!ASSERT_TRUE(async_wait(e->t_begun), "the timer fires") ||
	    !ANSWERS(0, T_START, HASH, 1, .nsecs = 20 * MS))
		goto out;
	sc = RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, 1));
	if (!ASSERT_EQ(sc->s[0].ret, -ECANCELED, "deferred cancel_async"))
		goto out;
	sk->bss->gate[0] = 1;
	if (!ASSERT_TRUE(async_wait(e->t_ended), "the callback ends"))
		goto out;
	runs = false;
	if (!ASSERT_OK(runner_join(&r), "the starting script runs"))
		goto out;
	script_put(sk, 1, &later, 1);
	runner_start(&r);
	runs = true;
	ok = ASSERT_TRUE(async_wait(marker->t_ended), "the later timer fires") &&
	     ASSERT_EQ(e->t_begun, 1, "calls, with a deferred cancel while the callback runs") &&
	     ANSWERS(0, T_START, HASH, 1, .nsecs = FAR) &&
	     ANSWERS(1, T_CANCEL_ASYNC, HASH, 1) &&
	     ANSWERS(0, T_CANCEL_ASYNC, HASH, 1);
out:
	sk->bss->gate[0] = 1;
	if (runs)
		ok &= ASSERT_OK(runner_join(&r), "the starting script runs");
	e->hold = 0;
	return ok;
}

/* How a start with this expiry ends: 'f'ired, 'a'rmed, or neither. */
static bool fate(struct async_script *sk, int context, __u64 nsecs, __u32 flags, char *how)
{
	struct element *e = element(sk, ARR, 0), *marker = element(sk, ARR, 1);
	__u64 fired = e->t_ended, marked = marker->t_ended;

	/* A later timer on the same CPU: when it has fired, so has an earlier one. */
	async_pin(0);
	if (!start_seen(sk, ARR, 0, context, nsecs, flags | PIN))
		return false;
	RUN(sk, PROG_A, IRQS_ON, STEP(T_START, ARR, 1, .nsecs = MS, .flags = PIN));
	if (!ASSERT_TRUE(async_wait(marker->t_ended > marked), "the later timer fires"))
		return false;
	if (one(sk, PROG_A, STEP(T_CANCEL_ASYNC, ARR, 0)) == 1)
		*how = 'a';
	else
		*how = e->t_ended > fired ? 'f' : '?';
	return true;
}

static bool extremes(struct async_script *sk)
{
	static const __u64 values[] = { 0, 1, 7, 8, FAR, INT64_MAX - 7, INT64_MAX - 1, INT64_MAX,
					1ULL << 63, (1ULL << 63) + 1, ~0ULL - 7, ~0ULL };
	char want, got;
	__u32 flags;
	int i, key;

	for (key = 0; key < 2; key++)
		if (!ANSWERS(0, T_INIT, ARR, key, .flags = CLOCK_MONOTONIC) ||
		    !ANSWERS(0, T_SET, ARR, key))
			return false;
	for (flags = 0; flags <= ABS; flags++)
		for (i = 0; i < ARRAY_SIZE(values); i++) {
			if (!fate(sk, IRQS_ON, values[i], flags, &want) ||
			    !fate(sk, IRQS_OFF, values[i], flags, &got))
				return false;
			if (!ASSERT_NEQ(want, '?', "armed or fired") ||
			    !ASSERT_EQ(got, want, "deferred as inline")) {
				printf("expiry %#llx, flags %u: inline %c, deferred %c\n",
				       values[i], flags, want, got);
				return false;
			}
		}
	return true;
}

/* Fires, and not before the time that start_seen() has looked at. */
static bool fires_in_time(struct async_script *sk, int key, int context, __u64 nsecs, __u32 flags)
{
	struct watched *w = &sk->bss->watched;
	struct element *e = element(sk, LRU, key);

	e->t_ended = 0;
	if (start_seen(sk, LRU, key, context, nsecs, flags) &&
	    ASSERT_TRUE(async_wait(e->t_ended), "fires") &&
	    ASSERT_GE(e->fired_ns, (__u64)w->expires, "time of the call"))
		return true;
	printf("clock %d, flags %u\n", clocks[key], flags);
	return false;
}

/*
 * Odd numbers of nanoseconds: rounding must not make them early. All three
 * clocks count as CLOCK_MONOTONIC here: no suspend, and REALTIME is set up as a
 * relative timer.
 */
static bool never_early(struct async_script *sk)
{
	int i, n, context;

	for (i = 0; i < 3; i++) {
		if (!ANSWERS(0, T_INIT, LRU, i, .flags = clocks[i]) || !ANSWERS(0, T_SET, LRU, i))
			return false;
		for (n = 0; n < 16; n++)
			for (context = IRQS_ON; context <= IN_NMI; context++)
				if (!fires_in_time(sk, i, context, 100000 + n, 0) ||
				    !fires_in_time(sk, i, context,
						   (get_time_ns() | 15) - n + 100000, ABS))
					return false;
	}
	return true;
}

void deferred_on_one_cpu(struct async_script *sk)
{
	if (!script_watch(sk, true) ||
	    !ANSWERS(0, T_INIT, HASH, 0, .flags = CLOCK_MONOTONIC) ||
	    !ANSWERS(0, T_SET, HASH, 0) ||
	    !order_of_deferred(sk, IRQS_OFF) || !order_of_deferred(sk, IN_NMI) ||
	    !extremes(sk))
		return;
	never_early(sk);
}

static void deferred_while_running(struct async_script *sk)
{
	if (cancel_while_running(sk, IRQS_OFF))
		cancel_while_running(sk, IN_NMI);
}

void serial_test_timer_deferred_order(void)
{
	if (!async_needs_cpus(2))
		return;
	if (test__start_subtest("order_and_expiry"))
		script_test(deferred_on_one_cpu);
	if (test__start_subtest("cancel_while_running"))
		script_test(deferred_while_running);
}

static void pinned(struct async_script *sk)
{
	struct element *e = element(sk, HASH, 0);
	int cpu, context;
	__u32 flags;

	if (!script_watch(sk, true) ||
	    !ANSWERS(0, T_INIT, HASH, 0, .flags = CLOCK_MONOTONIC) ||
	    !ANSWERS(0, T_SET, HASH, 0))
		return;
	for (cpu = 0; cpu < async_nr_cpus(); cpu++)
		for (context = IRQS_ON; context <= IN_NMI; context++)
			for (flags = 0; flags <= (ABS | PIN); flags++) {
				e->t_ended = 0;
				async_pin(cpu);
				if (!start_seen(sk, HASH, 0, context,
						(flags & ABS ? get_time_ns() : 0) + MS, flags))
					return;
				/* Away from it, so that it may go idle. */
				async_pin((cpu + 1) % async_nr_cpus());
				if (!ASSERT_TRUE(async_wait(e->t_ended), "fires") ||
				    (flags & PIN && !ASSERT_EQ(e->cpu, cpu, "CPU of the callback")))
					return;
			}
}

void serial_test_timer_pinned_cpu(void)
{
	script_test(pinned);
}
