// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics on loom's.
//!
//! `Full` is a fence before, acquire and release, and a fence after. A compare and exchange that
//! fails gives no order after it; what it gives before it, the kernel's does not. A load of a
//! pointer is an acquire: loom knows no dependencies.

use super::world::{failed, world};
use loom::sync::atomic::{fence, AtomicU64, Ordering};
use std::cell::Cell;

/// An ordering.
pub trait Order {
    const LOAD: Ordering = Ordering::Relaxed;
    const STORE: Ordering = Ordering::Relaxed;
    const RMW: Ordering;
    const FULL: bool = false;
}

pub struct Relaxed;
pub struct Acquire;
pub struct Release;
pub struct Full;

impl Order for Relaxed {
    const RMW: Ordering = Ordering::Relaxed;
}

impl Order for Acquire {
    const LOAD: Ordering = Ordering::Acquire;
    const RMW: Ordering = Ordering::Acquire;
}

impl Order for Release {
    const STORE: Ordering = Ordering::Release;
    const RMW: Ordering = Ordering::Release;
}

impl Order for Full {
    const RMW: Ordering = Ordering::AcqRel;
    const FULL: bool = true;
}

fn barrier<O: Order>() {
    if O::FULL && !failed() {
        fence(Ordering::SeqCst);
    }
}

/// `smp_mb()`.
pub fn smp_mb() {
    barrier::<Full>();
}

/// What fits into a word.
pub trait Word: Copy {
    const POINTER: bool = false;
    fn bits(self) -> u64;
    fn of(bits: u64) -> Self;
}

macro_rules! words {
    ($($t:ty),*) => {
        $(impl Word for $t {
            fn bits(self) -> u64 {
                self as i64 as u64
            }
            fn of(bits: u64) -> Self {
                bits as $t
            }
        })*
    };
}

words!(i8, i16, i32, i64, u32, u64, usize);

impl Word for bool {
    fn bits(self) -> u64 {
        u64::from(self)
    }
    fn of(bits: u64) -> Self {
        bits != 0
    }
}

impl<T> Word for *mut T {
    const POINTER: bool = true;
    fn bits(self) -> u64 {
        self as u64
    }
    fn of(bits: u64) -> Self {
        bits as Self
    }
}

#[derive(Clone, Copy)]
enum Place {
    /// Not accessed yet.
    None,
    /// In the pool of the world.
    Pool(usize),
    /// Here: it belongs to one CPU, and its accesses are not explored.
    Cpu,
}

/// An atomic. It can be made at compile time, which loom's cannot: it gets one when it is accessed
/// first. Those are older than all threads and hold zero, so that what one holds is the difference
/// to the value here.
pub struct Atomic<T> {
    value: Cell<T>,
    place: Cell<Place>,
}

// SAFETY: All threads of a model are one thread of the host.
unsafe impl<T> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Atomic<T> {}

impl<T> Atomic<T> {
    pub const fn new(value: T) -> Self {
        Self {
            value: Cell::new(value),
            place: Cell::new(Place::None),
        }
    }

    /// One that belongs to one CPU.
    pub const fn of_cpu(value: T) -> Self {
        Self {
            value: Cell::new(value),
            place: Cell::new(Place::Cpu),
        }
    }

    /// # Safety
    ///
    /// It must be valid.
    pub unsafe fn from_ptr<'a>(this: *mut Self) -> &'a Self {
        // SAFETY: By the safety requirements of this function.
        unsafe { &*this }
    }
}

impl<T: Word> Atomic<T> {
    fn atomic(&self) -> Option<&'static AtomicU64> {
        if failed() {
            return None;
        }
        let index = match self.place.get() {
            Place::Cpu => return None,
            Place::Pool(index) => index,
            Place::None => world().atomic(),
        };
        self.place.set(Place::Pool(index));
        world().touch(core::ptr::from_ref(self) as usize);
        Some(world().pooled(index))
    }

    fn stored(&self, value: T) -> u64 {
        value.bits().wrapping_sub(self.value.get().bits())
    }

    fn value(&self, stored: u64) -> T {
        world().touched(core::ptr::from_ref(self) as usize);
        T::of(self.value.get().bits().wrapping_add(stored))
    }

    pub fn load<O: Order>(&self, _: O) -> T {
        let order = if T::POINTER {
            Ordering::Acquire
        } else {
            O::LOAD
        };
        match self.atomic() {
            Some(atomic) => self.value(atomic.load(order)),
            None => self.value.get(),
        }
    }

    pub fn store<O: Order>(&self, value: T, _: O) {
        match self.atomic() {
            Some(atomic) => {
                atomic.store(self.stored(value), O::STORE);
                self.value(0);
            }
            None => self.value.set(value),
        }
    }

    fn rmw<O: Order>(&self, plain: T, f: impl FnOnce(&AtomicU64) -> u64) -> T {
        let Some(atomic) = self.atomic() else {
            return self.value.replace(plain);
        };
        barrier::<O>();
        let old = f(atomic);
        barrier::<O>();
        self.value(old)
    }

    pub fn xchg<O: Order>(&self, value: T, _: O) -> T {
        self.rmw::<O>(value, |a| a.swap(self.stored(value), O::RMW))
    }

    pub fn add(&self, value: T, order: Relaxed) {
        self.fetch_add(value, order);
    }

    pub fn fetch_add<O: Order>(&self, value: T, _: O) -> T {
        let sum = T::of(self.value.get().bits().wrapping_add(value.bits()));
        self.rmw::<O>(sum, |a| a.fetch_add(value.bits(), O::RMW))
    }

    pub fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
        let Some(atomic) = self.atomic() else {
            return Ok(self.value.replace(new));
        };
        barrier::<O>();
        let (old, new) = (self.stored(old), self.stored(new));
        let result = atomic.compare_exchange(old, new, O::RMW, Ordering::Relaxed);
        if result.is_ok() {
            barrier::<O>();
        }
        result
            .map(|old| self.value(old))
            .map_err(|old| self.value(old))
    }
}

/// A reference count.
pub struct Refcount(Atomic<i32>);

impl Refcount {
    pub fn new(value: i32) -> Self {
        Self(Atomic::new(value))
    }

    pub fn inc(&self) {
        let old = self.0.fetch_add(1, Relaxed);
        assert!(failed() || old > 0, "a reference from nothing");
    }

    /// No ordering, as in the kernel.
    pub fn inc_not_zero(&self) -> bool {
        // One is what it mostly is: a good guess saves a load.
        let mut old = 1;
        while old != 0 {
            match self.0.cmpxchg(old, old + 1, Relaxed) {
                Ok(_) => return true,
                Err(seen) => old = seen,
            }
        }
        false
    }

    /// Release, and acquire when it was the last.
    pub fn dec_and_test(&self) -> bool {
        let old = self.0.fetch_add(-1, Release);
        assert!(failed() || old > 0, "a reference is dropped twice");
        if old == 1 && !failed() {
            fence(Ordering::Acquire);
        }
        old == 1
    }

    pub fn as_atomic(&self) -> &Atomic<i32> {
        &self.0
    }

    pub fn read_acquire(&self) -> u32 {
        self.0.load(Acquire) as u32
    }

    /// For the mutations.
    pub fn read(&self) -> u32 {
        self.0.load(Relaxed) as u32
    }
}
