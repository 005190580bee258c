// SPDX-License-Identifier: GPL-2.0
/*
 * What each operation answers with preemption disabled, and in a task that is traced
 * while it is about to wait for a lock. On PREEMPT_RT there is no memory for init.
 */
#include "async_helpers.h"
#include "async_preempt_off.skel.h"

static void preempt_off(void)
{
	struct async_preempt_off *skel = async_preempt_off__open_and_load();
	bool atomic = async_can_init_atomic();

	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(async_run(skel->progs.inits, 0), "inits") ||
	    !ASSERT_OK(async_run(skel->progs.operations, 0), "operations") ||
	    !ASSERT_OK(async_run(skel->progs.lock_waits, 0), "lock_waits"))
		goto out;
	ASSERT_EQ(skel->bss->timer_init, atomic ? 0 : -ENOMEM, "init of a timer");
	ASSERT_EQ(skel->bss->wq_init, atomic ? 0 : -ENOMEM, "init of a wq");
	ASSERT_OK(skel->bss->set, "set_callback");
	ASSERT_OK(skel->bss->start, "start");
	ASSERT_EQ(skel->bss->cancel, 1, "cancel");
	ASSERT_EQ(skel->bss->cancel_async, 1, "cancel_async");
	ASSERT_TRUE(async_wait(skel->bss->ran), "the work item runs");
	ASSERT_EQ(skel->bss->wait_timer_init, atomic ? 0 : -ENOMEM, "init of a timer by a task that waits");
	ASSERT_EQ(skel->bss->wait_wq_init, atomic ? 0 : -ENOMEM, "init of a wq by a task that waits");
	ASSERT_EQ(skel->bss->wait_cancel, 1, "cancel by a task that waits");
out:
	async_preempt_off__destroy(skel);
}

void serial_test_async_preempt_off(void)
{
	async_test(preempt_off);
}
