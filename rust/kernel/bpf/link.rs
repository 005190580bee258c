// SPDX-License-Identifier: GPL-2.0

//! The two words by which an object is queued: first for its operations, at last for RCU.
//!
//! While somebody holds a reference they are a list node and the slot of the pending operation.
//! When the last reference is gone nobody can touch either any more, and they become the
//! `rcu_head` of the grace period after which the object is freed.

use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::Atomic,
        rcu::callback::{
            call_rcu,
            call_rcu_hurry,
            Callback, //
        },
    },
    types::Opaque,
};
use core::ptr::NonNull;

/// A node on one of the lists of [`Cpu`](super::cpu::Cpu).
pub(super) type Node = NonNull<bindings::llist_node>;

/// List node and pending operation, or `rcu_head`.
#[repr(C)]
pub(super) struct Link {
    node: Opaque<bindings::llist_node>,
    pending: Atomic<u64>,
}

static_assert!(size_of::<Link>() == size_of::<bindings::callback_head>());
static_assert!(align_of::<Link>() == align_of::<bindings::callback_head>());

impl Link {
    /// A link with an empty slot, on no list.
    pub(super) fn new() -> Self {
        Self {
            node: Opaque::uninit(),
            pending: Atomic::new(0),
        }
    }

    /// The node; it is the first field, so that a node's address is its link's.
    #[inline]
    pub(super) fn node(this: NonNull<Self>) -> Node {
        this.cast()
    }

    /// The link of a node.
    #[inline]
    pub(super) fn from_node(node: Node) -> NonNull<Self> {
        node.cast()
    }

    /// The slot of the pending operation.
    #[inline]
    pub(super) fn pending(&self) -> &Atomic<u64> {
        &self.pending
    }

    /// Turns the link into an `rcu_head` and calls `func` with it after a grace period; `hurry` when
    /// somebody waits for that.
    ///
    /// # Safety
    ///
    /// There must be no reference left to the object of the link, and thus nobody who touches the
    /// link, on which no node may be on a list. Otherwise as [`call_rcu`].
    pub(super) unsafe fn call_rcu(this: NonNull<Self>, func: Callback, hurry: bool) {
        // CAST: Both assertions above: the link has the size and alignment of an `rcu_head`.
        let head = this.as_ptr().cast();
        if hurry {
            // SAFETY: By the safety requirements of this function.
            unsafe { call_rcu_hurry(head, func) }
        } else {
            // SAFETY: By the safety requirements of this function.
            unsafe { call_rcu(head, func) }
        }
    }
}
