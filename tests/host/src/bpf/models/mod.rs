// SPDX-License-Identifier: GPL-2.0

//! The models, and what they have in common.
//!
//! A thread of a model is a CPU's task, an interrupt or an NMI. What is left queued at the end of a
//! model is performed by [`settle_down`], as interrupts are enabled sooner or later.

mod callback;
mod deferred;
mod install;
mod lifetime;
mod order;
mod pending;
mod work;

use super::{
    async_cb::{AsyncCallback, Installed, Payload, Slot},
    callback::Callback,
    cpu::Cpu,
    drain::{drain, drain_late},
    pending::StartFlags,
    timer::{Timer, TimerCallback},
    work::{Held, HoldError, WorkCallback, WorkItem},
};
pub(crate) use crate::shim::{
    bindings::{armed, run_work, tick},
    world::{explore, failed, world},
};
use crate::{
    atomic::{Atomic, Full, Relaxed},
    prelude::*,
    shim::container::Container,
    sync::Refcount,
    time::hrtimer::raw::Clock,
    types::ForeignOwnable,
};
use core::{cell::Cell, ptr::NonNull};

pub(crate) const REL: StartFlags = StartFlags::REL;

/// What a program is here: it is freed a grace period after its last reference was dropped.
pub(crate) struct Prog {
    refs: Refcount,
    /// How often it was called.
    pub(crate) calls: Cell<u32>,
    /// What it does then.
    pub(crate) action: Cell<Option<fn(&Prog)>>,
}

// SAFETY: All threads of a model are one thread of the host.
unsafe impl Sync for Prog {}

impl Prog {
    /// A program, with one reference.
    pub(crate) fn new() -> &'static Self {
        let this: *mut Self = world().alloc("a program", size_of::<Self>()).cast();
        // SAFETY: The memory has its size, and stays until the end of the execution.
        unsafe {
            this.write(Self {
                refs: Refcount::new(1),
                calls: Cell::new(0),
                action: Cell::new(None),
            });
            &*this
        }
    }

    /// The owner of the reference that [`Prog::new`] gave.
    pub(crate) fn owner(&'static self) -> Owner {
        Owner(self)
    }

    fn touch(&self) {
        world().touch(core::ptr::from_ref(self) as usize);
        world().touch(core::ptr::from_ref(&self.calls) as usize);
    }

    fn call(&self) {
        self.touch();
        self.calls.set(self.calls.get() + 1);
        if let Some(action) = self.action.get() {
            action(self);
        }
        self.touch();
    }
}

/// A reference to a program.
pub(crate) struct Owner(&'static Prog);

impl Owner {
    pub(crate) fn is(&self, prog: &Prog) -> bool {
        core::ptr::eq(self.0, prog)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        world().may_put();
        self.0.touch();
        if self.0.refs.dec_and_test() && !failed() {
            let this = core::ptr::from_ref(self.0).cast_mut();
            world().call_rcu(move || world().free(this.cast()));
        }
    }
}

// SAFETY: The pointer is that of a program, which is aligned.
unsafe impl ForeignOwnable for Owner {
    const FOREIGN_ALIGN: usize = 8;
    type Borrowed<'a> = &'a Prog;

    fn into_foreign(self) -> *mut c_void {
        let this = core::ptr::from_ref(self.0).cast_mut();
        core::mem::forget(self);
        this.cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: The pointer comes from `into_foreign`.
        Self(unsafe { &*ptr.cast() })
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a Prog {
        // SAFETY: The pointer comes from `into_foreign`.
        unsafe { &*ptr.cast() }
    }
}

// SAFETY: A program is freed after a grace period.
unsafe impl Callback for Owner {}

impl AsyncCallback for Owner {
    type Container = Map;
}

impl TimerCallback for Owner {
    fn call(installed: Installed<'_, Self>) {
        installed.container().touch();
        installed.callback().call();
        installed.container().touch();
    }
}

impl WorkCallback for Owner {
    type Refs = Owner;
    type Some = Owner;

    /// As that of `ProgCallback`: a program without references was replaced, or everything is
    /// going away; and a map may be without references.
    fn hold(installed: &Installed<'_, Self>) -> Result<Owner, HoldError<Owner>> {
        installed.container().touch();
        let prog: &Prog = installed.callback();
        // SAFETY: A program's memory stays until the end of the execution; whether it was freed
        // is checked.
        let prog: &'static Prog = unsafe { &*core::ptr::from_ref(prog) };
        prog.touch();
        if !prog.refs.inc_not_zero() {
            // Whatever took the reference away is seen some time.
            loom::thread::yield_now();
            return Err(HoldError::Replaced);
        }
        if installed.container().gone.load(Relaxed) {
            return Err(HoldError::Gone(Owner(prog)));
        }
        Ok(Owner(prog))
    }

    fn call(held: &Held<'_, Self>) {
        held.refs().0.call();
    }
}

/// What a map is here.
pub(crate) struct Map {
    pub(crate) closed: Atomic<bool>,
    /// Without a reference.
    pub(crate) gone: Atomic<bool>,
}

impl Map {
    pub(crate) fn new() -> &'static Self {
        let this: *mut Self = world().alloc("a map", size_of::<Self>()).cast();
        // SAFETY: The memory has its size, and stays until the end of the execution.
        unsafe {
            this.write(Self {
                closed: Atomic::new(false),
                gone: Atomic::new(false),
            });
            &*this
        }
    }

    fn touch(&self) {
        world().touch(core::ptr::from_ref(self) as usize);
    }

    /// Frees it after a grace period.
    pub(crate) fn free(&'static self) {
        let this = core::ptr::from_ref(self).cast_mut();
        world().call_rcu(move || world().free(this.cast()));
    }
}

// SAFETY: The models free a map after its objects, and after a grace period.
unsafe impl Container for Map {
    const TRACKED: bool = false;

    fn allocate(&self, size: usize) -> Result<NonNull<c_void>> {
        NonNull::new(world().alloc("an object", size).cast()).ok_or(ENOMEM)
    }

    fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}

pub(crate) type TimerSlot = Slot<Timer, Owner>;
pub(crate) type WorkSlot = Slot<WorkItem, Owner>;

pub(crate) fn empty_slot<P: Payload<Owner>>() -> &'static Slot<P, Owner> {
    world().keep(Slot::new())
}

pub(crate) fn init<P: Payload<Owner>>(
    slot: &'static Slot<P, Owner>,
    map: &'static Map,
    config: P::Config,
) -> Result {
    // SAFETY: The models free a map after its objects; the value is not used.
    unsafe { slot.init_in(map, core::ptr::null_mut(), config) }
}

/// A slot with a timer that has a callback.
pub(crate) fn timer(map: &'static Map) -> (&'static TimerSlot, &'static Prog) {
    let (slot, prog) = (empty_slot(), Prog::new());
    init(slot, map, Clock::Monotonic).unwrap();
    slot.set_callback(map, prog.owner()).unwrap();
    (slot, prog)
}

/// A slot with a work item that has a callback.
pub(crate) fn work(map: &'static Map) -> (&'static WorkSlot, &'static Prog) {
    let (slot, prog) = (empty_slot(), Prog::new());
    init(slot, map, ()).unwrap();
    slot.set_callback(map, prog.owner()).unwrap();
    (slot, prog)
}

/// A thread on a CPU.
pub(crate) fn on_cpu<R: 'static>(
    cpu: usize,
    f: impl FnOnce() -> R + 'static,
) -> loom::thread::JoinHandle<R> {
    loom::thread::spawn(move || {
        world().on_cpu(cpu);
        f()
    })
}

/// What a drain has left is done in task context; says whether there was anything.
fn late(cpu: *mut crate::bindings::bpf_async_cpu) -> bool {
    // SAFETY: It is that of a CPU.
    let (pending, this) = unsafe { (&(*cpu).late_pending, Cpu::from_ptr(cpu)) };
    let was_pending = pending.replace(false);
    if was_pending {
        world().interrupt(|| drain_late(this));
    }
    was_pending
}

/// What was held back on `cpu` while interrupts were disabled, or an interrupt for nothing.
pub(crate) fn interrupt(cpu: usize) {
    let cpu = core::ptr::from_ref(&*world().cpus[cpu]).cast_mut();
    loop {
        // SAFETY: It is that of a CPU.
        let (work, this) = unsafe { (&(*cpu).work, Cpu::from_ptr(cpu)) };
        work.raised.set(false);
        world().interrupt(|| drain(this));
        if failed() || !work.raised.get() && !late(cpu) {
            break;
        }
    }
}

/// Runs `f` on `cpu` with interrupts disabled, and enables them again.
pub(crate) fn deferred<R>(cpu: usize, f: impl FnOnce() -> R) -> R {
    world().on_cpu(cpu);
    let result = world().irqs_off(f);
    interrupt(cpu);
    result
}

/// All interrupts that are left.
pub(crate) fn settle_down() {
    for cpu in [0, 1] {
        world().on_cpu(cpu);
        interrupt(cpu);
    }
}
