// SPDX-License-Identifier: GPL-2.0
/*
 * One CPU starts a timer with interrupts off without end (flood), another
 * one has it on its list (queue), a third one uses it with interrupts on.
 * What the second one does is seen, and can be held, by programs on hardware
 * breakpoints: no text is patched, and what is held has no lock yet.
 */
#include "async_common.h"

#define BATCH		64
#define BATCHES		(1 << 20)	/* of a flood, at most */

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} flooded SEC(".maps");

/* The same in prog_tests/timer_flood.c. */
enum { LOOK, MEET, HOLD };

u64 object;		/* the timer's */
u32 mode;		/* of what sees an operation being performed */
volatile u32 context;	/* of the flood and of what is queued: all bits that both had */
volatile u32 flood_begun, flood_ended;
volatile u32 stop;	/* of the flood: enough was seen */
volatile u64 starts, started;
volatile u32 queued;
volatile u32 inline_begun, inline_ended;
volatile u64 inline_starts, inline_cancels;
volatile u64 performed, met, interrupts, in_one, most_in_one;
volatile u64 turns;	/* of a task, with operations performed between them */
volatile u64 held, released, let_go;
volatile u64 ticks, tick_held, tick_released;

static int timer_cb(void *map, int *key, struct elem *e)
{
	return 0;
}

static __always_inline struct bpf_timer *get(void)
{
	int key = 0;
	struct elem *e = bpf_map_lookup_elem(&flooded, &key);

	return e ? &e->timer : NULL;
}

SEC("tc")
int setup(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();
	int err;

	if (!t)
		return 1;
	err = bpf_timer_init(t, &flooded, CLOCK_MONOTONIC);
	if (!err)
		err = bpf_timer_set_callback(t, timer_cb);
	object = object_of(t);
	return err;
}

/* What a program waits for; the flood's end ends the first, too. */
enum { STARTS, HELD, RELEASED, TICK_RELEASED };

struct wait {
	u64 value;
	u32 what, over;
};

static long wait_one(u64 i, struct wait *w)
{
	u64 now = starts;

	if (w->what == HELD)
		now = held;
	else if (w->what == RELEASED)
		now = released;
	else if (w->what == TICK_RELEASED)
		now = tick_released;
	w->over = now >= w->value || (w->what == STARTS && flood_ended);
	return w->over;
}

static long wait_many(u64 i, struct wait *w)
{
	bpf_loop(WAIT_INNER, wait_one, w, 0);
	return w->over != 0;
}

static __always_inline void until(u32 what, u64 value)
{
	struct wait w = { .what = what, .value = value };

	bpf_loop(WAIT_OUTER, wait_many, &w, 0);
}

static long flood_one(u64 i, void *unused)
{
	struct bpf_timer *t = get();

	if (t && !bpf_timer_start(t, FAR, 0))
		started++;
	starts++;
	return 0;
}

static long flood_batch(u64 i, void *unused)
{
	bpf_loop(BATCH, flood_one, NULL, 0);
	return stop != 0;
}

SEC("tc")
int flood(struct __sk_buff *skb)
{
	unsigned long flags;

	bpf_local_irq_save(&flags);
	context &= bpf_async_test_context();
	flood_begun = 1;
	bpf_loop(BATCHES, flood_batch, NULL, 0);
	flood_ended = 1;
	bpf_local_irq_restore(&flags);
	return 0;
}

/* Queue the timer here, and wait for the flood. */
SEC("tc")
int queue(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();
	unsigned long flags;
	int err;

	if (!t)
		return 1;
	bpf_local_irq_save(&flags);
	context = bpf_async_test_context();
	err = bpf_timer_start(t, FAR, 0);
	queued = 1;
	until(STARTS, 1000);
	bpf_local_irq_restore(&flags);
	return err;
}

SEC("tc")
int start_deferred(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();
	unsigned long flags;
	int err;

	if (!t)
		return 1;
	bpf_local_irq_save(&flags);
	err = bpf_timer_start(t, FAR, 0);
	bpf_local_irq_restore(&flags);
	return err;
}

SEC("tc")
int start_inline(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();

	if (!t)
		return 1;
	if (mode == HOLD)
		until(HELD, 1);
	inline_begun = 1;
	if (!bpf_timer_start(t, FAR, 0))
		inline_starts++;
	inline_ended = 1;
	return 0;
}

SEC("tc")
int cancel_inline(struct __sk_buff *skb)
{
	struct bpf_timer *t = get();

	if (!t)
		return 1;
	if (bpf_timer_cancel(t) >= 0)
		inline_cancels++;
	return bpf_timer_set_callback(t, timer_cb);
}

/* A hard interrupt of the CPU that has the timer on its list, or a turn of its work item. */
static __always_inline int new_turn(void)
{
	interrupts++;
	in_one = 0;
	return 0;
}

SEC("perf_event")
int on_interrupt(struct bpf_perf_event_data *ctx)
{
	return new_turn();
}

SEC("perf_event")
int on_late(struct bpf_perf_event_data *ctx)
{
	return new_turn();
}

/* There, where an operation that was queued starts the timer. */
SEC("perf_event")
int on_perform(struct bpf_perf_event_data *ctx)
{
	u64 seen;

	if (!is_in(PT_REGS_PARM1(&ctx->regs), object))
		return 0;
	performed++;
	if (++in_one > most_in_one)
		most_in_one = in_one;
	if (mode == MEET && flood_begun) {
		/* One may be about to be counted: with the second there is a newer one. */
		seen = starts;
		until(STARTS, seen + 2);
		if (starts >= seen + 2)
			met++;
	} else if (mode == HOLD) {
		held++;
		until(RELEASED, held);
		if (released < held)
			let_go++;
	}
	return 0;
}

/* In the third tick of a CPU since it has called: it is where it waits by then. */
SEC("perf_event")
int on_tick(struct bpf_perf_event_data *ctx)
{
	if (mode != HOLD || !inline_begun || inline_ended || ++ticks != 3)
		return 0;
	tick_held = 1;
	until(TICK_RELEASED, 1);
	return 0;
}
