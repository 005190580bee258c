// SPDX-License-Identifier: GPL-2.0

//! BPF programs, and their subprograms as callbacks.
//!
//! C headers: [`include/linux/bpf.h`](srctree/include/linux/bpf.h),
//! [`include/linux/filter.h`](srctree/include/linux/filter.h)

use super::{
    async_cb::{
        defer_put,
        AsyncCallback,
        Callback,
        CallbackRef,
        Payload,
        Slot, //
    },
    helpers,
    map::{
        Map,
        MapRef, //
    },
    timer::TimerCallback,
    work::{
        Acquired,
        WorkCallback,
        WorkFn, //
    },
};
use crate::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        rcu::{
            sched,
            tasks_trace, //
        },
    },
    time::hrtimer::raw,
};
use core::{
    marker::PhantomData,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};

/// Changes a reference count of C unless it is `unless`.
///
/// Returns whether it did. Any context; Full if it did.
#[doc(alias = "atomic64_add_unless")]
#[inline]
#[must_use]
pub(crate) fn add_unless(count: &Atomic<i64>, delta: i64, unless: i64) -> bool {
    let mut old = count.load(Relaxed);
    while old != unless {
        match count.cmpxchg(old, old.wrapping_add(delta), Full) {
            Ok(_) => return true,
            Err(seen) => old = seen,
        }
    }
    false
}

/// Puts the reference that [`defer_put`] was given.
///
/// # Safety
///
/// `node` must have been given to [`defer_put`] and have been taken off the list. The caller must
/// be a drain.
pub(crate) unsafe fn put_node(node: NonNull<bindings::llist_node>) {
    // SAFETY: `put_last` passed on the node, and the reference with it.
    unsafe {
        let aux = bindings::bpf_async_node_aux(node.as_ptr());
        bindings::bpf_prog_put((*aux).prog);
    }
}

/// Has the last reference to a program put by this CPU's `irq_work`, also with interrupts enabled:
/// a tracing program can drop it inside a region of `prog_idr_lock` or another lock that
/// `bpf_prog_put()` takes.
///
/// Any context.
///
/// # Safety
///
/// The caller must have seen that there is one reference, and gives it up.
#[cold]
#[inline(never)]
unsafe fn put_last(prog: Subprog<'_>) {
    // A drain that had the node before has read its link. Litmus: prog-node.
    let _ = prog.refcnt().load(Acquire);
    // SAFETY: `aux->rcu` is idle until the last reference was put. If another context takes a
    // reference meanwhile, it never drops the last one, which is on the list. With preemption
    // disabled the CPU stays the same, also on PREEMPT_RT, and does not go offline between `add`'s
    // look and the raise. If it is offline already, the CPU that took it down drains.
    unsafe {
        bindings::bpf_async_preempt_disable();
        defer_put(NonNull::new_unchecked(bindings::bpf_async_aux_node(
            prog.main_prog_aux(),
        )));
        bindings::bpf_async_preempt_enable();
    }
}

/// A subprogram of a program that is protected for `'a`.
///
/// # Invariants
///
/// The pointer is `aux->func[i]` of a loaded program that is not freed during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Subprog<'a>(
    NonNull<bindings::bpf_prog>,
    PhantomData<&'a bindings::bpf_prog>,
);

impl<'a> Subprog<'a> {
    /// Returns the subprogram of the program with this `aux` whose code begins at `function`: a
    /// linear search.
    ///
    /// # Safety
    ///
    /// `aux` must be that of a loaded program, which is not freed during `'a`.
    unsafe fn find(aux: *mut bindings::bpf_prog_aux, function: usize) -> Option<Self> {
        // SAFETY: Array and count are constant after the program was loaded. A program without
        // subprograms has the count 0.
        let (funcs, count) = unsafe { ((*aux).func, (*aux).real_func_cnt) };
        for i in 0..count as usize {
            // INVARIANT: An entry of `aux->func`.
            // SAFETY: The index is in bounds. `jit_subprogs()` has filled all entries before the
            // program could run.
            let func = Self(
                unsafe { NonNull::new_unchecked(*funcs.add(i)) },
                PhantomData,
            );
            if func.begins_at(function) {
                return Some(func);
            }
        }
        None
    }

    /// The code of the subprogram, as a callback.
    #[inline]
    fn func(&self) -> bindings::bpf_callback_t {
        // SAFETY: By the type invariants the pointer is valid. The JIT compiles callbacks for this
        // type, and `bpf_func` is what it has compiled.
        unsafe { core::mem::transmute((*self.0.as_ptr()).bpf_func) }
    }

    /// Returns whether the code begins at `function`.
    #[inline]
    fn begins_at(&self, function: usize) -> bool {
        // SAFETY: By the type invariants the pointer is valid.
        unsafe { (*self.0.as_ptr()).bpf_func }.map_or(0, |func| func as usize) == function
    }

    /// The `aux` of the program that the subprogram belongs to.
    #[inline]
    fn main_prog_aux(&self) -> *mut bindings::bpf_prog_aux {
        // SAFETY: By the type invariants the pointer is valid, and so is its `aux`.
        unsafe { (*(*self.0.as_ptr()).aux).main_prog_aux }
    }

    /// The reference count of that program.
    #[inline]
    fn refcnt(&self) -> &'a Atomic<i64> {
        // SAFETY: By the type invariants the program is not freed during `'a`. The count is only
        // accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.main_prog_aux()).refcnt.counter) }
    }

    /// Takes a reference to that program unless the last one is gone.
    ///
    /// Any context; Full.
    #[doc(alias = "bpf_prog_inc_not_zero")]
    #[inline]
    fn tryget(&self) -> Option<ProgCallback> {
        // INVARIANT: The reference was taken just now.
        add_unless(self.refcnt(), 1, 0).then(|| ProgCallback(self.0))
    }
}

/// Calls a callback for a value.
///
/// # Safety
///
/// `func` must be the code of a subprogram that the verifier has checked as a callback for values
/// of `map`, and must be protected. `value` must be a value of `map`. The context must be the one
/// for which the verifier has checked: softirq for a timer, and for a work item a task with
/// migration disabled.
#[inline]
unsafe fn call(func: bindings::bpf_callback_t, map: &Map, value: *mut c_void) {
    let mut index = MaybeUninit::uninit();
    let key = map.key_of_value(value, &mut index);
    // CAST: BPF's registers hold the addresses.
    // SAFETY: The caller guarantees that `func` is a verified callback for values of `map`, that it
    // is protected, and the context. The verifier has checked that callbacks return 0.
    unsafe {
        bindings::bpf_async_call(
            func,
            core::ptr::from_ref(map) as u64,
            key as u64,
            value as u64,
        );
    }
}

/// A subprogram, together with a reference to its program: what owns a callback.
///
/// # Invariants
///
/// The pointer is that of a subprogram, and there is a reference to its program.
pub(crate) struct ProgCallback(NonNull<bindings::bpf_prog>);

// SAFETY: A program can be put by any thread.
unsafe impl Send for ProgCallback {}
// SAFETY: What is used here of a program is atomic, or constant after it was loaded.
unsafe impl Sync for ProgCallback {}

impl ProgCallback {
    #[inline]
    fn subprog(&self) -> Subprog<'_> {
        // INVARIANT: The reference keeps the program as long as `self`.
        Subprog(self.0, PhantomData)
    }
}

impl Drop for ProgCallback {
    /// Any context.
    #[doc(alias = "bpf_prog_put")]
    #[inline]
    fn drop(&mut self) {
        // Litmus: prog-put.
        if !add_unless(self.subprog().refcnt(), -1, 1) {
            // SAFETY: There was one reference, which is given up.
            unsafe { put_last(self.subprog()) };
        }
    }
}

// SAFETY: A `struct bpf_prog` is aligned for a pointer. `__bpf_prog_put_noref()` frees a program,
// its subprograms, and their code, an RCU grace period after the last reference was put; if it is
// sleepable, an RCU Tasks Trace grace period, which includes one of RCU. What is used of them is
// constant until then. A reference can be dropped in any context.
unsafe impl Callback for ProgCallback {
    type Borrowed<'a> = Subprog<'a>;

    #[inline]
    fn into_raw(self) -> *mut c_void {
        ManuallyDrop::new(self).0.as_ptr().cast()
    }

    #[inline]
    unsafe fn borrow<'a>(ptr: *mut c_void) -> Subprog<'a> {
        // INVARIANT: The caller is an RCU reader that began before the reference was dropped. RCU
        // keeps the program for `'a`.
        // SAFETY: `into_raw` does not return NULL.
        Subprog(unsafe { NonNull::new_unchecked(ptr.cast()) }, PhantomData)
    }

    #[inline]
    unsafe fn release(ptr: *mut c_void) {
        // INVARIANT: The reference comes back with the pointer from `into_raw`.
        // SAFETY: `into_raw` does not return NULL.
        drop(Self(unsafe { NonNull::new_unchecked(ptr.cast()) }));
    }
}

impl AsyncCallback for ProgCallback {
    type Container = Map;
}

// SAFETY: `bpf_timer_cb` only calls `Timer::timer_fn` for `ProgCallback`.
unsafe impl TimerCallback for ProgCallback {
    const TIMER_FN: raw::Function = helpers::bpf_timer_cb;

    #[inline]
    unsafe fn call(callback: CallbackRef<'_, Self>) {
        // SAFETY: The verifier has checked the callbacks of `bpf_timer_set_callback()` for softirq.
        // This is one, and the context is softirq, as the caller guarantees. The object was in use
        // when this read side began, and maps keep the memory of values for RCU readers, with the
        // exception that `impl Container for Map` names.
        unsafe { call(callback.callback.func(), callback.container, callback.value) };
    }
}

/// What a running callback of a work item uses.
///
/// # Invariants
///
/// All come from one object, that of a work item, which was in use at some time in the RCU Tasks
/// Trace read side `'t`.
pub(crate) struct ProgRefs<'t> {
    callback: ProgCallback,
    map: MapRef,
    value: *mut c_void,
    _trace: PhantomData<&'t tasks_trace::Guard>,
}

// SAFETY: `bpf_wq_work` only calls `WorkItem::work_fn` for `ProgCallback`.
unsafe impl WorkCallback for ProgCallback {
    const WORK_FN: WorkFn = helpers::bpf_wq_work;
    type Refs<'t> = ProgRefs<'t>;

    #[inline]
    unsafe fn acquire<'t>(
        callback: &CallbackRef<'_, Self>,
        _trace: &'t tasks_trace::Guard,
    ) -> Acquired<ProgRefs<'t>> {
        // A callback that is set has a reference to its program. If there is none, it was replaced.
        let Some(prog) = callback.callback.tryget() else {
            return Acquired::Replaced;
        };
        let Some(map) = callback.container.tryget() else {
            return Acquired::Gone;
        };
        // INVARIANT: All come from the object of `callback`, which was in use when its read side
        // began, inside that of `_trace`.
        Acquired::Refs(ProgRefs {
            callback: prog,
            map,
            value: callback.value,
            _trace: PhantomData,
        })
    }

    #[inline]
    unsafe fn call(refs: &ProgRefs<'_>) {
        // SAFETY: This FFI call is paired with the one below.
        unsafe { bindings::bpf_async_migrate_disable() };
        // SAFETY: `refs` protects program and map. The verifier has checked the callbacks of
        // `bpf_wq_set_callback()`, of which this is one by the type invariants, for a task that may
        // sleep, which the caller guarantees. Migration is disabled. Maps keep the memory of values
        // for RCU Tasks Trace readers, of which this is one by the type invariants, with the
        // exception that `impl Container for Map` names.
        unsafe { call(refs.callback.subprog().func(), refs.map.map(), refs.value) };
        // SAFETY: This FFI call is paired with the one above.
        unsafe { bindings::bpf_async_migrate_enable() };
    }
}

impl<P: Payload<ProgCallback>> Slot<P, ProgCallback> {
    /// Sets the callback to a function of the running program.
    ///
    /// Any context.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if there is no object, or if the program has no such function.
    /// - `EPERM` if the object was freed meanwhile.
    /// - `ENOENT` if the last reference to the program is gone.
    ///
    /// # Safety
    ///
    /// `aux` must be that of the running program, and `function` have been checked by the verifier.
    #[doc(alias = "__bpf_async_set_callback")]
    #[inline]
    pub(crate) unsafe fn set_callback(
        &self,
        aux: *mut bindings::bpf_prog_aux,
        function: usize,
    ) -> Result {
        let guard = sched::read_lock();
        let cell = &self.get(&guard)?.callback;
        // Nothing to do in the usual case, that the callback is set already.
        if cell.load(&guard).is_some_and(|func| {
            func.begins_at(function) && core::ptr::eq(func.main_prog_aux(), aux)
        }) {
            return Ok(());
        }
        // SAFETY: A running program is not freed.
        let func = unsafe { Subprog::find(aux, function) }.ok_or(EINVAL)?;
        cell.set(func.tryget().ok_or(ENOENT)?)
    }
}
