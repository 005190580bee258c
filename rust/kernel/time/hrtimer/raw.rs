// SPDX-License-Identifier: GPL-2.0

//! Timers whose clock and mode are chosen at run time.
//!
//! [`HrTimer`](super::HrTimer) has both in its type and cancels by waiting. Where the clock is
//! somebody's argument, the mode changes from one start to the next, or waiting is not possible,
//! there are [`DynHrTimer`], which is safe, and under it [`RawHrTimer`], for owners that manage the
//! timer's lifetime by other means.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)

#[cfg(CONFIG_RUST_HRTIMER_RAW_KUNIT_TEST)]
mod kunit;

use super::HrTimerRestart;
use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// What the function of a timer returns that is not to be started again by that.
#[inline]
pub(crate) fn no_restart() -> bindings::hrtimer_restart {
    HrTimerRestart::NoRestart.into_c()
}

/// The clock that a timer runs on.
#[doc(alias = "clockid_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Monotonic time, standing still in suspend.
    Monotonic,
    /// Wall-clock time, which can be set. A distance from now ([`Mode::REL`]) counts on that clock,
    /// too, and moves when it is set.
    Realtime,
    /// Monotonic time, going on in suspend.
    Boottime,
}

impl Clock {
    /// The clock with this id, if timers are supported on it here.
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

/// How the time given to a start is meant. The callback always runs in softirq context.
#[doc(alias = "hrtimer_mode")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(bindings::hrtimer_mode);

impl Mode {
    /// The time is a point on the timer's clock.
    pub const ABS: Self = Self(bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT);
    /// The time is counted from now.
    pub const REL: Self = Self(bindings::hrtimer_mode_HRTIMER_MODE_REL_SOFT);

    /// The mode with the two low bits of these: bit 0 for a time from now, bit 1 for a timer that is
    /// to fire on the CPU that starts it.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        // CAST: Two bits are left.
        Self(bindings::hrtimer_mode_HRTIMER_MODE_ABS_SOFT | (bits & 3) as bindings::hrtimer_mode)
    }

    /// The same, and the timer is to fire on the CPU that starts it.
    #[inline]
    pub const fn pinned(self) -> Self {
        Self(self.0 | bindings::hrtimer_mode_HRTIMER_MODE_PINNED)
    }
}

// What `from_bits` counts on.
static_assert!(Mode::from_bits(0).0 == Mode::ABS.0);
static_assert!(Mode::from_bits(1).0 == Mode::REL.0);
static_assert!(Mode::from_bits(2).0 == Mode::ABS.pinned().0);

/// The function that a [`RawHrTimer`] calls when it expires.
pub type Function =
    unsafe extern "C" fn(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart;

/// A C `struct hrtimer` whose lifetime is the owner's affair.
///
/// # Invariants
///
/// The timer was set up by [`RawHrTimer::setup`], and does not move.
#[doc(alias = "hrtimer")]
#[repr(transparent)]
pub struct RawHrTimer(Opaque<bindings::hrtimer>);

// SAFETY: A timer is not bound to the thread that set it up.
unsafe impl Send for RawHrTimer {}

// SAFETY: Timer operations are locked on the C side.
unsafe impl Sync for RawHrTimer {}

impl RawHrTimer {
    /// Sets a timer up. Any context.
    ///
    /// # Safety
    ///
    /// - `this` must be valid for writes, and the timer must not move from now on.
    /// - Whenever the timer expires it must be sound to call `function` with it.
    #[doc(alias = "hrtimer_setup")]
    #[inline]
    pub unsafe fn setup(this: *mut Self, function: Function, clock: Clock, mode: Mode) {
        // CAST: `RawHrTimer` is transparent over `Opaque<hrtimer>`, which is over `hrtimer`.
        // INVARIANT: Set up here, and by the safety requirements does not move.
        // SAFETY: By the safety requirements of this function.
        unsafe { bindings::hrtimer_setup(this.cast(), Some(function), clock.id(), mode.0) }
    }

    /// Starts the timer, or moves it when it is started already.
    ///
    /// # Safety
    ///
    /// The timer must stay valid until it has expired and its function has returned, or until it
    /// was cancelled.
    ///
    /// # Context
    ///
    /// Task or softirq. With interrupts disabled only where that cannot have interrupted a holder
    /// of a timer base's lock on this CPU.
    #[doc(alias = "hrtimer_start")]
    #[inline]
    pub unsafe fn start(&self, nanos: i64, mode: Mode) {
        // SAFETY: By the type invariants the timer is set up; by the safety requirements of this
        // function it stays.
        unsafe { bindings::hrtimer_start_range_ns(self.0.get(), nanos, 0, mode.0) }
    }

    /// Stops the timer unless its function is running.
    ///
    /// Returns 1 when it was started, 0 when it was not, and -1 when its function is running.
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

    /// Whether the timer is started. Any context; it may be so no longer when this returns.
    #[doc(alias = "hrtimer_is_queued")]
    #[inline]
    pub fn is_queued(&self) -> bool {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_is_queued(self.0.get()) }
    }

    /// The time on the timer's clock, in nanoseconds. Any context but NMI.
    #[doc(alias = "hrtimer_cb_get_time")]
    pub fn now(&self) -> i64 {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_cb_get_time(self.0.get()) }
    }

    /// Whether the caller runs on top of the timer's function, or of what is around it in its expiry:
    /// whether [`RawHrTimer::cancel`] would wait for ever. Always `false` on `PREEMPT_RT`.
    ///
    /// # Context
    ///
    /// Task or softirq, preemption disabled.
    #[inline]
    pub fn runs_here(&self) -> bool {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_runs_here(self.0.get()) }
    }

    /// Stops the timer and waits for its function; returns 1 when it was started, else 0.
    ///
    /// # Context
    ///
    /// Task or softirq, and not from the timer's own function, for which it would wait for ever. On
    /// `PREEMPT_RT` it may sleep on a lock.
    #[doc(alias = "hrtimer_cancel")]
    #[inline]
    pub fn cancel(&self) -> c_int {
        // SAFETY: By the type invariants the timer is set up.
        unsafe { bindings::hrtimer_cancel(self.0.get()) }
    }
}

/// What a [`DynHrTimer`] runs when it expires.
///
/// The implementing type is the data that the function works on. It is shared with whoever holds the
/// timer, hence [`Sync`]; and a timer that is leaked may still expire, hence `'static`.
pub trait DynHrTimerCallback: Sync + Sized + 'static {
    /// Runs in softirq context. It may start the timer again.
    fn run(timer: Pin<&DynHrTimer<Self>>);
}

/// A timer whose clock and mode are chosen at run time, with its data.
///
/// Dropping it cancels the timer and waits for its function; this must not happen in the function
/// itself, which would wait for ever. It must not live on a stack.
///
/// # Invariants
///
/// `timer` was set up with [`DynHrTimer::expired`] as its function, and is the first field.
///
/// # Examples
///
/// ```
/// use kernel::sync::Completion;
/// use kernel::time::hrtimer::raw::{Clock, DynHrTimer, DynHrTimerCallback, Mode};
///
/// #[pin_data]
/// struct Alarm {
///     #[pin]
///     rang: Completion,
/// }
///
/// impl DynHrTimerCallback for Alarm {
///     fn run(timer: Pin<&DynHrTimer<Self>>) {
///         timer.data().rang.complete_all();
///     }
/// }
///
/// let clock = Clock::from_id(1).ok_or(EINVAL)?;
/// let alarm = pin_init!(Alarm { rang <- Completion::new() });
/// let timer = KBox::pin_init(DynHrTimer::new(clock, alarm), GFP_KERNEL)?;
///
/// timer.as_ref().start(1_000, Mode::REL);
/// timer.data().rang.wait_for_completion();
/// # Ok::<(), Error>(())
/// ```
#[repr(C)]
#[pin_data(PinnedDrop)]
pub struct DynHrTimer<T: DynHrTimerCallback> {
    #[pin]
    timer: RawHrTimer,
    #[pin]
    data: T,
}

impl<T: DynHrTimerCallback> DynHrTimer<T> {
    /// Creates an initialiser for a timer that is not started.
    pub fn new<E>(clock: Clock, data: impl PinInit<T, E>) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        // SAFETY: The closure sets the timer up and returns `Ok` always.
        let timer = unsafe {
            pin_init::pin_init_from_closure(move |slot: *mut RawHrTimer| {
                // INVARIANT: `expired` is the function, and the struct is `repr(C)` with `timer`
                // first.
                // SAFETY: `slot` is valid for writes and pinned. The timer only expires while the
                // struct around it exists, because `drop` cancels it.
                // `ABS`: with `REL` the C code would put a timer on `CLOCK_REALTIME` on another clock.
                RawHrTimer::setup(slot, Self::expired, clock, Mode::ABS);
                Ok::<(), core::convert::Infallible>(())
            })
        };
        try_pin_init!(Self {
            timer <- timer,
            data <- data,
        })
    }

    /// The data that the function works on.
    pub fn data(&self) -> &T {
        &self.data
    }

    /// Starts the timer, or moves it when it is started already. Task or softirq context.
    #[inline]
    pub fn start(self: Pin<&Self>, nanos: i64, mode: Mode) {
        // SAFETY: The timer is pinned, and `drop` cancels it.
        unsafe { self.get_ref().timer.start(nanos, mode) }
    }

    /// Stops the timer unless its function is running; `None` when it is, else whether it was
    /// started. Task or softirq context.
    #[inline]
    pub fn try_to_cancel(self: Pin<&Self>) -> Option<bool> {
        match self.timer.try_to_cancel() {
            0 => Some(false),
            1.. => Some(true),
            _ => None,
        }
    }

    /// The C side of the function.
    ///
    /// # Safety
    ///
    /// `timer` must point to the `timer` field of a pinned `DynHrTimer<T>`.
    unsafe extern "C" fn expired(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
        // CAST: By the type invariants `timer` is the first field of a `repr(C)` struct.
        // SAFETY: Dropping the struct waits for this function to return, and it is pinned.
        T::run(unsafe { Pin::new_unchecked(&*timer.cast::<Self>()) });
        no_restart()
    }
}

#[pinned_drop]
impl<T: DynHrTimerCallback> PinnedDrop for DynHrTimer<T> {
    fn drop(self: Pin<&mut Self>) {
        self.timer.cancel();
    }
}
