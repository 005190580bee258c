// SPDX-License-Identifier: GPL-2.0

//! What is queued.

use super::{Mutation, CPU, DEFERRED, LLIST, PERFORM, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "performing-is-said-late",
        model: "deferred_drain_enqueue_settle",
        says: "performed after it was settled",
        changes: &[
            (
                PERFORM,
                "this.performing.store(performing.wrapping_add(1), Relaxed);",
                "",
            ),
            (
                PERFORM,
                "let word = pending.xchg(DRAINING, Full);",
                "let word = pending.xchg(DRAINING, Full);\n        this.performing.store(performing.wrapping_add(1), Relaxed);",
            ),
        ],
    },
    Mutation {
        name: "settle-leaves-what-is-queued",
        model: "deferred_drain_enqueue_settle",
        says: "performed after it was settled",
        changes: &[(
            DEFERRED,
            "let _ = pending.cmpxchg(word, Op::NOP.encode(), Full);",
            "",
        )],
    },
    Mutation {
        name: "settle-without-reference",
        model: "deferred_link_after_call_rcu",
        says: "Causality violation",
        changes: &[
            (
                DEFERRED,
                "if !self.tryget() {\n            return None;\n        }\n        let pending",
                "let pending",
            ),
            (
                DEFERRED,
                "self.put()\n    }\n\n    #[inline]\n    fn address",
                "None\n    }\n\n    #[inline]\n    fn address",
            ),
        ],
    },
    Mutation {
        name: "settle-without-reference-irqs-off",
        model: "deferred_free_with_irqs_off",
        says: "Causality violation",
        changes: &[
            (
                DEFERRED,
                "if !self.tryget() {\n            return None;\n        }\n        let pending",
                "let pending",
            ),
            (
                DEFERRED,
                "self.put()\n    }\n\n    #[inline]\n    fn address",
                "None\n    }\n\n    #[inline]\n    fn address",
            ),
        ],
    },
    Mutation {
        name: "queue-without-reference",
        model: "deferred_enqueue_twice",
        says: "the slot has a reference",
        changes: &[(DEFERRED, "if !self.tryget_only() {", "if false {")],
    },
    Mutation {
        name: "queue-relaxed",
        model: "deferred_sees_what_was_before",
        says: "performed, but not seen",
        changes: &[(
            DEFERRED,
            "xchg(op.encode(), Full) != EMPTY",
            "xchg(op.encode(), Relaxed) != EMPTY",
        )],
    },
    Mutation {
        name: "take-relaxed",
        model: "deferred_sees_what_was_before",
        says: "performed, but not seen",
        changes: &[(
            PERFORM,
            "let word = pending.xchg(DRAINING, Full);",
            "let word = pending.xchg(DRAINING, Relaxed);",
        )],
    },
    Mutation {
        name: "drain-forgets-what-is-newer",
        model: "deferred_enqueue_in_order",
        says: "lost or overtaken",
        changes: &[(
            PERFORM,
            "if pending.cmpxchg(DRAINING, EMPTY, Full).is_err() {",
            "pending.store(EMPTY, Release);\n    if false {",
        )],
    },
    Mutation {
        name: "drain-forgets-after-two-rounds",
        model: "deferred_enqueue_in_order",
        says: "something is queued and lost",
        changes: &[(
            PERFORM,
            "unsafe { Cpu::this().late().add(Link::node(head.cast())) };\n}",
            "let _ = head;\n}",
        )],
    },
    Mutation {
        name: "next-after-the-exchange",
        model: "deferred_node_moves_on",
        says: "something is queued and lost",
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
        model: "deferred_two_at_a_time",
        says: "what is newer is left to nobody",
        changes: &[(PERFORM, "const ROUNDS: u32 = 2;", "const ROUNDS: u32 = 1000;")],
    },
    Mutation {
        name: "chain-goes-on",
        model: "deferred_chain_ends",
        says: "the chain goes on for ever",
        changes: &[(
            CPU,
            "self.chain().load(Relaxed) & !NESTED >= MAX_DEPTH",
            "self.chain().load(Relaxed) & !NESTED >= u32::MAX",
        )],
    },
    Mutation {
        name: "last-operations-go-on",
        model: "deferred_last_operations_end",
        says: "hard interrupts in a row",
        changes: &[(DEFERRED, "late = cpu.too_deep();", "late = false;")],
    },
    Mutation {
        name: "same-object-is-queued",
        model: "deferred_chain_ends",
        says: "the same object is queued",
        changes: &[(
            DEFERRED,
            "if busy == self.address() || cpu.too_deep() {",
            "if cpu.too_deep() {",
        )],
    },
    Mutation {
        name: "retired-is-forgotten",
        model: "deferred_free_with_irqs_off",
        says: "a reference is dropped twice",
        changes: &[(PERFORM, "} else if word == RETIRE {", "} else if false {")],
    },
    Mutation {
        name: "retire-calls-rcu",
        model: "deferred_free_with_irqs_off",
        says: "call_rcu() with interrupts disabled",
        changes: &[(
            DEFERRED,
            "retire(self, reclaim: Callback) {\n        if must_defer() {",
            "retire(self, reclaim: Callback) {\n        if false {",
        )],
    },
    Mutation {
        name: "start-takes-locks",
        model: "deferred_link_after_call_rcu",
        says: "a timer with interrupts disabled",
        changes: &[(
            TIMER,
            "if must_defer() {\n            return self.start_deferred",
            "if false {\n            return self.start_deferred",
        )],
    },
];
