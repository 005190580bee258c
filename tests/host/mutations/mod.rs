// SPDX-License-Identifier: GPL-2.0

//! Each breaks the kernel's files in one way that a model has to find: `build.rs` makes the change,
//! `tests/mutants.rs` runs the model.

mod deferred;
mod lifetime;
mod order;
mod work;

/// A change for the worse. Each of its two users reads a part.
///
/// The text that a mutation puts in place is wrong on purpose, so its `unsafe` has no SAFETY comment:
/// it would not be true.
#[allow(dead_code)]
pub struct Mutation {
    pub name: &'static str,
    /// The model that fails.
    pub model: &'static str,
    /// What is in the message then.
    pub says: &'static str,
    /// File, text that is there once, what is put in its place.
    pub changes: &'static [(&'static str, &'static str, &'static str)],
}

const CALLBACK: &str = "bpf/async_cb/callback.rs";
const ASYNC_CB: &str = "bpf/async_cb.rs";
const DEFERRED: &str = "bpf/async_cb/deferred.rs";
const LLIST: &str = "llist.rs";
const PENDING: &str = "bpf/async_cb/pending.rs";
const TIMER: &str = "bpf/timer.rs";
const WORK: &str = "bpf/work.rs";

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Mutation> {
    let all = [
        lifetime::MUTATIONS,
        deferred::MUTATIONS,
        order::MUTATIONS,
        work::MUTATIONS,
    ];
    all.into_iter().flatten()
}
