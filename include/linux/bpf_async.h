/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between C and the Rust implementation of bpf_timer and bpf_wq in
 * rust/kernel/bpf/. When rust/kernel/bpf/helpers.rs is compiled, each of its
 * functions is checked against the prototype here.
 */
#ifndef _LINUX_BPF_ASYNC_H
#define _LINUX_BPF_ASYNC_H

#ifdef CONFIG_BPF_ASYNC_RUST

#include <linux/hrtimer_types.h>
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
 * struct bpf_async_cpu - deferred operations of a CPU
 * @objects: objects with a pending operation
 * @progs: programs whose last reference has to be put
 * @overflow: objects that wait for @overflow_work, because there was a newer
 *            operation after each that was performed, or because too many
 *            drains in a row have each caused the next
 * @work: drains @objects and @progs, in hard interrupt context or while the
 *        CPU goes down or comes up
 * @overflow_work: drains @overflow in task context
 * @draining: the object whose operation is being performed, this structure
 *            during the rest of a drain, or NULL
 * @running: the timer whose callback is running, or NULL
 * @running_task: the task in which it is running, on PREEMPT_RT
 * @depth: how many drains in a row were caused by the one before; the highest
 *         bit says that the one under way has caused another one
 *
 * The lists and @overflow_work can be used by any CPU. The other fields are used
 * by this CPU only, including its interrupts and NMIs.
 */
struct bpf_async_cpu {
	struct llist_head objects;
	struct llist_head progs;
	struct llist_head overflow;
	struct irq_work work;
	struct work_struct overflow_work;
	void *draining;
	void *running;
	void *running_task;
	unsigned int depth;
};

DECLARE_PER_CPU(struct bpf_async_cpu, bpf_async_cpu);

/* BPF helpers, whose protos are in kernel/bpf/helpers.c */
u64 bpf_timer_init(u64 timer, u64 map, u64 flags, u64 unused4, u64 unused5);
u64 bpf_timer_set_callback(u64 timer, u64 callback_fn, u64 aux, u64 unused4, u64 unused5);
u64 bpf_timer_start(u64 timer, u64 nsecs, u64 flags, u64 unused4, u64 unused5);
u64 bpf_timer_cancel(u64 timer, u64 unused2, u64 unused3, u64 unused4, u64 unused5);

/* Rust functions behind the helpers, the kfuncs and the maps */
int bpf_async_timer_init(struct bpf_timer *timer, struct bpf_map *map, u64 flags);
int bpf_async_timer_set_callback(struct bpf_timer *timer, void *callback_fn,
				 struct bpf_prog_aux *aux);
int bpf_async_timer_start(struct bpf_timer *timer, u64 nsecs, u64 flags);
int bpf_async_timer_cancel(struct bpf_timer *timer);
int bpf_async_timer_cancel_async(struct bpf_timer *timer);
void bpf_async_timer_cancel_and_free(struct bpf_timer *timer);
int bpf_async_wq_init(struct bpf_wq *wq, struct bpf_map *map, unsigned int flags);
int bpf_async_wq_set_callback(struct bpf_wq *wq, void *callback_fn, unsigned int flags,
			      struct bpf_prog_aux *aux);
int bpf_async_wq_start(struct bpf_wq *wq, unsigned int flags);
void bpf_async_wq_cancel_and_free(struct bpf_wq *wq);

/* Rust functions that hrtimers, workers, the irq_work and the CPU hotplug callbacks call */
enum hrtimer_restart bpf_timer_cb(struct hrtimer *timer);
void bpf_wq_work(struct work_struct *work);
void bpf_async_irq_work(struct irq_work *work);
void bpf_async_drain_cpu(struct bpf_async_cpu *cpu);
void bpf_async_drain_overflow(struct bpf_async_cpu *cpu);

#endif /* CONFIG_BPF_ASYNC_RUST */
#endif /* _LINUX_BPF_ASYNC_H */
