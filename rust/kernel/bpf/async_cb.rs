// SPDX-License-Identifier: GPL-2.0

//! The object behind a `bpf_timer` or `bpf_wq`, and the slot in the map value that points to it.
//!
//! ```text
//!              init()                 cancel_and_free()
//!   no object ───────► in the slot ────────────────────► detached, callback FREED
//!                                                            │ last reference dropped
//!                                                            ▼
//!                               freed ◄────────────── RCU grace period
//! ```
//!
//! # Lifetime
//!
//! An operation finds the object through the slot, inside an RCU read side of its own. It needs no
//! reference if it is performed there and then: an object is freed a grace period after it has left
//! its slot. An operation that is deferred, one that revokes it or waits for it, and a work item
//! that is pending or running, hold a reference.
//!
//! An operation can find the object just before `cancel_and_free()` detaches it, and start the
//! timer afterwards. The timer function then finds no callback, and the timer is cancelled once
//! more after the grace period, when no context can start it.
//!
//! # No callback is found after `cancel_and_free()`
//!
//! `cancel_and_free()` sets the pointer to the container to NULL, and then the callback to `FREED`.
//! [`AsyncCb::callback_ref`] reads them in the opposite order. A racing `set_callback()` can put an
//! owner into the freed cell for a moment. A reader that sees this owner also sees NULL, and calls
//! nothing. One that has found the callback before may still be about to call it.
//! Litmus: callback-freed.

mod callback;
mod deferred;
mod pending;

pub(crate) use self::{
    callback::{
        AsyncCallback,
        Callback,
        CallbackCell,
        CallbackRef, //
    },
    deferred::{
        defer_put,
        must_defer,
        Cpu, //
    },
    pending::{
        Head,
        Kind,
        Op, //
    },
};
use super::{
    timer::Timer,
    work::WorkItem, //
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu::sched, //
    },
};
use core::ptr::{
    null_mut,
    NonNull, //
};
use pending::Unreferenced;
use sched::ReadSide;

/// What objects belong to: for BPF, a map.
///
/// # Safety
///
/// - `allocate` must return memory of `kmalloc_nolock()`, of at least this size.
/// - A container must stay valid for a reader that has loaded the callback of an object, and then
///   the pointer to its container, which was not NULL, until its read side ends. So either the
///   container waits for a grace period after `cancel_and_free()` of its objects, or the owner of a
///   callback keeps it until a grace period after that owner was released.
pub(crate) unsafe trait Container: Sync {
    /// Allocates memory for an object.
    ///
    /// Any context.
    fn allocate(&self, size: usize) -> Option<NonNull<c_void>>;

    /// Returns whether the container calls, or has called, `cancel_and_free()` for all its slots.
    ///
    /// Read after an object was published: if the closing container misses the object, this must
    /// return true.
    fn is_closed(&self) -> bool;
}

/// What distinguishes a timer from a work item.
///
/// # Safety
///
/// `KIND` must be that of `Self`, `setup` must initialise the payload, and any thread must be able
/// to use a payload.
pub(crate) unsafe trait Payload<C: AsyncCallback>: Sized {
    /// The kind.
    const KIND: Kind;
    /// What [`Payload::setup`] needs to know.
    type Config;

    /// Sets up the payload of a new object.
    ///
    /// # Safety
    ///
    /// `this` must be valid for writes, and be the payload of an object with callbacks `C`, which
    /// stays where it is.
    unsafe fn setup(this: *mut Self, config: Self::Config);

    /// Cancels the timer or the work item without waiting.
    ///
    /// # Safety
    ///
    /// The context must be one in which [`Head::put`] can be called, and the caller must hold a
    /// reference.
    unsafe fn cancel(cb: &AsyncCb<Self, C>);
}

/// An object.
///
/// # Invariants
///
/// `container` is NULL or points to a valid `C::Container`. It becomes NULL before `callback`
/// becomes `FREED`.
#[doc(alias = "bpf_async_cb")]
#[repr(C)]
pub(crate) struct AsyncCb<P, C> {
    /// References and deferred operations.
    pub(crate) head: Head,
    container: Atomic<*mut c_void>,
    /// The callback.
    pub(crate) callback: CallbackCell<C>,
    value: *mut c_void,
    /// The timer or the work item.
    pub(crate) payload: P,
    _pin: core::marker::PhantomPinned,
}

// `AsyncCb<_, ()>` is an object whose type of callbacks is not known: the layout is the same.
static_assert!(core::mem::offset_of!(AsyncCb<Timer, ()>, head) == 0);
static_assert!(core::mem::offset_of!(AsyncCb<WorkItem, ()>, head) == 0);

impl Head {
    /// Drops a reference to the object at `this`.
    ///
    /// # Safety
    ///
    /// - The caller must hold a reference, which it gives up. The object may be freed when its last
    ///   read side ends, or at once if there is none.
    /// - `call_rcu()` must be allowed: interrupts are enabled, or this is a drain.
    #[doc(alias = "bpf_async_refcount_put")]
    #[inline]
    pub(crate) unsafe fn put(this: NonNull<Self>) {
        // SAFETY: The caller gives up a reference.
        if let Some(last) = unsafe { Self::dec(this) } {
            // SAFETY: `rcu_free` accepts each object, and the caller guarantees the context.
            unsafe { last.call_rcu(Self::rcu_free) };
        }
    }

    /// Performs a queued operation.
    ///
    /// # Safety
    ///
    /// `this` must be the head of an object, to which the caller holds a reference. The caller must
    /// be a drain.
    #[doc(alias = "bpf_async_process_op")]
    #[inline]
    unsafe fn process_op(this: NonNull<Self>, op: Op) {
        // SAFETY: The caller holds a reference.
        match unsafe { this.as_ref() }.kind {
            // CAST: The head is the first field of the object, whose payload is a timer.
            // SAFETY: The caller is a drain and holds a reference.
            Kind::Timer => unsafe { Timer::process_op(this.cast().as_ref(), op) },
            // CAST: The head is the first field of the object, whose payload is a work item.
            // SAFETY: The caller is a drain and holds a reference.
            Kind::Work => unsafe { WorkItem::process_op(this.cast().as_ref(), op) },
        }
    }

    /// Frees an object after its grace period.
    ///
    /// # Safety
    ///
    /// RCU calls this with the `rcu_head` of an object that has no reference.
    #[doc(alias = "bpf_async_cb_rcu_free")]
    #[doc(alias = "bpf_async_cb_rcu_tasks_trace_free")]
    unsafe extern "C" fn rcu_free(rcu: *mut bindings::callback_head) {
        // CAST: The `rcu_head` is at the beginning of the head.
        // SAFETY: RCU does not pass NULL.
        let this = unsafe { NonNull::new_unchecked(rcu.cast::<Self>()) };

        // SAFETY: The object is valid until it is freed below.
        if unsafe { this.as_ref() }.kind == Kind::Timer {
            // CAST: The head is the first field of the object, whose payload is a timer.
            // SAFETY: The object is valid until it is freed below.
            let cb = unsafe { this.cast::<AsyncCb<Timer, ()>>().as_ref() };
            // An operation that found the object before it was detached may have started the timer.
            // No context can do so now: those that saw the object have left their read sides.
            // Litmus: detached-start, detached-queue.
            if cb.payload.0.try_to_cancel() < 0 {
                // The timer function is running. It is an RCU reader, so wait for it.
                // SAFETY: RCU returns the object, which has no reference. An RCU callback can call
                // `call_rcu()`.
                unsafe { Unreferenced::new(this).call_rcu(Self::rcu_free) };
                return;
            }
        }
        // SAFETY: `Container` guarantees memory of `kmalloc_nolock()`, which `kfree()` accepts, and
        // no context uses it. Plain `kfree()` is allowed in an RCU callback, and its debug checks
        // are wanted. The callback is `FREED` and owns nothing.
        unsafe { bindings::kfree(this.as_ptr().cast()) };
    }
}

impl<P, C> AsyncCb<P, C> {
    /// Returns the object of a payload.
    ///
    /// # Safety
    ///
    /// `payload` must be that of an `AsyncCb<P, C>` that is valid for `'a`.
    #[inline]
    pub(crate) unsafe fn from_payload<'a>(payload: *mut P) -> &'a Self {
        // Restores the provenance of the whole object, which `Slot::init` has exposed: C was given
        // a pointer to the payload only.
        let payload = core::ptr::with_exposed_provenance_mut::<P>(payload.addr());
        // SAFETY: By the safety requirements, the payload is that of an object.
        unsafe { &*crate::container_of!(payload, Self, payload) }
    }
}

impl<P, C: AsyncCallback> AsyncCb<P, C> {
    /// Returns the callback if there is one and `cancel_and_free()` has not been called.
    ///
    /// Any context.
    ///
    /// The order of the two loads matters: see the head of this file. Litmus: callback-freed,
    /// container-gone.
    #[inline]
    pub(crate) fn callback_ref<'g>(&self, guard: &'g impl ReadSide) -> Option<CallbackRef<'g, C>> {
        // Acquire, both: a grace period need not wait for a timer function that begins after it
        // did. Only `rcu_free` waits for that, and `hrtimer_try_to_cancel()` takes no lock if the
        // timer is inactive. Litmus: late-run.
        let callback = self.callback.load(guard)?;
        let container = NonNull::new(self.container.load(Acquire))?;
        // INVARIANT: The container was not NULL, so `cancel_and_free()` had not returned.
        Some(CallbackRef {
            callback,
            // SAFETY: The callback was loaded first, and the pointer is not NULL, so that the
            // container stays, as `Container` guarantees, until the read side of `guard` ends.
            container: unsafe { container.cast().as_ref() },
            value: self.value,
        })
    }
}

/// The pointer to an object in `struct bpf_timer` or `struct bpf_wq`.
///
/// # Invariants
///
/// The pointer is NULL, or points to an object to which the slot holds a reference. An object stays
/// valid for a grace period after it was taken out of the slot.
#[doc(alias = "bpf_async_kern")]
#[repr(transparent)]
pub(crate) struct Slot<P: Payload<C>, C: AsyncCallback>(Atomic<*mut AsyncCb<P, C>>);

// SAFETY: A slot may be used by any thread: payloads are locked or atomic on the C side, as
// `Payload` requires, owners of callbacks are `Send`, and callbacks are called in any thread.
unsafe impl<P: Payload<C>, C: AsyncCallback> Send for Slot<P, C> {}
// SAFETY: Each operation on a slot is an atomic operation on its pointer. What several threads then
// share are payloads, which are locked or atomic, and callbacks, which are `Sync`.
unsafe impl<P: Payload<C>, C: AsyncCallback> Sync for Slot<P, C> {}

impl<P: Payload<C>, C: AsyncCallback> Slot<P, C> {
    /// An empty slot.
    pub(crate) const fn new() -> Self {
        // INVARIANT: The pointer is NULL.
        Self(Atomic::new(null_mut()))
    }

    /// Returns the object in the slot, or `EINVAL` if there is none.
    #[inline]
    pub(crate) fn get<'g>(&self, _guard: &'g impl ReadSide) -> Result<&'g AsyncCb<P, C>> {
        // Relaxed: all that is read depends on this pointer. Litmus: slot-publish, slot-guard.
        let cb = NonNull::new(self.0.load(Relaxed)).ok_or(EINVAL)?;
        // SAFETY: The object was in the slot after the read side began, so that it is not freed
        // before the read side ends.
        Ok(unsafe { cb.as_ref() })
    }

    /// Allocates an object and puts it into the slot.
    ///
    /// Any context, NMI included.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if there is an object already.
    /// - `ENOMEM` if there is no memory. On `PREEMPT_RT` a map has none with preemption disabled.
    /// - `EPERM` if the container is closed.
    ///
    /// # Safety
    ///
    /// `container` must stay valid as [`Container`] requires, and `value` must be what callbacks of
    /// this container accept.
    #[doc(alias = "__bpf_async_init")]
    pub(crate) unsafe fn init(
        &self,
        container: &C::Container,
        value: *mut c_void,
        config: P::Config,
    ) -> Result {
        if !self.0.load(Relaxed).is_null() {
            return Err(EBUSY);
        }
        let memory = container
            .allocate(size_of::<AsyncCb<P, C>>())
            .ok_or(ENOMEM)?;
        let cb = memory.as_ptr().cast::<AsyncCb<P, C>>();
        cb.expose_provenance();
        // SAFETY: The memory has size and alignment of an object. Each field is written, the
        // payload by `setup`.
        // INVARIANT: `container` is valid.
        unsafe {
            (&raw mut (*cb).head).write(Head::new(P::KIND));
            (&raw mut (*cb).container).write(Atomic::new(
                core::ptr::from_ref(container).cast_mut().cast(),
            ));
            (&raw mut (*cb).callback).write(CallbackCell::new());
            (&raw mut (*cb).value).write(value);
            P::setup(&raw mut (*cb).payload, config);
        }
        // Held until the end, so that no other object gets this address before the second cmpxchg.
        let _guard = sched::read_lock();
        // Full: publishes the object, and orders that before the look at the container below.
        // Either the closing container sees the object, or it is seen closed here.
        // Litmus: init-closed, slot-publish.
        // INVARIANT: The reference of the new object becomes the slot's.
        if self.0.cmpxchg(null_mut(), cb, Full).is_err() {
            // SAFETY: `allocate` has returned the memory, and no other context has seen it.
            unsafe { bindings::kfree_nolock(memory.as_ptr()) };
            return Err(EBUSY);
        }
        if container.is_closed() {
            // Take out this object only. Another context may have detached it, and a third one may
            // have put a new object into the slot.
            if self.0.cmpxchg(cb, null_mut(), Full).is_ok() {
                // SAFETY: The object was taken out of the slot just now.
                unsafe { Self::free_detached(cb) };
            }
            return Err(EPERM);
        }
        Ok(())
    }

    /// Queues an operation for the object.
    ///
    /// # Errors
    ///
    /// As [`Head::queue_irqs_off`], and `EINVAL` if there is no object, or no callback to start.
    ///
    /// # Safety
    ///
    /// Interrupts must be disabled, or this be an NMI: [`must_defer`] has returned true.
    #[inline(never)]
    pub(crate) unsafe fn defer(&self, op: Op) -> Result {
        // SAFETY: An RCU grace period waits for a region with interrupts disabled and for an NMI.
        // RCU is watching where a BPF program can run. For a CPU in its first or last steps see
        // "Known limits" in Documentation/bpf/rust_async.rst.
        let guard = unsafe { sched::Implied::new() };
        let cb = self.get(&guard)?;
        if op.as_start().is_some() && !cb.callback.is_set() {
            return Err(EINVAL);
        }
        // SAFETY: Interrupts are disabled, or this is an NMI. `guard` is the read side.
        unsafe { cb.head.queue_irqs_off(op) }
    }

    /// Empties the slot.
    ///
    /// After this call no context finds a callback to call. The timer or the work item is
    /// cancelled, without waiting for a callback that is running or about to run, and the object is
    /// freed as soon as no context can see it. Nothing happens if the slot is empty.
    ///
    /// Any context, NMI included: what cannot be done there is deferred, without memory.
    #[doc(alias = "bpf_async_cancel_and_free")]
    #[inline]
    pub(crate) fn cancel_and_free(&self) {
        if self.0.load(Relaxed).is_null() {
            return;
        }
        let cb = self.0.xchg(null_mut(), Full);
        if !cb.is_null() {
            // SAFETY: The object was taken out of the slot just now.
            unsafe { Self::free_detached(cb) };
        }
    }

    /// Frees an object that is not in its slot.
    ///
    /// # Safety
    ///
    /// The caller must have taken `cb` out of its slot, and gives up the slot's reference.
    #[inline]
    unsafe fn free_detached(cb: *mut AsyncCb<P, C>) {
        // SAFETY: The slot's reference keeps the object until it is dropped below.
        let cb = unsafe { &*cb };
        // INVARIANT: NULL before `FREED`.
        cb.container.store(null_mut(), Relaxed);
        // Full: a reader that sees `FREED`, or an owner that replaced it, sees the NULL.
        // Litmus: callback-freed, container-gone.
        // SAFETY: `container` was set to NULL above, and nothing sets it again.
        unsafe { cb.callback.set_freed() };
        if must_defer() {
            // SAFETY: The slot's reference is given up. Interrupts are disabled, or this is an NMI.
            unsafe { deferred::queue_detached(&cb.head) };
        } else {
            // SAFETY: Interrupts are enabled, and there is the slot's reference.
            unsafe { P::cancel(cb) };
            // SAFETY: The slot's reference is given up. Interrupts are enabled.
            unsafe { Head::put(cb.head.as_ptr()) };
        }
    }
}
