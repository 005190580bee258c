// SPDX-License-Identifier: GPL-2.0
/* H31: a CPU that queues without end must not hold up the others. */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "flood.skel.h"

#define LEAST	10	/* of each kind that must have succeeded */

/* The same in flood.bpf.c. */
enum { LOOK, MEET, HOLD };
enum { FLOOD_CPU = 1, QUEUE_CPU, INLINE_CPU };
#define MS(ns)	((unsigned long long)(ns) / 1000000)
#define IN_ONE	2	/* operations on one object in one interrupt, or turn of the work */

/* Run the program whenever the CPU gets to address. Patches no text. */
static struct bpf_link *break_at(struct bpf_program *p, uint64_t address, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .sample_period = 1,
		.bp_type = HW_BREAKPOINT_X, .bp_addr = address, .bp_len = sizeof(long),
	};
	int fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? NULL : bpf_program__attach_perf_event(p, fd);
}

static u64 gap_ns;

static void *run(void *p)
{
	return (void *)(long)run_prog(bpf_program__fd(p), 0);
}

/* The link at the work item that goes on with what is left, which only Rust has. */
static struct bpf_link *on_late;

static struct flood_bpf *flood_load(void)
{
	static const char *const names[] = { "hrtimer_start_range_ns", "irq_work_run",
					     "hrtimer_interrupt", "bpf_async_drain_late", NULL };
	struct flood_bpf *sk = flood_bpf__open_and_load();
	struct function f[4];
	int n = find_functions(names, f, 4);

	if (sk && n >= 3 &&
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

/* Queues the timer, and then sees how long this task stands still at most. */
static void *queue_and_look(void *skel)
{
	struct flood_bpf *sk = skel;
	void *failed = run(sk->progs.queue);
	u64 last = now_ns(), now;

	for (; !failed && !sk->bss->flood_ended; last = now) {
		now = now_ns();
		if (now - last > gap_ns)
			gap_ns = now - last;
	}
	return failed;
}

/* A flood; calls from a third CPU meanwhile or, in the mode MEET, none: they end it. */
static const char *flood(struct flood_bpf *sk, u32 mode, int seconds)
{
	struct flood_bpf__bss *g = sk->bss;
	pthread_t queue, flood;
	void *failed[3] = {};

	begin(g, mode);
	g->flood_ns = seconds * 1000000000ULL;
	gap_ns = 0;
	queue = thread_on(QUEUE_CPU, queue_and_look, sk);
	WAIT_UNTIL(g->queued, 10);
	flood = thread_on(FLOOD_CPU, run, sk->progs.flood);
	while (!g->flood_ended && !failed[0])
		if (mode == MEET)
			poll_pause();
		else
			failed[0] = run(sk->progs.start_inline) ?: run(sk->progs.cancel_inline);
	pthread_join(flood, &failed[1]);
	pthread_join(queue, &failed[2]);
	if (failed[0] || failed[1] || failed[2])
		return fail("a program failed: %p %p %p", failed[0], failed[1], failed[2]);
	say("%llu starts in %llu ms with interrupts off, then %llu ms until that CPU gets on",
	    g->started, MS(g->flood_ended - g->flood_begun), MS(g->after_ns));
	say("where it was queued: %llu operations in %llu turns, in one at the most %llu, "
	    "%llu met a newer one; a task stood still for %llu ms",
	    g->performed, g->interrupts, g->most_in_one, g->met, MS(gap_ns));
	if ((g->context & 7) != 4)
		return fail("the context was %u", g->context);
	return g->started < 100000 ? fail("only %llu starts", g->started) : NULL;
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
	*again = !WAIT_UNTIL(g->held == 2, 2);
	g->tick_released = 1;
	CHECK(*again || WAIT_UNTIL(g->inline_ended, 3), "an inline start waits for newer operations");
	CHECK(!g->let_go, "what was held did not stay");
out:
	g->released = g->tick_released = ~0ULL;
	pthread_join(queue, &failed[0]);
	pthread_join(caller, &failed[1]);
	return err ?: failed[0] || failed[1] ? fail("a start failed") : NULL;
}

static const char *flooded(struct flood_bpf *sk, int seconds)
{
	struct flood_bpf__bss *g = sk->bss;
	u64 limit = seconds * 1000000000ULL / 4;
	bool again = true;
	int i;

	pin_cpu(INLINE_CPU);
	TRY(flood(sk, LOOK, seconds));
	say("%llu starts and %llu cancels from a third CPU, none longer than %llu ms",
	    g->inline_starts, g->inline_cancels, MS(g->inline_ns));
	if (g->inline_starts < LEAST || g->inline_cancels < LEAST)
		return fail("too few calls from the third CPU have succeeded");
	if (g->inline_ns > limit || gap_ns > limit)
		return fail("a call took %llu ms, a task stood still for %llu ms",
			    MS(g->inline_ns), MS(gap_ns));
	say("the same, and what is performed always meets a newer one:");
	TRY(flood(sk, MEET, seconds));
	if (g->met < LEAST)
		return fail("only %llu met a newer one", g->met);
	if (g->most_in_one > IN_ONE)
		return fail("%llu operations in one turn", g->most_in_one);
	if (gap_ns > limit)
		return fail("a task stood still for %llu ms", MS(gap_ns));
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
	{ "H31", h31, "endless deferred starts hold nobody up", .own_boot = true, .seconds = 4,
	  .c_says = "operations in one turn|hard LOCKUP|soft lockup|stall" },
	{}
};
