// SPDX-License-Identifier: GPL-2.0

//! `bpf/deferred.rs`, `bpf/link.rs`, `llist.rs`: the slot of pending operations and the lists. No
//! operation is lost and none is performed twice, and the link is used by nobody once RCU has it.

use super::*;
use crate::{
    atomic::{Acquire, Release},
    bindings::callback_head,
    bpf::{
        cpu::MAX_DEPTH,
        deferred::{Head, Kind, Last},
        pending::Op,
        perform::{self, Dispatch},
    },
    sync::rcu,
};

thread_local!(static DONE: core::cell::RefCell<Vec<(usize, Op)>> = const {
    core::cell::RefCell::new(Vec::new())
});

// What is done while an operation is performed.
thread_local!(static MEANWHILE: Cell<Option<fn(&'static Head, Op)>> = const { Cell::new(None) });

/// Notes what is performed.
struct Note;

unsafe extern "C" fn reclaim(head: *mut callback_head) {
    world().free(head.cast());
}

impl Dispatch for Note {
    unsafe fn perform(head: NonNull<Head>, op: Op) {
        // The object is there, and stays while this is done.
        world().touch(head.as_ptr() as usize + size_of::<callback_head>());
        DONE.with_borrow_mut(|done| done.push((head.as_ptr() as usize, op)));
        if let Some(meanwhile) = MEANWHILE.get() {
            // SAFETY: The memory stays until the end of the execution.
            meanwhile(unsafe { &*head.as_ptr() }, op);
        }
    }

    fn reclaim(_kind: Kind) -> crate::sync::rcu::callback::Callback {
        reclaim
    }
}

fn head() -> &'static Head {
    let head: *mut Head = world().alloc("an object", size_of::<Head>()).cast();
    // SAFETY: The memory has its size, and stays until the end of the execution.
    unsafe {
        head.write(Head::new(Kind::TIMER));
        &*head
    }
}

/// The operation, which nothing rounds.
fn op(number: i64) -> Op {
    Op::start(8 * number, REL)
}

fn not_last(_: Last) {
    panic!("the slot has a reference");
}

fn enqueue(head: &Head, number: i64) {
    world()
        .irqs_off(|| head.enqueue(op(number), not_last))
        .unwrap();
}

/// One interrupt, whose drain takes notes; says whether there is more, which is left to task
/// context when it was too much.
fn note_once(cpu: usize) -> bool {
    world().on_cpu(cpu);
    let raw = core::ptr::from_ref(&*world().cpus[cpu]).cast_mut();
    // SAFETY: It is that of a CPU.
    let (work, cpu) = unsafe { (&(*raw).work, Cpu::from_ptr(raw)) };
    work.raised.set(false);
    cpu.begin_drain();
    world().interrupt(|| perform::drain::<Note>(cpu, cpu.objects()));
    !failed() && (work.raised.get() || !cpu.late().is_empty())
}

/// The same of what is left to task context.
fn note_late(cpu: usize) -> bool {
    world().on_cpu(cpu);
    // SAFETY: It is that of a CPU.
    let cpu = unsafe { Cpu::from_ptr(core::ptr::from_ref(&*world().cpus[cpu]).cast_mut()) };
    if failed() || cpu.late().is_empty() {
        return false;
    }
    cpu.begin_late();
    world().interrupt(|| perform::drain::<Note>(cpu, cpu.late()));
    true
}

/// Interrupts, and task context, until there is nothing left.
fn note(cpu: usize) {
    while note_once(cpu) || note_late(cpu) {
        note_late(cpu);
    }
}

fn settle(head: &Head) {
    let _guard = rcu::read_lock();
    assert!(head.settle().is_none(), "the slot has a reference");
}

/// All that is queued is performed; what was done for `head` is returned.
fn finish(head: &'static Head) -> Vec<Op> {
    note(0);
    note(1);
    let address = core::ptr::from_ref(head) as usize;
    let done = DONE.with_borrow(|done| {
        let mine = done.iter().filter(|(of, _)| *of == address);
        mine.map(|(_, op)| *op).collect::<Vec<_>>()
    });
    for (n, op) in done.iter().enumerate() {
        assert!(
            *op == Op::NOP || !done[..n].contains(op),
            "performed twice: {done:?}"
        );
    }
    assert!(
        world().cpus.iter().all(|cpu| !cpu.work.raised.get()),
        "an interrupt is left"
    );
    let last = head
        .put()
        .expect("a reference is left: something is queued and lost");
    // SAFETY: `reclaim` is the function.
    unsafe { last.retire(reclaim) };
    done
}

/// Two CPUs, or a CPU and an NMI, queue, and one drains meanwhile: the newest operation is the last
/// that is performed, and each that was not is older.
#[test]
fn deferred_enqueue_twice() {
    explore(None, || {
        DONE.with_borrow_mut(Vec::clear);
        let head = head();
        let second = on_cpu(1, || enqueue(head, 2));
        let drainer = on_cpu(0, || note(0));
        world().on_cpu(0);
        enqueue(head, 1);
        second.join().unwrap();
        drainer.join().unwrap();
        let done = finish(head);
        assert!(!done.is_empty() && done.len() <= 2, "lost: {done:?}");
    });
}

/// One after the other, with a drain somewhere in between, which performs only two at a time: the
/// last one is never lost, and never overtaken.
#[test]
fn deferred_enqueue_in_order() {
    explore(None, || {
        DONE.with_borrow_mut(Vec::clear);
        let head = head();
        world().on_cpu(0);
        enqueue(head, 1);
        let drainer = on_cpu(0, || note(0));
        world().on_cpu(1);
        enqueue(head, 2);
        enqueue(head, 3);
        drainer.join().unwrap();
        let done = finish(head);
        assert_eq!(done.last(), Some(&op(3)), "lost or overtaken: {done:?}");
    });
}

/// A drain, an enqueue from an NMI and a settle: what was queued before the settle is performed
/// before it returns, or not at all; what the NMI queues is not lost.
#[test]
fn deferred_drain_enqueue_settle() {
    explore(4, || {
        DONE.with_borrow_mut(Vec::clear);
        let head = head();
        world().on_cpu(0);
        enqueue(head, 1);
        let drainer = on_cpu(0, || note(0));
        let nmi = on_cpu(1, || enqueue(head, 2));
        settle(head);
        let before = DONE.with_borrow(|done| done.iter().any(|(_, done)| *done == op(1)));
        drainer.join().unwrap();
        nmi.join().unwrap();
        let done = finish(head);
        assert!(
            before || !done.contains(&op(1)),
            "performed after it was settled: {done:?}"
        );
    });
}

/// A program that queues in a loop on one CPU keeps the drain of another one busy for two operations
/// only (H31); the rest is done in an interrupt of its own.
#[test]
fn deferred_two_at_a_time() {
    explore(0, || {
        DONE.with_borrow_mut(Vec::clear);
        MEANWHILE.set(Some(|head, done| {
            world().on_cpu(1);
            if done != op(9) {
                let next = DONE.with_borrow(Vec::len) as i64 + 1;
                enqueue(head, next.min(9));
            }
            world().on_cpu(0);
        }));
        let head = head();
        world().on_cpu(0);
        enqueue(head, 1);
        assert!(note_once(0), "what is newer is left to nobody");
        let done = DONE.with_borrow(Vec::len);
        assert_eq!(done, 2, "one interrupt has performed that many");
        let done = finish(head);
        MEANWHILE.set(None);
        assert_eq!(done.last(), Some(&op(9)), "lost: {done:?}");
    });
}

/// Operations that cause each other through tracing, over one object and over two, come to an end
/// (H11).
#[test]
fn deferred_chain_ends() {
    thread_local!(static PAIR: Cell<[Option<&'static Head>; 2]> = const { Cell::new([None; 2]) });
    thread_local!(static REFUSED: Cell<u32> = const { Cell::new(0) });

    explore(0, || {
        DONE.with_borrow_mut(Vec::clear);
        REFUSED.set(0);
        MEANWHILE.set(Some(|head, done| {
            let same = world().irqs_off(|| head.enqueue(done, not_last));
            assert!(matches!(same, Err(EDEADLK)), "the same object is queued");
            let [a, b] = PAIR.get().map(Option::unwrap);
            let other = if core::ptr::eq(a, head) { b } else { a };
            let next = DONE.with_borrow(Vec::len) as i64 + 1;
            assert!(next < 100, "the chain goes on for ever");
            match world().irqs_off(|| other.enqueue(op(next), not_last)) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, EDEADLK);
                    REFUSED.set(REFUSED.get() + 1);
                }
            }
        }));
        let (a, b) = (head(), head());
        PAIR.set([Some(a), Some(b)]);
        world().on_cpu(0);
        enqueue(a, 1);
        note(0);
        assert_eq!(REFUSED.get(), 1);
        MEANWHILE.set(None);
        // What is no chain is taken again.
        enqueue(a, 100);
        note(0);
        enqueue(b, 101);
        assert_eq!(finish(a).last(), Some(&op(100)));
        assert_eq!(finish(b).last(), Some(&op(101)));
    });
}

/// Last operations, which cannot be refused, cause each other: they go on in task context, and none is
/// lost. (Two objects with many references stand for many objects.)
#[test]
fn deferred_last_operations_end() {
    const MANY: usize = 12;
    thread_local!(static PAIR: Cell<[Option<&'static Head>; 2]> = const { Cell::new([None; 2]) });

    explore(0, || {
        DONE.with_borrow_mut(Vec::clear);
        MEANWHILE.set(Some(|head, done| {
            let [a, b] = PAIR.get().map(Option::unwrap);
            let other = if core::ptr::eq(a, head) { b } else { a };
            if DONE.with_borrow(Vec::len) < MANY {
                world().irqs_off(|| other.enqueue_owned(done, not_last));
            }
        }));
        let (a, b) = (head(), head());
        PAIR.set([Some(a), Some(b)]);
        for _ in 1..MANY / 2 {
            a.get();
            b.get();
        }
        world().on_cpu(0);
        world().irqs_off(|| a.enqueue_owned(Op::CANCEL, not_last));
        let mut interrupts = 0;
        while !failed() && world().cpus[0].work.raised.get() {
            note_once(0);
            interrupts += 1;
        }
        assert!(
            interrupts <= MAX_DEPTH + 1,
            "{interrupts} hard interrupts in a row"
        );
        note(0);
        MEANWHILE.set(None);
        assert_eq!(DONE.with_borrow(Vec::len), MANY, "lost");
    });
}

/// The link belongs to RCU when the last reference is gone. Somebody who has found the object
/// before still looks for what is queued, and another one queues (H24, H30).
#[test]
fn deferred_link_after_call_rcu() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        let nmi = on_cpu(1, || deferred(1, || slot.start(1, REL)));
        let settler = on_cpu(0, || slot.cancel_async());
        slot.cancel_and_free();
        map.free();
        let _ = nmi.join().unwrap();
        let _ = settler.join().unwrap();
        settle_down();
        while tick() {}
    });
}

/// The same when the last reference goes with interrupts disabled, and the link is first a node of
/// the list of those that wait for RCU.
#[test]
fn deferred_free_with_irqs_off() {
    explore(3, || {
        let map = Map::new();
        let (slot, _) = timer(map);
        slot.start(1, REL).unwrap();
        let nmi = on_cpu(1, || deferred(1, || slot.start(2, REL)));
        let settler = on_cpu(0, || slot.cancel_async());
        deferred(0, || slot.cancel_and_free());
        map.free();
        let _ = nmi.join().unwrap();
        let _ = settler.join().unwrap();
        settle_down();
        while tick() {}
    });
}

/// Two objects are on a list that is being drained; the one that was drained is queued on another
/// CPU at once, and its node is on that CPU's list: the other one is still found.
#[test]
fn deferred_node_moves_on() {
    explore(None, || {
        DONE.with_borrow_mut(Vec::clear);
        let (a, b) = (head(), head());
        world().on_cpu(0);
        enqueue(a, 1);
        enqueue(b, 2);
        let drainer = on_cpu(0, || note(0));
        let other = on_cpu(1, || {
            enqueue(a, 3);
            note(1);
        });
        drainer.join().unwrap();
        other.join().unwrap();
        let done = finish(a);
        assert_eq!(done.last(), Some(&op(3)), "lost: {done:?}");
        let done = finish(b);
        assert_eq!(done, [op(2)], "lost: {done:?}");
    });
}

/// What was written before an operation was queued is seen by whoever performs it, also when the
/// operation has only replaced another one.
#[test]
fn deferred_sees_what_was_before() {
    thread_local!(static DATA: Cell<Option<&'static Atomic<i32>>> = const { Cell::new(None) });

    struct Look;

    impl Dispatch for Look {
        unsafe fn perform(_head: NonNull<Head>, done: Op) {
            let seen = DATA.get().unwrap().load(Relaxed);
            assert!(done != op(2) || seen == 2, "performed, but not seen");
        }

        fn reclaim(_kind: Kind) -> crate::sync::rcu::callback::Callback {
            reclaim
        }
    }

    explore(None, || {
        DONE.with_borrow_mut(Vec::clear);
        let head = head();
        let data = world().keep(Atomic::new(0));
        DATA.set(Some(data));
        world().on_cpu(0);
        enqueue(head, 1);
        let drainer = on_cpu(0, || {
            // SAFETY: It is that of a CPU.
            let cpu = unsafe { Cpu::from_ptr(core::ptr::from_ref(&*world().cpus[0]).cast_mut()) };
            world().interrupt(|| perform::drain::<Look>(cpu, cpu.objects()));
        });
        world().on_cpu(1);
        data.store(2, Relaxed);
        enqueue(head, 2);
        drainer.join().unwrap();
        finish(head);
    });
}
