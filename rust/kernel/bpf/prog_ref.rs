// SPDX-License-Identifier: GPL-2.0

//! References to BPF programs.
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h)

use super::{
    count,
    cpu::{
        must_defer,
        Cpu, //
    },
    link::Node,
};
use crate::{
    bindings,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use core::ptr::NonNull;

/// A reference to a BPF program.
///
/// # Invariants
///
/// The pointer is that of a loaded program, not of a subprogram, and comes with one reference.
#[doc(alias = "bpf_prog")]
pub struct ProgRef(NonNull<bindings::bpf_prog>);

// SAFETY: A program may be used and put by any thread.
unsafe impl Send for ProgRef {}

impl ProgRef {
    /// The reference that comes with a pointer.
    ///
    /// # Safety
    ///
    /// `prog` must be that of a loaded program, with one reference that is the caller's to give.
    #[inline]
    pub(super) unsafe fn from_raw(prog: NonNull<bindings::bpf_prog>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(prog)
    }

    /// Takes a reference unless there is none left. Any context; a fully ordered atomic
    /// read-modify-write.
    ///
    /// # Safety
    ///
    /// `prog` must be that of a loaded program, valid at least as long as this runs.
    #[doc(alias = "bpf_prog_inc_not_zero")]
    #[inline]
    pub(super) unsafe fn tryget(prog: NonNull<bindings::bpf_prog>) -> Option<Self> {
        // SAFETY: By the safety requirements of this function.
        // INVARIANT: A reference was taken.
        count::inc_not_zero(unsafe { refcnt(prog) }).then(|| Self(prog))
    }

    /// The program whose last reference was queued as `node`.
    ///
    /// # Safety
    ///
    /// `node` must have been taken from [`Cpu::progs`].
    pub(super) unsafe fn from_node(node: Node) -> Self {
        // SAFETY: `put_last` put the node of a program there, with the reference.
        // INVARIANT: See above.
        Self(unsafe { NonNull::new_unchecked(bindings::bpf_async_node_prog(node.as_ptr())) })
    }

    /// Drops the reference where the last one may be put: not when a lock may be held that
    /// freeing a program takes.
    pub(super) fn put_now(self) {
        let prog = self.0;
        core::mem::forget(self);
        // SAFETY: By the type invariants there is a reference, which is given up.
        unsafe { bindings::bpf_prog_put(prog.as_ptr()) };
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
/// `prog` must be valid for `'a`.
#[inline]
unsafe fn refcnt<'a>(prog: NonNull<bindings::bpf_prog>) -> &'a Atomic<i64> {
    // SAFETY: By the safety requirements of this function the program is valid, and `aux` with it.
    // The count is only accessed atomically.
    unsafe { Atomic::from_ptr(&raw mut (*(*prog.as_ptr()).aux).refcnt.counter) }
}

/// Drops a reference that was the only one just now, as soon as it may be put.
///
/// # Safety
///
/// `prog` must be that of a loaded program, with one reference that is given up.
#[cold]
#[inline(never)]
unsafe fn put_last(prog: NonNull<bindings::bpf_prog>) {
    if !must_defer() {
        // SAFETY: By the safety requirements of this function.
        unsafe { bindings::bpf_prog_put(prog.as_ptr()) };
        return;
    }
    let cpu = Cpu::this();
    if !cpu.busy().load(Relaxed).is_null() {
        cpu.note_nested();
    }
    // SAFETY: The program is valid. Whoever has the only reference has the node to itself: it is
    // otherwise used when the last reference has been put. Others may take a reference meanwhile,
    // but then theirs is never the last. Interrupts are disabled.
    unsafe {
        let node = bindings::bpf_async_prog_node(prog.as_ptr());
        cpu.add_prog(NonNull::new_unchecked(node));
    }
}
