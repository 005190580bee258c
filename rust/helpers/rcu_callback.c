// SPDX-License-Identifier: GPL-2.0

#include <linux/rcupdate.h>
#include <linux/rcupdate_trace.h>

#ifndef CONFIG_RCU_LAZY
__rust_helper void rust_helper_call_rcu_hurry(struct rcu_head *head, rcu_callback_t func)
{
	call_rcu_hurry(head, func);
}
#endif

__rust_helper void rust_helper_rcu_read_lock_trace(void)
{
	rcu_read_lock_trace();
}

__rust_helper void rust_helper_rcu_read_unlock_trace(void)
{
	rcu_read_unlock_trace();
}

__rust_helper void rust_helper_rcu_read_lock_sched_notrace(void)
{
	rcu_read_lock_sched_notrace();
}

__rust_helper void rust_helper_rcu_read_unlock_sched_notrace(void)
{
	rcu_read_unlock_sched_notrace();
}
