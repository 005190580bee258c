// SPDX-License-Identifier: GPL-2.0

//! What C calls. Helpers are called by BPF programs directly, with five 64-bit registers.
//!
//! C header: [`include/linux/bpf_async.h`](srctree/include/linux/bpf_async.h)

use super::{
    async_cb::{
        AsyncCb,
        Payload,
        Slot, //
    },
    cpu::Cpu,
    drain,
    map::Map,
    pending::StartFlags,
    prog::{
        ProgCallback,
        WantedFunction, //
    },
    timer::Timer,
    work::WorkItem,
};
use crate::{
    bindings,
    prelude::*,
    time::hrtimer::raw::Clock, //
};
use macros::export;

type TimerSlot = Slot<Timer, ProgCallback>;
type WqSlot = Slot<WorkItem, ProgCallback>;

// What the map's value holds is all that user space knows of.
static_assert!(size_of::<TimerSlot>() <= size_of::<bindings::bpf_timer>());
static_assert!(align_of::<TimerSlot>() == align_of::<bindings::bpf_timer>());
static_assert!(size_of::<WqSlot>() <= size_of::<bindings::bpf_wq>());
static_assert!(align_of::<WqSlot>() == align_of::<bindings::bpf_wq>());

// What `from_bpf` knows them as.
static_assert!(matches!(
    StartFlags::from_bpf(bindings::BPF_F_TIMER_ABS as u64),
    Some(flags) if flags.is_abs() && !flags.is_pinned()
));
static_assert!(matches!(
    StartFlags::from_bpf(bindings::BPF_F_TIMER_CPU_PIN as u64),
    Some(flags) if !flags.is_abs() && flags.is_pinned()
));

// One slab size below the C objects each, unless debugging options make the members larger.
#[cfg(all(CONFIG_X86_64, not(CONFIG_LOCKDEP)))]
static_assert!(size_of::<AsyncCb<Timer, ProgCallback>>() <= 128);
#[cfg(all(CONFIG_X86_64, not(CONFIG_LOCKDEP)))]
static_assert!(size_of::<AsyncCb<WorkItem, ProgCallback>>() <= 96);

/// The slot that C points to.
///
/// # Safety
///
/// `slot` must be that of a `struct bpf_timer` or `struct bpf_wq`, whichever `P` is, in a value that
/// is valid for `'a`.
#[inline]
unsafe fn slot<'a, P: Payload<ProgCallback>>(slot: *mut c_void) -> &'a Slot<P, ProgCallback> {
    // CAST: A slot is one pointer, at the beginning of either struct, zero when it is empty.
    // SAFETY: By the safety requirements of this function; nothing else accesses it.
    unsafe { &*slot.cast() }
}

/// The value of a helper: an `int` as a 64-bit register.
#[inline]
fn reg(result: Result<c_int>) -> u64 {
    // CAST: Sign-extended, as C does it.
    i64::from(int(result)) as u64
}

#[inline]
fn int(result: Result<c_int>) -> c_int {
    match result {
        Ok(value) => value,
        Err(error) => error.to_errno(),
    }
}

#[inline]
fn done(result: Result) -> Result<c_int> {
    result.map(|()| 0)
}

/// `bpf_timer_init()`.
///
/// # Safety
///
/// Called by a BPF program, with arguments that the verifier has checked.
#[export]
unsafe extern "C" fn bpf_timer_init(timer: u64, map: u64, flags: u64, _: u64, _: u64) -> u64 {
    let Some(clock) = Clock::from_id(flags) else {
        return reg(Err(EINVAL));
    };
    // SAFETY: The verifier has checked that the timer is one of the map's values', and both are
    // valid while the program runs. A map is a valid container.
    reg(done(unsafe {
        let map = Map::from_ptr(map as *mut _);
        let value = map.value_of_timer(timer as *mut c_void);
        slot::<Timer>(timer as *mut c_void).init_in(map, value, clock)
    }))
}

/// `bpf_timer_set_callback()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_timer_set_callback(
    timer: u64,
    callback_fn: u64,
    aux: u64,
    _: u64,
    _: u64,
) -> u64 {
    // SAFETY: As in `bpf_timer_init`; `aux` is that of the program that is running.
    reg(done(unsafe {
        set_callback::<Timer>(timer as *mut c_void, callback_fn as usize, aux as *mut _)
    }))
}

/// # Safety
///
/// `timer_or_wq` as [`slot`]; `aux` must be that of the program that is running.
#[inline]
unsafe fn set_callback<P: Payload<ProgCallback>>(
    timer_or_wq: *mut c_void,
    function: usize,
    aux: *mut bindings::bpf_prog_aux,
) -> Result {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        let wanted = WantedFunction::new(aux, function);
        slot::<P>(timer_or_wq).install(&wanted)
    }
}

/// `bpf_timer_start()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_timer_start(timer: u64, nsecs: u64, flags: u64, _: u64, _: u64) -> u64 {
    let Some(flags) = StartFlags::from_bpf(flags) else {
        return reg(Err(EINVAL));
    };
    // CAST: As `ns_to_ktime()`.
    // SAFETY: As in `bpf_timer_init`.
    reg(done(
        unsafe { slot::<Timer>(timer as *mut c_void) }.start(nsecs as i64, flags),
    ))
}

/// `bpf_timer_cancel()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_timer_cancel(timer: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
    // SAFETY: As in `bpf_timer_init`.
    reg(unsafe { slot::<Timer>(timer as *mut c_void) }.cancel_int())
}

/// `bpf_timer_cancel_async()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_async_timer_cancel_async(timer: *mut bindings::bpf_timer) -> c_int {
    // SAFETY: As in `bpf_timer_init`.
    int(unsafe { slot::<Timer>(timer.cast()) }.cancel_async_int())
}

/// Frees the timer of a value, for `bpf_obj_free_fields()` and the maps.
///
/// # Safety
///
/// `timer` must be that of a `struct bpf_timer` in a valid value.
#[export]
unsafe extern "C" fn bpf_timer_cancel_and_free(timer: *mut c_void) {
    // SAFETY: By the safety requirements of this function.
    unsafe { slot::<Timer>(timer) }.cancel_and_free();
}

/// `bpf_wq_init()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_async_wq_init(
    wq: *mut bindings::bpf_wq,
    map: *mut bindings::bpf_map,
    flags: c_uint,
) -> c_int {
    if flags != 0 {
        return int(Err(EINVAL));
    }
    // SAFETY: As in `bpf_timer_init`.
    int(done(unsafe {
        let map = Map::from_ptr(map);
        let value = map.value_of_wq(wq.cast());
        slot::<WorkItem>(wq.cast()).init_in(map, value, ())
    }))
}

/// `bpf_wq_set_callback()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_async_wq_set_callback(
    wq: *mut bindings::bpf_wq,
    callback_fn: *mut c_void,
    flags: c_uint,
    aux: *mut bindings::bpf_prog_aux,
) -> c_int {
    if flags != 0 {
        return int(Err(EINVAL));
    }
    // SAFETY: As in `bpf_timer_set_callback`.
    int(done(unsafe {
        set_callback::<WorkItem>(wq.cast(), callback_fn as usize, aux)
    }))
}

/// `bpf_wq_start()`.
///
/// # Safety
///
/// As [`bpf_timer_init`].
#[export]
unsafe extern "C" fn bpf_async_wq_start(wq: *mut bindings::bpf_wq, flags: c_uint) -> c_int {
    if flags != 0 {
        return int(Err(EINVAL));
    }
    // SAFETY: As in `bpf_timer_init`.
    int(done(unsafe { slot::<WorkItem>(wq.cast()) }.start()))
}

/// Frees the work item of a value, for `bpf_obj_free_fields()` and the maps.
///
/// # Safety
///
/// `wq` must be that of a `struct bpf_wq` in a valid value.
#[export]
unsafe extern "C" fn bpf_wq_cancel_and_free(wq: *mut c_void) {
    // SAFETY: By the safety requirements of this function.
    unsafe { slot::<WorkItem>(wq) }.cancel_and_free();
}

/// Performs what is queued on a CPU: the function of its `irq_work`.
///
/// # Safety
///
/// `work` must be that of the `bpf_async_cpu` per-CPU variable of the current CPU; otherwise as
/// [`drain::drain`].
#[export]
unsafe extern "C" fn bpf_async_irq_work(work: *mut bindings::irq_work) {
    // SAFETY: By the safety requirements of this function.
    let cpu = unsafe { crate::container_of!(work, bindings::bpf_async_cpu, work) };
    // SAFETY: As above.
    drain::drain(unsafe { Cpu::from_ptr(cpu) });
}

/// Performs what is queued on a CPU that is not online, for the hotplug callbacks.
///
/// # Safety
///
/// `cpu` must be a `bpf_async_cpu` per-CPU variable; otherwise as [`drain::drain_other`].
#[export]
unsafe extern "C" fn bpf_async_drain(cpu: *mut bindings::bpf_async_cpu) {
    // SAFETY: By the safety requirements of this function.
    drain::drain_other(unsafe { Cpu::from_ptr(cpu) });
}

/// Performs what is queued on a CPU's late list, for its work item.
///
/// # Safety
///
/// `cpu` must be a `bpf_async_cpu` per-CPU variable; otherwise as [`drain::drain_late`].
#[export]
unsafe extern "C" fn bpf_async_drain_late(cpu: *mut bindings::bpf_async_cpu) {
    // SAFETY: By the safety requirements of this function.
    drain::drain_late(unsafe { Cpu::from_ptr(cpu) });
}
