// SPDX-License-Identifier: GPL-2.0
/*
 * The stress: each run does a handful of random operations on random elements
 * of four maps, from a task, with IRQs off or in an NMI; timer and work
 * callbacks do some too. Which ones follows from the seed of program, CPU and
 * context, so a seed repeats the load (not the interleaving).
 *
 * Several instances of this are loaded at a time. They share the maps, so that
 * everyone's callbacks are set on everyone's elements; each has an identity.
 */
#include "async_common.h"
#include "async_stress.h"

#define OPS	16

struct elem {
	u64 head;
	struct bpf_timer timer;
	struct bpf_wq wq;
	u64 tail;
};

#define MAP(name, kind, size, more)				\
struct {							\
	__uint(type, kind);					\
	__uint(max_entries, size);				\
	__type(key, int);					\
	__type(value, struct elem);				\
	more							\
} name SEC(".maps")

MAP(s_array, BPF_MAP_TYPE_ARRAY, ELEMS,);
MAP(s_hash, BPF_MAP_TYPE_HASH, ELEMS, __uint(map_flags, BPF_F_NO_PREALLOC););
MAP(s_lru, BPF_MAP_TYPE_LRU_HASH, ELEMS / 2,);	/* so that it evicts */

struct inner_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ELEMS);
	__type(key, int);
	__type(value, struct elem);
} s_inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, OUTER);
	__type(key, int);
	__array(values, struct inner_map);
} s_outer SEC(".maps") = { .values = { &s_inner } };

/* How often: enough is armed for callbacks to run, enough is taken down. */
const volatile u32 weights[32] = {
	K_T_INIT, K_T_INIT, K_T_INIT, K_T_SET, K_T_SET, K_T_SET, K_T_SET, K_T_START,
	K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_START, K_T_CANCEL,
	K_T_CANCEL, K_T_ASYNC, K_T_ASYNC, K_W_INIT, K_W_INIT, K_W_SET, K_W_SET, K_W_SET,
	K_W_START, K_W_START, K_W_START, K_W_START, K_LOOKUP, K_DELETE, K_UPDATE, K_UPDATE,
};

const volatile u32 elems = ELEMS;	/* how many are in use: few are hot, many get to fire */
const volatile bool nmi_init = true;	/* whether init is done in NMIs */
const volatile bool cancel_waits = true;	/* -EBUSY otherwise */
const volatile bool defer_allocates = true;	/* -ENOMEM is possible */
const volatile u64 me;		/* in the text of this instance */
u64 identity;			/* the same, in its memory */
u64 seeds[MAX_CPUS * WHERES];
struct totals totals SEC(".data.shared");

extern void bpf_async_test_sleep(u32 usecs) __weak __ksym;

/* The compiler knows that i is in range and the verifier does not: hide it. */
#define BOUND(i, size) ({ u32 i_ = (i); asm volatile("" : "+r"(i_)); i_ < (size) ? i_ : 0; })

/*
 * Functions that are not static are verified once, not for each call: loading
 * takes long enough.
 */
__noinline int wrong(u32 what, u64 value, u32 kind, u32 where)
{
	what = BOUND(what, WRONGS);
	__sync_fetch_and_add(&totals.wrong[what], 1);
	totals.value[what] = value;
	totals.kind[what] = kind;
	totals.where[what] = where;
	return 0;
}

/* A hash element may be used again, with another key, while it is looked at. */
static __always_inline bool is_head(u64 head, int key)
{
	u32 which = (head >> 8) & 0xff, elem = head & 0xff;

	return (head & ~0xffffULL) == CANARY && which < MAPS && elem < ELEMS &&
	       (which == M_HASH || which == M_LRU || elem == key);
}

static __noinline int check(struct elem *e, int key, u32 kind, u32 where)
{
	u64 head, tail;

	if (!e)
		return 0;
	head = *(volatile u64 *)&e->head;
	tail = *(volatile u64 *)&e->tail;
	if (!is_head(head, key))
		wrong(X_HEAD, head, kind, where);
	if (!is_head(~tail, key))
		wrong(X_TAIL, tail, kind, where);
	if (*(volatile u64 *)&identity != me)
		wrong(X_IDENTITY, identity, kind, where);
	return 0;
}

__noinline int check_context(u32 where)
{
	u32 now = bpf_async_test_context(), want = 0;

	if (where == W_NMI)
		want = 1 | 2 | 4;
	else if (where == W_IRQS_OFF)
		want = 4;
	else if (where == W_SOFTIRQ)
		want = 8;
	if (now != want)
		wrong(X_CONTEXT, now, 0, where);
	return 0;
}

static __always_inline bool known(u32 kind, s64 r)
{
	/* -ENOMEM: kmalloc_nolock() may fail in any context but a task's. */
	switch (kind) {
	case K_T_INIT:
	case K_W_INIT:		/* -EPERM: of an inner map that is going */
		return r == 0 || r == -16 || r == -12 || r == -1;
	case K_T_SET:
	case K_W_SET:
		return r == 0 || r == -22 || r == -1 || r == -2;
	case K_T_START:
	case K_W_START:
		return r == 0 || r == -22 || r == -2 || r == -35 ||
		       (r == -12 && defer_allocates);
	case K_T_CANCEL:
		return r == 0 || r == 1 || r == -22 || r == -2 || r == -35 || r == -95 ||
		       (r == -16 && !cancel_waits);
	case K_T_ASYNC:
		return r == 0 || r == 1 || r == -1 || r == -22 || r == -2 || r == -35 ||
		       r == -125 || (r == -12 && defer_allocates);
	}
	return true;
}

__noinline int done(u32 kind, u32 which, u32 where, s64 r)
{
	if (!known(kind, r))
		wrong(X_ANSWER, r, kind, where);
	__sync_fetch_and_add(&totals.done[BOUND(where * KINDS + kind, KINDS * WHERES)], 1);
	__sync_fetch_and_add(&totals.on_map[BOUND(which, MAPS)], 1);
	return 0;
}

__noinline u64 roll(u32 where)
{
	u32 i = BOUND((bpf_get_smp_processor_id() & (MAX_CPUS - 1)) * WHERES + where,
		      MAX_CPUS * WHERES);
	u64 x = seeds[i];

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	seeds[i] = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* Mostly soon; sometimes far, and at the ends of the range. */
static __always_inline u64 expiry(u64 dice, u32 flags)
{
	u64 nsecs = (dice >> 16) & 0x1fff;

	switch ((dice >> 4) & 15) {
	case 0:
		return ~0ULL >> ((dice >> 16) & 63);
	case 1:
	case 2:
		nsecs <<= 8;	/* two milliseconds */
	}
	return flags & 1 ? nsecs + bpf_ktime_get_ns() : nsecs;
}

typedef int (*cb_t)(void *map, int *key, struct elem *e);
typedef int (*wq_cb_t)(void *map, int *key, void *value);

static __always_inline int one_op(void *map, u64 dice, u32 kind, u32 which, u32 where,
				  cb_t timer_cb, wq_cb_t work_cb)
{
	int key = (dice >> 8) % elems;
	struct elem fresh = { .head = HEAD(which, key), .tail = ~HEAD(which, key) }, *e;
	u32 flags = (dice >> 32) & 3;
	long r = 0;

	if (kind == K_DELETE) {
		bpf_map_delete_elem(map, &key);
		return done(kind, which, where, 0);
	}
	if (kind == K_UPDATE) {
		bpf_map_update_elem(map, &key, &fresh, BPF_ANY);
		return done(kind, which, where, 0);
	}
	if (where == W_NMI && !nmi_init && (kind == K_T_INIT || kind == K_W_INIT))
		return 0;
	e = bpf_map_lookup_elem(map, &key);
	if (!e)
		return 0;
	switch (kind) {
	case K_LOOKUP:
		check(e, key, kind, where);
		break;
	case K_T_INIT:
		r = bpf_timer_init(&e->timer, map, CLOCK_MONOTONIC);
		break;
	case K_T_SET:
		r = bpf_timer_set_callback(&e->timer, timer_cb);
		break;
	case K_T_START:
		r = bpf_timer_start(&e->timer, expiry(dice, flags), flags);
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
		r = bpf_wq_set_callback(&e->wq, work_cb, 0);
		break;
	case K_W_START:
		r = bpf_wq_start(&e->wq, 0);
		break;
	}
	return done(kind, which, where, r);
}

#define RANDOM_OP(name, op)						\
static __noinline int name(u32 where)					\
{									\
	u64 dice = roll(where);						\
	u32 kind = weights[(dice >> 40) & 31];				\
	int key = (dice >> 56) % OUTER;					\
	void *inner;							\
									\
	switch ((dice >> 60) & 3) {					\
	case M_ARRAY:							\
		return op(&s_array, dice, kind, M_ARRAY, where);	\
	case M_HASH:							\
		return op(&s_hash, dice, kind, M_HASH, where);		\
	case M_LRU:							\
		return op(&s_lru, dice, kind, M_LRU, where);		\
	}								\
	inner = bpf_map_lookup_elem(&s_outer, &key);			\
	if (inner)							\
		op(inner, dice, kind, M_INNER, where);			\
	return 0;							\
}

/*
 * The verifier allows no cycles, not even of a callback that sets itself: so
 * callbacks set leaves, which set nothing.
 */
static int timer_leaf(void *map, int *key, struct elem *e)
{
	__sync_fetch_and_add(&totals.timers, 1);
	check(e, *key, KINDS, W_SOFTIRQ);
	return check_context(W_SOFTIRQ);
}

static int work_leaf(void *map, int *key, void *value)
{
	__sync_fetch_and_add(&totals.works, 1);
	check(value, *key, KINDS, W_WORK);
	return check_context(W_WORK);
}

static __noinline int leaf_op(void *map, u64 dice, u32 kind, u32 which, u32 where)
{
	return one_op(map, dice, kind, which, where, timer_leaf, work_leaf);
}

RANDOM_OP(random_op_of_callback, leaf_op)

/* Less than one start for each callback, or they would take the machine. */
static int timer_callback(void *map, int *key, struct elem *e)
{
	int k = *key;

	timer_leaf(map, &k, e);
	random_op_of_callback(W_SOFTIRQ);
	return check(e, k, KINDS, W_SOFTIRQ);
}

static int work_callback(void *map, int *key, void *value)
{
	u64 dice = roll(W_WORK);
	int k = *key;

	work_leaf(map, &k, value);
	if (!(dice >> 60)) {	/* briefly, or for some grace periods */
		bpf_async_test_sleep((dice >> 32) & (dice & 3 ? 0x3ff : 0x7ffff));
		__sync_fetch_and_add(&totals.slept, 1);
	}
	random_op_of_callback(W_WORK);
	return check(value, k, KINDS, W_WORK);
}

static __noinline int top_op(void *map, u64 dice, u32 kind, u32 which, u32 where)
{
	return one_op(map, dice, kind, which, where, timer_callback, work_callback);
}

RANDOM_OP(random_op, top_op)

/* What guests run. They are loaded often, so the verifier must be quick. */
static long loop_visit(u64 i, void *ctx)
{
	random_op_of_callback(W_TASK);
	return 0;
}

SEC("tc")
int visit(struct __sk_buff *skb)
{
	bpf_loop(OPS, loop_visit, NULL, 0);
	return 0;
}

struct loop {
	u32 where;
};

static long loop_op(u64 i, struct loop *l)
{
	random_op(BOUND(l->where, WHERES));
	return 0;
}

/* mark 1: with an NMI too. */
SEC("tc")
int stress(struct __sk_buff *skb)
{
	struct loop l = { .where = W_TASK };
	u32 mark = skb->mark;
	unsigned long flags;

	check_context(W_TASK);
	bpf_loop(OPS, loop_op, &l, 0);
	l.where = W_IRQS_OFF;
	bpf_local_irq_save(&flags);
	check_context(W_IRQS_OFF);
	bpf_loop(OPS / 4, loop_op, &l, 0);
	bpf_local_irq_restore(&flags);
	if (mark)
		bpf_async_test_nmi(0);
	return 0;
}

SEC("fentry/bpf_async_test_nmi_hook")
int BPF_PROG(stress_nmi, u64 arg)
{
	struct loop l = { .where = W_NMI };

	check_context(W_NMI);
	bpf_loop(OPS / 8, loop_op, &l, 0);
	return 0;
}
