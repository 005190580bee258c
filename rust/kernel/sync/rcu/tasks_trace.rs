// SPDX-License-Identifier: GPL-2.0

//! RCU Tasks Trace, the flavour of RCU whose readers may sleep.
//!
//! C header: [`include/linux/rcupdate_trace.h`](srctree/include/linux/rcupdate_trace.h)

use crate::{
    bindings,
    types::NotThreadSafe, //
};

/// Evidence that the current task is an RCU Tasks Trace reader.
///
/// Whatever is freed after an RCU Tasks Trace grace period, such as the text of a sleepable BPF
/// program or an element of a BPF map, stays while it exists. A reader may sleep, but must not wait
/// for a grace period of this flavour. Readers nest.
///
/// # Invariants
///
/// The current task is an RCU Tasks Trace reader for as long as the guard exists.
#[must_use = "if unused, the read side ends immediately"]
pub struct Guard(NotThreadSafe);

impl Drop for Guard {
    #[doc(alias = "rcu_read_unlock_trace")]
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the current task is a reader, and the guard cannot have
        // been sent to another one.
        unsafe { bindings::rcu_read_unlock_trace() };
    }
}

/// Begins an RCU Tasks Trace read side, and returns a guard that ends it.
///
/// Task context.
#[doc(alias = "rcu_read_lock_trace")]
#[inline]
pub fn read_lock() -> Guard {
    // SAFETY: This FFI call has no requirements: read sides nest, and one can begin at any point.
    unsafe { bindings::rcu_read_lock_trace() };
    // INVARIANT: The read side has just begun.
    Guard(NotThreadSafe)
}
