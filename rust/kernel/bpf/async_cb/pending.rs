// SPDX-License-Identifier: GPL-2.0

//! The pending operation of an object, and the reference count that it depends on.
//!
//! A context that cannot take locks stores its operation in the object's pending word and adds the
//! object to a list of its CPU. An `irq_work` takes the object off the list and performs the
//! operation: see [`deferred`](super::deferred). The word holds one operation. A newer operation
//! replaces an older one, so that storing one needs no memory.
//!
//! ```text
//!           queue()             begin()               complete()
//!   IDLE ────────────► operation ──────► RUNNING ────────────────────► IDLE
//!                       ▲  │  ▲             │      no newer operation
//!               queue() └──┘  └─────────────┘
//!                                 queue()
//!
//!   IDLE ─────────────► CALL_RCU ──────► call_rcu()
//!         set_call_rcu()         begin()
//! ```
//!
//! # References
//!
//! The slot holds a reference, and so does a work item that is pending or running. While the word
//! holds an operation or `RUNNING`, one reference belongs to the queue: the context that replaces
//! `IDLE` passes its reference on, and the drainer drops it after it has restored `IDLE`. A context
//! may use `node` and `word` only while it holds a reference. When the last reference is gone, they
//! become the object's `rcu_head`.
//!
//! # Fields
//!
//! - `node`: used by the context that has replaced `IDLE`, then by the list, then by the drainer.
//! - `word`: used by each context that holds a reference.
//! - `seq`: a sequence count, odd while the drainer performs an operation. Only the drainer writes
//!   it. There is one drainer at a time, since an object is on one list at most.
//! - `kind`: constant.
//! - `cancelling`: belongs to [`Timer`](super::super::timer::Timer). It is here because a timer
//!   would not fit into 128 bytes otherwise.

use crate::{
    bindings,
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
        rcu::callback::{
            call_rcu,
            CallbackFn, //
        },
        Refcount, //
    },
    time::hrtimer::raw::Mode,
    types::Opaque, //
};
use core::{
    mem::offset_of,
    ptr::NonNull, //
};

/// No operation is queued.
const IDLE: u64 = 0;
/// The drainer performs an operation, and no newer one is queued.
const RUNNING: u64 = 1;
/// The last reference is gone, and the drainer has to call `call_rcu()`.
const CALL_RCU: u64 = 1 | (CODE + 1);

/// The operation was revoked.
const NOP: u64 = 2;
const CANCEL: u64 = 3;
/// Set in each start.
///
/// The mode of the start is in the low three bits, and includes this bit.
const START: u64 = Mode::SOFT_BIT;
/// The bits of an operation that say what it is.
const CODE: u64 = 7;

static_assert!(Mode::SOFT_BIT | Mode::REL_BIT | Mode::PINNED_BIT == CODE);
static_assert!((NOP | CANCEL) & (START | !CODE) == 0);

/// An operation that can be queued, in 64 bits.
///
/// The low three bits say what the operation is, and the others hold the expiry of a start.
/// Decoding sets the low three bits of the expiry: a deferred timer fires up to 7 ns late and never
/// early, `KTIME_MAX` keeps its value, and a negative expiry stays negative.
///
/// # Invariants
///
/// The word is `NOP`, `CANCEL`, or has `START` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op(u64);

impl Op {
    /// Cancel the timer or the work item.
    #[doc(alias = "BPF_ASYNC_CANCEL")]
    pub(crate) const CANCEL: Self = Self(CANCEL);

    /// Start the timer with this expiry, or queue the work item.
    #[doc(alias = "BPF_ASYNC_START")]
    #[inline]
    pub(crate) const fn start(nanos: i64, mode: Mode) -> Self {
        // CAST: The expiry's bits.
        // INVARIANT: A mode has `START` set.
        Self(nanos as u64 & !CODE | mode.bits())
    }

    /// Returns expiry and mode if the operation is a start.
    #[inline]
    pub(crate) const fn as_start(self) -> Option<(i64, Mode)> {
        if self.0 & START == 0 {
            return None;
        }
        // CAST: The expiry's bits.
        Some(((self.0 | CODE) as i64, Mode::from_bits(self.0 & CODE)))
    }

    const fn from_word(word: u64) -> Option<Self> {
        match word {
            IDLE | RUNNING | CALL_RCU => None,
            // INVARIANT: Each other word came from an `Op`.
            _ => Some(Self(word)),
        }
    }
}

/// Whether an object is a timer or a work item.
#[doc(alias = "bpf_async_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `BPF_ASYNC_TYPE_TIMER`
    Timer,
    /// `BPF_ASYNC_TYPE_WQ`
    Work,
}

/// What [`Head::queue`] found.
#[must_use = "the reference was not passed on in each case"]
pub(crate) enum Queued {
    /// Nothing was queued.
    ///
    /// The reference was passed on, and the caller adds the object to a list.
    First,
    /// The object is on a list already.
    ///
    /// The caller keeps its reference.
    Superseded,
}

/// What [`Head::begin`] found.
#[must_use = "the operation is lost"]
pub(crate) enum Begun {
    /// Perform this operation, then call [`Head::complete`].
    Perform(Op),
    /// Give the object to RCU.
    CallRcu,
}

/// What [`Head::complete`] found.
#[must_use = "a newer operation is lost"]
pub(crate) enum Completed {
    /// Nothing is queued.
    ///
    /// The caller has the queue's reference.
    Idle,
    /// A newer operation was queued meanwhile.
    Newer,
}

/// The head of each object.
///
/// What drops references and reclaims objects is in `async_cb.rs`, and what adds them to the lists
/// of a CPU in `deferred.rs`.
///
/// # Invariants
///
/// While `refs` is not 0:
///
/// - If `word` is not `IDLE`, one of `refs` belongs to the queue.
/// - `seq` is odd only while a drainer performs an operation of this object.
#[repr(C)]
pub(crate) struct Head {
    node: Opaque<bindings::llist_node>,
    word: Atomic<u64>,
    refs: Refcount,
    seq: Atomic<i8>,
    pub(crate) kind: Kind,
    pub(crate) cancelling: Atomic<i16>,
}

// `node` and `word` become the `rcu_head`.
static_assert!(offset_of!(Head, node) == 0);
static_assert!(offset_of!(Head, refs) == size_of::<bindings::callback_head>());
static_assert!(align_of::<Head>() >= align_of::<bindings::callback_head>());

/// Proof that the last reference to an object is gone, and the duty to free it.
///
/// # Invariants
///
/// The object is valid and has no reference, and there is one value of this type for it.
#[must_use = "the object leaks"]
pub(crate) struct Unreferenced(NonNull<Head>);

impl Head {
    /// The head of a new object, with one reference.
    pub(crate) fn new(kind: Kind) -> Self {
        // INVARIANT: Nothing is queued and nothing is performed.
        Self {
            node: Opaque::uninit(),
            word: Atomic::new(IDLE),
            refs: Refcount::new(1),
            seq: Atomic::new(0),
            kind,
            cancelling: Atomic::new(0),
        }
    }

    /// Returns a pointer to the object that may access all of it, not only the head as a pointer
    /// made from `&self` would.
    ///
    /// This compiles to nothing.
    #[inline]
    pub(crate) fn as_ptr(&self) -> NonNull<Self> {
        let ptr = core::ptr::with_exposed_provenance_mut(core::ptr::from_ref(self).addr());
        // SAFETY: The address is that of a reference. `Slot::init` has exposed the allocation.
        unsafe { NonNull::new_unchecked(ptr) }
    }

    /// Returns the list node of the object at `this`.
    #[inline]
    pub(crate) fn node(this: NonNull<Self>) -> NonNull<bindings::llist_node> {
        // CAST: `node` is the first field, and `Opaque` is transparent.
        this.cast()
    }

    /// Takes a reference unless the last one is gone.
    ///
    /// Any context; no memory ordering.
    ///
    /// The count cannot overflow: slot, queue, pending and running work have one reference each,
    /// and each context that is in an operation has one. So this does without the check for an
    /// overflow that `refcount_inc_not_zero()` has: 8 instructions in each `bpf_wq_start()`.
    #[must_use = "without a reference, the object may be freed"]
    #[inline]
    pub(crate) fn tryget(&self) -> bool {
        let refs = self.refs.as_atomic();
        // In the usual case there is one reference.
        let mut old = 1;
        while old != 0 {
            match refs.cmpxchg(old, old.wrapping_add(1), Relaxed) {
                Ok(_) => return true,
                Err(seen) => old = seen,
            }
        }
        false
    }

    /// Drops a reference.
    ///
    /// Any context; release ordering, and acquire for the last one. Litmus: link-reuse.
    ///
    /// # Safety
    ///
    /// The caller must hold a reference to the object at `this`, which it gives up.
    #[inline]
    pub(crate) unsafe fn dec(this: NonNull<Self>) -> Option<Unreferenced> {
        // SAFETY: The caller holds a reference. Not a `&Head`: when the reference is gone, another
        // context can free the object before this returns.
        let last = unsafe { (*this.as_ptr()).refs.dec_and_test() };
        // INVARIANT: The last reference was dropped just now.
        last.then_some(Unreferenced(this))
    }

    /// Edge `IDLE` or operation or `RUNNING` to operation.
    ///
    /// Full: [`Head::begin`] returns the operation after what its caller wrote before, and the
    /// newest one last. Litmus: deferred-op, newest-wins, node-reuse.
    ///
    /// # Safety
    ///
    /// The caller must hold a reference. If this returns [`Queued::First`], it belongs to the
    /// queue, and the caller must add the object to a list.
    #[inline]
    pub(crate) unsafe fn queue(&self, op: Op) -> Queued {
        // INVARIANT: If `IDLE` was replaced, the caller's reference becomes the queue's.
        if self.word.xchg(op.0, Full) == IDLE {
            Queued::First
        } else {
            Queued::Superseded
        }
    }

    /// Edge operation to `RUNNING`, or `CALL_RCU` to nothing.
    ///
    /// Full: a context that finds the operation gone from the word also finds `seq` odd.
    /// Litmus: revoke, handover, deferred-op. Release: a context that waits in
    /// [`Head::wait_sync`] can miss the even value and find the next odd one. It also finds the
    /// operation before performed. Litmus: revoke-next.
    ///
    /// # Safety
    ///
    /// The caller must be the drainer: it has taken the object off a list.
    #[inline]
    pub(crate) unsafe fn begin(&self) -> Begun {
        let seq = self.seq.load(Relaxed);
        self.seq.store(seq.wrapping_add(1), Release);
        match Op::from_word(self.word.xchg(RUNNING, Full)) {
            Some(op) => Begun::Perform(op),
            // The object is on a list, so the word was not `IDLE`. There is one drainer, so it was
            // not `RUNNING` either.
            None => Begun::CallRcu,
        }
    }

    /// Edge `RUNNING` to `IDLE`, unless a newer operation was queued.
    ///
    /// Release: a context that finds `seq` even also finds the operation performed.
    /// Litmus: revoke, revoke-undo. Full: either this finds the newer operation, or [`Head::queue`]
    /// finds `IDLE`. Litmus: revoke-empty, newest-wins, handover, node-reuse.
    ///
    /// # Safety
    ///
    /// The caller must be the drainer, and call this once for each [`Begun::Perform`].
    #[inline]
    pub(crate) unsafe fn complete(&self) -> Completed {
        let seq = self.seq.load(Relaxed);
        self.seq.store(seq.wrapping_add(1), Release);
        // INVARIANT: If `RUNNING` was replaced, the queue's reference becomes the caller's.
        if self.word.cmpxchg(RUNNING, IDLE, Full).is_ok() {
            Completed::Idle
        } else {
            Completed::Newer
        }
    }

    /// Returns whether no operation that was queued before can take effect after this call.
    ///
    /// Acquire: an operation that is queued or running holds a reference, which its context took
    /// before anything could tell this caller about the operation. A caller that sees the reference
    /// gone also sees what the operation did. Litmus: revoke-refs, revoke-lock, revoke-told.
    #[inline]
    pub(crate) fn deferred_idle(&self) -> bool {
        self.refs.as_atomic().load(Acquire) == 1
    }

    /// Edge operation to `NOP`, then [`Head::wait_sync`].
    ///
    /// # Safety
    ///
    /// As [`Head::wait_sync`].
    pub(crate) unsafe fn revoke_sync(&self) {
        let word = self.word.load(Relaxed);
        if Op::from_word(word).is_some() {
            // If this fails, the operation that was seen is being performed, or a newer one
            // replaced it. A failed exchange orders nothing, but the load in `wait_sync()` does.
            // Litmus: revoke-taken, revoke-empty.
            let _ = self.word.cmpxchg(word, NOP, Full);
        }
        // SAFETY: The caller guarantees what `wait_sync()` requires.
        unsafe { self.wait_sync() };
    }

    /// Waits while the drainer performs an operation that it took before.
    ///
    /// The wait is for one operation, since `seq` changes with each. (`seq` has 8 bits: a caller
    /// that reads it once in 128 operations only may wait for as many.) The drainer is on another
    /// CPU, with interrupts disabled. It waits for no lock that the caller holds: each lock that an
    /// operation takes is taken with interrupts disabled everywhere, and the caller has them
    /// enabled. (A program that traces the operation can wait for a `bpf_res_spin_lock()`, which
    /// times out.)
    ///
    /// # Safety
    ///
    /// - The caller must hold a reference. Without one, `word` can be the function of an
    ///   `rcu_head`.
    /// - Interrupts must be enabled: with interrupts disabled, the drainer could wait for this CPU.
    pub(crate) unsafe fn wait_sync(&self) {
        // Acquire: a context that sees the operation gone from the word sees `seq` odd. The word
        // alone does not tell, since it can hold a newer operation by now. Litmus: revoke.
        if self.word.load(Acquire) != IDLE {
            let seq = self.seq.load(Acquire);
            while seq & 1 != 0 && self.seq.load(Acquire) == seq {
                cpu_relax();
            }
        }
    }
}

impl Unreferenced {
    /// # Safety
    ///
    /// The object must be valid and have no reference, and there must be no other value for it.
    pub(super) unsafe fn new(object: NonNull<Head>) -> Self {
        // INVARIANT: The caller guarantees it.
        Self(object)
    }

    /// Edge `IDLE` to `CALL_RCU`.
    ///
    /// Returns the object, which the caller adds to a list.
    ///
    /// In C, `worker_for_call_rcu` does this. Relaxed: adding the object to a list orders this.
    /// Litmus: call-rcu.
    #[must_use = "the object is lost unless it is added to a list"]
    pub(crate) fn set_call_rcu(self) -> NonNull<Head> {
        // SAFETY: Without a reference, no other context uses the object.
        unsafe { self.0.as_ref() }.word.store(CALL_RCU, Relaxed);
        self.0
    }

    /// Turns `node` and `word` into an `rcu_head`, and gives the object to RCU.
    ///
    /// # Safety
    ///
    /// `func` must accept the `rcu_head` of this object. The context must be one in which
    /// [`call_rcu`] can be called.
    pub(crate) unsafe fn call_rcu(self, func: CallbackFn) {
        // CAST: An `rcu_head` fits in `node` and `word`, which are the first fields.
        // SAFETY: Without a reference, no other context uses the object. `func` and the context are
        // the caller's duty.
        unsafe { call_rcu(self.0.as_ptr().cast(), func) }
    }
}
