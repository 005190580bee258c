// SPDX-License-Identifier: GPL-2.0

//! BPF timers (`bpf_timer`) and work items (`bpf_wq`).
//!
//! A program reaches an object through one pointer in a map value, and uses it from any context,
//! NMI included, without a lock. This is the Rust implementation of the `struct bpf_async_cb` part
//! of `kernel/bpf/helpers.c`:
//!
//! - `helpers`: what C calls.
//! - `timer`, `work`: the two kinds of objects.
//! - `async_cb`: the object and its slot, from init to the RCU callback that frees it. It has the
//!   callback word (`callback`), the pending operation (`pending`) and the queue of a CPU
//!   (`deferred`).
//! - `prog`, `map`: a subprogram as a callback, and a map as what objects belong to.
//! - [`domain`]: callbacks in Rust. Nothing above needs it.
//!
//! After "Litmus:" in a comment stand the names of herd7 tests of an ordering.
//!
//! See also `Documentation/bpf/rust_async.rst`.

mod async_cb;
pub mod domain;
mod helpers;
mod map;
mod prog;
mod timer;
mod work;
