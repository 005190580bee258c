// SPDX-License-Identifier: GPL-2.0
/* A timer that its own callback starts again, for a time that is over. */
#include "async_common.h"

#define ABS	1	/* BPF_F_TIMER_ABS */
#define PIN	2	/* BPF_F_TIMER_CPU_PIN */

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} pasts SEC(".maps");

u64 nsecs, again_flags;		/* of the callback's start */
u64 enough, limit;
volatile u64 steps;		/* of the task on the timer's CPU, which counts them */
volatile u64 fired, turns, alone, longest;
volatile u32 ended;
volatile s32 last_ret;
static u64 seen;

static int timer_cb(void *map, int *key, struct elem *e)
{
	u64 now = steps;

	fired++;
	if (now != seen) {
		seen = now;
		turns++;
		alone = 0;
	} else if (++alone > longest) {
		longest = alone;
	}
	/* The chain ends here, so that a kernel that would go on for ever is told from others. */
	if (turns >= enough || alone >= limit) {
		ended = 1;
		return 0;
	}
	last_ret = bpf_timer_start(&e->timer, nsecs, again_flags);
	return 0;
}

SEC("tc")
int start(struct __sk_buff *skb)
{
	int key = 0;
	struct elem *e = bpf_map_lookup_elem(&pasts, &key);

	if (!e)
		return 1;
	fired = turns = alone = longest = ended = 0;
	seen = steps;
	bpf_timer_init(&e->timer, &pasts, CLOCK_MONOTONIC);
	return bpf_timer_set_callback(&e->timer, timer_cb) ?:
	       bpf_timer_start(&e->timer, 0, PIN);
}
