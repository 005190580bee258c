// SPDX-License-Identifier: GPL-2.0
/*
 * set_callback in a program with as few subprograms as can be and in one
 * with as many: the callbacks are the last ones, the worst case of a search.
 */
#include "async_common.h"

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, int);
	__type(value, struct elem);
} many SEC(".maps");

volatile u64 sum, fired[4];
volatile s32 last_ret;
volatile u32 call_all;	/* never: they need only be there */

#define F1(n)	static __noinline u64 f##n(u64 x) { sum += x; return x + __COUNTER__; }
#define C1(n)	x = f##n(x);
#define TEN(M, n)	M(n##0) M(n##1) M(n##2) M(n##3) M(n##4) M(n##5) M(n##6) M(n##7) M(n##8) M(n##9)
#define FIFTY(M, n)	TEN(M, n##0) TEN(M, n##1) TEN(M, n##2) TEN(M, n##3) TEN(M, n##4)
#define ALL(M)	FIFTY(M, 1) FIFTY(M, 2) FIFTY(M, 3) FIFTY(M, 4) FIFTY(M, 5)

ALL(F1)

static int few_first(void *map, int *key, void *v) { __sync_fetch_and_add(&fired[0], 1); return 0; }
static int few_last(void *map, int *key, void *v) { __sync_fetch_and_add(&fired[1], 1); return 0; }
static int many_first(void *map, int *key, void *v) { __sync_fetch_and_add(&fired[2], 1); return 0; }
static int many_last(void *map, int *key, void *v) { __sync_fetch_and_add(&fired[3], 1); return 0; }

/* mark 0: set up; 1: the one callback; 2: the two in turn; 3, 4: set and fire. */
#define BODY(k, first, last)					\
	u32 mark = skb->mark;					\
	int key = k;						\
	struct elem *e = bpf_map_lookup_elem(&many, &key);	\
								\
	asm volatile("" : "+r"(mark));	/* load it once */	\
	if (!e)							\
		return 0;					\
	switch (mark) {						\
	case 0:							\
		last_ret = bpf_timer_init(&e->timer, &many, CLOCK_MONOTONIC);	\
		break;						\
	case 2:							\
	case 3:							\
		last_ret = bpf_timer_set_callback(&e->timer, first);	\
		break;						\
	}							\
	if (mark && mark != 3)					\
		last_ret = bpf_timer_set_callback(&e->timer, last);	\
	if (mark >= 3)						\
		bpf_timer_start(&e->timer, 0, 0);

SEC("tc")
int with_few(struct __sk_buff *skb)
{
	BODY(0, few_first, few_last)
	return 0;
}

SEC("tc")
int with_many(struct __sk_buff *skb)
{
	u64 x = 0;

	/* Subprograms are in the order in which instructions refer to them. */
	if (call_all) {
		ALL(C1)
	}
	asm volatile("" ::: "memory");
	BODY(1, many_first, many_last)
	return 0;
}
