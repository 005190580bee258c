// SPDX-License-Identifier: GPL-2.0

//! Installing a callback in an object.

use super::{
    async_cb::{
        AsyncCallback,
        Payload,
        Slot, //
    },
    callback::{
        Callback,
        Freed, //
    },
};
use crate::{
    prelude::*,
    sync::rcu::sched, //
};

/// A callback that is wanted in an object, and that nobody owns yet.
///
/// # Safety
///
/// - [`Wanted::find`] must give what [`ForeignOwnable::into_foreign`] would give for an owner of the
///   callback, but without an ownership, and the callback must be valid for as long as `self`.
/// - [`Wanted::has_owner_of`] must say `true` only when the ownership that `current` comes with,
///   together with what `find` gives, is an owner of the callback.
///
/// [`ForeignOwnable::into_foreign`]: crate::types::ForeignOwnable::into_foreign
pub unsafe trait Wanted<C: Callback> {
    /// Whether `current` is owned by the same owner.
    fn has_owner_of(&self, current: &C::Borrowed<'_>) -> bool;

    /// Whether `current`, which has the same owner, is the callback itself.
    fn is(&self, current: &C::Borrowed<'_>) -> bool;

    /// Looks for the callback.
    fn find(&self) -> Result<*mut c_void>;

    /// Takes an ownership.
    ///
    /// # Safety
    ///
    /// `found` must be what [`Wanted::find`] gave.
    unsafe fn own(&self, found: *mut c_void) -> Result<C>;
}

impl<P: Payload<C>, C: AsyncCallback> Slot<P, C> {
    /// Installs a callback, unless it is there already. Three exchanges at most of the word. Any
    /// context in which the old callback can be dropped; fully ordered when a callback is put in.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when there is no object.
    /// - `EPERM` when it was freed meanwhile.
    /// - What `wanted` says.
    #[inline]
    pub fn install(&self, wanted: &impl Wanted<C>) -> Result {
        let old = {
            let guard = sched::read_lock();
            let cell = self.get(&guard)?.callback();
            let seen = cell.look(&guard);
            let same_owner = seen.filter(|seen| wanted.has_owner_of(&seen.borrow()));
            if same_owner.is_some_and(|seen| wanted.is(&seen.borrow())) {
                return Ok(());
            }
            let found = wanted.find()?;
            if let Some(seen) = same_owner {
                // SAFETY: By the requirements of `Wanted`.
                if unsafe { cell.transfer(seen, found) } {
                    return Ok(());
                }
            }
            // SAFETY: It was found just now.
            cell.set(unsafe { wanted.own(found) }?)
        };
        // Outside of the guard: dropping the last owner may be much work.
        replaced(old)
    }

    /// Installs a callback that the caller owns. Otherwise as [`Slot::install`].
    pub fn set_callback(&self, callback: C) -> Result {
        let old = {
            let guard = sched::read_lock();
            self.get(&guard)?.callback().set(callback)
        };
        replaced(old)
    }
}

/// Drops what came out of the cell.
#[inline]
fn replaced<C: Callback>(old: Result<Option<C>, Freed<C>>) -> Result {
    #[cold]
    #[inline(never)]
    fn refused<C>(refused: Freed<C>) -> Result {
        drop(refused);
        Err(EPERM)
    }

    match old {
        Ok(old) => {
            drop(old);
            Ok(())
        }
        Err(freed) => refused(freed),
    }
}
