// SPDX-License-Identifier: GPL-2.0

//! Work items: `struct bpf_wq`.
//!
//! A work item that is pending or running holds a reference to its object, so that an object is not
//! freed under its work function. The work function begins an RCU Tasks Trace read side first. Only
//! then does it look at the callback, and take references to all that the callback uses.

use super::async_cb::{
    must_defer,
    AsyncCallback,
    AsyncCb,
    CallbackRef,
    Head,
    Kind,
    Op,
    Payload,
    Slot, //
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::Full,
        barrier::smp_mb,
        rcu::{
            sched,
            tasks_trace, //
        }, //
    },
    time::hrtimer::raw::Mode,
    types::Opaque, //
};

/// The work item of an object.
///
/// # Invariants
///
/// The `work_struct` was set up, and does not move.
#[doc(alias = "bpf_work")]
#[repr(transparent)]
pub(crate) struct WorkItem(Opaque<bindings::work_struct>);

type WorkCb<C = ()> = AsyncCb<WorkItem, C>;

/// The operation that queues a work item: a start whose expiry does not matter.
const START: Op = Op::start(0, Mode::REL);

/// The function of a work item.
pub(crate) type WorkFn = unsafe extern "C" fn(work: *mut bindings::work_struct);

/// A callback of work items.
///
/// # Safety
///
/// `WORK_FN` must only call [`WorkItem::work_fn`] for `Self`.
pub(crate) unsafe trait WorkCallback: AsyncCallback {
    /// The work function.
    const WORK_FN: WorkFn;

    /// The callback with references to all that it uses, apart from the map value, which the RCU
    /// Tasks Trace read side `'t` keeps.
    type Refs<'t>;

    /// Takes the references.
    ///
    /// # Safety
    ///
    /// `callback` must come from the object of a work item, and have been loaded in a read side
    /// that began inside that of `trace`.
    unsafe fn acquire<'t>(
        callback: &CallbackRef<'_, Self>,
        trace: &'t tasks_trace::Guard,
    ) -> Acquired<Self::Refs<'t>>;

    /// Calls the callback, which may sleep.
    ///
    /// # Safety
    ///
    /// Task context, with preemption and interrupts enabled, in no read side of [`sched`].
    unsafe fn call(refs: &Self::Refs<'_>);
}

/// What [`WorkCallback::acquire`] found.
#[must_use]
pub(crate) enum Acquired<R> {
    /// The references.
    Refs(R),
    /// Another context has replaced the callback and dropped it.
    ///
    /// Look again.
    Replaced,
    /// What the callback uses is going away.
    ///
    /// There is nothing to call.
    Gone,
}

impl WorkItem {
    /// Queues the work item of `cb`, with a reference for the run.
    ///
    /// # Safety
    ///
    /// The caller must hold a reference, which it gives up. The object must stay valid until this
    /// returns: another reference or a read side keeps it.
    unsafe fn schedule<C>(cb: &WorkCb<C>) {
        // SAFETY: The work was set up, and the reference keeps it until it has run.
        if !unsafe { bindings::bpf_async_schedule_work(cb.payload.0.get()) } {
            // SAFETY: It is pending already, or its object was detached and another context cancels
            // it. So there is no run that needs this reference.
            unsafe { Head::put(cb.head.as_ptr()) };
        }
    }

    /// Removes the work item of `cb` from its queue, and drops the reference that it held there.
    ///
    /// # Safety
    ///
    /// The context must be one in which [`Head::put`] can be called, and the caller must hold
    /// another reference.
    unsafe fn cancel_work<C>(cb: &WorkCb<C>) {
        // SAFETY: The work was set up.
        if unsafe { bindings::cancel_work(cb.payload.0.get()) } {
            // SAFETY: The reference for the run that was cancelled.
            unsafe { Head::put(cb.head.as_ptr()) };
        }
    }

    /// Performs a queued operation on the work item of `cb`.
    ///
    /// # Safety
    ///
    /// The caller must be a drain, and hold a reference.
    #[inline]
    pub(crate) unsafe fn process_op(cb: &WorkCb, op: Op) {
        if op.as_start().is_some() {
            // This does not fail, as the caller holds a reference.
            if cb.head.tryget() {
                // SAFETY: The reference was taken just now. The caller holds another one.
                unsafe { Self::schedule(cb) };
            }
        } else if op == Op::CANCEL {
            // SAFETY: The caller is a drain, and holds a reference.
            unsafe { Self::cancel_work(cb) };
        }
    }

    /// The work function.
    ///
    /// # Safety
    ///
    /// - Task context, with preemption and interrupts enabled, in no read side.
    /// - `work` must be that of an `AsyncCb<WorkItem, C>`, and this run must hold a reference to
    ///   it.
    #[doc(alias = "bpf_wq_work")]
    #[inline]
    pub(crate) unsafe fn work_fn<C: WorkCallback>(work: *mut bindings::work_struct) {
        // CAST: `WorkItem` is transparent over `work_struct`.
        // SAFETY: The reference of this run keeps the object until `put()`.
        let cb = unsafe { WorkCb::<C>::from_payload(work.cast()) };
        // SAFETY: The context is the caller's.
        unsafe { Self::run(cb) };
        // SAFETY: The reference of this run is given up.
        unsafe { Head::put(cb.head.as_ptr()) };
    }

    /// Calls the callback, if there is one.
    ///
    /// # Safety
    ///
    /// Task context, with preemption and interrupts enabled, in no read side.
    unsafe fn run<C: WorkCallback>(cb: &WorkCb<C>) {
        // First: this protects the map value, and the text of a program. Litmus: work-value.
        let trace = tasks_trace::read_lock();
        let refs = {
            let guard = sched::read_lock();
            loop {
                let Some(callback) = cb.callback_ref(&guard) else {
                    return;
                };
                // SAFETY: `cb` is the object of a work item, and the read side of `guard` began
                // inside that of `trace`.
                match unsafe { C::acquire(&callback, &trace) } {
                    Acquired::Refs(refs) => break refs,
                    Acquired::Gone => return,
                    // The callback that was loaded was dropped. The start that this run is for may
                    // have returned 0 before that, so this run has to call the new one.
                    Acquired::Replaced => {}
                }
            }
        };

        // SAFETY: The context is the caller's, and the read side of `guard` has ended.
        unsafe { C::call(&refs) };
    }
}

// SAFETY: The kind is that of work items. `setup` initialises the `work_struct`, which is all of
// the payload. What is called for a work item here changes it atomically, or under the lock of its
// pool.
unsafe impl<C: WorkCallback> Payload<C> for WorkItem {
    const KIND: Kind = Kind::Work;
    type Config = ();

    unsafe fn setup(this: *mut Self, _config: ()) {
        // CAST: `WorkItem` is transparent over `work_struct`.
        // INVARIANT: Set up here.
        // SAFETY: The payload is valid for writes and stays where it is. `WorkCallback` guarantees
        // that `WORK_FN` is the function for `C`.
        unsafe { bindings::bpf_async_init_work(this.cast(), Some(C::WORK_FN)) };
    }

    #[inline]
    unsafe fn cancel(cb: &AsyncCb<Self, C>) {
        // SAFETY: The caller may call `Head::put`, and holds a reference besides that of the run.
        unsafe { Self::cancel_work(cb) };
    }
}

impl<C: WorkCallback> Slot<WorkItem, C> {
    /// Queues the work item.
    ///
    /// Nothing happens if it is pending. A run that begins later sees what the caller wrote before.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no work item, or no callback.
    /// - `ENOENT` if the work item was freed meanwhile.
    /// - `EDEADLK` with interrupts disabled, if the caller is called by, or has interrupted, a
    ///   drain: see [`Head::queue_irqs_off`](super::async_cb::Head::queue_irqs_off).
    #[doc(alias = "bpf_wq_start")]
    #[inline]
    pub(crate) fn start(&self) -> Result {
        if must_defer() {
            // SAFETY: `must_defer()` has returned true.
            return unsafe { self.defer(START) };
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        if !cb.callback.is_set() {
            return Err(EINVAL);
        }
        // Full: if the work item is pending here, the worker that clears this is ordered after what
        // the caller wrote before. Litmus: work-pending.
        smp_mb(Full);
        // SAFETY: The work was set up.
        if unsafe { bindings::bpf_async_work_pending(cb.payload.0.get()) } {
            return Ok(());
        }
        if !cb.head.tryget() {
            return Err(ENOENT);
        }
        // SAFETY: The reference was taken above. `guard` is the read side.
        unsafe { WorkItem::schedule(cb) };
        Ok(())
    }
}
