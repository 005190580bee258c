// SPDX-License-Identifier: GPL-2.0

//! RCU read sides by not being preempted.
//!
//! Since the flavours of RCU became one (Linux 5.0) a grace period also waits for every region in
//! which preemption, softirqs or interrupts are disabled, hard interrupts and NMIs included. For a
//! few instructions that do not sleep this is the cheaper read side: it is one instruction at
//! either end, and none where the context is such a region already.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::{
    bindings,
    types::NotThreadSafe, //
};

/// Evidence of an RCU read side.
///
/// # Safety
///
/// While there is a value of this type, the thread or CPU that has it must be an RCU reader: every
/// RCU grace period that begins meanwhile, that of `call_rcu()` included, waits for the value to go.
pub unsafe trait ReadSide {}

// SAFETY: By the type invariants the RCU read side lock is held.
unsafe impl ReadSide for super::Guard {}

/// Evidence that preemption is disabled, and thus of an RCU read side.
///
/// What is done under it must not sleep, and must be short. It is a read side in any context, NMI
/// included, also inside of whatever tracing looks at: it is neither traced nor seen by lockdep.
///
/// # Invariants
///
/// For as long as the guard exists preemption is disabled, or in [`Guard::preemptible`] the RCU
/// read side lock is held.
#[must_use = "if unused, the read side ends immediately"]
pub struct Guard(NotThreadSafe);

// SAFETY: By the type invariants, and what begins before the other ends is one read side.
unsafe impl ReadSide for Guard {}

impl Guard {
    /// Runs `f`, which may be long, with preemption as it was before the guard: still an RCU read
    /// side, but the other kind.
    #[cold]
    pub fn preemptible<R>(&self, f: impl FnOnce() -> R) -> R {
        let rcu = super::read_lock();
        // INVARIANT: The RCU read side lock is held.
        // SAFETY: By the type invariants preemption is disabled.
        unsafe { bindings::rcu_read_unlock_sched_notrace() };
        let result = f();
        // SAFETY: An FFI call without requirements.
        unsafe { bindings::rcu_read_lock_sched_notrace() };
        // INVARIANT: Preemption was disabled just now.
        drop(rcu);
        result
    }
}

impl Drop for Guard {
    #[doc(alias = "rcu_read_unlock_sched_notrace")]
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants preemption is disabled: nobody can drop the guard while it
        // is borrowed. It cannot have been sent to another thread.
        unsafe { bindings::rcu_read_unlock_sched_notrace() };
    }
}

/// Begins an RCU read side by disabling preemption.
#[doc(alias = "rcu_read_lock_sched_notrace")]
#[inline]
pub fn read_lock() -> Guard {
    // SAFETY: An FFI call without requirements.
    unsafe { bindings::rcu_read_lock_sched_notrace() };
    // INVARIANT: Preemption was disabled just now.
    Guard(NotThreadSafe)
}

/// Evidence that the context is an RCU read side by itself.
///
/// # Invariants
///
/// Preemption, softirqs or interrupts are disabled for as long as it exists.
pub struct Implied(NotThreadSafe);

// SAFETY: By the type invariants.
unsafe impl ReadSide for Implied {}

impl Implied {
    /// States that the context is an RCU read side.
    ///
    /// # Safety
    ///
    /// Preemption, softirqs or interrupts must be disabled for as long as the value exists, be it
    /// that the context is a softirq, a hard interrupt or an NMI.
    #[inline]
    pub unsafe fn new() -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(NotThreadSafe)
    }
}
