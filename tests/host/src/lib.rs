// SPDX-License-Identifier: GPL-2.0

//! Models of `bpf_timer` and `bpf_wq`, explored with loom: see `README.md`.
//!
//! To the kernel's files, which are compiled here as they are, this crate is the `kernel` crate.

#![cfg(test)]
#![allow(dead_code, unused_imports, unreachable_pub, non_camel_case_types)]
#![allow(non_upper_case_globals, unexpected_cfgs)]

mod shim;

pub use shim::{atomic, bindings, irq_work, prelude, processor, sync, time, types};

include!(concat!(env!("OUT_DIR"), "/llist_mod.rs"));

mod bpf {
    include!(concat!(env!("OUT_DIR"), "/bpf_mod.rs"));

    pub(crate) use crate::shim::{container, prog_ref};

    mod models;
}
