// SPDX-License-Identifier: GPL-2.0

//! The object behind a timer or a work item, and the slot through which it is reached.
//!
//! # Lifetime
//!
//! ```text
//!             init                    cancel_and_free
//!   (nothing) ────► in the slot, READY ─────────────► detached, FREED
//!                                                          │ the last reference is dropped
//!                                                          ▼
//!                            freed ◄──────────────── grace period
//! ```
//!
//! An operation reaches the object only through the slot, under an RCU guard of its own. Once the
//! slot is empty only operations that were under way can still see the object, and the grace period
//! waits for those; an operation that is performed where it was asked for thus takes no reference.
//! References are held by the slot, by the queue of deferred operations, and by a work item that is
//! pending or running.
//!
//! An operation that is overtaken by `cancel_and_free` may still start the detached timer. It finds
//! nothing to call when it fires, and is cancelled for good after the grace period.
//!
//! # Nothing is called after `cancel_and_free`
//!
//! `cancel_and_free` first marks the container as gone, then puts `FREED` into the callback's cell.
//! Whoever is about to call a callback reads the cell first (acquire), then the container, and gives
//! up when that is marked. A callback that a writer left in the freed cell for a moment was written
//! after `FREED`, and so comes with the mark. Litmus: callback-freed.

use super::{
    callback::{
        Callback,
        CallbackCell, //
    },
    container::{
        Container,
        Domain, //
    },
    deferred::{
        Head,
        Kind, //
    },
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu::sched::ReadSide, //
    },
};
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};

/// The mark of a container that is gone for this object.
const GONE: usize = 1;

/// A callback of objects in a certain kind of container.
pub trait AsyncCallback: Callback {
    /// What holds the objects: a BPF map, or a [`Domain`](super::container::Domain).
    type Container: Container;
}

/// What an object does: a timer, or a work item.
///
/// # Safety
///
/// `KIND` must be that of the type, for every `C`.
pub unsafe trait Payload<C: AsyncCallback>: Sized {
    /// Which kind it is.
    const KIND: Kind;
    /// What is to be known when one is set up.
    type Config;

    /// Sets up the payload of an object.
    ///
    /// # Safety
    ///
    /// `cb` must be valid, not yet published, and complete but for the payload.
    unsafe fn setup(cb: NonNull<AsyncCb<Self, C>>, config: Self::Config);

    /// Stops a detached object, at once or as soon as interrupts are enabled, and drops the
    /// reference that the slot had.
    ///
    /// # Safety
    ///
    /// The caller must have taken `cb` out of its slot, and gives up the slot's reference.
    unsafe fn stop(cb: &AsyncCb<Self, C>);
}

/// An object.
///
/// # Invariants
///
/// While `container` does not have the mark [`GONE`] it points to a valid `C::Container`. A tracked
/// object's container is valid, with or without the mark, until the object is freed.
#[doc(alias = "bpf_async_cb")]
#[repr(C)]
pub struct AsyncCb<P, C> {
    head: Head,
    container: Atomic<usize>,
    callback: CallbackCell<C>,
    value: *mut c_void,
    payload: P,
    _pin: PhantomPinned,
}

/// A callback together with what it is called on, protected by an RCU guard.
///
/// # Invariants
///
/// All three came out of one object that had not been freed when the guard existed already.
pub struct Installed<'g, C: AsyncCallback + 'g> {
    callback: C::Borrowed<'g>,
    container: &'g C::Container,
    value: *mut c_void,
}

impl<'g, C: AsyncCallback> Installed<'g, C> {
    /// The callback.
    #[inline]
    pub fn callback(&self) -> &C::Borrowed<'g> {
        &self.callback
    }

    /// The container of the object.
    #[inline]
    pub fn container(&self) -> &'g C::Container {
        self.container
    }

    /// The value in the container that the object belongs to.
    #[inline]
    pub fn value(&self) -> *mut c_void {
        self.value
    }
}

impl<P, C> AsyncCb<P, C> {
    /// References and deferred operations.
    #[inline]
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// The timer or the work item.
    #[inline]
    pub(super) fn payload(&self) -> &P {
        &self.payload
    }

    /// The callback's cell.
    #[inline]
    pub(super) fn callback(&self) -> &CallbackCell<C> {
        &self.callback
    }

    /// Where the payload is.
    ///
    /// # Safety
    ///
    /// `this` must be valid.
    #[inline]
    pub(super) unsafe fn payload_ptr(this: NonNull<Self>) -> *mut P {
        // SAFETY: By the safety requirements of this function.
        unsafe { &raw mut (*this.as_ptr()).payload }
    }

    /// The object that a payload belongs to.
    ///
    /// # Safety
    ///
    /// `payload` must be that of an `AsyncCb<P, C>`.
    #[inline]
    pub(super) unsafe fn from_payload(payload: *mut P) -> NonNull<Self> {
        // SAFETY: By the safety requirements of this function.
        unsafe { NonNull::new_unchecked(crate::container_of!(payload, Self, payload)) }
    }

    /// Frees an object after its grace period.
    ///
    /// # Safety
    ///
    /// Nobody may be able to see the object any more, and what its payload had under way must have
    /// ended.
    pub(super) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: By the safety requirements of this function. The cell holds `FREED`, which owns
        // nothing: nobody frees an object that was not detached.
        let (kind, domain) = unsafe {
            let cb = this.as_ref();
            (cb.head.kind(), cb.container.load(Relaxed) & !GONE)
        };
        // SAFETY: The memory came from `Container::allocate`. Not `kfree_nolock()`: in the context
        // of an RCU callback the checks of a full `kfree()` are to be had.
        unsafe { bindings::kfree(this.as_ptr().cast()) };
        if kind.is_tracked() {
            // SAFETY: A tracked object's container is a `Domain`, which has waited for this.
            unsafe { Domain::object_freed(domain as *const Domain) };
        }
    }

    /// The object that a head belongs to: it is the first field.
    #[inline]
    pub(super) fn from_head(head: NonNull<Head>) -> NonNull<Self> {
        head.cast()
    }
}

impl<P, C: AsyncCallback> AsyncCb<P, C> {
    /// Whether the object is, or until it was freed was, one of `container`.
    #[inline]
    pub(super) fn is_in(&self, container: &C::Container) -> bool {
        self.container.load(Relaxed) & !GONE == core::ptr::from_ref(container) as usize
    }

    /// The callback, if there is one and the object was not freed. Any context.
    ///
    /// This is the only way to something that can be called. See the head of this file for why the
    /// two loads have to be in this order, and litmus callback-freed.
    #[inline]
    pub(super) fn installed<'g>(&self, guard: &'g impl ReadSide) -> Option<Installed<'g, C>> {
        let callback = self.callback.get(guard)?;
        let container = self.container.load(Relaxed);
        if container & GONE != 0 {
            return None;
        }
        // INVARIANT: See above.
        Some(Installed {
            callback,
            // SAFETY: By the type invariants. The mark is set before the container goes away,
            // which takes a grace period, and the guard is older than that.
            container: unsafe { &*(container as *const C::Container) },
            value: self.value,
        })
    }
}

/// Where an object is reached: the one pointer in `struct bpf_timer` or `struct bpf_wq`.
///
/// # Invariants
///
/// The pointer is null or points to an object to which the slot has a reference. An object that was
/// in the slot stays valid for an RCU grace period after it was taken out.
#[doc(alias = "bpf_async_kern")]
#[repr(transparent)]
pub struct Slot<P: Payload<C>, C: AsyncCallback>(Atomic<*mut AsyncCb<P, C>>);

// SAFETY: What is shared through a slot is atomic, or locked on the C side; owners of callbacks
// are `Send`, and callbacks are called from any thread by their own contract.
unsafe impl<P: Payload<C>, C: AsyncCallback> Send for Slot<P, C> {}
// SAFETY: As above.
unsafe impl<P: Payload<C>, C: AsyncCallback> Sync for Slot<P, C> {}

impl<P: Payload<C>, C: AsyncCallback> Slot<P, C> {
    /// An empty slot.
    pub const fn new() -> Self {
        // INVARIANT: The pointer is null.
        Self(Atomic::new(core::ptr::null_mut()))
    }

    /// The object in the slot, for as long as the guard exists.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is none.
    #[inline]
    pub(super) fn get<'g>(&self, _guard: &'g impl ReadSide) -> Result<&'g AsyncCb<P, C>> {
        // Relaxed: everything that is read is reached through the pointer. Litmus: slot-publish,
        // slot-guard.
        let cb = NonNull::new(self.0.load(Relaxed)).ok_or(EINVAL)?;
        // SAFETY: By the type invariants; the guard is older than the grace period of an object
        // that is still seen.
        Ok(unsafe { cb.as_ref() })
    }

    /// Allocates an object and puts it into the slot. Any context, NMI included.
    ///
    /// # Errors
    ///
    /// - `EBUSY` when there is an object already.
    /// - `ENOMEM` when there is no memory.
    /// - `EPERM` when the container is about to go away.
    ///
    /// # Safety
    ///
    /// `container` must stay valid as [`Container`] asks; `value` must be what the callback takes.
    pub(super) unsafe fn init_in(
        &self,
        container: &C::Container,
        value: *mut c_void,
        config: P::Config,
    ) -> Result {
        if !self.0.load(Relaxed).is_null() {
            return Err(EBUSY);
        }
        let kind = if C::Container::TRACKED {
            P::KIND.tracked()
        } else {
            P::KIND
        };
        let memory = container.allocate(size_of::<AsyncCb<P, C>>())?;
        let cb = memory.cast::<AsyncCb<P, C>>();
        // SAFETY: The memory has the size of an object and the alignment of `kmalloc()`; each field
        // is written, the payload by `setup`, which gets all else complete.
        // INVARIANT: `container` is valid by the safety requirements of this function.
        unsafe {
            let this = cb.as_ptr();
            (&raw mut (*this).head).write(Head::new(kind));
            (&raw mut (*this).container)
                .write(Atomic::new(core::ptr::from_ref(container) as usize));
            (&raw mut (*this).callback).write(CallbackCell::new());
            (&raw mut (*this).value).write(value);
            P::setup(cb, config);
        }
        // Full: publishes the object, and orders the publication before the look at the container:
        // either its owner, which closes it first, sees the object, or it is seen closed here.
        // INVARIANT: A new object's reference is the slot's.
        // Litmus: init-closed, slot-publish.
        if self
            .0
            .cmpxchg(core::ptr::null_mut(), cb.as_ptr(), Full)
            .is_err()
        {
            // SAFETY: Never published.
            unsafe { container.deallocate(memory) };
            return Err(EBUSY);
        }
        if container.closed() {
            // Only the object from above. If the owner of the container has taken it out, another
            // one can be in the slot by now.
            if self
                .0
                .cmpxchg(cb.as_ptr(), core::ptr::null_mut(), Full)
                .is_ok()
            {
                // SAFETY: The object was taken out of the slot just now.
                unsafe { Self::detached(cb) };
            }
            return Err(EPERM);
        }
        Ok(())
    }

    /// Empties the slot. No callback begins afterwards, a timer is stopped, a work item is taken
    /// from its queue, and the object is freed when nobody can see it any more. A callback that is
    /// running is not waited for. Nothing happens when the slot is empty.
    ///
    /// Any context, NMI included, if the callback can be dropped there, as BPF's can; what must not
    /// be done there is done later, and cannot fail. Callbacks in Rust are dropped by `call_rcu()`.
    #[doc(alias = "bpf_timer_cancel_and_free")]
    #[doc(alias = "bpf_wq_cancel_and_free")]
    #[inline]
    pub fn cancel_and_free(&self) {
        if self.0.load(Relaxed).is_null() {
            return;
        }
        // INVARIANT: The reference of the slot is ours now.
        if let Some(cb) = NonNull::new(self.0.xchg(core::ptr::null_mut(), Full)) {
            // SAFETY: The object was taken out of the slot just now.
            unsafe { Self::detached(cb) };
        }
    }

    /// Frees the callback of an object, stops the object, and drops the reference of the slot.
    ///
    /// # Safety
    ///
    /// The caller must have taken `cb` out of its slot, and gives up the reference of the slot.
    #[inline]
    unsafe fn detached(cb: NonNull<AsyncCb<P, C>>) {
        // SAFETY: The slot's reference keeps the object until `stop` has dropped it.
        let cb = unsafe { cb.as_ref() };
        // INVARIANT: Marked from here. Only whoever took the object out of the slot writes this.
        let container = cb.container.load(Relaxed);
        cb.container.store(container | GONE, Relaxed);
        // Fully ordered: whoever sees `FREED`, or what replaced it, sees the mark.
        // Litmus: callback-freed, container-gone.
        drop(cb.callback.free());
        // SAFETY: By the safety requirements of this function.
        unsafe { P::stop(cb) };
    }
}

impl<P: Payload<C>, C: AsyncCallback> Default for Slot<P, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Payload<C>, C: AsyncCallback> Drop for Slot<P, C> {
    fn drop(&mut self) {
        self.cancel_and_free();
    }
}
