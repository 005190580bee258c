// SPDX-License-Identifier: GPL-2.0

//! Callbacks that wait for other timers' callbacks, and must not wait for each other.

use super::deferred::Head;
use crate::{
    prelude::*,
    sync::atomic::{
        Full,
        Relaxed, //
    },
};

/// Counts a callback that is about to wait for another timer's, for as long as it exists.
pub(super) struct Cancelling<'a>(&'a Head);

impl<'a> Cancelling<'a> {
    /// # Errors
    ///
    /// `EDEADLK` when somebody is about to wait for `running`'s callback, which is the caller:
    /// it might be `target`'s, or one that waits for it.
    pub(super) fn new(target: &'a Head, running: &Head) -> Result<Self> {
        let this = Self(target);
        // Fully ordered: of two callbacks that cancel each other one at least sees the other.
        // Litmus: cancelling, cancelling-three.
        this.add(1);
        if running.cancelling.load(Relaxed) != 0 {
            return Err(EDEADLK);
        }
        Ok(this)
    }

    fn add(&self, delta: i16) {
        let count = &self.0.cancelling;
        let mut old = count.load(Relaxed);
        // An `i16` cannot be added to atomically. At most one callback a CPU is in here, so that the
        // count cannot overflow, and the loop ends.
        while let Err(seen) = count.cmpxchg(old, old.wrapping_add(delta), Full) {
            old = seen;
        }
    }
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        self.add(-1);
    }
}
