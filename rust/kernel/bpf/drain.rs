// SPDX-License-Identifier: GPL-2.0

//! Performing what was queued: the one place that knows all kinds of objects.

use super::{
    cpu::Cpu,
    deferred::{
        Head,
        Kind, //
    },
    pending::Op,
    perform::{
        self,
        Dispatch, //
    },
    prog_ref::ProgRef,
    timer::Timer,
    work::WorkItem,
};
use crate::{
    llist::RawList,
    sync::{
        atomic::Relaxed,
        rcu::callback::Callback, //
    },
};
use core::ptr::NonNull;

struct Kinds;

impl Dispatch for Kinds {
    #[inline(always)]
    unsafe fn perform(head: NonNull<Head>, op: Op) {
        // SAFETY: By the safety requirements of this function.
        if unsafe { head.as_ref() }.kind().is_work() {
            // SAFETY: As above, and a work item it is.
            unsafe { WorkItem::perform(head, op) }
        } else {
            // SAFETY: As above, and a timer it is.
            unsafe { Timer::perform(head, op) }
        }
    }

    fn reclaim(kind: Kind) -> Callback {
        if kind.is_work() {
            WorkItem::reclaim
        } else {
            Timer::reclaim
        }
    }
}

/// Performs what is queued on the lists of the current CPU, `this`. Hard interrupt.
#[inline]
pub(super) fn drain(this: &Cpu) {
    this.begin_drain();
    let this = perform::drain::<Kinds>(this, this.objects());
    // Whoever adds the first one has another drain run after this look at the lists.
    if !(this.progs().is_empty() & this.late().is_empty()) {
        drain_rest(this);
    }
}

#[cold]
#[inline(never)]
fn drain_rest(this: &Cpu) {
    if !this.progs().is_empty() {
        put_progs(this, this);
    }
    kick_late(this);
}

/// Has done in task context what a drain has left: what was too deep, or came again and again.
/// Litmus: late-work.
fn kick_late(cpu: &Cpu) {
    if !cpu.late().is_empty() {
        cpu.kick_late();
    }
}

/// The same for another CPU, which is down or coming up. Interrupts disabled.
pub(super) fn drain_other(cpu: &Cpu) {
    let this = Cpu::this();

    this.begin_drain();
    drain_list(this, cpu.objects());
    put_progs(this, cpu);

    // What this drain has left is on the list of the CPU that it runs on.
    kick_late(this);
    kick_late(cpu);
}

/// What is not the irq_work need not be fast, and has this in common.
#[cold]
#[inline(never)]
fn drain_list(this: &Cpu, list: &RawList) {
    perform::drain::<Kinds>(this, list);
}

#[cold]
#[inline(never)]
fn put_progs(this: &Cpu, cpu: &Cpu) {
    // Putting a program, too, does things that can be traced.
    this.busy()
        .store(core::ptr::from_ref(cpu).cast_mut().cast(), Relaxed);
    for node in cpu.progs().del_all() {
        // SAFETY: The node comes from the list.
        unsafe { ProgRef::from_node(node) }.put_now();
    }
    this.busy().store(core::ptr::null_mut(), Relaxed);
}

/// Performs what [`drain`] has left. Task context, interrupts disabled.
pub(super) fn drain_late(cpu: &Cpu) {
    let this = Cpu::this();

    this.begin_late();
    drain_list(this, cpu.late());
    // Once more, and others can run before that.
    kick_late(this);
}
