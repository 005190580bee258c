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
const START: u64 = 4;
const START_ABS: u64 = 1;
const START_PINNED: u64 = 2;
const CODE: u64 = 7;

/// How the time of a start is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartFlags {
    /// A point in time, not a distance from now.
    pub abs: bool,
    /// To fire on the CPU that starts.
    pub pinned: bool,
}

/// An operation that can be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// What was queued has been taken back.
    Nop,
    /// Stop the timer, or take the work item from its queue.
    Cancel,
    /// Start the timer, or queue the work item.
    Start {
        /// Nanoseconds, as `hrtimer_start()` takes them.
        nanos: i64,
        /// How they are meant.
        flags: StartFlags,
    },
}

/// Rounds to a multiple of 8 such that a timer is never early.
///
/// Where that would wrap, what the time means is kept: 2^63-1 is "never" and so is the multiple
/// below it; a negative time is "at once" as a point in time and "never" as a distance, and so is
/// the one below it, while zero would be something else.
const fn round_up(nanos: i64) -> i64 {
    const MAX: i64 = i64::MAX - CODE as i64;

    if nanos < 0 {
        nanos & !(CODE as i64)
    } else if nanos > MAX {
        MAX & !(CODE as i64)
    } else {
        (nanos + CODE as i64) & !(CODE as i64)
    }
}

impl Op {
    /// A work item is started without a time.
    pub const START: Self = Self::Start {
        nanos: 0,
        flags: StartFlags {
            abs: false,
            pinned: false,
        },
    };

    /// The word for this operation.
    #[inline]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Nop => NOP,
            Self::Cancel => CANCEL,
            Self::Start { nanos, flags } => {
                let abs = if flags.abs { START_ABS } else { 0 };
                let pinned = if flags.pinned { START_PINNED } else { 0 };
                // CAST: The bits of the time, whose low three are zero.
                round_up(nanos) as u64 | START | abs | pinned
            }
        }
    }

    /// The operation that a word stands for; `None` for those that are none.
    #[inline]
    pub const fn decode(word: u64) -> Option<Self> {
        match word & CODE {
            EMPTY | DRAINING => None,
            NOP => Some(Self::Nop),
            CANCEL => Some(Self::Cancel),
            code => Some(Self::Start {
                // CAST: The bits of the time, as `encode` put them.
                nanos: (word & !CODE) as i64,
                flags: StartFlags {
                    abs: code & START_ABS != 0,
                    pinned: code & START_PINNED != 0,
                },
            }),
        }
    }
}
