// SPDX-License-Identifier: GPL-2.0

//! Models of `bpf_timer` and `bpf_wq`, explored with loom: see `README.md`.
//!
//! To the kernel's files, which are compiled here, this crate is the `kernel` crate.

#![cfg(test)]
#![allow(dead_code, unused_imports, unreachable_pub, non_camel_case_types)]
#![allow(non_upper_case_globals, unexpected_cfgs)]

mod shim;

pub use shim::{atomic, bindings, irq_work, prelude, processor, sync, time, types};

mod models;

include!(concat!(env!("OUT_DIR"), "/kernel.rs"));
