// SPDX-License-Identifier: GPL-2.0

//! An operation in 64 bits: what the slot of pending operations holds.
//!
//! The low three bits say what, the rest when. The low bits of a time are lost, and are all taken for
//! one when it comes out: it is late by 7 ns at most, never early, and on its side of everything
//! that means something else. 2^63-1, which is "never", stays what it is; a negative time, which is
//! "at once" as a point in time and "never" as a distance, stays negative.

/// Nothing is queued.
pub const EMPTY: u64 = 0;
/// Somebody is performing what was queued.
pub const DRAINING: u64 = 1;
/// The object has no reference left and waits for its grace period to be started. Like
/// [`DRAINING`], but for the bit above the code.
pub const RETIRE: u64 = 1 | (CODE + 1);

const NOP: u64 = 2;
const CANCEL: u64 = 3;
/// The bit of all starts; the two below it are the flags. That makes the code the `hrtimer_mode`.
const START: u64 = 4;
const CODE: u64 = 7;

/// How the time of a start is meant.
///
/// # Invariants
///
/// `START`, and flags in the two bits below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartFlags(u64);

impl StartFlags {
    /// A point in time.
    pub const ABS: Self = Self(START);
    /// A distance from now.
    pub const REL: Self = Self(START | Self::DISTANCE);
    const DISTANCE: u64 = 1;
    const PINNED: u64 = 2;
    const ALL: u64 = Self::DISTANCE | Self::PINNED;

    /// The same, and the timer is to fire on the CPU that starts it.
    #[inline]
    pub const fn pinned(self) -> Self {
        Self(self.0 | Self::PINNED)
    }

    /// The flags that `bpf_timer_start()` knows as `BPF_F_TIMER_ABS`, which is 1, and
    /// `BPF_F_TIMER_CPU_PIN`, which is 2.
    #[inline]
    pub const fn from_bpf(flags: u64) -> Option<Self> {
        if flags & !Self::ALL == 0 {
            // One instruction: `START` and the two flags.
            Some(Self(flags ^ Self::REL.0))
        } else {
            None
        }
    }

    /// The bits: 1 for a distance from now, 2 for a pinned timer.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0 & Self::ALL
    }

    /// Whether the time is a point in time.
    #[inline]
    pub const fn is_abs(self) -> bool {
        self.0 & Self::DISTANCE == 0
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
        // CAST: The bits of the time.
        // INVARIANT: A time, and `START` and flags by the invariants of those.
        Self(nanos as u64 & !CODE | flags.0)
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

    /// The same for those that are a start, which is what is there mostly.
    #[inline]
    pub const fn decode_start(word: u64) -> Option<Self> {
        if word & START == 0 {
            return None;
        }
        // INVARIANT: The word came from `encode`.
        Some(Self(word))
    }

    /// Time and flags, if it is a start.
    #[inline]
    pub const fn as_start(self) -> Option<(i64, StartFlags)> {
        if self.0 & START == 0 {
            return None;
        }
        // CAST: The bits of the time.
        // INVARIANT: `START` is there.
        Some(((self.0 | CODE) as i64, StartFlags(self.0 & CODE)))
    }

    /// Whether it is [`Op::CANCEL`].
    #[inline]
    pub const fn is_cancel(self) -> bool {
        self.0 == CANCEL
    }
}
