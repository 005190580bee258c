// SPDX-License-Identifier: GPL-2.0

//! The callback of an object: one machine word.
//!
//! ```text
//!    NONE ──────── set() ───────► owner ──┐
//!     ▲                           │ │  ▲  │ set()
//!     └───────── clear() ─────────┘ │  └──┘
//!     │                             │
//!     └── set_freed() ──► FREED ◄───┘ set_freed()
//! ```
//!
//! An owner is a pointer that stands for a callback and for what keeps it valid: for BPF, a
//! subprogram together with a reference to its program. The word is exchanged as a whole, so the
//! two always match. An exchange returns what was in the word before, with exactly one ownership,
//! and the context that made the exchange drops it.
//!
//! `FREED` is final. A `set()` or `clear()` that finds it restores it, and drops the owner that it
//! displaces by that. The word can hold an owner until then, so that a reader has to look at
//! something else as well that was written before `FREED`: see
//! [`AsyncCb::callback_ref`](super::AsyncCb::callback_ref).

use super::Container;
use crate::{
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu::sched::ReadSide, //
    },
};
use core::{
    marker::PhantomData,
    ptr::with_exposed_provenance_mut, //
};

const NONE: usize = 0;
const FREED: usize = 1;

/// What can own a callback in a [`CallbackCell`].
///
/// `ForeignOwnable` is not for this: RCU readers borrow an owner that another context drops
/// meanwhile.
///
/// # Safety
///
/// - The pointer that `into_raw` returns must not be NULL, and must be aligned for a `u16`.
/// - What `borrow` returns must stay valid for RCU readers that began before `release`.
/// - Releasing an owner must be possible in any context, except those in which the user of the cell
///   never releases one.
pub(crate) unsafe trait Callback: Sized + Send + Sync {
    /// A callback, as RCU readers see it.
    type Borrowed<'a>;

    /// Turns an owner into a pointer.
    fn into_raw(self) -> *mut c_void;

    /// Borrows the callback.
    ///
    /// # Safety
    ///
    /// `ptr` must come from [`Callback::into_raw`]. The caller must be an RCU reader for `'a` that
    /// began before the owner was released.
    unsafe fn borrow<'a>(ptr: *mut c_void) -> Self::Borrowed<'a>;

    /// Drops the owner.
    ///
    /// # Safety
    ///
    /// `ptr` must come from [`Callback::into_raw`], and must be released once.
    unsafe fn release(ptr: *mut c_void);
}

/// A callback of objects that belong to a kind of container.
pub(crate) trait AsyncCallback: Callback {
    /// What the objects belong to.
    type Container: Container;
}

/// A callback that can be called, and what it is called with, for as long as a read side lasts.
///
/// # Invariants
///
/// The fields come from one object for which `cancel_and_free()` had not returned when the read
/// side began.
pub(crate) struct CallbackRef<'g, C: AsyncCallback + 'g> {
    /// The callback.
    pub(crate) callback: C::Borrowed<'g>,
    /// The container of the object.
    pub(crate) container: &'g C::Container,
    /// The map value of the object.
    pub(crate) value: *mut c_void,
}

/// The word.
///
/// # Invariants
///
/// The word is `NONE`, `FREED`, or comes from `C::into_raw`. In the last case the cell has the
/// ownership.
#[repr(transparent)]
pub(crate) struct CallbackCell<C>(Atomic<usize>, PhantomData<C>);

impl<C: Callback> CallbackCell<C> {
    /// A cell without a callback.
    pub(crate) const fn new() -> Self {
        // INVARIANT: The word is `NONE`.
        Self(Atomic::new(NONE), PhantomData)
    }

    /// Returns whether there is a callback.
    ///
    /// Any context; no memory ordering.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed) > FREED
    }

    /// Returns the callback.
    ///
    /// Any context.
    ///
    /// Acquire: a reader that sees a callback which was set after the object was freed also sees
    /// what was written before that. A timer function that sees a callback which was set after a
    /// cancel that waited for it also sees the timer cancelled. Litmus: callback-freed,
    /// callback-publish, callback-guard, cancel-reinstall.
    #[inline]
    pub(crate) fn load<'g>(&self, _guard: &'g impl ReadSide) -> Option<C::Borrowed<'g>> {
        let word = self.0.load(Acquire);
        // SAFETY: By the type invariants the word comes from `into_raw`. If another context has
        // taken it out meanwhile, the read side began before that.
        (word > FREED).then(|| unsafe { C::borrow(with_exposed_provenance_mut(word)) })
    }

    /// Edge `NONE` or owner to owner.
    ///
    /// Drops the old one.
    ///
    /// At most two exchanges, whatever other contexts do. Any context in which an owner can be
    /// released; Full.
    /// Litmus: callback-publish, callback-guard.
    ///
    /// # Errors
    ///
    /// `EPERM` if the cell is `FREED`. The new callback is dropped. While another context is in
    /// `set()` or `clear()` of a freed cell, this can return `Ok`: the other drops the callback.
    #[inline]
    pub(crate) fn set(&self, callback: C) -> Result {
        let word = callback.into_raw().expose_provenance();
        let old = self.0.xchg(word, Full);
        if old == FREED {
            return self.set_refused();
        }
        // SAFETY: `old` was taken out of the word just now.
        unsafe { Self::release(old) };
        Ok(())
    }

    // Never inlined, so that a test can hold it between the two exchanges.
    #[cold]
    #[inline(never)]
    fn set_refused(&self) -> Result {
        // SAFETY: The cell was `FREED` before: the caller that made it so has guaranteed this.
        unsafe { self.set_freed() };
        Err(EPERM)
    }

    /// Edge owner to `NONE`.
    ///
    /// Drops the owner. The other states stay.
    ///
    /// At most two exchanges. Any context in which an owner can be released; Full if there was one.
    #[inline]
    pub(crate) fn clear(&self) {
        if !self.is_set() {
            return;
        }
        let old = self.0.xchg(NONE, Full);
        if old == FREED {
            // SAFETY: The cell was `FREED` before: the caller that made it so has guaranteed this.
            return unsafe { self.set_freed() };
        }
        // SAFETY: `old` was taken out of the word just now.
        unsafe { Self::release(old) };
    }

    /// Edge each state to `FREED`.
    ///
    /// Drops the owner. Any context in which it can be released; Full.
    ///
    /// # Safety
    ///
    /// In an object, `container` must be NULL.
    #[inline]
    pub(crate) unsafe fn set_freed(&self) {
        let old = self.0.xchg(FREED, Full);
        // SAFETY: `old` was taken out of the word just now.
        unsafe { Self::release(old) };
    }

    /// Drops the owner that a word stands for, if it stands for one.
    ///
    /// # Safety
    ///
    /// The caller must have taken `word` out of a cell, and must call this once for it.
    #[inline]
    unsafe fn release(word: usize) {
        if word > FREED {
            // SAFETY: By the type invariants of the cell, the word comes from `into_raw`. The
            // caller has taken it out, and with it the ownership.
            unsafe { C::release(with_exposed_provenance_mut(word)) };
        }
    }
}

#[cfg(CONFIG_RUST_BPF_ASYNC_KUNIT_TEST)]
#[macros::kunit_tests(rust_bpf_async_callback)]
mod tests {
    use super::*;
    use crate::sync::{
        rcu,
        Arc, //
    };

    /// An owner that counts when it is dropped.
    struct Counted(Arc<Atomic<i32>>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    // SAFETY: A box is aligned. Only the test below uses it, in one thread, and borrows none that
    // it releases.
    unsafe impl Callback for KBox<Counted> {
        type Borrowed<'a> = &'a Counted;

        fn into_raw(self) -> *mut c_void {
            KBox::into_raw(self).cast()
        }

        unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a Counted {
            // SAFETY: The pointer comes from `into_raw`, and the box is not released during `'a`.
            unsafe { &*ptr.cast() }
        }

        unsafe fn release(ptr: *mut c_void) {
            // SAFETY: The pointer comes from `into_raw`, and the caller releases it once.
            drop(unsafe { KBox::from_raw(ptr.cast::<Counted>()) });
        }
    }

    /// Each owner that is put into a cell is dropped once, and a freed cell stays freed.
    #[test]
    fn each_owner_is_dropped_once() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let owner = || Ok::<_, Error>(KBox::new(Counted(drops.clone()), GFP_KERNEL)?);
        let cell = CallbackCell::new();

        assert!(!cell.is_set());
        cell.set(owner()?)?;
        assert!(cell.is_set());
        assert!(cell.load(&rcu::read_lock()).is_some());
        cell.set(owner()?)?;
        assert_eq!(drops.load(Relaxed), 1);
        cell.clear();
        assert_eq!(drops.load(Relaxed), 2);
        cell.clear();
        assert_eq!(drops.load(Relaxed), 2);

        cell.set(owner()?)?;
        // SAFETY: The cell is in no object.
        unsafe { cell.set_freed() };
        assert_eq!(drops.load(Relaxed), 3);
        assert_eq!(cell.set(owner()?), Err(EPERM));
        assert_eq!(drops.load(Relaxed), 4);
        cell.clear();
        assert!(!cell.is_set() && cell.load(&rcu::read_lock()).is_none());
        assert_eq!(cell.set(owner()?), Err(EPERM));
        assert_eq!(drops.load(Relaxed), 5);
        Ok(())
    }
}
