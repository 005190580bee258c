// SPDX-License-Identifier: GPL-2.0

//! Work items: `bpf_wq`.
//!
//! A work item that is pending or running has a reference to its object, so that the object is
//! never freed under its function. The function begins with an RCU Tasks Trace read side, and only
//! in there looks at the callback and takes references to everything the callback uses.

use super::{
    async_cb::{
        AsyncCallback,
        AsyncCb,
        Installed,
        Payload,
        Slot, //
    },
    cpu::must_defer,
    deferred::{
        Head,
        Kind,
        Last, //
    },
    pending::Op,
};
use crate::{
    bindings,
    prelude::*,
    sync::rcu::{
        sched,
        tasks_trace, //
    },
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// The work item of an object.
#[doc(alias = "bpf_work")]
#[repr(C)]
pub struct WorkItem {
    work: Opaque<bindings::work_struct>,
    /// What runs the callback: it knows its type.
    run: unsafe fn(NonNull<Erased>),
}

type Erased = AsyncCb<WorkItem, ()>;

/// Why a callback cannot be held.
pub enum HoldError<R> {
    /// It was replaced just now: look again.
    Replaced,
    /// What it works on is going away. With what was taken already: dropping that may be much work.
    Gone(R),
}

/// A callback of work items.
pub trait WorkCallback: AsyncCallback {
    /// The callback with references to everything that it uses, but for the value.
    type Refs;

    /// Some of the references.
    type Some;

    /// Takes the references. Must not sleep, nor drop a reference.
    fn hold(installed: &Installed<'_, Self>) -> Result<Self::Refs, HoldError<Self::Some>>;

    /// Calls it. Task context; may sleep.
    fn call(held: &Held<'_, Self>);
}

/// A callback that can be called: references to what it uses, under a Tasks Trace guard that is
/// older than the look at the object, and so protects the value.
///
/// # Invariants
///
/// `refs` and `value` came out of one object that had not been freed when the guard, whose lifetime
/// this has, existed already.
pub struct Held<'t, C: WorkCallback> {
    refs: C::Refs,
    value: *mut c_void,
    _guard: PhantomData<&'t tasks_trace::Guard>,
}

impl<'t, C: WorkCallback> Held<'t, C> {
    /// Looks at an object and takes the references; `None` when there is nothing to call.
    #[inline]
    fn new(cb: &AsyncCb<WorkItem, C>, _guard: &'t tasks_trace::Guard) -> Option<Self> {
        // Dropped after the guard.
        let _some: C::Some;
        let rcu = sched::read_lock();
        loop {
            let installed = cb.installed(&rcu)?;
            match C::hold(&installed) {
                // INVARIANT: The object was looked at under the guard.
                Ok(refs) => {
                    return Some(Self {
                        refs,
                        value: installed.value(),
                        _guard: PhantomData,
                    })
                }
                Err(HoldError::Gone(some)) => {
                    _some = some;
                    return None;
                }
                // Somebody has put another callback in and dropped this one. A start that was
                // meant for the new one may have returned 0, so that it has to run.
                Err(HoldError::Replaced) => {}
            }
        }
    }

    /// The references.
    pub fn refs(&self) -> &C::Refs {
        &self.refs
    }

    /// The value in the container that the object belongs to.
    pub fn value(&self) -> *mut c_void {
        self.value
    }
}

impl WorkItem {
    fn work(&self) -> *mut bindings::work_struct {
        self.work.get()
    }

    /// Queues the work item; returns `false` when it is pending already.
    ///
    /// # Safety
    ///
    /// The caller must have a reference to the object, which is the work item's when this returns
    /// `true`.
    unsafe fn schedule(&self) -> bool {
        // SAFETY: The work is set up; the reference keeps it until it has run.
        unsafe { bindings::bpf_async_schedule_work(self.work()) }
    }

    /// Takes the work item from its queue; returns whether it was there. The caller then has the
    /// reference that was the work item's.
    #[must_use = "when true the work item's reference is to be dropped"]
    fn cancel(&self) -> bool {
        // SAFETY: The work is set up.
        unsafe { bindings::cancel_work(self.work()) }
    }

    /// Performs a queued operation.
    ///
    /// # Safety
    ///
    /// `head` must be that of an object with a work item, to which the caller has a reference.
    #[inline]
    pub(super) unsafe fn perform(head: NonNull<Head>, op: Op) {
        // SAFETY: By the safety requirements of this function.
        let cb = unsafe { Erased::from_head(head).as_ref() };
        let drop_one = if op.as_start().is_some() {
            cb.head().get();
            // SAFETY: With the reference from above.
            !unsafe { cb.payload().schedule() }
        } else {
            op.is_cancel() && cb.payload().cancel()
        };
        if drop_one {
            // It is not the last one: the caller has a reference.
            cb.head().put_or(Self::retire);
        }
    }

    #[cold]
    #[inline(never)]
    fn retire(last: Last) {
        // SAFETY: `reclaim` is the function for work items.
        unsafe { last.retire(Self::reclaim) };
    }

    /// Frees an object with a work item.
    ///
    /// # Safety
    ///
    /// Called by RCU with the link of an object with a work item that has no reference left.
    pub(super) unsafe extern "C" fn reclaim(head: *mut bindings::callback_head) {
        // SAFETY: The link is the first field of an object. Without a reference the work item is
        // neither pending nor running, and nobody can see it to queue it.
        unsafe { Erased::free(NonNull::new_unchecked(head.cast())) };
    }

    /// The work function. Not generic, so that the code that drops the last reference, after which
    /// a module may go away, is never part of a module.
    ///
    /// # Safety
    ///
    /// `work` must be that of an object, to which there is a reference for this run.
    unsafe extern "C" fn work_fn(work: *mut bindings::work_struct) {
        // CAST: The work is the first field of a `repr(C)` `WorkItem`.
        // SAFETY: By the safety requirements of this function.
        let this = unsafe { Erased::from_payload(work.cast()) };
        // SAFETY: The reference for this run keeps the object.
        let cb = unsafe { this.as_ref() };
        // SAFETY: `run` was set together with the type of the callback.
        unsafe { (cb.payload().run)(this) };
        if let Some(last) = cb.head().put() {
            Self::retire(last);
        }
    }

    /// Runs the callback, if there is one.
    ///
    /// # Safety
    ///
    /// `this` must be an `AsyncCb<WorkItem, C>` to which the caller has a reference.
    unsafe fn run<C: WorkCallback>(this: NonNull<Erased>) {
        // SAFETY: By the safety requirements of this function.
        let cb = unsafe { this.cast::<AsyncCb<Self, C>>().as_ref() };

        // Before anything is looked at: from here on the value's memory stays, and so does the
        // text of a program. Litmus: work-value.
        let trace = tasks_trace::read_lock();
        let Some(held) = Held::new(cb, &trace) else {
            return;
        };

        // SAFETY: An FFI call, paired below.
        unsafe { bindings::bpf_async_migrate_disable() };
        C::call(&held);
        // SAFETY: Paired with the call above.
        unsafe { bindings::bpf_async_migrate_enable() };
        // The last put may be much work: outside of the guard.
        let refs = held.refs;
        trace.unlock();
        drop(refs);
    }
}

// SAFETY: The kind is that of work items.
unsafe impl<C: WorkCallback> Payload<C> for WorkItem {
    const KIND: Kind = Kind::WORK;
    type Config = ();

    unsafe fn setup(cb: NonNull<AsyncCb<Self, C>>, _config: ()) {
        // SAFETY: The payload is valid for writes; the work stays where it is.
        unsafe {
            let this = AsyncCb::payload_ptr(cb);
            (&raw mut (*this).run).write(Self::run::<C>);
            bindings::bpf_async_init_work(this.cast(), Some(Self::work_fn));
        }
    }

    #[inline]
    unsafe fn stop(cb: &AsyncCb<Self, C>) {
        if must_defer() {
            return cb.head().enqueue_owned(Op::CANCEL, Self::retire);
        }
        if cb.payload().cancel() {
            // The work item's; the slot's is still there.
            cb.head().put_or(Self::retire);
        }
        if let Some(last) = cb.head().put() {
            Self::retire(last);
        }
    }
}

impl<C: WorkCallback> Slot<WorkItem, C> {
    /// Queues the work item; nothing happens when it is pending. What was written before is visible
    /// to the run that follows.
    ///
    /// Any context: with interrupts disabled or in NMI it is done as soon as they are enabled.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when there is no work item, or no callback.
    /// - `ENOENT` when it was freed meanwhile.
    /// - `EDEADLK` when this would be done from inside of doing it: see [`Head::enqueue`].
    #[doc(alias = "bpf_wq_start")]
    #[inline]
    pub fn start(&self) -> Result {
        if must_defer() {
            return self.start_deferred();
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        if !cb.callback().is_set() {
            return Err(EINVAL);
        }
        // Full: when the work item is still pending here, whoever clears that is ordered after what
        // the caller wrote before. Litmus: work-pending.
        // SAFETY: An FFI call without requirements; `sync::barrier` is not the same in all series.
        unsafe { bindings::smp_mb() };
        // SAFETY: The work is set up.
        if unsafe { bindings::bpf_async_work_pending(cb.payload().work()) } {
            return Ok(());
        }
        if !cb.head().tryget() {
            return Err(ENOENT);
        }
        // SAFETY: With the reference from above.
        if !unsafe { cb.payload().schedule() } {
            cb.head().put_or(WorkItem::retire);
        }
        Ok(())
    }

    #[inline(never)]
    fn start_deferred(&self) -> Result {
        // SAFETY: Interrupts are disabled, or it is one.
        let guard = unsafe { sched::Implied::new() };
        let cb = self.get(&guard)?;
        if !cb.callback().is_set() {
            return Err(EINVAL);
        }
        cb.head().enqueue(Op::START, WorkItem::retire)
    }
}
