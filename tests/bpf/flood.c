// SPDX-License-Identifier: GPL-2.0
/* H31: a CPU that queues without end must not hold up the others. */
#include <pthread.h>
#include <string.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "flood.skel.h"

#define LEAST	10	/* of each kind that must have succeeded */
#define FLOOD	100000	/* starts, at least */

/* The same in flood.bpf.c. */
enum { LOOK, MEET, HOLD };
enum { FLOOD_CPU = 1, QUEUE_CPU, INLINE_CPU };
#define IN_ONE	16	/* operations on one object in one interrupt, or turn of the work */

static void *run(void *p)
{
	return (void *)(long)run_prog(bpf_program__fd(p), 0);
}

/* The link at the work item that goes on with what is left, which only Rust has. */
static struct bpf_link *on_late;

static struct flood_bpf *flood_load(void)
{
	static const char *const names[] = { "hrtimer_start_range_ns", "irq_work_run",
					     "hrtimer_interrupt", "bpf_async_drain_overflow",
					     "bpf_async_drain_late", NULL };
	struct flood_bpf *sk = flood_bpf__open_and_load();
	struct function f[4];
	int n = find_functions(names, f, 4);

	if (sk && n == (is_rust() ? 4 : 3) &&
	    (n == 3 || (on_late = break_at(sk->progs.on_interrupt, f[3].addr, QUEUE_CPU))) &&
	    (sk->links.on_perform = break_at(sk->progs.on_perform, f[0].addr, QUEUE_CPU)) &&
	    (sk->links.on_interrupt = break_at(sk->progs.on_interrupt, f[1].addr, QUEUE_CPU)) &&
	    (sk->links.on_tick = break_at(sk->progs.on_tick, f[2].addr, INLINE_CPU)) &&
	    !run(sk->progs.setup))
		return sk;
	flood_bpf__destroy(sk);
	return NULL;
}

/* What was counted is forgotten; the timer stays. */
static void begin(struct flood_bpf__bss *g, u32 mode)
{
	u64 object = g->object;

	memset(g, 0, sizeof(*g));
	g->object = object;
	g->mode = mode;
}

/* Queues the timer; then counts how often this task has its turn between two operations. */
static void *queue_and_look(void *skel)
{
	struct flood_bpf *sk = skel;
	void *failed = run(sk->progs.queue);
	u64 last = 0, now;

	for (; !failed && !SEEN(sk->bss->flood_ended); last = now) {
		now = SEEN(sk->bss->performed);
		if (now != last)
			sk->bss->turns++;
	}
	return failed;
}

/* Whether enough has been seen: what is due, or more than is right. */
static bool seen_enough(const struct flood_bpf__bss *g)
{
	if (g->most_in_one > IN_ONE)
		return true;
	return g->started >= FLOOD && (g->mode == MEET ? g->met >= LEAST && g->turns >= LEAST :
	       g->inline_starts >= LEAST && g->inline_cancels >= LEAST);
}

/*
 * A flood, for as long as it takes the others to get on; but for the time
 * after which they are said to hang. In the mode MEET there are no calls from a
 * third CPU: they would end it.
 */
static const char *flood(struct flood_bpf *sk, u32 mode, int seconds)
{
	struct flood_bpf__bss *g = sk->bss;
	pthread_t queue, flood;
	void *failed[3] = {};

	begin(g, mode);
	g->flood_ns = seconds * 1000000000ULL;
	queue = thread_on(QUEUE_CPU, queue_and_look, sk);
	WAIT_UNTIL(g->queued, 10);
	flood = thread_on(FLOOD_CPU, run, sk->progs.flood);
	for (; !g->flood_ended && !failed[0]; g->stop = seen_enough(g))
		if (mode == MEET)
			poll_pause();
		else
			failed[0] = run(sk->progs.start_inline) ?: run(sk->progs.cancel_inline);
	pthread_join(flood, &failed[1]);
	pthread_join(queue, &failed[2]);
	if (failed[0] || failed[1] || failed[2])
		return fail("a program failed: %p %p %p", failed[0], failed[1], failed[2]);
	say("%llu starts with interrupts off; %llu starts and %llu cancels from a third CPU",
	    g->started, g->inline_starts, g->inline_cancels);
	say("where it was queued: %llu operations in %llu turns, in one at the most %llu, "
	    "%llu met a newer one; a task had %llu turns between them",
	    g->performed, g->interrupts, g->most_in_one, g->met, g->turns);
	if ((g->context & 7) != 4)
		return fail("the context was %u", g->context);
	if (g->most_in_one > IN_ONE)
		return fail("%llu operations in one turn", g->most_in_one);
	if (g->started < FLOOD)
		return fail("only %llu starts", g->started);
	if (mode == LOOK)
		return g->inline_starts >= LEAST && g->inline_cancels >= LEAST ? NULL :
		       fail("too few calls from the third CPU have succeeded");
	if (g->met < LEAST)
		return fail("only %llu met a newer one", g->met);
	return g->turns >= LEAST ? NULL : fail("a task had %llu turns in %llu operations", g->turns,
					       g->performed);
}

/*
 * An inline start waits for the operation that is being performed; it is held
 * there until the next one is being performed, and must not wait for that one.
 * Sets again when it was held too early, so that it took the next one back.
 */
static const char *next_is_performed(struct flood_bpf *sk, bool *again)
{
	struct flood_bpf__bss *g = sk->bss;
	const char *err = NULL;
	pthread_t queue, caller;
	void *failed[2];

	*again = false;
	begin(g, HOLD);
	caller = thread_on(INLINE_CPU, run, sk->progs.start_inline);
	queue = thread_on(QUEUE_CPU, run, sk->progs.start_deferred);
	CHECK(WAIT_UNTIL(g->held == 1, 10), "the start that was queued is not performed");
	CHECK(WAIT_UNTIL(g->tick_held || g->inline_ended, 10), "neither an end nor a tick");
	CHECK(!g->inline_ended, "an inline start passes one that is being performed");
	CHECK(!run(sk->progs.start_deferred), "the newer start failed");
	g->released = 1;
	*again = !WAIT_UNTIL(g->held == 2, 10);
	g->tick_released = 1;
	CHECK(*again || WAIT_UNTIL(g->inline_ended, 10), "an inline start waits for newer operations");
	CHECK(!g->let_go, "what was held did not stay");
out:
	g->released = g->tick_released = ~0ULL;
	pthread_join(queue, &failed[0]);
	pthread_join(caller, &failed[1]);
	return err ?: failed[0] || failed[1] ? fail("a start failed") : NULL;
}

static const char *flooded(struct flood_bpf *sk, int seconds)
{
	bool again = true;
	int i;

	pin_cpu(INLINE_CPU);
	TRY(flood(sk, LOOK, seconds));
	say("the same, and what is performed always meets a newer one:");
	TRY(flood(sk, MEET, seconds));
	pin_cpu(FLOOD_CPU);
	for (i = 0; i < 10 && again; i++)
		TRY(next_is_performed(sk, &again));
	return again ? fail("no inline start was held where it waits") : NULL;
}

static const char *h31(int seconds)
{
	struct flood_bpf *sk = flood_load();
	const char *err = sk ? flooded(sk, seconds) :
			       fail("cannot load flood.bpf.o, or no hardware breakpoints");

	bpf_link__destroy(on_late);
	flood_bpf__destroy(sk);
	return err;
}

const struct test flood_tests[] = {
	{ "H31", h31, "endless deferred starts do not hold up other CPUs", .own_boot = true, .seconds = 60,
	  .append = "nowatchdog rcupdate.rcu_cpu_stall_suppress=1",	/* interrupts are off */
	  .c_says = "operations in one turn|hard LOCKUP|soft lockup|stall" },
	{}
};
