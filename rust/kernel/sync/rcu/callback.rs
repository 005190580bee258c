// SPDX-License-Identifier: GPL-2.0

//! Callbacks after an RCU grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    bindings,
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    },
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};

/// The function that [`call_rcu`] calls.
#[doc(alias = "rcu_callback_t")]
pub type Callback = unsafe extern "C" fn(head: *mut bindings::callback_head);

/// Calls `func` with `head` after an RCU grace period.
///
/// Whatever was written before the call is visible to `func`, and every RCU read side that began
/// before the call has ended before `func` runs; both are the guarantees of the C function.
///
/// # Safety
///
/// - `head` must be valid, in no other use, and stay so until `func` is called with it.
/// - It must be sound to call `func` with `head`, in softirq context or in a task with softirqs
///   disabled, at any later time; when `func` belongs to a module, that module must call
///   `rcu_barrier()` before it is unloaded.
///
/// # Context
///
/// Any but NMI. With interrupts disabled only where that cannot have interrupted `call_rcu()`
/// itself on this CPU: a hard interrupt is fine, a tracepoint inside RCU is not.
#[inline]
pub unsafe fn call_rcu(head: *mut bindings::callback_head, func: Callback) {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::call_rcu(head, Some(func)) }
}

/// [`call_rcu`] for callbacks that somebody waits for: with `CONFIG_RCU_LAZY` the others may wait for
/// seconds until there are more of them.
///
/// # Safety
///
/// As [`call_rcu`].
#[inline]
pub unsafe fn call_rcu_hurry(head: *mut bindings::callback_head, func: Callback) {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::call_rcu_hurry(head, Some(func)) }
}

#[repr(C)]
struct Inner<T> {
    head: Opaque<bindings::callback_head>,
    value: T,
}

/// A box whose value is dropped only after an RCU grace period.
///
/// Whoever got at the value under an RCU read-side guard may use it until the guard is gone, also
/// when the box is dropped meanwhile. The value is dropped in softirq context (or in a task with
/// softirqs disabled), so its destructor must not sleep. A box must not be dropped in NMI.
///
/// # Invariants
///
/// The pointer came from a `KBox<Inner<T>>` and is owned.
///
/// # Examples
///
/// ```
/// use kernel::sync::rcu::callback::RcuBox;
///
/// // SAFETY: This is not part of a module.
/// let boxed = unsafe { RcuBox::new(7, GFP_KERNEL) }?;
/// assert_eq!(*boxed, 7);
/// // Returns at once; the value goes away after a grace period.
/// drop(boxed);
/// # Ok::<(), Error>(())
/// ```
pub struct RcuBox<T: Send + Sync + 'static>(NonNull<Inner<T>>);

// SAFETY: The box owns its value, which is `Send`.
unsafe impl<T: Send + Sync + 'static> Send for RcuBox<T> {}

// SAFETY: A shared box gives shared access to its value only, which is `Sync`.
unsafe impl<T: Send + Sync + 'static> Sync for RcuBox<T> {}

impl<T: Send + Sync + 'static> RcuBox<T> {
    /// Allocates a box for `value`.
    ///
    /// # Safety
    ///
    /// When the caller or the type of the value is part of a module, the module must call
    /// `rcu_barrier()` after the box was dropped and before it is unloaded.
    pub unsafe fn new(value: T, flags: Flags) -> Result<Self, AllocError> {
        let inner = KBox::new(
            Inner {
                head: Opaque::uninit(),
                value,
            },
            flags,
        )?;
        // INVARIANT: The pointer came from a `KBox`.
        Ok(Self(NonNull::from(KBox::leak(inner))))
    }

    /// Frees the box after the grace period.
    ///
    /// # Safety
    ///
    /// Called once by RCU, with the `head` of an `Inner<T>` that came from a `KBox`.
    unsafe extern "C" fn free(head: *mut bindings::callback_head) {
        // CAST: `Inner` is `repr(C)` with `head` first, and `Opaque` has the layout of what it
        // wraps.
        // SAFETY: By the safety requirements of this function; the owner gave it up in `drop`.
        drop(unsafe { KBox::from_raw(head.cast::<Inner<T>>()) });
    }
}

impl<T: Send + Sync + 'static> Deref for RcuBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the pointer is valid for as long as the box exists.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T: Send + Sync + 'static> Drop for RcuBox<T> {
    fn drop(&mut self) {
        // CAST: `Inner` is `repr(C)` with `head` first.
        // SAFETY: By the type invariants the allocation is valid, and is given up here. `head` is
        // used for nothing else. Nobody has the value mutably, and readers hold an RCU guard.
        unsafe { call_rcu(self.0.as_ptr().cast(), Self::free) };
    }
}

// SAFETY: `into_foreign` returns the pointer of an allocation of `Inner<T>`, which is neither null
// nor less aligned than `FOREIGN_ALIGN`.
unsafe impl<T: Send + Sync + 'static> ForeignOwnable for RcuBox<T> {
    const FOREIGN_ALIGN: usize = core::mem::align_of::<Inner<T>>();
    type Borrowed<'a> = &'a T;
    type BorrowedMut<'a> = &'a T;

    fn into_foreign(self) -> *mut c_void {
        let ptr = self.0.as_ptr().cast();
        core::mem::forget(self);
        ptr
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // INVARIANT: The pointer came from `into_foreign`, and ownership comes back with it.
        // SAFETY: `into_foreign` never returns null.
        Self(unsafe { NonNull::new_unchecked(ptr.cast()) })
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: The pointer came from `into_foreign`, and the box is not taken back during `'a`.
        unsafe { &(*ptr.cast::<Inner<T>>()).value }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a T {
        // SAFETY: The same requirements as those of `borrow`.
        unsafe { Self::borrow(ptr) }
    }
}

#[cfg(CONFIG_RUST_RCU_CALLBACK_KUNIT_TEST)]
#[macros::kunit_tests(rust_rcu_callback)]
mod tests {
    use super::*;
    use crate::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc, //
    };

    struct Counted(Arc<Atomic<i32>>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    fn wait() {
        // SAFETY: Task context.
        unsafe { bindings::rcu_barrier() };
    }

    /// The value is dropped once, and not before a reader that could see it has gone.
    #[test]
    fn value_outlives_readers() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        // SAFETY: This is not part of a module.
        let boxed = unsafe { RcuBox::new(Counted(drops.clone()), GFP_KERNEL) }?;

        let guard = rcu::read_lock();
        drop(boxed);
        let early = drops.load(Relaxed);
        drop(guard);
        wait();
        assert_eq!(early, 0);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    /// The way through a foreign pointer keeps the one ownership there is.
    #[test]
    fn foreign_round_trip() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        // SAFETY: This is not part of a module.
        let boxed = unsafe { RcuBox::new(Counted(drops.clone()), GFP_KERNEL) }?;
        let ptr = boxed.into_foreign();

        wait();
        assert_eq!(drops.load(Relaxed), 0);
        // SAFETY: The pointer comes from `into_foreign`, and is given back once.
        drop(unsafe { RcuBox::<Counted>::from_foreign(ptr) });
        wait();
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }
}
