// SPDX-License-Identifier: GPL-2.0

//! What C calls: the bodies of the BPF helpers and kfuncs, the functions of timers and work items,
//! and the drains.
//!
//! Errors become errno here and nowhere else.
//!
//! C header: [`include/linux/bpf_async.h`](srctree/include/linux/bpf_async.h)

use super::{
    async_cb::{
        AsyncCb,
        Cpu,
        Payload,
        Slot, //
    },
    map::Map,
    prog::ProgCallback,
    timer::Timer,
    work::WorkItem, //
};
use crate::{
    bindings,
    error::from_result,
    prelude::*,
    time::hrtimer::raw::{
        Clock,
        Mode, //
    },
};
use macros::export;

// User space knows the size of what is in a map value.
static_assert!(size_of::<Slot<Timer, ProgCallback>>() <= size_of::<bindings::bpf_timer>());
static_assert!(align_of::<Slot<Timer, ProgCallback>>() == align_of::<bindings::bpf_timer>());
static_assert!(size_of::<Slot<WorkItem, ProgCallback>>() <= size_of::<bindings::bpf_wq>());
static_assert!(align_of::<Slot<WorkItem, ProgCallback>>() == align_of::<bindings::bpf_wq>());

// The slab caches of 128 and 96 bytes, unless lockdep adds to `struct work_struct`. In C both kinds
// need the one of 192 bytes.
static_assert!(
    !cfg!(CONFIG_X86_64)
        || size_of::<AsyncCb<Timer, ProgCallback>>() <= 128
            && (cfg!(CONFIG_LOCKDEP) || size_of::<AsyncCb<WorkItem, ProgCallback>>() <= 96)
);

// `Mode` has the bits of `bpf_timer_start()`'s flags, except that its bit 0 stands for a relative
// expiry.
const ABS: u64 = bindings::BPF_F_TIMER_ABS as u64;
const PIN: u64 = bindings::BPF_F_TIMER_CPU_PIN as u64;
static_assert!(ABS == Mode::REL_BIT && PIN == Mode::PINNED_BIT);

/// Returns the slot in a map value.
///
/// # Safety
///
/// `slot` must be that of a `struct bpf_timer` or `struct bpf_wq`, whichever `P` is, in a value
/// that is valid for `'a`.
#[inline]
unsafe fn slot<'a, P: Payload<ProgCallback>, T>(slot: *mut T) -> &'a Slot<P, ProgCallback> {
    // CAST: The slot is one pointer at the beginning of the struct, and NULL in a new value.
    // SAFETY: By the safety requirements, the value is valid. The slot of a new element is empty:
    // its memory was zeroed, or `cancel_and_free()` was called for the element before. The verifier
    // lets a program access the slot through these functions only, except for an iterator over map
    // elements; see "Known limits" in Documentation/bpf/rust_async.rst.
    unsafe { &*slot.cast() }
}

/// `bpf_timer_init()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `timer` is in a value of `map`.
#[export]
unsafe extern "C" fn bpf_async_timer_init(
    timer: *mut bindings::bpf_timer,
    map: *mut bindings::bpf_map,
    flags: u64,
) -> c_int {
    from_result(|| {
        let clock = Clock::from_id(flags).ok_or(EINVAL)?;
        // SAFETY: Map and value are valid while the program runs, and the values have a timer. A
        // map meets the requirements of a container.
        unsafe {
            let map = Map::from_ptr(map);
            slot::<Timer, _>(timer).init(map, map.value_of_timer(timer), clock)?;
        }
        Ok(0)
    })
}

/// `bpf_timer_set_callback()`.
///
/// # Safety
///
/// Called for the BPF program of `aux`. The verifier has checked that `timer` is in a valid value,
/// and that `callback_fn` is a callback of this program for it.
#[export]
unsafe extern "C" fn bpf_async_timer_set_callback(
    timer: *mut bindings::bpf_timer,
    callback_fn: *mut c_void,
    aux: *mut bindings::bpf_prog_aux,
) -> c_int {
    from_result(|| {
        // SAFETY: The value is valid while the program runs, and the rest is the caller's duty.
        unsafe { slot::<Timer, _>(timer).set_callback(aux, callback_fn as usize) }.map(|()| 0)
    })
}

/// `bpf_timer_start()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `timer` is in a valid value.
#[export]
unsafe extern "C" fn bpf_async_timer_start(
    timer: *mut bindings::bpf_timer,
    nsecs: u64,
    flags: u64,
) -> c_int {
    from_result(|| {
        if flags & !(ABS | PIN) != 0 {
            return Err(EINVAL);
        }
        let mode = Mode::from_bits(flags ^ ABS);
        // CAST: As `ns_to_ktime()` does.
        // SAFETY: The value is valid while the program runs.
        unsafe { slot::<Timer, _>(timer) }
            .start(nsecs as i64, mode)
            .map(|()| 0)
    })
}

/// `bpf_timer_cancel()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `timer` is in a valid value.
#[export]
unsafe extern "C" fn bpf_async_timer_cancel(timer: *mut bindings::bpf_timer) -> c_int {
    // SAFETY: The value is valid while the program runs.
    from_result(|| unsafe { slot::<Timer, _>(timer) }.cancel())
}

/// `bpf_timer_cancel_async()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `timer` is in a valid value.
#[export]
unsafe extern "C" fn bpf_async_timer_cancel_async(timer: *mut bindings::bpf_timer) -> c_int {
    // SAFETY: The value is valid while the program runs.
    from_result(|| unsafe { slot::<Timer, _>(timer) }.cancel_async())
}

/// `bpf_timer_cancel_and_free()`, for `bpf_obj_free_fields()` and the maps.
///
/// # Safety
///
/// `timer` must be in a valid value.
#[export]
unsafe extern "C" fn bpf_async_timer_cancel_and_free(timer: *mut bindings::bpf_timer) {
    // SAFETY: The value is valid, as the caller guarantees.
    unsafe { slot::<Timer, _>(timer) }.cancel_and_free();
}

/// The function of the `hrtimer` of a `bpf_timer`.
///
/// # Safety
///
/// Called by the hrtimer core in softirq, for a timer that `bpf_async_timer_init()` has set up.
#[export]
pub(crate) unsafe extern "C" fn bpf_timer_cb(
    timer: *mut bindings::hrtimer,
) -> bindings::hrtimer_restart {
    // SAFETY: The timer is that of an object with callbacks in BPF.
    unsafe { Timer::timer_fn::<ProgCallback>(timer) }
}

/// `bpf_wq_init()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `wq` is in a value of `map`.
#[export]
unsafe extern "C" fn bpf_async_wq_init(
    wq: *mut bindings::bpf_wq,
    map: *mut bindings::bpf_map,
    flags: c_uint,
) -> c_int {
    from_result(|| {
        if flags != 0 {
            return Err(EINVAL);
        }
        // SAFETY: Map and value are valid while the program runs, and the values have a work item.
        // A map meets the requirements of a container.
        unsafe {
            let map = Map::from_ptr(map);
            slot::<WorkItem, _>(wq).init(map, map.value_of_wq(wq), ())?;
        }
        Ok(0)
    })
}

/// `bpf_wq_set_callback()`.
///
/// # Safety
///
/// Called for the BPF program of `aux`. The verifier has checked that `wq` is in a valid value, and
/// that `callback_fn` is a callback of this program for it.
#[export]
unsafe extern "C" fn bpf_async_wq_set_callback(
    wq: *mut bindings::bpf_wq,
    callback_fn: *mut c_void,
    flags: c_uint,
    aux: *mut bindings::bpf_prog_aux,
) -> c_int {
    from_result(|| {
        if flags != 0 {
            return Err(EINVAL);
        }
        // SAFETY: The value is valid while the program runs, and the rest is the caller's duty.
        unsafe { slot::<WorkItem, _>(wq).set_callback(aux, callback_fn as usize) }.map(|()| 0)
    })
}

/// `bpf_wq_start()`.
///
/// # Safety
///
/// Called for a BPF program. The verifier has checked that `wq` is in a valid value.
#[export]
unsafe extern "C" fn bpf_async_wq_start(wq: *mut bindings::bpf_wq, flags: c_uint) -> c_int {
    from_result(|| {
        if flags != 0 {
            return Err(EINVAL);
        }
        // SAFETY: The value is valid while the program runs.
        unsafe { slot::<WorkItem, _>(wq) }.start().map(|()| 0)
    })
}

/// `bpf_wq_cancel_and_free()`, for `bpf_obj_free_fields()` and the maps.
///
/// # Safety
///
/// `wq` must be in a valid value.
#[export]
unsafe extern "C" fn bpf_async_wq_cancel_and_free(wq: *mut bindings::bpf_wq) {
    // SAFETY: The value is valid, as the caller guarantees.
    unsafe { slot::<WorkItem, _>(wq) }.cancel_and_free();
}

/// The work function of a `bpf_wq`.
///
/// # Safety
///
/// Called by a worker, for a work item that `bpf_async_wq_init()` has set up.
#[export]
pub(crate) unsafe extern "C" fn bpf_wq_work(work: *mut bindings::work_struct) {
    // SAFETY: A worker calls this, outside of any read side. The work is that of an object with
    // callbacks in BPF, and holds a reference to it.
    unsafe { WorkItem::work_fn::<ProgCallback>(work) };
}

/// Drains what is queued on a CPU: the function of its `irq_work`.
///
/// # Safety
///
/// Called by the irq_work core on this CPU with interrupts disabled, for the `work` of its
/// `bpf_async_cpu`.
#[export]
unsafe extern "C" fn bpf_async_irq_work(work: *mut bindings::irq_work) {
    // SAFETY: The work is that of a `bpf_async_cpu`, which is a per-CPU variable.
    let cpu = unsafe {
        let cpu = crate::container_of!(work, bindings::bpf_async_cpu, work);
        Cpu::from_ptr(cpu)
    };
    // SAFETY: This is a hard interrupt, which has interrupted no holder of these locks: they are
    // held with interrupts disabled. Or it is the stopper that takes this CPU down, or the hotplug
    // callback of this CPU when it has come up: these hold none.
    unsafe { cpu.drain(cpu) };
}

/// Drains what is queued on a CPU that is dead or has come online, for the hotplug callbacks.
///
/// # Safety
///
/// `cpu` must be a `bpf_async_cpu` per-CPU variable. Interrupts are disabled, and no lock is held
/// that starting, cancelling or `call_rcu()` takes.
#[export]
unsafe extern "C" fn bpf_async_drain_cpu(cpu: *mut bindings::bpf_async_cpu) {
    // SAFETY: `cpu` is a per-CPU variable, and the context is as the caller guarantees.
    unsafe { Cpu::this().drain(Cpu::from_ptr(cpu)) };
}

/// Drains the overflow list of a CPU, for its work item.
///
/// # Safety
///
/// As [`bpf_async_drain_cpu`], in task context.
#[export]
unsafe extern "C" fn bpf_async_drain_overflow(cpu: *mut bindings::bpf_async_cpu) {
    // SAFETY: `cpu` is a per-CPU variable, and the context is as the caller guarantees.
    unsafe { Cpu::this().drain_overflow(Cpu::from_ptr(cpu)) };
}
