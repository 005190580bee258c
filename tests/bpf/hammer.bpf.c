// SPDX-License-Identifier: GPL-2.0
/*
 * The hammer: each run does a handful of random operations on random elements
 * of three maps, from a task, with IRQs off or in an NMI. Which ones follows
 * from the seed of the CPU, so a seed repeats the load (not the interleaving).
 */
#include "common.bpf.h"
#include "hammer.h"

#define ELEMS	6
#define OPS	16

struct elem {
	u64 id;		/* 0, or map and key: a callback checks it */
	struct bpf_timer timer;
	struct bpf_wq wq;
};

#define MAP(name, kind, size)					\
struct {							\
	__uint(type, kind);					\
	__uint(max_entries, size);				\
	__type(key, int);					\
	__type(value, struct elem);				\
} name SEC(".maps")

MAP(h_arr, BPF_MAP_TYPE_ARRAY, ELEMS);
MAP(h_hash, BPF_MAP_TYPE_HASH, ELEMS);
MAP(h_lru, BPF_MAP_TYPE_LRU_HASH, ELEMS - 2);	/* so that it evicts */

/* How often: enough is armed for callbacks to run, enough is taken down. */
const volatile u32 weights[32] = {
	K_T_INIT, K_T_INIT, K_T_INIT, K_T_SET, K_T_SET, K_T_SET, K_T_SET, K_T_START,
	K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_START,
	K_T_START, K_T_CANCEL, K_T_CANCEL, K_T_ASYNC, K_T_ASYNC, K_W_INIT, K_W_INIT, K_W_SET,
	K_W_SET, K_W_SET, K_W_START, K_W_START, K_W_START, K_W_START, K_DELETE, K_UPDATE,
};

u64 seeds[MAX_CPUS * WHERES];
u64 done[KINDS * WHERES];
u64 fired[4];		/* timers of a and b, work of a and b */
u64 torn;		/* callbacks that saw an id no element of theirs has */
u64 odd[KINDS];		/* answers that no document names */
s64 odd_value[KINDS];

typedef int (*cb_t)(void *map, int *key, struct elem *e);
typedef int (*wq_cb_t)(void *map, int *key, void *e);

static __always_inline int called(int *key, struct elem *e, u32 who)
{
	u64 id = e->id;
	u32 which = id >> 8, elem = id & 0xff;

	__sync_fetch_and_add(&fired[who & 3], 1);
	/* A hash element may be used again, with another key, under a callback. */
	if (id && (which < 1 || which > 3 || elem >= ELEMS || (which == 1 && elem != *key)))
		__sync_fetch_and_add(&torn, 1);
	return 0;
}

static int timer_a(void *map, int *key, struct elem *e) { return called(key, e, 0); }
static int timer_b(void *map, int *key, struct elem *e) { return called(key, e, 1); }
static int wq_a(void *map, int *key, void *e) { return called(key, e, 2); }
static int wq_b(void *map, int *key, void *e) { return called(key, e, 3); }

static __always_inline bool known(u32 kind, long r)
{
	/* -ENOMEM: kmalloc_nolock() may fail in any context but a task's. */
	switch (kind) {
	case K_T_INIT:
	case K_W_INIT:
		return r == 0 || r == -16 || r == -12;
	case K_T_SET:
	case K_W_SET:
		return r == 0 || r == -22 || r == -1 || r == -2;
	case K_T_START:
	case K_W_START:
		return r == 0 || r == -22 || r == -2 || r == -35 || r == -12;
	case K_T_CANCEL:
		return r == 0 || r == 1 || r == -22 || r == -2 || r == -35 || r == -95;
	case K_T_ASYNC:
		return r == 0 || r == 1 || r == -1 || r == -22 || r == -2 || r == -35 ||
		       r == -125 || r == -12;
	}
	return true;
}

/* The compiler knows that i is in range and the verifier does not: hide it. */
#define BOUND(i, size) ({ u32 i_ = (i); asm volatile("" : "+r"(i_)); i_ < (size) ? i_ : 0; })

static __always_inline void one_op(void *map, u32 which, u64 dice, u32 kind, u32 where,
				   cb_t tcb, wq_cb_t wcb)
{
	struct elem zero = {}, *e;
	int key = (dice >> 8) % ELEMS;
	u64 nsecs = (dice >> 16) & 0x1fff;
	u32 flags = (dice >> 32) & 3;
	long r = 0;

	if (kind == K_DELETE) {
		bpf_map_delete_elem(map, &key);
		goto count;
	}
	if (kind == K_UPDATE) {
		bpf_map_update_elem(map, &key, &zero, BPF_ANY);
		goto count;
	}
	e = bpf_map_lookup_elem(map, &key);
	if (!e)
		return;
	if (flags & 1)	/* absolute */
		nsecs += bpf_ktime_get_ns();
	switch (kind) {
	case K_T_INIT:
		e->id = which << 8 | key;
		r = bpf_timer_init(&e->timer, map, CLOCK_MONOTONIC);
		break;
	case K_T_SET:
		r = bpf_timer_set_callback(&e->timer, tcb);
		break;
	case K_T_START:
		r = bpf_timer_start(&e->timer, nsecs, flags);
		break;
	case K_T_CANCEL:
		r = bpf_timer_cancel(&e->timer);
		break;
	case K_T_ASYNC:
		r = bpf_timer_cancel_async(&e->timer);
		break;
	case K_W_INIT:
		r = bpf_wq_init(&e->wq, map, 0);
		break;
	case K_W_SET:
		r = bpf_wq_set_callback(&e->wq, wcb, 0);
		break;
	case K_W_START:
		r = bpf_wq_start(&e->wq, 0);
		break;
	}
	if (!known(kind, r)) {
		kind = BOUND(kind, KINDS);
		__sync_fetch_and_add(&odd[kind], 1);
		odd_value[kind] = r;
	}
count:
	__sync_fetch_and_add(&done[BOUND(where * KINDS + kind, KINDS * WHERES)], 1);
}

struct loop {
	u32 where;
};

static __always_inline u64 roll(u32 where)
{
	u32 i = (bpf_get_smp_processor_id() & (MAX_CPUS - 1)) * WHERES + where;
	u64 x;

	if (i >= MAX_CPUS * WHERES)
		return 0;
	x = seeds[i];
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	seeds[i] = x;
	return x * 0x2545f4914f6cdd1dULL;
}

#define HAMMER(x)								\
static long loop_##x(u64 i, struct loop *l)					\
{										\
	u32 where = l->where, kind;						\
	u64 dice;								\
										\
	if (where >= WHERES)							\
		return 1;							\
	dice = roll(where);							\
	kind = weights[(dice >> 40) & 31];						\
	if (kind >= KINDS)							\
		return 1;							\
	switch ((dice >> 60) % 3) {						\
	case 0:									\
		one_op(&h_arr, 1, dice, kind, where, timer_##x, wq_##x);	\
		break;								\
	case 1:									\
		one_op(&h_hash, 2, dice, kind, where, timer_##x, wq_##x);	\
		break;								\
	default:								\
		one_op(&h_lru, 3, dice, kind, where, timer_##x, wq_##x);	\
	}									\
	return 0;								\
}										\
										\
SEC("tc")									\
int hammer_##x(struct __sk_buff *skb)						\
{										\
	struct loop l = { .where = W_TASK };					\
	unsigned long flags;							\
										\
	bpf_loop(OPS, loop_##x, &l, 0);						\
	l.where = W_IRQS_OFF;							\
	bpf_local_irq_save(&flags);						\
	bpf_loop(OPS / 4, loop_##x, &l, 0);					\
	bpf_local_irq_restore(&flags);						\
	if (skb->mark)								\
		bpf_async_test_nmi(0);						\
	return 0;								\
}										\
										\
SEC("fentry/bpf_async_test_nmi_hook")						\
int BPF_PROG(hammer_nmi_##x, u64 arg)						\
{										\
	struct loop l = { .where = W_NMI };					\
										\
	bpf_loop(OPS / 8, loop_##x, &l, 0);					\
	return 0;								\
}

HAMMER(a)
HAMMER(b)
