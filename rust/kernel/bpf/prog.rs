// SPDX-License-Identifier: GPL-2.0

//! BPF programs, and their subprograms as callbacks.
//!
//! C headers: [`include/linux/bpf.h`](srctree/include/linux/bpf.h),
//! [`include/linux/filter.h`](srctree/include/linux/filter.h)

use super::{
    async_cb::{
        AsyncCallback,
        Installed, //
    },
    callback::Callback,
    install::Wanted,
    map::{
        Map,
        MapRef, //
    },
    prog_ref::ProgRef,
    timer::TimerCallback,
    work::{
        Held,
        HoldError,
        WorkCallback, //
    },
};
use crate::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::ForeignOwnable, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};

/// Where functions were found in their programs: by some bits of the address, an index.
///
/// A hint and no more: programs share an entry, and come and go. Of all programs, so that the
/// entries are hardly ever written.
static HINTS: [Atomic<i16>; 64] = [const { Atomic::new(0) }; 64];

/// A function of a loaded program that is protected for `'a`.
///
/// # Invariants
///
/// The pointer is that of a subprogram: `aux->func[i]` of a loaded program that has not been freed.
#[derive(Clone, Copy)]
pub struct Subprog<'a>(
    NonNull<bindings::bpf_prog>,
    PhantomData<&'a bindings::bpf_prog>,
);

impl Subprog<'_> {
    /// The address of its code.
    #[inline]
    fn function(&self) -> usize {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).bpf_func }.map_or(0, |f| f as usize)
    }

    /// What it shares with the program that it belongs to.
    #[inline]
    fn owner_aux(&self) -> *mut bindings::bpf_prog_aux {
        // SAFETY: By the type invariants; a subprogram's `main_prog_aux` is its owner's.
        unsafe { (*(*self.0.as_ptr()).aux).main_prog_aux }
    }

    /// Takes a reference to the program that it belongs to, unless there is none left.
    #[inline]
    fn owner(&self) -> Option<ProgRef> {
        // SAFETY: The owner is valid for as long as its subprograms are.
        unsafe { ProgRef::tryget(NonNull::new_unchecked(self.owner_aux())) }
    }

    /// Calls it as a callback.
    ///
    /// # Safety
    ///
    /// The subprogram must be one that the verifier has checked as a callback for this kind of
    /// object; `value` must be a value of `map` and valid.
    #[inline]
    unsafe fn call(&self, map: &Map, value: *mut c_void) {
        // The verifier has checked that the callback returns 0.
        // SAFETY: By the type invariants and the safety requirements of this function.
        unsafe { call(self.function(), map, value) };
    }
}

/// The subprograms of a program that is protected for `'a`.
///
/// # Invariants
///
/// The pointer is that of an array of `count` subprograms.
#[derive(Clone, Copy)]
struct Funcs<'a> {
    funcs: *const *mut bindings::bpf_prog,
    count: usize,
    _program: PhantomData<&'a bindings::bpf_prog>,
}

impl<'a> Funcs<'a> {
    /// # Safety
    ///
    /// The two must be those of a loaded program that is protected for `'a`.
    #[inline]
    unsafe fn new(funcs: *const *mut bindings::bpf_prog, count: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self {
            funcs,
            count,
            _program: PhantomData,
        }
    }

    #[inline]
    fn at(self, index: usize) -> Option<Subprog<'a>> {
        if index >= self.count {
            return None;
        }
        // INVARIANT: An entry of the array.
        // SAFETY: It is in bounds, and every entry is a subprogram.
        Some(Subprog(
            unsafe { NonNull::new_unchecked(*self.funcs.add(index)) },
            PhantomData,
        ))
    }
}

/// # Safety
///
/// `function` must be that of a [`Subprog`] which is protected throughout; otherwise as
/// [`Subprog::call`].
#[inline]
unsafe fn call(function: usize, map: &Map, value: *mut c_void) {
    let mut index = MaybeUninit::uninit();
    let key = map.key_of_value(value, &mut index);
    // CAST: The addresses are passed as the 64-bit registers of BPF.
    // SAFETY: By the safety requirements of this function. The address is that of a function of
    // this type: all BPF callbacks are called with five registers.
    unsafe {
        bindings::bpf_async_call(
            core::mem::transmute::<usize, bindings::bpf_callback_t>(function),
            map.as_ptr() as u64,
            key as u64,
            value as u64,
        )
    };
}

/// A subprogram with a reference to the program that it belongs to, in one pointer.
///
/// # Invariants
///
/// The pointer is that of a subprogram, and comes with one reference to its owner.
pub struct ProgCallback(NonNull<bindings::bpf_prog>);

// SAFETY: A program may be used and put by any thread.
unsafe impl Send for ProgCallback {}

/// A function of the program that is running, by its address.
///
/// # Invariants
///
/// `aux` is that of the loaded program that is running.
pub struct WantedFunction {
    aux: *mut bindings::bpf_prog_aux,
    function: usize,
}

impl WantedFunction {
    /// The function of `aux`'s program that begins at `function`.
    ///
    /// # Safety
    ///
    /// `aux` must be that of the loaded program that is running, for as long as the value exists.
    #[inline]
    pub unsafe fn new(aux: *mut bindings::bpf_prog_aux, function: usize) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self { aux, function }
    }

    #[inline]
    fn funcs(&self) -> Funcs<'_> {
        // SAFETY: By the type invariants. Array and count are set when a program is loaded, and
        // stay; a program without subprograms has the count 0.
        unsafe { Funcs::new((*self.aux).func, (*self.aux).real_func_cnt as usize) }
    }

    /// Where it was found last, or another one that shares the entry was.
    #[inline]
    fn hint(&self) -> &'static Atomic<i16> {
        // The code of a subprogram begins in a piece of 64 bytes of its own.
        &HINTS[self.function / 64 % HINTS.len()]
    }
}

// SAFETY: An owner is a subprogram with a reference to its program: any subprogram of the same
// program can have that reference. A program that is running is valid.
unsafe impl Wanted<ProgCallback> for WantedFunction {
    #[inline]
    fn has_owner_of(&self, current: &Subprog<'_>) -> bool {
        core::ptr::eq(current.owner_aux(), self.aux)
    }

    #[inline]
    fn is(&self, current: &Subprog<'_>) -> bool {
        current.function() == self.function
    }

    #[inline]
    fn find(&self) -> Option<*mut c_void> {
        // CAST: An index is not negative.
        let func = self.funcs().at(self.hint().load(Relaxed) as usize)?;
        (func.function() == self.function).then(|| func.0.as_ptr().cast())
    }

    /// # Errors
    ///
    /// `EINVAL` when the program has no such function.
    fn search(&self) -> Result<*mut c_void> {
        let funcs = self.funcs();
        let mut index = 0;

        while let Some(func) = funcs.at(index.into()) {
            if func.function() == self.function {
                // CAST: There are at most some hundred subprograms in a program.
                self.hint().store(index as i16, Relaxed);
                return Ok(func.0.as_ptr().cast());
            }
            index += 1u16;
        }
        Err(EINVAL)
    }

    /// # Errors
    ///
    /// `ENOENT` when the program has no reference left.
    #[inline]
    unsafe fn own(&self, found: *mut c_void) -> Result<ProgCallback> {
        // SAFETY: By the type invariants the program is valid, and `aux` with it.
        let prog = unsafe { ProgRef::tryget(NonNull::new_unchecked(self.aux)) };
        core::mem::forget(prog.ok_or(ENOENT)?);
        // INVARIANT: The owner of the subprogram is `aux`'s; its reference goes with the pointer.
        // SAFETY: By the safety requirements of this function.
        Ok(ProgCallback(unsafe {
            NonNull::new_unchecked(found.cast())
        }))
    }
}

impl Drop for ProgCallback {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the subprogram is valid, and so is its owner, to which
        // there is a reference that goes away with this.
        // INVARIANT: The owner is a loaded program.
        unsafe {
            let aux = Subprog(self.0, PhantomData).owner_aux();
            drop(ProgRef::from_raw(NonNull::new_unchecked(aux)));
        }
    }
}

// SAFETY: The pointer is that of a `struct bpf_prog`, with its alignment, and not null.
unsafe impl ForeignOwnable for ProgCallback {
    const FOREIGN_ALIGN: usize = core::mem::align_of::<bindings::bpf_prog>();
    type Borrowed<'a> = Subprog<'a>;
    type BorrowedMut<'a> = Subprog<'a>;

    #[inline]
    fn into_foreign(self) -> *mut c_void {
        let ptr = self.0.as_ptr().cast();
        core::mem::forget(self);
        ptr
    }

    #[inline]
    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // INVARIANT: The pointer came from `into_foreign`, and the reference comes back with it.
        // SAFETY: As above.
        Self(unsafe { NonNull::new_unchecked(ptr.cast()) })
    }

    #[inline]
    unsafe fn borrow<'a>(ptr: *mut c_void) -> Subprog<'a> {
        // INVARIANT: The pointer came from `into_foreign`, and the owner is valid for `'a`.
        // SAFETY: As above.
        Subprog(unsafe { NonNull::new_unchecked(ptr.cast()) }, PhantomData)
    }

    #[inline]
    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> Subprog<'a> {
        // SAFETY: The same requirements as those of `borrow`.
        unsafe { Self::borrow(ptr) }
    }
}

// SAFETY: A program and its subprograms are freed after an RCU grace period, or for a sleepable
// program after one of RCU Tasks Trace, which implies one; before that, when a trampoline was linked
// to it, comes one of RCU Tasks.
unsafe impl Callback for ProgCallback {}

impl AsyncCallback for ProgCallback {
    type Container = Map;
}

impl TimerCallback for ProgCallback {
    #[inline]
    fn call(installed: Installed<'_, Self>) {
        // SAFETY: The verifier has checked the callbacks that it gives to `bpf_timer_set_callback`.
        // The value belongs to the object, which was not freed when it was looked at, and the
        // memory of values is kept for RCU readers.
        unsafe {
            installed
                .callback()
                .call(installed.container(), installed.value())
        };
    }
}

/// A callback with references to its program and its map.
///
/// # Invariants
///
/// `function` is that of a subprogram of `prog`, which is there until this is dropped, and `map` is the map of the object.
pub struct ProgRefs {
    function: usize,
    map: MapRef,
    prog: Option<ProgRef>,
}

impl Drop for ProgRefs {
    fn drop(&mut self) {
        if let Some(prog) = self.prog.take() {
            // The work function holds no lock, so the last reference can be put here.
            prog.put_now();
        }
    }
}

impl WorkCallback for ProgCallback {
    type Refs = ProgRefs;
    type Some = ProgRef;

    #[inline]
    fn hold(installed: &Installed<'_, Self>) -> Result<ProgRefs, HoldError<ProgRef>> {
        // While it is in the cell it has a reference, so if there is none it was taken out.
        let prog = installed.callback().owner().ok_or(HoldError::Replaced)?;
        match installed.container().tryget() {
            // INVARIANT: As they came out of the object.
            Some(map) => Ok(ProgRefs {
                function: installed.callback().function(),
                map,
                prog: Some(prog),
            }),
            // Its reference may be the last one by now.
            None => Err(HoldError::Gone(prog)),
        }
    }

    #[inline]
    fn call(held: &Held<'_, Self>) {
        let refs = held.refs();
        // SAFETY: The references protect the function, which the verifier has checked for
        // `bpf_wq_set_callback`, and the map. The value is one of the map's, and its memory stays
        // for as long as `held` exists.
        unsafe { call(refs.function, &refs.map, held.value()) };
    }
}
