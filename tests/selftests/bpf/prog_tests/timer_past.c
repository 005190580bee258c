// SPDX-License-Identifier: GPL-2.0
/*
 * A callback that starts its timer for a time that is over lets others have
 * their turn: H36. How often the callback runs between two turns of a task on
 * that CPU is counted, and nothing is timed.
 */
#include "async_helpers.h"
#include "timer_past.skel.h"

#define CPU	1
#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */
#define ENOUGH	10	/* turns of the task */
#define LIMIT	100000	/* callbacks in a row, with no turn of the task between them */

static volatile bool over;

static void *count_steps(void *bss)
{
	struct timer_past__bss *g = bss;

	while (!over)
		SEEN(g->steps)++;
	return NULL;
}

static bool chain(struct timer_past *skel, __u64 nsecs, __u64 flags, const char *what)
{
	struct timer_past__bss *g = skel->bss;
	__u64 steps = g->steps;

	g->nsecs = nsecs;
	g->again_flags = flags | PIN;
	g->enough = ENOUGH;
	g->limit = LIMIT;
	if (!ASSERT_TRUE(async_wait(SEEN(g->steps) != steps), "the task runs"))
		return false;
	async_pin(CPU);	/* where the timer is pinned to */
	if (!ASSERT_OK(async_run(skel->progs.start, 0), "start the timer"))
		return false;
	async_pin(0);
	if (!ASSERT_TRUE(async_wait(g->ended), "the chain of callbacks ends")) {
		printf("%s: start answered %d\n", what, g->last_ret);
		return false;
	}
	printf("%s: %lu callbacks, %lu turns of the task, %lu callbacks in a row at the most\n",
	       what, g->fired, g->turns, g->longest);
	return ASSERT_GE(g->turns, ENOUGH, "turns of the task on that CPU");
}

/* The first is the control: so it is on every kernel. */
static const struct {
	__u64 nsecs, flags;
	const char *what;
} expiries[] = {
	{ 0, 0, "now" }, { 1, ABS, "long over" }, { 0, ABS, "at 0" }, { -1, ABS, "before 0" },
};

static void past(void)
{
	struct timer_past *skel = timer_past__open_and_load();
	pthread_t task;
	int i;

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;
	over = false;
	task = async_thread(CPU, count_steps, skel->bss);
	for (i = 0; i < ARRAY_SIZE(expiries); i++)
		if (!chain(skel, expiries[i].nsecs, expiries[i].flags, expiries[i].what))
			break;
	over = true;
	pthread_join(task, NULL);
	timer_past__destroy(skel);
}

void serial_test_timer_past_expiry(void)
{
	if (async_needs_cpus(2))
		async_test(past);
}
