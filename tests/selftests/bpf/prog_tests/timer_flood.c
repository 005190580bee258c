// SPDX-License-Identifier: GPL-2.0
/* A CPU that queues without end must not hold up the others: H31. */
#include "async_helpers.h"
#include "timer_flood.skel.h"

#define LEAST	10	/* of each kind that must have succeeded */
#define FLOOD	100000	/* starts, at least */

/* The same in progs/timer_flood.c. */
enum { LOOK, MEET, HOLD };
enum { FLOOD_CPU = 1, QUEUE_CPU, INLINE_CPU };
#define IN_ONE	16	/* operations on one object in one interrupt, or turn of the work */

static void *run(void *prog)
{
	return (void *)(long)async_run(prog, 0);
}

static struct timer_flood *load(void)
{
	static const char *const names[] = { "hrtimer_start_range_ns", "irq_work_run",
					     "hrtimer_interrupt", NULL };
	/* The work item that goes on with what is left, which only Rust has. */
	static const char *const late[] = { "bpf_async_drain_overflow", NULL };
	struct timer_flood *skel = timer_flood__open_and_load();
	struct async_function f[3], work;

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return NULL;
	if (!ASSERT_EQ(async_find_functions(names, f, 3), 3, "functions of a known name") ||
	    !ASSERT_EQ(async_find_functions(late, &work, 1), async_is_rust(), "work functions"))
		goto err;
	if (async_is_rust()) {
		skel->links.on_late = async_break_at(skel->progs.on_late, work.addr, QUEUE_CPU);
		if (!ASSERT_OK_PTR(skel->links.on_late, "attach"))
			goto err;
	}
	skel->links.on_perform = async_break_at(skel->progs.on_perform, f[0].addr, QUEUE_CPU);
	skel->links.on_interrupt = async_break_at(skel->progs.on_interrupt, f[1].addr, QUEUE_CPU);
	skel->links.on_tick = async_break_at(skel->progs.on_tick, f[2].addr, INLINE_CPU);
	if (ASSERT_OK_PTR(skel->links.on_perform, "attach") &&
	    ASSERT_OK_PTR(skel->links.on_interrupt, "attach") &&
	    ASSERT_OK_PTR(skel->links.on_tick, "attach") &&
	    ASSERT_OK(async_run(skel->progs.setup, 0), "set the timer up"))
		return skel;
err:
	timer_flood__destroy(skel);
	return NULL;
}

/* What was counted is forgotten; the timer stays. */
static void begin(struct timer_flood__bss *g, __u32 mode)
{
	__u64 object = g->object;

	memset(g, 0, sizeof(*g));
	g->object = object;
	g->mode = mode;
}

/* Queues the timer; then counts how often this task has its turn between two operations. */
static void *queue_and_look(void *arg)
{
	struct timer_flood *skel = arg;
	void *failed = run(skel->progs.queue);
	__u64 last = 0, now;

	for (; !failed && !SEEN(skel->bss->flood_ended); last = now) {
		now = SEEN(skel->bss->performed);
		if (now != last)
			skel->bss->turns++;
	}
	return failed;
}

/* Whether enough has been seen: what is due, or more than is right. */
static bool seen_enough(const struct timer_flood__bss *g)
{
	if (g->most_in_one > IN_ONE)
		return true;
	return g->started >= FLOOD && (g->mode == MEET ? g->met >= LEAST && g->turns >= LEAST :
	       g->inline_starts >= LEAST && g->inline_cancels >= LEAST);
}

/*
 * A flood, for as long as it takes the others to get on, or some ten million
 * starts. In the mode MEET there are no calls from a third CPU: they would end it.
 */
static bool flood(struct timer_flood *skel, __u32 mode)
{
	struct timer_flood__bss *g = skel->bss;
	pthread_t queue, flood;
	void *failed[3] = {};

	begin(g, mode);
	queue = async_thread(QUEUE_CPU, queue_and_look, skel);
	async_wait(g->queued);
	flood = async_thread(FLOOD_CPU, run, skel->progs.flood);
	for (; !g->flood_ended && !failed[0]; g->stop = seen_enough(g))
		if (mode == MEET)
			async_pause();
		else
			failed[0] = run(skel->progs.start_inline) ?: run(skel->progs.cancel_inline);
	pthread_join(flood, &failed[1]);
	pthread_join(queue, &failed[2]);
	printf("%lu starts with interrupts off; %lu starts and %lu cancels from a third CPU\n",
	       g->started, g->inline_starts, g->inline_cancels);
	printf("where it was queued: %lu operations in %lu turns, in one at the most %lu, %lu met a newer one; a task had %lu turns between them\n",
	       g->performed, g->interrupts, g->most_in_one, g->met, g->turns);
	if (!ASSERT_NULL(failed[0], "calls from a third CPU") ||
	    !ASSERT_NULL(failed[1], "the flood") || !ASSERT_NULL(failed[2], "the queue") ||
	    !ASSERT_EQ(g->context & 7, 4, "with interrupts off") ||
	    !ASSERT_LE(g->most_in_one, IN_ONE, "operations in one turn") ||
	    !ASSERT_GE(g->started, FLOOD, "starts"))
		return false;
	if (mode == LOOK)
		return ASSERT_GE(g->inline_starts, LEAST, "starts from the third CPU") &&
		       ASSERT_GE(g->inline_cancels, LEAST, "cancels from the third CPU");
	return ASSERT_GE(g->met, LEAST, "operations that met a newer one") &&
	       ASSERT_GE(g->turns, LEAST, "turns of a task between them");
}

/*
 * An inline start waits for the operation that is being performed; it is held
 * there until the next one is being performed, and must not wait for that one.
 * Sets again when it was held too early, so that it took the next one back.
 */
static bool next_is_performed(struct timer_flood *skel, bool *again)
{
	struct timer_flood__bss *g = skel->bss;
	void *failed[2] = {};
	pthread_t queue, caller;
	bool ok = false;

	*again = false;
	begin(g, HOLD);
	caller = async_thread(INLINE_CPU, run, skel->progs.start_inline);
	queue = async_thread(QUEUE_CPU, run, skel->progs.start_deferred);
	if (!ASSERT_TRUE(async_wait(g->held == 1), "the start that was queued is performed") ||
	    !ASSERT_TRUE(async_wait(g->tick_held || g->inline_ended), "an end or a tick") ||
	    !ASSERT_FALSE(g->inline_ended, "an inline start passes one that is being performed") ||
	    !ASSERT_OK(async_run(skel->progs.start_deferred, 0), "the newer start"))
		goto out;
	g->released = 1;
	*again = !async_wait_turns(g->held == 2, 4 * ASYNC_TURNS);
	g->tick_released = 1;
	ok = (*again || ASSERT_TRUE(async_wait(g->inline_ended),
				    "an inline start does not wait for newer operations")) &&
	     ASSERT_EQ(g->let_go, 0, "holds that ended by themselves");
out:
	g->released = g->tick_released = ~0ULL;
	pthread_join(queue, &failed[0]);
	pthread_join(caller, &failed[1]);
	return ok && ASSERT_NULL(failed[0], "the deferred start") &&
	       ASSERT_NULL(failed[1], "the inline start");
}

static void flooded(void)
{
	struct timer_flood *skel = load();
	bool again = true;
	int i;

	if (!skel)
		return;
	async_pin(INLINE_CPU);
	printf("the timer is used by a third CPU:\n");
	if (!flood(skel, LOOK))
		goto out;
	printf("what is performed always meets a newer one:\n");
	if (!flood(skel, MEET))
		goto out;
	async_pin(FLOOD_CPU);
	for (i = 0; i < 10 && again; i++)
		if (!next_is_performed(skel, &again))
			goto out;
	ASSERT_FALSE(again, "no inline start was held where it waits");
out:
	timer_flood__destroy(skel);
}

/* Interrupts are off for long. */
void serial_test_timer_flood(void)
{
	if (async_needs_cpus(4) &&
	    async_needs_cmdline("nowatchdog rcupdate.rcu_cpu_stall_suppress=1"))
		async_test(flooded);
}
