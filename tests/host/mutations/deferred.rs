// SPDX-License-Identifier: GPL-2.0

//! What is queued.

use super::{Mutation, DEFERRED, LLIST, PENDING, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "seq-is-odd-late",
        model: "deferred_drain_queue_cancel",
        says: "performed after it was revoked",
        changes: &[
            (
                PENDING,
                "self.seq.store(seq.wrapping_add(1), Release);\n        match Op::from_word(self.word.xchg(RUNNING, Full)) {",
                "let word = self.word.xchg(RUNNING, Full);\n        self.seq.store(seq.wrapping_add(1), Release);\n        match Op::from_word(word) {",
            ),
        ],
    },
    Mutation {
        name: "cancel-leaves-what-is-queued",
        model: "deferred_drain_queue_cancel",
        says: "performed after it was revoked",
        changes: &[(PENDING, "let _ = self.word.cmpxchg(word, NOP, Full);", "")],
    },
    Mutation {
        name: "revoke-without-reference",
        model: "deferred_link_after_call_rcu",
        says: "Causality violation",
        changes: &[(
            DEFERRED,
            "if self.tryget() {\n            // SAFETY: The reference was taken above, and interrupts are enabled.\n            unsafe { self.revoke_sync() };\n            // SAFETY: The reference was taken above, and `call_rcu()` is allowed.\n            unsafe { Self::put(self.as_ptr()) };\n        }",
            "unsafe { self.revoke_sync() };",
        )],
    },
    Mutation {
        name: "revoke-without-reference-irqs-off",
        model: "deferred_free_with_irqs_off",
        says: "Causality violation",
        changes: &[(
            DEFERRED,
            "if self.tryget() {\n            // SAFETY: The reference was taken above, and interrupts are enabled.\n            unsafe { self.revoke_sync() };\n            // SAFETY: The reference was taken above, and `call_rcu()` is allowed.\n            unsafe { Self::put(self.as_ptr()) };\n        }",
            "unsafe { self.revoke_sync() };",
        )],
    },
    Mutation {
        name: "queue-without-reference",
        model: "deferred_queue_twice",
        says: "use after free: an object",
        changes: &[(DEFERRED, "if !self.tryget() {", "if false {")],
    },
    Mutation {
        name: "queue-relaxed",
        model: "deferred_sees_what_was_before",
        says: "performed, but not seen",
        changes: &[(
            PENDING,
            "self.word.xchg(op.0, Full) == IDLE",
            "self.word.xchg(op.0, Relaxed) == IDLE",
        )],
    },
    Mutation {
        name: "begin-relaxed",
        model: "deferred_sees_what_was_before",
        says: "performed, but not seen",
        changes: &[(
            PENDING,
            "self.word.xchg(RUNNING, Full)",
            "self.word.xchg(RUNNING, Relaxed)",
        )],
    },
    Mutation {
        name: "drain-forgets-what-is-newer",
        model: "deferred_queue_in_order",
        says: "lost or overtaken",
        changes: &[(
            PENDING,
            "if self.word.cmpxchg(RUNNING, IDLE, Full).is_ok() {",
            "self.word.store(IDLE, Release);\n        if true {",
        )],
    },
    Mutation {
        name: "drain-forgets-after-some-rounds",
        model: "deferred_queue_in_order",
        says: "lost or overtaken",
        changes: &[(
            DEFERRED,
            "unsafe { self.overflow().add(Head::node(object)) };",
            "",
        )],
    },
    Mutation {
        name: "next-after-the-exchange",
        model: "deferred_node_moves_on",
        says: "lost",
        changes: &[
            (
                LLIST,
                "let node = NonNull::new(self.0)?;",
                "let mut at = self.0;\n        if at as usize & 1 != 0 {\n            at = unsafe { (*at.cast::<u8>().wrapping_sub(1).cast::<bindings::llist_node>()).next };\n        }\n        let node = NonNull::new(at)?;",
            ),
            (
                LLIST,
                "self.0 = unsafe { (*node.as_ptr()).next };",
                "self.0 = node.as_ptr().cast::<u8>().wrapping_add(1).cast();",
            ),
        ],
    },
    Mutation {
        name: "drain-goes-on-and-on",
        model: "deferred_rounds_end",
        says: "what is newer is lost",
        changes: &[(DEFERRED, "const ROUNDS: u32 = 2;", "const ROUNDS: u32 = 1000;")],
    },
    Mutation {
        name: "chain-goes-on",
        model: "deferred_chain_ends",
        says: "the chain goes on for ever",
        changes: &[(
            DEFERRED,
            "self.depth().load(Relaxed) & !NESTED >= MAX_DEPTH",
            "false",
        )],
    },
    Mutation {
        name: "replacing-counts-as-a-drain",
        model: "deferred_replacing_causes_no_drain",
        says: "refused",
        changes: &[(
            DEFERRED,
            "unsafe { store_and_add(cpu, self, op, false) };",
            "if !cpu.draining().load(Relaxed).is_null() {\n            cpu.depth().store(cpu.depth().load(Relaxed) | NESTED, Relaxed);\n        }\n        unsafe { store_and_add(cpu, self, op, false) };",
        )],
    },
    Mutation {
        name: "drain-begins-unseen",
        model: "deferred_chain_at_begin_ends",
        says: "hard interrupts in a row",
        changes: &[(
            DEFERRED,
            "self.depth().store(depth, Relaxed);\n        self.draining().store(self.0.get().cast(), Relaxed);",
            "self.depth().store(depth, Relaxed);",
        )],
    },
    Mutation {
        name: "drain-ends-before-the-programs",
        model: "deferred_chain_at_end_ends",
        says: "hard interrupts in a row",
        changes: &[(
            DEFERRED,
            "for node in of.progs().del_all() {",
            "self.draining().store(null_mut(), Relaxed);\n        for node in of.progs().del_all() {",
        )],
    },
    Mutation {
        name: "last-operations-go-on",
        model: "deferred_last_operations_end",
        says: "hard interrupts in a row",
        changes: &[(DEFERRED, "Op::CANCEL, cpu.too_deep())", "Op::CANCEL, false)")],
    },
    Mutation {
        name: "same-object-is-queued",
        model: "deferred_chain_ends",
        says: "the same object is queued",
        changes: &[(
            DEFERRED,
            "if same || cpu.too_deep() {",
            "if cpu.too_deep() {",
        )],
    },
    Mutation {
        name: "call-rcu-is-forgotten",
        model: "deferred_free_with_irqs_off",
        says: "leaked: an object",
        changes: &[(
            DEFERRED,
            "return Unreferenced::new(object).call_rcu(Head::rcu_free);",
            "let _ = (Unreferenced::new(object), Head::rcu_free);\n                    return;",
        )],
    },
    Mutation {
        name: "irqs-off-calls-rcu",
        model: "deferred_free_with_irqs_off",
        says: "call_rcu() with interrupts disabled",
        changes: &[(
            DEFERRED,
            "unsafe { cpu.add(cpu.objects(), Head::node(last.set_call_rcu())) };",
            "unsafe { last.call_rcu(Head::rcu_free) };",
        )],
    },
    Mutation {
        name: "start-takes-locks",
        model: "deferred_link_after_call_rcu",
        says: "a timer with interrupts disabled",
        changes: &[(
            TIMER,
            "if must_defer() {\n            // SAFETY: `must_defer()` has returned true.\n            return unsafe { self.defer(Op::start(nanos, mode)) };",
            "if false {\n            return unsafe { self.defer(Op::start(nanos, mode)) };",
        )],
    },
];
