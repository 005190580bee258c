// SPDX-License-Identifier: GPL-2.0

//! Timers: `struct bpf_timer`.
//!
//! | operation      | task, softirq | interrupts disabled, hard interrupt, NMI |
//! |----------------|---------------|------------------------------------------|
//! | `start`        | now           | queued                                   |
//! | `cancel`       | now, waits    | `EOPNOTSUPP`                             |
//! | `cancel_async` | now           | queued, `ECANCELED`                      |
//!
//! On `PREEMPT_RT` `cancel` does not wait.

use super::async_cb::{
    must_defer,
    AsyncCallback,
    AsyncCb,
    CallbackRef,
    Kind,
    Op,
    Payload,
    Slot, //
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Full,
            Relaxed, //
        },
        rcu::sched, //
    },
    time::hrtimer::raw::{
        self,
        Clock,
        Mode,
        RawHrTimer, //
    },
};
use core::ptr::{
    null_mut,
    NonNull, //
};

/// The timer of an object.
#[doc(alias = "bpf_hrtimer")]
#[repr(transparent)]
pub(crate) struct Timer(pub(super) RawHrTimer);

type TimerCb<C = ()> = AsyncCb<Timer, C>;

/// A callback of timers.
///
/// # Safety
///
/// `TIMER_FN` must only call [`Timer::timer_fn`] for `Self`.
pub(crate) unsafe trait TimerCallback: AsyncCallback {
    /// The function of the `hrtimer`.
    const TIMER_FN: raw::Function;

    /// Calls the callback.
    ///
    /// # Safety
    ///
    /// Softirq. `callback` must come from the object of a timer.
    unsafe fn call(callback: CallbackRef<'_, Self>);
}

/// Returns the timer whose callback the caller runs in, or NULL.
///
/// Any context.
#[inline]
fn running_timer() -> *mut Timer {
    // SAFETY: This FFI call has no requirements.
    unsafe { bindings::bpf_async_running() }.cast()
}

impl Timer {
    /// Starts the timer.
    ///
    /// # Safety
    ///
    /// The caller must hold a reference to the object, or be an RCU reader that found it in its
    /// slot: so that `Head::rcu_free` cancels the timer later.
    #[inline]
    unsafe fn start(&self, nanos: i64, mode: Mode) {
        if mode.is_abs() && !running_timer().is_null() {
            // SAFETY: The caller holds a reference, or is an RCU reader that found the object.
            return unsafe { self.start_in_callback(nanos, mode) };
        }
        // SAFETY: `Head::rcu_free` runs after the caller, and cancels the timer before it frees the
        // object.
        unsafe { self.0.start(nanos, mode) }
    }

    /// Starts the timer from a timer callback, where a point in time that has passed means now.
    ///
    /// The hrtimer softirq does not end while a timer expires before the time at which the softirq
    /// began. A callback that starts a timer in the past would keep it, and all tasks on this CPU,
    /// waiting forever.
    ///
    /// # Safety
    ///
    /// As [`Timer::start`].
    #[cold]
    unsafe fn start_in_callback(&self, nanos: i64, mode: Mode) {
        // SAFETY: The timer is set up.
        let now = unsafe { bindings::bpf_async_timer_now(self.0.as_ptr()) };
        // SAFETY: `Head::rcu_free` runs after the caller, and cancels the timer before it frees the
        // object.
        unsafe { self.0.start(nanos.max(now), mode) }
    }

    /// Cancels a timer whose function is running, and which was started again meanwhile.
    ///
    /// It counts as active, but does not fire, until the next start or cancel.
    ///
    /// # Safety
    ///
    /// As [`Timer::start`].
    #[inline]
    unsafe fn postpone(&self) {
        if self.0.is_queued() {
            // SAFETY: The caller holds a reference, or is an RCU reader that found the object.
            unsafe { self.start(i64::MAX, Mode::ABS) };
        }
    }

    /// Performs a queued operation on the timer of `cb`.
    ///
    /// # Safety
    ///
    /// The caller must be a drain, and hold a reference.
    #[inline]
    pub(crate) unsafe fn process_op(cb: &TimerCb, op: Op) {
        let timer = &cb.payload;
        if let Some((nanos, mode)) = op.as_start() {
            // SAFETY: The caller holds a reference.
            unsafe { timer.start(nanos, mode) };
        } else if op == Op::CANCEL && timer.0.try_to_cancel() < 0 {
            // The function may have started the timer before this cancel was queued: without this,
            // the cancel would be lost. A newer start waits, or revokes the cancel.
            // SAFETY: The caller holds a reference.
            unsafe { timer.postpone() };
        }
    }

    /// Removes the callback, cancels the timer, and waits for its function.
    ///
    /// # Errors
    ///
    /// - `EDEADLK` except on `PREEMPT_RT`, if the caller traces the expiry of this timer. Nothing
    ///   was done.
    /// - `EBUSY` as [`Timer::cancel_running`].
    ///
    /// # Safety
    ///
    /// Interrupts must be enabled. `cb` must have been found in its slot inside the read side of
    /// `guard`, or inside one that lasts longer.
    #[inline]
    unsafe fn cancel_sync<C: TimerCallback>(
        cb: NonNull<TimerCb<C>>,
        guard: sched::Guard,
    ) -> Result<c_int> {
        // SAFETY: `guard` protects the object. The parameter is a pointer, because a reference
        // would have to be valid until this returns, and the read side can end before.
        let cb = unsafe { cb.as_ref() };
        // On PREEMPT_RT the caller may have preempted the expiry.
        if !cfg!(CONFIG_PREEMPT_RT) && cb.payload.0.runs_here() {
            return Err(EDEADLK);
        }
        cb.callback.clear();
        if !cb.head.deferred_idle() {
            // SAFETY: Interrupts are enabled, and `guard` is the read side.
            unsafe { cb.head.revoke_deferred() };
        }
        match cb.payload.0.try_to_cancel() {
            // SAFETY: `guard` protects the object.
            ..0 => unsafe { Self::cancel_running(NonNull::from(&cb.payload), guard) },
            result => Ok(result),
        }
    }

    /// Waits for the timer function.
    ///
    /// # Errors
    ///
    /// `EBUSY` on `PREEMPT_RT`: the task in which the caller runs may hold a sleeping lock that the
    /// callback waits for.
    ///
    /// # Safety
    ///
    /// `guard` must protect the object of `timer`.
    #[cold]
    #[inline(never)]
    unsafe fn cancel_running(timer: NonNull<Self>, guard: sched::Guard) -> Result<c_int> {
        // SAFETY: `guard`, and then `_rcu`, protects the object.
        let timer = unsafe { timer.as_ref() };
        if cfg!(CONFIG_PREEMPT_RT) {
            // SAFETY: `guard` protects the object.
            unsafe { timer.postpone() };
            return Err(EBUSY);
        }
        // With preemption enabled: the callback may be long.
        let _rcu = guard.into_rcu();
        Ok(timer.0.cancel())
    }

    /// What the timer calls when it expires.
    ///
    /// # Safety
    ///
    /// `timer` must be that of an `AsyncCb<Timer, C>` that is valid until this returns. Softirq.
    #[doc(alias = "bpf_timer_cb")]
    #[inline]
    pub(crate) unsafe fn timer_fn<C: TimerCallback>(
        timer: *mut bindings::hrtimer,
    ) -> bindings::hrtimer_restart {
        // CAST: `Timer` is transparent over `hrtimer`.
        // SAFETY: `Head::rcu_free` does not free an object whose timer function is running.
        let cb = unsafe { TimerCb::<C>::from_payload(timer.cast()) };
        // SAFETY: This is a softirq. On PREEMPT_RT disabling softirqs begins an RCU read side.
        let guard = unsafe { sched::Implied::new() };

        // Litmus: start-fires, cancel-reinstall.
        if let Some(callback) = cb.callback_ref(&guard) {
            // Timer callbacks do not nest on a CPU.
            // SAFETY: This FFI call has no requirements. For `running_timer()`: the object stays
            // valid until the callback has returned.
            unsafe { bindings::bpf_async_set_running(timer.cast()) };
            // SAFETY: This is a softirq. `cb` is the object of a timer.
            unsafe { C::call(callback) };
            // SAFETY: This FFI call has no requirements.
            unsafe { bindings::bpf_async_set_running(null_mut()) };
        }
        bindings::hrtimer_restart::HRTIMER_NORESTART
    }
}

// SAFETY: The kind is that of timers. `setup` initialises the `hrtimer`, which is all of the
// payload. A `RawHrTimer` is `Sync`.
unsafe impl<C: TimerCallback> Payload<C> for Timer {
    const KIND: Kind = Kind::Timer;
    type Config = Clock;

    unsafe fn setup(this: *mut Self, clock: Clock) {
        // As in C, relative: this puts a timer for CLOCK_REALTIME on CLOCK_MONOTONIC.
        // CAST: `Timer` is transparent over `RawHrTimer`.
        // SAFETY: The payload stays where it is. `TimerCallback` guarantees that `TIMER_FN` is the
        // function for `C`.
        unsafe { RawHrTimer::setup(this.cast(), C::TIMER_FN, clock, Mode::REL) };
    }

    #[inline]
    unsafe fn cancel(cb: &AsyncCb<Self, C>) {
        cb.payload.0.try_to_cancel();
    }
}

impl<C: TimerCallback> Slot<Timer, C> {
    /// Starts the timer, or moves its expiry.
    ///
    /// If it is not queued, it takes no reference: an object that is freed meanwhile is cancelled
    /// once more after the grace period that this read side delays.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no timer, or no callback.
    /// - `ENOENT` with interrupts disabled, if the timer was freed meanwhile.
    /// - `EDEADLK` with interrupts disabled, if the caller is called by, or has interrupted, a
    ///   drain: see [`Head::queue_irqs_off`](super::async_cb::Head::queue_irqs_off).
    #[doc(alias = "bpf_timer_start")]
    #[inline]
    pub(crate) fn start(&self, nanos: i64, mode: Mode) -> Result {
        if must_defer() {
            // SAFETY: `must_defer()` has returned true.
            return unsafe { self.defer(Op::start(nanos, mode)) };
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        if !cb.callback.is_set() {
            return Err(EINVAL);
        }
        if !cb.head.deferred_idle() {
            // SAFETY: `must_defer()` has returned false, and `guard` is the read side.
            unsafe { cb.head.revoke_deferred() };
        }
        // SAFETY: The object was found in its slot inside the read side of `guard`.
        unsafe { cb.payload.start(nanos, mode) };
        Ok(())
    }

    /// Removes the callback, cancels the timer, and waits for a callback that is running.
    ///
    /// Returns 1 if the timer was active, otherwise 0. A start that was queued and not performed is
    /// revoked, and does not count.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` with interrupts disabled or in NMI.
    /// - `EINVAL` if there is no timer.
    /// - `EDEADLK` if the caller is this timer's callback, or the callback of a timer that another
    ///   callback waits for, or, except on `PREEMPT_RT`, traces the expiry of this timer. Nothing
    ///   was done.
    /// - `EBUSY` on `PREEMPT_RT` if the timer is expiring. The callback was removed. If the timer
    ///   was started again meanwhile, it counts as active, but does not fire. Until the expiry
    ///   ends, it may call a callback that is set meanwhile, and the old callback may start it.
    #[doc(alias = "bpf_timer_cancel")]
    #[inline]
    pub(crate) fn cancel(&self) -> Result<c_int> {
        if must_defer() {
            return Err(EOPNOTSUPP);
        }
        let running = running_timer();
        if !running.is_null() {
            // SAFETY: The callback of `running` runs on this CPU, so that it is the caller.
            return unsafe { self.cancel_in_callback(running) };
        }
        let guard = sched::read_lock();
        let cb = NonNull::from(self.get(&guard)?);
        // SAFETY: `must_defer()` has returned false, and `guard` is the read side.
        unsafe { Timer::cancel_sync(cb, guard) }
    }

    /// [`Slot::cancel`] by the callback of `running`.
    ///
    /// Out of line: only a callback can be waited for, so only a callback can complete a cycle.
    ///
    /// # Safety
    ///
    /// The caller must be called by the callback of `running`, with interrupts enabled.
    #[cold]
    #[inline(never)]
    unsafe fn cancel_in_callback(&self, running: *mut Timer) -> Result<c_int> {
        // SAFETY: A timer callback runs in softirq, until it returns.
        let guard = unsafe { sched::Implied::new() };
        let cb = self.get(&guard)?;
        // SAFETY: The callback that runs on this CPU is the caller, so its object stays.
        let running = unsafe { AsyncCb::from_payload(running) };
        let _cancelling = Cancelling::new(cb, running)?;
        // SAFETY: Interrupts are enabled, and `guard` lasts until this returns.
        unsafe { Timer::cancel_sync(NonNull::from(cb), sched::read_lock()) }
    }

    /// Cancels the timer unless its callback is running.
    ///
    /// Returns 1 if the timer was active, otherwise 0. The callback stays.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no timer.
    /// - `ECANCELED` with interrupts disabled or in NMI: the timer is cancelled as soon as they are
    ///   enabled on the CPU whose list the object is on. If its callback is running then and has
    ///   started the timer before, the timer counts as active until the next start or cancel, but
    ///   does not fire.
    /// - `ENOENT`, `EDEADLK` as [`Slot::start`].
    /// - `EPERM` if the callback is running. A start that was queued before this call is then still
    ///   performed.
    #[doc(alias = "bpf_timer_cancel_async")]
    #[inline]
    pub(crate) fn cancel_async(&self) -> Result<c_int> {
        if must_defer() {
            // SAFETY: `must_defer()` has returned true.
            unsafe { self.defer(Op::CANCEL) }?;
            return Err(ECANCELED);
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        let mut active = 0;
        if !cb.head.deferred_idle() {
            // A start that is being performed may call the callback. The look at the callback comes
            // after that, and before anything is revoked: a cancel that fails must not revoke a
            // start that was queued before.
            // SAFETY: `must_defer()` has returned false, and `guard` is the read side.
            unsafe { cb.head.wait_deferred() };
            active = cb.payload.0.try_to_cancel();
            if active < 0 {
                return Err(EPERM);
            }
            // SAFETY: `must_defer()` has returned false, and `guard` is the read side.
            unsafe { cb.head.revoke_deferred() };
        }
        match active | cb.payload.0.try_to_cancel() {
            // As in C, where -1 is what `hrtimer_try_to_cancel()` has returned.
            ..0 => Err(EPERM),
            result => Ok(result),
        }
    }
}

/// Counts a timer callback that is about to wait for the callback of another timer, so that
/// callbacks do not wait for each other.
///
/// # Invariants
///
/// `cancelling` of the timer includes this.
#[must_use = "the count is undone when this is dropped"]
struct Cancelling<'a, C>(&'a TimerCb<C>);

impl<'a, C> Cancelling<'a, C> {
    /// # Errors
    ///
    /// `EDEADLK` if the caller, which is the callback of `running`, is that of `cb`, or if another
    /// callback is about to wait for it.
    fn new(cb: &'a TimerCb<C>, running: &TimerCb) -> Result<Self> {
        if core::ptr::eq(&cb.payload, &running.payload) {
            return Err(EDEADLK);
        }
        // INVARIANT: It is included.
        Self::add(cb, 1);
        let this = Self(cb);
        // `add` is Full: if two callbacks cancel each other, one at least sees the other. On
        // PREEMPT_RT none of them waits. Litmus: cancelling, cancelling-three.
        if !cfg!(CONFIG_PREEMPT_RT) && running.head.cancelling.load(Relaxed) != 0 {
            return Err(EDEADLK);
        }
        Ok(this)
    }

    fn add(cb: &TimerCb<C>, delta: i16) {
        let count = &cb.head.cancelling;
        let mut old = count.load(Relaxed);
        // `Atomic<i16>` has no `fetch_add()`. Those that are counted run, one on each CPU and a few
        // that trace it, so that the count does not overflow and the loop ends.
        while let Err(seen) = count.cmpxchg(old, old.wrapping_add(delta), Full) {
            old = seen;
        }
    }
}

impl<C> Drop for Cancelling<'_, C> {
    fn drop(&mut self) {
        Self::add(self.0, -1);
    }
}
