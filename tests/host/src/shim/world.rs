// SPDX-License-Identifier: GPL-2.0

//! What one execution of a model consists of beside its threads: memory, contexts, RCU, and the
//! kernel's timers and work items.
//!
//! All threads of an execution are coroutines of one thread of the host, and change only in an
//! access to one of loom's atomics. Plain data that is accessed right after one is thus accessed
//! together with it; loom explores the orders when all who depend on one another access the same
//! atomic, which is then called a [`Point`].

use super::atomic::Atomic;
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, ThreadId},
};
use std::{
    cell::{Cell, RefCell},
    ptr::null,
};

thread_local!(static WORLD: Cell<*const World> = const { Cell::new(null()) });

/// What is going on in the model that is being executed.
pub fn world() -> &'static World {
    let world = WORLD.get();
    assert!(!world.is_null(), "this is only for the inside of a model");
    // SAFETY: It is freed at the end of the execution, which is the last to use it.
    unsafe { &*world }
}

/// Whether a model has failed, and what runs now only cleans up.
pub fn failed() -> bool {
    std::thread::panicking()
}

/// How many atomics there are for the [`Atomic`]s of an execution.
const POOL: usize = 128;

/// An atomic whose value does not matter: something that happens at once, in some order.
pub struct Point(AtomicU64);

impl Point {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes place.
    pub fn pass(&self, order: Ordering) {
        if !failed() {
            self.0.fetch_add(1, order);
        }
    }
}

/// What a thread is to the kernel.
struct Context {
    id: ThreadId,
    cpu: usize,
    irqs_off: u32,
    /// In a hard interrupt that is not an NMI: no holder of a lock was interrupted.
    interrupt: bool,
    readers: u32,
    /// Which of this thread's RCU read sides it is.
    section: u64,
}

/// Memory. It is not used again after it was freed, so that a late access is seen.
struct Alloc {
    what: &'static str,
    memory: Box<[u128]>,
    freed: Cell<bool>,
    /// The link at its start is an `rcu_head`.
    queued: Cell<bool>,
    /// Read where the link or the rest is used, and written where it is freed: loom
    /// then finds each pair that nothing orders.
    link: UnsafeCell<()>,
    rest: UnsafeCell<()>,
}

impl Alloc {
    fn offset(&self, address: usize) -> Option<usize> {
        let offset = address.checked_sub(self.memory.as_ptr() as usize)?;
        (offset < size_of_val(&*self.memory)).then_some(offset)
    }
}

struct Waiting {
    readers: Vec<(ThreadId, u64)>,
    run: Box<dyn FnOnce()>,
}

/// See the head of this file.
pub struct World {
    pool: Vec<AtomicU64>,
    used: Cell<usize>,
    threads: RefCell<Vec<Context>>,
    allocs: RefCell<Vec<Alloc>>,
    kept: RefCell<Vec<Box<[u128]>>>,
    waiting: RefCell<Vec<Waiting>>,
    /// Where a grace period begins, and where a reader does.
    begins: Point,
    /// Where a reader ends.
    ends: Point,
    pub cpus: Vec<Box<super::bindings::bpf_async_cpu>>,
    pub(super) timers: RefCell<Vec<&'static super::bindings::Timer>>,
    pub(super) works: RefCell<Vec<&'static super::bindings::Work>>,
    /// Which timer was started, and for when, or cancelled (`None`); in this order.
    trace: RefCell<Vec<(usize, Option<i64>)>>,
    /// A program that traces this.
    pub tracer: Cell<Option<fn(usize, Option<i64>)>>,
    /// A program that traces `llist_reverse_order()`, and `llist_del_all()` of the programs (`true`).
    pub list_tracer: Cell<Option<fn(bool)>>,
}

impl World {
    fn new() -> Self {
        Self {
            pool: (0..POOL).map(|_| AtomicU64::new(0)).collect(),
            used: Cell::new(0),
            threads: RefCell::default(),
            allocs: RefCell::default(),
            kept: RefCell::default(),
            waiting: RefCell::default(),
            begins: Point::new(),
            ends: Point::new(),
            cpus: (0..3).map(|_| Box::default()).collect(),
            timers: RefCell::default(),
            works: RefCell::default(),
            trace: RefCell::default(),
            tracer: Cell::new(None),
            list_tracer: Cell::new(None),
        }
    }

    pub fn trace_list(&self, of_progs: bool) {
        if let Some(tracer) = self.list_tracer.get() {
            tracer(of_progs);
        }
    }

    /// One execution of a model, which must leave nothing behind.
    pub fn execute(model: impl FnOnce()) {
        let this = Box::into_raw(Box::new(Self::new()));
        WORLD.set(this);
        model();
        // SAFETY: It came from a box, and all threads of the model have ended.
        let this = unsafe { Box::from_raw(this) };
        assert!(this.waiting.borrow().is_empty(), "a reader never ended");
        for alloc in &*this.allocs.borrow() {
            assert!(alloc.freed.get(), "leaked: {}", alloc.what);
        }
    }

    /// An atomic with value 0, from before the threads were started.
    pub(super) fn atomic(&self) -> usize {
        let index = self.used.get();
        assert!(index < POOL, "too many atomics, enlarge POOL");
        self.used.set(index + 1);
        index
    }

    pub(super) fn pooled(&self, index: usize) -> &AtomicU64 {
        &self.pool[index]
    }

    /// A timer was started for `nanos`, or cancelled.
    pub(super) fn traced(&self, timer: usize, nanos: Option<i64>) {
        self.trace.borrow_mut().push((timer, nanos));
        if let Some(tracer) = self.tracer.get() {
            tracer(timer, nanos);
        }
    }

    /// What was traced.
    pub fn trace(&self) -> Vec<(usize, Option<i64>)> {
        self.trace.borrow().clone()
    }

    fn context<R>(&self, f: impl FnOnce(&mut Context) -> R) -> R {
        let id = thread::current().id();
        let mut threads = self.threads.borrow_mut();
        let index = threads.iter().position(|c| c.id == id).unwrap_or_else(|| {
            threads.push(Context {
                id,
                cpu: 0,
                irqs_off: 0,
                interrupt: false,
                readers: 0,
                section: 0,
            });
            threads.len() - 1
        });
        f(&mut threads[index])
    }

    /// Puts the current thread on a CPU.
    pub fn on_cpu(&self, cpu: usize) {
        self.context(|c| c.cpu = cpu);
    }

    pub(super) fn cpu(&self) -> &super::bindings::bpf_async_cpu {
        &self.cpus[self.context(|c| c.cpu)]
    }

    pub(super) fn must_defer(&self) -> bool {
        self.context(|c| c.irqs_off > 0)
    }

    /// Whether the current thread is in a drain.
    pub fn in_interrupt(&self) -> bool {
        self.context(|c| c.interrupt && c.irqs_off > 0)
    }

    /// Runs `f` in a hard interrupt.
    pub fn interrupt<R>(&self, f: impl FnOnce() -> R) -> R {
        self.context(|c| c.interrupt = true);
        let result = self.irqs_off(f);
        self.context(|c| c.interrupt = false);
        result
    }

    /// Somebody may take a lock, or calls RCU (P7).
    pub(super) fn may_lock(&self, what: &str) {
        let wrong = !failed() && self.context(|c| c.irqs_off > 0 && !c.interrupt);
        assert!(!wrong, "{what} with interrupts disabled");
    }

    /// Runs `f` with interrupts disabled, or in an NMI.
    pub fn irqs_off<R>(&self, f: impl FnOnce() -> R) -> R {
        self.context(|c| c.irqs_off += 1);
        let result = f();
        self.context(|c| c.irqs_off -= 1);
        result
    }

    /// Memory for `count` bytes, until [`World::free`].
    pub fn alloc(&self, what: &'static str, count: usize) -> *mut u8 {
        let memory = vec![0u128; count.div_ceil(16)].into_boxed_slice();
        let ptr = memory.as_ptr().cast_mut().cast();
        self.allocs.borrow_mut().push(Alloc {
            what,
            memory,
            freed: Cell::new(false),
            queued: Cell::new(false),
            link: UnsafeCell::new(()),
            rest: UnsafeCell::new(()),
        });
        ptr
    }

    /// Memory with a value, for the whole execution; the value is never dropped.
    pub fn keep<T>(&self, value: T) -> &'static T {
        let memory = vec![0u128; size_of::<T>().div_ceil(16)].into_boxed_slice();
        let ptr: *mut T = memory.as_ptr().cast_mut().cast();
        self.kept.borrow_mut().push(memory);
        // SAFETY: The size and the alignment fit.
        unsafe {
            ptr.write(value);
            &*ptr
        }
    }

    /// Frees memory.
    pub fn free(&self, ptr: *mut u8) {
        let allocs = self.allocs.borrow();
        let alloc = allocs.iter().find(|a| a.offset(ptr as usize) == Some(0));
        let alloc = alloc.expect("freed, but never allocated");
        assert!(!alloc.freed.replace(true), "freed twice: {}", alloc.what);
        let inside = |address: usize| alloc.offset(address).is_some();
        let mut timers = self.timers.borrow_mut();
        for timer in timers.iter().filter(|t| inside(t.address)) {
            assert!(
                timer.armed.get().is_none(),
                "freed: a timer that is started"
            );
            assert!(!timer.running.get(), "freed: a timer that is running");
        }
        timers.retain(|t| !inside(t.address));
        let mut works = self.works.borrow_mut();
        for work in works.iter().filter(|w| inside(w.address)) {
            assert!(!work.queued.get(), "freed: a work item that is pending");
        }
        works.retain(|w| !inside(w.address));
        alloc.link.with_mut(|_| ());
        alloc.rest.with_mut(|_| ());
    }

    /// `address` is about to be accessed: freeing it has to be ordered after that. For
    /// loom what comes after an atomic access is not covered by that access's release.
    pub fn touch(&self, address: usize) {
        self.find(address, |alloc, link| {
            (if link { &alloc.link } else { &alloc.rest }).with(|_| ());
        });
    }

    /// Somebody has accessed `address`, just now.
    pub fn touched(&self, address: usize) {
        self.find(address, |_, _| ());
    }

    fn find(&self, address: usize, f: impl FnOnce(&Alloc, bool)) {
        if failed() {
            return;
        }
        for alloc in &*self.allocs.borrow() {
            if let Some(offset) = alloc.offset(address) {
                let link = offset < size_of::<super::bindings::callback_head>();
                assert!(!alloc.freed.get(), "use after free: {}", alloc.what);
                assert!(
                    !(link && alloc.queued.get()),
                    "the link is used after call_rcu()"
                );
                return f(alloc, link);
            }
        }
    }

    /// The link of an object is given to RCU, or given back.
    pub(super) fn queue_link(&self, address: usize, queued: bool) {
        for alloc in &*self.allocs.borrow() {
            if alloc.offset(address).is_some() {
                assert!(!alloc.freed.get(), "use after free: {}", alloc.what);
                assert!(alloc.queued.replace(queued) != queued, "call_rcu() twice");
                alloc.link.with_mut(|_| ());
            }
        }
    }

    /// Begins an RCU read side. It sees all that was done before the grace periods that have begun.
    pub(super) fn read_lock(&self) {
        if failed() {
            return;
        }
        if self.context(|c| c.readers) == 0 {
            self.begins.pass(Ordering::Acquire);
        }
        self.context(|c| {
            c.readers += 1;
            c.section += u64::from(c.readers == 1);
        });
    }

    /// Ends an RCU read side, and then those grace periods that waited only for it.
    pub(super) fn read_unlock(&self) {
        if failed() {
            return;
        }
        if self.context(|c| c.readers) == 1 {
            self.ends.pass(Ordering::Release);
        }
        let (id, readers) = self.context(|c| {
            c.readers -= 1;
            (c.id, c.readers)
        });
        if readers == 0 {
            for waiting in &mut *self.waiting.borrow_mut() {
                waiting.readers.retain(|(reader, _)| *reader != id);
            }
            self.end_grace_periods();
        }
    }

    /// Calls `run` after a grace period: as soon as the readers have ended that there are now.
    pub fn call_rcu(&self, run: impl FnOnce() + 'static) {
        self.ends.pass(Ordering::Acquire);
        self.begins.pass(Ordering::Release);
        let threads = self.threads.borrow();
        let readers = threads.iter().filter(|c| c.readers > 0);
        let readers = readers.map(|c| (c.id, c.section)).collect();
        drop(threads);
        let run = Box::new(run);
        self.waiting.borrow_mut().push(Waiting { readers, run });
        self.end_grace_periods();
    }

    fn end_grace_periods(&self) {
        let ready: Vec<_> = {
            let mut waiting = self.waiting.borrow_mut();
            let all = std::mem::take(&mut *waiting);
            let (ready, rest) = all.into_iter().partition(|w| w.readers.is_empty());
            *waiting = rest;
            ready
        };
        if !ready.is_empty() {
            self.begins.pass(Ordering::Acquire);
            self.ends.pass(Ordering::Acquire);
        }
        // Not really here, but in RCU's own context.
        let irqs_off = self.context(|c| std::mem::take(&mut c.irqs_off));
        for waiting in ready {
            (waiting.run)();
        }
        self.context(|c| c.irqs_off = irqs_off);
    }
}

/// Explores a model with at most this many preemptions: changes to another thread where the current
/// one could go on. `None`: with any number. `DEEPER=n` allows n more.
pub fn explore(preemptions: impl Into<Option<usize>>, model: impl Fn() + Send + Sync + 'static) {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    let deeper = std::env::var("DEEPER").map_or(0, |n| n.parse().expect("DEEPER is a number"));
    builder.preemption_bound = preemptions.into().map(|n| n + deeper);
    // Who waits for others to go on may have to for long; a model that does not end is found by this.
    builder.max_branches = 10_000;
    let executions = count.clone();
    let start = std::time::Instant::now();
    builder.check(move || {
        executions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        World::execute(&model);
    });
    let count = count.load(std::sync::atomic::Ordering::Relaxed);
    println!("{count} executions, {:.1} s", start.elapsed().as_secs_f32());
}
