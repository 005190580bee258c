// SPDX-License-Identifier: GPL-2.0

//! The queue of a CPU: objects with a pending operation, and programs whose last reference was
//! dropped.
//!
//! A BPF program that runs with interrupts disabled or in NMI may have interrupted or be tracing
//! the holder of a lock that starting and cancelling take. The operation is then stored in the
//! object ([`pending`](super::pending)), the object is added to a list of this CPU, and the CPU's
//! `irq_work` drains the list as soon as interrupts are enabled.
//!
//! # Bounds
//!
//! - An object is on one list at most, and only its newest operation is performed.
//! - A drain performs [`ROUNDS`] operations of one object. If there is a newer one again, the
//!   object goes to the overflow list, which a work item drains in task context.
//! - What a drain calls can be traced, and the tracing program can queue again. For the object
//!   whose operation is being performed, it gets `EDEADLK`. An object that it adds to an empty list
//!   of this CPU causes one more drain. After [`MAX_DEPTH`] drains, each caused by the one before,
//!   every operation that is queued during a drain gets `EDEADLK`. `cancel_and_free()` cannot fail:
//!   it uses the overflow list then.
//!
//! C header: [`include/linux/bpf_async.h`](srctree/include/linux/bpf_async.h)

use super::pending::{
    Begun,
    Completed,
    Head,
    Op,
    Queued,
    Unreferenced, //
};
use crate::{
    bindings,
    bpf::prog,
    irq_work,
    llist::RawList,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};
use core::ptr::{
    null_mut,
    NonNull, //
};

/// How many drains in a row can each be caused by the one before.
const MAX_DEPTH: u32 = 4;
/// In [`Cpu::depth`]: the drain that is under way has caused another one.
const NESTED: u32 = 1 << 31;
/// How many operations of one object a drain performs.
const ROUNDS: u32 = 16;

/// Returns whether operations have to be deferred: with interrupts disabled, in hard interrupt, and
/// in NMI.
///
/// In a hard interrupt, interrupts are disabled as well: its handler must not enable them.
#[doc(alias = "defer_timer_wq_op")]
#[inline]
pub(crate) fn must_defer() -> bool {
    // SAFETY: This FFI call has no requirements.
    unsafe { bindings::bpf_async_must_defer() }
}

/// The state of a CPU.
///
/// The lists and `overflow_work` can be used from any CPU, the other fields only on this one.
#[doc(alias = "bpf_async_cpu")]
#[repr(transparent)]
pub(crate) struct Cpu(Opaque<bindings::bpf_async_cpu>);

impl Cpu {
    /// Returns the state of the current CPU.
    ///
    /// It stays that of the current CPU while the caller has preemption disabled.
    #[inline]
    pub(crate) fn this() -> &'static Self {
        // SAFETY: This FFI call returns the address of a per-CPU variable.
        unsafe { Self::from_ptr(bindings::bpf_async_this_cpu()) }
    }

    /// Returns the state at `cpu`.
    ///
    /// # Safety
    ///
    /// `cpu` must point to a `bpf_async_cpu` per-CPU variable.
    #[inline]
    pub(crate) unsafe fn from_ptr(cpu: *mut bindings::bpf_async_cpu) -> &'static Self {
        // CAST: `Self` is transparent over `bpf_async_cpu`.
        // SAFETY: Per-CPU variables are static. The accessors below access them atomically.
        unsafe { &*cpu.cast::<Self>() }
    }

    /// The objects with a pending operation.
    #[inline]
    fn objects(&self) -> &RawList {
        // SAFETY: The list head is valid for as long as `self`, and is only used as a `RawList`.
        unsafe { RawList::from_ptr(&raw mut (*self.0.get()).objects) }
    }

    /// The programs whose last reference has to be put.
    #[inline]
    fn progs(&self) -> &RawList {
        // SAFETY: The list head is valid for as long as `self`, and is only used as a `RawList`.
        unsafe { RawList::from_ptr(&raw mut (*self.0.get()).progs) }
    }

    /// The objects that wait for task context.
    #[inline]
    fn overflow(&self) -> &RawList {
        // SAFETY: The list head is valid for as long as `self`, and is only used as a `RawList`.
        unsafe { RawList::from_ptr(&raw mut (*self.0.get()).overflow) }
    }

    /// The object whose operation is being performed, or this state during the rest of a drain.
    #[inline]
    fn draining(&self) -> &Atomic<*mut c_void> {
        // SAFETY: The field is valid for as long as `self`, and is only accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).draining) }
    }

    /// How many drains in a row were caused by the one before, and [`NESTED`].
    #[inline]
    fn depth(&self) -> &Atomic<u32> {
        // SAFETY: The field is valid for as long as `self`, and is only accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.get()).depth) }
    }

    /// Returns whether a drain is under way that must not cause another one.
    #[inline]
    fn too_deep(&self) -> bool {
        !self.draining().load(Relaxed).is_null()
            && self.depth().load(Relaxed) & !NESTED >= MAX_DEPTH
    }

    /// Adds a node to a list of this CPU, and raises the `irq_work` for the first one.
    ///
    /// A CPU that is marked offline runs its `irq_work`s one last time. After that a hotplug
    /// callback drains its lists.
    ///
    /// # Safety
    ///
    /// `list` must be `objects` or `progs` of the current CPU, whose state is `self`, and `node` as
    /// [`RawList::add`] requires. Preemption must be disabled.
    #[inline]
    unsafe fn add(&self, list: &RawList, node: NonNull<bindings::llist_node>) {
        // SAFETY: The caller guarantees what `RawList::add` requires.
        let first = unsafe { list.add(node) };
        // This causes a drain. One that is under way counts as its cause, even if this is an
        // unrelated NMI.
        if first && !self.draining().load(Relaxed).is_null() {
            self.depth()
                .store(self.depth().load(Relaxed) | NESTED, Relaxed);
        }
        // SAFETY: Preemption is disabled, as the caller guarantees.
        if first && unsafe { bindings::bpf_async_this_cpu_online() } {
            // SAFETY: The work is static, and was set up at compile time.
            unsafe { irq_work::queue(&raw mut (*self.0.get()).work) };
        }
    }

    /// Drains `objects` and `progs` of `of`: the current CPU, which is `self`, or one that goes
    /// down or comes up.
    ///
    /// # Safety
    ///
    /// `self` must be the current CPU. Interrupts must be disabled, and the caller hold no lock
    /// that starting, cancelling or `call_rcu()` takes. `bpf_prog_put()` takes those of a workqueue
    /// only: with interrupts disabled it leaves the rest to a work item.
    #[doc(alias = "bpf_async_irq_worker")]
    #[inline]
    pub(crate) unsafe fn drain(&self, of: &Self) {
        // One deeper if the last drain has caused this one. No interrupt or NMI writes the depth
        // here: `draining` is NULL.
        let depth = self.depth().load(Relaxed);
        let depth = if depth & NESTED != 0 {
            core::cmp::min((depth & !NESTED) + 1, MAX_DEPTH)
        } else {
            0
        };
        self.begin_drain(depth);
        // SAFETY: `self` is the current CPU, and the caller guarantees the context.
        unsafe { self.drain_objects(of.objects()) };
        for node in of.progs().del_all() {
            // SAFETY: `defer_put` has added the node, with the reference. Only drains call this.
            unsafe { prog::put_node(node) };
        }
        // A node that was added after the lists were taken has raised the `irq_work` again.
        self.draining().store(null_mut(), Relaxed);
        self.kick_overflow(of);
        // What the calls before caused can be on this CPU's list.
        self.kick_overflow(self);
    }

    /// Drains the overflow list of `of`.
    ///
    /// # Safety
    ///
    /// As [`Cpu::drain`], in task context.
    pub(crate) unsafe fn drain_overflow(&self, of: &Self) {
        self.begin_drain(0);
        // SAFETY: `self` is the current CPU, and the caller guarantees the context.
        unsafe { self.drain_objects(of.overflow()) };
        self.draining().store(null_mut(), Relaxed);
        // If there is more again, other tasks run before it.
        self.kick_overflow(self);
    }

    /// From now on, what is queued on this CPU was caused by the drain, or by an NMI.
    #[inline]
    fn begin_drain(&self, depth: u32) {
        self.depth().store(depth, Relaxed);
        self.draining().store(self.0.get().cast(), Relaxed);
    }

    /// Performs what is queued for the objects on `list`.
    ///
    /// # Safety
    ///
    /// As [`Cpu::drain`].
    #[inline]
    unsafe fn drain_objects(&self, list: &RawList) {
        // The oldest first. The batch reads the next node before it returns one, because another
        // CPU can queue the object again as soon as its operation is complete.
        for node in list.del_all().reverse() {
            // CAST: `node` is the first field of a `Head`.
            // SAFETY: The node was taken off a list of objects. Interrupts are disabled, as the
            // caller guarantees.
            unsafe { self.drain_object(node.cast()) };
        }
        self.draining().store(self.0.get().cast(), Relaxed);
    }

    /// Performs what is queued for one object.
    ///
    /// # Safety
    ///
    /// The caller must have taken the object off a list, and guarantee the context of
    /// [`Cpu::drain`].
    #[inline]
    unsafe fn drain_object(&self, object: NonNull<Head>) {
        self.draining().store(object.as_ptr().cast(), Relaxed);
        // SAFETY: The queue's reference keeps the object until it is dropped below. An object that
        // is given to RCU belongs to the list alone.
        let head = unsafe { object.as_ref() };
        for _ in 0..ROUNDS {
            // SAFETY: The object was taken off a list.
            match unsafe { head.begin() } {
                // SAFETY: The queue's reference is still there.
                Begun::Perform(op) => unsafe { Head::process_op(object, op) },
                // SAFETY: `set_call_rcu` has passed on the object without a reference. A drain can
                // call `call_rcu()`.
                Begun::CallRcu => unsafe {
                    return Unreferenced::new(object).call_rcu(Head::rcu_free);
                },
            }
            // SAFETY: An operation was performed.
            if let Completed::Idle = unsafe { head.complete() } {
                // SAFETY: The queue's reference is the caller's.
                return unsafe { Head::put(object) };
            }
        }
        // SAFETY: The object is on no list, and no context adds it while its word is not `IDLE`.
        unsafe { self.overflow().add(Head::node(object)) };
    }

    /// Schedules the work item for the overflow list of `of`.
    ///
    /// `self` is the current CPU. The caller holds no lock of a workqueue.
    /// Litmus: late-work, late-node.
    #[inline]
    fn kick_overflow(&self, of: &Self) {
        while !of.overflow().is_empty() {
            // What queueing a work item calls can be traced as well, and add to the list.
            self.draining().store(self.0.get().cast(), Relaxed);
            // SAFETY: The work is static, and was set up at boot.
            unsafe { bindings::bpf_async_schedule_work(&raw mut (*of.0.get()).overflow_work) };
            self.draining().store(null_mut(), Relaxed);
            // A run that has not begun takes all that is on the list now.
            // SAFETY: The work is static, and was set up at boot.
            if unsafe { bindings::bpf_async_work_pending(&raw mut (*of.0.get()).overflow_work) } {
                return;
            }
        }
    }
}

impl Head {
    /// Queues an operation, which this CPU performs as soon as interrupts are enabled.
    ///
    /// Full ordering.
    ///
    /// # Safety
    ///
    /// Interrupts must be disabled, or this be an NMI. The read side in which the object was found
    /// must not have ended.
    ///
    /// # Errors
    ///
    /// - `EDEADLK` if this CPU performs an operation of this object, or if too many drains in a row
    ///   have each caused the next.
    /// - `ENOENT` if the last reference is gone.
    #[doc(alias = "bpf_async_schedule_op")]
    #[inline]
    pub(crate) unsafe fn queue_irqs_off(&self, op: Op) -> Result {
        let cpu = Cpu::this();

        let same = cpu.draining().load(Relaxed) == self.as_ptr().as_ptr().cast();
        if same || cpu.too_deep() {
            return Err(EDEADLK);
        }
        if !self.tryget() {
            return Err(ENOENT);
        }
        // SAFETY: The reference was taken above. Interrupts are disabled, as the caller guarantees.
        unsafe { store_and_add(cpu, self, op, false) };
        Ok(())
    }

    /// Ensures that no operation which was queued before can take effect after this call: revokes
    /// it, or waits until it was performed.
    ///
    /// # Safety
    ///
    /// Interrupts must be enabled, in task or softirq context. The read side in which the object
    /// was found must not have ended.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn revoke_deferred(&self) {
        // `node` and `word` may be an `rcu_head` by now. Do not use them without a reference.
        if self.tryget() {
            // SAFETY: The reference was taken above, and interrupts are enabled.
            unsafe { self.revoke_sync() };
            // SAFETY: The reference was taken above, and `call_rcu()` is allowed.
            unsafe { Self::put(self.as_ptr()) };
        }
    }

    /// Waits for the operation that a drain is performing, if there is one.
    ///
    /// What is queued stays queued.
    ///
    /// # Safety
    ///
    /// As [`Head::revoke_deferred`].
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn wait_deferred(&self) {
        // The reference is needed for the same reason as in `revoke_deferred()`.
        if self.tryget() {
            // SAFETY: The reference was taken above. The caller guarantees enabled interrupts.
            unsafe { self.wait_sync() };
            // SAFETY: The reference was taken above. With interrupts enabled, as the caller
            // guarantees, `call_rcu()` is allowed.
            unsafe { Self::put(self.as_ptr()) };
        }
    }
}

/// Queues the last operation of a detached object: to cancel the timer or the work item.
///
/// # Safety
///
/// The caller must hold the slot's reference, which it gives up. Interrupts must be disabled, or
/// this be an NMI, until this returns: a grace period waits for that.
pub(crate) unsafe fn queue_detached(head: &Head) {
    let cpu = Cpu::this();
    // SAFETY: The caller gives up a reference. Interrupts are disabled, as it guarantees.
    unsafe { store_and_add(cpu, head, Op::CANCEL, cpu.too_deep()) };
}

/// Stores `op` in an object, and adds the object to a list unless it is on one.
///
/// # Safety
///
/// The caller must hold a reference, which goes to the queue or is dropped. Interrupts must be
/// disabled, or this be an NMI, until this returns: a grace period waits for that.
#[inline]
unsafe fn store_and_add(cpu: &Cpu, head: &Head, op: Op, overflow: bool) {
    // SAFETY: The caller holds a reference. If it is the queue's now, the object is added below.
    if let Queued::Superseded = unsafe { head.queue(op) } {
        // The holder of a lock of `call_rcu()` may have been interrupted: a drain calls it.
        // SAFETY: The reference was not passed on.
        if let Some(last) = unsafe { Head::dec(head.as_ptr()) } {
            // SAFETY: Without a reference the object is on no list, and no context adds it.
            // Interrupts are disabled.
            unsafe { cpu.add(cpu.objects(), Head::node(last.set_call_rcu())) };
        }
        return;
    }
    let node = Head::node(head.as_ptr());
    // SAFETY: The word was `IDLE`, so the object was on no list, and no other context adds it now.
    // The queue's reference keeps it. Interrupts are disabled. The drain that is under way looks at
    // the overflow list when it ends.
    unsafe {
        if overflow {
            cpu.overflow().add(node);
        } else {
            cpu.add(cpu.objects(), node);
        }
    }
}

/// Has the last reference to a program put by this CPU's `irq_work`.
///
/// # Safety
///
/// - The caller must give up the last reference of the program that `node` belongs to.
/// - `node` must be as [`RawList::add`] requires.
/// - Preemption must be disabled.
pub(crate) unsafe fn defer_put(node: NonNull<bindings::llist_node>) {
    let cpu = Cpu::this();
    // SAFETY: The caller gives up the last reference, and `node` is on no list. Preemption is
    // disabled.
    unsafe { cpu.add(cpu.progs(), node) };
}
