// SPDX-License-Identifier: GPL-2.0

//! `bpf/container.rs`: the same trait; the real file needs the kernel's initialisers.

use super::world::world;
use crate::prelude::*;
use core::ptr::NonNull;

pub unsafe trait Container: Sync {
    const TRACKED: bool;

    fn allocate(&self, size: usize) -> Result<NonNull<c_void>>;

    unsafe fn deallocate(&self, ptr: NonNull<c_void>) {
        world().free(ptr.as_ptr().cast());
    }

    fn closed(&self) -> bool;
}

/// Not modelled.
pub struct Domain;

impl Domain {
    pub(crate) unsafe fn object_freed(_this: *const Self) {
        unreachable!("no model has one");
    }
}
