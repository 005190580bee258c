// SPDX-License-Identifier: GPL-2.0
/*
 * The C side of bpf_timer and bpf_wq in Rust: what has to be a static C
 * object, and the CPU hotplug callbacks. All else is in rust/kernel/bpf/.
 */
#include <linux/bpf.h>
#include <linux/bpf_async.h>
#include <linux/btf.h>
#include <linux/cpuhotplug.h>
#include <linux/init.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/workqueue.h>

static void async_late_work(struct work_struct *work)
{
	unsigned long flags;

	local_irq_save(flags);
	bpf_async_drain_late(container_of(work, struct bpf_async_cpu, late_work));
	local_irq_restore(flags);
}

/*
 * IRQ_WORK_INIT_HARD: on PREEMPT_RT the default would run in a thread, which
 * may have interrupted a holder of the locks that the drain takes.
 */
DEFINE_PER_CPU(struct bpf_async_cpu, bpf_async_cpu) = {
	.work = IRQ_WORK_INIT_HARD(bpf_async_irq_work),
};
EXPORT_PER_CPU_SYMBOL_GPL(bpf_async_cpu);

/*
 * An operation that is queued after a CPU ran its irq_works for the last time
 * finds nobody to perform it there. What is left is drained once the CPU is
 * dead, by the CPU that took it down; and once more when it is back, because
 * one node left on the list would keep later ones from raising the irq_work.
 */
static int async_cpu_drain(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	bpf_async_drain(per_cpu_ptr(&bpf_async_cpu, cpu));
	local_irq_restore(flags);
	return 0;
}

static int __init async_rust_init(void)
{
	int cpu, ret;

	/* Programs take the flags from vmlinux.h, and no other C code uses them. */
	BTF_TYPE_EMIT_ENUM(BPF_F_TIMER_ABS);

	for_each_possible_cpu(cpu)
		INIT_WORK(&per_cpu_ptr(&bpf_async_cpu, cpu)->late_work, async_late_work);

	ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "bpf/async:dead",
					NULL, async_cpu_drain);
	if (ret < 0)
		return ret;
	ret = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "bpf/async:online",
					async_cpu_drain, NULL);
	return ret < 0 ? ret : 0;
}
core_initcall(async_rust_init);
