// SPDX-License-Identifier: GPL-2.0

//! What is C in the kernel: lists, timers, work items, per-CPU data.
//!
//! A timer and a work item have their state in the [`World`](super::world::World), not in the
//! object, as the kernel's timer base and workqueue may look at theirs when the object is gone.

use super::{
    atomic::{Atomic, Full, Relaxed},
    world::{failed, world},
};
use core::ffi::{c_int, c_void};
use loom::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};
use std::{
    cell::{Cell, RefCell},
    ptr::null_mut,
};

pub struct llist_node {
    pub next: *mut llist_node,
}

#[derive(Default)]
pub struct llist_head {
    first: Option<Atomic<*mut llist_node>>,
}

impl llist_head {
    fn first(&self) -> &Atomic<*mut llist_node> {
        self.first.as_ref().expect("the list is set up")
    }
}

/// What RCU has instead of a list node and a word.
#[repr(C)]
pub struct callback_head {
    node: llist_node,
    word: Atomic<u64>,
}

pub unsafe fn llist_empty(list: *mut llist_head) -> bool {
    // SAFETY: The caller's.
    unsafe { &*list }.first().load(Relaxed).is_null()
}

/// The loop of the kernel's function is one exchange here: the node is complete before anybody else
/// runs.
pub unsafe fn llist_add(node: *mut llist_node, list: *mut llist_head) -> bool {
    world().touch(node as usize);
    // SAFETY: The caller's.
    let first = unsafe { &*list }.first().xchg(node, Full);
    world().touched(node as usize);
    // SAFETY: The caller's.
    unsafe { (*node).next = first };
    first.is_null()
}

pub unsafe fn llist_del_all(list: *mut llist_head) -> *mut llist_node {
    if world()
        .cpus
        .iter()
        .any(|cpu| core::ptr::eq(&cpu.progs, list))
    {
        world().trace_list(true);
    }
    // SAFETY: The caller's.
    unsafe { &*list }.first().xchg(null_mut(), Full)
}

pub unsafe fn llist_reverse_order(mut node: *mut llist_node) -> *mut llist_node {
    world().trace_list(false);
    let mut result = null_mut();
    while !node.is_null() {
        world().touch(node as usize);
        // SAFETY: The caller's: the chain is its own.
        let next = unsafe { core::mem::replace(&mut (*node).next, result) };
        result = node;
        node = next;
    }
    result
}

pub struct irq_work {
    pub raised: Cell<bool>,
}

pub struct bpf_async_cpu {
    pub objects: llist_head,
    pub progs: llist_head,
    pub overflow: llist_head,
    pub work: irq_work,
    pub overflow_work: work_struct,
    /// Whether `overflow_work` is pending.
    pub overflow_pending: Cell<bool>,
    pub draining: Atomic<*mut c_void>,
    pub running: Atomic<*mut c_void>,
    pub depth: Atomic<u32>,
}

impl Default for bpf_async_cpu {
    fn default() -> Self {
        let list = |first| llist_head { first: Some(first) };
        Self {
            objects: list(Atomic::new(null_mut())),
            // Not explored: nothing is put on them in these models.
            progs: list(Atomic::of_cpu(null_mut())),
            overflow: list(Atomic::of_cpu(null_mut())),
            work: irq_work {
                raised: Cell::new(false),
            },
            overflow_work: work_struct,
            overflow_pending: Cell::new(false),
            draining: Atomic::of_cpu(null_mut()),
            running: Atomic::of_cpu(null_mut()),
            depth: Atomic::of_cpu(0),
        }
    }
}

pub unsafe fn bpf_async_must_defer() -> bool {
    world().must_defer()
}

pub unsafe fn bpf_async_this_cpu() -> *mut bpf_async_cpu {
    core::ptr::from_ref(world().cpu()).cast_mut()
}

pub unsafe fn bpf_async_this_cpu_online() -> bool {
    true
}

pub unsafe fn bpf_async_running() -> *mut c_void {
    world().cpu().running.load(Relaxed)
}

pub unsafe fn bpf_async_set_running(timer: *mut c_void) {
    world().cpu().running.store(timer, Relaxed);
}

pub unsafe fn kfree(ptr: *mut c_void) {
    world().free(ptr.cast());
}

pub unsafe fn kfree_nolock(ptr: *mut c_void) {
    world().free(ptr.cast());
}

// Timers.

pub struct hrtimer;

#[repr(C)]
pub enum hrtimer_restart {
    HRTIMER_NORESTART,
}

type Function = unsafe extern "C" fn(*mut hrtimer) -> hrtimer_restart;

/// A timer, as the timer base knows it.
pub struct Timer {
    pub address: usize,
    function: Function,
    /// The lock, and what `hrtimer_active()` looks at without it: a version of what is below.
    version: AtomicU64,
    /// Whether the timer was active in each version.
    active: RefCell<Vec<bool>>,
    /// When it is started: the time.
    pub armed: Cell<Option<i64>>,
    pub running: Cell<bool>,
}

impl Timer {
    /// Looks or changes something under the lock.
    fn locked<R>(&self, f: impl FnOnce() -> R) -> R {
        if !failed() {
            self.version.fetch_add(1, AcqRel);
        }
        let result = f();
        let active = self.armed.get().is_some() || self.running.get();
        self.active.borrow_mut().push(active);
        result
    }

    /// What it sees may be old. What it sees it is ordered after, as in the kernel: by the read
    /// barriers of a sequence counter there.
    fn active(&self) -> bool {
        let version = if failed() {
            0
        } else {
            self.version.load(Acquire)
        };
        self.active.borrow()[version as usize]
    }
}

fn timer(timer: *mut hrtimer) -> &'static Timer {
    let timers = world().timers.borrow();
    let found = timers.iter().find(|t| t.address == timer as usize);
    found.expect("the timer is set up, and was not freed")
}

/// The time on each clock, which stands still.
pub const NOW: i64 = 1000;

pub unsafe fn bpf_async_timer_now(_timer: *mut hrtimer) -> i64 {
    NOW
}

pub unsafe fn hrtimer_setup(timer: *mut hrtimer, function: Function) {
    let timer = world().keep(Timer {
        address: timer as usize,
        function,
        version: AtomicU64::new(0),
        active: RefCell::new(vec![false]),
        armed: Cell::new(None),
        running: Cell::new(false),
    });
    world().timers.borrow_mut().push(timer);
}

pub unsafe fn hrtimer_start(ptr: *mut hrtimer, nanos: i64) {
    let timer = timer(ptr);
    world().may_lock("a timer");
    world().touch(ptr as usize);
    timer.locked(|| timer.armed.set(Some(nanos)));
    world().touched(ptr as usize);
    world().traced(ptr as usize, Some(nanos));
}

pub unsafe fn hrtimer_try_to_cancel(ptr: *mut hrtimer) -> c_int {
    let timer = timer(ptr);
    world().may_lock("a timer");
    world().touch(ptr as usize);
    // As in the kernel: a timer that is not active is not worth the lock.
    let active = timer.active();
    world().touched(ptr as usize);
    world().traced(ptr as usize, None);
    if !active {
        return 0;
    }
    let result = timer.locked(|| {
        if timer.running.get() {
            return -1;
        }
        c_int::from(timer.armed.take().is_some())
    });
    world().touched(ptr as usize);
    result
}

pub unsafe fn hrtimer_is_queued(ptr: *mut hrtimer) -> bool {
    let timer = timer(ptr);
    world().touch(ptr as usize);
    // No lock in the kernel; what it may see that is older than a return of a start is not
    // modelled.
    let queued = timer.locked(|| timer.armed.get().is_some());
    world().touched(ptr as usize);
    queued
}

pub unsafe fn hrtimer_cancel(timer: *mut hrtimer) -> c_int {
    loop {
        // SAFETY: The caller's.
        let result = unsafe { hrtimer_try_to_cancel(timer) };
        if result >= 0 {
            return result;
        }
        loom::thread::yield_now();
    }
}

/// The softirq: fires a timer that is started and says whether there was one. It is an RCU reader
/// throughout.
pub fn tick() -> bool {
    world().read_lock();
    let timers = world().timers.borrow().clone();
    let fired = timers.iter().find(|timer| {
        timer.locked(|| {
            let due = timer.armed.get().is_some_and(|nanos| nanos != i64::MAX);
            let fires = due && !timer.running.get();
            if fires {
                world().touch(timer.address);
                timer.armed.set(None);
                timer.running.set(true);
            }
            fires
        })
    });
    if let Some(timer) = fired {
        // SAFETY: The timer was set up with it.
        unsafe { (timer.function)(timer.address as *mut hrtimer) };
        // What is running is noted in the base: the timer is not looked at again.
        timer.locked(|| timer.running.set(false));
    }
    world().read_unlock();
    fired.is_some()
}

/// The times of the timers that are started, but for those that never fire.
pub fn armed() -> Vec<i64> {
    let timers = world().timers.borrow().clone();
    timers
        .iter()
        .filter_map(|t| t.locked(|| t.armed.get()))
        .filter(|nanos| *nanos != i64::MAX)
        .collect()
}

// Work items.

pub struct work_struct;

type WorkFunction = unsafe extern "C" fn(*mut work_struct);

/// A work item, as the workqueue knows it.
pub struct Work {
    pub address: usize,
    function: WorkFunction,
    pending: Atomic<bool>,
    /// The same as `pending`, for the checks.
    pub queued: Cell<bool>,
    pub running: Cell<bool>,
}

fn work(work: *mut work_struct) -> &'static Work {
    let works = world().works.borrow();
    let found = works.iter().find(|w| w.address == work as usize);
    found.expect("the work is set up, and was not freed")
}

pub unsafe fn bpf_async_init_work(work: *mut work_struct, function: Option<WorkFunction>) {
    let work = world().keep(Work {
        address: work as usize,
        function: function.expect("a work item has a function"),
        pending: Atomic::new(false),
        queued: Cell::new(false),
        running: Cell::new(false),
    });
    world().works.borrow_mut().push(work);
}

/// The CPU whose overflow work this is, if it is one.
fn overflow_of<'a>(
    cpus: &'a [Box<bpf_async_cpu>],
    ptr: *mut work_struct,
) -> Option<&'a Box<bpf_async_cpu>> {
    cpus.iter()
        .find(|cpu| core::ptr::from_ref(&cpu.overflow_work) == ptr)
}

pub unsafe fn bpf_async_work_pending(ptr: *mut work_struct) -> bool {
    if let Some(cpu) = overflow_of(&world().cpus, ptr) {
        return cpu.overflow_pending.get();
    }
    world().touch(ptr as usize);
    let pending = work(ptr).pending.load(Relaxed);
    world().touched(ptr as usize);
    pending
}

pub unsafe fn bpf_async_schedule_work(ptr: *mut work_struct) -> bool {
    if let Some(cpu) = overflow_of(&world().cpus, ptr) {
        return !cpu.overflow_pending.replace(true);
    }
    let work = work(ptr);
    world().may_lock("a work item");
    world().touch(ptr as usize);
    let was_pending = work.pending.xchg(true, Full);
    world().touched(ptr as usize);
    work.queued.set(true);
    !was_pending
}

pub unsafe fn cancel_work(ptr: *mut work_struct) -> bool {
    let work = work(ptr);
    world().may_lock("a work item");
    world().touch(ptr as usize);
    let was_pending = work.pending.cmpxchg(true, false, Full).is_ok();
    world().touched(ptr as usize);
    if was_pending {
        work.queued.set(false);
    }
    was_pending
}

/// The worker: runs a work item that is pending and says whether there was one.
pub fn run_work() -> bool {
    let works: Vec<_> = world().works.borrow().clone();
    for work in works {
        if !work.running.get() && work.pending.cmpxchg(true, false, Full).is_ok() {
            world().touch(work.address);
            work.queued.set(false);
            work.running.set(true);
            // SAFETY: The work was set up with it.
            unsafe { (work.function)(work.address as *mut work_struct) };
            work.running.set(false);
            return true;
        }
    }
    false
}
