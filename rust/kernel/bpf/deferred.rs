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
    link::Link,
    pending::{
        Op,
        EMPTY,
        RETIRE, //
    },
};
use crate::{
    prelude::*,
    processor::cpu_relax,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu::callback::Callback,
        Refcount, //
    },
};
use core::ptr::NonNull;

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
    pub(super) link: Link,
    refs: Refcount,
    /// Odd while an operation is being performed. Only the drainer writes it.
    pub(super) performing: Atomic<i8>,
    kind: Kind,
    /// For the payload: how many callbacks are waiting for this timer's.
    pub(super) cancelling: Atomic<i16>,
}

/// Proof that the last reference to an object is gone, and the duty to free it.
#[must_use = "the object leaks"]
pub struct Last(pub(super) NonNull<Head>);

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
    pub(super) unsafe fn retire_now(self, reclaim: Callback) {
        // SAFETY: There is no reference left, so that the object is the caller's. The domain of a
        // tracked object waits for it. The link is the first field of the object.
        unsafe {
            let hurry = self.0.as_ref().kind().is_tracked();
            Link::call_rcu(self.0.cast(), reclaim, hurry);
        }
    }
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

    /// Takes a reference unless there is none left. No memory ordering.
    ///
    /// Not `Refcount::inc_not_zero()`, which also looks for an overflow: the slot, the queue, a work
    /// item that is pending and one that is running have one each, and each context of each CPU
    /// that is in here or in `settle` has one for a moment.
    #[inline]
    pub(super) fn tryget(&self) -> bool {
        let refs = self.refs.as_atomic();
        // One is what it mostly is: a good guess saves a look.
        let mut old = 1;
        while old != 0 {
            match refs.cmpxchg(old, old.wrapping_add(1), Relaxed) {
                Ok(_) => return true,
                Err(seen) => old = seen,
            }
        }
        false
    }

    /// Takes a reference if there is exactly one. No memory ordering.
    #[inline]
    fn tryget_only(&self) -> bool {
        self.refs.as_atomic().cmpxchg(1, 2, Relaxed).is_ok()
    }

    /// Takes a reference where the caller has one already. No memory ordering.
    #[inline]
    pub(super) fn get(&self) {
        self.refs.as_atomic().add(1, Relaxed);
    }

    /// Drops a reference. Who drops the last one may reuse the link. Litmus: link-reuse.
    #[inline]
    pub(super) fn put(&self) -> Option<Last> {
        self.refs.dec_and_test().then(|| Last(NonNull::from(self)))
    }

    /// Drops a reference where it is hardly ever the last one.
    #[cold]
    #[inline(never)]
    pub(super) fn put_or(&self, retire: fn(Last)) {
        if let Some(last) = self.put() {
            retire(last);
        }
    }

    /// Queues an operation, to be performed on this CPU as soon as interrupts are enabled.
    ///
    /// Fully ordered: what was written before is visible to whoever performs the operation.
    /// `retire` is what is to be done when the last reference was dropped meanwhile.
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
    #[inline(always)]
    pub(super) fn enqueue(&self, op: Op, retire: fn(Last)) -> Result {
        let cpu = Cpu::this();

        if !cpu.busy().load(Relaxed).is_null() {
            return self.enqueue_nested(cpu, op, retire);
        }
        // One is what the count mostly is: a good guess saves a look.
        if !self.tryget_only() {
            return self.enqueue_shared(cpu, op, retire);
        }
        self.queue(cpu, op, false, retire);
        Ok(())
    }

    /// [`Head::enqueue`] from inside of a drain.
    #[cold]
    #[inline(never)]
    fn enqueue_nested(&self, cpu: &Cpu, op: Op, retire: fn(Last)) -> Result {
        let busy = cpu.busy().load(Relaxed);
        if busy == self.address() || cpu.too_deep() {
            return Err(EDEADLK);
        }
        cpu.note_nested();
        self.enqueue_shared(cpu, op, retire)
    }

    /// [`Head::enqueue`] whatever the count is.
    #[cold]
    #[inline(never)]
    fn enqueue_shared(&self, cpu: &Cpu, op: Op, retire: fn(Last)) -> Result {
        if !self.tryget() {
            return Err(ENOENT);
        }
        self.queue(cpu, op, false, retire);
        Ok(())
    }

    /// Queues the last operation of a detached object, with a reference of the caller's.
    ///
    /// It cannot be refused: where a chain is too long, it goes on in task context.
    ///
    /// # Context
    ///
    /// As [`Head::enqueue`].
    #[inline]
    pub(super) fn enqueue_owned(&self, op: Op, retire: fn(Last)) {
        let cpu = Cpu::this();
        let mut late = false;

        if !cpu.busy().load(Relaxed).is_null() {
            late = cpu.too_deep();
            if !late {
                cpu.note_nested();
            }
        }
        self.queue(cpu, op, late, retire);
    }

    /// Puts `op` into the slot, and the caller's reference into the queue or away.
    #[inline]
    fn queue(&self, cpu: &Cpu, op: Op, late: bool, retire: fn(Last)) {
        // Full: pairs with the exchange in `drain_round`, for the operation's own sake and for what
        // the caller wrote before. Litmus: deferred-op, newest-wins, node-reuse.
        if self.link.pending().xchg(op.encode(), Full) != EMPTY {
            // Somebody will look again, with a reference of the queue's.
            return self.put_or(retire);
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
        if self.is_settled() {
            return None;
        }
        self.settle_queued()
    }

    /// Whether [`Head::settle`] has nothing to do.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        // A queued operation has a reference, and its `tryget` came before whatever tells this
        // caller that it was queued. Acquire: who sees that reference gone sees what the operation
        // did, also where it looks without a lock, as `hrtimer_try_to_cancel()` does first.
        // Litmus: settle-refs, settle-lock, settle-told.
        self.refs.read_acquire() <= 1
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
