// SPDX-License-Identifier: GPL-2.0

#include <linux/hrtimer.h>
#include <linux/hrtimer_bases.h>
#include <linux/smp.h>

__rust_helper bool rust_helper_hrtimer_is_queued(struct hrtimer *timer)
{
	return hrtimer_is_queued(timer);
}

/*
 * If the timer expires in a softirq on this CPU, that softirq was interrupted
 * by the caller or calls it, or on PREEMPT_RT was preempted by the caller.
 */
__rust_helper bool rust_helper_hrtimer_runs_here(const struct hrtimer *timer)
{
	const struct hrtimer_clock_base *base = READ_ONCE(timer->base);

	return READ_ONCE(base->running) == timer &&
	       base->cpu_base->cpu == raw_smp_processor_id();
}
