// SPDX-License-Identifier: GPL-2.0

//! The models, and what they have in common.
//!
//! A thread of a model is a CPU's task, an interrupt or an NMI. What is left queued at the end of a
//! model is performed by [`settle_down`], as interrupts are enabled sooner or later.

mod callback;
mod deferred;
mod lifetime;
mod order;
mod pending;
mod work;

pub(crate) use crate::shim::{
    bindings::{armed, run_work, tick},
    world::{explore, failed, world},
};
use crate::{
    atomic::{Atomic, Full, Relaxed},
    bindings,
    bpf::{
        async_cb::{AsyncCallback, Callback, CallbackRef, Container, Cpu, Payload, Slot},
        timer::{Timer, TimerCallback},
        work::{Acquired, WorkCallback, WorkFn, WorkItem},
    },
    prelude::*,
    sync::{
        rcu::{sched, tasks_trace},
        Refcount,
    },
    time::hrtimer::raw::{self, Clock, Mode},
};
use core::{cell::Cell, ptr::NonNull};

pub(crate) const REL: Mode = Mode::REL;

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
        self.0.touch();
        if self.0.refs.dec_and_test() && !failed() {
            let this = core::ptr::from_ref(self.0).cast_mut();
            world().call_rcu(move || world().free(this.cast()));
        }
    }
}

// SAFETY: All threads of a model are one thread of the host.
unsafe impl Sync for Owner {}

// SAFETY: The pointer is that of a program, which is aligned, and is freed after a grace period.
unsafe impl Callback for Owner {
    type Borrowed<'a> = &'a Prog;

    fn into_raw(self) -> *mut c_void {
        let this = core::ptr::from_ref(self.0).cast_mut();
        core::mem::forget(self);
        this.cast()
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a Prog {
        // SAFETY: The pointer comes from `into_raw`.
        unsafe { &*ptr.cast() }
    }

    unsafe fn release(ptr: *mut c_void) {
        // SAFETY: The pointer comes from `into_raw`.
        drop(Self(unsafe { &*ptr.cast() }));
    }
}

impl AsyncCallback for Owner {
    type Container = Map;
}

unsafe extern "C" fn timer_fn(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    // SAFETY: The timer is that of an object with callbacks `Owner`.
    unsafe { Timer::timer_fn::<Owner>(timer) }
}

unsafe extern "C" fn work_fn(work: *mut bindings::work_struct) {
    // SAFETY: The work is that of an object with callbacks `Owner`.
    unsafe { WorkItem::work_fn::<Owner>(work) }
}

// SAFETY: `timer_fn` only calls `Timer::timer_fn` for `Owner`.
unsafe impl TimerCallback for Owner {
    const TIMER_FN: raw::Function = timer_fn;

    unsafe fn call(callback: CallbackRef<'_, Self>) {
        callback.container.touch();
        callback.callback.call();
        callback.container.touch();
    }
}

// SAFETY: `work_fn` only calls `WorkItem::work_fn` for `Owner`.
unsafe impl WorkCallback for Owner {
    const WORK_FN: WorkFn = work_fn;
    type Refs<'t> = Owner;

    /// As that of `ProgCallback`: a program without references was replaced, or everything is
    /// going away; and a map may be without references.
    unsafe fn acquire(
        callback: &CallbackRef<'_, Self>,
        _trace: &tasks_trace::Guard,
    ) -> Acquired<Owner> {
        callback.container.touch();
        // SAFETY: A program's memory stays until the end of the execution; whether it was freed
        // is checked.
        let prog: &'static Prog = unsafe { &*core::ptr::from_ref(callback.callback) };
        prog.touch();
        if !prog.refs.inc_not_zero() {
            // What took the reference away is seen some time.
            loom::thread::yield_now();
            return Acquired::Replaced;
        }
        let owner = Owner(prog);
        if callback.container.gone.load(Relaxed) {
            return Acquired::Gone;
        }
        Acquired::Refs(owner)
    }

    unsafe fn call(refs: &Owner) {
        refs.0.call();
    }
}

/// What a map is here.
pub(crate) struct Map {
    pub(crate) closed: Atomic<bool>,
    /// Without a reference.
    pub(crate) gone: Atomic<bool>,
    /// What another context does when an init is about to look whether it is closed.
    pub(crate) looked_at: Cell<Option<fn()>>,
}

// SAFETY: All threads of a model are one thread of the host.
unsafe impl Sync for Map {}

impl Map {
    pub(crate) fn new() -> &'static Self {
        let this: *mut Self = world().alloc("a map", size_of::<Self>()).cast();
        // SAFETY: The memory has its size, and stays until the end of the execution.
        unsafe {
            this.write(Self {
                closed: Atomic::new(false),
                gone: Atomic::new(false),
                looked_at: Cell::new(None),
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
    fn allocate(&self, size: usize) -> Option<NonNull<c_void>> {
        NonNull::new(world().alloc("an object", size).cast())
    }

    fn is_closed(&self) -> bool {
        if let Some(meanwhile) = self.looked_at.take() {
            meanwhile();
        }
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
    unsafe { slot.init(map, core::ptr::null_mut(), config) }
}

/// Sets the callback, as programs do.
pub(crate) fn set<P: Payload<Owner>>(slot: &Slot<P, Owner>, callback: Owner) -> Result {
    let guard = sched::read_lock();
    slot.get(&guard)?.callback.set(callback)
}

/// A slot with a timer that has a callback.
pub(crate) fn timer(map: &'static Map) -> (&'static TimerSlot, &'static Prog) {
    let (slot, prog) = (empty_slot(), Prog::new());
    init(slot, map, Clock::Monotonic).unwrap();
    set(slot, prog.owner()).unwrap();
    (slot, prog)
}

/// A slot with a work item that has a callback.
pub(crate) fn work(map: &'static Map) -> (&'static WorkSlot, &'static Prog) {
    let (slot, prog) = (empty_slot(), Prog::new());
    init(slot, map, ()).unwrap();
    set(slot, prog.owner()).unwrap();
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

/// The overflow work of a CPU; says whether it was pending.
pub(crate) fn overflow(cpu: usize) -> bool {
    let raw = core::ptr::from_ref(&*world().cpus[cpu]).cast_mut();
    // SAFETY: It is that of a CPU.
    let (pending, this) = unsafe { (&(*raw).overflow_pending, Cpu::from_ptr(raw)) };
    let was_pending = pending.replace(false);
    if was_pending {
        // SAFETY: It is that of this CPU, and no lock is held.
        world().interrupt(|| unsafe { this.drain_overflow(this) });
    }
    was_pending
}

/// One interrupt on `cpu`; says whether there is more to do, there or in task context.
pub(crate) fn interrupt_once(cpu: usize) -> bool {
    world().on_cpu(cpu);
    let raw = core::ptr::from_ref(&*world().cpus[cpu]).cast_mut();
    // SAFETY: It is that of a CPU.
    let (work, this) = unsafe { (&(*raw).work, Cpu::from_ptr(raw)) };
    work.raised.set(false);
    // SAFETY: It is that of this CPU, and no lock is held.
    world().interrupt(|| unsafe { this.drain(this) });
    // SAFETY: It is that of a CPU.
    !failed() && (work.raised.get() || unsafe { &*raw }.overflow_pending.get())
}

/// What was held back on `cpu` while interrupts were disabled, or an interrupt for nothing.
pub(crate) fn interrupt(cpu: usize) {
    while interrupt_once(cpu) {
        overflow(cpu);
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
