// SPDX-License-Identifier: GPL-2.0

//! Sample of the timers and work items behind BPF, with callbacks in Rust.
//!
//! On loading, several workers use timers and work items at the same time: each has some of its
//! own, whose every start can be accounted for, and all of them hammer a few that they share. What
//! came of it is in the log, and has to add up:
//!
//! - a timer that was started on its own has fired or was cancelled;
//! - a work item that was started on its own has run;
//! - every object that was created, shared ones included, was freed.
//!
//! Some timers stay armed until the module is unloaded.

use kernel::{
    bpf::{
        container::Domain,
        owner::{
            AsyncFn,
            TimerSlot,
            WorkSlot, //
        },
        pending::StartFlags, //
    },
    impl_has_work, new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Completion, //
    },
    time::hrtimer::raw::Clock,
    workqueue::{
        self,
        Work, //
    },
};

module! {
    type: RustBpfAsync,
    name: "rust_bpf_async",
    authors: ["Rust for Linux Contributors"],
    description: "Timers and work items behind BPF, with callbacks in Rust",
    license: "GPL",
}

const WORKERS: usize = 4;
const ROUNDS: usize = 500;
const SHARED: usize = 8;
/// Longer than anybody waits.
const FAR: i64 = 3600 * 1_000_000_000;
/// As soon as possible.
const NEAR: i64 = 1_000;

// What happened to the timers and work items.
static STARTED: Atomic<i64> = Atomic::new(0);
static FIRED: Atomic<i64> = Atomic::new(0);
static CANCELLED: Atomic<i64> = Atomic::new(0);
static QUEUED: Atomic<i64> = Atomic::new(0);
static RAN: Atomic<i64> = Atomic::new(0);
static CREATED: Atomic<i64> = Atomic::new(0);
static SHARED_RUNS: Atomic<i64> = Atomic::new(0);

/// The callback of a timer or work item of a worker's own.
#[pin_data]
struct Own {
    count: &'static Atomic<i64>,
    #[pin]
    called: Completion,
}

impl Own {
    fn new(count: &'static Atomic<i64>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                count,
                called <- Completion::new(),
            }),
            GFP_KERNEL,
        )
    }
}

impl AsyncFn for Own {
    fn call(&self) {
        self.count.add(1, Relaxed);
        self.called.complete_all();
    }
}

/// The callback of what is shared.
struct Shared;

impl AsyncFn for Shared {
    fn call(&self) {
        SHARED_RUNS.add(1, Relaxed);
    }
}

/// What all workers use.
struct Hub {
    timers: [TimerSlot<Shared>; SHARED],
    works: [WorkSlot<Shared>; SHARED],
    domain: Arc<Domain>,
}

#[pin_data]
struct Worker {
    #[pin]
    work: Work<Worker>,
    #[pin]
    done: Completion,
    seed: usize,
    failed: Atomic<i32>,
    hub: Arc<Hub>,
}

impl_has_work! {
    impl HasWork<Self> for Worker { self.work }
}

impl Worker {
    fn new(hub: &Arc<Hub>, seed: usize) -> Result<Arc<Self>> {
        let hub = hub.clone();
        Arc::pin_init(
            pin_init!(Self {
                work <- new_work!("rust_bpf_async::Worker"),
                done <- Completion::new(),
                seed,
                failed: Atomic::new(0),
                hub,
            }),
            GFP_KERNEL,
        )
    }

    /// A timer of its own: armed and cancelled, then armed and waited for.
    fn own_timer(&self) -> Result {
        let domain = &self.hub.domain;
        let timer = TimerSlot::new();
        let callback = Own::new(&FIRED)?;

        timer.init(domain, Clock::Monotonic)?;
        CREATED.add(1, Relaxed);
        timer.set_fn(domain, callback.clone(), GFP_KERNEL)?;
        timer.start(FAR, StartFlags::REL)?;
        STARTED.add(1, Relaxed);
        if timer.cancel()? {
            CANCELLED.add(1, Relaxed);
        }
        timer.set_fn(domain, callback.clone(), GFP_KERNEL)?;
        timer.start(NEAR, StartFlags::REL)?;
        STARTED.add(1, Relaxed);
        callback.called.wait_for_completion();
        Ok(())
    }

    /// A work item of its own: queued and waited for.
    fn own_work(&self) -> Result {
        let domain = &self.hub.domain;
        let work = WorkSlot::new();
        let callback = Own::new(&RAN)?;

        work.init(domain, ())?;
        CREATED.add(1, Relaxed);
        work.set_fn(domain, callback.clone(), GFP_KERNEL)?;
        work.start()?;
        QUEUED.add(1, Relaxed);
        callback.called.wait_for_completion();
        Ok(())
    }

    /// Everything that can be done with what is shared, in some order. That there is no object, or
    /// that there is one already, is no error here.
    fn hammer(&self, round: usize) -> Result {
        let Hub {
            timers,
            works,
            domain,
        } = &*self.hub;
        let n = round.wrapping_mul(7).wrapping_add(self.seed);
        let (timer, work) = (&timers[n % SHARED], &works[n % SHARED]);
        let callback = || Arc::new(Shared, GFP_KERNEL);

        if timer.init(domain, Clock::Boottime).is_ok() {
            CREATED.add(1, Relaxed);
        }
        if work.init(domain, ()).is_ok() {
            CREATED.add(1, Relaxed);
        }
        let _ = timer.set_fn(domain, callback()?, GFP_KERNEL);
        let _ = work.set_fn(domain, callback()?, GFP_KERNEL);
        let _ = timer.start(NEAR, StartFlags::REL);
        let _ = work.start();
        match n / SHARED % 4 {
            0 => drop(timer.cancel()),
            1 => drop(timer.cancel_async()),
            2 => timer.cancel_and_free(),
            _ => work.cancel_and_free(),
        }
        Ok(())
    }
}

impl workqueue::WorkItem for Worker {
    type Pointer = Arc<Worker>;

    fn run(this: Arc<Worker>) {
        for round in 0..ROUNDS {
            let result = this
                .own_timer()
                .and_then(|()| this.own_work())
                .and_then(|()| this.hammer(round));
            if let Err(error) = result {
                this.failed.store(error.to_errno(), Relaxed);
                break;
            }
        }
        this.done.complete_all();
    }
}

struct RustBpfAsync {
    hub: Arc<Hub>,
}

impl kernel::Module for RustBpfAsync {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let hub = Arc::new(
            Hub {
                timers: [const { TimerSlot::new() }; SHARED],
                works: [const { WorkSlot::new() }; SHARED],
                domain: Arc::pin_init(Domain::new(), GFP_KERNEL)?,
            },
            GFP_KERNEL,
        )?;
        // From here on, dropping it stops and frees whatever is there.
        let this = Self { hub };

        let mut workers = KVec::with_capacity(WORKERS, GFP_KERNEL)?;
        for seed in 0..WORKERS {
            workers.push(Worker::new(&this.hub, seed)?, GFP_KERNEL)?;
        }
        for worker in &workers {
            let _ = workqueue::system_unbound().enqueue(worker.clone());
        }
        for worker in &workers {
            worker.done.wait_for_completion();
        }
        for worker in &workers {
            match worker.failed.load(Relaxed) {
                0 => {}
                errno => return Err(Error::from_errno(errno)),
            }
        }
        for timer in &this.hub.timers {
            if timer.init(&this.hub.domain, Clock::Monotonic).is_ok() {
                CREATED.add(1, Relaxed);
            }
            timer.set_fn(&this.hub.domain, Arc::new(Shared, GFP_KERNEL)?, GFP_KERNEL)?;
            timer.start(FAR, StartFlags::REL)?;
        }
        Ok(this)
    }
}

impl Drop for RustBpfAsync {
    fn drop(&mut self) {
        let Hub {
            timers,
            works,
            domain,
        } = &*self.hub;

        timers.iter().for_each(|timer| timer.cancel_and_free());
        works.iter().for_each(|work| work.cancel_and_free());
        domain.close();

        let (started, fired, cancelled) = (
            STARTED.load(Relaxed),
            FIRED.load(Relaxed),
            CANCELLED.load(Relaxed),
        );
        let (queued, ran) = (QUEUED.load(Relaxed), RAN.load(Relaxed));
        let created = CREATED.load(Relaxed);
        let freed = created - i64::from(domain.live());

        pr_info!("timers: {started} started, {fired} fired, {cancelled} cancelled\n");
        pr_info!("work items: {queued} queued, {ran} ran\n");
        pr_info!("shared: {} runs\n", SHARED_RUNS.load(Relaxed));
        pr_info!("objects: {created} created, {freed} freed\n");
        if started == fired + cancelled && queued == ran && created == freed {
            pr_info!("it adds up\n");
        } else {
            pr_err!("it does not add up\n");
        }
    }
}
