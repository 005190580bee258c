// SPDX-License-Identifier: GPL-2.0

#include <linux/bpf.h>
#include <linux/bpf_async.h>
#include <linux/cpumask.h>
#include <linux/filter.h>
#include <linux/hrtimer.h>
#include <linux/hrtimer_bases.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#ifdef CONFIG_BPF_ASYNC_RUST
__rust_helper bool rust_helper_bpf_async_must_defer(void)
{
	return in_hardirq() || irqs_disabled();
}

__rust_helper struct bpf_async_cpu *rust_helper_bpf_async_this_cpu(void)
{
	return this_cpu_ptr(&bpf_async_cpu);
}

__rust_helper bool rust_helper_bpf_async_this_cpu_online(void)
{
	return cpu_online(smp_processor_id());
}

/*
 * On PREEMPT_RT the caller may have preempted the callback. Otherwise no task
 * and no other softirq runs on this CPU before the callback's softirq ends.
 */
__rust_helper void *rust_helper_bpf_async_running(void)
{
	void *timer = this_cpu_read(bpf_async_cpu.running);

	if (IS_ENABLED(CONFIG_PREEMPT_RT) && timer &&
	    this_cpu_read(bpf_async_cpu.running_task) != current)
		return NULL;
	return timer;
}

__rust_helper void rust_helper_bpf_async_set_running(void *timer)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		this_cpu_write(bpf_async_cpu.running_task, (timer ? current : NULL));
	this_cpu_write(bpf_async_cpu.running, timer);
}

/*
 * The time of a timer's clock. A timer that another CPU is moving is on no clock
 * for a moment. It is taken for one of CLOCK_MONOTONIC then, which is never ahead
 * of CLOCK_BOOTTIME. A bpf_timer is on no other clock.
 */
__rust_helper s64 rust_helper_bpf_async_timer_now(const struct hrtimer *timer)
{
	const struct hrtimer_clock_base *base = READ_ONCE(timer->base);

	return base->clockid == CLOCK_BOOTTIME ? ktime_get_boottime() : ktime_get();
}

__rust_helper void rust_helper_bpf_async_preempt_disable(void)
{
	preempt_disable_notrace();
}

__rust_helper void rust_helper_bpf_async_preempt_enable(void)
{
	preempt_enable_notrace();
}

/*
 * If the memory cgroup is full, kmalloc_nolock() gives the memory back under a lock
 * of the slab cache, which can sleep on PREEMPT_RT. No memory is allocated where a
 * program must not wait for it:
 * - with preemption disabled;
 * - in a task that is traced on its way to sleep on an rtmutex: it has pi_blocked_on,
 *   and can wait for one only;
 * - in one that waits for the readers of an rwlock_t, without pi_blocked_on: a second
 *   wait would overwrite its saved_state.
 * (What is not seen here is a futex that is requeued later, while the task waits for
 * the lock of the slab cache: another task sets pi_blocked_on then.)
 */
__rust_helper void *rust_helper_bpf_async_alloc(const struct bpf_map *map, size_t size)
{
#ifdef CONFIG_PREEMPT_RT
	if (!preemptible() || current->pi_blocked_on || get_current_state() == TASK_RTLOCK_WAIT)
		return NULL;
#endif
	return bpf_map_kmalloc_nolock(map, size, 0, map->numa_node);
}

__rust_helper void *rust_helper_bpf_async_alloc_nolock(size_t size)
{
	return kmalloc_nolock(size, 0, NUMA_NO_NODE);
}

__rust_helper void rust_helper_bpf_async_init_work(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

__rust_helper bool rust_helper_bpf_async_schedule_work(struct work_struct *work)
{
	return schedule_work(work);
}

__rust_helper bool rust_helper_bpf_async_work_pending(struct work_struct *work)
{
	return work_pending(work);
}

__rust_helper u32 rust_helper_bpf_async_array_index(struct bpf_map *map, void *value)
{
	struct bpf_array *array = container_of(map, struct bpf_array, map);

	return ((char *)value - array->value) / array->elem_size;
}

/*
 * aux->rcu is idle until the last reference was put. Until then it is the node
 * of the context that drops this reference.
 */
static_assert(sizeof(struct llist_node) <= sizeof(struct rcu_head));

__rust_helper struct llist_node *rust_helper_bpf_async_aux_node(struct bpf_prog_aux *aux)
{
	return (struct llist_node *)&aux->rcu;
}

__rust_helper struct bpf_prog_aux *rust_helper_bpf_async_node_aux(struct llist_node *node)
{
	return container_of((struct rcu_head *)node, struct bpf_prog_aux, rcu);
}

/* The JIT compiles callbacks for this type, which matters for kCFI. */
__rust_helper u64 rust_helper_bpf_async_call(bpf_callback_t callback_fn, u64 map,
					     u64 key, u64 value)
{
	return callback_fn(map, key, value, 0, 0);
}

/* bindgen would bind migrate_disable() as an exported function. */
__rust_helper void rust_helper_bpf_async_migrate_disable(void)
{
	migrate_disable();
}

__rust_helper void rust_helper_bpf_async_migrate_enable(void)
{
	migrate_enable();
}
#endif /* CONFIG_BPF_ASYNC_RUST */
