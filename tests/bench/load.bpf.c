// SPDX-License-Identifier: GPL-2.0
/*
 * Several CPUs at the same time, and how late callbacks are: in the guest's own
 * time, which is the host's.
 */
#include "../selftests/bpf/progs/async_common.h"
#include "bench.h"

struct t_elem {
	struct bpf_timer timer;
};

struct w_elem {
	struct bpf_wq wq;
};

/*
 * One for each CPU. The values share a cache line, which is only read; the
 * objects that they point to do not.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LOAD_CPUS);
	__type(key, int);
	__type(value, struct t_elem);
} t_arr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct w_elem);
} w_arr SEC(".maps");

u32 wrong;
u64 due;		/* when the callback is due: expiry, or when it was queued */
volatile u64 late;	/* how much later it ran */
volatile u64 fired;

static int t_fn(void *map, int *key, struct t_elem *e)
{
	late = bpf_ktime_get_ns() - due;
	fired++;
	return 0;
}

static int w_fn(void *map, int *key, void *e)
{
	late = bpf_ktime_get_ns() - due;
	fired++;
	return 0;
}

static __always_inline void expect(s64 got, s64 wanted)
{
	if (got != wanted)
		wrong++;
}

SEC("syscall")
int make(void *ctx)
{
	int i, zero = 0;
	struct w_elem *w;

	bpf_for(i, 0, LOAD_CPUS) {
		int key = i;
		struct t_elem *e = bpf_map_lookup_elem(&t_arr, &key);

		if (!e)
			break;
		expect(bpf_timer_init(&e->timer, &t_arr, CLOCK_MONOTONIC), 0);
		expect(bpf_timer_set_callback(&e->timer, t_fn), 0);
	}
	w = bpf_map_lookup_elem(&w_arr, &zero);
	if (!w)
		return 0;
	expect(bpf_wq_init(&w->wq, &w_arr, 0), 0);
	expect(bpf_wq_set_callback(&w->wq, w_fn, 0), 0);
	return 0;
}

/* The mark says which timer. */
#define LOAD(name, OP)							\
SEC("tc")								\
int name(struct __sk_buff *skb)						\
{									\
	int key = skb->mark, i;						\
	struct t_elem *e = bpf_map_lookup_elem(&t_arr, &key);		\
									\
	if (!e)								\
		return 0;						\
	bpf_for(i, 0, LOAD_OPS)						\
		OP;							\
	return 0;							\
}

LOAD(load_start, expect(bpf_timer_start(&e->timer, FAR_NS, 0), 0))
LOAD(load_set, expect(bpf_timer_set_callback(&e->timer, t_fn), 0))

/* A callback that is due: BEGIN and END are around the operation. */
#define LATE(name, map, type, OP, BEGIN, END)				\
SEC("syscall")								\
int name(void *ctx)							\
{									\
	int key = 0;							\
	struct type *e = bpf_map_lookup_elem(&map, &key);		\
	__attribute__((unused)) unsigned long flags;			\
									\
	if (!e)								\
		return 0;						\
	BEGIN;								\
	OP;								\
	END;								\
	return 0;							\
}

#define NOTHING	do {} while (0)
#define TIMER	due = bpf_ktime_get_ns() + DUE_NS;			\
		expect(bpf_timer_start(&e->timer, due, 1 /* BPF_F_TIMER_ABS */), 0)
#define WORK	due = bpf_ktime_get_ns();				\
		expect(bpf_wq_start(&e->wq, 0), 0)
#define OFF	bpf_local_irq_save(&flags)
#define ON	bpf_local_irq_restore(&flags)

LATE(late_timer, t_arr, t_elem, TIMER, NOTHING, NOTHING)
LATE(late_timer_off, t_arr, t_elem, TIMER, OFF, ON)
LATE(late_wq, w_arr, w_elem, WORK, NOTHING, NOTHING)
LATE(late_wq_off, w_arr, w_elem, WORK, OFF, ON)
