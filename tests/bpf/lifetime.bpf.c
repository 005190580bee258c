// SPDX-License-Identifier: GPL-2.0
/*
 * A wq callback that runs until the loader says stop, and says that it runs:
 * what becomes of it when its program (H1) or its inner map (H2) goes away.
 * The programs are not sleepable, so nothing but the callback's own
 * references covers it.
 */
#include "common.bpf.h"

#define MAGIC	0x1234567887654321ULL

struct elem {
	struct bpf_wq wq;
	u64 magic;
};

struct wq_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} wqs SEC(".maps"), inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, int);
	__array(values, struct wq_map);
} outer SEC(".maps") = { .values = { &inner } };

volatile u64 begun, ended, ticks, broken;
volatile u32 stop;
int result;

struct watch {
	struct elem *e;
	u64 end;
	u32 over;
};

static long watch_inner(u64 i, struct watch *w)
{
	ticks++;
	if (w->e->magic != MAGIC)
		broken++;
	if (!stop && bpf_ktime_get_ns() < w->end)
		return 0;
	w->over = 1;
	return 1;
}

static long watch_outer(u64 i, struct watch *w)
{
	bpf_loop(1 << 20, watch_inner, w, 0);
	return w->over != 0;
}

static int busy(void *map, int *key, void *value)
{
	struct watch w = { .e = value, .end = bpf_ktime_get_ns() + 4 * WAIT_LIMIT_NS };

	begun++;
	bpf_loop(1 << 20, watch_outer, &w, 0);
	ended++;
	return 0;
}

static __always_inline int arm(struct elem *e, void *map)
{
	int err;

	e->magic = MAGIC;
	err = bpf_wq_init(&e->wq, map, 0);
	if (!err)
		err = bpf_wq_set_callback(&e->wq, busy, 0);
	if (!err)
		err = bpf_wq_start(&e->wq, 0);
	return err;
}

SEC("tc")
int arm_plain(struct __sk_buff *skb)
{
	struct elem *e;
	int key = 0;

	e = bpf_map_lookup_elem(&wqs, &key);
	result = e ? arm(e, &wqs) : -2;
	return 0;
}

SEC("tc")
int arm_inner(struct __sk_buff *skb)
{
	struct elem *e;
	void *map;
	int key = 0;

	map = bpf_map_lookup_elem(&outer, &key);
	if (!map)
		return 0;
	e = bpf_map_lookup_elem(map, &key);
	result = e ? arm(e, map) : -2;
	return 0;
}
