// SPDX-License-Identifier: GPL-2.0

//! `bpf/work.rs`: a work item that is pending or running has a reference to its object, every start
//! is followed by a run, and the run sees what was written before the start.

use super::*;

/// All runs that are left.
fn work_off() {
    settle_down();
    while run_work() {}
}

/// `start` meets `cancel_and_free`, and the work runs or not: the object stays for as long as the
/// work is pending or running, and is freed then.
#[test]
fn work_start_free_run() {
    explore(4, || {
        let map = Map::new();
        let (slot, _) = work(map);
        let starter = on_cpu(1, || slot.start());
        let worker = on_cpu(1, run_work);
        slot.cancel_and_free();
        map.free();
        let _ = starter.join().unwrap();
        worker.join().unwrap();
        work_off();
    });
}

/// The same with interrupts disabled throughout.
#[test]
fn work_deferred_start_free_run() {
    explore(4, || {
        let map = Map::new();
        let (slot, _) = work(map);
        let starter = on_cpu(1, || deferred(1, || slot.start()));
        let worker = on_cpu(1, run_work);
        deferred(0, || slot.cancel_and_free());
        map.free();
        let _ = starter.join().unwrap();
        worker.join().unwrap();
        work_off();
    });
}

/// The map goes away, and with it the program, while the work function looks at them: nothing is
/// called, and what may be the last reference to the program is dropped after the guard.
#[test]
fn work_map_goes() {
    explore(4, || {
        let map = Map::new();
        let (slot, prog) = work(map);
        slot.start().unwrap();
        map.gone.store(true, Relaxed);
        let last_user = on_cpu(1, || {
            slot.cancel_and_free();
            map.free();
        });
        run_work();
        last_user.join().unwrap();
        work_off();
        assert_eq!(prog.calls.get(), 0, "called without a map");
    });
}

/// Two starts and a run: each start is followed by a run that begins later, and references are
/// neither lost nor gained.
#[test]
fn work_start_start_run() {
    explore(4, || {
        let map = Map::new();
        let (slot, prog) = work(map);
        let starter = on_cpu(1, || slot.start().unwrap());
        let deferred_starter = on_cpu(1, || deferred(1, || slot.start().unwrap()));
        run_work();
        starter.join().unwrap();
        deferred_starter.join().unwrap();
        work_off();
        assert!((1..=2).contains(&prog.calls.get()), "a start was lost");
        slot.cancel_and_free();
        map.free();
    });
}

thread_local!(static DATA: Cell<Option<&'static Atomic<i32>>> = const { Cell::new(None) });
thread_local!(static SEEN: Cell<i32> = const { Cell::new(0) });

/// A start that finds the work item pending does nothing: the run then sees what was
/// written before that start.
#[test]
fn work_start_while_pending() {
    explore(None, || {
        let map = Map::new();
        let (slot, prog) = work(map);
        DATA.set(Some(world().keep(Atomic::new(0))));
        SEEN.set(0);
        prog.action
            .set(Some(|_| SEEN.set(DATA.get().unwrap().load(Relaxed))));
        slot.start().unwrap();
        let worker = on_cpu(1, run_work);
        DATA.get().unwrap().store(1, Relaxed);
        slot.start().unwrap();
        worker.join().unwrap();
        work_off();
        assert_eq!(SEEN.get(), 1, "no run has seen what came before the start");
        slot.cancel_and_free();
        map.free();
    });
}

/// A callback is replaced, and the program of the old one goes away, when a run has just looked at
/// it: the run then looks again, or a start that has returned 0 would have called nothing.
#[test]
fn work_callback_is_replaced() {
    explore(None, || {
        let map = Map::new();
        let (slot, old) = work(map);
        slot.start().unwrap();
        let worker = on_cpu(1, run_work);
        let new = Prog::new();
        set(slot, new.owner()).unwrap();
        worker.join().unwrap();
        work_off();
        assert_eq!(old.calls.get() + new.calls.get(), 1, "a start was lost");
        slot.cancel_and_free();
        map.free();
    });
}
