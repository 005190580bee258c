// SPDX-License-Identifier: GPL-2.0

//! The reference counts of programs and maps, which are C's, as far as nobody has to be told.

use crate::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};

/// Changes a count unless it is `stop`; returns whether it did. Any context; fully ordered when it
/// did, and otherwise a control dependency on the count.
#[inline]
fn add_unless(count: &Atomic<i64>, delta: i64, stop: i64) -> bool {
    let mut old = count.load(Relaxed);
    while old != stop {
        match count.cmpxchg(old, old.wrapping_add(delta), Full) {
            Ok(_) => return true,
            Err(seen) => old = seen,
        }
    }
    false
}

/// Takes a reference unless there is none left; returns whether it did.
#[inline]
#[must_use = "without an increment there is no reference"]
pub(super) fn inc_not_zero(count: &Atomic<i64>) -> bool {
    add_unless(count, 1, 0)
}

/// Drops a reference unless it is the last one; returns whether it did.
///
/// When it is the last one, the caller may use what is idle until the last reference was put.
/// Litmus: prog-put, prog-node.
#[inline]
#[must_use = "the last reference is still there"]
pub(super) fn dec_unless_last(count: &Atomic<i64>) -> bool {
    add_unless(count, -1, 1)
}
