// SPDX-License-Identifier: GPL-2.0
/*
 * Many timers and work items: what they cost each, in instructions and in
 * bytes. A program does its part for the keys from first on, so many that RCU
 * can have its grace periods between the programs.
 */
#include "../selftests/bpf/progs/async_common.h"
#include "bench.h"

extern u64 bpf_async_bench_count(void) __ksym;
extern s64 bpf_async_bench_slab(void) __ksym;

#define BPF_F_TIMER_ABS_ 1

struct t_elem {
	struct bpf_timer timer;
};

struct w_elem {
	struct bpf_wq wq;
};

/* The loader says how many entries. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct t_elem);
} t_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct t_elem);
} t_arr SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct w_elem);
} w_arr SEC(".maps");

u32 first, number;	/* keys */
u64 expiry;		/* all have expired then, and none long before */
u64 spent;		/* instructions */
s64 bytes;		/* of slabs */
u32 wrong;
volatile u64 fired;

static int t_fn(void *map, u32 *key, struct t_elem *e)
{
	fired++;
	return 0;
}

static int w_fn(void *map, int *key, void *e)
{
	return 0;
}

static __always_inline void expect(s64 got, s64 wanted)
{
	if (got != wanted)
		wrong++;
}

#define MANY_TIMES(name, STEP)						\
static long name##_one(u64 i, void *ctx)				\
{									\
	u32 key = first + i;						\
									\
	STEP;								\
	return 0;							\
}									\
									\
SEC("tc")								\
int name(struct __sk_buff *skb)						\
{									\
	u64 begin = bpf_async_bench_count();				\
									\
	bpf_loop(number, name##_one, NULL, 0);				\
	spent += bpf_async_bench_count() - begin;			\
	return 0;							\
}

static __always_inline void insert(u32 key)
{
	struct t_elem zero = {};

	expect(bpf_map_update_elem(&t_hash, &key, &zero, BPF_NOEXIST), 0);
}

static __always_inline void arm(u32 key)
{
	struct t_elem *e = bpf_map_lookup_elem(&t_hash, &key);

	if (!e) {
		wrong++;
		return;
	}
	expect(bpf_timer_init(&e->timer, &t_hash, CLOCK_MONOTONIC), 0);
	expect(bpf_timer_set_callback(&e->timer, t_fn), 0);
	expect(bpf_timer_start(&e->timer, expiry - bpf_get_prandom_u32() % SPREAD_NS,
			       BPF_F_TIMER_ABS_), 0);
}

static __always_inline void t_make(u32 key)
{
	struct t_elem *e = bpf_map_lookup_elem(&t_arr, &key);

	if (!e) {
		wrong++;
		return;
	}
	expect(bpf_timer_init(&e->timer, &t_arr, CLOCK_MONOTONIC), 0);
	expect(bpf_timer_set_callback(&e->timer, t_fn), 0);
}

static __always_inline void w_make(u32 key)
{
	struct w_elem *e = bpf_map_lookup_elem(&w_arr, &key);

	if (!e) {
		wrong++;
		return;
	}
	expect(bpf_wq_init(&e->wq, &w_arr, 0), 0);
	expect(bpf_wq_set_callback(&e->wq, w_fn, 0), 0);
}

MANY_TIMES(nothing, (void)key)
MANY_TIMES(t_insert, insert(key))
MANY_TIMES(t_arm, arm(key))
MANY_TIMES(t_delete, expect(bpf_map_delete_elem(&t_hash, &key), 0))
MANY_TIMES(t_init, t_make(key))
MANY_TIMES(w_init, w_make(key))

static long spin(u64 i, void *ctx)
{
	return bpf_ktime_get_ns() > expiry;
}

/* All expire while IRQs are off, and are called when they are enabled. */
SEC("syscall")
int t_fire(void *ctx)
{
	unsigned long flags;
	u64 begin;

	bpf_local_irq_save(&flags);
	bpf_loop(1 << 23, spin, NULL, 0);
	begin = bpf_async_bench_count();
	bpf_local_irq_restore(&flags);
	spent = bpf_async_bench_count() - begin;
	return 0;
}

SEC("syscall")
int slab(void *ctx)
{
	bytes = bpf_async_bench_slab();
	return 0;
}

static long start_one(u64 i, void *ctx)
{
	u32 key = i;
	struct t_elem *e = bpf_map_lookup_elem(&t_arr, &key);

	if (e)
		expect(bpf_timer_start(&e->timer, FAR_NS, 0), 0);
	return 0;
}

/* What is allocated for operations that are deferred, before any is performed. */
SEC("tc")
int t_defer(struct __sk_buff *skb)
{
	unsigned long flags;
	s64 before;

	bpf_local_irq_save(&flags);
	before = bpf_async_bench_slab();
	bpf_loop(number, start_one, NULL, 0);
	bytes = bpf_async_bench_slab() - before;
	bpf_local_irq_restore(&flags);
	return 0;
}
