// SPDX-License-Identifier: GPL-2.0

//! Sample of a timer and a work item of the kind behind `bpf_timer` and `bpf_wq`, with callbacks in
//! Rust.
//!
//! The timer fires ten times a second, and starts itself again. Each time it queues the work item,
//! which can sleep. Unloading the module waits for both:
//!
//! ```text
//! # modprobe rust_bpf_async; sleep 1; rmmod rust_bpf_async; dmesg | tail -1
//! rust_bpf_async: 10 ticks, 10 runs
//! ```

use kernel::{
    bpf::domain::{
        AsyncFn,
        AsyncTimer,
        AsyncWork,
        Domain, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::hrtimer::raw::{
        Clock,
        Mode, //
    },
};

module! {
    type: RustBpfAsync,
    name: "rust_bpf_async",
    authors: ["Rust for Linux Contributors"],
    description: "Rust sample of timers and work items behind BPF",
    license: "GPL",
}

const PERIOD: i64 = 100_000_000;

static TICKS: Atomic<i32> = Atomic::new(0);
static RUNS: Atomic<i32> = Atomic::new(0);

/// The timer and the work item, which the timer's callback uses as well.
struct Handles {
    timer: AsyncTimer,
    work: AsyncWork,
}

/// What the timer calls, in softirq context.
struct Tick(Arc<Handles>);

impl AsyncFn for Tick {
    fn call(&self) {
        TICKS.add(1, Relaxed);
        let _ = self.0.work.start();
        // This fails once the module has cancelled the timer.
        let _ = self.0.timer.start(PERIOD, Mode::REL);
    }
}

/// What the work item calls, in task context, where it could sleep.
struct Run;

impl AsyncFn for Run {
    fn call(&self) {
        RUNS.add(1, Relaxed);
    }
}

struct RustBpfAsync {
    handles: Arc<Handles>,
    // The last field: dropping it waits for the handles and the callbacks.
    _domain: Domain,
}

impl kernel::Module for RustBpfAsync {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: `RustBpfAsync` owns the domain, and is dropped before the module is unloaded. If
        // `init` fails, the domain is dropped here. The callbacks do not own it.
        let domain = unsafe { Domain::new() }?;
        let handles = Handles {
            timer: AsyncTimer::new(&domain, Clock::Monotonic)?,
            work: AsyncWork::new(&domain)?,
        };
        let this = Self {
            handles: Arc::new(handles, GFP_KERNEL)?,
            _domain: domain,
        };
        let tick = KBox::new(Tick(this.handles.clone()), GFP_KERNEL)?;
        let run = KBox::new(Run, GFP_KERNEL)?;
        this.handles.work.set_callback(run, GFP_KERNEL)?;
        this.handles.timer.set_callback(tick, GFP_KERNEL)?;
        // If this fails, dropping `this` ends it all.
        this.handles.timer.start(PERIOD, Mode::REL)?;
        Ok(this)
    }
}

impl Drop for RustBpfAsync {
    fn drop(&mut self) {
        // Removes the callback, which owns the handles: the domain would wait for it forever. In a
        // task with interrupts enabled it can fail on PREEMPT_RT only, where it does not wait for a
        // callback that is running. The domain does.
        let _ = self.handles.timer.cancel();
        pr_info!(
            "{} ticks, {} runs\n",
            TICKS.load(Relaxed),
            RUNS.load(Relaxed)
        );
    }
}
