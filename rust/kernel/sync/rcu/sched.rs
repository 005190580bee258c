// SPDX-License-Identifier: GPL-2.0

//! RCU read-side critical sections ("read sides" below) with preemption disabled.
//!
//! An RCU grace period also waits for each region in which preemption, softirqs or interrupts are
//! disabled, including hard interrupts and NMIs. For a few instructions that do not sleep this is
//! the cheaper read side, which neither ftrace nor lockdep sees, so that it can be used in any
//! context. On `PREEMPT_RT` a lock in a traced function can sleep, and this is `rcu_read_lock()`.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::{
    bindings,
    types::NotThreadSafe, //
};

/// Proof of an RCU read-side critical section.
///
/// # Safety
///
/// A grace period that begins while a value of this type exists must not end before the value is
/// gone.
pub unsafe trait ReadSide {}

// SAFETY: By the type invariants `rcu_read_lock()` is held.
unsafe impl ReadSide for super::Guard {}

/// A read side with preemption disabled.
///
/// The code in it must be short and must not sleep.
///
/// # Invariants
///
/// Preemption is disabled, and RCU is watching. On `PREEMPT_RT`, `rcu_read_lock()` is held instead.
#[must_use = "if unused, the read side ends immediately"]
pub struct Guard(NotThreadSafe);

// SAFETY: By the type invariants, a grace period waits for this region.
unsafe impl ReadSide for Guard {}

impl Guard {
    /// Goes on with `rcu_read_lock()` as the read side, in which the caller can be preempted.
    ///
    /// The two overlap.
    #[inline]
    pub fn into_rcu(self) -> super::Guard {
        let rcu = super::read_lock();
        drop(self);
        rcu
    }
}

impl Drop for Guard {
    #[doc(alias = "rcu_read_unlock_sched_notrace")]
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `read_lock` has called the counterpart. A guard does not leave its thread.
        #[cfg(not(CONFIG_PREEMPT_RT))]
        unsafe {
            bindings::rcu_read_unlock_sched_notrace()
        };
        // SAFETY: `read_lock` has called the counterpart. A guard does not leave its thread.
        #[cfg(CONFIG_PREEMPT_RT)]
        unsafe {
            bindings::rcu_read_unlock()
        };
    }
}

/// Begins a read side by disabling preemption.
///
/// Any context in which RCU is watching, NMI included.
///
/// # Examples
///
/// ```
/// use kernel::sync::rcu::sched;
///
/// let guard = sched::read_lock();
/// // What RCU protects can be used here. This must not sleep, nor take long.
/// let rcu = guard.into_rcu();
/// // Here it can take long.
/// drop(rcu);
/// ```
#[doc(alias = "rcu_read_lock_sched_notrace")]
#[inline]
pub fn read_lock() -> Guard {
    // SAFETY: This FFI call has no requirements.
    #[cfg(not(CONFIG_PREEMPT_RT))]
    unsafe {
        bindings::rcu_read_lock_sched_notrace()
    };
    // SAFETY: This FFI call has no requirements.
    #[cfg(CONFIG_PREEMPT_RT)]
    unsafe {
        bindings::rcu_read_lock()
    };
    // INVARIANT: Preemption was disabled just now, or `rcu_read_lock()` called. RCU is watching, as
    // the documentation asks of the context.
    Guard(NotThreadSafe)
}

/// A read side that is implied by the context.
///
/// # Invariants
///
/// Preemption, softirqs or interrupts are disabled, or this is a hard interrupt or an NMI. RCU is
/// watching.
pub struct Implied(NotThreadSafe);

// SAFETY: By the type invariants, a grace period waits for this region.
unsafe impl ReadSide for Implied {}

impl Implied {
    /// Assumes that the context is a read side.
    ///
    /// # Safety
    ///
    /// For as long as the value exists, preemption, softirqs or interrupts must be disabled, or
    /// this be a hard interrupt or an NMI, and RCU must be watching.
    #[inline]
    pub unsafe fn new() -> Self {
        // INVARIANT: The caller guarantees it.
        Self(NotThreadSafe)
    }
}
