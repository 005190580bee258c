// SPDX-License-Identifier: GPL-2.0

//! Taking a reference on an object that may be going away.
//!
//! C header: [`include/linux/refcount.h`](srctree/include/linux/refcount.h)

use super::Refcount;
use crate::sync::atomic::Acquire;

impl Refcount {
    /// Increments the count unless it is 0; returns whether it did.
    ///
    /// It saturates if it overflows, and `WARN`s.
    ///
    /// Provides no memory ordering: it is for an object that was found in a structure whose lookup
    /// orders what comes after it, such as under RCU. Any context.
    #[doc(alias = "refcount_inc_not_zero")]
    #[inline]
    #[must_use = "without an increment there is no reference"]
    pub fn inc_not_zero(&self) -> bool {
        // SAFETY: `self` is valid.
        unsafe { bindings::refcount_inc_not_zero(self.as_ptr()) }
    }

    /// The current value, which may be another one at once. Any context.
    ///
    /// Provides acquire memory ordering: whoever sees that a reference is gone sees what was done
    /// with it, as far as it was dropped with release ordering, which all ways of dropping have.
    #[doc(alias = "refcount_read")]
    #[inline]
    pub fn read_acquire(&self) -> u32 {
        // CAST: As `refcount_read()`: a saturated count, which is negative, is a large one.
        self.as_atomic().load(Acquire) as u32
    }
}
