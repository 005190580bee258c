// SPDX-License-Identifier: GPL-2.0

//! Whose operation wins.

use super::{Mutation, DEFERRED, PENDING, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "arm-look-disarm",
        model: "order_start_cancel_start",
        says: "a newer start was undone",
        changes: &[(
            TIMER,
            "unsafe { cb.payload.start(nanos, mode) };\n",
            "unsafe { cb.payload.start(nanos, mode) };\n        if !cb.callback.is_set() { cb.payload.0.try_to_cancel(); }\n",
        )],
    },
    Mutation {
        name: "start-revokes-nothing",
        model: "order_deferred_cancel_then_start",
        says: "an older cancel has won",
        changes: &[(
            DEFERRED,
            "unsafe { self.revoke_sync() };",
            "",
        )],
    },
    Mutation {
        name: "cancel-revokes-nothing",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(
            DEFERRED,
            "unsafe { self.revoke_sync() };",
            "",
        )],
    },
    Mutation {
        name: "count-is-read-relaxed",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(PENDING, "as_atomic().load(Acquire) == 1", "as_atomic().load(Relaxed) == 1")],
    },
    Mutation {
        name: "word-is-read-relaxed",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(
            PENDING,
            "if self.word.load(Acquire) != IDLE {",
            "if self.word.load(Relaxed) != IDLE {",
        )],
    },
    Mutation {
        name: "cancel-async-looks-before-it-waits",
        model: "order_failed_cancel_revokes_no_older_start",
        says: "a cancel that failed has undone a start",
        changes: &[(TIMER, "unsafe { cb.head.wait_deferred() };", "")],
    },
    Mutation {
        name: "cancel-does-not-wait-for-the-drain",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(PENDING, "while seq & 1 != 0 &&", "while false &&")],
    },
    Mutation {
        name: "waits-for-the-word-only",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            PENDING,
            "if self.word.load(Acquire) != IDLE {",
            "while self.word.load(Acquire) == RUNNING { cpu_relax(); }\n        if false {",
        )],
    },
    Mutation {
        name: "waits-relaxed",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            PENDING,
            "&& self.seq.load(Acquire) == seq {",
            "&& self.seq.load(Relaxed) == seq {",
        )],
    },
    Mutation {
        name: "performed-relaxed",
        model: "order_performed_start_nmi_cancel",
        says: "was not waited for",
        changes: &[(
            PENDING,
            "store(seq.wrapping_add(1), Release);\n        // INVARIANT",
            "store(seq.wrapping_add(1), Relaxed);\n        // INVARIANT",
        )],
    },
    Mutation {
        name: "deferred-cancel-of-running-is-lost",
        model: "order_start_in_callback_then_deferred_cancel",
        says: "an older start has won",
        changes: &[(TIMER, "unsafe { self.start(i64::MAX, Mode::ABS) };", "")],
    },
    Mutation {
        name: "failed-cancel-revokes",
        model: "order_failed_cancel_revokes_nothing",
        says: "a cancel that failed has undone a start",
        changes: &[(TIMER, "if active < 0 {", "if false {")],
    },
    Mutation {
        name: "cancel-forgets-that-it-was-active",
        model: "order_cancel_revokes_and_was_active",
        says: "left == right",
        changes: &[(TIMER, "match active | cb.payload.0.try_to_cancel() {", "match cb.payload.0.try_to_cancel() {")],
    },
    Mutation {
        name: "cancelling-relaxed",
        model: "order_two_cancel_each_other",
        says: "exceeded maximum number of branches",
        changes: &[(
            TIMER,
            "count.cmpxchg(old, old.wrapping_add(delta), Full)",
            "count.cmpxchg(old, old.wrapping_add(delta), Relaxed)",
        )],
    },
    Mutation {
        name: "cancelling-is-not-looked-at",
        model: "order_three_cancel_each_other",
        says: "exceeded maximum number of branches",
        changes: &[(
            TIMER,
            "if !cfg!(CONFIG_PREEMPT_RT) && running.head.cancelling.load(Relaxed) != 0 {",
            "if false {",
        )],
    },
    Mutation {
        name: "cancel-does-not-wait",
        model: "order_cancel_then_new_callback",
        says: "called for a start that was cancelled",
        changes: &[(
            TIMER,
            "Ok(timer.0.cancel())",
            "Ok(0)",
        )],
    },
    Mutation {
        name: "deferred-oldest-wins",
        model: "order_deferred_twice",
        says: "an older start has won",
        changes: &[(
            PENDING,
            "if self.word.xchg(op.0, Full) == IDLE {",
            "if self.word.cmpxchg(IDLE, op.0, Full).is_ok() {",
        )],
    },
    Mutation {
        name: "past-stays-past",
        model: "order_past_in_callback_is_now",
        says: "started in the past",
        changes: &[(TIMER, "nanos.max(now)", "nanos")],
    },
];
