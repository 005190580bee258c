// SPDX-License-Identifier: GPL-2.0

//! What a CPU knows of deferred operations: `struct bpf_async_cpu`.
//!
//! C header: [`include/linux/bpf_async.h`](srctree/include/linux/bpf_async.h)

use super::link::Node;
use crate::{
    bindings,
    irq_work,
    llist::RawList,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// How many drains in a row may each be caused by the one before. Programs that trace what a drain
/// does can make such a chain; a longer one is refused, or goes on in task context.
pub(super) const MAX_DEPTH: u32 = 4;

const NESTED: u32 = 1 << 31;

/// Whether the context is one in which nothing may be called that takes a lock or re-enters RCU:
/// hard interrupt, NMI, or interrupts disabled. The same test as `defer_timer_wq_op()` in C.
#[inline]
pub(super) fn must_defer() -> bool {
    // SAFETY: An FFI call without requirements.
    unsafe { bindings::bpf_async_must_defer() }
}

/// The state of one CPU. The lists may be used from anywhere; all else only on the CPU itself.
#[repr(transparent)]
pub(super) struct Cpu(Opaque<bindings::bpf_async_cpu>);

impl Cpu {
    /// The state of the current CPU. Only with interrupts or preemption disabled.
    #[inline]
    pub(super) fn this() -> &'static Self {
        // SAFETY: An FFI call that yields the address of a static per-CPU variable, with the
        // layout of `Self`. All access below is atomic.
        unsafe { Self::from_ptr(bindings::bpf_async_this_cpu()) }
    }

    /// The state that C points to.
    ///
    /// # Safety
    ///
    /// `cpu` must point to a `bpf_async_cpu` per-CPU variable.
    #[inline]
    pub(super) unsafe fn from_ptr(cpu: *mut bindings::bpf_async_cpu) -> &'static Self {
        // CAST: `Self` is transparent over `Opaque<bpf_async_cpu>`, which is over `bpf_async_cpu`.
        // SAFETY: By the safety requirements of this function; per-CPU variables are static.
        unsafe { &*cpu.cast::<Self>() }
    }

    fn as_ptr(&self) -> *mut bindings::bpf_async_cpu {
        self.0.get()
    }

    /// The objects with an operation queued here.
    #[inline]
    pub(super) fn objects(&self) -> &RawList {
        // SAFETY: The list head lives as long as `self`, and only `RawList` is used on it.
        unsafe { RawList::from_ptr(&raw mut (*self.as_ptr()).objects) }
    }

    /// The programs whose last reference waits to be put here.
    #[inline]
    pub(super) fn progs(&self) -> &RawList {
        // SAFETY: As in `objects`.
        unsafe { RawList::from_ptr(&raw mut (*self.as_ptr()).progs) }
    }

    /// The objects that wait for task context.
    #[inline]
    pub(super) fn late(&self) -> &RawList {
        // SAFETY: As in `objects`.
        unsafe { RawList::from_ptr(&raw mut (*self.as_ptr()).late) }
    }

    /// The object whose operation is being performed on this CPU.
    #[inline]
    pub(super) fn busy(&self) -> &Atomic<*mut c_void> {
        // SAFETY: The field lives as long as `self`, and is accessed in no other way.
        unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).busy) }
    }

    /// How many drains in a row were caused by the drain before, and with `NESTED` that the one
    /// that is under way has caused another.
    fn chain(&self) -> &Atomic<u32> {
        // SAFETY: As in `busy`.
        unsafe { Atomic::from_ptr(&raw mut (*self.as_ptr()).chain) }
    }

    /// Begins a drain: one more in a row when the last one caused it.
    #[inline]
    pub(super) fn begin_drain(&self) {
        if self.chain().load(Relaxed) != 0 {
            self.go_on();
        }
    }

    #[cold]
    #[inline(never)]
    fn go_on(&self) {
        // An NMI may set `NESTED` in between; it then counts for the next drain, or not at all.
        let chain = self.chain().load(Relaxed);
        let depth = if chain & NESTED != 0 {
            core::cmp::min((chain & !NESTED) + 1, !NESTED)
        } else {
            0
        };
        self.chain().store(depth, Relaxed);
    }

    /// Begins a drain in task context: however it was caused, it does not add to a chain.
    pub(super) fn begin_late(&self) {
        self.chain().store(0, Relaxed);
    }

    /// Whether a chain of drains has become too long to go on in hard interrupt context.
    #[inline]
    pub(super) fn too_deep(&self) -> bool {
        self.chain().load(Relaxed) & !NESTED >= MAX_DEPTH
    }

    /// Notes that the drain under way has caused another one.
    #[inline]
    pub(super) fn note_nested(&self) {
        let chain = self.chain().load(Relaxed);
        self.chain().store(chain | NESTED, Relaxed);
    }

    /// Puts an object on this CPU's list and makes sure that it is drained.
    ///
    /// A CPU that is on its way down has run its irq_works for the last time; then a hotplug
    /// callback drains.
    ///
    /// # Safety
    ///
    /// As [`RawList::add`]. `self` must be the current CPU's, and preemption disabled.
    #[inline]
    pub(super) unsafe fn add_object(&self, node: Node) {
        // SAFETY: By the safety requirements of this function.
        if unsafe { self.objects().add(node) } {
            self.kick();
        }
    }

    /// Puts a program on this CPU's list and makes sure that it is drained.
    ///
    /// # Safety
    ///
    /// As [`Cpu::add_object`].
    #[inline]
    pub(super) unsafe fn add_prog(&self, node: Node) {
        // SAFETY: By the safety requirements of this function.
        if unsafe { self.progs().add(node) } {
            self.kick();
        }
    }

    fn kick(&self) {
        // SAFETY: An FFI call; the callers have preemption disabled.
        if unsafe { bindings::bpf_async_this_cpu_online() } {
            // SAFETY: The work is static and was set up at compile time.
            unsafe { irq_work::queue_raw(&raw mut (*self.as_ptr()).work) };
        }
    }

    /// Has the late list drained in task context. Not where a workqueue's lock may be held.
    pub(super) fn kick_late(&self) {
        // SAFETY: The work is static and was set up at boot.
        unsafe { bindings::bpf_async_schedule_work(&raw mut (*self.as_ptr()).late_work) };
    }
}

/// The timer whose callback is calling, or null.
#[inline]
pub(super) fn running_timer() -> *mut c_void {
    // SAFETY: An FFI call without requirements.
    unsafe { bindings::bpf_async_running() }
}

/// Says which timer's callback is running on the current CPU.
#[inline]
pub(super) fn set_running_timer(timer: *mut c_void) {
    // SAFETY: An FFI call without requirements.
    unsafe { bindings::bpf_async_set_running(timer) }
}
