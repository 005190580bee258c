// SPDX-License-Identifier: GPL-2.0

//! `bpf/prog_ref.rs`, as far as a drain uses it: no model puts one on its list.

use crate::bindings::llist_node;
use core::ptr::NonNull;

pub struct ProgRef;

impl ProgRef {
    pub(crate) unsafe fn from_node(_node: NonNull<llist_node>) -> Self {
        unreachable!("no program is queued");
    }

    pub(crate) fn put_now(self) {}
}
