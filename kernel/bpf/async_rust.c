// SPDX-License-Identifier: GPL-2.0
/*
 * The C side of bpf_timer and bpf_wq in Rust: the entry points of the helpers,
 * so that kprobes and fentry can attach to them, the per-CPU variable, and the
 * CPU hotplug callbacks. See rust/kernel/bpf/.
 */
#include <linux/bpf.h>
#include <linux/bpf_async.h>
#include <linux/btf.h>
#include <linux/cpuhotplug.h>
#include <linux/filter.h>
#include <linux/init.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/workqueue.h>

BPF_CALL_3(bpf_timer_init, struct bpf_timer *, timer, struct bpf_map *, map, u64, flags)
{
	return bpf_async_timer_init(timer, map, flags);
}

BPF_CALL_3(bpf_timer_set_callback, struct bpf_timer *, timer, void *, callback_fn,
	   struct bpf_prog_aux *, aux)
{
	return bpf_async_timer_set_callback(timer, callback_fn, aux);
}

BPF_CALL_3(bpf_timer_start, struct bpf_timer *, timer, u64, nsecs, u64, flags)
{
	return bpf_async_timer_start(timer, nsecs, flags);
}

BPF_CALL_1(bpf_timer_cancel, struct bpf_timer *, timer)
{
	return bpf_async_timer_cancel(timer);
}

void bpf_timer_cancel_and_free(void *timer)
{
	bpf_async_timer_cancel_and_free(timer);
}

void bpf_wq_cancel_and_free(void *wq)
{
	bpf_async_wq_cancel_and_free(wq);
}

/*
 * IRQ_WORK_INIT_HARD: on PREEMPT_RT the default runs in a thread. A task that
 * spins until a drain has performed an operation must not have preempted it.
 */
DEFINE_PER_CPU(struct bpf_async_cpu, bpf_async_cpu) = {
	.work = IRQ_WORK_INIT_HARD(bpf_async_irq_work),
};

static void async_overflow_workfn(struct work_struct *work)
{
	unsigned long flags;

	local_irq_save(flags);
	bpf_async_drain_overflow(container_of(work, struct bpf_async_cpu, overflow_work));
	local_irq_restore(flags);
}

/*
 * Programs can still queue operations on an outgoing CPU after it has run its
 * irq_works for the last time. The CPU that took it down drains its lists
 * once it is dead. They are drained once more when it is back: a node that was
 * left on a list would keep later ones from raising the irq_work. So would an
 * irq_work of another user that was queued that late: no interrupt is left for
 * it, and later irq_works find the CPU's list of them not empty.
 */
static int async_cpu_drain(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	if (cpu == smp_processor_id())
		irq_work_run();
	bpf_async_drain_cpu(per_cpu_ptr(&bpf_async_cpu, cpu));
	local_irq_restore(flags);
	return 0;
}

static int __init async_rust_init(void)
{
	int cpu, ret;

	/* Programs take the flags from vmlinux.h, and no other C code uses them. */
	BTF_TYPE_EMIT_ENUM(BPF_F_TIMER_ABS);

	for_each_possible_cpu(cpu)
		INIT_WORK(&per_cpu_ptr(&bpf_async_cpu, cpu)->overflow_work,
			  async_overflow_workfn);

	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "bpf/async:dead",
					NULL, async_cpu_drain);
	if (ret < 0)
		return ret;
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "bpf/async:online",
					async_cpu_drain, NULL);
	return ret < 0 ? ret : 0;
}
core_initcall(async_rust_init);
