// SPDX-License-Identifier: GPL-2.0

// Each breaks the kernel's files in one way that a model has to find: `build.rs` makes the change,
// `tests/mutants.rs` runs the model.

/// A change for the worse.
pub struct Mutation {
    pub name: &'static str,
    /// The model that fails.
    pub model: &'static str,
    /// What is in the message then.
    pub says: &'static str,
    /// File, text that is there once, what is put in its place.
    pub changes: &'static [(&'static str, &'static str, &'static str)],
}

const CALLBACK: &str = "bpf/callback.rs";
const ASYNC_CB: &str = "bpf/async_cb.rs";
const DEFERRED: &str = "bpf/deferred.rs";
const CPU: &str = "bpf/cpu.rs";
const PENDING: &str = "bpf/pending.rs";
const TIMER: &str = "bpf/timer.rs";
const WORK: &str = "bpf/work.rs";
const LLIST: &str = "llist.rs";

pub const MUTATIONS: &[Mutation] = &[
    // The callback's word.
    Mutation {
        name: "set-takes-freed",
        model: "callback_set_set_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "return (Err(Freed), self.free());",
            "return (Err(Freed), None);",
        )],
    },
    Mutation {
        name: "clear-takes-freed",
        model: "callback_set_clear_free",
        says: "FREED did not stay",
        changes: &[(CALLBACK, "return self.free();", "return None;")],
    },
    Mutation {
        name: "set-relaxed",
        model: "callback_set_set_free",
        says: "Causality violation",
        changes: &[(CALLBACK, ".xchg(word, Full)", ".xchg(word, Relaxed)")],
    },
    Mutation {
        name: "free-relaxed",
        model: "callback_set_set_free",
        says: "Causality violation",
        changes: &[(CALLBACK, ".xchg(FREED, Full)", ".xchg(FREED, Relaxed)")],
    },
    Mutation {
        name: "get-relaxed",
        model: "callback_reader",
        says: "Causality violation",
        changes: &[(CALLBACK, ".load(Acquire)", ".load(Relaxed)")],
    },
    // The object's life.
    Mutation {
        name: "freed-get-relaxed",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[(CALLBACK, ".load(Acquire)", ".load(Relaxed)")],
    },
    Mutation {
        name: "reader-ignores-gone",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[(
            ASYNC_CB,
            "let container = self.container.load(Relaxed);\n        if container & GONE != 0 {",
            "let container = self.container.load(Relaxed) & !GONE;\n        if false {",
        )],
    },
    Mutation {
        name: "work-ignores-gone",
        model: "lifetime_freed_work_is_never_called",
        says: "called although it was refused",
        changes: &[(
            ASYNC_CB,
            "let container = self.container.load(Relaxed);\n        if container & GONE != 0 {",
            "let container = self.container.load(Relaxed) & !GONE;\n        if false {",
        )],
    },
    Mutation {
        name: "gone-after-freed",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[
            (ASYNC_CB, "cb.container.store(container | GONE, Relaxed);", ""),
            (
                ASYNC_CB,
                "drop(cb.callback.free());",
                "drop(cb.callback.free()); cb.container.store(container | GONE, Relaxed);",
            ),
        ],
    },
    Mutation {
        name: "container-before-callback",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[(
            ASYNC_CB,
            "let callback = self.callback.get(guard)?;\n        let container = self.container.load(Relaxed);",
            "let container = self.container.load(Relaxed);\n        let callback = self.callback.get(guard)?;",
        )],
    },
    Mutation {
        name: "init-relaxed",
        model: "lifetime_init_close",
        says: "leaked: an object",
        changes: &[(
            ASYNC_CB,
            ".cmpxchg(core::ptr::null_mut(), cb.as_ptr(), Full)",
            ".cmpxchg(core::ptr::null_mut(), cb.as_ptr(), crate::atomic::Release)",
        )],
    },
    Mutation {
        name: "init-ignores-closed",
        model: "lifetime_init_close",
        says: "leaked: an object",
        changes: &[(ASYNC_CB, "if container.closed() {", "if false {")],
    },
    Mutation {
        name: "init-keeps-the-loser",
        model: "lifetime_init_init",
        says: "leaked: an object",
        changes: &[(ASYNC_CB, "unsafe { container.deallocate(memory) };", "")],
    },
    Mutation {
        name: "start-without-guard",
        model: "lifetime_start_free_fire",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = rcu::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
            "let guard = rcu::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
        )],
    },
    Mutation {
        name: "reclaim-without-cancel",
        model: "lifetime_start_free_fire",
        says: "freed: a timer that is started",
        changes: &[(
            TIMER,
            "if unsafe { cb.as_ref() }.payload().0.try_to_cancel() < 0 {",
            "if false {",
        )],
    },
    Mutation {
        name: "reclaim-while-running",
        model: "lifetime_start_free_fire",
        says: "freed: a timer that is running",
        changes: &[(
            TIMER,
            "if unsafe { cb.as_ref() }.payload().0.try_to_cancel() < 0 {",
            "if unsafe { cb.as_ref() }.payload().0.try_to_cancel() < -1 {",
        )],
    },
    Mutation {
        name: "cancel-without-guard",
        model: "lifetime_cancel_free_fire",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = rcu::read_lock();\n        let cb = self.get(&guard)?;\n        let running",
            "let guard = rcu::no_lock();\n        let cb = self.get(&guard)?;\n        let running",
        )],
    },
    Mutation {
        name: "start-without-guard-used-again",
        model: "lifetime_slot_is_used_again",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = rcu::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
            "let guard = rcu::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
        )],
    },
    // Whose operation wins.
    Mutation {
        name: "arm-look-disarm",
        model: "order_start_cancel_start",
        says: "a newer start was undone",
        changes: &[(
            TIMER,
            "cb.payload().start(nanos, flags);\n",
            "cb.payload().start(nanos, flags);\n            if !cb.callback().is_set() { cb.payload().0.try_to_cancel(); }\n",
        )],
    },
    Mutation {
        name: "start-without-settle",
        model: "order_deferred_cancel_then_start",
        says: "an older cancel has won",
        changes: &[(
            TIMER,
            "let last = cb.head().settle();\n            cb.payload().start(nanos, flags);",
            "let last = None;\n            cb.payload().start(nanos, flags);",
        )],
    },
    Mutation {
        name: "cancel-without-settle",
        model: "order_deferred_start_then_cancel",
        says: "an older start has won",
        changes: &[(
            TIMER,
            "let last = cb.head().settle();\n        let result =",
            "let last = None;\n        let result =",
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
            "while pending.load(Acquire) == DRAINING { cpu_relax(); }\n        if false {",
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
            DEFERRED,
            "store(performing.wrapping_add(2), Release)",
            "store(performing.wrapping_add(2), Relaxed)",
        )],
    },
    Mutation {
        name: "cancelling-relaxed",
        model: "order_cancel_each_other",
        says: "exceeded maximum number of branches",
        changes: &[(
            TIMER,
            "count.cmpxchg(old, old.wrapping_add(delta), Full)",
            "count.cmpxchg(old, old.wrapping_add(delta), Relaxed)",
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
    // What is queued.
    Mutation {
        name: "performing-is-said-late",
        model: "deferred_drain_enqueue_settle",
        says: "performed after it was settled",
        changes: &[
            (
                DEFERRED,
                "this.performing.store(performing.wrapping_add(1), Relaxed);",
                "",
            ),
            (
                DEFERRED,
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
            "let _ = pending.cmpxchg(word, Op::Nop.encode(), Full);",
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
        changes: &[(
            DEFERRED,
            "if !self.tryget() {\n            return Err(ENOENT);\n        }\n",
            "",
        )],
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
            DEFERRED,
            "let word = pending.xchg(DRAINING, Full);",
            "let word = pending.xchg(DRAINING, Relaxed);",
        )],
    },
    Mutation {
        name: "drain-forgets-what-is-newer",
        model: "deferred_enqueue_in_order",
        says: "lost or overtaken",
        changes: &[(
            DEFERRED,
            "if pending.cmpxchg(DRAINING, EMPTY, Full).is_ok() {",
            "pending.store(EMPTY, Release);\n        if true {",
        )],
    },
    Mutation {
        name: "drain-forgets-after-two-rounds",
        model: "deferred_enqueue_in_order",
        says: "something is queued and lost",
        changes: &[(
            DEFERRED,
            "unsafe { cpu.add_object(node) };\n}",
            "let _ = (cpu, node);\n}",
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
        changes: &[(DEFERRED, "const ROUNDS: u32 = 2;", "const ROUNDS: u32 = 1000;")],
    },
    Mutation {
        name: "chain-goes-on",
        model: "deferred_chain_ends",
        says: "the chain goes on for ever",
        changes: &[(
            CPU,
            "self.depth().load(Relaxed) >= MAX_DEPTH",
            "self.depth().load(Relaxed) >= u32::MAX",
        )],
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
        changes: &[(DEFERRED, "if word == RETIRE {", "if false {")],
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
            "if must_defer() {\n            cb.head().enqueue(Op::Start",
            "if false {\n            cb.head().enqueue(Op::Start",
        )],
    },
    // Work items.
    Mutation {
        name: "work-without-reference",
        model: "work_start_free_run",
        says: "use after free: an object",
        changes: &[(
            WORK,
            "if !cb.head().tryget() {\n                return Err(ENOENT);\n            }\n",
            "",
        )],
    },
    Mutation {
        name: "deferred-work-without-reference",
        model: "work_deferred_start_free_run",
        says: "use after free: an object",
        changes: &[(WORK, "cb.head().get();", "")],
    },
    Mutation {
        name: "cancelled-work-keeps-reference",
        model: "work_start_free_run",
        says: "leaked: an object",
        changes: &[(
            WORK,
            "if cb.payload().cancel() {",
            "if cb.payload().cancel() && false {",
        )],
    },
    Mutation {
        name: "pending-work-keeps-reference",
        model: "work_start_start_run",
        says: "leaked: an object",
        changes: &[(
            WORK,
            "                !unsafe { cb.payload().schedule() }",
            "                unsafe { cb.payload().schedule() };\n                false",
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
            "Err(HoldError::Replaced) => {}",
            "Err(HoldError::Replaced) => return None,",
        )],
    },
    // The word of an operation.
    Mutation {
        name: "time-is-rounded-down",
        model: "pending_never_early",
        says: "has become",
        changes: &[(
            PENDING,
            "(nanos + CODE as i64) & !(CODE as i64)",
            "nanos & !(CODE as i64)",
        )],
    },
    Mutation {
        name: "negative-time-is-rounded-up",
        model: "pending_keeps_the_side",
        says: "has become",
        changes: &[(PENDING, "if nanos < 0 {", "if nanos < -7 {")],
    },
    Mutation {
        name: "flags-are-mixed-up",
        model: "pending_round_trip",
        says: "left == right",
        changes: &[(
            PENDING,
            "pinned: code & START_PINNED != 0,",
            "pinned: code & START_ABS != 0,",
        )],
    },
    Mutation {
        name: "draining-is-an-operation",
        model: "pending_states_are_no_operations",
        says: "left == right",
        changes: &[(PENDING, "EMPTY | DRAINING => None,", "EMPTY => None,")],
    },
];
