// SPDX-License-Identifier: GPL-2.0

//! Timers: `bpf_timer`.
//!
//! | operation      | task, softirq | interrupts disabled, hard interrupt, NMI |
//! |----------------|---------------|------------------------------------------|
//! | `start`        | inline        | queued                                   |
//! | `cancel`       | inline, waits | `EOPNOTSUPP`                             |
//! | `cancel_async` | inline        | queued, `ECANCELED`                      |

use super::{
    async_cb::{
        AsyncCallback,
        AsyncCb,
        Installed,
        Payload,
        Slot, //
    },
    cancelling::Cancelling,
    container::Container,
    cpu::{
        must_defer,
        running_timer,
        set_running_timer, //
    },
    deferred::{
        Head,
        Kind,
        Last, //
    },
    pending::{
        Op,
        StartFlags, //
    },
};
use crate::{
    bindings,
    prelude::*,
    sync::rcu::sched,
    time::hrtimer::raw::{
        self,
        Clock,
        Mode,
        RawHrTimer, //
    },
};
use core::ptr::NonNull;

/// The timer of an object.
#[doc(alias = "bpf_hrtimer")]
#[repr(transparent)]
pub struct Timer(RawHrTimer);

/// A callback of timers.
pub trait TimerCallback: AsyncCallback {
    /// Calls it. Softirq context, which is an RCU read side throughout.
    fn call(installed: Installed<'_, Self>);
}

type Erased = AsyncCb<Timer, ()>;

impl Timer {
    #[inline]
    fn start(&self, nanos: i64, flags: StartFlags) {
        if flags.is_abs() && !running_timer().is_null() {
            return self.start_in_callback(nanos, flags);
        }
        self.start_at(nanos, flags);
    }

    /// Starts the timer in the callback of one, where a point in time that has passed means now.
    ///
    /// The hrtimer softirq goes on for as long as a timer's expiry lies before the time at which the
    /// softirq began. A callback that starts a timer there would keep it, and all else on the CPU,
    /// from ever ending.
    #[cold]
    #[inline(never)]
    fn start_in_callback(&self, nanos: i64, flags: StartFlags) {
        self.start_at(nanos.max(self.0.now()), flags);
    }

    #[inline]
    fn start_at(&self, nanos: i64, flags: StartFlags) {
        // SAFETY: Before the object is freed the timer is cancelled, when nobody can start it any
        // more: see `reclaim`.
        unsafe { self.0.start(nanos, Mode::from_bits(flags.bits())) }
    }

    /// Performs a queued operation.
    ///
    /// # Safety
    ///
    /// `head` must be that of an object with a timer, to which the caller has a reference.
    #[inline]
    pub(super) unsafe fn perform(head: NonNull<Head>, op: Op) {
        // SAFETY: By the safety requirements of this function.
        let timer = unsafe { Erased::from_head(head).as_ref() }.payload();
        if let Some((nanos, flags)) = op.as_start() {
            timer.start(nanos, flags);
        } else if op.is_cancel() && timer.0.try_to_cancel() < 0 {
            timer.never();
        }
    }

    /// Sees to it that a timer whose function is running does not fire again.
    ///
    /// The function may have started it before the operation that is being performed was asked for;
    /// `hrtimer_try_to_cancel()` does not look at that, and nobody would be told. What is started
    /// after that operation was asked for waits for this, or takes the operation back.
    #[cold]
    #[inline(never)]
    fn never(&self) {
        if self.0.is_queued() {
            self.start(i64::MAX, StartFlags::ABS);
        }
    }

    /// Sees to it that nothing that was queued before takes effect any more, and starts the timer.
    #[inline]
    fn settle_and_start<C>(cb: &AsyncCb<Self, C>, nanos: i64, flags: StartFlags) {
        #[cold]
        #[inline(never)]
        fn cold<C>(cb: &AsyncCb<Timer, C>, nanos: i64, flags: StartFlags) {
            let last = cb.head().settle();
            cb.payload().start(nanos, flags);
            if let Some(last) = last {
                Timer::retire(last);
            }
        }

        if cb.head().is_settled() {
            cb.payload().start(nanos, flags);
        } else {
            cold(cb, nanos, flags);
        }
    }

    /// The same, and stops the timer unless its function is running.
    #[inline]
    fn settle_and_cancel<C>(cb: &AsyncCb<Self, C>) -> c_int {
        #[cold]
        #[inline(never)]
        fn cold<C>(cb: &AsyncCb<Timer, C>) -> c_int {
            let last = cb.head().settle();
            let result = cb.payload().0.try_to_cancel();
            if let Some(last) = last {
                Timer::retire(last);
            }
            result
        }

        if cb.head().is_settled() {
            cb.payload().0.try_to_cancel()
        } else {
            cold(cb)
        }
    }

    #[cold]
    #[inline(never)]
    fn retire(last: Last) {
        // SAFETY: `reclaim` is the function for timers.
        unsafe { last.retire(Self::reclaim) };
    }

    /// Frees an object with a timer.
    ///
    /// # Safety
    ///
    /// Called by RCU with the link of an object with a timer that has no reference left.
    pub(super) unsafe extern "C" fn reclaim(head: *mut bindings::callback_head) {
        // SAFETY: The link is the first field of an object.
        let cb = unsafe { NonNull::new_unchecked(head.cast::<Erased>()) };
        // An operation that was overtaken by `cancel_and_free` may have started the timer. Nobody
        // can any more: who could see the object had a guard that is gone by now.
        // Litmus: detached-start, detached-queue.
        // SAFETY: The object is still valid.
        if unsafe { cb.as_ref() }.payload().0.try_to_cancel() < 0 {
            // It fired just now, and its function is an RCU reader.
            // SAFETY: There is no reference left, and nobody who could take one.
            unsafe { Last(cb.cast()).retire_now(Self::reclaim) };
            return;
        }
        // SAFETY: The timer is stopped, and its function is not running.
        unsafe { Erased::free(cb) };
    }

    /// What the timer calls when it expires.
    ///
    /// # Safety
    ///
    /// `timer` must be that of an `AsyncCb<Timer, C>`, which stays valid until this returns.
    unsafe extern "C" fn fired<C: TimerCallback>(
        timer: *mut bindings::hrtimer,
    ) -> bindings::hrtimer_restart {
        // CAST: `Timer` is transparent over `RawHrTimer`, which is over `hrtimer`.
        // SAFETY: By the safety requirements of this function; see `reclaim`.
        let cb = unsafe { AsyncCb::<Timer, C>::from_payload(timer.cast()).as_ref() };
        // SAFETY: A softirq, on PREEMPT_RT too; there it is one because disabling softirqs begins an
        // RCU read side.
        let guard = unsafe { sched::Implied::new() };

        // Litmus: start-fires, cancel-reinstall.
        if let Some(installed) = cb.installed(&guard) {
            // For `cancel` to see whom it would wait for. Timer callbacks do not nest on a CPU.
            set_running_timer(timer.cast());
            C::call(installed);
            set_running_timer(core::ptr::null_mut());
        }
        raw::no_restart()
    }
}

// SAFETY: The kind is that of timers.
unsafe impl<C: TimerCallback> Payload<C> for Timer {
    const KIND: Kind = Kind::TIMER;
    type Config = Clock;

    unsafe fn setup(cb: NonNull<AsyncCb<Self, C>>, clock: Clock) {
        // Relative, as in C: a timer on `CLOCK_REALTIME` is thereby put on the monotonic clock.
        // SAFETY: The payload is where the timer is, and stays; `fired` is its function.
        unsafe {
            RawHrTimer::setup(
                AsyncCb::payload_ptr(cb).cast(),
                Self::fired::<C>,
                clock,
                Mode::REL,
            )
        };
    }

    #[inline]
    unsafe fn stop(cb: &AsyncCb<Self, C>) {
        if must_defer() {
            return cb.head().enqueue_owned(Op::CANCEL, Self::retire);
        }
        cb.payload().0.try_to_cancel();
        if let Some(last) = cb.head().put() {
            Self::retire(last);
        }
    }
}

impl<C: TimerCallback> Slot<Timer, C> {
    /// Starts the timer, or moves it when it is started.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when there is no timer, or no callback.
    /// - `ENOENT` when the timer was freed meanwhile.
    /// - `EDEADLK` when this would be done from inside of doing it: see [`Head::enqueue`].
    #[doc(alias = "bpf_timer_start")]
    #[inline]
    pub fn start(&self, nanos: i64, flags: StartFlags) -> Result {
        if must_defer() {
            return self.start_deferred(Op::start(nanos, flags));
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        if !cb.callback().is_set() {
            return Err(EINVAL);
        }
        Timer::settle_and_start(cb, nanos, flags);
        Ok(())
    }

    #[inline(never)]
    fn start_deferred(&self, op: Op) -> Result {
        // SAFETY: Interrupts are disabled, or it is one.
        let guard = unsafe { sched::Implied::new() };
        let cb = self.get(&guard)?;
        if !cb.callback().is_set() {
            return Err(EINVAL);
        }
        cb.head().enqueue(op, Timer::retire)
    }

    /// Takes the callback out, stops the timer and waits for a callback that is running; returns
    /// whether it was started. A start that is queued and was not performed is taken back, and does
    /// not count.
    ///
    /// # Errors
    ///
    /// - `EOPNOTSUPP` when interrupts are disabled or in NMI.
    /// - `EINVAL` when there is no timer.
    /// - `EDEADLK` when the caller is this timer's callback, or that of a timer that somebody
    ///   waits for; or traces the expiry of this timer, when the callback is taken out all the same.
    #[doc(alias = "bpf_timer_cancel")]
    #[inline]
    pub fn cancel(&self) -> Result<bool> {
        Ok(self.cancel_int()? != 0)
    }

    /// [`Slot::cancel`], with the number that C returns.
    #[inline]
    pub(super) fn cancel_int(&self) -> Result<c_int> {
        if must_defer() {
            return Err(EOPNOTSUPP);
        }
        let running = NonNull::new(running_timer().cast::<Timer>());
        if running.is_some() {
            return self.cancel_in_callback(running);
        }
        self.cancel_now(None)
    }

    #[cold]
    #[inline(never)]
    fn cancel_in_callback(&self, running: Option<NonNull<Timer>>) -> Result<c_int> {
        self.cancel_now(running)
    }

    /// `running` is the timer whose callback is calling, if any.
    #[inline(always)]
    fn cancel_now(&self, running: Option<NonNull<Timer>>) -> Result<c_int> {
        // What was the callback is dropped after the guard: it may be much work. But not one that
        // is counted with the objects of its container: that waits for readers, and for what they
        // have given to RCU.
        let _old;
        let _rcu;
        let guard = sched::read_lock();
        // SAFETY: `guard`, and after it `_rcu`, which begins before it ends, cover all uses of `cb`.
        let cb = unsafe { NonNull::from(self.get(&guard)?).as_ref() };

        // Only callbacks are counted: nobody waits for anybody else.
        let _cancelling = match running {
            Some(running) if running == NonNull::from(cb.payload()) => return Err(EDEADLK),
            Some(running) => {
                // SAFETY: It is the timer of an object. The callback that is running on this CPU is
                // the one that is calling, so that its object stays.
                let running = unsafe { Erased::from_payload(running.as_ptr()).as_ref() };
                Some(Cancelling::new(cb.head(), running.head())?)
            }
            None => None,
        };
        let old = cb.callback().clear();
        _old = if C::Container::TRACKED {
            drop(old);
            None
        } else {
            old
        };
        let mut result = Timer::settle_and_cancel(cb);
        if result < 0 {
            // The caller may be a program that traces the expiry, just before or after the callback.
            if cb.payload().0.runs_here() {
                return Err(EDEADLK);
            }
            // Not with preemption disabled: the callback may be long, and on PREEMPT_RT waiting
            // for it sleeps.
            _rcu = guard.into_rcu();
            result = cb.payload().0.cancel();
        }
        Ok(result)
    }

    /// Stops the timer unless its callback is running; returns whether it was started. The
    /// callback stays.
    ///
    /// # Errors
    ///
    /// - `EINVAL` when there is no timer.
    /// - `ECANCELED` when interrupts are disabled or in NMI: it is done as soon as they are enabled,
    ///   also when the callback is running then and has started the timer before. That timer counts
    ///   as started until the next start or cancel, but never fires.
    /// - `ENOENT`, `EDEADLK` as [`Slot::start`].
    /// - `EPERM` when the callback is running.
    #[doc(alias = "bpf_timer_cancel_async")]
    #[inline]
    pub fn cancel_async(&self) -> Result<bool> {
        Ok(self.cancel_async_int()? != 0)
    }

    /// [`Slot::cancel_async`], with the number that C returns.
    #[inline]
    pub(super) fn cancel_async_int(&self) -> Result<c_int> {
        if must_defer() {
            return self.cancel_deferred();
        }
        let guard = sched::read_lock();
        let cb = self.get(&guard)?;
        let result = Timer::settle_and_cancel(cb);
        if result < 0 {
            // The C function says -1, which is this.
            return Err(EPERM);
        }
        Ok(result)
    }

    #[inline(never)]
    fn cancel_deferred(&self) -> Result<c_int> {
        // SAFETY: Interrupts are disabled, or it is one.
        let guard = unsafe { sched::Implied::new() };
        self.get(&guard)?
            .head()
            .enqueue(Op::CANCEL, Timer::retire)?;
        Err(ECANCELED)
    }
}
