// SPDX-License-Identifier: GPL-2.0

//! The callback's word, and the object's life.

use super::{Mutation, ASYNC_CB, CALLBACK, INSTALL, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    // The callback's word.
    Mutation {
        name: "set-takes-freed",
        model: "callback_set_set_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "return Err(Freed(self.free_again()));",
            "return Err(Freed(None));",
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
            "let guard = sched::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
            "let guard = sched::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
        )],
    },
    Mutation {
        name: "deferred-start-without-guard",
        model: "lifetime_deferred_start_free_fire",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = unsafe { sched::Implied::new() };\n        let cb",
            "let guard = sched::no_lock();\n        let cb",
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
        name: "reclaim-without-cancel-deferred",
        model: "lifetime_deferred_start_free_fire",
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
            "let guard = sched::read_lock();\n        // SAFETY: `guard`, and after it",
            "let guard = crate::sync::rcu::unlocked();\n        // SAFETY: `guard`, and after it",
        )],
    },
    Mutation {
        name: "start-without-guard-used-again",
        model: "lifetime_slot_is_used_again",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = sched::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
            "let guard = sched::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback()",
        )],
    },
    // A callback that takes over a reference.
    Mutation {
        name: "transfer-overwrites",
        model: "install_other_function_and_program",
        says: "use after free: a program",
        changes: &[(
            CALLBACK,
            "self.0.cmpxchg(from.word, to as usize, Full).is_ok()",
            "{ self.0.xchg(to as usize, Full); true }",
        )],
    },
    Mutation {
        name: "transfer-overwrites-nothing",
        model: "install_other_function_and_cancel",
        says: "use after free: a program",
        changes: &[(
            CALLBACK,
            "self.0.cmpxchg(from.word, to as usize, Full).is_ok()",
            "{ self.0.xchg(to as usize, Full); true }",
        )],
    },
    Mutation {
        name: "transfer-over-freed",
        model: "install_other_function_and_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "self.0.cmpxchg(from.word, to as usize, Full).is_ok()",
            "{ self.0.xchg(to as usize, Full); true }",
        )],
    },
    Mutation {
        name: "takes-out-only-its-own",
        model: "install_other_function_and_set_and_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "return Err(Freed(self.free_again()));",
            "return Err(Freed(match self.0.cmpxchg(word, FREED, Full) {\n\
             Ok(_) => unsafe { Self::owner(word) },\n\
             Err(_) => None,\n\
             }));",
        )],
    },
    Mutation {
        name: "transfer-to-another-program",
        model: "install_other_function_and_program",
        says: "a reference is dropped twice",
        changes: &[(
            INSTALL,
            "seen.filter(|seen| wanted.has_owner_of(&seen.borrow()))",
            "seen",
        )],
    },
];
