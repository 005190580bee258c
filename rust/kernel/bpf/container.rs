// SPDX-License-Identifier: GPL-2.0

//! What holds the objects: a BPF map, or for users in Rust a [`Domain`].

use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Completion,
        Refcount, //
    },
};
use core::ptr::NonNull;

/// What holds objects.
///
/// # Safety
///
/// - A container must stay valid until each of its objects was detached by `cancel_and_free` and
///   an RCU grace period has passed since.
/// - When [`Container::TRACKED`] is true the type must be [`Domain`].
/// - `allocate` must give memory that `kfree()` takes.
/// - The alignment must be at least 2.
pub unsafe trait Container: Sync {
    /// Whether the container counts its objects.
    const TRACKED: bool;

    /// Allocates memory for an object, from any context.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` when there is none.
    /// - `EPERM` when the container is known not to take objects any more.
    fn allocate(&self, size: usize) -> Result<NonNull<c_void>>;

    /// Frees memory of an object that was never published, from any context.
    ///
    /// # Safety
    ///
    /// `ptr` must come from `allocate` and must not be used afterwards.
    unsafe fn deallocate(&self, ptr: NonNull<c_void>) {
        // SAFETY: By the safety requirements of this function.
        unsafe { bindings::kfree_nolock(ptr.as_ptr()) };
    }

    /// Whether the container's owner is about to free, or has freed, the objects that it can see.
    ///
    /// Called after an object was published, with a full barrier in between: an object that the
    /// owner did not see is freed by whoever published it.
    fn closed(&self) -> bool;
}

/// The objects of one user in Rust, such as a module.
///
/// Objects are freed after a grace period, and their callbacks may be in the middle of a run when
/// they are detached. Dropping the domain waits for all that: afterwards nothing of any of its
/// objects is left, and the code of its callbacks may go away. It thus must not be dropped by one of
/// its own callbacks, nor be owned by their data.
///
/// # Invariants
///
/// `live` is the number of objects that were not freed, and one more while the domain is open. Once
/// it is 0 it stays so.
#[pin_data(PinnedDrop)]
pub struct Domain {
    live: Refcount,
    closed: Atomic<bool>,
    #[pin]
    empty: Completion,
}

impl Domain {
    /// Creates an initialiser for a domain without objects.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            live: Refcount::new(1),
            closed: Atomic::new(false),
            empty <- Completion::new(),
        })
    }

    /// Refuses new objects and waits until the last one is freed. Every slot must have been freed,
    /// or be about to. May sleep.
    pub fn close(&self) {
        if !self.closed.xchg(true, Full) {
            self.put();
        }
        self.empty.wait_for_completion();
        // The last object's RCU callback may still be on its way out, and with it others' that
        // were queued before.
        // SAFETY: Task context, as documented.
        unsafe { bindings::rcu_barrier() };
    }

    /// The number of objects that are not freed yet.
    pub fn live(&self) -> u32 {
        let open = !self.closed.load(Relaxed);
        self.live.read_acquire().saturating_sub(open.into())
    }

    fn put(&self) {
        if self.live.dec_and_test() {
            self.empty.complete_all();
        }
    }

    /// Keeps the domain from closing while `f` runs.
    ///
    /// # Errors
    ///
    /// `EPERM` when it is closed.
    pub(super) fn hold_open<R>(&self, f: impl FnOnce() -> Result<R>) -> Result<R> {
        if !self.live.inc_not_zero() {
            return Err(EPERM);
        }
        let result = f();
        self.put();
        result
    }

    /// Notes that an object was freed.
    ///
    /// # Safety
    ///
    /// `this` must be the domain of an object that has just been freed.
    pub(super) unsafe fn object_freed(this: *const Self) {
        // SAFETY: The domain waits for the object that was freed.
        unsafe { &*this }.put();
    }
}

#[pinned_drop]
impl PinnedDrop for Domain {
    fn drop(self: Pin<&mut Self>) {
        self.close();
    }
}

// SAFETY: Dropping a domain waits for its objects; the memory comes from `kmalloc_nolock()`.
unsafe impl Container for Domain {
    const TRACKED: bool = true;

    fn allocate(&self, size: usize) -> Result<NonNull<c_void>> {
        // INVARIANT: Counted before there is an object.
        if !self.live.inc_not_zero() {
            return Err(EPERM);
        }
        // SAFETY: An FFI call without requirements.
        let ptr = NonNull::new(unsafe { bindings::bpf_async_alloc_nolock(size) });
        if ptr.is_none() {
            self.put();
        }
        ptr.ok_or(ENOMEM)
    }

    unsafe fn deallocate(&self, ptr: NonNull<c_void>) {
        // SAFETY: By the safety requirements of this function.
        unsafe { bindings::kfree_nolock(ptr.as_ptr()) };
        self.put();
    }

    fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}
