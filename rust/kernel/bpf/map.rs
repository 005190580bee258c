// SPDX-License-Identifier: GPL-2.0

//! BPF maps, as far as timers and work items have to do with them.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use super::{
    container::Container,
    count, //
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
    ops::Deref,
    ptr::NonNull, //
};

/// A BPF map.
#[doc(alias = "bpf_map")]
#[repr(transparent)]
pub struct Map(Opaque<bindings::bpf_map>);

// SAFETY: What is used here of a map is atomic, or does not change after the map was made.
unsafe impl Sync for Map {}

impl Map {
    /// Uses a map that C points to.
    ///
    /// # Safety
    ///
    /// `map` must be valid for `'a`.
    #[inline]
    pub unsafe fn from_ptr<'a>(map: *mut bindings::bpf_map) -> &'a Self {
        // CAST: `Map` is transparent over `Opaque<bpf_map>`, which is over `bpf_map`.
        // SAFETY: By the safety requirements of this function.
        unsafe { &*map.cast() }
    }

    /// The map as C knows it.
    #[inline]
    pub fn as_ptr(&self) -> *mut bindings::bpf_map {
        self.0.get()
    }

    /// Takes a reference unless there is none left. Any context; a fully ordered atomic
    /// read-modify-write.
    #[doc(alias = "bpf_map_inc_not_zero")]
    #[inline]
    pub fn tryget(&self) -> Option<MapRef> {
        // INVARIANT: A reference was taken.
        count::inc_not_zero(self.refcnt()).then(|| MapRef(NonNull::from(self)))
    }

    #[inline]
    fn refcnt(&self) -> &Atomic<i64> {
        // SAFETY: The count lives as long as the map, and is only accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).refcnt.counter) }
    }

    /// The key of a value: for an array its index, which is put into `index`, else what stands
    /// before the value in the element.
    #[doc(alias = "map_key_from_value")]
    // The pointer is given to C, which does not look at what it points to.
    #[expect(clippy::not_unsafe_ptr_arg_deref)]
    #[inline]
    pub fn key_of_value(&self, value: *mut c_void, index: &mut MaybeUninit<u32>) -> *mut c_void {
        // SAFETY: The map is valid, and neither field changes.
        let (map_type, key_size) =
            unsafe { ((*self.as_ptr()).map_type, (*self.as_ptr()).key_size) };

        if map_type == bindings::bpf_map_type_BPF_MAP_TYPE_ARRAY {
            // SAFETY: The type says that the map is an array; the pointer is only compared.
            index.write(unsafe { bindings::bpf_async_array_index(self.as_ptr(), value) });
            return index.as_mut_ptr().cast();
        }
        value.wrapping_byte_sub((key_size as usize).wrapping_add(7) & !7)
    }

    /// Where the value begins that has a timer at `timer`.
    ///
    /// # Safety
    ///
    /// The values of the map must have a timer.
    #[inline]
    pub unsafe fn value_of_timer(&self, timer: *mut c_void) -> *mut c_void {
        // SAFETY: A map whose values have a timer has a record, which does not change.
        timer.wrapping_byte_sub(unsafe { (*(*self.as_ptr()).record).timer_off } as usize)
    }

    /// Where the value begins that has a work item at `wq`.
    ///
    /// # Safety
    ///
    /// The values of the map must have a work item.
    #[inline]
    pub unsafe fn value_of_wq(&self, wq: *mut c_void) -> *mut c_void {
        // SAFETY: A map whose values have a work item has a record, which does not change.
        wq.wrapping_byte_sub(unsafe { (*(*self.as_ptr()).record).wq_off } as usize)
    }
}

// SAFETY:
// - A map frees its objects when its last user reference goes, or element by element. If programs
//   use it directly, it has their references, and they are freed a grace period after the callbacks
//   they own were taken out of their objects. If it is an inner map, it is itself freed a grace
//   period after its last reference.
// - `bpf_map_kmalloc_nolock()` gives memory from `kmalloc_nolock()`.
unsafe impl Container for Map {
    const TRACKED: bool = false;

    fn allocate(&self, size: usize) -> Result<NonNull<c_void>> {
        // SAFETY: The map is valid.
        NonNull::new(unsafe { bindings::bpf_async_alloc(self.as_ptr(), size) }).ok_or(ENOMEM)
    }

    fn closed(&self) -> bool {
        // SAFETY: The count lives as long as the map, and is only accessed atomically.
        let usercnt = unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).usercnt.counter) };
        usercnt.load(Relaxed) == 0
    }
}

/// A reference to a BPF map. Putting the last one may sleep.
///
/// # Invariants
///
/// The map is valid, and there is one reference that belongs to this.
pub struct MapRef(NonNull<Map>);

// SAFETY: A map may be used and put by any thread.
unsafe impl Send for MapRef {}

impl Deref for MapRef {
    type Target = Map;

    fn deref(&self) -> &Map {
        // SAFETY: By the type invariants.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for MapRef {
    #[doc(alias = "bpf_map_put")]
    #[inline]
    fn drop(&mut self) {
        if !count::dec_unless_last(self.refcnt()) {
            // SAFETY: By the type invariants there is a reference, which is given up.
            unsafe { bindings::bpf_map_put(self.as_ptr()) };
        }
    }
}
