// SPDX-License-Identifier: GPL-2.0

//! Performing what was queued: the other side of [`deferred`](super::deferred).

use super::{
    cpu::Cpu,
    deferred::{
        Head,
        Kind,
        Last, //
    },
    link::{
        Link,
        Node, //
    },
    pending::{
        Op,
        DRAINING,
        EMPTY,
        RETIRE, //
    },
};
use crate::{
    llist::{
        RawBatch,
        RawList, //
    },
    sync::{
        atomic::{
            Full,
            Relaxed,
            Release, //
        },
        rcu::callback::Callback,
    },
};
use core::ptr::NonNull;

/// How many operations a drain performs on one object before it lets others have their turn, so
/// that a program that queues in a loop on one CPU cannot keep another one in the same hard
/// interrupt.
const ROUNDS: u32 = 16;

/// What the layers above know of the kinds.
pub(super) trait Dispatch {
    /// Performs an operation.
    ///
    /// # Safety
    ///
    /// `head` must be that of a complete object to which the caller has a reference.
    unsafe fn perform(head: NonNull<Head>, op: Op);

    /// The function that frees an object of this kind.
    fn reclaim(kind: Kind) -> Callback;
}

impl Last {
    /// Has the object freed after a grace period.
    ///
    /// # Safety
    ///
    /// As [`Last::retire_now`].
    #[cold]
    #[inline(never)]
    unsafe fn retire_drained<D: Dispatch>(self) {
        // SAFETY: There is no reference left, so that the object is the caller's.
        let kind = unsafe { self.0.as_ref() }.kind();
        // SAFETY: The function for this kind; otherwise by the safety requirements.
        unsafe { self.retire_now(D::reclaim(kind)) };
    }
}

/// Performs what is queued on `list`, on the current CPU. Interrupts disabled, and no lock held
/// that starting or cancelling a timer or a work item, or `call_rcu()`, takes. Returns `cpu`, found
/// again: that costs less than keeping it.
#[inline(always)]
pub(super) fn drain<D: Dispatch>(cpu: &Cpu, list: &RawList) -> &'static Cpu {
    match list.del_all().only() {
        // SAFETY: The node came from the list.
        Ok(node) => unsafe { drain_node::<D>(cpu, node) },
        Err(batch) => drain_batch::<D>(cpu, batch),
    }
    let cpu = Cpu::this();
    cpu.busy().store(core::ptr::null_mut(), Relaxed);
    cpu
}

#[cold]
#[inline(never)]
fn drain_batch<D: Dispatch>(cpu: &Cpu, batch: RawBatch) {
    // The oldest first. The iterator looks where the next node is before it gives out a node,
    // because the node may be on another list a moment later.
    for node in batch.reverse() {
        // SAFETY: The node came from the list.
        unsafe { drain_node::<D>(cpu, node) };
    }
}

/// Performs what is queued for one object, and notes what is being done.
///
/// # Safety
///
/// The caller must have taken `node` from a list of objects, and not added it to one since.
/// Interrupts must be disabled.
#[inline(always)]
unsafe fn drain_node<D: Dispatch>(cpu: &Cpu, node: Node) {
    // CAST: The link is the first field of a `Head`.
    let head = Link::from_node(node).cast::<Head>();
    cpu.busy().store(head.as_ptr().cast(), Relaxed);
    // SAFETY: The node came from the list, and with it the queue's reference or, when the object is
    // to be retired, the object itself.
    unsafe {
        if !drain_round::<D>(head) {
            drain_more::<D>(head);
        }
    }
}

/// Performs what is queued for one object; returns whether that was all. Then the object is not the
/// caller's any more.
///
/// # Safety
///
/// The caller must have taken the node of `head` from a list, and not added it to one since.
/// Interrupts must be disabled.
#[inline(always)]
unsafe fn drain_round<D: Dispatch>(head: NonNull<Head>) -> bool {
    // SAFETY: The queue's reference keeps the object valid; a retired one is ours altogether.
    let this = unsafe { head.as_ref() };
    let pending = this.link.pending();

    // Only the drainer of the object writes this, and there is one at a time: each begins after
    // the one before it has put `EMPTY` into the slot. Odd before the operation is taken...
    // Litmus: handover.
    let performing = this.performing.load(Relaxed);
    this.performing.store(performing.wrapping_add(1), Relaxed);
    // ... Full: whoever finds it gone sees that. Pairs with `settle` and `queue`.
    let word = pending.xchg(DRAINING, Full);
    if let Some(op) = Op::decode_start(word) {
        // SAFETY: The queue's reference.
        unsafe { D::perform(head, op) };
    } else if let Some(op) = Op::decode(word) {
        // SAFETY: The queue's reference.
        unsafe { D::perform(head, op) };
    } else if word == RETIRE {
        // SAFETY: Nobody has a reference, and nobody waits for `performing`.
        unsafe { Last(head).retire_drained::<D>() };
        return true;
    }
    // Release: whoever sees an even value sees the operation done. Litmus: settle, settle-undo.
    let performing = this.performing.load(Relaxed);
    this.performing.store(performing.wrapping_add(1), Release);

    // Full: a newer operation is either seen here, or sees that the slot is empty.
    // Litmus: settle-empty, newest-wins, handover, node-reuse.
    if pending.cmpxchg(DRAINING, EMPTY, Full).is_err() {
        return false;
    }
    // INVARIANT: The slot is empty, and the queue's reference goes away.
    if let Some(last) = this.put() {
        // SAFETY: A drain may call RCU.
        unsafe { last.retire_drained::<D>() };
    }
    true
}

/// Performs what has come meanwhile, and leaves the rest to task context when there is more again:
/// another interrupt would come before anything else on this CPU, and the next one behind it.
///
/// # Safety
///
/// As [`drain_round`].
#[cold]
#[inline(never)]
unsafe fn drain_more<D: Dispatch>(head: NonNull<Head>) {
    for _ in 1..ROUNDS {
        // SAFETY: By the safety requirements of this function.
        if unsafe { drain_round::<D>(head) } {
            return;
        }
    }
    // There is a newer operation again. The slot is not empty, so the reference stays the queue's.
    // SAFETY: The node is on no list, and nobody adds it while the slot is not empty.
    unsafe { Cpu::this().late().add(Link::node(head.cast())) };
}
