// SPDX-License-Identifier: GPL-2.0

//! `bpf/async_cb.rs`, `bpf/timer.rs`: nothing is touched after it was freed, and nothing is called
//! after `cancel_and_free`.

use super::*;
use crate::atomic::{Acquire, Release};

/// `start` meets `cancel_and_free`, the timer fires or not, and the object is freed
/// (timer_start_free_race).
#[test]
fn lifetime_start_free_fire() {
    explore(4, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let starter = on_cpu(1, || slot.start(1, REL));
        let softirq = on_cpu(1, tick);
        slot.cancel_and_free();
        map.free();
        let _ = starter.join().unwrap();
        softirq.join().unwrap();
        while tick() {}
    });
}

/// The same with a start that is deferred, and performed when the object is detached, or when it has
/// no other reference left.
#[test]
fn lifetime_deferred_start_free_fire() {
    explore(4, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let starter = on_cpu(1, || deferred(1, || slot.start(1, REL)));
        let softirq = on_cpu(0, tick);
        slot.cancel_and_free();
        map.free();
        let _ = starter.join().unwrap();
        softirq.join().unwrap();
        while tick() {}
    });
}

/// The same with a timer that was started before, and a `cancel` (timer_cancel_free_race).
#[test]
fn lifetime_cancel_free_fire() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        slot.start(1, REL).unwrap();
        let canceller = on_cpu(1, || slot.cancel());
        let softirq = on_cpu(2, tick);
        slot.cancel_and_free();
        map.free();
        let _ = canceller.join().unwrap();
        softirq.join().unwrap();
        while tick() {}
    });
}

/// A writer puts a callback into the cell of a freed object, for a moment; a timer that fires in
/// that moment calls nothing (wq_set_callback_freed): the callback that is refused is never called,
/// nothing begins after `cancel_and_free` has returned, and the map may go a grace period later.
#[test]
fn lifetime_freed_is_never_called() {
    explore(3, || {
        let map = Map::new();
        let (slot, prog) = timer(map);
        let late = Prog::new();
        let returned: &Atomic<bool> = world().keep(Atomic::new(false));
        slot.start(1, REL).unwrap();

        let writer = on_cpu(1, || set(slot, late.owner()));
        let softirq = on_cpu(1, || {
            let before = returned.load(Acquire);
            let calls = || prog.calls.get() + late.calls.get();
            let calls_before = calls();
            tick();
            assert!(
                !before || calls() == calls_before,
                "called after cancel_and_free() has returned"
            );
        });
        slot.cancel_and_free();
        returned.store(true, Release);
        map.free();
        let result = writer.join().unwrap();
        softirq.join().unwrap();
        assert!(
            result != Err(EPERM) || late.calls.get() == 0,
            "called although it was refused"
        );
    });
}

/// The same with a guard that begins when the grace period has begun: what a reader of RCU must
/// not see is what it must not see. The work function, which has a reference, is such a reader.
#[test]
fn lifetime_freed_work_is_never_called() {
    explore(4, || {
        let map = Map::new();
        let (slot, _) = work(map);
        let late = Prog::new();
        slot.start().unwrap();

        let writer = on_cpu(1, || set(slot, late.owner()));
        let worker = on_cpu(1, run_work);
        slot.cancel_and_free();
        map.free();
        let result = writer.join().unwrap();
        worker.join().unwrap();
        assert!(
            result != Err(EPERM) || late.calls.get() == 0,
            "called although it was refused"
        );
    });
}

/// Two objects for one slot: one is refused, and freed (async_init_race).
#[test]
fn lifetime_init_init() {
    explore(None, || {
        let map = Map::new();
        let slot = empty_slot::<Timer>();
        let other = on_cpu(1, || init(slot, map, Clock::Monotonic));
        let result = init(slot, map, Clock::Monotonic);
        let other = other.join().unwrap();
        assert!(matches!(
            (result, other),
            (Ok(()), Err(EBUSY)) | (Err(EBUSY), Ok(()))
        ));
        slot.cancel_and_free();
        map.free();
    });
}

/// An object that is made while the map's last user goes away is freed by one of the two
/// (async_init_race).
#[test]
fn lifetime_init_close() {
    explore(None, || {
        let map = Map::new();
        let slot = empty_slot::<Timer>();
        let initialiser = on_cpu(1, || init(slot, map, Clock::Monotonic));
        map.closed.xchg(true, Full);
        slot.cancel_and_free();
        let result = initialiser.join().unwrap();
        assert!(matches!(result, Ok(()) | Err(EPERM)));
        map.free();
    });
}

/// The object of a container that is closed is taken out of its slot. Another context has detached
/// it before, and put an object of a container that is open there: that one stays
/// (timer_init_free_race).
#[test]
fn lifetime_init_takes_its_own() {
    thread_local!(static SLOT: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });
    thread_local!(static OPEN: Cell<Option<&'static Map>> = const { Cell::new(None) });

    explore(None, || {
        let (closed, open) = (Map::new(), Map::new());
        let slot = empty_slot::<Timer>();
        SLOT.set(Some(slot));
        OPEN.set(Some(open));
        closed.closed.xchg(true, Full);
        closed.looked_at.set(Some(|| {
            let slot = SLOT.get().unwrap();
            slot.cancel_and_free();
            init(slot, OPEN.get().unwrap(), Clock::Monotonic).unwrap();
        }));
        assert_eq!(init(slot, closed, Clock::Monotonic), Err(EPERM));
        assert!(
            slot.cancel_async().is_ok(),
            "the object of another context is gone"
        );
        slot.cancel_and_free();
        closed.free();
        open.free();
    });
}

/// A slot is used again while others still have its first object (async_slot_reuse_race).
#[test]
fn lifetime_slot_is_used_again() {
    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let starter = on_cpu(1, || slot.start(1, REL));
        slot.cancel_and_free();
        init(slot, map, Clock::Monotonic).unwrap();
        let _ = slot.cancel_async();
        let _ = starter.join().unwrap();
        while tick() {}
        slot.cancel_and_free();
        map.free();
    });
}
