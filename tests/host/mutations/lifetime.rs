// SPDX-License-Identifier: GPL-2.0

//! The callback's word, and the object's life.

use super::{Mutation, ASYNC_CB, CALLBACK, TIMER};

pub const MUTATIONS: &[Mutation] = &[
    // The callback's word.
    Mutation {
        name: "set-takes-freed",
        model: "callback_set_set_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "return self.set_refused();",
            "return Err(EPERM);",
        )],
    },
    Mutation {
        name: "clear-clears-freed",
        model: "callback_set_clear_free",
        says: "FREED did not stay",
        changes: &[(CALLBACK, "return unsafe { self.set_freed() };", "return;")],
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
        name: "reader-ignores-null",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[(ASYNC_CB, "cb.container.store(null_mut(), Relaxed);", "")],
    },
    Mutation {
        name: "work-ignores-null",
        model: "lifetime_freed_work_is_never_called",
        says: "called although it was refused",
        changes: &[(ASYNC_CB, "cb.container.store(null_mut(), Relaxed);", "")],
    },
    Mutation {
        name: "null-after-freed",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[
            (ASYNC_CB, "cb.container.store(null_mut(), Relaxed);", ""),
            (
                ASYNC_CB,
                "unsafe { cb.callback.set_freed() };",
                "unsafe { cb.callback.set_freed() };\n        cb.container.store(null_mut(), Relaxed);",
            ),
        ],
    },
    Mutation {
        name: "container-before-callback",
        model: "lifetime_freed_is_never_called",
        says: "called",
        changes: &[(
            ASYNC_CB,
            "let callback = self.callback.load(guard)?;\n        let container = NonNull::new(self.container.load(Acquire))?;",
            "let container = NonNull::new(self.container.load(Acquire))?;\n        let callback = self.callback.load(guard)?;",
        )],
    },
    Mutation {
        name: "init-relaxed",
        model: "lifetime_init_close",
        says: "leaked: an object",
        changes: &[(
            ASYNC_CB,
            "self.0.cmpxchg(null_mut(), cb, Full)",
            "self.0.cmpxchg(null_mut(), cb, crate::atomic::Release)",
        )],
    },
    Mutation {
        name: "init-ignores-closed",
        model: "lifetime_init_close",
        says: "leaked: an object",
        changes: &[(ASYNC_CB, "if container.is_closed() {", "if false {")],
    },
    Mutation {
        name: "init-keeps-the-loser",
        model: "lifetime_init_init",
        says: "leaked: an object",
        changes: &[(ASYNC_CB, "unsafe { bindings::kfree_nolock(memory.as_ptr()) };", "")],
    },
    Mutation {
        name: "start-without-guard",
        model: "lifetime_start_free_fire",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = sched::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback",
            "let guard = sched::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback",
        )],
    },
    Mutation {
        name: "deferred-start-without-guard",
        model: "lifetime_deferred_start_free_fire",
        says: "use after free: an object",
        changes: &[(
            ASYNC_CB,
            "let guard = unsafe { sched::Implied::new() };\n        let cb = self.get(&guard)?;\n        if op",
            "let guard = sched::no_lock();\n        let cb = self.get(&guard)?;\n        if op",
        )],
    },
    Mutation {
        name: "reclaim-without-cancel",
        model: "lifetime_start_free_fire",
        says: "freed: a timer that is started",
        changes: &[(
            ASYNC_CB,
            "if cb.payload.0.try_to_cancel() < 0 {",
            "if false {",
        )],
    },
    Mutation {
        name: "reclaim-without-cancel-deferred",
        model: "lifetime_deferred_start_free_fire",
        says: "freed: a timer that is started",
        changes: &[(
            ASYNC_CB,
            "if cb.payload.0.try_to_cancel() < 0 {",
            "if false {",
        )],
    },
    Mutation {
        name: "reclaim-while-running",
        model: "lifetime_start_free_fire",
        says: "freed: a timer that is running",
        changes: &[(
            ASYNC_CB,
            "if cb.payload.0.try_to_cancel() < 0 {",
            "if cb.payload.0.try_to_cancel() < -1 {",
        )],
    },
    Mutation {
        name: "cancel-without-guard",
        model: "lifetime_cancel_free_fire",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "unsafe { Timer::cancel_sync(cb, guard) }\n",
            "drop(guard);\n        unsafe { Timer::cancel_sync(cb, sched::read_lock()) }\n",
        )],
    },
    Mutation {
        name: "start-without-guard-used-again",
        model: "lifetime_slot_is_used_again",
        says: "use after free: an object",
        changes: &[(
            TIMER,
            "let guard = sched::read_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback",
            "let guard = sched::no_lock();\n        let cb = self.get(&guard)?;\n        if !cb.callback",
        )],
    },
    Mutation {
        name: "init-takes-out-what-is-there",
        model: "lifetime_init_takes_its_own",
        says: "the object of another context is gone",
        changes: &[(
            ASYNC_CB,
            "if self.0.cmpxchg(cb, null_mut(), Full).is_ok() {",
            "self.cancel_and_free();\n            if false {",
        )],
    },
    // What a writer that was refused gets for `FREED`.
    Mutation {
        name: "takes-out-only-its-own",
        model: "callback_set_set_free",
        says: "FREED did not stay",
        changes: &[(
            CALLBACK,
            "return self.set_refused();",
            "if self.0.cmpxchg(word, FREED, Full).is_ok() {\n                unsafe { Self::release(word) };\n            }\n            return Err(EPERM);",
        )],
    },
];
