// SPDX-License-Identifier: GPL-2.0

//! BPF maps, as far as timers and work items need them.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use super::{
    async_cb::Container,
    prog::add_unless, //
};
use crate::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};

/// A BPF map.
///
/// # Invariants
///
/// The map was created, so that `map_type`, `key_size`, `record` and `numa_node` are constant, and
/// of an array also `value` and `elem_size`.
#[doc(alias = "bpf_map")]
#[repr(transparent)]
pub(crate) struct Map(Opaque<bindings::bpf_map>);

// SAFETY: What is used here of a map is atomic, or constant after it was created.
unsafe impl Sync for Map {}

impl Map {
    /// Returns the map at `map`.
    ///
    /// # Safety
    ///
    /// `map` must have been created, and be valid for `'a`.
    #[inline]
    pub(crate) unsafe fn from_ptr<'a>(map: *mut bindings::bpf_map) -> &'a Self {
        // CAST: `Map` is transparent over `bpf_map`.
        // INVARIANT: The map was created, as the caller guarantees.
        // SAFETY: By the safety requirements, `map` is valid.
        unsafe { &*map.cast() }
    }

    #[inline]
    fn refcnt(&self) -> &Atomic<i64> {
        // SAFETY: The count is valid for as long as the map, and is only accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).refcnt.counter) }
    }

    /// Takes a reference unless the last one is gone.
    ///
    /// Any context; Full.
    ///
    /// The C function asserts `rcu_read_lock()`; here the caller can have preemption disabled
    /// instead.
    #[doc(alias = "bpf_map_inc_not_zero")]
    #[inline]
    pub(crate) fn tryget(&self) -> Option<MapRef> {
        // INVARIANT: The reference was taken just now.
        add_unless(self.refcnt(), 1, 0).then(|| MapRef(NonNull::from(self)))
    }

    /// Returns the key of a value: for an array its index, which is stored in `index`, otherwise
    /// what precedes the value in the element.
    ///
    /// `value` is not accessed.
    #[doc(alias = "map_key_from_value")]
    #[inline]
    pub(crate) fn key_of_value(
        &self,
        value: *mut c_void,
        index: &mut MaybeUninit<u32>,
    ) -> *mut c_void {
        // SAFETY: Both fields are constant.
        let (map_type, key_size) = unsafe { ((*self.0.get()).map_type, (*self.0.get()).key_size) };

        if map_type == bindings::bpf_map_type_BPF_MAP_TYPE_ARRAY {
            // SAFETY: The type says that the map is an array. The helper only computes with
            // `value`.
            index.write(unsafe { bindings::bpf_async_array_index(self.0.get(), value) });
            return index.as_mut_ptr().cast();
        }
        value.wrapping_byte_sub((key_size as usize).wrapping_add(7) & !7)
    }

    /// Returns the value that has its timer at `timer`.
    ///
    /// # Safety
    ///
    /// The values of the map must have a timer.
    #[inline]
    pub(crate) unsafe fn value_of_timer(&self, timer: *mut bindings::bpf_timer) -> *mut c_void {
        // SAFETY: A map whose values have a timer has a record, which is constant.
        let offset = unsafe { (*(*self.0.get()).record).timer_off };
        timer.wrapping_byte_sub(offset as usize).cast()
    }

    /// Returns the value that has its work item at `wq`.
    ///
    /// # Safety
    ///
    /// The values of the map must have a work item.
    #[inline]
    pub(crate) unsafe fn value_of_wq(&self, wq: *mut bindings::bpf_wq) -> *mut c_void {
        // SAFETY: A map whose values have a work item has a record, which is constant.
        let offset = unsafe { (*(*self.0.get()).record).wq_off };
        wq.wrapping_byte_sub(offset as usize).cast()
    }
}

/// A reference to a map.
///
/// It is not an `ARef`: an RCU reader can see a map whose last reference is gone.
///
/// # Invariants
///
/// There is a reference to the map.
pub(crate) struct MapRef(NonNull<Map>);

impl MapRef {
    #[inline]
    pub(crate) fn map(&self) -> &Map {
        // SAFETY: By the type invariants there is a reference.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for MapRef {
    #[doc(alias = "bpf_map_put")]
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants there is a reference, which is given up.
        unsafe { bindings::bpf_map_put(self.map().0.get()) };
    }
}

// FIXME: A program that looks up a value, deletes it, and initialises a new object in it can have
// the value freed under the callback of that object, and an inner map before the object. A hash
// table empties the slot once more when it frees the value, but waits for no grace period between
// the two. The same holds for a value that a hash table's walk has missed. C depends on the same;
// see "Known limits" in Documentation/bpf/rust_async.rst.
//
// SAFETY:
// - `bpf_map_kmalloc_nolock()` returns memory of `kmalloc_nolock()`, of this size.
// - A map calls `cancel_and_free()` for each value before it goes. A program, which owns the
//   callback, keeps the maps that it uses until a grace period after it was released. A map that it
//   found in another one waits for a grace period after its last reference.
unsafe impl Container for Map {
    fn allocate(&self, size: usize) -> Option<NonNull<c_void>> {
        // SAFETY: The map is valid.
        NonNull::new(unsafe { bindings::bpf_async_alloc(self.0.get(), size) })
    }

    fn is_closed(&self) -> bool {
        // SAFETY: The count is valid for as long as the map, and is only accessed atomically.
        let usercnt = unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).usercnt.counter) };
        usercnt.load(Relaxed) == 0
    }
}
