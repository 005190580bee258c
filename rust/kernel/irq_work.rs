// SPDX-License-Identifier: GPL-2.0

//! Work that runs in hard interrupt context.
//!
//! An `irq_work` can be queued from any context, NMI included. The function of one that was set up
//! with `IRQ_WORK_INIT_HARD()` runs on the same CPU as soon as interrupts are enabled there. Where
//! an architecture or a machine has no interrupt for it, it runs in the next tick. On a CPU that
//! goes down, it runs in the stopper task, with interrupts disabled, as for any other caller of
//! `irq_work_run()`.
//!
//! C header: [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h)

use crate::bindings;

/// Queues a C `struct irq_work` on the current CPU.
///
/// Returns `false` if it was queued already and its function has not begun. The function then runs
/// once, and sees what was written before each of the calls: this is a fully ordered atomic
/// read-modify-write.
///
/// # Safety
///
/// - `work` must be set up, and must stay valid until `irq_work_sync()` has returned after the last
///   call.
/// - It must be sound to call its function until then.
///
/// # Context
///
/// Any, NMI included.
#[doc(alias = "irq_work_queue")]
#[inline]
pub unsafe fn queue(work: *mut bindings::irq_work) -> bool {
    // SAFETY: The caller guarantees that the work is set up and stays valid.
    unsafe { bindings::irq_work_queue(work) }
}

#[cfg(CONFIG_RUST_IRQ_WORK_KUNIT_TEST)]
#[macros::kunit_tests(rust_irq_work)]
mod tests {
    use super::*;
    use crate::{
        interrupt::local_interrupt_disable,
        prelude::*,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        types::Opaque, //
    };

    #[repr(C)]
    struct Count {
        work: Opaque<bindings::irq_work>,
        runs: Atomic<i32>,
        in_hardirq: Atomic<bool>,
    }

    impl Count {
        fn new() -> Result<KBox<Self>> {
            let this = KBox::new(
                Self {
                    work: Opaque::uninit(),
                    runs: Atomic::new(0),
                    in_hardirq: Atomic::new(false),
                },
                GFP_KERNEL,
            )?;
            // `run` gets a pointer to the work only, and uses all of the box.
            core::ptr::from_ref(&*this).expose_provenance();
            // SAFETY: The work is valid for writes, and the box does not move.
            unsafe { bindings::init_irq_work_hard(this.work.get(), Some(Self::run)) };
            Ok(this)
        }

        /// # Safety
        ///
        /// `work` must be that of a `Count`.
        unsafe extern "C" fn run(work: *mut bindings::irq_work) {
            // `work` is the first field, and `new` has exposed the provenance of all.
            let this = core::ptr::with_exposed_provenance::<Self>(work.addr());
            // SAFETY: Each test waits for the function before it drops the box.
            let this = unsafe { &*this };
            // SAFETY: This FFI call has no requirements.
            let in_hardirq = unsafe { bindings::irq_work_kunit_in_hardirq() };
            this.in_hardirq.store(in_hardirq, Relaxed);
            this.runs.add(1, Relaxed);
        }

        fn queue(&self) -> bool {
            // SAFETY: The work is set up, and each test waits for it.
            unsafe { queue(self.work.get()) }
        }

        fn sync(&self) {
            // SAFETY: The work is set up.
            unsafe { bindings::irq_work_sync(self.work.get()) };
        }
    }

    /// Each queueing that succeeds has one run, in hard interrupt context.
    #[test]
    fn runs_once_for_each_queueing() -> Result {
        let work = Count::new()?;
        for n in 1..=100 {
            assert!(work.queue());
            work.sync();
            assert_eq!(work.runs.load(Relaxed), n);
        }
        assert!(work.in_hardirq.load(Relaxed));
        Ok(())
    }

    /// A work that is pending is not queued twice.
    #[test]
    fn pending_work_is_queued_once() -> Result {
        let work = Count::new()?;
        let disabled = local_interrupt_disable();
        let (first, second) = (work.queue(), work.queue());
        let early = work.runs.load(Relaxed);
        drop(disabled);
        work.sync();
        assert!(first);
        assert!(!second);
        assert_eq!(early, 0);
        assert_eq!(work.runs.load(Relaxed), 1);
        Ok(())
    }
}
