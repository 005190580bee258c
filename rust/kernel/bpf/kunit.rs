// SPDX-License-Identifier: GPL-2.0

//! KUnit tests, with callbacks that count.

use super::{
    async_cb::AsyncCallback,
    callback::{
        Callback,
        CallbackCell,
        Freed, //
    },
    container::Domain,
    owner::{
        AsyncFn,
        TimerSlot,
        WorkSlot, //
    },
    pending::StartFlags,
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu,
        Arc,
        Completion, //
    },
    time::hrtimer::raw::Clock,
};

const FAR: i64 = 3600 * 1_000_000_000;
const NEAR: i64 = 1_000;
const REL: StartFlags = StartFlags::REL;

/// An owner that counts when it is dropped.
struct Counted(Arc<Atomic<i32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(1, Relaxed);
    }
}

// SAFETY: Only the tests in this file use it, each in one thread, so that nobody borrows it while
// it is dropped.
unsafe impl Callback for KBox<Counted> {}

impl AsyncCallback for KBox<Counted> {
    type Container = Domain;
}

/// A function that counts its calls and says when it was called.
#[pin_data]
struct Called {
    calls: Atomic<i32>,
    #[pin]
    called: Completion,
}

impl Called {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                calls: Atomic::new(0),
                called <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }
}

impl AsyncFn for Called {
    fn call(&self) {
        self.calls.add(1, Relaxed);
        self.called.complete_all();
    }
}

/// Runs `f` with interrupts disabled.
fn irqs_off<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Disables interrupts on this CPU; paired below.
    unsafe { bindings::bpf_async_kunit_irq_disable() };
    let result = f();
    // SAFETY: Paired with the call above. What was queued is performed at once.
    unsafe { bindings::bpf_async_kunit_irq_enable() };
    result
}

fn domain() -> Result<Arc<Domain>> {
    Arc::pin_init(Domain::new(), GFP_KERNEL)
}

fn timer(domain: &Arc<Domain>) -> Result<(TimerSlot<Called>, Arc<Called>)> {
    let (slot, called) = (TimerSlot::new(), Called::new()?);
    slot.init(domain, Clock::Monotonic)?;
    slot.set_fn(domain, called.clone(), GFP_KERNEL)?;
    Ok((slot, called))
}

#[macros::kunit_tests(rust_bpf_async)]
mod tests {
    use super::*;

    /// Every owner that goes into a cell is dropped once, whichever way it leaves it, and a freed
    /// cell stays freed.
    #[test]
    fn cell_drops_each_owner_once() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let owner = || Ok::<_, Error>(KBox::new(Counted(drops.clone()), GFP_KERNEL)?);
        let cell = CallbackCell::new();

        assert!(!cell.is_set());
        assert!(matches!(cell.set(owner()?), Ok(None)) && cell.is_set());
        let old = cell.set(owner()?);
        assert!(matches!(old, Ok(Some(_))));
        drop(old);
        assert_eq!(drops.load(Relaxed), 1);
        assert!(cell.clear().is_some());
        assert_eq!(drops.load(Relaxed), 2);
        assert!(cell.clear().is_none());

        drop(cell.set(owner()?));
        assert!(cell.free().is_some());
        assert_eq!(drops.load(Relaxed), 3);
        let refused = cell.set(owner()?);
        assert!(matches!(refused, Err(Freed(Some(_)))));
        drop(refused);
        assert_eq!(drops.load(Relaxed), 4);
        assert!(cell.clear().is_none() && !cell.is_set());
        assert!(cell.get(&rcu::read_lock()).is_none());
        assert!(matches!(cell.set(owner()?), Err(Freed(Some(_)))));
        Ok(())
    }

    /// A timer calls its callback, and refuses what it has to refuse.
    #[test]
    fn timer_fires() -> Result {
        let domain = domain()?;
        let empty = TimerSlot::<Called>::new();
        assert_eq!(empty.start(NEAR, REL), Err(EINVAL));
        assert_eq!(empty.cancel(), Err(EINVAL));
        assert_eq!(
            empty.set_fn(&domain, Called::new()?, GFP_KERNEL),
            Err(EINVAL)
        );

        let (slot, called) = timer(&domain)?;
        assert_eq!(slot.init(&domain, Clock::Monotonic), Err(EBUSY));
        slot.start(NEAR, REL)?;
        called.called.wait_for_completion();
        assert_eq!(called.calls.load(Relaxed), 1);
        slot.start(FAR, REL)?;
        assert_eq!(slot.cancel_async(), Ok(true));
        slot.start(FAR, REL)?;
        assert_eq!(slot.cancel(), Ok(true));
        assert_eq!(slot.start(FAR, REL), Err(EINVAL));
        assert_eq!(slot.cancel(), Ok(false));
        Ok(())
    }

    /// What is started with interrupts disabled fires when they are enabled, without an allocation;
    /// of several operations the newest counts.
    #[test]
    fn deferred_newest_wins() -> Result {
        let domain = domain()?;
        let (slot, called) = timer(&domain)?;

        irqs_off(|| slot.start(NEAR, REL))?;
        called.called.wait_for_completion();
        assert_eq!(called.calls.load(Relaxed), 1);

        let cancelled = irqs_off(|| {
            slot.start(NEAR, REL)?;
            slot.start(FAR, REL)?;
            Ok::<_, Error>(slot.cancel_async())
        })?;
        assert_eq!(cancelled, Err(ECANCELED));
        assert_eq!(slot.cancel_async(), Ok(false));
        assert_eq!(called.calls.load(Relaxed), 1);

        irqs_off(|| {
            let _ = slot.cancel_async();
            slot.start(FAR, REL)
        })?;
        assert_eq!(slot.cancel_async(), Ok(true));
        assert_eq!(irqs_off(|| slot.cancel()), Err(EOPNOTSUPP));
        Ok(())
    }

    /// Freeing with interrupts disabled stops what was queued, and leaves nothing.
    #[test]
    fn freed_with_interrupts_disabled() -> Result {
        let domain = domain()?;
        let (slot, called) = timer(&domain)?;

        irqs_off(|| {
            let result = slot.start(NEAR, REL);
            slot.cancel_and_free();
            result
        })?;
        assert_eq!(slot.start(NEAR, REL), Err(EINVAL));
        domain.close();
        assert_eq!(domain.live(), 0);
        assert_eq!(called.calls.load(Relaxed), 0);
        assert_eq!(slot.init(&domain, Clock::Monotonic), Err(EPERM));
        assert_eq!(domain.live(), 0);
        Ok(())
    }

    /// A work item runs, also when it is started with interrupts disabled, and keeps its object
    /// when that is freed before its turn has come.
    #[test]
    fn work_runs() -> Result {
        let domain = domain()?;
        let (slot, called) = (WorkSlot::new(), Called::new()?);

        slot.init(&domain, ())?;
        assert_eq!(slot.start(), Err(EINVAL));
        slot.set_fn(&domain, called.clone(), GFP_KERNEL)?;
        slot.start()?;
        called.called.wait_for_completion();

        let again = Called::new()?;
        slot.set_fn(&domain, again.clone(), GFP_KERNEL)?;
        irqs_off(|| slot.start())?;
        again.called.wait_for_completion();
        assert_eq!(called.calls.load(Relaxed), 1);
        assert_eq!(again.calls.load(Relaxed), 1);

        slot.start()?;
        slot.cancel_and_free();
        domain.close();
        assert_eq!(domain.live(), 0);
        assert!(again.calls.load(Relaxed) <= 2);
        Ok(())
    }

    /// When everything is gone nobody owns a callback any more.
    #[test]
    fn callbacks_are_released() -> Result {
        let domain = domain()?;
        let called = Called::new()?;
        let slots = [const { TimerSlot::<Called>::new() }; 8];

        for slot in &slots {
            slot.init(&domain, Clock::Boottime)?;
            slot.set_fn(&domain, called.clone(), GFP_KERNEL)?;
            slot.set_fn(&domain, called.clone(), GFP_KERNEL)?;
            slot.start(NEAR, REL)?;
        }
        drop(slots);
        domain.close();
        assert_eq!(domain.live(), 0);
        // Only this test's own reference is left.
        assert!(Arc::into_unique_or_drop(called).is_some());
        Ok(())
    }
}
