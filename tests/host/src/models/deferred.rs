// SPDX-License-Identifier: GPL-2.0

//! `async_cb/pending.rs`, `async_cb/deferred.rs`, `llist.rs`: no operation is lost and none is performed
//! twice, and no context uses node and word of an object once RCU has them.

use super::*;
use crate::atomic::{Acquire, Release};

/// A start that can be told from others: nothing rounds its expiry.
fn enqueue(slot: &TimerSlot, number: i64) {
    world().irqs_off(|| slot.start(8 * number, REL)).unwrap();
}

/// The starts that were performed, by their numbers.
fn performed() -> Vec<i64> {
    let starts = |(_, nanos): (usize, Option<i64>)| nanos.map(|nanos| nanos / 8);
    world().trace().into_iter().filter_map(starts).collect()
}

/// All that is queued is performed, and the timer freed. Returns the starts that were performed.
fn finish(slot: &'static TimerSlot, map: &'static Map) -> Vec<i64> {
    settle_down();
    let done = performed();
    for (n, op) in done.iter().enumerate() {
        assert!(!done[..n].contains(op), "performed twice: {done:?}");
    }
    slot.cancel_and_free();
    map.free();
    done
}

/// Two CPUs, or a CPU and an NMI, queue, and one drains meanwhile: the newest operation is performed,
/// and each that was not is older.
#[test]
fn deferred_queue_twice() {
    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let second = on_cpu(1, || enqueue(slot, 2));
        let drainer = on_cpu(0, || interrupt(0));
        world().on_cpu(0);
        enqueue(slot, 1);
        second.join().unwrap();
        drainer.join().unwrap();
        let done = finish(slot, map);
        assert!(!done.is_empty() && done.len() <= 2, "lost: {done:?}");
    });
}

/// One after the other, with a drain somewhere in between, which performs two at a time: the last one
/// is never lost, and never overtaken.
#[test]
fn deferred_queue_in_order() {
    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        world().on_cpu(0);
        enqueue(slot, 1);
        let drainer = on_cpu(0, || interrupt(0));
        world().on_cpu(1);
        enqueue(slot, 2);
        enqueue(slot, 3);
        drainer.join().unwrap();
        let done = finish(slot, map);
        assert_eq!(done.last(), Some(&3), "lost or overtaken: {done:?}");
    });
}

/// A drain, a start from an NMI and a cancel: what was queued before the cancel is performed before it
/// returns, or not at all; what the NMI queues is not lost.
#[test]
fn deferred_drain_queue_cancel() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        world().on_cpu(0);
        enqueue(slot, 1);
        let drainer = on_cpu(0, || interrupt(0));
        let nmi = on_cpu(1, || enqueue(slot, 2));
        slot.cancel_async().unwrap();
        let before = performed().contains(&1);
        drainer.join().unwrap();
        nmi.join().unwrap();
        let done = finish(slot, map);
        assert!(
            before || !done.contains(&1),
            "performed after it was revoked: {done:?}"
        );
    });
}

/// A program that queues in a loop on one CPU keeps the drain of another one busy for some operations
/// only (timer_flood); the rest is done in task context.
#[test]
fn deferred_rounds_end() {
    thread_local!(static SLOT: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });

    explore(0, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        SLOT.set(Some(slot));
        world().tracer.set(Some(|_, nanos| {
            let Some(number) = nanos.map(|nanos| nanos / 8) else {
                return;
            };
            world().on_cpu(1);
            if number < 9 {
                enqueue(SLOT.get().unwrap(), number + 1);
            }
            world().on_cpu(0);
        }));
        world().on_cpu(0);
        enqueue(slot, 1);
        assert!(interrupt_once(0), "what is newer is lost");
        assert_eq!(performed(), [1, 2], "one interrupt has performed that many");
        let done = finish(slot, map);
        assert_eq!(done.last(), Some(&9), "lost: {done:?}");
    });
}

/// Operations that cause each other through tracing, over one object and over two, come to an end
/// (timer_start_pair).
#[test]
fn deferred_chain_ends() {
    thread_local!(static PAIR: Cell<[Option<&'static TimerSlot>; 2]> = const { Cell::new([None; 2]) });
    thread_local!(static REFUSED: Cell<u32> = const { Cell::new(0) });

    explore(0, || {
        let map = Map::new();
        let ((a, _), (b, _)) = (timer(map), timer(map));
        PAIR.set([Some(a), Some(b)]);
        REFUSED.set(0);
        world().tracer.set(Some(|_, nanos| {
            let Some(number) = nanos.map(|nanos| nanos / 8) else {
                return;
            };
            assert!(number < 100, "the chain goes on for ever");
            // The odd ones are for the first.
            let pair = PAIR.get().map(Option::unwrap);
            let (this, other) = (pair[(number + 1) as usize % 2], pair[number as usize % 2]);
            let same = world().irqs_off(|| this.start(8 * number, REL));
            assert_eq!(same, Err(EDEADLK), "the same object is queued");
            if let Err(error) = world().irqs_off(|| other.start(8 * (number + 1), REL)) {
                assert_eq!(error, EDEADLK);
                REFUSED.set(REFUSED.get() + 1);
            }
        }));
        world().on_cpu(0);
        enqueue(a, 1);
        interrupt(0);
        assert_eq!(REFUSED.get(), 1);
        world().tracer.set(None);
        // What is no chain is taken again.
        enqueue(a, 101);
        interrupt(0);
        enqueue(b, 102);
        b.cancel_and_free();
        let done = finish(a, map);
        assert!(done.contains(&101), "lost: {done:?}");
    });
}

/// A start that replaces one of the same drain causes no other drain, so that drains which have nothing
/// to do with each other refuse nothing.
#[test]
fn deferred_replacing_causes_no_drain() {
    thread_local!(static SECOND: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });

    explore(0, || {
        let map = Map::new();
        let ((a, _), (b, _)) = (timer(map), timer(map));
        SECOND.set(Some(b));
        world().tracer.set(Some(|_, nanos| {
            // The odd ones are for the first.
            if let Some(number) = nanos
                .map(|nanos| nanos / 8)
                .filter(|number| number % 2 == 1)
            {
                let second = SECOND.get().unwrap();
                let replaced = world().irqs_off(|| second.start(8 * (number + 3), REL));
                assert_eq!(replaced, Ok(()), "refused");
            }
        }));
        world().on_cpu(0);
        for number in (1..40).step_by(4) {
            enqueue(a, number);
            enqueue(b, number + 1);
            interrupt(0);
        }
        world().tracer.set(None);
        b.cancel_and_free();
        let done = finish(a, map);
        assert_eq!(
            done.len(),
            20,
            "lost, or performed as well as what replaced it: {done:?}"
        );
    });
}

/// As `deferred_chain_ends`, by what the drain calls before the first object, or after the last.
fn deferred_chain_between(after: bool) {
    thread_local!(static PAIR: Cell<[Option<&'static TimerSlot>; 2]> = const { Cell::new([None; 2]) });
    thread_local!(static AFTER: Cell<bool> = const { Cell::new(false) });
    thread_local!(static NUMBER: Cell<i64> = const { Cell::new(1) });

    explore(0, move || {
        let map = Map::new();
        let ((a, _), (b, _)) = (timer(map), timer(map));
        PAIR.set([Some(a), Some(b)]);
        AFTER.set(after);
        NUMBER.set(1);
        world().list_tracer.set(Some(|of_progs| {
            if of_progs != AFTER.get() {
                return;
            }
            for slot in PAIR.get().map(Option::unwrap) {
                NUMBER.set(NUMBER.get() + 1);
                let started = world().irqs_off(|| slot.start(8 * NUMBER.get(), REL));
                assert!(matches!(started, Ok(()) | Err(EDEADLK)));
            }
        }));
        world().on_cpu(0);
        enqueue(a, 1);
        let mut interrupts = 0;
        while !failed() && world().cpus[0].work.raised.get() {
            interrupt_once(0);
            interrupts += 1;
            assert!(interrupts <= 5, "{interrupts} hard interrupts in a row");
        }
        world().list_tracer.set(None);
        b.cancel_and_free();
        finish(a, map);
    });
}

#[test]
fn deferred_chain_at_begin_ends() {
    deferred_chain_between(false);
}

#[test]
fn deferred_chain_at_end_ends() {
    deferred_chain_between(true);
}

/// Last operations, which cannot be refused, cause each other: they go on in task context, and none is
/// lost.
#[test]
fn deferred_last_operations_end() {
    const MANY: usize = 12;
    thread_local!(static SLOTS: std::cell::RefCell<Vec<&'static TimerSlot>> = const {
        std::cell::RefCell::new(Vec::new())
    });
    fn free_next() {
        if let Some(slot) = SLOTS.with_borrow_mut(Vec::pop) {
            world().irqs_off(|| slot.cancel_and_free());
        }
    }

    explore(0, || {
        let map = Map::new();
        SLOTS.set((0..MANY).map(|_| timer(map).0).collect());
        // In a drain only: an object is cancelled once more when it is freed.
        world().tracer.set(Some(|_, nanos| {
            if nanos.is_none() && world().in_interrupt() {
                free_next();
            }
        }));
        world().on_cpu(0);
        free_next();
        let mut interrupts = 0;
        while !failed() && world().cpus[0].work.raised.get() {
            interrupt_once(0);
            interrupts += 1;
        }
        assert!(interrupts <= 5, "{interrupts} hard interrupts in a row");
        settle_down();
        world().tracer.set(None);
        map.free();
        // An object that is lost is one that leaks.
        assert!(SLOTS.with_borrow(Vec::is_empty), "lost");
    });
}

/// Node and word belong to RCU when the last reference is gone. A context that has found the object
/// before still looks for what is queued, and another one queues (timer_newest_wins,
/// wq_set_callback_freed).
#[test]
fn deferred_link_after_call_rcu() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let nmi = on_cpu(1, || deferred(1, || slot.start(1, REL)));
        let canceller = on_cpu(0, || slot.cancel_async());
        slot.cancel_and_free();
        map.free();
        let _ = nmi.join().unwrap();
        let _ = canceller.join().unwrap();
        settle_down();
        while tick() {}
    });
}

/// The same when the last reference goes with interrupts disabled, and the object is first on the list
/// of those that wait for RCU.
#[test]
fn deferred_free_with_irqs_off() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        slot.start(1, REL).unwrap();
        let nmi = on_cpu(1, || deferred(1, || slot.start(2, REL)));
        let canceller = on_cpu(0, || slot.cancel_async());
        deferred(0, || slot.cancel_and_free());
        map.free();
        let _ = nmi.join().unwrap();
        let _ = canceller.join().unwrap();
        settle_down();
        while tick() {}
    });
}

/// Two objects are on a list that is being drained; the one that was drained is queued on another
/// CPU at once, and its node is on that CPU's list: the other one is still found.
#[test]
fn deferred_node_moves_on() {
    explore(None, || {
        let map = Map::new();
        let ((a, _), (b, _)) = (timer(map), timer(map));
        world().on_cpu(0);
        enqueue(a, 1);
        enqueue(b, 2);
        let drainer = on_cpu(0, || interrupt(0));
        let other = on_cpu(1, || {
            enqueue(a, 3);
            interrupt(1);
        });
        drainer.join().unwrap();
        other.join().unwrap();
        settle_down();
        b.cancel_and_free();
        let done = finish(a, map);
        assert!(done.contains(&2) && done.contains(&3), "lost: {done:?}");
    });
}

/// What was written before an operation was queued is seen when it is performed, also when the
/// operation has only replaced another one.
#[test]
fn deferred_sees_what_was_before() {
    thread_local!(static DATA: Cell<Option<&'static Atomic<i32>>> = const { Cell::new(None) });

    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        DATA.set(Some(world().keep(Atomic::new(0))));
        world().tracer.set(Some(|_, nanos| {
            let seen = DATA.get().unwrap().load(Relaxed);
            assert!(
                nanos.is_none_or(|nanos| nanos / 8 != 2) || seen == 2,
                "performed, but not seen"
            );
        }));
        world().on_cpu(0);
        enqueue(slot, 1);
        let drainer = on_cpu(0, || interrupt_once(0));
        world().on_cpu(1);
        DATA.get().unwrap().store(2, Relaxed);
        enqueue(slot, 2);
        drainer.join().unwrap();
        world().tracer.set(None);
        finish(slot, map);
    });
}
