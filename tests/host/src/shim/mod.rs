// SPDX-License-Identifier: GPL-2.0

//! The kernel, as far as the files that are modelled use it.

pub mod atomic;
pub mod bindings;
pub mod prog;
pub mod world;

/// `kernel::prelude`.
pub mod prelude {
    pub use crate::{shim::error::*, static_assert};
    pub use core::{
        ffi::{c_int, c_void},
        mem::{align_of, size_of},
    };
    pub type KBox<T> = std::boxed::Box<T>;
}

/// `kernel::error`.
pub mod error {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Error(i32);

    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    pub const ENOENT: Error = Error(-2);
    pub const EPERM: Error = Error(-1);
    pub const ENOMEM: Error = Error(-12);
    pub const EBUSY: Error = Error(-16);
    pub const EINVAL: Error = Error(-22);
    pub const EDEADLK: Error = Error(-35);
    pub const EOPNOTSUPP: Error = Error(-95);
    pub const ECANCELED: Error = Error(-125);
}

#[macro_export]
macro_rules! static_assert {
    ($condition:expr) => {
        const _: () = assert!($condition);
    };
}

#[macro_export]
macro_rules! container_of {
    ($field:expr, $type:ty, $name:ident) => {
        $field
            .cast::<u8>()
            .wrapping_sub(core::mem::offset_of!($type, $name))
            .cast::<$type>()
    };
}

/// `kernel::types`.
pub mod types {
    use core::{cell::UnsafeCell, mem::MaybeUninit};

    #[repr(transparent)]
    pub struct Opaque<T>(UnsafeCell<MaybeUninit<T>>);

    impl<T> Opaque<T> {
        pub const fn uninit() -> Self {
            Self(UnsafeCell::new(MaybeUninit::uninit()))
        }

        pub const fn get(&self) -> *mut T {
            self.0.get().cast()
        }
    }
}

/// `kernel::processor`.
pub mod processor {
    pub fn cpu_relax() {
        loom::thread::yield_now();
    }
}

/// `kernel::irq_work`.
pub mod irq_work {
    use super::bindings::irq_work;

    pub unsafe fn queue(work: *mut irq_work) -> bool {
        // SAFETY: The caller's.
        !unsafe { &*work }.raised.replace(true)
    }
}

/// `kernel::sync`.
pub mod sync {
    pub use super::atomic::{self, Refcount};

    pub mod barrier {
        pub fn smp_mb(_: super::atomic::Full) {
            super::atomic::smp_mb();
        }
    }

    pub mod rcu {
        use crate::shim::world::world;
        use core::marker::PhantomData;

        pub struct Guard(PhantomData<*mut ()>);

        pub fn read_lock() -> Guard {
            world().read_lock();
            Guard(PhantomData)
        }

        impl Drop for Guard {
            fn drop(&mut self) {
                world().read_unlock();
            }
        }

        /// For the mutations: no read side, but what says that there is one.
        pub fn no_lock() -> core::mem::ManuallyDrop<Guard> {
            core::mem::ManuallyDrop::new(Guard(PhantomData))
        }

        /// As `rcu::Guard`: for a grace period it makes no difference how a reader is one.
        pub mod sched {
            pub unsafe trait ReadSide {}

            // SAFETY: A read side.
            unsafe impl ReadSide for super::Guard {}
            // SAFETY: Not one, which is what it is for.
            unsafe impl ReadSide for core::mem::ManuallyDrop<super::Guard> {}

            pub struct Guard(#[allow(dead_code)] super::Guard);

            // SAFETY: A read side.
            unsafe impl ReadSide for Guard {}

            impl Guard {
                pub fn into_rcu(self) -> super::Guard {
                    super::read_lock()
                }
            }

            pub fn read_lock() -> Guard {
                Guard(super::read_lock())
            }

            /// What the context is anyway has to be said here.
            pub struct Implied(super::Guard);

            // SAFETY: A read side.
            unsafe impl ReadSide for Implied {}

            impl Implied {
                pub unsafe fn new() -> Self {
                    Self(super::read_lock())
                }
            }

            /// For the mutations.
            pub use super::no_lock;
        }

        pub mod callback {
            use crate::{bindings::callback_head, shim::world::world};

            pub type CallbackFn = unsafe extern "C" fn(head: *mut callback_head);

            pub unsafe fn call_rcu(head: *mut callback_head, func: CallbackFn) {
                world().may_lock("call_rcu()");
                world().queue_link(head as usize, true);
                world().call_rcu(move || {
                    world().queue_link(head as usize, false);
                    // SAFETY: The caller's.
                    unsafe { func(head) };
                });
            }

            pub use call_rcu as call_rcu_hurry;
        }

        /// Not modelled: nothing in these models is freed by this flavour.
        pub mod tasks_trace {
            pub struct Guard;

            pub fn read_lock() -> Guard {
                Guard
            }
        }
    }
}

/// `kernel::time`.
pub mod time {
    pub mod hrtimer {
        pub mod raw {
            use crate::{bindings, types::Opaque};
            use core::ffi::c_int;

            #[derive(Clone, Copy)]
            pub enum Clock {
                Monotonic,
            }

            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct Mode(u64);

            impl Mode {
                pub const ABS: Self = Self(4);
                pub const REL: Self = Self(5);
                pub const SOFT_BIT: u64 = 4;
                pub const REL_BIT: u64 = 1;
                pub const PINNED_BIT: u64 = 2;

                pub const fn from_bits(bits: u64) -> Self {
                    Self(4 | bits & 3)
                }

                pub const fn bits(self) -> u64 {
                    self.0
                }

                pub const fn is_abs(self) -> bool {
                    self.0 & 1 == 0
                }
            }

            pub type Function =
                unsafe extern "C" fn(*mut bindings::hrtimer) -> bindings::hrtimer_restart;

            #[repr(transparent)]
            pub struct RawHrTimer(Opaque<bindings::hrtimer>);

            impl RawHrTimer {
                pub unsafe fn setup(this: *mut Self, function: Function, _: Clock, _: Mode) {
                    // SAFETY: The caller's.
                    unsafe { bindings::hrtimer_setup(this.cast(), function) }
                }

                pub unsafe fn start(&self, nanos: i64, _: Mode) {
                    // SAFETY: The caller's.
                    unsafe { bindings::hrtimer_start(self.0.get(), nanos) }
                }

                pub fn try_to_cancel(&self) -> c_int {
                    // SAFETY: It is set up.
                    unsafe { bindings::hrtimer_try_to_cancel(self.0.get()) }
                }

                pub fn is_queued(&self) -> bool {
                    // SAFETY: It is set up.
                    unsafe { bindings::hrtimer_is_queued(self.0.get()) }
                }

                pub fn as_ptr(&self) -> *mut bindings::hrtimer {
                    self.0.get()
                }

                /// Nothing is traced here.
                pub fn runs_here(&self) -> bool {
                    false
                }

                pub fn cancel(&self) -> c_int {
                    // SAFETY: It is set up.
                    unsafe { bindings::hrtimer_cancel(self.0.get()) }
                }
            }
        }
    }
}
