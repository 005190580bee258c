// SPDX-License-Identifier: GPL-2.0

//! `bpf/install.rs`: a callback that takes over the reference of the one before it.

use super::*;
use crate::{
    bpf::{
        callback::{CallbackCell, Freed},
        install::Wanted,
    },
    sync::rcu::sched,
};

/// A program with two functions; which of them is in a word the word says.
struct Program {
    refs: Refcount,
    functions: [Function; 2],
}

struct Function {
    program: Cell<*const Program>,
}

impl Program {
    /// A program that is running: it has one reference, until [`Program::ends`].
    fn new() -> &'static Self {
        let this: *mut Self = world().alloc("a program", size_of::<Self>()).cast();
        let function = || Function {
            program: Cell::new(this),
        };
        // SAFETY: The memory has its size, and stays until the end of the execution.
        unsafe {
            this.write(Self {
                refs: Refcount::new(1),
                functions: [function(), function()],
            });
            &*this
        }
    }

    fn ends(&'static self) {
        drop(Part(&self.functions[0]));
    }
}

/// A function with a reference to its program.
struct Part(&'static Function);

impl Function {
    fn program(&self) -> &'static Program {
        world().touch(core::ptr::from_ref(self) as usize);
        // SAFETY: The memory stays until the end of the execution; whether it was freed was
        // checked.
        unsafe { &*self.program.get() }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let program = self.0.program();
        if program.refs.dec_and_test() && !failed() {
            let this = core::ptr::from_ref(program).cast_mut();
            world().call_rcu(move || world().free(this.cast()));
        }
    }
}

// SAFETY: All threads of a model are one thread of the host.
unsafe impl Send for Part {}

// SAFETY: The pointer is that of a function, which is aligned.
unsafe impl ForeignOwnable for Part {
    const FOREIGN_ALIGN: usize = 8;
    type Borrowed<'a> = &'a Function;

    fn into_foreign(self) -> *mut c_void {
        let this = core::ptr::from_ref(self.0).cast_mut();
        core::mem::forget(self);
        this.cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // SAFETY: The pointer comes from `into_foreign`.
        Self(unsafe { &*ptr.cast() })
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a Function {
        // SAFETY: The pointer comes from `into_foreign`.
        unsafe { &*ptr.cast() }
    }
}

// SAFETY: A program is freed after a grace period.
unsafe impl Callback for Part {}

impl AsyncCallback for Part {
    type Container = Map;
}

impl TimerCallback for Part {
    fn call(installed: Installed<'_, Self>) {
        installed.callback().program();
    }
}

/// A function of a program that is running.
#[derive(Clone, Copy)]
struct Running(&'static Program, usize);

// SAFETY: A part is a function with a reference to its program.
unsafe impl Wanted<Part> for Running {
    fn has_owner_of(&self, current: &&Function) -> bool {
        core::ptr::eq(current.program(), self.0)
    }

    fn is(&self, current: &&Function) -> bool {
        core::ptr::eq(*current, &self.0.functions[self.1])
    }

    fn find(&self) -> Option<*mut c_void> {
        let function = core::ptr::from_ref(&self.0.functions[self.1]);
        // The first is where it is looked for.
        (self.1 == 0).then(|| function.cast_mut().cast())
    }

    fn search(&self) -> Result<*mut c_void> {
        Ok(core::ptr::from_ref(&self.0.functions[self.1])
            .cast_mut()
            .cast())
    }

    unsafe fn own(&self, found: *mut c_void) -> Result<Part> {
        assert!(self.0.refs.inc_not_zero(), "the program is running");
        // SAFETY: It comes from `search`.
        Ok(Part(unsafe { &*found.cast() }))
    }
}

type PartSlot = Slot<Timer, Part>;

/// A slot with a timer that has the first function of a program, which goes on running.
fn slot(map: &'static Map) -> (&'static PartSlot, &'static Program) {
    let (slot, program): (&'static PartSlot, _) = (world().keep(Slot::new()), Program::new());
    // SAFETY: The models free a map after its objects; the value is not used.
    unsafe { slot.init_in(map, core::ptr::null_mut(), Clock::Monotonic) }.unwrap();
    slot.install(&Running(program, 0)).unwrap();
    (slot, program)
}

/// A program installs its other function while another program installs one of its own: whichever
/// is overtaken, each reference is dropped once.
#[test]
fn install_other_function_and_program() {
    explore(None, || {
        let map = Map::new();
        let (slot, program) = slot(map);
        let other = Program::new();
        let second = on_cpu(1, move || {
            slot.install(&Running(program, 1)).unwrap();
            program.ends();
        });
        slot.install(&Running(other, 0)).unwrap();
        other.ends();
        second.join().unwrap();
        slot.cancel_and_free();
        map.free();
    });
}

/// The same while the callback is taken out, put in again, and fires.
#[test]
fn install_other_function_and_cancel() {
    explore(3, || {
        let map = Map::new();
        let (slot, program) = slot(map);
        let second = on_cpu(1, move || {
            slot.install(&Running(program, 1)).unwrap();
        });
        let softirq = on_cpu(0, tick);
        slot.cancel().unwrap();
        slot.install(&Running(program, 0)).unwrap();
        slot.start(1, REL).unwrap();
        second.join().unwrap();
        softirq.join().unwrap();
        program.ends();
        slot.cancel_and_free();
        map.free();
    });
}

/// The same while the cell is freed: it stays freed.
#[test]
fn install_other_function_and_free() {
    explore(None, || {
        let program = Program::new();
        let wanted = Running(program, 1);
        let cell: &CallbackCell<Part> = world().keep(CallbackCell::new());
        // SAFETY: It comes from `search`.
        drop(cell.set(unsafe { wanted.own(Running(program, 0).search().unwrap()) }.unwrap()));
        let second = on_cpu(1, move || {
            let guard = sched::read_lock();
            if let Some(seen) = cell.look(&guard) {
                // SAFETY: Both are functions of one program.
                unsafe { cell.transfer(seen, wanted.search().unwrap()) };
            }
        });
        drop(cell.free());
        second.join().unwrap();
        assert!(!cell.is_set(), "FREED did not stay");
        program.ends();
    });
}

/// The same, and a third one puts a callback over FREED and takes it out again, which may be the
/// one that has been handed the reference meanwhile.
#[test]
fn install_other_function_and_set_and_free() {
    explore(None, || {
        let program = Program::new();
        let wanted = Running(program, 1);
        let part = move |function| {
            let running = Running(program, function);
            // SAFETY: It comes from `search`.
            unsafe { running.own(running.search().unwrap()) }.unwrap()
        };
        let cell: &CallbackCell<Part> = world().keep(CallbackCell::new());
        let second = on_cpu(1, move || {
            let guard = sched::read_lock();
            if let Some(seen) = cell.look(&guard) {
                // SAFETY: Both are functions of one program.
                unsafe { cell.transfer(seen, wanted.search().unwrap()) };
            }
        });
        let third = on_cpu(2, move || match cell.set(part(0)) {
            Ok(old) | Err(Freed(old)) => drop(old),
        });
        drop(cell.free());
        second.join().unwrap();
        third.join().unwrap();
        assert!(!cell.is_set(), "FREED did not stay");
        program.ends();
    });
}
