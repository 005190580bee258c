// SPDX-License-Identifier: GPL-2.0

//! A callback, or rather its owner, in one machine word.
//!
//! ```text
//!        0      no callback
//!     pointer   a callback, and with it what keeps it valid
//!      FREED    there will be none any more
//! ```
//!
//! The word is only ever exchanged as a whole, so that a callback and its owner are never torn and
//! nobody has to wait or try again. Every pointer that is taken out of the word comes with exactly
//! one ownership, and whoever took it has to drop it.
//!
//! # FREED is terminal
//!
//! Whoever takes `FREED` out of the word puts it back, and drops what comes out then. For a moment
//! the word of a freed object can hold a callback; this is why a reader of the word must also look
//! at something that was written before `FREED` was: see [`AsyncCb`](super::async_cb::AsyncCb).

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
    types::ForeignOwnable,
};
use core::marker::PhantomData;

const NONE: usize = 0;
const FREED: usize = 1;

/// The word that owns a callback.
///
/// # Invariants
///
/// The word is `NONE`, `FREED`, or comes from `C::into_foreign`; in the last case the cell owns it.
#[repr(transparent)]
pub struct CallbackCell<C>(Atomic<usize>, PhantomData<C>);

/// The object was freed: the cell does not take a callback any more. With what came out instead,
/// which is to be dropped.
#[must_use = "dropped here, it may be dropped under the guard"]
pub struct Freed<C>(pub Option<C>);

/// An owner of a callback that can be in a [`CallbackCell`].
///
/// # Safety
///
/// - What [`ForeignOwnable::borrow`] gives must stay valid for an RCU grace period after the owner
///   was dropped: it is used under an RCU read side ([`ReadSide`]) that began before that.
/// - It must be sound to borrow it from several contexts at once.
/// - [`ForeignOwnable::FOREIGN_ALIGN`] must be at least 2.
pub unsafe trait Callback: ForeignOwnable + Send {}

/// A callback that was seen in a cell, protected by an RCU read side.
///
/// # Invariants
///
/// The word comes from `C::into_foreign`, and was seen in a cell under a read side that lasts for
/// `'g`.
pub struct Seen<'g, C> {
    word: usize,
    _guard: PhantomData<&'g ()>,
    _callback: PhantomData<fn() -> C>,
}

impl<C> Clone for Seen<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Seen<'_, C> {}

impl<'g, C: Callback> Seen<'g, C> {
    /// The callback.
    #[inline]
    pub fn borrow(self) -> C::Borrowed<'g> {
        // SAFETY: By the type invariants the word comes from `into_foreign`. When the owner has
        // been taken out meanwhile, the read side is older than that, or the word would not have
        // been seen, and by the requirements of `Callback` the callback is valid until it ends.
        unsafe { C::borrow(self.word as *mut c_void) }
    }
}

impl<C: Callback> CallbackCell<C> {
    /// A cell without a callback.
    pub const fn new() -> Self {
        // INVARIANT: The word is `NONE`.
        Self(Atomic::new(NONE), PhantomData)
    }

    /// Whether there was a callback when the cell was looked at. Any context; no memory ordering.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed) > FREED
    }

    /// The callback, for as long as the guard exists. Any context.
    #[inline]
    pub fn get<'g>(&self, guard: &'g impl ReadSide) -> Option<C::Borrowed<'g>> {
        self.look(guard).map(|seen| seen.borrow())
    }

    /// What is in the cell, for as long as the guard exists. Any context.
    ///
    /// Acquire: whoever sees a callback that was put in after the object was freed also sees what
    /// was written before that; and a callback that was put in after a timer was cancelled is not
    /// called for a start before that. Litmus: callback-freed, callback-publish, callback-guard,
    /// cancel-reinstall.
    #[inline]
    pub fn look<'g>(&self, _guard: &'g impl ReadSide) -> Option<Seen<'g, C>> {
        let word = self.0.load(Acquire);
        // INVARIANT: By the type invariants the word comes from `into_foreign`.
        (word > FREED).then_some(Seen {
            word,
            _guard: PhantomData,
            _callback: PhantomData,
        })
    }

    /// Puts a callback in that is to have the ownership of the one that is in: nothing is taken and
    /// nothing is dropped. Fails, and changes nothing, when `from` is not in any more.
    ///
    /// Bounded, fully ordered when it succeeds, any context. Litmus: callback-publish.
    ///
    /// # Safety
    ///
    /// `to`, together with the ownership that `from` comes with, must be what
    /// [`ForeignOwnable::into_foreign`] gives.
    #[inline]
    pub unsafe fn transfer(&self, from: Seen<'_, C>, to: *mut c_void) -> bool {
        // What was seen may have been taken out and put in again meanwhile. It is the same callback
        // then, because what it points to stays for as long as the read side under which it was
        // seen; and whatever is in is in with an ownership.
        // CAST: The address is what the word holds.
        // INVARIANT: By the safety requirements of this function.
        self.0.cmpxchg(from.word, to as usize, Full).is_ok()
    }

    /// Puts a callback in, and returns what was in before or could not be put in. It is to be
    /// dropped, best when the guard is gone.
    ///
    /// Bounded: two exchanges at most. Fully ordered. Any context, NMI included.
    /// Litmus: callback-publish, callback-guard.
    ///
    /// # Errors
    ///
    /// [`Freed`] when the cell was freed.
    #[inline]
    pub fn set(&self, callback: C) -> Result<Option<C>, Freed<C>> {
        // CAST: The address is what the word holds.
        let word = callback.into_foreign() as usize;
        let prev = self.0.xchg(word, Full);
        if prev == FREED {
            return Err(Freed(self.free_again()));
        }
        // SAFETY: It was taken out of the word just now.
        Ok(unsafe { Self::owner(prev) })
    }

    /// Takes the callback out; what is returned is to be dropped. A freed cell stays freed.
    ///
    /// Bounded, fully ordered when there was one, any context.
    #[inline]
    pub fn clear(&self) -> Option<C> {
        if !self.is_set() {
            return None;
        }
        let prev = self.0.xchg(NONE, Full);
        if prev <= FREED {
            return self.clear_none(prev);
        }
        // SAFETY: It was taken out of the word just now.
        unsafe { Self::owner(prev) }
    }

    /// There was none any more, and `prev` came out instead.
    #[cold]
    #[inline(never)]
    fn clear_none(&self, prev: usize) -> Option<C> {
        if prev == FREED {
            return self.free();
        }
        None
    }

    /// Takes the callback out for good; what is returned is to be dropped.
    ///
    /// Bounded, fully ordered, any context.
    #[inline]
    pub fn free(&self) -> Option<C> {
        let prev = self.0.xchg(FREED, Full);
        // SAFETY: It was taken out of the word just now.
        unsafe { Self::owner(prev) }
    }

    /// Puts `FREED` back.
    #[cold]
    #[inline(never)]
    fn free_again(&self) -> Option<C> {
        self.free()
    }

    /// The owner that a word stands for.
    ///
    /// # Safety
    ///
    /// The word must have been taken out of a cell, and be given to this function once.
    #[inline]
    unsafe fn owner(word: usize) -> Option<C> {
        // SAFETY: By the type invariants of the cell it came from.
        (word > FREED).then(|| unsafe { C::from_foreign(word as *mut c_void) })
    }
}

impl<C: Callback> Default for CallbackCell<C> {
    fn default() -> Self {
        Self::new()
    }
}
