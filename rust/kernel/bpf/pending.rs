// SPDX-License-Identifier: GPL-2.0

//! An operation in 64 bits: what the slot of pending operations holds.
//!
//! The low three bits say what, the rest when. A time is thus rounded to 8 ns: up, never early.

/// Nothing is queued.
pub const EMPTY: u64 = 0;
/// Somebody is performing what was queued.
pub const DRAINING: u64 = 1;
/// The object has no reference left and waits for its grace period to be started. Like
/// [`DRAINING`], but for the bit above the code.
pub const RETIRE: u64 = 1 | (CODE + 1);

const NOP: u64 = 2;
const CANCEL: u64 = 3;
/// The bit of all starts; the two below it are the flags.
const START: u64 = 4;
const CODE: u64 = 7;

/// How the time of a start is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartFlags(u64);

impl StartFlags {
    /// A distance from now.
    pub const REL: Self = Self(0);
    /// A point in time.
    pub const ABS: Self = Self(1);
    const PINNED: u64 = 2;

    /// The same, and the timer is to fire on the CPU that starts it.
    #[inline]
    pub const fn pinned(self) -> Self {
        Self(self.0 | Self::PINNED)
    }

    /// The flags with these bits, which are those of `bpf_timer_start()`.
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & !(Self::ABS.0 | Self::PINNED) == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Whether the time is a point in time.
    #[inline]
    pub const fn is_abs(self) -> bool {
        self.0 & Self::ABS.0 != 0
    }

    /// Whether the timer is to fire on the CPU that starts it.
    #[inline]
    pub const fn is_pinned(self) -> bool {
        self.0 & Self::PINNED != 0
    }
}

/// An operation that can be queued.
///
/// # Invariants
///
/// The word is `NOP`, `CANCEL`, or a time with `START` and flags in its low three bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(u64);

/// Rounds to a multiple of 8 such that a timer is never early.
///
/// Where that would wrap, what the time means is kept: 2^63-1 is "never" and so is the multiple
/// below it; a negative time is "at once" as a point in time and "never" as a distance, and so is
/// the one below it, while zero would be something else.
#[inline]
const fn round_up(nanos: i64) -> i64 {
    let up = if nanos < 0 { 0 } else { CODE as i64 };
    nanos.saturating_add(up) & !(CODE as i64)
}

impl Op {
    /// What was queued has been taken back.
    pub const NOP: Self = Self(NOP);
    /// Stop the timer, or take the work item from its queue.
    pub const CANCEL: Self = Self(CANCEL);
    /// Queue the work item: a start without a time.
    pub const START: Self = Self::start(0, StartFlags::REL);

    /// Start the timer; nanoseconds as `hrtimer_start()` takes them.
    #[inline]
    pub const fn start(nanos: i64, flags: StartFlags) -> Self {
        // CAST: The bits of the time, whose low three are zero.
        // INVARIANT: A time, `START` and flags.
        Self(round_up(nanos) as u64 | START | flags.0)
    }

    /// The word for this operation.
    #[inline]
    pub const fn encode(self) -> u64 {
        self.0
    }

    /// The operation that a word stands for; `None` for those that are none.
    #[inline]
    pub const fn decode(word: u64) -> Option<Self> {
        // INVARIANT: What is neither of these came from `encode`.
        match word & CODE {
            EMPTY | DRAINING => None,
            _ => Some(Self(word)),
        }
    }

    /// Time and flags, if it is a start.
    #[inline]
    pub const fn as_start(self) -> Option<(i64, StartFlags)> {
        if self.0 & START == 0 {
            return None;
        }
        // CAST: The bits of the time, as `start` put them.
        let nanos = (self.0 & !CODE) as i64;
        Some((
            nanos,
            StartFlags(self.0 & (StartFlags::ABS.0 | StartFlags::PINNED)),
        ))
    }

    /// Whether it is [`Op::CANCEL`].
    #[inline]
    pub const fn is_cancel(self) -> bool {
        self.0 == CANCEL
    }
}
