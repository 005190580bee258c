// SPDX-License-Identifier: GPL-2.0

//! Lock-less, null-terminated, singly linked lists.
//!
//! Any context can add a node, NMI included. A consumer takes the whole list at once.
//!
//! C header: [`include/linux/llist.h`](srctree/include/linux/llist.h)

use crate::{
    bindings,
    types::Opaque, //
};
use core::ptr::NonNull;

/// A list of nodes that live inside other objects.
///
/// Wraps the kernel's C `struct llist_head`.
///
/// # Invariants
///
/// Until a [`RawBatch`] returns it, each node on the list is valid and on no other list, and only
/// the list accesses it.
#[doc(alias = "llist_head")]
#[repr(transparent)]
pub struct RawList(Opaque<bindings::llist_head>);

// SAFETY: All operations on an `llist_head` that are offered here may run concurrently.
unsafe impl Sync for RawList {}

impl RawList {
    /// Uses a C `struct llist_head`.
    ///
    /// # Safety
    ///
    /// `head` must be valid and initialised for `'a`, and must only be used in ways that keep the
    /// invariants of [`RawList`].
    #[inline]
    pub unsafe fn from_ptr<'a>(head: *mut bindings::llist_head) -> &'a Self {
        // CAST: `RawList` is transparent over `llist_head`.
        // INVARIANT: The caller guarantees them.
        // SAFETY: The caller guarantees that the head is valid.
        unsafe { &*head.cast::<Self>() }
    }

    /// Returns whether the list is empty.
    ///
    /// Any context; no memory ordering.
    #[doc(alias = "llist_empty")]
    #[inline]
    pub fn is_empty(&self) -> bool {
        // SAFETY: The caller of `from_ptr` guarantees that the head is valid.
        unsafe { bindings::llist_empty(self.0.get()) }
    }

    /// Adds a node at the front.
    ///
    /// Returns whether the list was empty.
    ///
    /// A fully ordered atomic read-modify-write: the consumer sees what was written to the node's
    /// object before. Any context, NMI included.
    ///
    /// # Safety
    ///
    /// - `node` must be valid and on no list.
    /// - Until a [`RawBatch`] returns it, it must stay valid and where it is, and only this list
    ///   may access it.
    #[doc(alias = "llist_add")]
    #[inline]
    pub unsafe fn add(&self, node: NonNull<bindings::llist_node>) -> bool {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: `node` is valid by the safety requirements, and the head by those of `from_ptr`.
        unsafe { bindings::llist_add(node.as_ptr(), self.0.get()) }
    }

    /// Takes all nodes, the newest first.
    ///
    /// Any context; a fully ordered atomic exchange.
    #[doc(alias = "llist_del_all")]
    #[inline]
    pub fn del_all(&self) -> RawBatch {
        // SAFETY: The caller of `from_ptr` guarantees that the head is valid.
        // INVARIANT: The nodes were on this list, and are on no list now.
        RawBatch(unsafe { bindings::llist_del_all(self.0.get()) })
    }
}

/// The nodes that were taken from a [`RawList`].
///
/// The iterator reads the next node before it returns one, so that the caller can free the node or
/// add it to another list.
///
/// # Invariants
///
/// The pointer is null, or points to a chain of valid nodes that no other context uses.
#[must_use = "nodes that are not returned are lost"]
pub struct RawBatch(*mut bindings::llist_node);

impl RawBatch {
    /// Reverses the order: the oldest node first.
    #[doc(alias = "llist_reverse_order")]
    #[inline]
    pub fn reverse(self) -> Self {
        // SAFETY: By the type invariants this is a chain of valid nodes that no other context uses.
        // INVARIANT: The same nodes, in another order.
        Self(unsafe { bindings::llist_reverse_order(self.0) })
    }
}

impl Iterator for RawBatch {
    type Item = NonNull<bindings::llist_node>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let node = NonNull::new(self.0)?;
        // SAFETY: By the type invariants the node is valid.
        // INVARIANT: The rest of the chain.
        self.0 = unsafe { (*node.as_ptr()).next };
        Some(node)
    }
}

#[cfg(CONFIG_RUST_LLIST_KUNIT_TEST)]
#[macros::kunit_tests(rust_llist)]
mod tests {
    use super::*;
    use crate::prelude::*;

    #[repr(C)]
    struct Item {
        node: Opaque<bindings::llist_node>,
        number: usize,
    }

    impl Item {
        fn node(&self) -> NonNull<bindings::llist_node> {
            NonNull::from(self).cast()
        }
    }

    fn items() -> Result<KVec<Item>> {
        let mut items = KVec::with_capacity(10, GFP_KERNEL)?;
        for number in 0..10 {
            let node = Opaque::uninit();
            items.push(Item { node, number }, GFP_KERNEL)?;
        }
        Ok(items)
    }

    fn number(node: NonNull<bindings::llist_node>) -> usize {
        // CAST: The node is the first field.
        // SAFETY: Each test keeps its items until it ends.
        unsafe { node.cast::<Item>().as_ref() }.number
    }

    /// Nodes are returned in the order in which they were added, each once.
    #[test]
    fn oldest_first() -> Result {
        let items = items()?;
        let head = Opaque::<bindings::llist_head>::zeroed();
        // SAFETY: An empty list is zero, and only this test uses it.
        let list = unsafe { RawList::from_ptr(head.get()) };
        for item in &items {
            // SAFETY: The item is on no list and stays until the test ends.
            assert_eq!(unsafe { list.add(item.node()) }, item.number == 0);
        }
        assert!(!list.is_empty());
        let mut next = 0;
        for node in list.del_all().reverse() {
            assert_eq!(number(node), next);
            next += 1;
        }
        assert_eq!(next, 10);
        assert!(list.is_empty() && list.del_all().next().is_none());
        Ok(())
    }

    /// A node that was returned can be added again at once.
    #[test]
    fn added_again_while_iterating() -> Result {
        let items = items()?;
        let head = Opaque::<bindings::llist_head>::zeroed();
        // SAFETY: An empty list is zero, and only this test uses it.
        let list = unsafe { RawList::from_ptr(head.get()) };
        for item in &items {
            // SAFETY: The item is on no list and stays until the test ends.
            unsafe { list.add(item.node()) };
        }
        for node in list.del_all() {
            // SAFETY: The node was returned, and stays until the test ends.
            unsafe { list.add(node) };
        }
        // Both the batch and the list have reversed the order.
        let mut next = 10;
        for node in list.del_all().reverse() {
            next -= 1;
            assert_eq!(number(node), next);
        }
        assert_eq!(next, 0);
        Ok(())
    }
}
