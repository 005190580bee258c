// SPDX-License-Identifier: GPL-2.0

//! `bpf/callback.rs`: the word that owns a callback.

use super::*;
use crate::{bpf::async_cb::CallbackCell, sync::rcu};

type Cell = CallbackCell<Owner>;

/// What is put in is dropped once: a program that is dropped twice, or never, fails the model.
fn set(cell: &'static Cell) -> bool {
    cell.set(Prog::new().owner()).is_ok()
}

/// The cell is freed, and stays so.
fn check_freed(cell: &'static Cell) {
    assert!(!cell.is_set(), "FREED did not stay");
    assert!(!set(cell), "FREED did not stay");
    cell.clear();
    assert!(!cell.is_set() && !set(cell), "FREED did not stay");
}

/// Two writers and `cancel_and_free`.
#[test]
fn callback_set_set_free() {
    explore(None, || {
        let cell = world().keep(Cell::new());
        let first = on_cpu(1, || set(cell));
        let second = on_cpu(1, || set(cell));
        // SAFETY: The cell is in no object.
        unsafe { cell.set_freed() };
        first.join().unwrap();
        second.join().unwrap();
        check_freed(cell);
    });
}

/// The same with a `cancel`, which takes the callback out.
#[test]
fn callback_set_clear_free() {
    explore(None, || {
        let cell = world().keep(Cell::new());
        set(cell);
        let setter = on_cpu(1, || set(cell));
        let clearer = on_cpu(1, || cell.clear());
        // SAFETY: The cell is in no object.
        unsafe { cell.set_freed() };
        setter.join().unwrap();
        clearer.join().unwrap();
        check_freed(cell);
    });
}

/// A reader may use what it got for as long as its guard exists, complete.
#[test]
fn callback_reader() {
    explore(4, || {
        let cell = world().keep(Cell::new());
        set(cell);
        let setter = on_cpu(1, || set(cell));
        let reader = on_cpu(1, || {
            let guard = rcu::read_lock();
            if let Some(prog) = cell.load(&guard) {
                prog.call();
            }
        });
        // SAFETY: The cell is in no object.
        unsafe { cell.set_freed() };
        setter.join().unwrap();
        reader.join().unwrap();
        check_freed(cell);
    });
}
