// SPDX-License-Identifier: GPL-2.0

//! Timers whose clock and mode are chosen at run time.
//!
//! [`HrTimer`](super::HrTimer) has both in its type, and its handle waits when it is dropped. This
//! is for an owner that gets clock and mode at run time, cannot wait, and manages the lifetime of
//! the timer by other means.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// The clock of a timer.
#[doc(alias = "clockid_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Monotonic time, which does not advance in suspend.
    Monotonic,
    /// Wall-clock time, which can be set.
    Realtime,
    /// Monotonic time, which advances in suspend.
    Boottime,
}

impl Clock {
    /// Returns the clock with this id, or `None` if it is none of the three.
    pub const fn from_id(id: u64) -> Option<Self> {
        // CAST: The ids are small non-negative constants.
        match id {
            id if id == bindings::CLOCK_MONOTONIC as u64 => Some(Self::Monotonic),
            id if id == bindings::CLOCK_REALTIME as u64 => Some(Self::Realtime),
            id if id == bindings::CLOCK_BOOTTIME as u64 => Some(Self::Boottime),
            _ => None,
        }
    }

    const fn id(self) -> bindings::clockid_t {
        // CAST: The ids are small non-negative constants.
        (match self {
            Self::Monotonic => bindings::CLOCK_MONOTONIC,
            Self::Realtime => bindings::CLOCK_REALTIME,
            Self::Boottime => bindings::CLOCK_BOOTTIME,
        }) as bindings::clockid_t
    }
}

/// What the expiry given to a start means.
///
/// The function always runs in softirq context.
///
/// # Invariants
///
/// [`Mode::SOFT_BIT`] is set. Of the others, only [`Mode::REL_BIT`] and [`Mode::PINNED_BIT`] can
/// be.
#[doc(alias = "hrtimer_mode")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(bindings::hrtimer_mode);

impl Mode {
    // INVARIANT: The soft bit is set in both.
    /// The expiry is a point on the timer's clock.
    pub const ABS: Self = Self(bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT);
    /// The expiry is relative to now.
    pub const REL: Self = Self(bindings::hrtimer_mode_HRTIMER_MODE_REL_SOFT);

    /// Set in the bits of each mode of this type.
    pub const SOFT_BIT: u64 = bindings::hrtimer_mode_HRTIMER_MODE_SOFT as u64;
    /// Set if the expiry is relative.
    pub const REL_BIT: u64 = bindings::hrtimer_mode_HRTIMER_MODE_REL as u64;
    /// Set if the timer fires on the CPU that starts it.
    pub const PINNED_BIT: u64 = bindings::hrtimer_mode_HRTIMER_MODE_PINNED as u64;

    /// Returns the mode with these bits.
    ///
    /// Only [`Mode::REL_BIT`] and [`Mode::PINNED_BIT`] matter.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        // CAST: The value has three bits.
        // INVARIANT: The soft bit is set, and the other two come from `bits`.
        Self((Self::SOFT_BIT | bits & (Self::REL_BIT | Self::PINNED_BIT)) as bindings::hrtimer_mode)
    }

    /// Returns the bits of the mode.
    #[inline]
    pub const fn bits(self) -> u64 {
        // CAST: The value has three bits.
        self.0 as u64
    }

    /// Returns whether the expiry is a point in time.
    #[inline]
    pub const fn is_abs(self) -> bool {
        self.bits() & Self::REL_BIT == 0
    }
}

/// The function that a [`RawHrTimer`] calls when it expires.
pub type Function =
    unsafe extern "C" fn(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart;

/// A C `struct hrtimer` whose lifetime its owner manages.
///
/// # Invariants
///
/// The timer was set up by [`RawHrTimer::setup`], and does not move.
#[doc(alias = "hrtimer")]
#[repr(transparent)]
pub struct RawHrTimer(Opaque<bindings::hrtimer>);

// SAFETY: A timer can be used by any thread.
unsafe impl Send for RawHrTimer {}

// SAFETY: hrtimer allows concurrent calls: its functions take the lock of the timer base, or read
// what it protects under a sequence count, or with a marked access.
unsafe impl Sync for RawHrTimer {}

impl RawHrTimer {
    /// Sets a timer up.
    ///
    /// `function` gets a pointer to the timer only. If it uses what is around the timer, it needs
    /// the provenance of that, which the owner can expose.
    ///
    /// Any context.
    ///
    /// # Safety
    ///
    /// - `this` must be valid for writes. If a timer was set up there, it must be inactive.
    /// - The timer must not move from now on.
    /// - It must be sound to call `function` with the timer whenever it expires.
    #[doc(alias = "hrtimer_setup")]
    #[inline]
    pub unsafe fn setup(this: *mut Self, function: Function, clock: Clock, mode: Mode) {
        // CAST: `RawHrTimer` is transparent over `Opaque<hrtimer>`, which is over `hrtimer`.
        // INVARIANT: Set up here, and by the safety requirements does not move.
        // SAFETY: The caller guarantees that the memory is valid and `function` fits.
        unsafe { bindings::hrtimer_setup(this.cast(), Some(function), clock.id(), mode.0) }
    }

    /// Starts the timer, or moves its expiry. `mode` says what `nanos` means.
    ///
    /// The function that it then calls sees what the caller wrote before.
    ///
    /// # Safety
    ///
    /// The timer must stay valid until a cancel that was called after the last start had returned
    /// has returned 0 or 1: hrtimer still uses it for a short time after its function has returned
    /// `HRTIMER_NORESTART`.
    ///
    /// # Context
    ///
    /// Any but NMI. Not where a holder of the timer base's lock may have been interrupted.
    #[doc(alias = "hrtimer_start")]
    #[inline]
    pub unsafe fn start(&self, nanos: i64, mode: Mode) {
        // SAFETY: By the type invariants the timer is set up, and the caller guarantees that it
        // stays.
        unsafe { bindings::hrtimer_start_range_ns(self.0.get(), nanos, 0, mode.0) }
    }

    /// Cancels the timer unless its function is running.
    ///
    /// Returns 1 if it was active, 0 if it was not, and -1 if its function is running.
    ///
    /// # Context
    ///
    /// As [`RawHrTimer::start`].
    #[doc(alias = "hrtimer_try_to_cancel")]
    #[inline]
    pub fn try_to_cancel(&self) -> c_int {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_try_to_cancel(self.0.get()) }
    }

    /// Returns whether the timer is enqueued.
    ///
    /// Any context.
    #[doc(alias = "hrtimer_is_queued")]
    #[inline]
    pub fn is_queued(&self) -> bool {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_is_queued(self.0.get()) }
    }

    /// Returns a pointer to the C structure.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::hrtimer {
        self.0.get()
    }

    /// Returns whether the caller has interrupted, or is called by, the expiry of this timer, so
    /// that [`RawHrTimer::cancel`] would never return.
    ///
    /// On `PREEMPT_RT` also if the caller has preempted the expiry.
    ///
    /// # Context
    ///
    /// Task or softirq; meaningful as long as the caller stays on this CPU.
    #[inline]
    pub fn runs_here(&self) -> bool {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_runs_here(self.0.get()) }
    }

    /// Cancels the timer and waits for its function.
    ///
    /// Returns 1 if it was active, otherwise 0.
    ///
    /// # Context
    ///
    /// Task or softirq. Not in the timer's function. On `PREEMPT_RT` this can sleep.
    #[doc(alias = "hrtimer_cancel")]
    #[inline]
    pub fn cancel(&self) -> c_int {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_cancel(self.0.get()) }
    }
}

#[cfg(CONFIG_RUST_HRTIMER_RAW_KUNIT_TEST)]
#[macros::kunit_tests(rust_hrtimer_raw)]
mod tests {
    use super::*;
    use crate::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Completion, //
    };
    use crate::time::{
        Instant,
        RealTime, //
    };

    const FAR: i64 = 3600 * 1_000_000_000;

    const fn pinned(mode: Mode) -> Mode {
        Mode::from_bits(mode.bits() | Mode::PINNED_BIT)
    }

    #[repr(C)]
    #[pin_data]
    struct Count {
        #[pin]
        timer: RawHrTimer,
        left: Atomic<i32>,
        here: Atomic<i32>,
        #[pin]
        done: Completion,
    }

    impl Count {
        fn new(clock: Clock, left: i32) -> Result<Pin<KBox<Self>>> {
            let this = KBox::pin_init(
                pin_init!(Self {
                    // INVARIANT: Set up below, before it is used.
                    timer: RawHrTimer(Opaque::uninit()),
                    left: Atomic::new(left),
                    here: Atomic::new(0),
                    done <- Completion::new(),
                }),
                GFP_KERNEL,
            )?;
            // `expired` gets a pointer to the timer only, and uses all of the box.
            core::ptr::from_ref(&*this).expose_provenance();
            let timer = this.timer.0.get().cast();
            // SAFETY: The timer is pinned, and each test cancels it before it drops the box.
            unsafe { RawHrTimer::setup(timer, Self::expired, clock, Mode::ABS) };
            Ok(this)
        }

        /// # Safety
        ///
        /// `timer` must be that of a `Count`.
        unsafe extern "C" fn expired(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
            // The timer is the first field, and `new` has exposed the provenance of all.
            let this = core::ptr::with_exposed_provenance::<Self>(timer.addr());
            // SAFETY: Each test cancels the timer before it drops the box.
            let this = unsafe { &*this };
            this.here.fetch_add(this.timer.runs_here().into(), Relaxed);
            if this.left.fetch_sub(1, Relaxed) == 1 {
                this.done.complete_all();
            } else {
                this.start(1_000, Mode::REL);
            }
            bindings::hrtimer_restart::HRTIMER_NORESTART
        }

        fn start(&self, nanos: i64, mode: Mode) {
            // SAFETY: Each test cancels the timer before it drops the box.
            unsafe { self.timer.start(nanos, mode) };
        }
    }

    /// A timer fires with each clock and mode, its function can start it again, and is seen to run.
    #[test]
    fn fires_with_each_clock_and_mode() -> Result {
        for clock in [Clock::Monotonic, Clock::Realtime, Clock::Boottime] {
            for (nanos, mode) in [
                (1_000, Mode::REL),
                (1_000, pinned(Mode::REL)),
                (1, Mode::ABS),
                (1, pinned(Mode::ABS)),
            ] {
                let timer = Count::new(clock, 3)?;
                timer.start(nanos, mode);
                timer.done.wait_for_completion();
                timer.timer.cancel();
                assert_eq!(timer.left.load(Relaxed), 0);
                assert_eq!(timer.here.load(Relaxed), 3);
            }
        }
        Ok(())
    }

    /// Cancelling says whether the timer was active.
    #[test]
    fn cancels() -> Result {
        let timer = Count::new(Clock::Monotonic, 1)?;
        assert_eq!(timer.timer.try_to_cancel(), 0);
        timer.start(FAR, Mode::REL);
        assert!(timer.timer.is_queued());
        assert_eq!(timer.timer.try_to_cancel(), 1);
        assert!(!timer.timer.is_queued());
        timer.start(FAR, Mode::REL);
        assert_eq!(timer.timer.cancel(), 1);
        assert_eq!(timer.timer.cancel(), 0);
        assert_eq!(timer.left.load(Relaxed), 1);
        Ok(())
    }

    /// A point in wall-clock time is not one of another clock.
    #[test]
    fn wall_clock_is_wall_clock() -> Result {
        let timer = Count::new(Clock::Realtime, 1)?;
        let at = Instant::<RealTime>::now().as_nanos() + 1_000_000;
        timer.start(at, Mode::ABS);
        timer.done.wait_for_completion();
        timer.timer.cancel();
        assert!(Instant::<RealTime>::now().as_nanos() >= at);
        Ok(())
    }

    /// Modes and clocks are those of C.
    #[test]
    fn knows_modes_and_clocks() {
        for (mode, c) in [
            (Mode::ABS, bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT),
            (Mode::REL, bindings::hrtimer_mode_HRTIMER_MODE_REL_SOFT),
            (
                pinned(Mode::ABS),
                bindings::hrtimer_mode_HRTIMER_MODE_ABS_PINNED_SOFT,
            ),
            (
                pinned(Mode::REL),
                bindings::hrtimer_mode_HRTIMER_MODE_REL_PINNED_SOFT,
            ),
        ] {
            assert_eq!(mode.0, c);
            assert_eq!(Mode::from_bits(mode.bits()), mode);
        }
        assert!(Mode::ABS.is_abs() && !Mode::REL.is_abs());
        for (clock, id) in [
            (Clock::Realtime, bindings::CLOCK_REALTIME),
            (Clock::Monotonic, bindings::CLOCK_MONOTONIC),
            (Clock::Boottime, bindings::CLOCK_BOOTTIME),
        ] {
            assert_eq!(Clock::from_id(id.into()), Some(clock));
            // CAST: The ids are small non-negative constants.
            assert_eq!(clock.id(), id as bindings::clockid_t);
        }
        let known = (0..64).filter(|id| Clock::from_id(*id).is_some()).count();
        assert_eq!(known, 3);
        assert_eq!(Clock::from_id(u64::MAX), None);
    }
}
