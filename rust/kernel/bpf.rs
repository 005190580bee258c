// SPDX-License-Identifier: GPL-2.0

//! BPF: timers (`bpf_timer`) and work items (`bpf_wq`) of programs.
//!
//! Both are objects that a program finds through one pointer in a map's value, and uses from any
//! context, NMI included, without a lock:
//!
//! - [`callback`]: a callback and its owner in one word.
//! - [`deferred`]: references, and operations that are performed later.
//! - [`async_cb`]: the object, its slot, its lifetime.
//! - [`timer`], [`work`]: the two kinds.
//!
//! All of these are generic over what is called, and over what holds the objects. For BPF that is a
//! subprogram ([`prog`]) and a map ([`map`]); for users in Rust it is a function with its data
//! ([`owner`]) and a [`Domain`](container::Domain).
//!
//! See also `Documentation/bpf/rust_async.rst`.

pub mod async_cb;
pub mod callback;
mod cancelling;
pub mod container;
mod count;
mod cpu;
pub mod deferred;
mod drain;
mod ffi;
pub mod install;
#[cfg(CONFIG_RUST_BPF_ASYNC_KUNIT_TEST)]
mod kunit;
mod link;
pub mod map;
pub mod owner;
pub mod pending;
mod perform;
pub mod prog;
pub mod prog_ref;
pub mod timer;
pub mod work;
