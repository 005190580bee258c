// SPDX-License-Identifier: GPL-2.0

//! References, and operations that are performed later: the part of an object that is the same for
//! timers and work items.
//!
//! With interrupts disabled or in NMI nothing may be called that takes a lock, so that the
//! operation is put into the object's slot, the object on the CPU's list, and an `irq_work` drains
//! the list. That needs no memory and cannot fail. Only the newest operation is kept.
//!
//! The slot, the list node and the `rcu_head` share their memory ([`Link`]): nobody touches the
//! slot without a reference.
//!
//! # The life of the slot
//!
//! ```text
//!            enqueue                  drain                  drain
//!   EMPTY ───────────► operation ────────────► DRAINING ─────────────► EMPTY
//!                      ▲    │  ▲                   │      (cmpxchg)
//!              enqueue └────┘  └───────────────────┘
//!               (newer)             enqueue (newer)
//! ```
//!
//! Whoever replaces `EMPTY` gives a reference to the queue and the object to the list; whoever
//! replaces `operation` or `DRAINING` knows that somebody will look again. So there is at most one
//! drainer of an object at a time, and it holds the queue's reference.

use super::{
    cpu::{
        must_defer,
        Cpu, //
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
    llist::RawList,
    prelude::*,
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        rcu::callback::Callback,
        Refcount, //
    },
};
use core::ptr::NonNull;

/// How many operations a drain performs on one object before it lets others have their turn, so
/// that a program that queues in a loop on one CPU cannot keep another one in hard interrupt.
const ROUNDS: u32 = 2;

/// What an object is, and how it is accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// A timer.
    pub const TIMER: Self = Self(0);
    /// A work item.
    pub const WORK: Self = Self(1);
    const TRACKED: u8 = 0x80;

    /// The same, and the container is told when the object is freed.
    pub const fn tracked(self) -> Self {
        Self(self.0 | Self::TRACKED)
    }

    /// Whether the container is told when the object is freed.
    pub const fn is_tracked(self) -> bool {
        self.0 & Self::TRACKED != 0
    }

    /// Whether this is a work item.
    pub const fn is_work(self) -> bool {
        self.0 & Self::WORK.0 != 0
    }
}

/// The head of every object.
///
/// # Invariants
///
/// - While the slot is not `EMPTY`, one of the references belongs to the queue.
/// - `performing` is odd exactly while a drainer performs an operation of this object.
#[repr(C)]
pub struct Head {
    link: Link,
    refs: Refcount,
    performing: Atomic<i8>,
    kind: Kind,
    /// For the payload: how many callbacks are waiting for this timer's.
    pub(super) cancelling: Atomic<i16>,
}

/// Proof that the last reference to an object is gone, and the duty to free it.
#[must_use = "the object leaks"]
pub struct Last(NonNull<Head>);

impl Last {
    /// Has the object freed by `reclaim` after a grace period. Any context.
    ///
    /// # Safety
    ///
    /// `reclaim` must be the function for this object's kind.
    #[inline]
    pub(super) unsafe fn retire(self, reclaim: Callback) {
        if must_defer() {
            // Relaxed: the node goes through a list, which orders. Litmus: retire.
            // SAFETY: There is no reference left, so that the link is ours until RCU has it.
            unsafe { self.0.as_ref() }
                .link
                .pending()
                .store(RETIRE, Relaxed);
            let cpu = Cpu::this();
            if !cpu.busy().load(Relaxed).is_null() {
                cpu.note_nested();
            }
            // SAFETY: Interrupts are disabled. Without a reference no node of the object can be on
            // a list, and nobody else can put one there.
            unsafe { cpu.add_object(Link::node(self.0.cast())) };
        } else {
            // SAFETY: By the safety requirements of this function.
            unsafe { self.retire_now(reclaim) };
        }
    }

    /// The same, where RCU may be called.
    ///
    /// # Safety
    ///
    /// As [`Last::retire`]; and the context must be one in which `call_rcu()` may be called.
    #[cold]
    #[inline(never)]
    unsafe fn retire_now(self, reclaim: Callback) {
        // SAFETY: There is no reference left; the link is the first field of the object.
        unsafe { Link::call_rcu(self.0.cast(), reclaim) };
    }
}

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

impl Head {
    /// The head of a new object, with one reference.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            link: Link::new(),
            refs: Refcount::new(1),
            performing: Atomic::new(0),
            kind,
            cancelling: Atomic::new(0),
        }
    }

    /// What the object is.
    #[inline]
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes a reference unless there is none left.
    #[inline]
    pub(super) fn tryget(&self) -> bool {
        self.refs.inc_not_zero()
    }

    /// Takes a reference where the caller has one already.
    #[inline]
    pub(super) fn get(&self) {
        self.refs.inc();
    }

    /// Drops a reference. Who drops the last one may reuse the link. Litmus: link-reuse.
    #[inline]
    pub(super) fn put(&self) -> Option<Last> {
        self.refs.dec_and_test().then(|| Last(NonNull::from(self)))
    }

    /// Queues an operation, to be performed on this CPU as soon as interrupts are enabled.
    ///
    /// Fully ordered: what was written before is visible to whoever performs the operation.
    ///
    /// # Context
    ///
    /// Interrupts disabled, or NMI.
    ///
    /// # Errors
    ///
    /// - `EDEADLK` when the object is the one whose operation is being performed on this CPU, or
    ///   when too many drains in a row have caused each other: somebody traces what the drain does.
    /// - `ENOENT` when there is no reference left.
    #[inline]
    pub(super) fn enqueue(&self, op: Op) -> Result<Option<Last>> {
        let cpu = Cpu::this();
        let busy = cpu.busy().load(Relaxed);

        if !busy.is_null() {
            if busy == self.address() || cpu.too_deep() {
                return Err(EDEADLK);
            }
            cpu.note_nested();
        }
        if !self.tryget() {
            return Err(ENOENT);
        }
        Ok(self.queue(cpu, op, false))
    }

    /// Queues the last operation of a detached object, with a reference of the caller's.
    ///
    /// It cannot be refused: where a chain is too long, it goes on in task context.
    ///
    /// # Context
    ///
    /// As [`Head::enqueue`].
    #[inline]
    pub(super) fn enqueue_owned(&self, op: Op) -> Option<Last> {
        let cpu = Cpu::this();
        let mut late = false;

        if !cpu.busy().load(Relaxed).is_null() {
            late = cpu.too_deep();
            if !late {
                cpu.note_nested();
            }
        }
        self.queue(cpu, op, late)
    }

    /// Puts `op` into the slot, and the caller's reference into the queue or away.
    #[inline]
    fn queue(&self, cpu: &Cpu, op: Op, late: bool) -> Option<Last> {
        // Full: pairs with the exchange in `drain_one`, for the operation's own sake and for what
        // the caller wrote before. Litmus: deferred-op, newest-wins, node-reuse.
        if self.link.pending().xchg(op.encode(), Full) != EMPTY {
            // Somebody will look again, with a reference of the queue's.
            return self.put();
        }
        let node = Link::node(NonNull::from(self).cast());
        // INVARIANT: The caller's reference is the queue's now.
        // SAFETY: The slot was empty, and so the object is on no list; whoever else queues an
        // operation sees that it is not. The reference keeps it valid. Interrupts are disabled.
        unsafe {
            if late {
                cpu.late().add(node);
            } else {
                cpu.add_object(node);
            }
        }
        None
    }

    /// Sees to it that no operation that was queued before can take effect after this call.
    ///
    /// What has not begun is taken back; what has begun is waited for. A drainer is in hard
    /// interrupt on another CPU and waits for nothing that the caller could hold.
    ///
    /// # Context
    ///
    /// Interrupts enabled, under the RCU guard through which the object was found.
    #[inline]
    pub(super) fn settle(&self) -> Option<Last> {
        // A queued operation has a reference, and its `tryget` came before whatever tells this
        // caller that it was queued. Acquire: who sees that reference gone sees what the operation
        // did, also where it looks without a lock, as `hrtimer_try_to_cancel()` does first.
        // Litmus: settle-refs, settle-lock, settle-told.
        if self.refs.read_acquire() <= 1 {
            return None;
        }
        self.settle_queued()
    }

    #[cold]
    fn settle_queued(&self) -> Option<Last> {
        // The slot may be an `rcu_head` by now: no look at it without a reference.
        if !self.tryget() {
            return None;
        }
        let pending = self.link.pending();
        let word = pending.load(Relaxed);
        if Op::decode(word).is_some() {
            // When this fails there is a newer operation, which runs concurrently with the caller,
            // or the drainer has just taken the one that was seen. A failed exchange orders
            // nothing; the load below does. Litmus: settle-taken, settle-empty.
            let _ = pending.cmpxchg(word, Op::NOP.encode(), Full);
        }
        // Acquire: whoever sees that an operation has left the slot also sees that it is being
        // performed. It may have been replaced in the slot by a newer one, so the slot alone does
        // not tell. Litmus: settle.
        if pending.load(Acquire) != EMPTY {
            let performing = self.performing.load(Acquire);
            if performing & 1 != 0 {
                // One operation at most is waited for, however many follow it.
                while self.performing.load(Acquire) == performing {
                    cpu_relax();
                }
            }
        }
        self.put()
    }

    #[inline]
    fn address(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// Performs what is queued on `list`, on the current CPU. Interrupts disabled, and no lock held
/// that starting or cancelling a timer or a work item, or `call_rcu()`, takes.
pub(super) fn drain<D: Dispatch>(cpu: &Cpu, list: &RawList) {
    // The oldest first. The iterator looks where the next node is before it gives out a node,
    // because the node may be on another list a moment later.
    for node in list.del_all().reverse() {
        // CAST: The link is the first field of a `Head`.
        let head = Link::from_node(node).cast::<Head>();
        cpu.busy().store(head.as_ptr().cast(), Relaxed);
        // SAFETY: The node came from the list, and with it the queue's reference or, when the
        // object is to be retired, the object itself.
        unsafe { drain_one::<D>(cpu, node, head) };
    }
    cpu.busy().store(core::ptr::null_mut(), Relaxed);
}

/// Performs what is queued for one object.
///
/// # Safety
///
/// `node` must be that of `head` and must have just been taken from a list. Interrupts must be
/// disabled.
#[inline]
unsafe fn drain_one<D: Dispatch>(cpu: &Cpu, node: Node, head: NonNull<Head>) {
    // SAFETY: The queue's reference keeps the object valid; a retired one is ours altogether.
    let this = unsafe { head.as_ref() };
    let pending = this.link.pending();

    for _ in 0..ROUNDS {
        // Only the drainer of the object writes this, and there is one at a time: each begins after
        // the one before it has put `EMPTY` into the slot. Odd before the operation is taken...
        // Litmus: handover.
        let performing = this.performing.load(Relaxed);
        this.performing.store(performing.wrapping_add(1), Relaxed);
        // ... Full: whoever finds it gone sees that. Pairs with `settle` and `queue`.
        let word = pending.xchg(DRAINING, Full);
        if let Some(op) = Op::decode(word) {
            // SAFETY: The queue's reference.
            unsafe { D::perform(head, op) };
        } else if word == RETIRE {
            // SAFETY: Nobody has a reference, and nobody waits for `performing`.
            unsafe { Last(head).retire_now(D::reclaim(this.kind)) };
            return;
        }
        // Release: whoever sees an even value sees the operation done. Litmus: settle, settle-undo.
        this.performing.store(performing.wrapping_add(2), Release);

        // Full: a newer operation is either seen here, or sees that the slot is empty.
        // Litmus: settle-empty, newest-wins, handover, node-reuse.
        if pending.cmpxchg(DRAINING, EMPTY, Full).is_ok() {
            // INVARIANT: The slot is empty, and the queue's reference goes away.
            if let Some(last) = this.put() {
                // SAFETY: The function for this kind; a drain may call RCU.
                unsafe { last.retire_now(D::reclaim(this.kind)) };
            }
            return;
        }
    }
    // There is a newer operation again. The slot is not empty, so the reference stays the queue's.
    // SAFETY: The node is on no list, and nobody adds it while the slot is not empty.
    unsafe { cpu.add_object(node) };
}
