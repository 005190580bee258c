// SPDX-License-Identifier: GPL-2.0

//! RCU read sides by not being preempted.
//!
//! Not on `PREEMPT_RT`, where whatever is called, or traces what is called, may have to sleep on a
//! lock: there it is `rcu_read_lock()`.
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
/// included, also inside of whatever tracing looks at: lockdep does not see it, and with
/// `RUST_INLINE_HELPERS` nothing can trace it.
///
/// # Invariants
///
/// For as long as the guard exists preemption is disabled; on `PREEMPT_RT` the RCU read side lock is
/// held.
#[must_use = "if unused, the read side ends immediately"]
pub struct Guard(NotThreadSafe);

// SAFETY: By the type invariants: a grace period waits for each region in which preemption is
// disabled, and for each holder of the RCU read side lock.
unsafe impl ReadSide for Guard {}

impl Guard {
    /// Ends the read side, after another one has begun that is `rcu_read_lock()`: together they
    /// are one read side, whose second part can be long and can be preempted.
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
        // SAFETY: By the type invariants this thread has called `lock`, and the guard, which is
        // not `Send`, is the one that ends it.
        unsafe { unlock() };
    }
}

/// Begins an RCU read side by disabling preemption.
///
/// # Examples
///
/// ```
/// use kernel::sync::rcu::sched;
///
/// let guard = sched::read_lock();
/// // What RCU protects can be looked at; nothing here may sleep, or take long.
/// let found = 6;
/// assert_eq!(found * 7, 42);
/// // What comes here may be long. RCU still waits for it.
/// let rcu = guard.into_rcu();
/// drop(rcu);
/// ```
#[doc(alias = "rcu_read_lock_sched_notrace")]
#[inline]
pub fn read_lock() -> Guard {
    lock();
    // INVARIANT: Preemption was disabled just now.
    Guard(NotThreadSafe)
}

#[inline]
fn lock() {
    // SAFETY: An FFI call without requirements.
    #[cfg(not(CONFIG_PREEMPT_RT))]
    unsafe {
        bindings::rcu_read_lock_sched_notrace()
    };
    // SAFETY: An FFI call without requirements.
    #[cfg(CONFIG_PREEMPT_RT)]
    unsafe {
        bindings::rcu_read_lock()
    };
}

/// # Safety
///
/// The thread must have called [`lock`] without having called this since.
#[inline]
unsafe fn unlock() {
    // SAFETY: By the safety requirements of this function.
    #[cfg(not(CONFIG_PREEMPT_RT))]
    unsafe {
        bindings::rcu_read_unlock_sched_notrace()
    };
    // SAFETY: By the safety requirements of this function.
    #[cfg(CONFIG_PREEMPT_RT)]
    unsafe {
        bindings::rcu_read_unlock()
    };
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
