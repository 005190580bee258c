// SPDX-License-Identifier: GPL-2.0

//! `bpf/timer.rs`, `bpf/deferred.rs`: the newest operation wins, in whichever context it was issued
//! (P8, timer_newest_wins, timer_cancel_held_start), and callbacks that cancel each other's timers
//! do not wait for ever (timer_cancel_ring).

use super::*;
use crate::atomic::{Acquire, Release};

/// Frees a timer and its map.
fn end(slot: &'static TimerSlot, map: &'static Map) {
    slot.cancel_and_free();
    map.free();
}

/// A start that was deferred, and had returned before `cancel_async` was called elsewhere.
#[test]
fn order_deferred_start_then_cancel() {
    explore(5, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let started: &Atomic<bool> = world().keep(Atomic::new(false));
        let starter = on_cpu(1, || {
            deferred(1, || {
                slot.start(1, REL).unwrap();
                started.store(true, Release);
            })
        });
        let after = started.load(Acquire);
        slot.cancel_async().unwrap();
        starter.join().unwrap();
        settle_down();
        assert!(!after || armed().is_empty(), "an older start has won");
        end(slot, map);
    });
}

/// A `cancel_async` that was deferred, and had returned before `start` was called elsewhere.
#[test]
fn order_deferred_cancel_then_start() {
    explore(5, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let cancelled: &Atomic<bool> = world().keep(Atomic::new(false));
        let canceller = on_cpu(1, || {
            deferred(1, || {
                assert_eq!(slot.cancel_async(), Err(ECANCELED));
                cancelled.store(true, Release);
            })
        });
        let after = cancelled.load(Acquire);
        slot.start(2, REL).unwrap();
        canceller.join().unwrap();
        settle_down();
        assert!(!after || armed() == [2], "an older cancel has won");
        end(slot, map);
    });
}

/// A callback that starts its timer again, and a `cancel_async` that was deferred after that: the
/// timer does not fire again, although its function is running when the cancel is performed.
#[test]
fn order_start_in_callback_then_deferred_cancel() {
    thread_local!(static SLOT: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });
    thread_local!(static STARTED: Cell<Option<&'static Atomic<bool>>> = const { Cell::new(None) });

    explore(4, || {
        let map = Map::new();
        let (slot, prog) = timer(map);
        let started: &Atomic<bool> = world().keep(Atomic::new(false));
        SLOT.set(Some(slot));
        STARTED.set(Some(started));
        prog.action.set(Some(|_| {
            SLOT.get().unwrap().start(7, REL).unwrap();
            STARTED.get().unwrap().store(true, Release);
        }));
        slot.start(1, REL).unwrap();
        let softirq = on_cpu(1, tick);
        let after = started.load(Acquire);
        let result = deferred(0, || slot.cancel_async());
        assert_eq!(result, Err(ECANCELED));
        softirq.join().unwrap();
        settle_down();
        assert!(!after || armed().is_empty(), "an older start has won");
        // And a newer one is not lost.
        slot.start(2, REL).unwrap();
        assert_eq!(armed(), [2], "a newer start was undone");
        end(slot, map);
    });
}

/// A `cancel_async` that fails, because the callback is running, does not revoke what the callback has
/// queued: as in C, the timer fires again.
#[test]
fn order_failed_cancel_revokes_nothing() {
    thread_local!(static SLOT: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });

    explore(3, || {
        let map = Map::new();
        let (slot, prog) = timer(map);
        SLOT.set(Some(slot));
        prog.action.set(Some(|_| {
            let slot = SLOT.get().unwrap();
            world().irqs_off(|| slot.start(7, REL)).unwrap();
            let other = on_cpu(0, || slot.cancel_async());
            assert_eq!(other.join().unwrap(), Err(EPERM));
        }));
        slot.start(1, REL).unwrap();
        let softirq = on_cpu(1, tick);
        softirq.join().unwrap();
        settle_down();
        assert_eq!(armed(), [7], "a cancel that failed has undone a start");
        end(slot, map);
    });
}

/// A start that returned before `cancel_async` was called, while an older one was being performed:
/// if the cancel fails, because the older one has called the callback, the newer one is performed.
#[test]
fn order_failed_cancel_revokes_no_older_start() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        world().irqs_off(|| slot.start(8, REL)).unwrap();
        let drainer = on_cpu(0, || {
            interrupt(0);
            tick();
        });
        deferred(1, || slot.start(16, REL)).unwrap();
        let result = slot.cancel_async();
        drainer.join().unwrap();
        settle_down();
        let newer = |(_, nanos): &(_, Option<i64>)| nanos.is_some_and(|nanos| nanos & !7 == 16);
        assert!(
            result != Err(EPERM) || world().trace().iter().any(newer),
            "a cancel that failed has undone a start"
        );
        end(slot, map);
    });
}

/// A `cancel_async` that finds the timer started and another start queued says that it was active.
#[test]
fn order_cancel_revokes_and_was_active() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        slot.start(1, REL).unwrap();
        world().irqs_off(|| slot.start(2, REL)).unwrap();
        assert_eq!(slot.cancel_async(), Ok(1));
        settle_down();
        assert!(armed().is_empty(), "an older start has won");
        end(slot, map);
    });
}

/// A point in time that has passed, given in a callback, means now: the softirq would fire the timer
/// again and again otherwise (timer_past_expiry).
#[test]
fn order_past_in_callback_is_now() {
    thread_local!(static SLOT: Cell<Option<&'static TimerSlot>> = const { Cell::new(None) });

    explore(0, || {
        let map = Map::new();
        let (slot, prog) = timer(map);
        SLOT.set(Some(slot));
        prog.action.set(Some(|_| {
            SLOT.get().unwrap().start(1, Mode::ABS).unwrap();
        }));
        slot.start(1, Mode::ABS).unwrap();
        assert_eq!(armed(), [1]);
        tick();
        assert_eq!(armed(), [bindings::NOW], "started in the past");
        end(slot, map);
    });
}

/// A start is being performed on one CPU when an NMI queues a cancel for another one, and a third
/// cancels at once: when that has returned, the start is done with (timer_cancel_held_start).
#[test]
fn order_performed_start_nmi_cancel() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        world().irqs_off(|| slot.start(1, REL)).unwrap();
        let drainer = on_cpu(0, || interrupt(0));
        let nmi = on_cpu(1, || world().irqs_off(|| slot.cancel_async()));
        slot.cancel_async().unwrap();
        assert!(
            armed().is_empty(),
            "what is being performed was not waited for"
        );
        drainer.join().unwrap();
        let _ = nmi.join().unwrap();
        settle_down();
        assert!(armed().is_empty(), "a start has won over two newer cancels");
        end(slot, map);
    });
}

/// Of two that are deferred one after the other, on whichever CPU, the second one wins
/// (timer_deferred_order).
#[test]
fn order_deferred_twice() {
    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let first: &Atomic<bool> = world().keep(Atomic::new(false));
        let one = on_cpu(1, || {
            deferred(1, || {
                slot.start(15, REL).unwrap();
                first.store(true, Release);
            })
        });
        let after = first.load(Acquire);
        deferred(0, || slot.start(23, REL)).unwrap();
        one.join().unwrap();
        settle_down();
        let armed = armed();
        assert!(
            armed == [23] || (!after && armed == [15]),
            "an older start has won"
        );
        end(slot, map);
    });
}

/// A start that races with a cancel does not undo a newer start that came after that cancel
/// (timer_newest_wins): what is refused is "arm, look at the callback again, disarm".
#[test]
fn order_start_cancel_start() {
    explore(None, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let starter = on_cpu(1, || slot.start(1, REL));
        slot.cancel().unwrap();
        set(slot, Prog::new().owner()).unwrap();
        slot.start(2, REL).unwrap();
        let _ = starter.join().unwrap();
        assert!(!armed().is_empty(), "a newer start was undone");
        end(slot, map);
    });
}

/// When `cancel` has returned nothing fires for a start before it, whatever callback is installed
/// then (timer_newest_wins): also when that start was deferred, and when the timer is firing just
/// now.
#[test]
fn order_cancel_then_new_callback() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        world().irqs_off(|| slot.start(1, REL)).unwrap();
        let drainer = on_cpu(0, || interrupt(0));
        let softirq = on_cpu(1, tick);
        slot.cancel().unwrap();
        let new = Prog::new();
        set(slot, new.owner()).unwrap();
        drainer.join().unwrap();
        softirq.join().unwrap();
        settle_down();
        while tick() {}
        assert_eq!(new.calls.get(), 0, "called for a start that was cancelled");
        end(slot, map);
    });
}

thread_local!(static CIRCLE: Cell<[Option<&'static TimerSlot>; 3]> = const { Cell::new([None; 3]) });

fn cancel_other<const OTHER: usize>(_: &Prog) {
    let _ = CIRCLE.get()[OTHER].unwrap().cancel();
}

/// Timers in a circle, each of whose callbacks cancels the next one's timer, with a softirq for each
/// (timer_cancel_ring). Were they to wait for each other, the model would not end.
fn circle(actions: &[fn(&Prog)]) {
    let map = Map::new();
    let mut slots = [None; 3];
    for (slot, action) in slots.iter_mut().zip(actions) {
        let (timer, prog) = timer(map);
        prog.action.set(Some(*action));
        timer.start(1, REL).unwrap();
        *slot = Some(timer);
    }
    CIRCLE.set(slots);
    let softirqs: Vec<_> = (1..actions.len()).map(|cpu| on_cpu(cpu, tick)).collect();
    tick();
    for softirq in softirqs {
        softirq.join().unwrap();
    }
    for slot in slots.into_iter().flatten() {
        slot.cancel_and_free();
    }
    map.free();
}

#[test]
fn order_two_cancel_each_other() {
    explore(None, || circle(&[cancel_other::<1>, cancel_other::<0>]));
}

#[test]
fn order_three_cancel_each_other() {
    explore(2, || {
        circle(&[cancel_other::<1>, cancel_other::<2>, cancel_other::<0>]);
    });
}
