// SPDX-License-Identifier: GPL-2.0

//! `bpf/prog.rs`, as far as a drain uses it: no model has a program that waits for its last put.

use crate::bindings::llist_node;
use core::ptr::NonNull;

pub(crate) unsafe fn put_node(_node: NonNull<llist_node>) {
    unreachable!("no program is queued");
}
