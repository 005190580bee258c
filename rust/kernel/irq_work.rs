// SPDX-License-Identifier: GPL-2.0

//! Work that runs in hard interrupt context.
//!
//! An `irq_work` is queued from any context, NMI included, and runs its function on the same CPU
//! as soon as interrupts can be taken there. It is the way out of a context in which nothing that
//! takes a lock may be called.
//!
//! C header: [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h)

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// What an [`IrqWork`] runs.
///
/// The implementing type is the data that the function works on. It is shared with whoever holds the
/// [`IrqWork`], hence [`Sync`]; and a work that is leaked may still run, hence `'static`.
pub trait IrqWorkItem: Sync + 'static {
    /// Runs the work.
    ///
    /// # Context
    ///
    /// Hard interrupt, interrupts disabled, on the CPU that queued the work; on `PREEMPT_RT` too.
    /// It must neither sleep nor take a lock that is not a raw spinlock.
    fn run(&self);
}

/// A unit of work for hard interrupt context, with its data.
///
/// Wraps the kernel's C `struct irq_work`, set up with `IRQ_WORK_INIT_HARD`. Dropping it waits
/// until the function does not run any more and thus may sleep.
///
/// # Invariants
///
/// `work` was set up with [`IrqWork::run`] as its function, and is the first field.
///
/// # Examples
///
/// ```
/// use kernel::irq_work::{IrqWork, IrqWorkItem};
/// use kernel::sync::atomic::{Atomic, Relaxed};
///
/// struct Counter(Atomic<i32>);
///
/// impl IrqWorkItem for Counter {
///     fn run(&self) {
///         self.0.add(1, Relaxed);
///     }
/// }
///
/// let work = KBox::pin_init(IrqWork::new(Counter(Atomic::new(0))), GFP_KERNEL)?;
/// assert!(work.as_ref().queue());
/// work.as_ref().sync();
/// assert_eq!(work.data().0.load(Relaxed), 1);
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "irq_work")]
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct IrqWork<T: IrqWorkItem> {
    #[pin]
    work: Opaque<bindings::irq_work>,
    data: T,
}

// SAFETY: An `irq_work` is not bound to the thread that set it up, and `T` may be moved.
unsafe impl<T: IrqWorkItem + Send> Send for IrqWork<T> {}

// SAFETY: `irq_work_queue()` and `irq_work_sync()` may be called concurrently; `T` is only shared.
unsafe impl<T: IrqWorkItem> Sync for IrqWork<T> {}

impl<T: IrqWorkItem> IrqWork<T> {
    /// Creates an initialiser for a work item that is not queued.
    #[doc(alias = "IRQ_WORK_INIT_HARD")]
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: `run` is the function, and the struct is `repr(C)` with `work` first.
            work <- Opaque::ffi_init(|slot: *mut bindings::irq_work| {
                // SAFETY: `slot` is valid for writes of a `struct irq_work`.
                unsafe { bindings::init_irq_work_hard(slot, Some(Self::run)) }
            }),
            data,
        })
    }

    /// The data that the function works on.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Queues the work on the current CPU.
    ///
    /// Returns `false` when it was queued already and has not begun to run: it then runs once for
    /// both calls, and sees everything that was written before either. The memory ordering is that
    /// of a fully ordered atomic read-modify-write.
    ///
    /// # Context
    ///
    /// Any, NMI included.
    #[doc(alias = "irq_work_queue")]
    #[inline]
    pub fn queue(self: Pin<&Self>) -> bool {
        // SAFETY: By the type invariants the work is set up. It is pinned, and `drop` waits for it,
        // so that it stays where it is for as long as it is queued or running.
        unsafe { queue_raw(self.work.get()) }
    }

    /// Waits until the work is neither queued nor running.
    ///
    /// # Context
    ///
    /// Task; may sleep.
    #[doc(alias = "irq_work_sync")]
    #[inline]
    pub fn sync(self: Pin<&Self>) {
        // SAFETY: By the type invariants the work is set up.
        unsafe { bindings::irq_work_sync(self.work.get()) }
    }

    /// The C side of the function.
    ///
    /// # Safety
    ///
    /// `work` must point to the `work` field of an `IrqWork<T>`. Only the irq_work core calls it.
    unsafe extern "C" fn run(work: *mut bindings::irq_work) {
        // CAST: By the type invariants `work` is the first field of a `repr(C)` struct, and an
        // `Opaque` has the layout of what it wraps.
        let this = work.cast::<Self>();
        // SAFETY: The core calls this for a work that was queued through a pinned reference, and
        // dropping it waits for this function to return.
        unsafe { &*this }.data.run();
    }
}

#[pinned_drop]
impl<T: IrqWorkItem> PinnedDrop for IrqWork<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants the work is set up.
        unsafe { bindings::irq_work_sync(self.work.get()) };
        // On PREEMPT_RT the core looks at the flags once more when `irq_work_sync()` may already
        // have returned. It does so in hard interrupt, which RCU waits for.
        #[cfg(CONFIG_PREEMPT_RT)]
        // SAFETY: Task context, as documented.
        unsafe {
            bindings::synchronize_rcu()
        };
    }
}

/// Queues a C `struct irq_work` on the current CPU.
///
/// This is for owners whose work frees itself, or which is never freed, such as a per-CPU variable;
/// everybody else uses [`IrqWork`]. The return value and the ordering are those of
/// [`IrqWork::queue`].
///
/// # Safety
///
/// `work` must be set up, and must stay valid until its function has been called.
///
/// # Context
///
/// Any, NMI included.
#[inline]
pub unsafe fn queue_raw(work: *mut bindings::irq_work) -> bool {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::irq_work_queue(work) }
}

#[cfg(CONFIG_RUST_IRQ_WORK_KUNIT_TEST)]
#[macros::kunit_tests(rust_irq_work)]
mod tests {
    use super::*;
    use crate::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    };

    struct Count {
        runs: Arc<Atomic<i32>>,
        in_hardirq: Atomic<bool>,
    }

    impl IrqWorkItem for Count {
        fn run(&self) {
            // SAFETY: An FFI call without requirements.
            let in_hardirq = unsafe { bindings::irq_work_kunit_in_hardirq() };
            self.in_hardirq.store(in_hardirq, Relaxed);
            self.runs.add(1, Relaxed);
        }
    }

    type Counted = (Arc<Atomic<i32>>, Pin<KBox<IrqWork<Count>>>);

    fn count() -> Result<Counted> {
        let runs = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let data = Count {
            runs: runs.clone(),
            in_hardirq: Atomic::new(false),
        };
        Ok((runs, KBox::pin_init(IrqWork::new(data), GFP_KERNEL)?))
    }

    /// Every queueing that said so has one run, in hard interrupt context.
    #[test]
    fn runs_once_for_each_queueing() -> Result {
        let (runs, work) = count()?;
        for n in 1..=100 {
            assert!(work.as_ref().queue());
            work.as_ref().sync();
            assert_eq!(runs.load(Relaxed), n);
        }
        assert!(work.data().in_hardirq.load(Relaxed));
        Ok(())
    }

    /// What is pending is not queued twice.
    #[test]
    fn pending_work_is_queued_once() -> Result {
        let (runs, work) = count()?;
        // SAFETY: FFI calls that disable and enable interrupts on this CPU.
        unsafe { bindings::irq_work_kunit_irq_disable() };
        let (first, second) = (work.as_ref().queue(), work.as_ref().queue());
        let early = runs.load(Relaxed);
        // SAFETY: Paired with the call above.
        unsafe { bindings::irq_work_kunit_irq_enable() };
        work.as_ref().sync();
        assert!(first);
        assert!(!second);
        assert_eq!(early, 0);
        assert_eq!(runs.load(Relaxed), 1);
        Ok(())
    }

    /// Dropping waits: afterwards the function does not touch its data any more.
    #[test]
    fn drop_waits() -> Result {
        let (runs, work) = count()?;
        assert!(work.as_ref().queue());
        drop(work);
        assert_eq!(runs.load(Relaxed), 1);
        Ok(())
    }
}
