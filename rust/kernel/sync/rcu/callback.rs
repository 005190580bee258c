// SPDX-License-Identifier: GPL-2.0

//! Callbacks after an RCU grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use crate::bindings;

/// The function that [`call_rcu`] calls.
#[doc(alias = "rcu_callback_t")]
pub type CallbackFn = unsafe extern "C" fn(head: *mut bindings::callback_head);

/// Calls `func` with `head` after an RCU grace period.
///
/// `func` sees what was written before the call, and each RCU read side that began before the call
/// has ended.
///
/// # Safety
///
/// - `head` must be valid, in no other use, and stay so until `func` is called with it.
/// - It must be sound to call `func` with `head` at any later time, in softirq context or in a task
///   with softirqs disabled. If `func` belongs to a module, the module must call `rcu_barrier()`
///   before it is unloaded.
/// - This must not be called in NMI. With interrupts disabled, it must not be called from within
///   `call_rcu()` itself, neither by an interrupt handler nor by a tracing program.
#[inline]
pub unsafe fn call_rcu(head: *mut bindings::callback_head, func: CallbackFn) {
    // SAFETY: The caller guarantees `head`, `func` and the context.
    unsafe { bindings::call_rcu(head, Some(func)) }
}

/// [`call_rcu`] for a callback that a task waits for: with `CONFIG_RCU_LAZY`, RCU may delay other
/// callbacks for seconds.
///
/// # Safety
///
/// The requirements are those of [`call_rcu`].
#[inline]
pub unsafe fn call_rcu_hurry(head: *mut bindings::callback_head, func: CallbackFn) {
    // SAFETY: The caller guarantees `head`, `func` and the context.
    unsafe { bindings::call_rcu_hurry(head, Some(func)) }
}

#[cfg(CONFIG_RUST_RCU_CALLBACK_KUNIT_TEST)]
#[macros::kunit_tests(rust_rcu_callback)]
mod tests {
    use super::*;
    use crate::{
        prelude::*,
        processor::cpu_relax,
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            rcu,
            Arc, //
        },
        types::Opaque, //
    };

    const READS: u32 = 1_000_000;

    #[repr(C)]
    struct Counted {
        rcu: Opaque<bindings::callback_head>,
        calls: Arc<Atomic<i32>>,
    }

    impl Counted {
        fn leak(calls: &Arc<Atomic<i32>>) -> Result<*mut bindings::callback_head> {
            let this = KBox::new(
                Self {
                    rcu: Opaque::uninit(),
                    calls: calls.clone(),
                },
                GFP_KERNEL,
            )?;
            // CAST: `rcu` is the first field.
            Ok(KBox::into_raw(this).cast())
        }

        /// # Safety
        ///
        /// RCU calls this with what `leak` has returned.
        unsafe extern "C" fn free(rcu: *mut bindings::callback_head) {
            // CAST: `rcu` is the first field.
            // SAFETY: The pointer comes from `leak`, and RCU calls this once.
            let this = unsafe { KBox::from_raw(rcu.cast::<Self>()) };
            this.calls.add(1, Relaxed);
        }
    }

    /// The function is called once, and not before a reader that began earlier has ended.
    #[test]
    fn called_after_readers() -> Result {
        let calls = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let (first, second) = (Counted::leak(&calls)?, Counted::leak(&calls)?);

        let guard = rcu::read_lock();
        // SAFETY: The head is valid until `free`, which is not part of a module.
        unsafe { call_rcu(first, Counted::free) };
        // SAFETY: The head is valid until `free`, which is not part of a module.
        unsafe { call_rcu_hurry(second, Counted::free) };
        // Long enough for a grace period that does not wait for this reader.
        let early = (0..READS).any(|_| {
            cpu_relax();
            calls.load(Relaxed) != 0
        });
        drop(guard);
        rcu::rcu_barrier();
        assert!(!early);
        assert_eq!(calls.load(Relaxed), 2);
        Ok(())
    }
}
