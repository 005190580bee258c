// SPDX-License-Identifier: GPL-2.0
/*
 * For the benchmark: the counter that counts instructions, and the bare kernel
 * calls under the operations of bpf_timer and bpf_wq, as kfuncs, so that both
 * are measured from BPF in the same way. Never part of the product, x86-64 and
 * arm64.
 */
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/hrtimer.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/timex.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#ifdef CONFIG_X86_64
#include <asm/msr.h>
#endif

#define WORKS 256	/* tests/bench/bench.h: the samples of one run */

static struct hrtimer timer;
static struct work_struct works[WORKS];

static enum hrtimer_restart timer_fn(struct hrtimer *t)
{
	return HRTIMER_NORESTART;
}

static void work_fn(struct work_struct *work)
{
}

__bpf_kfunc_start_defs();

/* With -icount shift=0 one instruction is one tick of what this reads. */
__bpf_kfunc u64 bpf_async_bench_count(void)
{
#ifdef CONFIG_X86_64
	return rdtsc();
#else
	return get_cycles();
#endif
}

/* A call of the same kind as those that are measured. */
__bpf_kfunc int bpf_async_bench_nop(u64 nsecs, u64 mode)
{
	return 0;
}

__bpf_kfunc int bpf_async_bench_start(u64 nsecs, u64 mode)
{
	hrtimer_start(&timer, ns_to_ktime(nsecs), mode);
	return 0;
}

__bpf_kfunc int bpf_async_bench_try_to_cancel(u64 unused, u64 unused2)
{
	return hrtimer_try_to_cancel(&timer);
}

__bpf_kfunc int bpf_async_bench_queue_work(u64 nr, u64 unused)
{
	return schedule_work(&works[nr % WORKS]);
}

/* Bytes of slabs, with what this CPU has not yet added to the sum. */
__bpf_kfunc s64 bpf_async_bench_slab(void)
{
	s64 pages = global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);

	pages += this_cpu_read(NODE_DATA(0)->per_cpu_nodestats->vm_node_stat_diff[NR_SLAB_UNRECLAIMABLE_B]);
	return pages << PAGE_SHIFT;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kfunc_ids)
BTF_ID_FLAGS(func, bpf_async_bench_count)
BTF_ID_FLAGS(func, bpf_async_bench_nop)
BTF_ID_FLAGS(func, bpf_async_bench_start)
BTF_ID_FLAGS(func, bpf_async_bench_try_to_cancel)
BTF_ID_FLAGS(func, bpf_async_bench_queue_work)
BTF_ID_FLAGS(func, bpf_async_bench_slab)
BTF_KFUNCS_END(kfunc_ids)

static const struct btf_kfunc_id_set kfunc_set = {
	.owner = THIS_MODULE,
	.set = &kfunc_ids,
};

static int __init bpf_async_bench_init(void)
{
	static const enum bpf_prog_type types[] = {
		BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_SYSCALL,
	};
	int err, i;

	hrtimer_setup(&timer, timer_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	for (i = 0; i < WORKS; i++)
		INIT_WORK(&works[i], work_fn);
	for (i = 0, err = 0; !err && i < ARRAY_SIZE(types); i++)
		err = register_btf_kfunc_id_set(types[i], &kfunc_set);
	return err;
}
module_init(bpf_async_bench_init);

static void __exit bpf_async_bench_exit(void)
{
	int i;

	hrtimer_cancel(&timer);
	for (i = 0; i < WORKS; i++)
		cancel_work_sync(&works[i]);
}
module_exit(bpf_async_bench_exit);

MODULE_DESCRIPTION("Benchmark module for bpf_timer and bpf_wq");
MODULE_LICENSE("GPL");
