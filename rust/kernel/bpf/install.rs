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
/// - [`Wanted::find`] and [`Wanted::search`] must give what [`ForeignOwnable::into_foreign`] would
///   give for an owner of the callback, but without an ownership, and the callback must be valid
///   for as long as `self`.
/// - [`Wanted::has_owner_of`] must say `true` only when the ownership that `current` comes with,
///   together with what these give, is an owner of the callback.
///
/// [`ForeignOwnable::into_foreign`]: crate::types::ForeignOwnable::into_foreign
pub unsafe trait Wanted<C: Callback> {
    /// Whether `current` is owned by the same owner.
    fn has_owner_of(&self, current: &C::Borrowed<'_>) -> bool;

    /// Whether `current`, which has the same owner, is the callback itself.
    fn is(&self, current: &C::Borrowed<'_>) -> bool;

    /// Looks for the callback where it is likely to be.
    fn find(&self) -> Option<*mut c_void>;

    /// Looks for the callback everywhere, which may take long.
    fn search(&self) -> Result<*mut c_void>;

    /// Takes an ownership.
    ///
    /// # Safety
    ///
    /// `found` must be what [`Wanted::find`] or [`Wanted::search`] gave.
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
        self.install_found(wanted, || wanted.find())
            .unwrap_or_else(|| self.install_searched(wanted))
    }

    #[cold]
    #[inline(never)]
    fn install_searched(&self, wanted: &impl Wanted<C>) -> Result {
        // Before the guard.
        let found = wanted.search()?;
        self.install_found(wanted, || Some(found))
            .unwrap_or(Err(EINVAL))
    }

    /// [`Slot::install`] with what `found` gives, or `None` when that is needed and there is none.
    #[inline(always)]
    fn install_found(
        &self,
        wanted: &impl Wanted<C>,
        found: impl FnOnce() -> Option<*mut c_void>,
    ) -> Option<Result> {
        let old = {
            let guard = sched::read_lock();
            let cell = match self.get(&guard) {
                Ok(cb) => cb.callback(),
                Err(error) => return Some(Err(error)),
            };
            let seen = cell.look(&guard);
            let same_owner = seen.filter(|seen| wanted.has_owner_of(&seen.borrow()));
            if same_owner.is_some_and(|seen| wanted.is(&seen.borrow())) {
                return Some(Ok(()));
            }
            let found = found()?;
            if let Some(seen) = same_owner {
                // SAFETY: By the requirements of `Wanted`.
                if unsafe { cell.transfer(seen, found) } {
                    return Some(Ok(()));
                }
            }
            // SAFETY: It was found just now.
            match unsafe { wanted.own(found) } {
                Ok(callback) => cell.set(callback),
                Err(error) => return Some(Err(error)),
            }
        };
        // Outside of the guard: dropping the last owner may be much work.
        Some(replaced(old))
    }

    /// Installs a callback that the caller owns in an object of `container`; no object of another
    /// one gets it. Otherwise as [`Slot::install`].
    pub fn set_callback(&self, container: &C::Container, callback: C) -> Result {
        let old = {
            let guard = sched::read_lock();
            let cb = self.get(&guard)?;
            if !cb.is_in(container) {
                return Err(EINVAL);
            }
            cb.callback().set(callback)
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
