// SPDX-License-Identifier: GPL-2.0

#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>

#ifdef CONFIG_RUST_IRQ_WORK_KUNIT_TEST
__rust_helper void rust_helper_init_irq_work_hard(struct irq_work *work,
						  void (*func)(struct irq_work *))
{
	*work = IRQ_WORK_INIT_HARD(func);
}

__rust_helper bool rust_helper_irq_work_kunit_in_hardirq(void)
{
	return in_hardirq() && irqs_disabled();
}
#endif
