// SPDX-License-Identifier: GPL-2.0
/* A program as a user of the kernel would begin: one timer, called once. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct elem {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct elem);
} elems SEC(".maps");

int calls;

static int callback(void *map, int *key, struct elem *elem)
{
	__sync_fetch_and_add(&calls, 1);
	return 0;
}

SEC("syscall")
int start(void *ctx)
{
	int key = 0;
	struct elem *elem = bpf_map_lookup_elem(&elems, &key);
	long err;

	if (!elem)
		return -1;
	err = bpf_timer_init(&elem->timer, &elems, 1 /* CLOCK_MONOTONIC */);
	err = err ?: bpf_timer_set_callback(&elem->timer, callback);
	err = err ?: bpf_timer_start(&elem->timer, 1000, 0);
	return err;
}

char LICENSE[] SEC("license") = "GPL";
