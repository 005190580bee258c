/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The border between C and the Rust implementation of bpf_timer and bpf_wq
 * (rust/kernel/bpf/). Every prototype here is checked against its definition
 * in rust/kernel/bpf/ffi.rs when that is compiled.
 */
#ifndef _LINUX_BPF_ASYNC_H
#define _LINUX_BPF_ASYNC_H

#ifdef CONFIG_BPF_ASYNC_RUST

#include <linux/irq_work_types.h>
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <linux/workqueue_types.h>

struct bpf_map;
struct bpf_prog_aux;
struct bpf_timer;
struct bpf_wq;

/**
 * struct bpf_async_cpu - what a CPU knows of deferred operations
 * @objects: objects with an operation queued on this CPU
 * @progs: programs whose last reference was dropped where it could not be put
 * @late: objects that wait for @late_work, because a chain became too long or
 *        there was always one operation more
 * @work: drains @objects and @progs in hard interrupt context
 * @late_work: drains @late in task context
 * @busy: the object whose operation is being performed, or NULL
 * @running: the timer whose callback is running, or NULL
 * @running_task: the task in which it is running, on PREEMPT_RT
 * @chain: how many drains in a row were caused by the drain before; the highest
 *         bit: an operation was queued while @busy was set
 *
 * All but the lists belongs to the CPU itself, interrupts and NMIs included.
 */
struct bpf_async_cpu {
	struct llist_head objects;
	struct llist_head progs;
	struct llist_head late;
	struct irq_work work;
	struct work_struct late_work;
	void *busy;
	void *running;
	void *running_task;
	unsigned int chain;
};

DECLARE_PER_CPU(struct bpf_async_cpu, bpf_async_cpu);

/* The helpers; kernel/bpf/helpers.c has their protos. */
u64 bpf_timer_init(u64 timer, u64 map, u64 flags, u64 unused4, u64 unused5);
u64 bpf_timer_set_callback(u64 timer, u64 callback_fn, u64 aux, u64 unused4, u64 unused5);
u64 bpf_timer_start(u64 timer, u64 nsecs, u64 flags, u64 unused4, u64 unused5);
u64 bpf_timer_cancel(u64 timer, u64 unused2, u64 unused3, u64 unused4, u64 unused5);

/* What the kfuncs of kernel/bpf/helpers.c call. */
int bpf_async_timer_cancel_async(struct bpf_timer *timer);
int bpf_async_wq_init(struct bpf_wq *wq, struct bpf_map *map, unsigned int flags);
int bpf_async_wq_set_callback(struct bpf_wq *wq, void *callback_fn, unsigned int flags,
			      struct bpf_prog_aux *aux);
int bpf_async_wq_start(struct bpf_wq *wq, unsigned int flags);

/* What kernel/bpf/async_rust.c calls. */
void bpf_async_irq_work(struct irq_work *work);
void bpf_async_drain(struct bpf_async_cpu *cpu);
void bpf_async_drain_late(struct bpf_async_cpu *cpu);

#endif /* CONFIG_BPF_ASYNC_RUST */
#endif /* _LINUX_BPF_ASYNC_H */
