// SPDX-License-Identifier: GPL-2.0

//! Whose operation wins.

use super::{Mutation, CANCELLING, DEFERRED, PERFORM, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "arm-look-disarm",
        model: "order_start_cancel_start",
        says: "a newer start was undone",
        changes: &[(
            TIMER,
            "Timer::settle_and_start(cb, nanos, flags);\n",
            "Timer::settle_and_start(cb, nanos, flags);\n        if !cb.callback().is_set() { cb.payload().0.try_to_cancel(); }\n",
        )],
    },
    Mutation {
        name: "start-without-settle",
        model: "order_deferred_cancel_then_start",
        says: "an older cancel has won",
        changes: &[(
            TIMER,
            "if cb.head().is_settled() {\n            cb.payload().start",
            "if true {\n            cb.payload().start",
        )],
    },
    Mutation {
        name: "cancel-without-settle",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(
            TIMER,
            "if cb.head().is_settled() {\n            cb.payload().0.try",
            "if true {\n            cb.payload().0.try",
        )],
    },
    Mutation {
        name: "settle-reads-the-count-relaxed",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(DEFERRED, "self.refs.read_acquire()", "self.refs.read()")],
    },
    Mutation {
        name: "settle-reads-the-slot-relaxed",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(
            DEFERRED,
            "if pending.load(Acquire) != EMPTY {",
            "if pending.load(Relaxed) != EMPTY {",
        )],
    },
    Mutation {
        name: "settle-does-not-wait",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(DEFERRED, "if performing & 1 != 0 {", "if false {")],
    },
    Mutation {
        name: "settle-waits-for-the-slot-only",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            DEFERRED,
            "if pending.load(Acquire) != EMPTY {",
            "while pending.load(Acquire) == super::pending::DRAINING { cpu_relax(); }\n        if false {",
        )],
    },
    Mutation {
        name: "settle-waits-relaxed",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            DEFERRED,
            "while self.performing.load(Acquire) == performing {",
            "while self.performing.load(Relaxed) == performing {",
        )],
    },
    Mutation {
        name: "performed-relaxed",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            PERFORM,
            "store(performing.wrapping_add(1), Release)",
            "store(performing.wrapping_add(1), Relaxed)",
        )],
    },
    Mutation {
        name: "deferred-cancel-of-running-is-lost",
        model: "order_start_in_callback_then_deferred_cancel",
        says: "an older start has won",
        changes: &[(TIMER, "timer.never();", "")],
    },
    Mutation {
        name: "cancelling-relaxed",
        model: "order_two_cancel_each_other",
        says: "exceeded maximum number of branches",
        changes: &[(
            CANCELLING,
            "count.cmpxchg(old, old.wrapping_add(delta), Full)",
            "count.cmpxchg(old, old.wrapping_add(delta), Relaxed)",
        )],
    },
    Mutation {
        name: "cancelling-is-not-looked-at",
        model: "order_three_cancel_each_other",
        says: "exceeded maximum number of branches",
        changes: &[(
            CANCELLING,
            "if running.cancelling.load(Relaxed) != 0 {",
            "if false {",
        )],
    },
    Mutation {
        name: "cancel-does-not-wait",
        model: "order_cancel_then_new_callback",
        says: "called for a start that was cancelled",
        changes: &[(
            TIMER,
            "result = cb.payload().0.cancel();",
            "result = 0;",
        )],
    },
    Mutation {
        name: "deferred-oldest-wins",
        model: "order_deferred_twice",
        says: "an older start has won",
        changes: &[(
            DEFERRED,
            "if self.link.pending().xchg(op.encode(), Full) != EMPTY {",
            "if self.link.pending().cmpxchg(EMPTY, op.encode(), Full).is_err() {",
        )],
    },
];
