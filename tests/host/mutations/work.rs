// SPDX-License-Identifier: GPL-2.0

//! Work items, and the word of an operation.

use super::{Mutation, PENDING, WORK};

pub const MUTATIONS: &[Mutation] = &[
    // Work items.
    Mutation {
        name: "work-without-reference",
        model: "work_start_free_run",
        says: "use after free: an object",
        changes: &[(
            WORK,
            "if !cb.head.tryget() {\n            return Err(ENOENT);\n        }\n",
            "",
        )],
    },
    Mutation {
        name: "deferred-work-without-reference",
        model: "work_deferred_start_free_run",
        says: "use after free: an object",
        changes: &[(WORK, "if cb.head.tryget() {", "if true {")],
    },
    Mutation {
        name: "cancelled-work-keeps-reference",
        model: "work_start_free_run",
        says: "leaked: an object",
        changes: &[(
            WORK,
            "if unsafe { bindings::cancel_work(cb.payload.0.get()) } {",
            "if unsafe { bindings::cancel_work(cb.payload.0.get()) } && false {",
        )],
    },
    Mutation {
        name: "pending-work-keeps-reference",
        model: "work_start_start_run",
        says: "leaked: an object",
        changes: &[(
            WORK,
            "if !unsafe { bindings::bpf_async_schedule_work(cb.payload.0.get()) } {",
            "if !unsafe { bindings::bpf_async_schedule_work(cb.payload.0.get()) } && false {",
        )],
    },
    Mutation {
        name: "pending-without-barrier",
        model: "work_start_while_pending",
        says: "no run has seen",
        changes: &[(WORK, "smp_mb(Full);", "")],
    },
    Mutation {
        name: "replaced-callback-is-gone",
        model: "work_callback_is_replaced",
        says: "a start was lost",
        changes: &[(
            WORK,
            "Acquired::Replaced => {}",
            "Acquired::Replaced => return,",
        )],
    },
    Mutation {
        name: "gone-is-looked-at-again",
        model: "work_map_goes",
        says: "exceeded maximum number of branches",
        changes: &[(WORK, "Acquired::Gone => return,", "Acquired::Gone => {}")],
    },
    // The word of an operation.
    Mutation {
        name: "time-is-rounded-down",
        model: "pending_never_early",
        says: "has become",
        changes: &[(PENDING, "(self.0 | CODE) as i64", "(self.0 & !CODE) as i64")],
    },
    Mutation {
        name: "negative-time-is-rounded-up",
        model: "pending_keeps_the_side",
        says: "has become",
        changes: &[(
            PENDING,
            "Self(nanos as u64 & !CODE | mode",
            "Self(nanos.wrapping_add(7) as u64 & !CODE | mode",
        )],
    },
    Mutation {
        name: "flags-are-mixed-up",
        model: "pending_round_trip",
        says: "left == right",
        changes: &[(
            PENDING,
            "Mode::from_bits(self.0 & CODE)",
            "Mode::from_bits(self.0 & 5)",
        )],
    },
];
