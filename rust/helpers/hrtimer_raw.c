// SPDX-License-Identifier: GPL-2.0

#include <linux/hrtimer.h>
#if __has_include(<linux/hrtimer_bases.h>)
#include <linux/hrtimer_bases.h>	/* since 7.3 */
#endif
#include <linux/preempt.h>
#include <linux/smp.h>

__rust_helper bool rust_helper_hrtimer_is_queued(struct hrtimer *timer)
{
	return hrtimer_is_queued(timer);
}

/*
 * A softirq that is running on this CPU is what the caller runs on top of. Not
 * on PREEMPT_RT, where softirqs preempt each other: there this is never known.
 */
__rust_helper bool rust_helper_hrtimer_runs_here(const struct hrtimer *timer)
{
	const struct hrtimer_clock_base *base = READ_ONCE(timer->base);

	return !IS_ENABLED(CONFIG_PREEMPT_RT) &&
	       base->cpu_base->cpu == raw_smp_processor_id() &&
	       READ_ONCE(base->running) == timer;
}
