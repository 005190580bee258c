// SPDX-License-Identifier: GPL-2.0

//! References to BPF programs.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use super::{
    count,
    cpu::Cpu,
    link::Node,
};
use crate::{
    bindings,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu::sched, //
    },
};
use core::ptr::NonNull;

/// A reference to a BPF program.
///
/// # Invariants
///
/// The pointer is the `aux` of a loaded program, not of a subprogram, and comes with one reference.
/// The program stays the same, and valid, for as long as its `aux`.
#[doc(alias = "bpf_prog")]
pub struct ProgRef(NonNull<bindings::bpf_prog_aux>);

// SAFETY: A program may be used and put by any thread.
unsafe impl Send for ProgRef {}

impl ProgRef {
    /// The reference that comes with a pointer.
    ///
    /// # Safety
    ///
    /// `aux` must be that of a loaded program, with one reference that is the caller's to give.
    #[inline]
    pub(super) unsafe fn from_raw(aux: NonNull<bindings::bpf_prog_aux>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(aux)
    }

    /// Takes a reference unless there is none left. Any context; a fully ordered atomic
    /// read-modify-write.
    ///
    /// # Safety
    ///
    /// `aux` must be that of a loaded program, valid at least as long as this runs.
    #[doc(alias = "bpf_prog_inc_not_zero")]
    #[inline]
    pub(super) unsafe fn tryget(aux: NonNull<bindings::bpf_prog_aux>) -> Option<Self> {
        // SAFETY: By the safety requirements of this function.
        // INVARIANT: A reference was taken.
        count::inc_not_zero(unsafe { refcnt(aux) }).then(|| Self(aux))
    }

    /// The program whose last reference was queued as `node`.
    ///
    /// # Safety
    ///
    /// `node` must have been taken from [`Cpu::progs`].
    pub(super) unsafe fn from_node(node: Node) -> Self {
        // SAFETY: `put_last` put the node of a program there, with the reference.
        // INVARIANT: See above.
        Self(unsafe { NonNull::new_unchecked(bindings::bpf_async_node_aux(node.as_ptr())) })
    }

    /// Drops the reference where the last one may be put: not when a lock may be held that
    /// freeing a program takes.
    pub(super) fn put_now(self) {
        let aux = self.0;
        core::mem::forget(self);
        // SAFETY: By the type invariants there is a reference, which is given up.
        unsafe { bindings::bpf_prog_put((*aux.as_ptr()).prog) };
    }
}

impl Drop for ProgRef {
    #[doc(alias = "bpf_prog_put")]
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the program is valid.
        if !count::dec_unless_last(unsafe { refcnt(self.0) }) {
            // SAFETY: By the type invariants there is a reference, which is given up.
            unsafe { put_last(self.0) };
        }
    }
}

/// The reference count of a program.
///
/// # Safety
///
/// `aux` must be valid for `'a`.
#[inline]
unsafe fn refcnt<'a>(aux: NonNull<bindings::bpf_prog_aux>) -> &'a Atomic<i64> {
    // SAFETY: By the safety requirements of this function. The count is only accessed atomically.
    unsafe { Atomic::from_ptr(&raw mut (*aux.as_ptr()).refcnt.counter) }
}

/// Drops a reference that was the only one just now, from this CPU's `irq_work`.
///
/// Never here: a program that traces what runs under a lock that the put takes (`prog_idr_lock`,
/// which its other users take with softirqs disabled only) may be the one that drops it.
///
/// # Safety
///
/// `aux` must be that of a loaded program, with one reference that is given up.
#[cold]
#[inline(never)]
unsafe fn put_last(aux: NonNull<bindings::bpf_prog_aux>) {
    // The CPU must stay the same, and online, until the `irq_work` is raised.
    let _guard = sched::read_lock();
    let cpu = Cpu::this();
    if !cpu.busy().load(Relaxed).is_null() {
        cpu.note_nested();
    }
    // SAFETY: The program is valid. Whoever has the only reference has the node to itself: it is
    // otherwise used when the last reference has been put. Others may take a reference meanwhile,
    // but then theirs is never the last. Preemption is disabled.
    unsafe {
        let node = bindings::bpf_async_aux_node(aux.as_ptr());
        cpu.add_prog(NonNull::new_unchecked(node));
    }
}
