// SPDX-License-Identifier: GPL-2.0

//! Lock-less, null-terminated, singly linked lists.
//!
//! Any number of contexts may add at the same time, NMI included; whoever consumes takes the whole
//! list at once, and so needs no lock either. [`List`] owns what it holds and is safe to use;
//! [`RawList`] links nodes that live inside other objects.
//!
//! C header: [`include/linux/llist.h`](srctree/include/linux/llist.h)

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

/// A list of nodes that live inside other objects.
///
/// Wraps the kernel's C `struct llist_head`.
///
/// # Invariants
///
/// Every node on the list is valid and on no other list, until a [`RawBatch`] hands it out.
#[doc(alias = "llist_head")]
#[repr(transparent)]
pub struct RawList(Opaque<bindings::llist_head>);

// SAFETY: An `llist_head` is one pointer, not bound to a thread.
unsafe impl Send for RawList {}

// SAFETY: All operations on an `llist_head` that are offered here may run concurrently.
unsafe impl Sync for RawList {}

impl RawList {
    /// Creates an empty list.
    pub fn new() -> Self {
        let list = Self(Opaque::uninit());
        // SAFETY: The pointer is valid for writes.
        // INVARIANT: There is no node on the list.
        unsafe { bindings::init_llist_head(list.0.get()) };
        list
    }

    /// Uses a C `struct llist_head`.
    ///
    /// # Safety
    ///
    /// `head` must be valid and initialised for `'a`, and must only be used in ways that keep the
    /// invariants of [`RawList`].
    #[inline]
    pub unsafe fn from_ptr<'a>(head: *mut bindings::llist_head) -> &'a Self {
        // CAST: `RawList` is transparent over `Opaque<llist_head>`, which is over `llist_head`.
        // SAFETY: By the safety requirements of this function.
        unsafe { &*head.cast::<Self>() }
    }

    /// Whether the list was empty when it was looked at. Any context; no memory ordering.
    #[doc(alias = "llist_empty")]
    #[inline]
    pub fn is_empty(&self) -> bool {
        // SAFETY: The pointer is valid.
        unsafe { bindings::llist_empty(self.0.get()) }
    }

    /// Adds a node at the front; returns whether the list was empty.
    ///
    /// A fully ordered atomic read-modify-write: whoever takes the node sees what was written to
    /// its object before. Any context, NMI included.
    ///
    /// # Safety
    ///
    /// `node` must be valid, on no list, and stay so until a [`RawBatch`] hands it out.
    #[doc(alias = "llist_add")]
    #[inline]
    pub unsafe fn add(&self, node: NonNull<bindings::llist_node>) -> bool {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: Both pointers are valid.
        unsafe { bindings::llist_add(node.as_ptr(), self.0.get()) }
    }

    /// Takes all nodes, the newest first. A fully ordered atomic exchange; any context.
    #[doc(alias = "llist_del_all")]
    #[inline]
    pub fn del_all(&self) -> RawBatch {
        // SAFETY: The pointer is valid.
        // INVARIANT: The nodes were on this list, and now are on none that others can see.
        RawBatch(unsafe { bindings::llist_del_all(self.0.get()) })
    }
}

impl Default for RawList {
    fn default() -> Self {
        Self::new()
    }
}

/// The nodes that were taken from a [`RawList`].
///
/// The iterator reads where the next node is *before* it hands out a node, so that the receiver
/// may free the node or add it to another list at once.
///
/// # Invariants
///
/// The pointer is null or points to a chain of valid nodes that nobody else touches.
#[must_use = "nodes that are not handed out are lost"]
pub struct RawBatch(*mut bindings::llist_node);

impl RawBatch {
    /// The node if there is exactly one, or else the batch as it was.
    #[inline]
    pub fn only(self) -> Result<NonNull<bindings::llist_node>, Self> {
        match NonNull::new(self.0) {
            // SAFETY: By the type invariants the node is valid.
            Some(node) if unsafe { (*node.as_ptr()).next }.is_null() => Ok(node),
            _ => Err(self),
        }
    }

    /// Turns the order around: the oldest first.
    #[doc(alias = "llist_reverse_order")]
    #[inline]
    pub fn reverse(self) -> Self {
        // SAFETY: By the type invariants this is a chain of valid nodes that is only ours.
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

/// A value with the link that a [`List`] needs.
#[repr(C)]
pub struct Item<T> {
    node: Opaque<bindings::llist_node>,
    value: T,
}

// SAFETY: The node is only used by the list that the item is on, if any.
unsafe impl<T: Send> Send for Item<T> {}

impl<T> Item<T> {
    /// Creates an item that is on no list.
    pub const fn new(value: T) -> Self {
        Self {
            node: Opaque::uninit(),
            value,
        }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> core::ops::Deref for Item<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> core::ops::DerefMut for Item<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A lock-less list that owns its items.
///
/// # Invariants
///
/// Every node on `raw` is the first field of an `Item<T>` that came from a [`KBox`] and that the
/// list owns.
///
/// # Examples
///
/// ```
/// use kernel::llist::{Item, List};
///
/// let list = List::new();
/// assert!(list.push(KBox::new(Item::new(1), GFP_KERNEL)?));
/// assert!(!list.push(KBox::new(Item::new(2), GFP_KERNEL)?));
///
/// let mut items = list.take_all();
/// assert_eq!(items.next().map(|item| **item), Some(1));
/// // What was not looked at is freed with the rest.
/// drop(items);
/// assert!(list.is_empty());
/// # Ok::<(), Error>(())
/// ```
pub struct List<T: Send> {
    raw: RawList,
    _items: PhantomData<KBox<Item<T>>>,
}

// SAFETY: A list only hands over items, which are `Send`, from one context to another.
unsafe impl<T: Send> Sync for List<T> {}

impl<T: Send> List<T> {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self {
            raw: RawList::new(),
            _items: PhantomData,
        }
    }

    /// Whether the list was empty when it was looked at.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Adds an item; returns whether the list was empty, and so whether somebody has to be told.
    ///
    /// Ordering and context are those of [`RawList::add`].
    pub fn push(&self, item: KBox<Item<T>>) -> bool {
        // CAST: `Item` is `repr(C)` with the node first, and `Opaque` has its layout.
        let node = NonNull::from(KBox::leak(item)).cast();
        // INVARIANT: The node belongs to an `Item<T>` from a `KBox` that the list owns from here.
        // SAFETY: The item is valid and was owned by the caller, and so is on no list.
        unsafe { self.raw.add(node) }
    }

    /// Takes all items, the oldest first. Ordering and context are those of [`RawList::del_all`].
    pub fn take_all(&self) -> Batch<T> {
        // INVARIANT: By those of `List`.
        Batch(self.raw.del_all().reverse(), PhantomData)
    }
}

impl<T: Send> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send> Drop for List<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// The items that were taken from a [`List`]; those that are left when it is dropped are freed.
///
/// # Invariants
///
/// Every node of the batch is the first field of an `Item<T>` from a [`KBox`] that it owns.
pub struct Batch<T: Send>(RawBatch, PhantomData<KBox<Item<T>>>);

impl<T: Send> Iterator for Batch<T> {
    type Item = KBox<Item<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        // CAST: By the type invariants the node is the first field of a `repr(C)` `Item<T>`.
        let item = self.0.next()?.cast::<Item<T>>();
        // SAFETY: By the type invariants the item came from a `KBox`, and the batch, which owned
        // it, gives it away here.
        Some(unsafe { KBox::from_raw(item.as_ptr()) })
    }
}

impl<T: Send> Drop for Batch<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

#[cfg(CONFIG_RUST_LLIST_KUNIT_TEST)]
#[macros::kunit_tests(rust_llist)]
mod tests {
    use super::*;
    use crate::sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    };

    struct Counted(Arc<Atomic<i32>>, u32);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.add(1, Relaxed);
        }
    }

    fn filled(drops: &Arc<Atomic<i32>>, count: u32) -> Result<List<Counted>> {
        let list = List::new();
        for n in 0..count {
            let was_empty = list.push(KBox::new(Item::new(Counted(drops.clone(), n)), GFP_KERNEL)?);
            assert_eq!(was_empty, n == 0);
        }
        Ok(list)
    }

    /// Items come out in the order in which they went in, each once.
    #[test]
    fn takes_in_order() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let list = filled(&drops, 10)?;
        let mut next = 0;
        for item in list.take_all() {
            assert_eq!(item.1, next);
            next += 1;
        }
        assert_eq!(next, 10);
        assert_eq!(drops.load(Relaxed), 10);
        assert!(list.is_empty());
        assert!(list.take_all().next().is_none());
        Ok(())
    }

    /// Whoever has been given an item may put it on a list at once.
    #[test]
    fn item_can_go_back_while_iterating() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let list = filled(&drops, 10)?;
        for item in list.take_all() {
            list.push(item);
        }
        assert_eq!(list.take_all().count(), 10);
        assert_eq!(drops.load(Relaxed), 10);
        Ok(())
    }

    /// What is left in a batch or in a list is freed with it.
    #[test]
    fn nothing_is_lost() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        drop(filled(&drops, 3)?);
        assert_eq!(drops.load(Relaxed), 3);
        let list = filled(&drops, 4)?;
        let mut batch = list.take_all();
        drop(batch.next());
        assert_eq!(drops.load(Relaxed), 4);
        drop(batch);
        assert_eq!(drops.load(Relaxed), 7);
        Ok(())
    }
}
