// SPDX-License-Identifier: GPL-2.0
/*
 * A wq callback that runs until the loader says stop, and says that it runs:
 * what becomes of it when its program or its inner map goes away. The programs
 * are not sleepable, so nothing but the callback's own references covers it.
 */
#include "async_common.h"

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

static long watch_inner(u64 i, struct elem **e)
{
	ticks++;
	if ((*e)->magic != MAGIC)
		broken++;
	return stop != 0;
}

static long watch_outer(u64 i, struct elem **e)
{
	bpf_loop(WAIT_INNER, watch_inner, e, 0);
	return stop != 0;
}

static int busy(void *map, int *key, void *value)
{
	struct elem *e = value;

	begun++;
	bpf_loop(4 * WAIT_OUTER, watch_outer, &e, 0);
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
